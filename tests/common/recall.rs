//! The recall of graph searches, and what it costs. Tests and benches share the measure.
//!
//! Invariant: a result counts as correct if its score is at least that of the last result of the exact search, so equal
//! scores are equally good.

use vecmem::{Namespace, Query, SearchResult, Store};

/// Recalls that are asked for.
pub const ASKED: [f32; 4] = [0.90, 0.95, 0.98, 0.99];
/// Numbers of results.
pub const LIMITS: [usize; 3] = [1, 10, 100];

/// The means over some queries.
#[derive(Clone, Copy, Debug, Default)]
pub struct Got {
    pub recall: f64,
    /// Nodes of graphs that were compared.
    pub visited: f64,
    /// The share of queries of which rows of a graph were compared one by one.
    pub flat: f64,
    /// Microseconds, and those of an exact search of so many results.
    pub took: f64,
    pub exact: f64,
}

/// What the queries get from a namespace: for each of [`LIMITS`], for each of [`ASKED`].
pub fn got(store: &Store, namespace: &Namespace, queries: &[Vec<f32>]) -> [[Got; 4]; 3] {
    let mut sums = [[Got::default(); 4]; 3];
    for vector in queries {
        let query = Query::new(namespace).vector(vector.clone());
        let most = LIMITS[LIMITS.len() - 1];
        let exact = store.search(&query.clone().limit(most).exact(true)).expect("the exact search answers");
        for (row, limit) in sums.iter_mut().zip(LIMITS) {
            let scan = store.search(&query.clone().limit(limit).exact(true).explain(true)).expect("the search answers");
            for (sum, asked) in row.iter_mut().zip(ASKED) {
                let answer = store.search(&query.clone().limit(limit).recall(asked).explain(true));
                let answer = answer.expect("the search answers");
                sum.recall += share(&answer, &exact, limit);
                sum.visited += answer.explain.iter().map(|part| part.visited).sum::<u64>() as f64;
                sum.took += answer.explain.iter().map(|part| part.took_us).sum::<f64>();
                sum.exact += scan.explain.iter().map(|part| part.took_us).sum::<f64>();
                sum.flat += f64::from(u8::from(answer.explain.iter().any(|part| part.scanned > 0)));
            }
        }
    }
    let count = queries.len() as f64;
    sums.map(|row| {
        row.map(|sum| Got {
            recall: sum.recall / count,
            visited: sum.visited / count,
            flat: sum.flat / count,
            took: sum.took / count,
            exact: sum.exact / count,
        })
    })
}

/// The share of `limit` results that are correct. `exact` holds at least as many.
pub fn share(answer: &SearchResult, exact: &SearchResult, limit: usize) -> f64 {
    let scores = |answer: &SearchResult| answer.iter().filter_map(|hit| hit.score).collect::<Vec<f32>>();
    let (found, all) = (scores(answer), scores(exact));
    assert_eq!(found.len(), limit.min(all.len()), "a search returns exactly k");
    let Some(&last) = all.get(..limit).unwrap_or(&all).last() else { return 1.0 };
    found.iter().filter(|&&score| score >= last).count() as f64 / found.len() as f64
}
