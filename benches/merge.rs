//! Merging eight segments into one, and flushing what is in memory. Seeded data; run with `cargo bench --bench merge`.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::time::{Duration, Instant};
use vecmem::{Durability, Store};

use common::{Row, directory, fill, made_up, open, options, size, unmerged};

/// A store whose rows lie in `parts` parts, and its directory.
fn store_of(rows: &[Row], parts: usize) -> (tempfile::TempDir, Store) {
    let directory = directory();
    let each = rows.len().div_ceil(parts);
    let tuning = unmerged(if parts == 1 { usize::MAX } else { each });
    let store = open(directory.path(), options().durability(Durability::Manual).tuning(tuning));
    rows.chunks(each).for_each(|rows| fill(&store, rows, rows.len()));
    while store.stats().is_ok_and(|stats| stats.memory.frozen_memtables > 0) {
        std::thread::sleep(Duration::from_millis(5));
    }
    (directory, store)
}

fn merge(c: &mut Criterion) {
    let rows = made_up(size(65_536, 160), 14).rows;
    let bytes: usize = rows.iter().map(|row| 4 * row.vector.len() + row.json.len()).sum();
    let mut group = c.benchmark_group("compact");
    group.sample_size(10).measurement_time(Duration::from_secs(10)).throughput(Throughput::Bytes(bytes as u64));
    for (what, parts) in [("seal one part", 1), ("merge eight segments", 8)] {
        group.bench_function(what, |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let (_directory, store) = store_of(&rows, parts);
                    let start = Instant::now();
                    store.compact().expect("the store compacts");
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(benches, merge);
criterion_main!(benches);
