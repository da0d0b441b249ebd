//! Figures of reads: many small namespaces, exact scans, filters, listings.

use std::hint::black_box;

use vecmem::{Batch, Filter, Namespace, Put, Query, Scope, Store};

use crate::common::{Clusters, DIMS, Times, dialogues, directory, json, open, random, size, times, unmerged, user};
use crate::writes::{alone, bulk};
use crate::{Table, heap_bytes, show};

const EACH: usize = 5;

fn namespaces_count() -> usize {
    size(100_000, 200)
}

fn data() -> String {
    format!("{} namespaces x {EACH}, {DIMS}-d, random namespaces", namespaces_count())
}

/// Puts `rows` of all rows, round-robin over the namespaces: item 0 of each, then item 1 of each.
fn put_rows(store: &Store, clusters: &mut Clusters, rows: std::ops::Range<usize>, batch_rows: usize) {
    let mut batch = Batch::new();
    let end = rows.end;
    for number in rows {
        let (namespace, key) = (user(number % namespaces_count()), format!("item{}", number / namespaces_count()));
        batch.put(Put::new(&namespace, key, json(number)).vector(clusters.vector()));
        if batch.len() == batch_rows || number + 1 == end {
            store.batch(std::mem::take(&mut batch)).expect("the batch is written");
        }
    }
}

fn query_times(what: impl Fn(&Namespace, Vec<f32>)) -> Times {
    let (mut numbers, mut clusters) = (random(3), Clusters::new(3));
    let warm = size(20_000, 20);
    let mut query = || (user(numbers.below(namespaces_count())), clusters.vector());
    for _ in 0..warm {
        let (namespace, vector) = query();
        what(&namespace, vector);
    }
    Times::of(
        (0..size(100_000, 20))
            .map(|_| {
                let (namespace, vector) = query();
                let start = std::time::Instant::now();
                what(&namespace, vector);
                start.elapsed()
            })
            .collect(),
    )
}

fn search(store: &Store, namespace: &Namespace, vector: Vec<f32>) {
    let answer = store.search(&Query::new(namespace).vector(vector).limit(5)).expect("the search answers");
    assert_eq!(black_box(answer).len(), EACH, "the namespace holds {EACH} items");
}

fn shown(times: &Times) -> String {
    format!("p50 {}, p99 {}", show(times.median()), show(times.percentile(99.0)))
}

/// Search and get in one of very many small namespaces of a compacted store, and what a namespace costs in memory.
pub fn namespaces(table: &mut Table) {
    let directory = directory();
    let store = open(directory.path(), bulk());
    put_rows(&store, &mut Clusters::new(4), 0..EACH * namespaces_count(), 4_096);
    store.compact().expect("the store compacts");
    store.close().expect("the store closes");
    drop(store);
    let before = heap_bytes();
    let store = open(directory.path(), bulk());
    let searches = query_times(|namespace, vector| search(&store, namespace, vector));
    let gets = query_times(|namespace, _| {
        assert!(black_box(store.get(namespace, "item3").expect("the get answers")).is_some());
    });
    let absent = query_times(|namespace, _| {
        assert!(black_box(store.get(namespace, "item9").expect("the get answers")).is_none());
    });
    let shown = [&searches, &gets, &absent].map(shown);
    drop((searches, gets, absent));
    let heap = heap_bytes() - before;
    let each = heap as f64 / namespaces_count() as f64;
    table.row("exact search of one namespace, compacted", "<= 6 us", &shown[0], &data());
    table.row("get", "<= 2 us", &shown[1], &data());
    table.row("get of an absent key", "", &shown[2], &data());
    table.row("heap of the open store per namespace", "<= 8 B", &format!("{each:.1} B ({} KB)", heap / 1_000), &data());
}

/// The same in 8 segments and a full memtable.
pub fn segments(table: &mut Table) {
    let directory = directory();
    let total = EACH * namespaces_count();
    let batch = (total / 130).clamp(1, 4_096);
    let sealed = total / 8 / batch * batch;
    let mut clusters = Clusters::new(5);
    let store = open(directory.path(), bulk().tuning(unmerged(sealed)));
    put_rows(&store, &mut clusters, 0..8 * sealed, batch);
    while store.stats().is_ok_and(|stats| stats.memory.frozen_memtables > 0) {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    store.close().expect("the store closes");
    drop(store);
    let store = open(directory.path(), bulk().tuning(unmerged(1 << 20)));
    put_rows(&store, &mut clusters, 8 * sealed..total, batch);
    let searches = query_times(|namespace, vector| search(&store, namespace, vector));
    let stats = store.stats().expect("the stats are there");
    let what =
        format!("{}; {} segments + {} rows in memory", data(), stats.internals.segments, stats.memory.memtable_rows);
    table.row("exact search of one namespace, not compacted", "<= 15 us", &shown(&searches), &what);
}

/// Exact search of one larger namespace, others beside it.
pub fn scan(table: &mut Table) {
    let directory = directory();
    let store = open(directory.path(), bulk());
    alone(&store, "aside", size(20_000, 50));
    let sizes = [(size(1_000, 20), "<= 25 us"), (size(10_000, 40), "<= 250 us")];
    let filled = sizes.map(|(items, goal)| (alone(&store, &format!("of{items}"), items), items, goal));
    store.compact().expect("the store compacts");
    for (namespace, items, goal) in filled {
        let mut clusters = Clusters::new(6);
        let queries: Vec<Query> =
            (0..64).map(|_| Query::new(&namespace).vector(clusters.vector()).limit(10).exact(true)).collect();
        let mut next = queries.iter().cycle();
        let searched = times(size(4_000, 64), || {
            let answer = next.next().map(|query| store.search(query).expect("the search answers"));
            assert_eq!(black_box(answer).map(|answer| answer.len()), Some(10));
        });
        table.row(
            &format!("exact search of a namespace of {items}"),
            goal,
            &shown(&searched),
            "384-d, 10 best, compacted",
        );
    }
}

/// The filter's time for a row: by itself over values in memory, and in a search that refuses every row.
pub fn filter(table: &mut Table) {
    let rows = dialogues(size(usize::MAX, 500));
    let directory = directory();
    let store = crate::common::compacted(directory.path(), &rows.rows);
    let text: String = rows.rows.iter().map(|row| row.json.as_str()).collect();
    let ends = rows.rows.iter().scan(0, |end, row| {
        *end += row.json.len();
        Some(*end)
    });
    let values: Vec<&str> = ends.zip(&rows.rows).map(|(end, row)| &text[end - row.json.len()..end]).collect();
    let filters = [
        ("one equality", r#"{"speaker":"NOBODY"}"#),
        ("range and equality", r#"{"turn":{"$gte":1000},"service":"Restaurants_2"}"#),
        ("nested equality", r#"{"slots.city":"Nowhere"}"#),
    ];
    for (what, text) in filters {
        let filter = Filter::from_json_str(text).expect("the filter parses");
        let prepared = filter.prepare().expect("the filter is within the limits");
        let alone = times(size(30, 2), || {
            let passed = values.iter().filter(|value| prepared.matches(value.as_bytes())).count();
            assert_eq!(black_box(passed), 0);
        });
        let query = Query::new(Scope::Store).filter(filter).limit(rows.rows.len());
        let listed = times(size(30, 2), || assert!(store.list(&query).expect("the list answers").is_empty()));
        let each = |times: &Times| times.median().as_nanos() as f64 / rows.rows.len() as f64;
        let measured = format!("{:.0} ns ({:.0} in a listing)", each(&alone), each(&listed));
        table.row(&format!("filter pass a row, {what}"), "<= 150 ns", &measured, &rows.what);
    }
}

/// The newest 100 of a namespace of 10,000, compacted and with its last rows in memory.
pub fn listing(table: &mut Table) {
    let directory = directory();
    let store = open(directory.path(), bulk());
    let items = size(10_000, 200);
    let namespace = alone(&store, "listed", items);
    let query = Query::new(&namespace).limit(100);
    let mut row = |what: &str, store: &Store| {
        let listed = times(size(4_000, 10), || assert_eq!(store.list(&query).expect("the list answers").len(), 100));
        table.row(&format!("listing page of 100 in {items}, {what}"), "<= 50 us", &shown(&listed), "300-byte JSON");
    };
    row("fresh", &store);
    store.compact().expect("the store compacts");
    row("compacted", &store);
}
