//! Opening: a compacted store, and one with a log to replay. Seeded data; run with `cargo bench --bench recovery`.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::path::Path;
use std::time::{Duration, Instant};
use vecmem::{Durability, Options};

use common::{compacted, directory, fill, made_up, open, options, size, unmerged};

/// Opens and closes; only the open counts.
fn open_all(path: &Path, options: &Options, iterations: u64) -> Duration {
    let open_one = || {
        let start = Instant::now();
        let store = open(path, options.clone());
        let elapsed = start.elapsed();
        store.close().expect("the store closes");
        elapsed
    };
    (0..iterations).map(|_| open_one()).sum()
}

fn recovery(c: &mut Criterion) {
    let mut group = c.benchmark_group("open");
    group.sample_size(10).measurement_time(Duration::from_secs(5));
    let rows = made_up(size(70_000, 300), 14).rows;
    let sealed = directory();
    drop(compacted(sealed.path(), &rows));
    group.bench_function("compacted", |b| {
        b.iter_custom(|iterations| open_all(sealed.path(), &options(), iterations));
    });
    for mebibytes in [size(8, 1), size(64, 2)] {
        let directory = directory();
        let options = options().durability(Durability::Manual).tuning(unmerged(1 << 30));
        let store = open(directory.path(), options.clone());
        let mut bytes = mebibytes << 20;
        let fits = rows.iter().take_while(|row| {
            bytes = bytes.saturating_sub(4 * row.vector.len() + row.json.len() + 128);
            bytes > 0
        });
        fill(&store, fits, 1);
        store.close().expect("the store closes");
        drop(store);
        group.throughput(Throughput::Bytes((mebibytes as u64) << 20));
        group.bench_function(BenchmarkId::new("MiB of log", mebibytes), |b| {
            b.iter_custom(|iterations| open_all(directory.path(), &options, iterations));
        });
    }
    group.finish();
}

criterion_group!(benches, recovery);
criterion_main!(benches);
