//! A search through graphs finds at least the recall that was asked for, and an exact one finds everything.

use crate::common::clusters::Clusters;
use crate::common::model::score;
use crate::common::{keys, namespace, simulated, tiny};
use vecmem::{Metric, Query, Scope, SearchResult, Store};

const DIMS: usize = 32;
const CLUSTERS: usize = 20;
const QUERIES: usize = 60;
/// Of the mean over all seeds: (queries x seeds) answers have a standard error of less than half of this.
const MARGIN: f64 = 0.01;

/// Whether graphs answered.
fn walked(answer: &SearchResult) -> bool {
    answer.explain.iter().any(|part| part.graph_searches > 0)
}

/// The share of the exact answer that another one holds.
fn recall(answer: &SearchResult, exact: &SearchResult) -> f64 {
    let (found, all) = (keys(answer), keys(exact));
    assert_eq!(found.len(), all.len());
    all.iter().filter(|key| found.contains(key)).count() as f64 / all.len() as f64
}

fn filled(seed: u64, metric: Metric, vectors: usize, parts: usize) -> (Store, Clusters) {
    println!("seed {seed}, {metric:?}, {vectors} vectors an item, {parts} parts");
    let (store, _, _) = simulated(tiny(DIMS, metric));
    let mut clusters = Clusters::new(seed, CLUSTERS, DIMS);
    clusters.fill(&store, &namespace(["a"]), 4_000 / vectors, vectors);
    for part in 1..parts {
        clusters.fill(&store, &namespace(["b", &part.to_string()]), 600, vectors);
    }
    store.compact().unwrap();
    store.build_graph(&Scope::Store).unwrap();
    (store, clusters)
}

#[test]
fn recall_is_what_was_asked_for() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let mut sums = [[0.0; 4]; 2];
        let seeds = [1, 2, 3];
        for seed in seeds {
            let (store, mut clusters) = filled(seed, metric, 1, 1);
            for number in 0..QUERIES {
                let vector = clusters.point(number % CLUSTERS);
                for (row, k) in [10, 100].into_iter().enumerate() {
                    let query = Query::new(&namespace(["a"])).vector(vector.clone()).limit(k).explain(true);
                    let exact = store.search(&query.clone().exact(true)).unwrap();
                    assert!(!walked(&exact));
                    for (column, asked) in [0.90, 0.95, 0.98, 0.99].into_iter().enumerate() {
                        let answer = store.search(&query.clone().recall(asked)).unwrap();
                        assert!(walked(&answer), "{:?}", answer.explain);
                        sums[row][column] += recall(&answer, &exact);
                    }
                }
            }
        }
        for row in sums {
            let means = row.map(|sum| sum / (QUERIES * seeds.len()) as f64);
            println!("{metric:?}: {means:?}");
            for (asked, found) in [0.90, 0.95, 0.98, 0.99].into_iter().zip(means) {
                assert!(found >= asked - MARGIN, "{metric:?}: asked {asked}, found {found}");
            }
        }
    }
}

#[test]
fn more_effort_finds_more_and_visits_more() {
    let (store, mut clusters) = filled(4, Metric::Cosine, 1, 1);
    let mut found = [(0.0, 0); 3];
    for number in 0..QUERIES {
        let query = Query::new(&namespace(["a"])).vector(clusters.point(number % CLUSTERS)).explain(true);
        let exact = store.search(&query.clone().exact(true)).unwrap();
        for (sum, effort) in found.iter_mut().zip([10, 40, 400]) {
            let answer = store.search(&query.clone().ef_search(effort)).unwrap();
            sum.0 += recall(&answer, &exact) / QUERIES as f64;
            sum.1 += answer.explain.iter().map(|part| part.visited).sum::<u64>();
        }
    }
    assert!(found[0].0 <= found[1].0 && found[1].0 <= found[2].0 && found[2].0 > 0.995, "{found:?}");
    assert!(found[0].1 < found[1].1 && found[1].1 < found[2].1, "{found:?}");
}

#[test]
fn items_with_many_vectors_and_several_graphs_are_found_too() {
    for (seed, vectors, parts) in [(5, 3, 1), (6, 1, 4), (7, 2, 3)] {
        let (store, mut clusters) = filled(seed, Metric::Cosine, vectors, parts);
        let mut sum = 0.0;
        for number in 0..QUERIES {
            let query = Query::new(Scope::Store).vector(clusters.point(number % CLUSTERS)).explain(true);
            let exact = store.search(&query.clone().exact(true)).unwrap();
            let answer = store.search(&query).unwrap();
            assert!(walked(&answer), "{:?}", answer.explain);
            sum += recall(&answer, &exact);
        }
        assert!(sum / QUERIES as f64 >= 0.97, "seed {seed}: {}", sum / QUERIES as f64);
    }
}

#[test]
fn all_of_the_best_may_lie_in_one_of_many_graphs() {
    let (store, mut clusters) = filled_apart(9, 9);
    let (mut sum, mut again) = (0.0, 0);
    for number in 0..QUERIES {
        let query = Query::new(Scope::Store).vector(clusters.point(number % CLUSTERS)).limit(25).explain(true);
        let exact = store.search(&query.clone().exact(true)).unwrap();
        let answer = store.search(&query).unwrap();
        let walks = answer.explain.iter().map(|part| part.graph_searches).sum::<u64>();
        assert!(walks >= 9, "{:?}", answer.explain);
        again += walks - 9;
        sum += recall(&answer, &exact);
    }
    let mean = sum / QUERIES as f64;
    assert!(mean >= 0.97 && again > 0, "recall {mean}, {again} further walks");
}

/// Namespaces with a graph each; the clusters returned are those of one of them alone.
fn filled_apart(seed: u64, namespaces: u64) -> (Store, Clusters) {
    println!("seed {seed}, {namespaces} namespaces");
    let (store, _, _) = simulated(tiny(DIMS, Metric::L2));
    for number in 1..namespaces {
        let mut others = Clusters::new(seed + number, CLUSTERS, DIMS);
        others.fill(&store, &namespace(["b", &number.to_string()]), 600, 1);
    }
    let mut clusters = Clusters::new(seed, CLUSTERS, DIMS);
    clusters.fill(&store, &namespace(["a"]), 600, 1);
    store.compact().unwrap();
    (store, clusters)
}

#[test]
fn scores_are_exact_whichever_way_an_item_was_found() {
    let (store, mut clusters) = filled(8, Metric::L2, 2, 2);
    for number in 0..QUERIES {
        let vector = clusters.point(number % CLUSTERS);
        let mut query = Query::new(Scope::Store).vector(vector.clone()).limit(20);
        query = query.options(vecmem::ReadOptions { include_vectors: true, ..Default::default() });
        let answer = store.search(&query).unwrap();
        let scores: Vec<f32> = answer.iter().map(|hit| hit.score.unwrap()).collect();
        assert!(scores.is_sorted_by(|a, b| a >= b));
        for hit in answer.iter() {
            let scores = hit.item.vectors.iter().map(|field| score(Metric::L2, &vector, &field.values));
            let best = scores.max_by(f64::total_cmp).unwrap();
            assert!((best - f64::from(hit.score.unwrap())).abs() < 1e-4, "{best} {:?}", hit.score);
        }
    }
}
