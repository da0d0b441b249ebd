//! An item with a time to live is gone from every read when it is over, refreshed by reads that ask for it, and removed
//! by the sweep alone, which stops when the clock has jumped.

use std::time::Duration;

use crate::common::{keys, namespace, numbered, reopened, simulated, tiny};
use vecmem::{ErrorKind, IterateQuery, Metric, Query, ReadOptions, Scope, Store};

const HOUR: Duration = Duration::from_secs(3_600);

fn refreshing() -> ReadOptions {
    ReadOptions { refresh_ttl: true, ..ReadOptions::default() }
}

/// The keys that each kind of read shows, which must agree.
fn seen(store: &Store) -> Vec<String> {
    let home = namespace(["a"]);
    let scanned = store.iterate(&IterateQuery::new(&home).limit(1000), None).unwrap().items;
    let scanned: Vec<String> = scanned.into_iter().map(|item| item.key).collect();
    let sorted = |query: Query| {
        let mut found: Vec<String> = store.search(&query).unwrap().into_iter().map(|hit| hit.item.key).collect();
        found.sort();
        found
    };
    assert_eq!(sorted(Query::new(&home).limit(1000)), scanned);
    assert_eq!(sorted(Query::new(&home).limit(1000).vector([1.0])), scanned);
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), scanned.len() as u64);
    scanned
}

#[test]
fn an_expired_item_is_gone_at_once_from_parts_of_every_kind() {
    let (store, storage, clock) = simulated(tiny(1, Metric::Dot));
    let home = namespace(["a"]);
    let put = |key: &str, hours: u32| {
        store.put(numbered(&home, key, 1).vector([1.0]).ttl(hours * HOUR)).unwrap();
    };
    ["1 sealed", "2 sealed", "3 sealed"].iter().zip(1..).for_each(|(key, hours)| put(key, hours));
    store.compact().unwrap();
    ["1 active", "2 active", "3 active"].iter().zip(1..).for_each(|(key, hours)| put(key, hours));
    let item = store.get(&home, "2 sealed").unwrap().unwrap();
    let hours = 2 * HOUR.as_micros() as i64;
    assert_eq!((item.ttl, item.expires_at), (Some(hours), Some(crate::common::START + hours)));
    assert_eq!(seen(&store).len(), 6);
    clock.advance(HOUR - Duration::from_micros(1));
    assert_eq!(seen(&store).len(), 6);
    clock.advance(Duration::from_micros(1));
    assert_eq!(seen(&store), ["2 active", "2 sealed", "3 active", "3 sealed"]);
    assert_eq!(store.get(&home, "1 sealed").unwrap(), None);
    assert!(!store.delete(&home, "1 active").unwrap(), "there was nothing left to delete");
    let expired_too = ReadOptions { include_expired: true, ..ReadOptions::default() };
    assert!(store.get_with(&home, "1 sealed", &expired_too).unwrap().is_some(), "the sweep has not been");
    clock.advance(HOUR);
    store.close().unwrap();
    let store = reopened(&storage, &clock, tiny(1, Metric::Dot));
    assert_eq!(seen(&store), ["3 active", "3 sealed"]);
    assert_eq!(store.sweep().unwrap(), 3, "one was deleted before");
    assert_eq!(store.count(&Scope::Store, &expired_too).unwrap(), 2);
    assert_eq!((store.sweep().unwrap(), store.stats().unwrap().internals.swept), (0, 3));
}

#[test]
fn a_read_that_refreshes_keeps_an_item_and_changes_nothing_else() {
    let (store, storage, clock) = simulated(tiny(1, Metric::Dot));
    let home = namespace(["a"]);
    for key in ["sealed", "active", "left alone"] {
        store.put(numbered(&home, key, 1).vector([1.0]).ttl(10 * HOUR)).unwrap();
        if key == "sealed" {
            store.compact().unwrap();
        }
    }
    let before = store.get(&home, "sealed").unwrap().unwrap();
    clock.advance(6 * HOUR);
    assert!(store.get_with(&home, "sealed", &refreshing()).unwrap().is_some());
    let answer = store.search(&Query::new(&home).vector([1.0]).limit(2).options(refreshing())).unwrap();
    assert_eq!(keys(&answer), ["left alone", "active"]);
    store.put(numbered(&home, "left alone", 2).ttl(3 * HOUR)).unwrap();
    store.sync().unwrap();
    clock.advance(6 * HOUR);
    assert_eq!(seen(&store), ["active", "sealed"], "a touch of a replaced version revives nothing");
    let after = store.get(&home, "sealed").unwrap().unwrap();
    assert_eq!((after.version, after.updated_at), (before.version, before.updated_at));
    assert_eq!(after.expires_at, before.expires_at.map(|at| at + 6 * HOUR.as_micros() as i64));

    assert_eq!(store.compact().unwrap().swept, 1, "the one that nobody refreshed");
    store.close().unwrap();
    let store = reopened(&storage, &clock, tiny(1, Metric::Dot));
    assert_eq!(store.get(&home, "sealed").unwrap().unwrap(), after, "touches survive merges and reopening");
    clock.advance(4 * HOUR);
    assert!(store.get_with(&home, "sealed", &refreshing()).unwrap().is_none());
    store.sync().unwrap();
    assert_eq!(seen(&store), Vec::<String>::new(), "too late: a touch never revives");
    assert_eq!(store.sweep().unwrap(), 2);
}

#[test]
fn the_sweep_works_in_batches_and_stops_when_the_clock_has_jumped() {
    let (store, _, clock) = simulated(tiny(1, Metric::Dot));
    let home = namespace(["a"]);
    for number in 0..95 {
        let put = numbered(&home, number.to_string(), number);
        store.put(if number % 5 == 0 { put } else { put.ttl(HOUR) }).unwrap();
    }
    clock.set(crate::common::START + 30 * 24 * HOUR.as_micros() as i64);
    let error = store.sweep().unwrap_err();
    assert!(error.to_string().contains("clock"), "{error}");
    assert_eq!(error.kind(), ErrorKind::ClockSkew);
    assert_eq!(store.stats().unwrap().internals.swept, 0);
    clock.set(crate::common::START);
    assert_eq!(store.sweep().unwrap(), 0, "none has expired");
    clock.advance(2 * HOUR);
    assert_eq!(store.sweep().unwrap(), 76, "ten a batch");
    assert_eq!(seen_all(&store), 19);
}

fn seen_all(store: &Store) -> u64 {
    store.count(&Scope::Store, &ReadOptions { include_expired: true, ..ReadOptions::default() }).unwrap()
}

#[test]
fn reads_drop_refreshes_that_they_cannot_queue() {
    let tuning = vecmem::Tuning { touch_queue: 2, ..vecmem::Tuning::tiny() };
    let (store, _, clock) = simulated(tiny(1, Metric::Dot).tuning(tuning));
    let home = namespace(["a"]);
    for number in 0..5 {
        store.put(numbered(&home, number.to_string(), number).ttl(HOUR)).unwrap();
    }
    clock.advance(HOUR / 2);
    assert_eq!(store.list(&Query::new(&home).options(refreshing())).unwrap().len(), 5, "the read succeeds");
    assert_eq!(store.stats().unwrap().health.touches_dropped, 3);
    store.sync().unwrap();
    clock.advance(HOUR / 2);
    assert_eq!(seen_all(&store), 5);
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 2);
}

#[test]
fn touches_made_while_parts_are_sealed_and_merged_are_kept() {
    const ITEMS: u64 = 30;
    let tuning = vecmem::Tuning { inline_background: false, ..vecmem::Tuning::tiny() };
    let options = tiny(1, Metric::Dot).tuning(tuning).durability(vecmem::Durability::Manual);
    let (store, _, clock) = simulated(options);
    let (mortal, filler) = (namespace(["a"]), namespace(["b"]));
    for number in 0..ITEMS {
        store.put(numbered(&mortal, number.to_string(), number).ttl(HOUR)).unwrap();
    }
    for round in 0..300 {
        clock.advance(HOUR / 60);
        let everything = Query::new(&mortal).limit(usize::MAX);
        std::thread::scope(|scope| {
            scope.spawn(|| drop(store.compact().unwrap()));
            assert_eq!(store.list(&everything.clone().options(refreshing())).unwrap().len() as u64, ITEMS);
            // These carry the touches along, and leave dead rows for the next merge.
            for number in 0..10 {
                store.put(numbered(&filler, (number % 4).to_string(), round)).unwrap();
            }
            store.sync().unwrap();
        });
        let refreshed = store.list(&everything).unwrap();
        let late = refreshed
            .iter()
            .filter(|hit| hit.item.expires_at != Some(crate::common::START + (round as i64 + 61) * 60_000_000));
        assert_eq!(late.count(), 0, "round {round}");
    }
    let stats = store.stats().unwrap();
    assert!(
        stats.internals.flushes > 30 && stats.internals.merges > 30 && stats.health.touches_dropped == 0,
        "{stats:?}"
    );
}
