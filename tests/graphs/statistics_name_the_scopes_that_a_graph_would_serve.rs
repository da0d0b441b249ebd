//! Statistics name the scopes whose searches a graph would make faster, how near each is to its graph, and none that
//! has one.

use crate::common::clusters::Clusters;
use crate::common::{namespace, simulated, tiny};
use vecmem::{GainingScope, Metric, Query, Scope, Store, Tuning};

const DIMS: usize = 16;

fn gaining(store: &Store) -> Vec<GainingScope> {
    store.stats().unwrap().graphs.gaining
}

#[test]
fn scopes_are_named_with_what_they_have_earned() {
    println!("seed 1");
    let tuning = Tuning { graph_rows: u32::MAX, earn_rows: 8, ..Tuning::tiny() };
    let store = simulated(tiny(DIMS, Metric::Cosine).tuning(tuning)).0;
    let mut clusters = Clusters::new(1, 5, DIMS);
    let spaces = [namespace(["a", "x"]), namespace(["a", "y"]), namespace(["b"])];
    spaces.iter().for_each(|space| clusters.fill(&store, space, 300, 1));
    store.compact().unwrap();
    assert_eq!(gaining(&store), []);

    let below_a = Scope::prefix(["a"]).unwrap();
    for times in 1..=2 {
        store.search(&Query::new(below_a.clone()).vector(clusters.point(0))).unwrap();
        let found = gaining(&store);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].labels.as_slice(), found[0].is_prefix, found[0].rows), (&["a".to_owned()][..], true, 600));
        let each = found[0].earned / f64::from(times);
        assert!(each > 0.0 && (each - found[0].earned / f64::from(times)).abs() < 1e-9, "{found:?}");
    }
    store.search(&Query::new(&spaces[2]).vector(clusters.point(0))).unwrap();
    let found = gaining(&store);
    assert_eq!(found.iter().map(|scope| scope.labels.join("/")).collect::<Vec<_>>(), ["a", "b"]);
    assert!(!found[1].is_prefix && found[0].earned > found[1].earned, "{found:?}");

    store.build_graph(&below_a).unwrap();
    store.search(&Query::new(below_a).vector(clusters.point(0))).unwrap();
    let names: Vec<String> = gaining(&store).iter().map(|scope| scope.labels.join("/")).collect();
    assert_eq!(names, ["b"], "a scope that has its graph gains nothing more");
}
