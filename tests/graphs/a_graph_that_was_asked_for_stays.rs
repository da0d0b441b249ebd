//! A graph that somebody asked for gives way to none that nobody did, and comes back on the same terms if its file is
//! lost.

use crate::common::{Random, namespace, numbered, simulated, tiny};
use vecmem::{Metric, Namespace, Options, Query, Scope, Store, Tuning};

const DIMS: usize = 8;

fn options(graph_rows: u32) -> Options {
    tiny(DIMS, Metric::Cosine).tuning(Tuning { graph_rows, ..Tuning::tiny() })
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
    let in_segments = answer.explain.into_iter().filter(|part| part.part.starts_with("segment"));
    in_segments.map(|part| part.path).collect()
}

#[test]
fn two_nested_scopes_keep_their_graphs_over_a_large_namespace() {
    let (store, storage, clock) = simulated(options(50));
    let (large, small, other) = (namespace(["a", "x"]), namespace(["a", "y"]), namespace(["b"]));
    fill(&store, &large, 0, 100);
    fill(&store, &small, 0, 20);
    fill(&store, &other, 0, 20);
    store.compact().unwrap();
    assert_eq!(paths(&store, &Scope::from(&large)), ["graph"], "it is large");
    let asked = [Scope::prefix(["a"]).unwrap(), Scope::Store];
    asked.iter().for_each(|scope| assert_eq!(store.build_graph(scope).unwrap().graphs, 1));
    let both = |store: &Store, when: &str| {
        asked.iter().for_each(|scope| assert_eq!(paths(store, scope), ["graph"], "{when}"));
        assert_eq!(store.stats().unwrap().graphs.count, 2, "{when}");
    };
    both(&store, "built");
    store.run_background();
    both(&store, "settled");
    fill(&store, &large, 100, 30);
    store.compact().unwrap();
    both(&store, "merged");
    let builds = store.stats().unwrap().graphs.builds;
    for _ in 0..100 {
        paths(&store, &Scope::from(&large));
        store.run_background();
    }
    both(&store, "scanned");
    assert_eq!(store.stats().unwrap().graphs.builds, builds, "what would go at once is not built");
    store.close().unwrap();
    let store = crate::common::reopened(&storage, &clock, options(50));
    store.run_background();
    both(&store, "reopened");
    assert_eq!(store.stats().unwrap().graphs.builds, 0);
}

#[test]
fn one_whose_file_is_lost_is_built_again_on_the_same_terms() {
    let closed = || {
        let (store, storage, clock) = simulated(options(u32::MAX));
        fill(&store, &namespace(["a", "x"]), 0, 60);
        fill(&store, &namespace(["a", "y"]), 0, 60);
        store.compact().unwrap();
        assert_eq!(store.build_graph(&Scope::prefix(["a"]).unwrap()).unwrap().graphs, 1);
        store.close().unwrap();
        let graph = storage.names().into_iter().find(|name| name.ends_with(".graph")).unwrap();
        (storage, clock, graph)
    };
    for is_missing in [true, false] {
        for is_repaired in [true, false] {
            let (storage, clock, graph) = closed();
            if is_missing {
                storage.remove_file(&graph)
            } else {
                storage.flip_bit(&graph, 8 * 70)
            }
            let store = crate::common::reopened(&storage, &clock, options(u32::MAX));
            let prefix = Scope::prefix(["a"]).unwrap();
            assert_eq!(paths(&store, &prefix), ["flat"]);
            let damage = store.stats().unwrap().health.damage;
            assert!(damage.len() == 1 && damage[0].contains(&graph), "{damage:?}");
            if is_repaired {
                let report = store.check(true).unwrap();
                assert!(report.problems.is_empty() && report.repaired.len() == 1, "{report:?}");
                assert!(report.repaired[0].starts_with("rebuilt: "), "{report:?}");
            } else {
                fill(&store, &namespace(["a", "z"]), 0, 30);
                store.compact().unwrap();
            }
            assert_eq!(paths(&store, &prefix), ["graph"], "missing {is_missing}, repaired {is_repaired}");
            assert_eq!(store.stats().unwrap().health.damage, Vec::<String>::new());
            store.close().unwrap();
            let store = crate::common::reopened(&storage, &clock, options(u32::MAX));
            assert_eq!(paths(&store, &prefix), ["graph"]);
        }
    }
}

#[test]
fn one_that_is_asked_for_over_damaged_codes_is_built_from_new_ones() {
    let (store, storage, clock) = simulated(options(u32::MAX));
    fill(&store, &namespace(["a"]), 0, 60);
    store.compact().unwrap();
    store.close().unwrap();
    let codes = storage.names().into_iter().find(|name| name.ends_with(".codes")).unwrap();
    storage.flip_bit(&codes, 8 * 5_000);
    let store = crate::common::reopened(&storage, &clock, options(u32::MAX));
    let built = store.build_graph(&Scope::Store).unwrap();
    assert_eq!((built.graphs, built.nodes), (1, 60));
    assert_eq!(paths(&store, &Scope::Store), ["graph"]);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
