//! `explain` tells, for each part, how many rows may pass and how long its search was expected to take, beside what was
//! done and how long it took.

use crate::common::{Random, namespace, simulated, tiny};
use vecmem::{Filter, Metric, PartExplain, Put, Query, Store};

const DIMS: usize = 16;
const ROWS: u64 = 300;

fn store() -> Store {
    let store = simulated(tiny(DIMS, Metric::Cosine)).0;
    let (home, mut random) = (namespace(["a"]), Random::new(1));
    for number in 0..ROWS {
        let put = Put::new(&home, number.to_string(), format!(r#"{{"tenth": {}}}"#, number % 10));
        store.put(put.vector(random.vector(DIMS))).unwrap();
    }
    store.compact().unwrap();
    store
}

fn explained(store: &Store, query: Query) -> Vec<PartExplain> {
    store.search(&query.explain(true)).unwrap().explain
}

#[test]
fn for_a_filter_with_an_index_and_without() {
    println!("seed 1");
    let store = store();
    let query = Query::new(&namespace(["a"])).vector(Random::new(2).vector(DIMS)).limit(5);
    let exact = query.clone().exact(true);

    let with_filter = explained(&store, exact.clone().filter(Filter::eq("tenth", 3)));
    let [part] = with_filter.as_slice() else { panic!("{with_filter:?}") };
    assert_eq!((part.rows, part.may_pass, part.scanned), (ROWS, Some(ROWS / 10), ROWS / 10));
    assert!((part.pass_rate.unwrap() - 0.1).abs() < 1e-9 && part.expected_us > 0.0, "{part:?}");

    let without = explained(&store, exact.clone());
    assert_eq!((without[0].may_pass, without[0].pass_rate, without[0].scanned), (None, None, ROWS));
    assert!(without[0].expected_us > part.expected_us, "more rows are expected to take longer: {without:?}");

    let by_graph = explained(&store, query.clone());
    assert!(by_graph[0].graph_searches > 0 && by_graph[0].expected_us > 0.0, "{by_graph:?}");

    // A simulated clock stands still; without an explanation nothing is told.
    assert!(with_filter.iter().chain(&without).all(|part| part.took_us == 0.0));
    assert_eq!(store.search(&query).unwrap().explain, []);
}
