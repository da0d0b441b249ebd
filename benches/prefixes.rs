//! What a search under a prefix over half of the rows costs: without a graph of its own, until it has earned one, and
//! with it, beside searches of the whole store by its graph. Run with `cargo bench --bench prefixes`.
//!
//! The rows lie in namespaces of 40 under two prefixes. `VECMEM_PREFIX_ROWS` sets their number; without `--bench` it is
//! small.

mod common;
#[path = "common/report.rs"]
mod report;

use std::collections::HashSet;
use std::hint::black_box;
use std::time::{Duration, Instant};

use vecmem::{Namespace, Put, Query, Scope, Store, Tuning};

use common::{Clusters, DIMS, Times, directory, is_test, json, open, options, timed};
use report::{Table, machine, show};

const RECALL: f32 = 0.95;
const LIMIT: usize = 10;
/// The longest time in which searches may earn a graph. Few rows never earn one.
const PATIENCE: Duration = Duration::from_secs(120);
const PATIENCE_OF_FEW: Duration = Duration::from_secs(1);
const FEW_ROWS: usize = 10_000;

fn rows() -> usize {
    let is_full = std::env::args().any(|argument| argument == "--bench") && !is_test();
    let given = std::env::var("VECMEM_PREFIX_ROWS").ok().and_then(|count| count.parse().ok());
    given.unwrap_or(if is_full { 100_000 } else { 1_000 })
}

fn home(number: usize) -> Namespace {
    let side = if (number / 40).is_multiple_of(2) { "left" } else { "right" };
    Namespace::new([side, &format!("{:06}", number / 40)]).expect("two short labels are a namespace")
}

/// Imports the rows, and returns where more vectors like theirs come from.
fn filled(store: &Store, rows: usize) -> Clusters {
    let mut clusters = Clusters::new(21);
    let put =
        |number: usize| Ok(Put::new(&home(number), format!("{number:07}"), json(number)).vector(clusters.vector()));
    store.import((0..rows).map(put), vecmem::ImportOptions::new()).expect("the rows are imported");
    clusters
}

/// The times of searches of a scope, and the share of the exact answers that they found.
fn searches(store: &Store, scope: &Scope, queries: &[Vec<f32>]) -> (Times, f64) {
    let query = |vector: &Vec<f32>| Query::new(scope.clone()).vector(vector.clone()).limit(LIMIT).recall(RECALL);
    let keys = |query: &Query| -> HashSet<String> {
        store.search(query).expect("an answer").hits.into_iter().map(|hit| hit.item.key).collect()
    };
    let few = &queries[..queries.len().min(100)];
    let found: usize =
        few.iter().map(|vector| keys(&query(vector)).intersection(&keys(&query(vector).exact(true))).count()).sum();
    let times = queries.iter().map(|vector| {
        let query = query(vector);
        timed(|| drop(black_box(store.search(&query).expect("an answer")))).0
    });
    (Times::of(times.collect()), found as f64 / (few.len() * LIMIT) as f64)
}

/// Searches until a graph of the scope was built by itself: how many searches it took, and how long.
fn earned(store: &Store, scope: &Scope, queries: &[Vec<f32>], patience: Duration) -> Option<(usize, Duration)> {
    let builds = || store.stats().expect("stats").graphs.builds;
    let (before, started) = (builds(), Instant::now());
    for (number, vector) in queries.iter().cycle().enumerate() {
        drop(store.search(&Query::new(scope.clone()).vector(vector.clone()).limit(LIMIT)).expect("an answer"));
        if number % 16 == 0 && builds() > before {
            return Some((number, started.elapsed()));
        }
        if started.elapsed() > patience {
            break;
        }
    }
    None
}

fn main() {
    let rows = rows();
    println!("{rows} made-up rows, {DIMS}-d, half of them under the prefix; recall {RECALL}; {}", machine());
    let directory = directory();
    let tuning = Tuning { graph_rows: u32::MAX, ..Tuning::default() };
    let store = open(directory.path(), options().tuning(tuning));
    let mut clusters = filled(&store, rows);
    store.compact().expect("the store compacts");
    let queries: Vec<Vec<f32>> = (0..if rows > FEW_ROWS { 2_000 } else { 50 }).map(|_| clusters.vector()).collect();
    let half = Scope::prefix(["left"]).expect("a prefix");
    let mut table = Table::begin();
    let what = format!("{rows} rows");
    let shown = |(times, recall): &(Times, f64)| {
        format!("p50 {}, p99 {}, recall {recall:.3}", show(times.median()), show(times.percentile(99.0)))
    };
    let flat = searches(&store, &half, &queries[..queries.len().min(200)]);
    table.row("a prefix over half of the rows, without a graph", "", &shown(&flat), &what);
    match earned(&store, &half, &queries, if rows > FEW_ROWS { PATIENCE } else { PATIENCE_OF_FEW }) {
        Some((number, took)) => {
            let measured = format!("{number} searches, {}, with its build", show(took));
            table.row("until the prefix has earned a graph", "", &measured, &what);
        }
        None => table.row("until the prefix has earned a graph", "", "not yet", &what),
    }
    store.build_graph(&half).expect("a graph of the prefix");
    let prefix = searches(&store, &half, &queries);
    table.row("a prefix over half of the rows, with its graph", "", &shown(&prefix), &what);
    store.build_graph(&Scope::Store).expect("a graph of the store");
    let whole = searches(&store, &Scope::Store, &queries);
    table.row("the whole store, with its graph", "", &shown(&whole), &what);
    let ratio = whole.0.median().as_secs_f64() / prefix.0.median().as_secs_f64();
    table.row("queries a second under the prefix, of the store's", "0.4x", &format!("{ratio:.2}x"), &what);
}
