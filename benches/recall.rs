//! The recall that graph searches get on many kinds of data, and what it costs: namespaces of 17,000 vectors with
//! default tuning and the graph that a compaction builds.
//!
//! `cargo bench --bench recall` prints a line for each kind of data, metric, kind of query and number of results: the
//! recall got where 0.90, 0.95, 0.98 and 0.99 was asked, nodes compared at 0.98 as a multiple of those of gaussian data
//! (held-out queries), microseconds at 0.98 and of an exact search, and the share of queries that a flat search
//! answered. Lines that get less than was asked minus 0.01, or cost more than 4 times as much, are marked. Words after
//! `--` choose: kinds, metrics, kinds of queries. `VECMEM_RECALL_DIMS` is the number of dimensions, 32 by default; far
//! clusters have twice as many. `VECMEM_RECALL_SEED` draws other data.

#[path = "../tests/common/kinds.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod kinds;
#[path = "../tests/common/recall.rs"]
#[allow(dead_code, reason = "tests use more of it")]
mod recall;

use std::time::Instant;

use kinds::{ASKINGS, Asking, KINDS, Kind, Source};
use recall::{ASKED, Got, LIMITS, got};
use vecmem::{Durability, ImportOptions, Metric, Namespace, Options, Put, Store};

/// The shares that a line may fall short by, and the multiple of the cost that it may have.
const SHORT: f64 = 0.01;
const DEARER: f64 = 4.0;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with("--")).collect();
    let is_test = std::env::args().any(|word| word == "--test");
    let (vectors, queries) = if is_test { (500, 3) } else { (17_000, 100) };
    let dims: usize = std::env::var("VECMEM_RECALL_DIMS").ok().and_then(|dims| dims.parse().ok()).unwrap_or(32);
    let seed: u64 = std::env::var("VECMEM_RECALL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let is_chosen = |all: &[String], one: &str| {
        let chosen = |word: &&String| all.contains(word);
        words.iter().filter(chosen).count() == 0 || words.iter().any(|word| word == one)
    };
    let kinds: Vec<String> = KINDS.iter().map(|kind| format!("{kind:?}")).collect();
    let metrics: Vec<String> =
        [Metric::L2, Metric::Cosine, Metric::Dot].iter().map(|metric| format!("{metric:?}")).collect();
    let askings: Vec<String> = ASKINGS.iter().map(|asking| format!("{asking:?}")).collect();
    println!(
        "seed {seed}; kind metric queries k: recall at {ASKED:?}; visits (multiple of gaussian), time, flat at 0.98"
    );
    for metric in [Metric::L2, Metric::Cosine, Metric::Dot] {
        if !is_chosen(&metrics, &format!("{metric:?}")) {
            continue;
        }
        let mut usual = [0.0; 3];
        for kind in KINDS {
            if kind != Kind::Gaussian && !is_chosen(&kinds, &format!("{kind:?}")) {
                continue;
            }
            let dims = if kind == Kind::FarClusters { 2 * dims } else { dims };
            let mut source = Source::new(kind, dims, seed);
            let stored = source.vectors(vectors);
            let directory = tempfile::tempdir().expect("a directory for the store can be made");
            let options = Options::with_vectors(dims, metric).durability(Durability::Manual);
            let store = Store::open(directory.path(), options).expect("the store opens");
            let namespace = Namespace::new(["a"]).expect("a label is a namespace");
            let put = |(number, vector): (usize, &Vec<f32>)| {
                Ok(Put::new(&namespace, format!("{number:05}"), "{}").vector(vector.as_slice()))
            };
            store.import(stored.iter().enumerate().map(put), ImportOptions::new()).expect("the import works");
            let start = Instant::now();
            store.compact().expect("the store compacts");
            println!("{kind:?} {metric:?}: compacted in {:.2} s", start.elapsed().as_secs_f64());
            if kind == Kind::Gaussian {
                let asked = Asking::HeldOut.queries(&mut source, &stored, queries);
                usual = got(&store, &namespace, &asked).map(|row| row[2].visited.max(1.0));
            }
            for asking in ASKINGS {
                if !is_chosen(&askings, &format!("{asking:?}")) {
                    continue;
                }
                let asked = asking.queries(&mut source, &stored, queries);
                let rows = got(&store, &namespace, &asked);
                for ((row, limit), usual) in rows.iter().zip(LIMITS).zip(usual) {
                    line(&format!("{kind:?} {metric:?} {asking:?} {limit}"), row, usual);
                }
            }
            outliers(&store, &namespace, &source, &stored);
        }
    }
}

fn line(what: &str, row: &[Got; 4], usual: f64) {
    let short = row.iter().zip(ASKED).any(|(got, asked)| got.recall < f64::from(asked) - SHORT);
    let dear =
        row.iter().map(|got| got.visited / usual).fold(0.0, f64::max) > DEARER && row[2].visited / usual > DEARER;
    let flat = row.iter().any(|got| got.flat > 0.5);
    let recalls = row.map(|got| format!("{:.3}", got.recall)).join(" ");
    let marks = [(short, " SHORT"), (dear, " DEAR"), (flat, " FLAT")];
    let marks: String = marks.iter().filter(|(is_so, _)| *is_so).map(|(_, mark)| *mark).collect();
    let (visited, flat) = (row[2].visited, row[2].flat);
    let (took, exact) = (row[2].took, row[2].exact);
    println!("{what}: {recalls}; {visited:.0} ({:.1}); {took:.0} of {exact:.0} us; {flat:.2}{marks}", visited / usual);
}

/// How many outliers are found by their own vectors.
fn outliers(store: &Store, namespace: &Namespace, source: &Source, stored: &[Vec<f32>]) {
    let numbers: Vec<usize> = (0..stored.len()).filter(|&number| source.is_outlier(number)).collect();
    if numbers.is_empty() {
        return;
    }
    let own: Vec<Vec<f32>> = numbers.iter().map(|&number| stored[number].clone()).collect();
    let first = got(store, namespace, &own)[0];
    println!("  outliers by their own vectors, k 1: {:?} of {}", first.map(|got| got.recall), numbers.len());
}
