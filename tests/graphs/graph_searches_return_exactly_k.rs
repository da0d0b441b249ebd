//! Searches through graphs return exactly as many items as match, up to the limit: under any filter, any deaths, any
//! limit.

use crate::common::clusters::Clusters;
use crate::common::{keys, namespace, simulated, tiny};
use vecmem::{Filter, Metric, Put, Query, Scope, SearchResult, Store};

const DIMS: usize = 24;
const CLUSTERS: usize = 10;
const ITEMS: usize = 2_000;

fn filled(seed: u64, vectors: usize) -> (Store, Clusters) {
    println!("seed {seed}, {vectors} vectors an item");
    let (store, _, _) = simulated(tiny(DIMS, Metric::Cosine));
    let mut clusters = Clusters::new(seed, CLUSTERS, DIMS);
    clusters.fill(&store, &namespace(["a"]), ITEMS, vectors);
    store.compact().unwrap();
    store.build_graph(&(&namespace(["a"])).into()).unwrap();
    (store, clusters)
}

fn query(vector: Vec<f32>) -> Query {
    Query::new(&namespace(["a"])).vector(vector).explain(true)
}

fn walks(answer: &SearchResult) -> u64 {
    answer.explain.iter().map(|part| part.graph_searches).sum()
}

/// That an answer has as many different items as the exact one; the share of it that is the same.
fn compare(store: &Store, query: &Query) -> f64 {
    let exact = store.search(&query.clone().exact(true)).unwrap();
    let answer = store.search(query).unwrap();
    let (mut found, all) = (keys(&answer), keys(&exact));
    let same = all.iter().filter(|key| found.contains(key)).count() as f64 / all.len().max(1) as f64;
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len(), all.len(), "{query:?}\n{:?}", answer.explain);
    if all.is_empty() { 1.0 } else { same }
}

#[test]
fn under_filters_of_every_pass_rate() {
    for vectors in [1, 3] {
        let (store, mut clusters) = filled(1, vectors);
        for passing in [0, 1, 5, 9, 10, 11, 100, 1_000, 1_999, 2_000] {
            let mut same = 0.0;
            for cluster in 0..CLUSTERS {
                let query = query(clusters.point(cluster)).filter(Filter::lt("n", passing));
                same += compare(&store, &query) / CLUSTERS as f64;
                compare(&store, &query.clone().limit(1_000));
                compare(&store, &query.limit(usize::MAX));
            }
            assert!(same >= 0.95, "{passing} pass: {same}");
        }
    }
}

#[test]
fn under_filters_that_pass_only_what_is_far_or_only_what_is_near() {
    let (store, mut clusters) = filled(2, 1);
    let (mut far, mut near) = (0.0, 0.0);
    for cluster in 0..CLUSTERS {
        let query = query(clusters.point(cluster));
        let other = (cluster as i64 + 5) % CLUSTERS as i64;
        far += compare(&store, &query.clone().filter(Filter::eq("cluster", other))) / CLUSTERS as f64;
        near += compare(&store, &query.clone().filter(Filter::eq("cluster", cluster as i64))) / CLUSTERS as f64;
        compare(&store, &query.filter(Filter::ne("cluster", cluster as i64)).limit(500));
    }
    assert!(far >= 0.9 && near >= 0.95, "{far} {near}");
}

#[test]
fn when_everything_near_has_died() {
    let (store, mut clusters) = filled(3, 1);
    let namespace = namespace(["a"]);
    let mut sum = 0.0;
    let steps = [0, 1, 2, 3, 4, 5, 6, 7, 8];
    for cluster in steps {
        for number in (cluster..ITEMS).step_by(CLUSTERS) {
            assert!(store.delete(&namespace, &number.to_string()).unwrap());
        }
        let mut same = 0.0;
        for around in 0..=cluster {
            same += compare(&store, &query(clusters.point(around))) / (cluster + 1) as f64;
            compare(&store, &query(clusters.point(around)).limit(300));
        }
        // So few queries may have bad luck.
        assert!(same >= 0.9, "without clusters 0 to {cluster}: {same}");
        sum += same;
    }
    assert!(sum / steps.len() as f64 >= 0.97, "{}", sum / steps.len() as f64);
}

#[test]
fn with_offset_min_score_tail_and_items_outside_the_graph() {
    let (store, mut clusters) = filled(4, 1);
    let namespace = namespace(["a"]);
    for number in 0..30 {
        store.put(Put::new(&namespace, format!("tail {number}"), "{}")).unwrap();
        let new = Put::new(&namespace, format!("new {number}"), "{}").vector(clusters.point(number % CLUSTERS));
        store.put(new).unwrap();
    }
    for cluster in 0..CLUSTERS {
        let query = query(clusters.point(cluster));
        let all = store.search(&query.clone().limit(60)).unwrap();
        assert!(walks(&all) > 0, "{:?}", all.explain);
        let page = store.search(&query.clone().limit(20).offset(40)).unwrap();
        assert_eq!(keys(&page), &keys(&all)[40..]);
        let least = all[19].score.unwrap();
        let cut = store.search(&query.clone().limit(60).min_score(least)).unwrap();
        assert!(cut.iter().all(|hit| hit.score.unwrap() >= least) && keys(&cut).len() >= 19);
        let tail = query.clone().limit(usize::MAX).include_unscored(true);
        let (tail, exact) = (store.search(&tail).unwrap(), store.search(&tail.exact(true)).unwrap());
        assert_eq!((keys(&tail), tail.len()), (keys(&exact), ITEMS + 60));
        let with_tail = store
            .search(&query.limit(25).include_unscored(true).filter(Filter::lt("n", 7).or(Filter::everything())))
            .unwrap();
        assert_eq!(with_tail.len(), 25);
    }
}

#[test]
fn limits_at_and_beyond_the_size_of_the_graph() {
    let (store, mut clusters) = filled(5, 2);
    for limit in [0, 1, ITEMS - 1, ITEMS, ITEMS + 1, usize::MAX] {
        for scope in [Scope::from(&namespace(["a"])), Scope::Store] {
            let query = Query::new(scope).vector(clusters.point(0)).limit(limit);
            assert_eq!(store.search(&query.clone()).unwrap().len(), limit.min(ITEMS));
            assert_eq!(store.search(&query.ef_search(1)).unwrap().len(), limit.min(ITEMS));
        }
    }
}
