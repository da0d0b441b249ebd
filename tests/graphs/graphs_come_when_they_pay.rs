//! Graphs are built for large namespaces by themselves, for other scopes when scans have earned them or somebody asks,
//! and merges keep what was asked for. Seeded.

use crate::common::{Random, namespace, numbered, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, SimOperation};
use vecmem::{ErrorKind, GraphBuild, Metric, Namespace, Options, Query, Scope, Store, Tuning};

const DIMS: usize = 8;

/// Merges and searches as usual, where `graph_rows` vectors make a namespace large.
fn options(graph_rows: u32, earn_rows: u32) -> Options {
    tiny(DIMS, Metric::Cosine).tuning(Tuning { graph_rows, earn_rows, ..Tuning::tiny() })
}

fn fill(store: &Store, home: &Namespace, from: u64, count: u64) {
    let mut random = Random::new(from + 1);
    for number in from..from + count {
        store.put(numbered(home, format!("{number:05}"), number).vector(random.vector(DIMS))).unwrap();
    }
}

/// The ways that a search of the scope goes in segments.
fn paths(store: &Store, scope: &Scope) -> Vec<String> {
    let answer = store.search(&Query::new(scope.clone()).vector([1.0; DIMS]).limit(3).explain(true)).unwrap();
    assert_eq!(answer.hits.len(), 3);
    let in_segments = answer.explain.into_iter().filter(|part| part.part.starts_with("segment"));
    in_segments.map(|part| part.path).collect()
}

#[test]
fn a_large_namespace_has_a_graph_when_its_merge_is_installed() {
    let (store, _, _) = simulated(options(60, u32::MAX));
    let (large, small) = (namespace(["large"]), namespace(["small"]));
    fill(&store, &large, 0, 100);
    fill(&store, &small, 0, 50);
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert_eq!((stats.internals.segments, stats.graphs.count, stats.graphs.nodes), (1, 1, 100));
    assert!(stats.graphs.bytes > 0 && stats.size.derived_bytes > stats.graphs.bytes && stats.health.damage.is_empty());
    assert_eq!(paths(&store, &Scope::from(&large)), ["graph"]);
    assert_eq!(paths(&store, &Scope::from(&small)), ["flat"]);
    assert_eq!(paths(&store, &Scope::Store), ["graph, then flat"]);
}

#[test]
fn what_was_asked_for_outlives_merges_and_reopening() {
    let (store, storage, clock) = simulated(options(u32::MAX, u32::MAX));
    let (a, b) = (namespace(["a", "x"]), namespace(["a", "y"]));
    fill(&store, &a, 0, 60);
    fill(&store, &b, 0, 60);
    store.compact().unwrap();
    let prefix = Scope::prefix(["a"]).unwrap();
    assert_eq!(paths(&store, &prefix), ["flat"]);
    let built = store.build_graph(&prefix).unwrap();
    assert_eq!((built.graphs, built.nodes), (1, 120));
    assert_eq!(paths(&store, &prefix), ["graph"]);
    assert_eq!(paths(&store, &Scope::from(&a)), ["flat"], "a graph is never walked for less than its scope");
    assert_eq!(store.build_graph(&prefix).unwrap(), GraphBuild::default(), "it is there");
    fill(&store, &b, 30, 90);
    store.delete_range(&Scope::from(&a)).unwrap();
    store.compact().unwrap();
    assert_eq!((store.stats().unwrap().graphs.nodes, paths(&store, &prefix)), (120, vec!["graph".to_owned()]));
    store.close().unwrap();
    let store = crate::common::reopened(&storage, &clock, options(u32::MAX, u32::MAX));
    assert_eq!(paths(&store, &prefix), ["graph"]);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn scans_earn_a_graph_and_merges_keep_it_while_it_has_credit() {
    // Flat searches weigh less than elsewhere here, so that one does not earn a graph.
    let tuning = Tuning { graph_rows: u32::MAX, earn_rows: 64, flat_weight: 50, ..Tuning::tiny() };
    let (store, _, _) = simulated(options(u32::MAX, 64).tuning(tuning));
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    fill(&store, &a, 0, 100);
    fill(&store, &b, 0, 40);
    store.compact().unwrap();
    for _ in 0..200 {
        paths(&store, &Scope::from(&b));
        store.search(&Query::new(&a).vector([1.0; DIMS]).exact(true)).unwrap();
    }
    store.run_background();
    assert_eq!(store.stats().unwrap().graphs.builds, 0, "small scopes and exact searches earn nothing");
    let mut scans = 0;
    while paths(&store, &Scope::from(&a)) == ["flat"] {
        store.run_background();
        scans += 1;
        assert!(scans < 10_000, "no graph was earned");
    }
    println!("earned by {scans} scans");
    assert!(scans > 1);
    assert_eq!((store.stats().unwrap().graphs.builds, store.stats().unwrap().graphs.nodes), (1, 100));
    // So small a graph saves no time. It goes with the third merge, and not with the first.
    let merge = |round: u64| {
        fill(&store, &a, 100 + 10 * round, 10);
        store.compact().unwrap();
        store.stats().unwrap().graphs.count
    };
    assert_eq!((0..4).map(merge).collect::<Vec<_>>(), [1, 1, 0, 0]);
}

#[test]
fn a_prefix_and_the_store_can_both_have_what_they_ask_for_but_no_row_lies_in_three_graphs() {
    let (store, _, _) = simulated(options(50, u32::MAX));
    let homes = [namespace(["a", "x"]), namespace(["a", "y"]), namespace(["b", "z"])];
    homes.iter().for_each(|home| fill(&store, home, 0, 60));
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().graphs.count, 3);
    let prefix = Scope::prefix(["a"]).unwrap();
    store.build_graph(&prefix).unwrap();
    assert_eq!(store.stats().unwrap().graphs.count, 4);
    store.build_graph(&Scope::Store).unwrap();
    // The two namespaces of the prefix lie in its graph and the store's; the third one in its own and the store's.
    assert_eq!(store.stats().unwrap().graphs.count, 3);
    assert_eq!((paths(&store, &prefix), paths(&store, &Scope::Store)), (vec!["graph".into()], vec!["graph".into()]));
    assert_eq!(paths(&store, &Scope::from(&homes[2])), ["graph"]);
    store.compact().unwrap();
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_merge_goes_on_where_there_is_no_room_for_graphs_and_they_come_later() {
    let (large, small) = (namespace(["large"]), namespace(["small"]));
    let mut went_on = 0;
    for create in 0.. {
        let (store, storage, clock) = simulated(options(u32::MAX, u32::MAX));
        fill(&store, &large, 0, 60);
        fill(&store, &small, 0, 40);
        store.compact().unwrap();
        store.build_graph(&Scope::Store).unwrap();
        fill(&store, &large, 60, 60);
        store.close().unwrap();
        let store = crate::common::reopened(&storage, &clock, options(100, u32::MAX));
        storage.fail_after(create, Fault::once(FaultKind::Full, &[SimOperation::Create]));
        let outcome = store.compact();
        if !storage.fault_struck() {
            break;
        }
        storage.clear_faults();
        // A flush that fails holds up no merge: the next compaction then merges once more, with what is flushed by
        // then.
        let merges_max = if outcome.is_ok() { 1 } else { 2 };
        match outcome {
            Ok(_) => {
                went_on += 1;
                store.run_background();
                assert_eq!(store.stats().unwrap().graphs.builds, 2, "create {create}: each once");
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "create {create}: {error}");
                store.compact().unwrap();
            }
        }
        let stats = store.stats().unwrap();
        assert_eq!((stats.internals.segments, stats.graphs.count), (1, 2), "create {create}");
        assert!(
            (1..=merges_max).contains(&stats.internals.merges),
            "create {create}: {} merges",
            stats.internals.merges
        );
        for scope in [Scope::Store, Scope::from(&large)] {
            assert_eq!(paths(&store, &scope), ["graph"], "create {create}, {scope:?}");
        }
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
    assert_eq!(went_on, 3, "the merge creates two graphs; a log file that finds no room comes in a smaller size");
}

#[test]
fn a_store_without_vectors_in_the_scope_has_nothing_to_build() {
    let (store, _, _) = simulated(options(50, u32::MAX));
    assert_eq!(store.build_graph(&Scope::Store).unwrap(), GraphBuild::default());
    store.put(numbered(&namespace(["a"]), "k", 1)).unwrap();
    store.compact().unwrap();
    assert_eq!(store.build_graph(&Scope::Store).unwrap().graphs, 0);
}
