//! A filtered search of a prefix finds each row in memory once, and none of the best is missing, when threads share the
//! rows, whatever the order in which namespaces were written, and whichever indexes searches have made of them.

use crate::common::{namespace, simulated};
use vecmem::{Batch, Filter, Metric, Options, Put, Query, ReadOptions, Scope, Tuning};

const ROWS: usize = 600;

#[test]
fn of_namespaces_that_were_written_in_turns() {
    let tuning = Tuning { flat_unit_rows: 16, parallel_flat_rows: 32, ..Tuning::default() };
    let (store, _, _) = simulated(Options::with_vectors(4, Metric::Dot).tuning(tuning));
    let homes = [namespace(["t", "a"]), namespace(["t", "b"])];
    let mut batch = Batch::new();
    for number in 0..ROWS {
        let value = format!(r#"{{"n": {}}}"#, number % 3);
        // The scores of neighbours are far from each other.
        let score = (number * 389 % ROWS) as f32;
        batch.put(Put::new(&homes[number % 2], number.to_string(), value).vector([score, 1.0, 0.0, 0.0]));
    }
    store.batch(batch).unwrap();
    let mut expected: Vec<usize> = (0..ROWS).filter(|number| number % 3 == 1).collect();
    expected.sort_by_key(|number| std::cmp::Reverse(number * 389 % ROWS));
    let expected: Vec<String> = expected.iter().map(ToString::to_string).collect();
    let scope = Scope::prefix(["t"]).unwrap();
    // Each search makes one index at most.
    for round in 0..30 {
        let query = Query::new(scope.clone()).filter(Filter::eq("n", 1)).vector([1.0, 0.0, 0.0, 0.0]);
        for limit in [7, 50, ROWS] {
            let answer = store.search(&query.clone().limit(limit)).unwrap();
            let found: Vec<&str> = answer.iter().map(|hit| hit.item.key.as_str()).collect();
            assert_eq!(found, expected[..limit.min(expected.len())], "round {round}, limit {limit}");
        }
        let count = store.count_where(&scope, &Filter::eq("n", 1), &ReadOptions::default()).unwrap();
        assert_eq!(count, expected.len() as u64, "round {round}");
    }
}
