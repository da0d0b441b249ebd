//! Queries that a graph keeps in memory go with a purge of its scope, or of a part of it, and with its segment.

use std::time::Duration;

use crate::common::{Random, namespace, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, SimOperation, SimStorage};
use vecmem::{Batch, MeasuredGraph, Metric, Namespace, PurgeOptions, Put, Query, Scope, Store};

const DIMS: usize = 8;

fn place(number: usize) -> Namespace {
    namespace(["t", &number.to_string()])
}

/// A store with a graph over a prefix, and one over each of two namespaces below it. All of them keep queries, some of
/// which wait.
fn filled() -> Store {
    filled_on().0
}

fn filled_on() -> (Store, SimStorage) {
    println!("seed 9");
    let (store, storage, _) = simulated(tiny(DIMS, Metric::L2).live_check(true));
    let mut random = Random::new(9);
    let mut batch = Batch::new();
    for number in 0..400 {
        batch.put(Put::new(&place(1 + number % 2), number.to_string(), "{}").vector(random.vector(DIMS)));
    }
    store.batch(batch).unwrap();
    store.compact().unwrap();
    store.build_graph(&prefix()).unwrap();
    store.run_background();
    for round in 0..3 {
        for scope in [prefix(), Scope::Namespace(place(1)), Scope::Namespace(place(2))] {
            (0..4).for_each(|_| drop(store.search(&Query::new(scope.clone()).vector(random.vector(DIMS))).unwrap()));
        }
        if round < 2 {
            store.run_background();
        }
    }
    let kept: Vec<u64> = measured(&store).iter().map(|graph| graph.kept_queries).collect();
    assert_eq!(kept, [12, 12, 12], "{:?}", measured(&store));
    (store, storage)
}

fn prefix() -> Scope {
    Scope::prefix(["t"]).unwrap()
}

fn measured(store: &Store) -> Vec<MeasuredGraph> {
    store.stats().unwrap().graphs.measured
}

/// The queries that are in memory, those of graphs that only snapshots still search included.
fn kept(store: &Store) -> u64 {
    store.stats().unwrap().graphs.kept_query_bytes / (4 * DIMS as u64)
}

#[test]
fn with_a_purge_of_it() {
    let store = filled();
    store.purge(&Scope::Namespace(place(1))).unwrap();
    assert_eq!(kept(&store), 0, "{:?}", measured(&store));
    assert_eq!(store.count(&Scope::Namespace(place(2)), &Default::default()).unwrap(), 200);
}

#[test]
fn with_a_purge_of_a_namespace_inside_it_that_has_no_rows() {
    let store = filled();
    let receipt = store.purge(&Scope::Namespace(place(15))).unwrap();
    assert_eq!((receipt.segments_rewritten, kept(&store)), (0, 0), "{:?}", measured(&store));
    // What they found is no query, and later queries are kept.
    assert!(measured(&store).iter().all(|graph| graph.checked == 8));
    store.search(&Query::new(prefix()).vector([1.0; DIMS])).unwrap();
    assert_eq!(kept(&store), 1);
}

#[test]
fn and_stay_where_another_scope_is_purged() {
    let store = filled();
    store.purge(&Scope::Namespace(namespace(["u"]))).unwrap();
    assert_eq!(kept(&store), 36, "{:?}", measured(&store));
}

#[test]
fn with_a_compaction_of_its_segment_that_a_snapshot_still_holds() {
    let store = filled();
    let snapshot = store.snapshot().unwrap();
    assert_eq!(kept(&store), 36);
    store.delete(&place(1), "0").unwrap();
    store.compact().unwrap();
    assert_eq!((measured(&store), kept(&store)), (vec![], 0));
    let walked = snapshot.search(&Query::new(prefix()).vector([1.0; DIMS]).explain(true)).unwrap();
    assert!(walked.explain[0].graph_searches > 0);
    assert_eq!(kept(&store), 0, "nor are later ones kept");
    store.run_background();
    drop(snapshot);
}

#[test]
fn with_the_graph_alone_where_only_the_graph_is_replaced() {
    let store = filled();
    let snapshot = store.snapshot().unwrap();
    store.build_graph(&Scope::Namespace(place(1))).unwrap();
    assert_eq!(kept(&store), 24, "{:?}", measured(&store));
    drop(snapshot);
}

#[test]
fn with_a_purge_while_a_snapshot_still_holds_the_segment() {
    let store = filled();
    let snapshot = store.snapshot().unwrap();
    let options = PurgeOptions::new().grace(Duration::ZERO);
    store.purge_with(&Scope::Namespace(place(1)), &options).unwrap();
    assert_eq!(kept(&store), 0);
    drop(snapshot);
}

#[test]
fn with_a_purge_that_fails() {
    for keeps_living in [false, true] {
        let (store, storage) = filled_on();
        storage.fail_after(0, Fault::sticky(FaultKind::Full, SimOperation::GROWTH));
        let options = PurgeOptions::new().keep_living(keeps_living);
        assert!(store.purge_with(&Scope::Namespace(place(1)), &options).is_err());
        assert_eq!(kept(&store), 0);
    }
}
