//! Readers never see one half of a batch: its two keys lie in two shards, four threads write and four read, while parts
//! are sealed and merged. Bounded by counts: at least 200,000 reads, 20 seals and 10 merges.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::{Random, namespace, numbered};
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{
    Address, Batch, Durability, Item, IterateQuery, Metric, Namespace, NamespaceQuery, Options, Query, ReadOptions,
    Scope, SearchResult, Store, Tuning,
};

const READS: u64 = 200_000;
const FLUSHES: u64 = 20;
const MERGES: u64 = 10;
const PAIRS: u64 = 24;

struct World {
    store: Store,
    /// In the first shard, in the second one.
    halves: [Namespace; 2],
    reads: AtomicU64,
    finished: AtomicBool,
}

impl World {
    fn new() -> Self {
        let tuning = Tuning { inline_background: false, ..Tuning::tiny() };
        let halves = [namespace(["a", "half"]), namespace(["z", "half"])];
        let options = Options::with_vectors(2, Metric::Dot).tuning(tuning).durability(Durability::Manual);
        let storage = (Arc::new(SimStorage::new(1)), Arc::new(SimClock::new(crate::common::START)));
        let store = open_with(storage.0, storage.1, options.split_keys([namespace(["m"])])).unwrap();
        assert_eq!(store.stats().unwrap().internals.shards, 2);
        Self { store, halves, reads: AtomicU64::new(0), finished: AtomicBool::new(false) }
    }

    /// Each writer has pairs of its own, and numbers that rise.
    fn write(&self, writer: u64) {
        let mut random = Random::new(writer);
        for number in 1.. {
            let key = format!("{:02}", 4 * random.below(PAIRS / 4) + writer);
            let mut batch = Batch::new();
            for half in &self.halves {
                if number % 9 == 0 {
                    batch.delete(half, &key);
                } else {
                    batch.put(numbered(half, &key, number).vector([number as f32, 1.0]));
                }
            }
            self.store.batch(batch).unwrap();
            if self.finished.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// What each half of the store holds, by one of the ways to read it.
    fn read(&self, way: u64, key: &str) -> [BTreeMap<String, Box<str>>; 2] {
        let store = &self.store;
        let halved = |items: Vec<Item>| {
            let half = |namespace: &Namespace| {
                let own = items.iter().filter(|item| item.namespace == *namespace);
                own.map(|item| (item.key.clone(), item.value.clone())).collect()
            };
            self.halves.each_ref().map(half)
        };
        let of = |answer: SearchResult| answer.into_iter().map(|hit| hit.item).collect::<Vec<_>>();
        let everything = Query::new(Scope::Store).limit(usize::MAX);
        match way {
            0 => halved(of(store.list(&everything).unwrap())),
            1 => halved(of(store.search(&everything.vector([1.0, 0.0])).unwrap())),
            2 => halved(store.iterate(&IterateQuery::new(Scope::Store).limit(usize::MAX), None).unwrap().items),
            3 => {
                let queries = self.halves.each_ref().map(|half| Query::new(half).vector([0.0, 1.0]).limit(usize::MAX));
                halved(store.search_many(&queries).unwrap().into_iter().flat_map(of).collect())
            }
            _ => {
                let address = |half: &Namespace| Address { namespace: half.clone(), key: key.to_owned() };
                let items = store.get_many(&self.halves.each_ref().map(address), &ReadOptions::default()).unwrap();
                halved(items.into_iter().flatten().collect())
            }
        }
    }

    fn keep_reading(&self, reader: u64) {
        let mut random = Random::new(100 + reader);
        while !self.finished.load(Ordering::Relaxed) {
            let key = format!("{:02}", random.below(PAIRS));
            // Mostly the cheap way: more reads per seal.
            let way = random.below(64);
            let [first, second] = self.read(way, &key);
            assert!(first == second, "way {way}: {first:?}\nand {second:?}");
            if way == 4 {
                let count = self.store.count(&Scope::Store, &ReadOptions::default()).unwrap();
                assert_eq!(count % 2, 0, "a batch is counted whole");
                assert_ne!(self.store.list_namespaces(&NamespaceQuery::default()).unwrap().len(), 1);
            }
            self.reads.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait_until_enough_has_happened(&self) {
        let before = self.store.stats().unwrap();
        while !self.finished.load(Ordering::Relaxed) {
            let stats = self.store.stats().unwrap();
            let (flushes, merges) =
                (stats.internals.flushes - before.internals.flushes, stats.internals.merges - before.internals.merges);
            if self.reads.load(Ordering::Relaxed) >= READS && flushes >= FLUSHES && merges >= MERGES {
                println!("{} reads, {flushes} seals, {merges} merges", self.reads.load(Ordering::Relaxed));
                return;
            }
            assert_eq!(stats.health.background_error, None);
            for _ in 0..1_000 {
                std::thread::yield_now();
            }
        }
    }
}

/// Ends the other threads when this one ends, be it by a failed assertion.
struct Finish<'a>(&'a AtomicBool);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn batches_are_never_seen_half() {
    let world = World::new();
    std::thread::scope(|scope| {
        for number in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let _finish = Finish(&world.finished);
                world.write(number);
            });
            scope.spawn(move || {
                let _finish = Finish(&world.finished);
                world.keep_reading(number);
            });
        }
        let _finish = Finish(&world.finished);
        world.wait_until_enough_has_happened();
    });
    let [first, second] = world.read(0, "");
    assert!(first == second && !first.is_empty());
    assert_eq!(world.store.check(false).unwrap().problems, Vec::<String>::new());
}
