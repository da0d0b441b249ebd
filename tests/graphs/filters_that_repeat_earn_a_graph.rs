//! A filter that searches repeat earns a graph of the rows that pass: it finds what was asked, only what passes,
//! exactly k, and takes no more memory than it may. Seeded.

use crate::common::clusters::Clusters;
use crate::common::{keys, namespace, simulated, tiny};
use vecmem::{Filter, GraphStats, Metric, Namespace, Put, Query, SearchResult, Store, Tuning};

const DIMS: usize = 32;
const CLUSTERS: usize = 20;
const ITEMS: usize = 3_000;
/// Queries whose answers are compared.
const QUERIES: usize = 60;

fn filled(seed: u64, tuning: Tuning) -> (Store, Namespace, Clusters) {
    println!("seed {seed}");
    let (store, _, _) = simulated(tiny(DIMS, Metric::Cosine).tuning(tuning));
    let mut clusters = Clusters::new(seed, CLUSTERS, DIMS);
    let home = namespace(["a"]);
    clusters.fill(&store, &home, ITEMS, 1);
    store.compact().unwrap();
    (store, home, clusters)
}

/// Items of some clusters: the filter goes with the vectors.
fn some_clusters() -> Filter {
    Filter::from_json_str(r#"{"cluster": {"$in": [3, 7]}}"#).unwrap()
}

fn query(home: &Namespace, vector: Vec<f32>, filter: &Filter) -> Query {
    Query::new(home).vector(vector).filter(filter.clone()).limit(10).recall(0.95).explain(true)
}

fn graphs(store: &Store) -> GraphStats {
    store.stats().unwrap().graphs
}

/// Searches with the filter until it has a graph. Returns how many searches that took.
fn earn(store: &Store, home: &Namespace, filter: &Filter, clusters: &mut Clusters) -> usize {
    let before = graphs(store);
    for number in 0..20_000 {
        store.search(&query(home, clusters.point(number % CLUSTERS), filter)).unwrap();
        store.run_background();
        let now = graphs(store);
        if (now.of_filters, now.filter_bytes) != (before.of_filters, before.filter_bytes) {
            return number + 1;
        }
    }
    panic!("no graph was earned: {:?}", graphs(store));
}

fn path(answer: &SearchResult) -> Vec<&str> {
    let segments = answer.explain.iter().filter(|part| part.part.starts_with("segment"));
    segments.map(|part| part.path.as_str()).collect()
}

/// The recall of searches with the filter, each of which returns as much as an exact one, and only what passes.
fn recall(store: &Store, home: &Namespace, filter: &Filter, clusters: &mut Clusters) -> f64 {
    let (mut found, mut all) = (0, 0);
    for number in 0..QUERIES {
        let query = query(home, clusters.point(number % CLUSTERS), filter);
        let (answer, exact) = (store.search(&query).unwrap(), store.search(&query.clone().exact(true)).unwrap());
        let (got, right) = (keys(&answer), keys(&exact));
        assert_eq!(got.len(), right.len(), "{:?}", answer.explain);
        for hit in &answer.hits {
            let same = exact.hits.iter().find(|other| other.item.key == hit.item.key);
            assert!(same.is_none_or(|same| same.score == hit.score), "{}", hit.item.key);
            assert!(filter.matches(hit.item.value.as_bytes()), "{}", hit.item.value);
        }
        (found, all) = (found + right.iter().filter(|key| got.contains(key)).count(), all + right.len());
    }
    found as f64 / all as f64
}

/// Flat searches weigh less than elsewhere in these tests, so that one search does not earn a graph.
fn tuning() -> Tuning {
    Tuning { flat_weight: 20, ..Tuning::tiny() }
}

#[test]
fn it_finds_what_was_asked_and_only_what_passes() {
    let mut sum = 0.0;
    let seeds = [1, 2, 3];
    for seed in seeds {
        let (store, home, mut clusters) = filled(seed, tuning());
        let searches = earn(&store, &home, &some_clusters(), &mut clusters);
        println!("earned by {searches} searches: {:?}", graphs(&store));
        assert!(searches > 1);
        let answer = store.search(&query(&home, clusters.point(3), &some_clusters())).unwrap();
        assert_eq!(path(&answer), ["graph of the filter"], "{:?}", answer.explain);
        assert!(answer.explain[0].visited > 0 && answer.explain[0].refused == 0);
        sum += recall(&store, &home, &some_clusters(), &mut clusters);
        // Exact searches, other filters and other scopes do not see it.
        let exact = store.search(&query(&home, clusters.point(3), &some_clusters()).exact(true)).unwrap();
        let other = Filter::from_json_str(r#"{"cluster": {"$in": [3, 7, 8]}}"#).unwrap();
        let other = store.search(&query(&home, clusters.point(3), &other)).unwrap();
        assert!([&exact, &other].iter().all(|answer| !path(answer).contains(&"graph of the filter")));
    }
    let mean = sum / seeds.len() as f64;
    println!("recall {mean}");
    assert!(mean >= 0.94, "0.95 was asked: {mean}");
}

#[test]
fn deletes_and_new_versions_leave_exactly_k() {
    let (store, home, mut clusters) = filled(4, tuning());
    let filter = some_clusters();
    earn(&store, &home, &filter, &mut clusters);
    // Every third item goes, every third one moves to another cluster, and some arrive.
    for number in 0..ITEMS {
        match number % 3 {
            0 => drop(store.delete(&home, &number.to_string()).unwrap()),
            1 => {
                let put = Put::new(&home, number.to_string(), r#"{"cluster": 0}"#).vector(clusters.point(0));
                store.put(put).unwrap();
            }
            _ => {}
        }
        if number % 50 == 0 {
            let put = Put::new(&home, format!("new{number}"), r#"{"cluster": 7}"#).vector(clusters.point(7));
            store.put(put).unwrap();
        }
    }
    assert!(recall(&store, &home, &filter, &mut clusters) >= 0.9);
    store.delete_range(&vecmem::Scope::from(&home)).unwrap();
    let answer = store.search(&query(&home, clusters.point(3), &filter)).unwrap();
    assert!(answer.hits.is_empty(), "{:?}", answer.explain);
}

#[test]
fn it_goes_with_its_segment_and_is_earned_again() {
    let (store, home, mut clusters) = filled(5, tuning());
    earn(&store, &home, &some_clusters(), &mut clusters);
    store.put(Put::new(&home, "one more", r#"{"cluster": 3}"#).vector(clusters.point(3))).unwrap();
    store.compact().unwrap();
    assert_eq!((graphs(&store).of_filters, graphs(&store).filter_bytes), (0, 0));
    earn(&store, &home, &some_clusters(), &mut clusters);
    assert!(recall(&store, &home, &some_clusters(), &mut clusters) >= 0.9);
}

#[test]
fn graphs_of_many_filters_stay_within_their_memory() {
    let (store, home, mut clusters) = filled(6, tuning());
    // A code takes as many bytes as a vector has dimensions, rounded up to a line.
    let room = (ITEMS * 64 / 2) as u64;
    let of = |cluster: usize| Filter::from_json_str(&format!(r#"{{"cluster": {cluster}}}"#)).unwrap();
    let mut most = 0;
    for round in 0..2 {
        for cluster in 0..CLUSTERS {
            for number in 0..200 {
                store.search(&query(&home, clusters.point(number % CLUSTERS), &of(cluster))).unwrap();
            }
            store.run_background();
            let now = graphs(&store);
            assert!(now.filter_bytes <= room, "round {round}: {now:?}");
            most = most.max(now.of_filters);
        }
    }
    println!("at most {most} graphs of filters at a time");
    assert!(most > 0 && most < CLUSTERS as u64, "{most}");
    let (store, home, mut clusters) = filled(6, Tuning { filter_graph_bytes: 0, ..tuning() });
    for number in 0..500 {
        store.search(&query(&home, clusters.point(number % CLUSTERS), &some_clusters())).unwrap();
    }
    store.run_background();
    assert_eq!(graphs(&store).of_filters, 0, "none are allowed");
}

#[test]
fn graphs_of_one_part_make_room_for_those_of_another_that_save_more() {
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    // Two shards, so two segments. One graph over two clusters takes about 66,000 bytes: two of them fit.
    let tuning = Tuning { shard_rows: 2 * ITEMS as u64 - 10, filter_graph_bytes: 140_000, ..tuning() };
    let (store, _, _) = simulated(tiny(DIMS, Metric::Cosine).tuning(tuning));
    println!("seed 8");
    let mut clusters = Clusters::new(8, CLUSTERS, DIMS);
    for home in [&a, &b] {
        clusters.fill(&store, home, ITEMS, 1);
    }
    store.compact().unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.internals.shards == 2 && stats.internals.segments == 2, "{stats:?}");
    let of = |first: usize| Filter::from_json_str(&format!(r#"{{"cluster": {{"$in": [{first}, {}]}}}}"#, first + 1));
    let of = |first: usize| of(first).unwrap();
    let has_graph = |home: &Namespace, first: usize, clusters: &mut Clusters| {
        let answer = store.search(&query(home, clusters.point(0), &of(first))).unwrap();
        path(&answer).contains(&"graph of the filter")
    };
    for first in [0, 2] {
        earn(&store, &a, &of(first), &mut clusters);
    }
    assert!(has_graph(&a, 0, &mut clusters) && has_graph(&a, 2, &mut clusters));
    // What is used more than anything else stays, and what saves less goes for a graph of the other part.
    let searches = 3_000;
    for number in 0..searches {
        store.search(&query(&a, clusters.point(number % CLUSTERS), &of(2))).unwrap();
    }
    let mut asked = 0;
    while !has_graph(&b, 4, &mut clusters) {
        asked += 1;
        assert!(asked < 4 * searches, "no graph of the other part: {:?}", graphs(&store));
        store.run_background();
        assert!(graphs(&store).filter_bytes <= 140_000, "{:?}", graphs(&store));
    }
    println!("{asked} searches");
    assert!(asked > 60, "a graph that is worth as much goes, after {asked} searches");
    assert!(!has_graph(&a, 0, &mut clusters) && has_graph(&a, 2, &mut clusters));
    assert_eq!(graphs(&store).of_filters, 2);
}

/// The recall of searches whose vectors are unlike everything that passes, for each of the recalls asked for.
fn recalls_from_afar(seed: u64, wanted: [f32; 3]) -> [f64; 3] {
    let (items, count, passing) = (6_000, 60, 8);
    let (store, _, _) = simulated(tiny(DIMS, Metric::Cosine).tuning(tuning()));
    let (mut clusters, home) = (Clusters::new(seed, count, DIMS), namespace(["a"]));
    clusters.fill(&store, &home, items, 1);
    store.compact().unwrap();
    let filter = Filter::from_json_str(&format!(r#"{{"cluster": {{"$lt": {passing}}}}}"#)).unwrap();
    earn(&store, &home, &filter, &mut clusters);
    let (mut found, mut all) = ([0; 3], 0);
    for number in 0..200 {
        let query = query(&home, clusters.point(passing + number % (count - passing)), &filter);
        let exact = store.search(&query.clone().exact(true)).unwrap();
        let right = keys(&exact);
        all += right.len();
        for (found, &wanted) in found.iter_mut().zip(&wanted) {
            let answer = store.search(&query.clone().recall(wanted)).unwrap();
            assert_eq!(path(&answer), ["graph of the filter"]);
            let got = keys(&answer);
            *found += right.iter().filter(|key| got.contains(key)).count();
        }
    }
    found.map(|found| found as f64 / all as f64)
}

#[test]
fn it_finds_what_was_asked_from_afar() {
    let (seeds, wanted) = ([11, 12, 13], [0.9, 0.95, 0.99]);
    println!("seeds {seeds:?}");
    let found = seeds.map(|seed| recalls_from_afar(seed, wanted));
    for (at, wanted) in wanted.into_iter().enumerate() {
        let mean = found.iter().map(|found| found[at]).sum::<f64>() / seeds.len() as f64;
        println!("recall {mean} where {wanted} was asked");
        assert!(mean >= f64::from(wanted) - 0.002, "{mean}");
    }
}
