//! A query unlike the data of its graphs gets the recall that was asked for, however many graphs there are and whatever
//! the least score is; and graphs that hold none of the results of a query like the data of another cost little.

use crate::common::kinds::{Asking, Kind, Source};
use crate::common::recall::share;
use crate::common::{namespace, simulated, tiny};
use vecmem::{Batch, Metric, Namespace, Put, Query, Scope, SearchResult, Store};

const DIMS: usize = 24;
const QUERIES: usize = 30;
const ASKED: f32 = 0.98;
/// What a mean over so few queries may fall short by.
const MARGIN: f64 = 0.02;

fn place(graph: usize) -> Namespace {
    namespace(["a", &graph.to_string()])
}

fn put_all(store: &Store, graph: usize, vectors: &[Vec<f32>]) {
    let mut batch = Batch::new();
    for (number, vector) in vectors.iter().enumerate() {
        batch.put(Put::new(&place(graph), number.to_string(), "{}").vector(vector.as_slice()));
    }
    store.batch(batch).unwrap();
}

/// A store with some graphs below one prefix, all over vectors of one source.
fn filled(kind: Kind, metric: Metric, graphs: usize) -> (Store, Source, Vec<Vec<f32>>) {
    println!("seed 1, {kind:?}, {metric:?}, {graphs} graphs");
    let (store, _, _) = simulated(tiny(DIMS, metric));
    let mut source = Source::new(kind, DIMS, 1);
    let stored = source.vectors(800 * graphs);
    stored.chunks(800).enumerate().for_each(|(graph, vectors)| put_all(&store, graph, vectors));
    store.compact().unwrap();
    (store, source, stored)
}

fn walks(answer: &SearchResult) -> u64 {
    answer.explain.iter().map(|part| part.graph_searches).sum()
}

#[test]
fn among_several_graphs() {
    for graphs in [2, 8] {
        for (kind, metric) in [(Kind::Positive, Metric::Dot), (Kind::Positive, Metric::Cosine)] {
            let (store, mut source, stored) = filled(kind, metric, graphs);
            for asking in [Asking::Opposite, Asking::Unlike] {
                for limit in [1, 10, 100] {
                    let mut sum = 0.0;
                    for vector in asking.queries(&mut source, &stored, QUERIES) {
                        let query = Query::new(Scope::prefix(["a"]).unwrap()).vector(vector).limit(limit);
                        let exact = store.search(&query.clone().exact(true)).unwrap();
                        let answer = store.search(&query.recall(ASKED).explain(true)).unwrap();
                        assert!(walks(&answer) >= graphs as u64, "{:?}", answer.explain);
                        sum += share(&answer, &exact, limit);
                    }
                    let mean = sum / QUERIES as f64;
                    assert!(mean >= f64::from(ASKED) - MARGIN, "{metric:?}, {asking:?}, {limit} results: {mean}");
                }
            }
        }
    }
}

#[test]
fn with_a_least_score() {
    for graphs in [1, 3] {
        let (store, mut source, stored) = filled(Kind::Positive, Metric::Dot, graphs);
        let (mut found, mut all) = (0, 0);
        for vector in Asking::Opposite.queries(&mut source, &stored, QUERIES) {
            let query = Query::new(Scope::prefix(["a"]).unwrap()).vector(vector).limit(10);
            let exact = store.search(&query.clone().exact(true)).unwrap();
            let least = exact.iter().filter_map(|hit| hit.score).fold(f32::INFINITY, f32::min);
            let answer = store.search(&query.recall(ASKED).min_score(least)).unwrap();
            assert!(answer.iter().all(|hit| hit.score.is_some_and(|score| score >= least)));
            (found, all) = (found + answer.hits.len(), all + exact.hits.len());
        }
        let mean = found as f64 / all as f64;
        assert!(mean >= f64::from(ASKED) - MARGIN, "{graphs} graphs: {mean}");
    }
}

#[test]
fn but_graphs_far_from_a_query_like_the_data_of_another_are_walked_once() {
    let graphs = 8;
    let (store, _, _) = simulated(tiny(DIMS, Metric::L2));
    let mut sources: Vec<Source> =
        (0..graphs).map(|graph| Source::new(Kind::FarClusters, DIMS, 10 + graph as u64)).collect();
    for (graph, source) in sources.iter_mut().enumerate() {
        // The graph that is walked first is the largest, and holds no result.
        let vectors = source.vectors(if graph == 0 { 900 } else { 800 });
        put_all(&store, graph, &vectors);
    }
    store.compact().unwrap();
    let mut further = 0;
    for number in 0..QUERIES {
        let vector = sources[1 + number % (graphs - 1)].vector();
        let query = Query::new(Scope::prefix(["a"]).unwrap()).vector(vector).explain(true);
        let exact = store.search(&query.clone().exact(true)).unwrap();
        let answer = store.search(&query).unwrap();
        assert!(share(&answer, &exact, 10) > 0.85);
        further += walks(&answer) - graphs as u64;
    }
    // At most those of the graph that holds the results, and of a few queries at the rim of their cluster.
    assert!(further <= 2 * QUERIES as u64, "{further} further walks");
}
