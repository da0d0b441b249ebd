//! Listings: the newest page of a namespace, key order, namespaces, counts. Seeded data; `cargo bench --bench listing`.

mod common;

use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use vecmem::{Batch, IterateQuery, Namespace, NamespaceQuery, Put, Query, ReadOptions, Scope, Store};

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
    let files = files(&store, items);
    group.bench_function("10,000 files in pages of 100", |b| b.iter(|| black_box(in_pages(&store, &files))));
    let keys = IterateQuery::new(&namespace).limit(100).key_prefix("00");
    group.bench_function("first 100 by key", |b| {
        b.iter(|| black_box(store.iterate(&keys, None)).map(|page| page.items.len()))
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

/// Puts files of about 1 KiB, in no order of time that their keys would tell.
fn files(store: &Store, count: usize) -> Namespace {
    let namespace = Namespace::new(["files"]).expect("a label is a namespace");
    let mut batch = Batch::new();
    for number in 0..count {
        let json = format!(r#"{{"content":"{}","encoding":"utf-8"}}"#, "a line of a file. ".repeat(56));
        batch.put(Put::new(&namespace, format!("/memories/{:05}.md", number * 7_919 % count), json));
    }
    store.batch(batch).and_then(|_| store.compact()).expect("the files are written");
    namespace
}

/// Lists a namespace as file systems over a store do: page after page, until one is short.
fn in_pages(store: &Store, namespace: &Namespace) -> usize {
    let snapshot = store.snapshot().expect("the store is open");
    let listing = snapshot.listing(Query::new(namespace)).expect("the namespace can be listed");
    let mut count = 0;
    loop {
        let page = listing.page(count, 100).expect("the page can be read");
        count += page.len();
        if page.len() < 100 {
            return count;
        }
    }
}

criterion_group!(benches, listing);
criterion_main!(benches);
