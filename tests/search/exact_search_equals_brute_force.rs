//! A search gives exactly what scoring every matching item from scratch gives: for each metric, scope, filter, page and
//! option, across the active part, sealing parts and segments, after replacements, deletes and range deletes.

use crate::common::model::{Model, ModelItem, address, assert_page, covers};
use crate::common::{Random, namespace, simulated, tiny};
use vecmem::{Filter, Metric, Namespace, Put, Query, Scope, Store, Tuning};

const DIMS: usize = 9;
const OPERATIONS: usize = 700;

struct World {
    store: Store,
    model: Model,
    random: Random,
    spaces: Vec<Namespace>,
}

impl World {
    fn new(seed: u64, metric: Metric, inline: bool) -> Self {
        let tuning = Tuning { inline_background: inline, ..Tuning::tiny() };
        let (store, _, _) = simulated(tiny(DIMS, metric).tuning(tuning).split_keys([namespace(["b"])]));
        let spaces = vec![
            namespace(["a"]),
            namespace(["a", "x"]),
            namespace(["a", "x", "deep"]),
            namespace(["a\0"]),
            namespace(["b"]),
            namespace(["b", "x"]),
        ];
        Self { store, model: Model::default(), random: Random::new(seed), spaces }
    }

    fn space(&mut self) -> Namespace {
        // The first one is bigger than the others together.
        let choice = self.random.below(2 * self.spaces.len() as u64) as usize;
        self.spaces.get(choice).unwrap_or(&self.spaces[0]).clone()
    }

    fn put(&mut self, namespace: &Namespace, key: &str) {
        let colour = ["red", "green", "blue"][self.random.below(3) as usize];
        let value = format!("{{\"colour\":\"{colour}\",\"n\":{}}}", self.random.below(20));
        let count = [1, 1, 1, 0, 3][self.random.below(5) as usize];
        let vectors: Vec<Vec<f32>> = (0..count)
            .map(|_| match self.random.below(12) {
                0 => vec![0.0; DIMS],
                // The same few again and again: ties.
                1..=3 => Random::new(self.random.below(3)).vector(DIMS),
                _ => self.random.vector(DIMS),
            })
            .collect();
        let put = Put::new(namespace, key, value.clone());
        let put = vectors
            .iter()
            .enumerate()
            .fold(put, |put, (field, vector)| put.field_vector(&field.to_string(), vector.clone()));
        let version = self.store.put(put).unwrap();
        let updated_at = self.store.get(namespace, key).unwrap().unwrap().updated_at;
        let item = ModelItem { value, vectors, version: version.to_u64(), updated_at };
        self.model.items.insert(address(namespace, key), item);
    }

    fn step(&mut self) {
        let (namespace, key) = (self.space(), self.random.below(60).to_string());
        match self.random.below(100) {
            0..=79 => self.put(&namespace, &key),
            80..=97 => {
                let was = self.model.items.remove(&address(&namespace, &key)).is_some();
                assert_eq!(self.store.delete(&namespace, &key).unwrap(), was);
            }
            _ => {
                let scope = if self.random.chance(50) { Scope::from(&namespace) } else { Scope::Prefix(namespace) };
                self.store.delete_range(&scope).unwrap();
                self.model.items.retain(|(labels, _), _| !covers(&scope, labels));
            }
        }
    }

    fn compare(&mut self, metric: Metric) {
        let namespace = self.space();
        let scope = match self.random.below(3) {
            0 => Scope::from(&namespace),
            1 => Scope::Prefix(namespace),
            _ => Scope::Store,
        };
        let filter = match self.random.below(4) {
            0 => Some(Filter::eq("colour", "red")),
            1 => Some(Filter::gte("n", 18).and(Filter::ne("colour", "blue"))),
            _ => None,
        };
        let vector = if self.random.chance(5) { vec![0.0; DIMS] } else { self.random.vector(DIMS) };
        // Off the scores that whole numbers give, so that rounding carries none across.
        let level = self.random.below(9) as f32;
        let min_score = self.random.chance(25).then_some(match metric {
            Metric::Cosine => level / 10.0 - 0.0503,
            Metric::Dot => 10.0 * level - 30.5,
            Metric::L2 => -8.3 - level,
        });
        let tail = self.random.chance(30);
        let limit = [1, 3, 10, 1000, usize::MAX][self.random.below(5) as usize];
        let offset = [0, 0, 1, 7, 5000][self.random.below(5) as usize];
        let mut query = Query::new(scope.clone())
            .vector(vector.clone())
            .limit(limit)
            .offset(offset)
            .include_unscored(tail)
            .exact(true);
        if let Some(filter) = &filter {
            query = query.filter(filter.clone());
        }
        if let Some(least) = min_score {
            query = query.min_score(least);
        }
        let expected = self.model.search((&scope, filter.as_ref()), (metric, &vector), min_score, tail);
        let answer = self.store.search(&query).unwrap();
        assert_page(&answer, &expected, offset, limit, &format!("{query:?}"));
        answer.iter().for_each(|hit| self.model.assert_item(&hit.item));

        let page = 1 + self.random.below(9) as usize;
        let pages = (0..).map(|number| {
            let query = query.clone().limit(page).offset(number * page);
            self.store.search(&query).unwrap().hits
        });
        let concatenated: Vec<_> = pages.take_while(|hits| !hits.is_empty()).flatten().collect();
        assert_eq!(
            concatenated,
            self.store.search(&query.limit(usize::MAX).offset(0)).unwrap().hits,
            "pages of {page}"
        );
    }
}

#[test]
fn exact_search_equals_brute_force() {
    for (seed, metric) in [(11, Metric::Cosine), (12, Metric::Dot), (13, Metric::L2)] {
        println!("seed {seed}, {metric:?}");
        let mut world = World::new(seed, metric, true);
        for round in 0..OPERATIONS {
            world.step();
            if round % 5 == 0 {
                world.compare(metric);
            }
        }
        let stats = world.store.stats().unwrap();
        assert!(
            stats.internals.flushes >= 10 && stats.internals.merges >= 3 && stats.internals.segments >= 2,
            "{stats:?}"
        );
        assert_eq!(stats.size.items, world.model.items.len() as u64);
        world.store.compact().unwrap();
        (0..40).for_each(|_| world.compare(metric));
        assert_eq!(world.store.check(false).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn it_does_while_the_background_runs_on_its_own_threads() {
    println!("seed 21");
    let mut world = World::new(21, Metric::Cosine, false);
    for round in 0..2 * OPERATIONS {
        world.step();
        if round % 10 == 0 {
            world.compare(Metric::Cosine);
        }
    }
}

#[test]
fn parts_are_searched_on_several_threads_with_the_same_answer() {
    println!("seed 31");
    // One row is a unit and every scan is shared, so threads and parts meet in every way.
    let mut world = World::new(31, Metric::Dot, true);
    let tuning = Tuning { flat_unit_rows: 1, parallel_flat_rows: 2, memtable_rows: 40, ..Tuning::tiny() };
    (world.store, _, _) = simulated(tiny(DIMS, Metric::Dot).tuning(tuning));
    for round in 0..300 {
        world.step();
        if round % 3 == 0 {
            world.compare(Metric::Dot);
        }
    }
}
