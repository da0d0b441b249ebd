//! Listings: the newest page of a namespace, key order, namespaces, counts. Seeded data; `cargo bench --bench listing`.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use vecmem::{NamespaceQuery, Query, ReadOptions, ScanQuery, Scope};

use common::{Row, compacted, directory, made_up, size, user};

fn listing(c: &mut Criterion) {
    let items = size(10_000, 200);
    let mut rows = made_up(items, items).rows;
    let small = made_up(items, 5).rows;
    rows.extend(small.into_iter().enumerate().map(|(number, row)| Row { namespace: user(1 + number / 5), ..row }));
    let directory = directory();
    let store = compacted(directory.path(), &rows);
    let namespace = user(0);
    let mut group = c.benchmark_group("listing");
    let page = Query::new(&namespace).limit(100);
    group.bench_function("newest 100", |b| b.iter(|| black_box(store.list(&page)).map(|answer| answer.len())));
    let deep = Query::new(&namespace).limit(100).offset(items / 2);
    group.bench_function("newest 100 from the middle", |b| {
        b.iter(|| black_box(store.list(&deep)).map(|answer| answer.len()))
    });
    let keys = ScanQuery::new(&namespace).limit(100).key_prefix("00");
    group.bench_function("first 100 by key", |b| {
        b.iter(|| black_box(store.scan(&keys, None)).map(|page| page.items.len()))
    });
    let namespaces = NamespaceQuery { limit: 100, ..NamespaceQuery::default() };
    group.bench_function("first 100 namespaces", |b| {
        b.iter(|| black_box(store.list_namespaces(&namespaces)).map(|found| found.len()))
    });
    group.bench_function("count of the store", |b| {
        b.iter(|| black_box(store.count(&Scope::Store, &ReadOptions::default())))
    });
    group.finish();
}

criterion_group!(benches, listing);
criterion_main!(benches);
