//! Writes, reads, snapshots, imports, backups, purges and a loss of power between the moment when the segments of a
//! shard are cut and the moment when its split is committed: all is as if there were one shard.

use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::{number, options as uncapped};
use crate::common::{START, namespace, numbered, reopened, simulated};
use vecmem::testing::{Hold, HookPoint, Loss, SimClock};
use vecmem::{ImportOptions, IterateQuery, Namespace, Options, ReadOptions, Reads, Scope, Store, Tuning};

const HOUR: Duration = Duration::from_secs(3_600);
const POINTS: [HookPoint; 3] = [HookPoint::ShardCut, HookPoint::SplitCopied, HookPoint::SplitPublished];

fn options() -> Options {
    let tuning = Tuning {
        shard_rows: 30,
        memtable_rows: 30,
        graph_rows: u32::MAX,
        earn_rows: u32::MAX,
        inline_background: false,
        ..Tuning::tiny()
    };
    uncapped().tuning(tuning)
}

fn homes() -> [Namespace; 4] {
    [namespace(["a"]), namespace(["middle", "1"]), namespace(["middle", "2"]), namespace(["z"])]
}

fn fill(store: &Store) {
    for key in 0..10 {
        for home in &homes() {
            store.put(numbered(home, key.to_string(), key).ttl(10 * HOUR)).unwrap();
        }
    }
}

fn fill_for_ever(store: &Store) {
    for key in 0..10 {
        for home in &homes() {
            store.put(numbered(home, key.to_string(), key)).unwrap();
        }
    }
}

/// A split that is held, and the flush that brought it about.
struct HeldSplit {
    held: Hold,
    flush: JoinHandle<vecmem::Result<()>>,
}

impl HeldSplit {
    /// Fills a store until its split reaches this point. The last step of a split holds up flushes, so that the flush
    /// needs a thread of its own: the store may have flushed and split already when it is asked to.
    fn at(point: HookPoint, store: &Store, fill: impl FnOnce(&Store)) -> Self {
        let held = store.hold_at(point);
        fill(store);
        let flushed = store.clone();
        let flush = thread::spawn(move || flushed.flush());
        held.wait_until_held();
        Self { held, flush }
    }

    fn let_go(self) {
        self.held.let_go();
        self.flush.join().unwrap().unwrap();
    }
}

/// The numbers of all items, in order.
fn numbers(reads: &impl Reads) -> Vec<(Namespace, String, u64)> {
    let page = reads.iterate(&IterateQuery::new(Scope::Store).limit(1_000), None).unwrap();
    let of = |item: vecmem::Item| {
        let number = item.value_as::<serde_json::Value>().unwrap()["n"].as_u64().unwrap();
        (item.namespace, item.key, number)
    };
    page.items.into_iter().map(of).collect()
}

/// What another thread does while a thread is held: on both sides of each cut.
fn change(store: &Store, clock: &SimClock) {
    for home in &homes() {
        assert!(store.delete(home, "3").unwrap());
        store.put(numbered(home, "5", 100).ttl(10 * HOUR)).unwrap();
        store.put(numbered(home, "new", 200)).unwrap();
        let refreshing = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
        assert!(store.get_with(home, "4", &refreshing).unwrap().is_some());
        store.put(numbered(home, "6", 300).ttl(10 * HOUR)).unwrap();
    }
    store.delete_range(&Scope::prefix(["middle"]).unwrap()).unwrap();
    // A touch of a row in memory. It waits for a group, and the last write brings one.
    clock.advance(HOUR);
    let refreshing = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
    for home in [namespace(["a"]), namespace(["z"])] {
        assert!(store.get_with(&home, "6", &refreshing).unwrap().is_some());
    }
    store.put(numbered(&namespace(["middle", "2"]), "again", 400)).unwrap();
}

fn assert_changed(store: &Store, context: &str) {
    let expected: Vec<_> = homes()
        .into_iter()
        .flat_map(|home| match home.labels()[0] == "middle" {
            true if home == namespace(["middle", "2"]) => vec![(home, "again".to_owned(), 400)],
            true => vec![],
            false => {
                let numbers =
                    [("0", 0), ("1", 1), ("2", 2), ("4", 4), ("5", 100), ("6", 300), ("7", 7), ("8", 8), ("9", 9)];
                let all = numbers.into_iter().chain([("new", 200)]);
                all.map(|(key, number)| (home.clone(), key.to_owned(), number)).collect()
            }
        })
        .collect();
    assert_eq!(numbers(store), expected, "{context}");
    for (key, hours) in [("4", 15), ("6", 16)] {
        let touched = store.get(&namespace(["a"]), key).unwrap().unwrap();
        assert_eq!(touched.expires_at, Some(START + (hours * HOUR).as_micros() as i64), "{context}: {key} was touched");
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
}

#[test]
fn by_writers_readers_and_those_who_lose_power() {
    for point in POINTS {
        let (store, storage, clock) = simulated(options());
        let held = HeldSplit::at(point, &store, fill);
        let before = store.snapshot().unwrap();
        let known = numbers(&before);
        assert_eq!(known.len(), 40);
        clock.advance(5 * HOUR);
        change(&store, &clock);
        assert_changed(&store, "while it is held");
        let during = store.snapshot().unwrap();
        let seen = numbers(&during);
        assert_changed(&reopened(&storage.crash(Loss::AllUnsynced, 0), &clock, options()), "after a loss of power");
        held.let_go();
        while store.stats().unwrap().internals.shards == 1 {
            thread::yield_now();
        }
        // It commits a manifest.
        store.accept_clock().unwrap();
        let left = storage.crash(Loss::AllUnsynced, 0);
        assert_changed(&reopened(&left, &clock, options()), "after a loss of power and the split");
        store.compact().unwrap();
        assert_changed(&store, "afterwards");
        for home in &homes() {
            store.delete(home, "7").unwrap();
        }
        assert_eq!((numbers(&before), numbers(&during)), (known, seen), "{point:?}: snapshots never change");
        drop((before, during));
        assert_eq!(number(&store, &namespace(["a"]), "7"), None);
        store.close().unwrap();
        let store = reopened(&storage, &clock, options());
        assert_eq!(number(&store, &namespace(["z"]), "7"), None);
        assert_eq!(number(&store, &namespace(["z"]), "8"), Some(8));
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn by_writers_who_change_rows_that_were_just_copied() {
    let (store, storage, clock) = simulated(options());
    let cut = store.hold_at(HookPoint::ShardCut);
    fill(&store);
    store.flush().unwrap();
    cut.wait_until_held();
    for key in [3, 4, 6] {
        for home in &homes() {
            store.put(numbered(home, key.to_string(), key).ttl(10 * HOUR)).unwrap();
        }
    }
    let copied = store.hold_at(HookPoint::SplitCopied);
    cut.let_go();
    copied.wait_until_held();
    clock.advance(5 * HOUR);
    change(&store, &clock);
    assert_changed(&store, "while it is held");
    copied.let_go();
    while store.stats().unwrap().internals.shards == 1 {
        thread::yield_now();
    }
    assert_changed(&store, "afterwards");
    assert_changed(&reopened(&storage.crash(Loss::AllUnsynced, 0), &clock, options()), "after a loss of power");
    store.compact().unwrap();
    assert_changed(&store, "compacted");
}

#[test]
fn by_an_import() {
    for point in POINTS {
        let (store, storage, clock) = simulated(options());
        let held = HeldSplit::at(point, &store, fill);
        let rows = homes().map(|home| (10..30).map(move |key| numbered(&home, key.to_string(), key)));
        let rows: Vec<_> = rows.into_iter().flatten().collect();
        thread::scope(|scope| {
            let import = scope.spawn(|| store.import(rows.into_iter().map(Ok), ImportOptions::default()));
            // At the last point the import waits for the commit.
            if point != HookPoint::SplitPublished {
                import.join().unwrap().unwrap();
                held.let_go();
            } else {
                held.let_go();
                import.join().unwrap().unwrap();
            }
        });
        assert_eq!(numbers(&store).len(), 120, "{point:?}");
        let left = storage.crash(Loss::AllUnsynced, 0);
        store.compact().unwrap();
        assert!(store.stats().unwrap().internals.shards > 1, "{point:?}");
        for store in [store, reopened(&left, &clock, options())] {
            assert_eq!(numbers(&store).len(), 120, "{point:?}");
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
        }
    }
}

#[test]
fn by_an_import_that_has_begun_before() {
    let (store, storage, clock) = simulated(options());
    let rows = homes().map(|home| (10..20).map(move |key| numbered(&home, key.to_string(), key)));
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    thread::scope(|scope| {
        let held = store.hold_at(HookPoint::ImportFollowed);
        let import = scope.spawn(|| store.import(rows.into_iter().map(Ok), ImportOptions::default()));
        held.wait_until_held();
        fill(&store);
        store.compact().unwrap();
        assert_eq!(store.stats().unwrap().internals.shards, 1, "a file of the import lies on both sides");
        held.let_go();
        import.join().unwrap().unwrap();
    });
    let left = storage.crash(Loss::AllUnsynced, 0);
    store.compact().unwrap();
    assert!(store.stats().unwrap().internals.shards > 1);
    for store in [store, reopened(&left, &clock, options())] {
        assert_eq!(numbers(&store).len(), 80);
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn by_backups_and_purges() {
    for point in POINTS {
        let (store, storage, clock) = simulated(options());
        let held = HeldSplit::at(point, &store, fill_for_ever);
        let home = tempfile::tempdir().unwrap();
        let (backup, restored) = (home.path().join("backup"), home.path().join("restored"));
        let known = numbers(&store);
        thread::scope(|scope| {
            let copying = scope.spawn(|| store.backup(&backup));
            if point != HookPoint::SplitPublished {
                copying.join().unwrap().unwrap();
                held.let_go();
            } else {
                held.let_go();
                copying.join().unwrap().unwrap();
            }
        });
        Store::restore(&backup, &restored).unwrap();
        let copy = Store::open(&restored, options()).unwrap();
        assert_eq!(numbers(&copy), known, "{point:?}");
        assert_eq!(copy.check(false).unwrap().problems, Vec::<String>::new());

        let (again, storage_of_again, _) = simulated(options());
        let held = HeldSplit::at(point, &again, fill_for_ever);
        thread::scope(|scope| {
            let purging = scope.spawn(|| again.purge(&Scope::prefix(["middle"]).unwrap()));
            // The purge waits for the split, which holds the lock of merges.
            while numbers(&again).len() > 20 {
                thread::yield_now();
            }
            held.let_go();
            purging.join().unwrap().unwrap();
        });
        let left: Vec<_> = known.iter().filter(|(home, ..)| home.labels()[0] != "middle").cloned().collect();
        assert_eq!(numbers(&again), left, "{point:?}");
        again.close().unwrap();
        for name in storage_of_again.names() {
            let bytes = storage_of_again.read_file(&name).unwrap();
            assert!(!bytes.windows(6).any(|window| window == b"middle"), "{name}");
        }
        assert_eq!(numbers(&reopened(&storage_of_again, &clock, options())), left);
        drop((store, storage));
    }
}
