//! Graphs: building one, searching it with and without a filter, and a merge that builds on the graphs of its inputs.
//! Seeded data in clusters; run with `cargo bench --bench graph`.

mod common;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::{Duration, Instant};
use vecmem::{Durability, Filter, Query, Scope, Store, Tuning};

use common::{Row, directory, fill, made_up, open, options, size, unmerged};

/// A store of `rows` in segments of `each`, none of which has a graph or is merged unless somebody asks.
fn store_of(rows: &[Row], each: usize) -> (tempfile::TempDir, Store) {
    let directory = directory();
    let tuning = Tuning { graph_rows: u32::MAX, earn_rows: u32::MAX, ..unmerged(each) };
    let store = open(directory.path(), options().durability(Durability::Manual).tuning(tuning));
    rows.chunks(each).for_each(|rows| fill(&store, rows, rows.len()));
    while store.stats().is_ok_and(|stats| stats.memory.frozen_memtables > 0) {
        std::thread::sleep(Duration::from_millis(5));
    }
    (directory, store)
}

fn graph(c: &mut Criterion) {
    let rows = made_up(size(32_768, 320), 15).rows;
    let mut group = c.benchmark_group("graph");
    group.sample_size(10).measurement_time(Duration::from_secs(10)).throughput(Throughput::Elements(rows.len() as u64));
    for (what, parts) in [("build", 1), ("merge with reuse", 2)] {
        group.bench_function(what, |b| {
            b.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    let (_directory, store) = store_of(&rows, rows.len().div_ceil(parts));
                    if parts == 1 {
                        store.compact().expect("the store compacts");
                    } else {
                        store.build_graph(&Scope::Store).expect("the graphs are built");
                    }
                    let start = Instant::now();
                    match parts {
                        1 => drop(store.build_graph(&Scope::Store).expect("the graph is built")),
                        _ => drop(store.compact().expect("the store compacts")),
                    }
                    spent += start.elapsed();
                }
                spent
            });
        });
    }
    group.throughput(Throughput::Elements(1));
    let (_directory, store) = store_of(&rows, rows.len());
    store.compact().and_then(|_| store.build_graph(&Scope::Store)).expect("the graph is built");
    let filter = Filter::from_json_str(r#"{"speaker": "USER"}"#).expect("the filter is well formed");
    for (what, filter) in [("walk", None), ("filtered walk", Some(filter))] {
        let mut next = 0;
        group.bench_function(what, |b| {
            b.iter(|| {
                next = (next + 1) % rows.len();
                let query = Query::new(Scope::Store).vector(rows[next].vector.clone()).limit(10);
                let query = filter.iter().fold(query, |query, filter| query.filter(filter.clone()));
                black_box(store.search(&query).expect("the search answers"))
            });
        });
    }
    group.finish();
}

criterion_group!(benches, graph);
criterion_main!(benches);
