//! A graph is walked only for a scope that holds all its rows: nobody's search sees, or is shaped by, what others
//! stored.

use crate::common::clusters::Clusters;
use crate::common::{keys, namespace, simulated, tiny};
use vecmem::{Metric, Query, Scope, SearchResult, Store, Tuning};

const DIMS: usize = 16;

/// Namespaces whose own graphs are never due.
fn store() -> Store {
    let tuning = Tuning { graph_rows: u32::MAX, earn_rows: u32::MAX, ..Tuning::tiny() };
    simulated(tiny(DIMS, Metric::Cosine).tuning(tuning)).0
}

fn walks(answer: &SearchResult) -> u64 {
    answer.explain.iter().map(|part| part.graph_searches).sum()
}

#[test]
fn walks_stay_inside_their_scope() {
    println!("seed 1");
    let store = store();
    let mut clusters = Clusters::new(1, 5, DIMS);
    let spaces = [namespace(["a"]), namespace(["a", "x"]), namespace(["a\0"]), namespace(["b"])];
    spaces.iter().for_each(|space| clusters.fill(&store, space, 300, 1));
    store.compact().unwrap();
    let below_a = Scope::Prefix(spaces[0].clone());
    let scopes: Vec<Scope> = spaces.iter().map(Scope::from).chain([below_a.clone(), Scope::Store]).collect();
    let walked = |clusters: &mut Clusters| -> Vec<bool> {
        let ask = |scope: &Scope| {
            let query = Query::new(scope.clone()).vector(clusters.point(0)).explain(true);
            let (answer, exact) = (store.search(&query).unwrap(), store.search(&query.exact(true)).unwrap());
            assert_eq!((answer.len(), walks(&exact)), (10, 0));
            if walks(&answer) == 0 {
                assert_eq!(keys(&answer), keys(&exact));
            }
            walks(&answer) > 0
        };
        scopes.iter().map(ask).collect()
    };
    assert_eq!(walked(&mut clusters), [false, false, false, false, false, false]);
    store.build_graph(&Scope::Store).unwrap();
    assert_eq!(walked(&mut clusters), [false, false, false, false, false, true]);
    store.build_graph(&below_a).unwrap();
    assert_eq!(walked(&mut clusters), [false, false, false, false, true, true]);
    store.build_graph(&Scope::from(&spaces[3])).unwrap();
    assert_eq!(walked(&mut clusters), [false, false, false, true, true, true]);
}

#[test]
fn a_wider_scope_walks_the_graphs_inside_it_and_scans_the_rest() {
    println!("seed 2");
    let store = store();
    let mut clusters = Clusters::new(2, 5, DIMS);
    let spaces = [namespace(["a"]), namespace(["b"]), namespace(["c"])];
    spaces.iter().for_each(|space| clusters.fill(&store, space, 300, 1));
    store.compact().unwrap();
    store.build_graph(&Scope::from(&spaces[0])).unwrap();
    store.build_graph(&Scope::from(&spaces[2])).unwrap();
    for _ in 0..20 {
        let query = Query::new(Scope::Store).vector(clusters.point(0)).explain(true);
        let answer = store.search(&query.clone().ef_search(100)).unwrap();
        assert_eq!(walks(&answer), 2);
        assert_eq!((answer.explain[0].path.as_str(), answer.explain[0].scanned), ("graph, then flat", 300));
        assert_eq!(keys(&answer), keys(&store.search(&query.exact(true)).unwrap()));
    }
}

#[test]
fn what_others_delete_changes_no_search() {
    println!("seed 3");
    let store = store();
    let mut clusters = Clusters::new(3, 5, DIMS);
    let spaces = [namespace(["a"]), namespace(["b"])];
    spaces.iter().for_each(|space| clusters.fill(&store, space, 300, 1));
    store.compact().unwrap();
    store.build_graph(&Scope::from(&spaces[0])).unwrap();
    let points: Vec<Vec<f32>> = (0..50).map(|number| clusters.point(number % 5)).collect();
    // Answers, and what each search looked at.
    let ask = || -> Vec<SearchResult> {
        let query = |point: &Vec<f32>| Query::new(&spaces[0]).vector(point.clone()).ef_search(10).explain(true);
        points.iter().map(|point| store.search(&query(point)).unwrap()).collect()
    };
    let before = ask();
    assert!(before.iter().all(|answer| walks(answer) > 0));
    // Few enough that no merge takes the segment.
    (0..40).for_each(|number| assert!(store.delete(&spaces[1], &number.to_string()).unwrap()));
    assert_eq!(ask(), before, "the searches differ by what is deleted in another namespace");
    (0..10).for_each(|number| assert!(store.delete(&spaces[0], &number.to_string()).unwrap()));
    assert_ne!(ask(), before);
}
