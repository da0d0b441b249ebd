//! A graph whose queries find less than they ask for is noticed, and is fitted to them; then they find what they ask
//! for, by walks where these suffice.

use crate::common::kinds::{Kind, Source};
use crate::common::recall::share;
use crate::common::{namespace, simulated, tiny};
use vecmem::{Batch, Filter, MeasuredGraph, Metric, Put, Query, Scope, Store, Tuning};

const DIMS: usize = 24;
const VECTORS: usize = 2_000;
const ASKED: f32 = 0.98;
/// What a mean over a few hundred queries may fall short by.
const MARGIN: f64 = 0.015;

/// Queries that are made from vectors like the stored ones.
#[derive(Clone, Copy, Debug)]
enum Asking {
    /// These vectors.
    Like,
    /// Vectors five times as long: of no length that a calibration knows.
    Longer,
    /// Vectors of which every second component has the other sign.
    Mixed,
    /// The negatives.
    Opposite,
}

impl Asking {
    fn of(self, vector: Vec<f32>) -> Vec<f32> {
        let component = |(number, x): (usize, f32)| match self {
            Self::Like => x,
            Self::Longer => 5.0 * x,
            Self::Mixed if number % 2 == 0 => x,
            Self::Mixed | Self::Opposite => -x,
        };
        vector.into_iter().enumerate().map(component).collect()
    }
}

/// A store with a graph, and queries of one kind.
struct Filled {
    store: Store,
    source: Source,
    stored: Vec<Vec<f32>>,
    asking: Asking,
    limit: usize,
}

impl Filled {
    fn new(kind: Kind, metric: Metric, asking: Asking, limit: usize) -> Self {
        Self::with(Tuning::tiny(), kind, metric, asking, limit)
    }

    fn with(tuning: Tuning, kind: Kind, metric: Metric, asking: Asking, limit: usize) -> Self {
        println!("seed 1, {kind:?}, {metric:?}, {asking:?}, {limit} results");
        let (store, _, _) = simulated(tiny(DIMS, metric).tuning(tuning).live_check(true));
        let mut source = Source::new(kind, DIMS, 1);
        let stored = source.vectors(VECTORS);
        let mut batch = Batch::new();
        for (number, vector) in stored.iter().enumerate() {
            let value = format!("{{\"n\": {number}}}");
            batch.put(Put::new(&namespace(["a"]), number.to_string(), value).vector(vector.as_slice()));
        }
        store.batch(batch).unwrap();
        store.compact().unwrap();
        store.run_background();
        Self { store, source, stored, asking, limit }
    }

    /// Asks queries that were not asked before. Returns the mean recall, and the share of queries that were answered
    /// by walks alone.
    fn ask(&mut self, queries: usize) -> (f64, f64) {
        let (mut recall, mut walks) = (0.0, 0.0);
        for _ in 0..queries {
            let vector = self.asking.of(self.source.vector());
            let query = Query::new(&namespace(["a"])).vector(vector).limit(self.limit);
            let exact = self.store.search(&query.clone().exact(true)).unwrap();
            let answer = self.store.search(&query.recall(ASKED).explain(true)).unwrap();
            recall += share(&answer, &exact, self.limit);
            walks += f64::from(u8::from(answer.explain.iter().all(|part| part.scanned == 0)));
        }
        (recall / queries as f64, walks / queries as f64)
    }

    /// The same, with a check after every fourth query.
    fn ask_and_check(&mut self, queries: usize) -> f64 {
        let mut recall = 0.0;
        for _ in 0..queries / 4 {
            recall += self.ask(4).0;
            self.store.run_background();
        }
        recall / (queries / 4) as f64
    }

    /// The distances that a search for this vector computes.
    fn visited(&self, vector: &[f32]) -> u64 {
        let query = Query::new(&namespace(["a"])).vector(vector).limit(self.limit).recall(ASKED).explain(true);
        let answer = self.store.search(&query).unwrap();
        answer.explain.iter().map(|part| part.visited + part.scanned).sum()
    }

    fn measured(&self) -> MeasuredGraph {
        let measured = self.store.stats().unwrap().graphs.measured;
        assert!(measured.len() < 2, "{measured:?}");
        measured.into_iter().next().unwrap_or_default()
    }

    /// Whether queries find too little; then the graph is fitted to them.
    fn is_fitted_if_it_falls_short(&mut self) -> bool {
        let (before, _) = self.ask(100);
        if before >= f64::from(ASKED) - MARGIN - 0.01 {
            return false;
        }
        self.ask_and_check(800);
        let (after, walks) = self.ask(300);
        let fitted = self.measured();
        println!("{before} before, {after} after, {walks} by walks, {fitted:?}");
        assert!(fitted.fits > 0 && after >= f64::from(ASKED) - MARGIN, "{after} {fitted:?}");
        true
    }

    fn falls_short_and_is_fitted(&mut self) {
        assert!(self.is_fitted_if_it_falls_short());
    }
}

#[test]
fn queries_like_no_sample_of_the_calibration() {
    let mut fitted = 0;
    for (kind, metric, asking) in [
        (Kind::Positive, Metric::L2, Asking::Longer),
        (Kind::OffCentre, Metric::L2, Asking::Longer),
        (Kind::HeavyNorms, Metric::L2, Asking::Longer),
        (Kind::NearDuplicates, Metric::Dot, Asking::Mixed),
        (Kind::TwoEncoders, Metric::L2, Asking::Mixed),
        (Kind::LowDimension, Metric::L2, Asking::Mixed),
    ] {
        for limit in [1, 10, 100] {
            fitted += usize::from(Filled::new(kind, metric, asking, limit).is_fitted_if_it_falls_short());
        }
    }
    // Which of them the calibration does not know depends on its samples.
    assert!(fitted >= 3, "{fitted}");
}

#[test]
fn queries_like_the_data_whose_table_is_too_low() {
    for limit in [1, 10] {
        let mut filled = Filled::new(Kind::Gaussian, Metric::L2, Asking::Like, limit);
        filled.store.forge_calibrations(8);
        filled.falls_short_and_is_fitted();
        assert_eq!(filled.ask(100).1, 1.0, "walks find them");
    }
}

#[test]
fn queries_unlike_the_data_whose_table_is_too_low() {
    let mut filled = Filled::new(Kind::Positive, Metric::Dot, Asking::Opposite, 10);
    filled.store.forge_calibrations(10);
    filled.falls_short_and_is_fitted();
}

#[test]
fn a_graph_that_keeps_its_word_is_left_as_it_is() {
    for limit in [1, 10, 100] {
        let mut filled = Filled::new(Kind::Gaussian, Metric::L2, Asking::Like, limit);
        let found = filled.ask_and_check(400);
        let measured = filled.measured();
        let (recall, asked) = (measured.recall.unwrap(), measured.asked.unwrap());
        assert!((recall - found).abs() < 0.005, "{recall} was measured, {found} was found");
        assert!((asked - f64::from(ASKED)).abs() < 1e-6, "{asked}");
        assert_eq!((measured.checked, measured.fits), (400, 0));
    }
}

#[test]
fn deleted_rows_are_no_results_that_a_walk_should_have_found() {
    // No deletes are enough for a merge.
    let tuning = Tuning { dead_percent: 100, ..Tuning::tiny() };
    let mut filled = Filled::with(tuning, Kind::Gaussian, Metric::L2, Asking::Like, 10);
    filled.store.forge_calibrations(8);
    for number in (0..VECTORS).filter(|number| number % 10 < 3) {
        filled.store.delete(&namespace(["a"]), &number.to_string()).unwrap();
    }
    let found = filled.ask_and_check(28);
    let recall = filled.measured().recall.unwrap();
    assert!(found < 0.99 && (recall - found).abs() < 0.001, "{recall} was measured, {found} was found");
}

#[test]
fn no_query_reaches_a_file() {
    let new = || Filled::new(Kind::Gaussian, Metric::L2, Asking::Like, 10);
    let (mut fitted, mut other) = (new(), new());
    fitted.store.forge_calibrations(8);
    fitted.ask_and_check(400);
    assert!(fitted.measured().fits > 0);
    let queries = fitted.source.vectors(20);
    let visited = |filled: &Filled| queries.iter().map(|query| filled.visited(query)).collect::<Vec<_>>();
    for filled in [&fitted, &other] {
        filled.store.build_graph(&Scope::Namespace(namespace(["a"]))).unwrap();
    }
    assert_eq!(visited(&fitted), visited(&other), "the graph is written again, by request");
    fitted.ask_and_check(40);
    for filled in [&mut fitted, &mut other] {
        // Enough that the segment is rewritten.
        for number in 0..VECTORS / 4 {
            filled.store.delete(&namespace(["a"]), &number.to_string()).unwrap();
        }
        filled.store.run_background();
        assert_eq!(filled.measured(), MeasuredGraph::default(), "the queries went with the graph");
        assert_eq!(filled.store.stats().unwrap().graphs.kept_query_bytes, 0);
    }
    assert_eq!(visited(&fitted), visited(&other), "a merge in the background");
}

#[test]
fn a_query_that_is_asked_again_and_again_counts_once() {
    let mut filled = Filled::new(Kind::Gaussian, Metric::L2, Asking::Like, 10);
    filled.store.forge_calibrations(8);
    let query = filled.source.vector();
    let before = filled.visited(&query);
    for _ in 0..400 {
        assert_eq!(filled.visited(&query), before);
        filled.store.run_background();
    }
    let measured = filled.measured();
    assert_eq!((measured.checked, measured.fits, measured.kept_queries), (1, 0, 1));
    // Others between are measured all the same.
    for _ in 0..200 {
        let repeated: u64 = (0..4).map(|_| filled.visited(&query)).sum();
        assert!(repeated > 0);
        filled.ask_and_check(4);
    }
    assert!(filled.measured().fits > 0, "{:?}", filled.measured());
}

#[test]
fn a_fit_at_most_doubles_a_walk_and_is_undone_where_queries_find_more() {
    let mut filled = Filled::new(Kind::Gaussian, Metric::L2, Asking::Like, 1);
    filled.store.forge_calibrations(8);
    let query = filled.source.vector();
    let mut visited = vec![filled.visited(&query)];
    for _ in 0..100 {
        filled.ask_and_check(8);
        visited.push(filled.visited(&query));
    }
    visited.dedup();
    println!("visited {visited:?}, {:?}", filled.measured());
    assert!(filled.measured().fits > 0 && visited.is_sorted());
    assert!(visited.windows(2).all(|pair| pair[1] <= pair[0] * 5 / 2), "{visited:?}");
    // Each stored vector finds itself.
    let stored = filled.stored.clone();
    for (number, vector) in stored.iter().enumerate() {
        filled.visited(vector);
        if number % 4 == 3 {
            filled.store.run_background();
        }
    }
    assert_eq!(filled.visited(&query), visited[0], "{:?}", filled.measured());
    assert_eq!(filled.measured().fits, visited.len() as u64 - 1);
}

#[test]
fn an_explanation_tells_what_was_measured() {
    let mut filled = Filled::new(Kind::Gaussian, Metric::Cosine, Asking::Like, 10);
    let query = Query::new(&namespace(["a"])).vector(filled.stored[0].as_slice()).explain(true);
    let explained = |store: &Store, query: &Query| store.search(query).unwrap().explain[0].measured_recall;
    assert_eq!(explained(&filled.store, &query), None);
    filled.ask_and_check(12);
    let measured = filled.measured().recall;
    assert!(measured.is_some() && explained(&filled.store, &query) == measured, "{measured:?}");
    assert_eq!(explained(&filled.store, &query.exact(true)), None);
}

#[test]
fn exact_answers_the_number_of_results_and_filters_stay_what_they_are() {
    let mut filled = Filled::new(Kind::Gaussian, Metric::L2, Asking::Like, 10);
    let query = Query::new(&namespace(["a"])).vector(filled.stored[7].as_slice()).limit(50);
    let filter = Filter::from_json_str(r#"{"n": {"$lt": 1500}}"#).unwrap();
    let answers = |store: &Store| {
        let exact = store.search(&query.clone().exact(true)).unwrap();
        let filtered = store.search(&query.clone().filter(filter.clone())).unwrap();
        let walked = store.search(&query).unwrap();
        assert!(filtered.iter().all(|hit| filter.matches(hit.item.value.as_bytes())));
        assert_eq!((filtered.hits.len(), walked.hits.len()), (50, 50));
        exact.hits
    };
    let before = answers(&filled.store);
    filled.store.forge_calibrations(8);
    assert_eq!(answers(&filled.store), before);
    filled.ask_and_check(300);
    assert!(filled.measured().fits > 0);
    assert_eq!(answers(&filled.store), before);
}
