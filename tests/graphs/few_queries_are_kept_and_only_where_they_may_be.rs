//! A graph keeps few of the queries that walk it, and none where the live check is off.

use crate::common::kinds::{Kind, Source};
use crate::common::{namespace, simulated, tiny};
use vecmem::{Batch, Filter, MeasuredGraph, Metric, Options, Put, Query, Scope, Store};

const DIMS: usize = 16;

fn filled(options: Options) -> (Store, Source) {
    let (store, _, _) = simulated(options);
    let mut source = Source::new(Kind::Gaussian, DIMS, 3);
    let mut batch = Batch::new();
    for (number, vector) in source.vectors(600).into_iter().enumerate() {
        let value = format!("{{\"n\": {number}}}");
        batch.put(Put::new(&namespace(["a"]), number.to_string(), value).field_vector("x", vector));
    }
    store.batch(batch).unwrap();
    store.compact().unwrap();
    store.run_background();
    (store, source)
}

#[test]
fn and_none_where_rows_have_several_vectors() {
    let (store, _, _) = simulated(tiny(DIMS, Metric::L2).live_check(true));
    let mut source = Source::new(Kind::Gaussian, DIMS, 3);
    let mut batch = Batch::new();
    for number in 0..600 {
        let mut put = Put::new(&namespace(["a"]), number.to_string(), "{}").field_vector("x", source.vector());
        if number == 599 {
            put = put.field_vector("y", source.vector());
        }
        batch.put(put);
    }
    store.batch(batch).unwrap();
    store.compact().unwrap();
    store.run_background();
    let walked = store.search(&Query::new(&namespace(["a"])).vector(source.vector()).explain(true)).unwrap();
    assert!(walked.explain[0].graph_searches > 0);
    assert_eq!(measured(&store), []);
}

#[test]
fn an_explanation_tells_of_graphs_that_were_walked() {
    let (store, _, _) = simulated(tiny(DIMS, Metric::L2).live_check(true));
    let mut source = Source::new(Kind::Gaussian, DIMS, 3);
    let mut batch = Batch::new();
    for (number, vector) in source.vectors(1_200).into_iter().enumerate() {
        batch.put(Put::new(&namespace(["a", &(number % 2).to_string()]), number.to_string(), "{}").vector(vector));
    }
    store.batch(batch).unwrap();
    store.compact().unwrap();
    let prefix = Scope::prefix(["a"]).unwrap();
    store.build_graph(&prefix).unwrap();
    store.run_background();
    let mut recall = |scope: Scope| {
        let answer = store.search(&Query::new(scope).vector(source.vector()).explain(true)).unwrap();
        store.run_background();
        assert!(answer.explain[0].graph_searches > 0);
        answer.explain[0].measured_recall
    };
    let inner = || Scope::Namespace(namespace(["a", "0"]));
    recall(inner());
    assert!(recall(inner()).is_some());
    assert_eq!(recall(prefix.clone()), None, "its own graph was walked, of which nothing was known");
    assert!(recall(prefix).is_some());
}

fn measured(store: &Store) -> Vec<MeasuredGraph> {
    store.stats().unwrap().graphs.measured
}

#[test]
fn the_option_turns_it_off() {
    for options in [tiny(DIMS, Metric::L2).live_check(false), tiny(DIMS, Metric::L2)] {
        let (store, mut source) = filled(options);
        for _ in 0..50 {
            let walked = store.search(&Query::new(&namespace(["a"])).vector(source.vector()).explain(true)).unwrap();
            assert!(walked.explain[0].graph_searches > 0 && walked.explain[0].measured_recall.is_none());
            store.run_background();
        }
        assert_eq!(measured(&store), []);
    }
}

#[test]
fn however_many_there_are() {
    let (store, mut source) = filled(tiny(DIMS, Metric::L2).live_check(true));
    for round in 0..40 {
        for _ in 0..50 {
            store.search(&Query::new(&namespace(["a"])).vector(source.vector())).unwrap();
        }
        let waiting = measured(&store)[0].kept_queries;
        store.run_background();
        let [graph] = measured(&store).try_into().unwrap();
        // At most 8 wait and 64 of each of three classes stay.
        assert!(waiting <= 8 + 192 && graph.kept_queries <= 192, "round {round}: {waiting} {graph:?}");
        assert!(graph.checked <= 8 * (round + 1) && graph.checked > 4 * round, "round {round}: {graph:?}");
    }
}

#[test]
fn only_those_that_measure_what_a_graph_promises() {
    let (store, mut source) = filled(tiny(DIMS, Metric::L2).live_check(true));
    let query = Query::new(&namespace(["a"])).vector(source.vector());
    let filter = Filter::from_json_str(r#"{"n": {"$lt": 500}}"#).unwrap();
    // The field index knows no keys, so a walk visits all nodes.
    let of_keys = Filter::from_json_str(r#"{"$item": {"key": {"$ne": "7"}}}"#).unwrap();
    for other in [
        query.clone().exact(true),
        query.clone().recall(1.0),
        query.clone().ef_search(50),
        query.clone().filter(filter),
        query.clone().filter(of_keys),
        query.clone().vector_field("x"),
        query.clone().limit(101),
    ] {
        assert!(store.search(&other).unwrap().hits.len() >= 10);
        assert_eq!(measured(&store), []);
    }
    store.search(&query.clone().limit(100).recall(0.9)).unwrap();
    assert_eq!(measured(&store)[0].kept_queries, 1);
    store.run_background();
    let [graph] = measured(&store).try_into().unwrap();
    assert_eq!((graph.labels, graph.is_prefix, graph.rows, graph.checked), (vec!["a".to_owned()], false, 600, 1));
    assert!(graph.asked.is_some_and(|asked| (asked - 0.9).abs() < 1e-6));
}
