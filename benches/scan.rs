//! Exact search of one namespace by its size, and over many parts. Seeded data; run with `cargo bench --bench scan`.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vecmem::{Filter, Namespace, Query, Scope};

use common::{Clusters, Row, compacted, dialogues, directory, made_up, size, user};

fn one_namespace(c: &mut Criterion) {
    let sizes = [5, size(100, 20), size(1_000, 30), size(10_000, 40)];
    let directory = directory();
    let mut rows: Vec<Row> = Vec::new();
    for (number, items) in sizes.into_iter().enumerate() {
        let mut made = made_up(items, items).rows;
        made.iter_mut().for_each(|row| row.namespace = user(number));
        rows.append(&mut made);
    }
    let store = compacted(directory.path(), &rows);
    let mut clusters = Clusters::new(11);
    let mut group = c.benchmark_group("search_namespace");
    for (number, items) in sizes.into_iter().enumerate() {
        let query = Query::new(&user(number)).vector(clusters.vector()).limit(10).exact(true);
        group.throughput(Throughput::Elements(items as u64));
        group.bench_function(BenchmarkId::from_parameter(items), |b| {
            b.iter(|| black_box(store.search(&query)).map(|answer| answer.len()))
        });
    }
    group.finish();
}

fn filtered(c: &mut Criterion) {
    let rows = dialogues(size(usize::MAX, 300));
    let directory = directory();
    let store = compacted(directory.path(), &rows.rows);
    let namespace: Namespace = rows.rows[0].namespace.clone();
    let vector = rows.rows[rows.rows.len() / 2].vector.clone();
    let filters = [("none", None), ("half", Some(r#"{"speaker":"USER"}"#)), ("few", Some(r#"{"turn":{"$gte":18}}"#))];
    let mut group = c.benchmark_group("search_dialogues");
    group.sample_size(20);
    for (name, filter) in filters {
        for (what, scope) in [("namespace", Scope::from(&namespace)), ("store", Scope::Store)] {
            let mut query = Query::new(scope).vector(vector.as_slice()).limit(10).exact(true);
            if let Some(text) = filter {
                query = query.filter(Filter::from_json_str(text).expect("the filter parses"));
            }
            group.bench_function(BenchmarkId::new(what, name), |b| {
                b.iter(|| black_box(store.search(&query)).map(|answer| answer.len()))
            });
        }
    }
    group.finish();
}

criterion_group!(benches, one_namespace, filtered);
criterion_main!(benches);
