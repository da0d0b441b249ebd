//! Puts per durability mode with 1, 4 and 16 threads, and a bare log on the same disk. Run with `cargo bench --bench
//! put`.
//!
//! Times are per put: all threads together have done `iterations` of them. Ratios that were measured alternately are in
//! `figures`.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use vecmem::{Durability, Put, Store};

use common::{BareLog, Clusters, directory, json, open, options, user};

/// How long `threads` threads take for `iterations` puts.
fn put_all(store: &Store, vectors: &[Vec<f32>], next: &AtomicU64, threads: u64, iterations: u64) -> Duration {
    let left = AtomicU64::new(iterations);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                    let number = next.fetch_add(1, Ordering::Relaxed) as usize;
                    let put = Put::new(&user(number % 1_000), format!("key{number}"), json(number));
                    let vector = vectors[number % vectors.len()].as_slice();
                    store.put(put.vector(vector)).expect("the put is written");
                }
            });
        }
    });
    start.elapsed()
}

fn put(c: &mut Criterion) {
    let mut clusters = Clusters::new(12);
    let vectors: Vec<Vec<f32>> = (0..1_000).map(|_| clusters.vector()).collect();
    let mut group = c.benchmark_group("put");
    group.throughput(Throughput::Elements(1)).sample_size(20).measurement_time(Duration::from_secs(3));
    let directory = directory();
    let mut growing = BareLog::growing(directory.path(), 2_048);
    group.bench_function("bare append + fdatasync", |b| b.iter(|| growing.append()));
    let mut prepared = BareLog::prepared(directory.path(), 2_048);
    group.bench_function("bare write + fdatasync, prepared file", |b| b.iter(|| prepared.append()));
    for durability in [Durability::Sync, Durability::Periodic, Durability::Manual] {
        let store = open(&directory.path().join(format!("{durability:?}")), options().durability(durability));
        let next = AtomicU64::new(0);
        for threads in [1, 4, 16] {
            group.bench_function(BenchmarkId::new(format!("{durability:?}"), threads), |b| {
                b.iter_custom(|iterations| put_all(&store, &vectors, &next, threads, iterations))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, put);
criterion_main!(benches);
