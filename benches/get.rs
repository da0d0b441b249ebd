//! Gets from a compacted store and from memory: there and absent. Seeded data; run with `cargo bench --bench get`.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vecmem::{Durability, ReadOptions, Store};

use common::{compacted, directory, fill, made_up, open, options, random, size, unmerged, user};

const EACH: usize = 5;

fn get(c: &mut Criterion) {
    let count = size(20_000, 50);
    let rows = made_up(count * EACH, EACH).rows;
    let (sealed, memory) = (directory(), directory());
    let compacted = compacted(sealed.path(), &rows);
    let active = open(memory.path(), options().durability(Durability::Manual).tuning(unmerged(1 << 20)));
    fill(&active, rows.iter().take(8_000), 1_000);
    let mut group = c.benchmark_group("get");
    group.throughput(Throughput::Elements(1));
    let mut bench = |what: &str, store: &Store, namespaces: usize, options: &ReadOptions, key: &str| {
        let mut numbers = random(13);
        group.bench_function(BenchmarkId::from_parameter(what), |b| {
            b.iter(|| {
                black_box(store.get_with(&user(numbers.below(namespaces)), key, options)).map(|item| item.is_some())
            })
        });
    };
    let (plain, with_vectors) = (ReadOptions::default(), ReadOptions { include_vectors: true, ..Default::default() });
    bench("compacted", &compacted, count, &plain, "0003");
    bench("compacted, with vectors", &compacted, count, &with_vectors, "0003");
    bench("compacted, absent", &compacted, count, &plain, "nothing");
    let namespaces = count.min(8_000 / EACH);
    bench("memory", &active, namespaces, &plain, "0003");
    bench("memory, absent", &active, namespaces, &plain, "nothing");
    group.finish();
}

criterion_group!(benches, get);
criterion_main!(benches);
