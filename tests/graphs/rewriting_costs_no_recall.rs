//! Half of the items deleted and put again, ten times over: after a compaction, walks find as much as they did in the
//! beginning, at the same effort, although each merge builds on the graphs before it. Seeded; recall depends on no
//! clock.

use crate::common::{Random, keys, namespace, simulated, tiny};
use vecmem::{Batch, Metric, Namespace, Put, Query, Store, Tuning};

const DIMS: usize = 24;
const ITEMS: usize = 3_000;
const QUERIES: usize = 100;
const ROUNDS: u64 = 10;
const EFFORT: usize = 24;

/// A point near one of 40 others.
fn point(random: &mut Random) -> Vec<f32> {
    let mut center = Random::new(1_000 + random.below(40));
    let step = |random: &mut Random| random.below(2_001) as f32 / 1_000.0 - 1.0;
    (0..DIMS).map(|_| step(&mut center) + 0.6 * step(random)).collect()
}

fn put(store: &Store, home: &Namespace, random: &mut Random, numbers: &[usize]) {
    let mut batch = Batch::new();
    for number in numbers {
        batch.put(Put::new(home, format!("{number:05}"), "{}").vector(point(random)));
    }
    store.batch(batch).unwrap();
}

/// The share of the ten best that walks find.
fn recall(store: &Store, home: &Namespace, seed: u64) -> f64 {
    let (mut random, mut found) = (Random::new(seed), 0);
    for _ in 0..QUERIES {
        let query = Query::new(home).vector(point(&mut random)).limit(10);
        let exact = store.search(&query.clone().exact(true)).unwrap();
        let walked = store.search(&query.ef_search(EFFORT).explain(true)).unwrap();
        assert!(walked.explain.iter().all(|part| part.path == "graph"), "{:?}", walked.explain);
        let right = keys(&exact);
        found += keys(&walked).iter().filter(|key| right.contains(*key)).count();
    }
    found as f64 / (10 * QUERIES) as f64
}

#[test]
fn under_cosine() {
    rewriting_half_of_the_items_ten_times_costs_no_recall(Metric::Cosine);
}

#[test]
fn under_dot_products() {
    rewriting_half_of_the_items_ten_times_costs_no_recall(Metric::Dot);
}

fn rewriting_half_of_the_items_ten_times_costs_no_recall(metric: Metric) {
    let tuning = Tuning { memtable_rows: 1_000, memtable_bytes: 8 << 20, graph_rows: 500, ..Tuning::tiny() };
    let (store, _, _) = simulated(tiny(DIMS, metric).tuning(tuning));
    let (home, mut random) = (namespace(["home"]), Random::new(7));
    put(&store, &home, &mut random, &(0..ITEMS).collect::<Vec<_>>());
    store.compact().unwrap();
    let first = recall(&store, &home, 8);
    for round in 0..ROUNDS {
        let half: Vec<usize> =
            (0..ITEMS).filter(|number| Random::new(round << 32 | *number as u64).chance(50)).collect();
        let mut batch = Batch::new();
        half.iter().for_each(|number| {
            batch.delete(&home, &format!("{number:05}"));
        });
        store.batch(batch).unwrap();
        put(&store, &home, &mut random, &half);
        store.compact().unwrap();
    }
    let last = recall(&store, &home, 8);
    println!(
        "{metric:?}: recall {first:.4} before, {last:.4} after; {} graphs built",
        store.stats().unwrap().graphs.builds
    );
    assert!(first > 0.8, "{first}");
    assert!(last >= first - 0.005, "{first} before, {last} after");
}
