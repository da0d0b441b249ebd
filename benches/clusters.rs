//! Filters that are correlated with the vectors, beside filters that are not: 1,000,000 rows in 2,000 clusters, and
//! filters that pass a share of the clusters, or the same share of the rows by chance. Run with
//! `cargo bench --bench clusters`.
//!
//! Half of the queries lie in clusters that pass, half in the others. The times are the medians of single searches
//! without a graph of the filter. `VECMEM_CLUSTERS_ROWS` sets the number of rows, and `VECMEM_CLUSTERS_RECALL` the
//! recall that is asked for; without `--bench` the rows are few.

mod common;
#[path = "common/report.rs"]
mod report;

use std::collections::HashSet;
use std::hint::black_box;

use vecmem::{Filter, ImportOptions, Metric, Namespace, Options, Put, Query, Scope, Store, Tuning};

use common::{Times, directory, is_test, open, random, timed};
use report::{Table, machine, show};

const DIMS: usize = 128;
/// Rows of one cluster.
const EACH: usize = 500;
const LIMIT: usize = 10;
/// Each search is measured so many times.
const ROUNDS: usize = 3;
/// Filters that pass so many of a thousand.
const SHARES: [usize; 9] = [970, 900, 750, 600, 500, 300, 150, 30, 1];

fn given<T: std::str::FromStr>(name: &str) -> Option<T> {
    std::env::var(name).ok().and_then(|value| value.parse().ok())
}

fn home() -> Namespace {
    Namespace::new(["all"]).expect("one label is a namespace")
}

/// A sum of three numbers, which lies nearly as a gaussian does.
fn around(random: &mut vecmem::testing::Random) -> f32 {
    random.unit() + random.unit() + random.unit()
}

/// The vector with this number: row n lies in cluster n % clusters.
fn vector(number: usize, clusters: usize) -> Vec<f32> {
    let (mut centre, mut own) = (random((number % clusters) as u64), random(1 << 40 | number as u64));
    (0..DIMS).map(|_| around(&mut centre) + 0.6 * around(&mut own)).collect()
}

/// The searches of one filter: their times, and the share of the exact answers that they found.
fn searches(store: &Store, filter: Option<&Filter>, queries: &[Vec<f32>], recall: f32) -> (Times, f64) {
    let query = |vector: &Vec<f32>| {
        let query = Query::new(Scope::Namespace(home())).vector(vector.clone()).limit(LIMIT).recall(recall);
        filter.map_or(query.clone(), |filter| query.filter(filter.clone()))
    };
    let keys = |query: &Query| -> HashSet<String> {
        store.search(query).expect("an answer").hits.into_iter().map(|hit| hit.item.key).collect()
    };
    let (mut found, mut all, mut times) = (0, 0, Vec::new());
    for vector in queries {
        let query = query(vector);
        let exact = keys(&query.clone().exact(true));
        let got = keys(&query);
        assert_eq!(got.len(), exact.len(), "as many results as an exact search has");
        (found, all) = (found + got.intersection(&exact).count(), all + exact.len());
        let time = || timed(|| drop(black_box(store.search(&query).expect("an answer")))).0;
        times.extend((0..ROUNDS).map(|_| time()).min());
    }
    (Times::of(times), found as f64 / all.max(1) as f64)
}

fn main() {
    let is_full = std::env::args().any(|argument| argument == "--bench") && !is_test();
    let rows = given("VECMEM_CLUSTERS_ROWS").unwrap_or(if is_full { 1_000_000 } else { 4_000_usize });
    let recall: f32 = given("VECMEM_CLUSTERS_RECALL").unwrap_or(0.95);
    let clusters = (rows / EACH).max(8);
    let of_each = if is_full { 200 } else { 4 };
    println!("{rows} made-up rows in {clusters} clusters, {DIMS}-d; recall {recall} asked; {}", machine());
    let directory = directory();
    // No filter earns a graph of its own.
    let tuning = Tuning { filter_graph_bytes: 0, ..Tuning::default() };
    let store = open(directory.path(), Options::with_vectors(DIMS, Metric::Cosine).tuning(tuning));
    let mut chance = random(5);
    let mut put = |number: usize| {
        let value = format!(r#"{{"cluster":{},"chance":{}}}"#, number % clusters, chance.below(1_000_u32));
        Ok(Put::new(&home(), number.to_string(), value).vector(vector(number, clusters)))
    };
    store.import((0..rows).map(&mut put), ImportOptions::new()).expect("the rows are imported");
    store.compact().expect("the store compacts");
    // Queries of clusters from the first on, and of clusters from the last on: on either side of each filter.
    let of = |cluster: usize, number: usize| vector((rows / clusters + 1 + number) * clusters + cluster, clusters);
    let mut table = Table::begin();
    let data = format!("{rows} rows");
    let shown = |(times, recall): &(Times, f64)| {
        format!("p50 {}, p99 {}, recall {recall:.3}", show(times.median()), show(times.percentile(99.0)))
    };
    let any: Vec<Vec<f32>> = (0..of_each).map(|number| of(number * 7 % clusters, number)).collect();
    table.row("no filter", "", &shown(&searches(&store, None, &any, recall)), &data);
    for share in SHARES {
        let filter = |json: String| Filter::from_json_str(&json).expect("a filter");
        let by_chance = searches(&store, Some(&filter(format!(r#"{{"chance":{{"$lt":{share}}}}}"#))), &any, recall);
        let percent = share as f64 / 10.0;
        table.row(&format!("{percent} % of the rows by chance"), "", &shown(&by_chance), &data);
        let passing = (clusters * share / 1_000).max(1);
        let filter = filter(format!(r#"{{"cluster":{{"$lt":{passing}}}}}"#));
        let (inside, outside): (Vec<_>, Vec<_>) = (0..of_each)
            .map(|number| {
                (of(number * 7 % passing, number), of(clusters - 1 - number * 7 % (clusters - passing), number))
            })
            .unzip();
        for (name, queries) in [("in them", inside), ("in others", outside)] {
            let measured = searches(&store, Some(&filter), &queries, recall);
            let ratio = measured.0.median().as_secs_f64() / by_chance.0.median().as_secs_f64();
            let shown = format!("{}, {ratio:.1}x", shown(&measured));
            table.row(&format!("{percent} % of the clusters, queries {name}"), "at most 5x", &shown, &data);
        }
    }
}
