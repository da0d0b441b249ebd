//! A search through graphs gives the same answer however many threads help, whoever else searches, and again after a
//! reopen.

use crate::common::clusters::Clusters;
use crate::common::{namespace, reopened, simulated, tiny};
use vecmem::{Filter, Metric, Query, Scope, SearchResult, Store, Tuning};

const DIMS: usize = 16;

#[test]
fn walks_do_not_depend_on_threads() {
    println!("seed 1");
    // Every scan is shared among threads, or none.
    let tuning = |parallel_flat_rows| Tuning { flat_unit_rows: 7, parallel_flat_rows, ..Tuning::tiny() };
    let options = |rows| tiny(DIMS, Metric::Cosine).tuning(tuning(rows));
    let (store, storage, clock) = simulated(options(1).split_keys([namespace(["b"]), namespace(["c"])]));
    let mut clusters = Clusters::new(1, 8, DIMS);
    for space in ["a", "b", "c", "d"] {
        clusters.fill(&store, &namespace([space]), 400, 2);
        store.compact().unwrap();
    }
    store.build_graph(&Scope::Store).unwrap();
    clusters.fill(&store, &namespace(["c"]), 20, 1);
    let queries: Vec<Query> = (0..60)
        .map(|number| {
            let query = Query::new(Scope::Store).vector(clusters.point(number % 8)).limit(1 + number).recall(0.9);
            if number % 3 == 0 { query.filter(Filter::lt("tenth", 1 + number as i64 % 4)) } else { query }
        })
        .collect();
    let ask =
        |store: &Store| -> Vec<SearchResult> { queries.iter().map(|query| store.search(query).unwrap()).collect() };
    let expected = ask(&store);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| ask(&store))).collect();
        threads.into_iter().for_each(|thread| assert_eq!(thread.join().unwrap(), expected));
    });
    assert!(
        store.search(&queries[1].clone().explain(true)).unwrap().explain.iter().any(|part| part.graph_searches > 0)
    );
    store.close().unwrap();
    assert_eq!(ask(&reopened(&storage, &clock, options(u64::MAX))), expected);
}
