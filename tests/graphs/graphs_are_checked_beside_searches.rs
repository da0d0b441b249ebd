//! The background checks graphs while several threads search, and a close does not wait for it.

use std::time::{Duration, Instant};

use crate::common::kinds::{Kind, Source};
use crate::common::namespace;
use vecmem::{Batch, Metric, Options, Put, Query, Store, Tuning};

const DIMS: usize = 16;
/// Long enough for any machine.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn with_threads() {
    let tuning = Tuning { graph_rows: 1_000, flat_weight: 1_000, ..Tuning::default() };
    let store = Store::temporary(Options::with_vectors(DIMS, Metric::L2).tuning(tuning)).unwrap();
    let mut source = Source::new(Kind::Gaussian, DIMS, 5);
    let mut batch = Batch::new();
    for (number, vector) in source.vectors(2_000).into_iter().enumerate() {
        batch.put(Put::new(&namespace(["a"]), number.to_string(), "{}").vector(vector));
    }
    store.batch(batch).unwrap();
    store.compact().unwrap();
    store.forge_calibrations(8);
    let began = Instant::now();
    let vectors = source.vectors(1_000);
    let is_checked = || {
        let measured = store.stats().unwrap().graphs.measured;
        measured.iter().any(|graph| graph.checked > 0)
    };
    std::thread::scope(|scope| {
        for half in vectors.chunks(500) {
            let (store, is_checked) = (&store, &is_checked);
            scope.spawn(move || {
                while !is_checked() {
                    assert!(began.elapsed() < LIMIT, "nothing was checked");
                    for vector in half.iter().take(50) {
                        let query = Query::new(&namespace(["a"])).vector(vector.as_slice());
                        assert_eq!(store.search(&query).unwrap().hits.len(), 10);
                    }
                }
            });
        }
    });
    store.close().unwrap();
}
