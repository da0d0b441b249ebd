//! A search through graphs finds the recall that was asked for on any kind of data, also if the query is unlike it.

use crate::common::kinds::{ASKINGS, Asking, KINDS, Kind, Source};
use crate::common::recall::{ASKED, Got, LIMITS, got, share};
use crate::common::{namespace, simulated, tiny};
use vecmem::{Batch, Metric, Options, Put, Query, Store, Tuning};

const VECTORS: usize = 2_000;
const DIMS: usize = 24;
const QUERIES: usize = 40;
/// What a mean over the queries of all kinds of data may fall short by.
const MARGIN: f64 = 0.01;
/// The queries of one kind of data are few, and those of one kind of queries fewer: their means may fall short by so
/// many standard errors more.
const ERRORS_OF_DATA: f64 = 1.5;
const ERRORS_OF_ONE: f64 = 3.5;
/// Queries like the data visit at most so many times as many nodes as with `Gaussian` data, or this share of all. Of
/// [`EASY`] limits and recalls, `Gaussian` data needs less than that share itself.
const VISITS_OF_GAUSSIAN: f64 = 4.0;
const VISITED_MOST: f64 = 0.5;
/// How many of [`LIMITS`] and [`ASKED`] a small graph answers with few visits: 1 and 10 results, up to 0.98.
const EASY: (usize, usize) = (2, 3);

/// A store with a graph over vectors of one kind, and where more of them come from.
fn filled(kind: Kind, metric: Metric, seed: u64) -> (Store, Source, Vec<Vec<f32>>) {
    filled_with(tiny(DIMS, metric), Source::new(kind, DIMS, seed), VECTORS)
}

fn filled_with(options: Options, mut source: Source, vectors: usize) -> (Store, Source, Vec<Vec<f32>>) {
    let (store, _, _) = simulated(options);
    let stored = source.vectors(vectors);
    for (chunk, vectors) in stored.chunks(VECTORS).enumerate() {
        let mut batch = Batch::new();
        for (number, vector) in vectors.iter().enumerate() {
            let key = (chunk * VECTORS + number).to_string();
            batch.put(Put::new(&namespace(["a"]), key, "{}").vector(vector.as_slice()));
        }
        store.batch(batch).unwrap();
    }
    store.compact().unwrap();
    (store, source, stored)
}

/// Sums of what was got, and how many.
#[derive(Default)]
struct Sum {
    recall: [[f64; 4]; 3],
    count: f64,
}

impl Sum {
    fn add(&mut self, got: &[[Got; 4]; 3]) {
        self.count += 1.0;
        for (sums, got) in self.recall.iter_mut().zip(got) {
            sums.iter_mut().zip(got).for_each(|(sum, got)| *sum += got.recall);
        }
    }

    fn check(&self, what: &str, errors: f64) {
        for (sums, limit) in self.recall.iter().zip(LIMITS) {
            for (sum, asked) in sums.iter().zip(ASKED.map(f64::from)) {
                // Among near duplicates a query finds all of its results or none, whatever their number.
                let error = (asked * (1.0 - asked) / (self.count * QUERIES as f64)).sqrt();
                let (found, least) = (sum / self.count, asked - MARGIN - errors * error);
                assert!(found >= least, "{what}, {limit} results: asked {asked}, found {found}");
            }
        }
    }
}

/// Checks that queries like the data were answered by walks over few of the nodes: a graph whose calibration asked for
/// too much would find everything too.
fn few_were_visited(kind: Kind, got: &[[Got; 4]; 3], of_gaussian: &[[Got; 4]; 3]) {
    let half = VISITED_MOST * VECTORS as f64;
    for (row, (got, of_gaussian)) in got.iter().zip(of_gaussian).enumerate() {
        for (column, (got, of_gaussian)) in got.iter().zip(of_gaussian).enumerate() {
            let what = format!("{kind:?}, {} results at {}: {got:?}", LIMITS[row], ASKED[column]);
            let most = (VISITS_OF_GAUSSIAN * of_gaussian.visited).max(half);
            assert!(got.flat == 0.0 && got.visited > 0.0 && got.visited <= most, "{what}");
            let is_easy = row < EASY.0 && column < EASY.1;
            assert!(kind != Kind::Gaussian || !is_easy || got.visited <= half, "{what}");
        }
    }
}

/// The seed of the data; others are tried by hand.
fn seed() -> u64 {
    std::env::var("VECMEM_RECALL_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

fn recall_is_kept(metric: Metric) {
    let seed = seed();
    let mut by_asking: [Sum; ASKINGS.len()] = Default::default();
    let mut of_gaussian = [[[Got::default(); 4]; 3]; ASKINGS.len()];
    for kind in KINDS {
        println!("seed {seed}, {kind:?}, {metric:?}");
        let (store, mut source, stored) = filled(kind, metric, seed);
        let mut of_kind = Sum::default();
        for ((asking, sum), of_gaussian) in ASKINGS.into_iter().zip(&mut by_asking).zip(&mut of_gaussian) {
            let queries = asking.queries(&mut source, &stored, QUERIES);
            let got = got(&store, &namespace(["a"]), &queries);
            let mut one = Sum::default();
            [&mut one, &mut of_kind, sum].into_iter().for_each(|sum| sum.add(&got));
            one.check(&format!("{kind:?}, {metric:?}, {asking:?}"), ERRORS_OF_ONE);
            if kind == Kind::Gaussian {
                *of_gaussian = got;
            }
            if asking.is_like_the_data() {
                few_were_visited(kind, &got, of_gaussian);
            }
        }
        of_kind.check(&format!("{kind:?}, {metric:?}"), ERRORS_OF_DATA);
    }
    for (asking, sum) in ASKINGS.into_iter().zip(by_asking) {
        sum.check(&format!("{asking:?}, {metric:?}"), 0.0);
    }
}

#[test]
fn by_distance() {
    recall_is_kept(Metric::L2);
}

#[test]
fn by_cosine() {
    recall_is_kept(Metric::Cosine);
}

#[test]
fn by_dot_product() {
    recall_is_kept(Metric::Dot);
}

#[test]
fn queries_unlike_the_data_are_compared_with_all_of_it_where_that_costs_less() {
    let (dims, vectors) = (32, 10_000);
    let tuning = Tuning { flat_weight: 1, memtable_rows: 2 * vectors, memtable_bytes: 64 << 20, ..Tuning::tiny() };
    let options = Options::with_vectors(dims, Metric::Dot).tuning(tuning);
    let (store, mut source, stored) = filled_with(options, Source::new(Kind::Positive, dims, 4), vectors);
    for asking in [Asking::HeldOut, Asking::Opposite] {
        let (mut sum, mut flat) = (0.0, 0);
        for vector in asking.queries(&mut source, &stored, QUERIES) {
            let query = Query::new(&namespace(["a"])).vector(vector).explain(true);
            let exact = store.search(&query.clone().exact(true)).unwrap();
            let answer = store.search(&query).unwrap();
            assert!(answer.explain.iter().all(|part| part.graph_searches > 0), "{:?}", answer.explain);
            flat += answer.explain.iter().filter(|part| part.path == "graph, then flat").count();
            sum += share(&answer, &exact, 10);
        }
        let mean = sum / QUERIES as f64;
        println!("seed 4, {asking:?}: recall {mean}, {flat} of {QUERIES} were compared with all vectors");
        assert!(mean >= 0.98 - 2.0 * MARGIN, "{asking:?}: {mean}");
        // Few queries like the data look unlike it.
        let is_as_expected = if asking.is_like_the_data() { flat <= QUERIES / 5 } else { flat >= QUERIES / 2 };
        assert!(is_as_expected, "{asking:?}: {flat} of {QUERIES}");
    }
}

#[test]
fn vectors_far_from_all_others_are_found_by_themselves() {
    let (store, source, stored) = filled(Kind::Outliers, Metric::L2, 2);
    let outliers: Vec<usize> = (0..VECTORS).filter(|&number| source.is_outlier(number)).collect();
    assert!(outliers.len() > 4);
    for number in outliers {
        for recall in [0.5, 0.9, 0.98] {
            let query = Query::new(&namespace(["a"])).vector(stored[number].clone()).limit(1).recall(recall);
            assert_eq!(store.search(&query).unwrap().hits[0].item.key, number.to_string());
        }
    }
}

#[test]
fn an_exact_search_knows_nothing_of_graphs() {
    for metric in [Metric::L2, Metric::Dot] {
        let (store, mut source, stored) = filled(Kind::Positive, metric, 3);
        for vector in Asking::Opposite.queries(&mut source, &stored, 5) {
            let query = Query::new(&namespace(["a"])).vector(vector).limit(20).explain(true);
            let exact = store.search(&query.clone().exact(true)).unwrap();
            assert!(exact.explain.iter().all(|part| part.graph_searches == 0 && part.path == "flat"));
            let answer = store.search(&query.recall(0.9)).unwrap();
            assert!(answer.explain.iter().any(|part| part.path.starts_with("graph")), "{:?}", answer.explain);
            assert!(share(&answer, &exact, 20) > 0.5);
        }
    }
}
