//! Stats tell how long calls took, each under its own kind: gets, searches by flat and by graph search, lists, writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{START, namespace, numbered, tiny};
use vecmem::testing::{Clock, SimStorage, open_with};
use vecmem::{
    Address, Batch, CallLatency, Filter, LatencyStats, Metric, Query, ReadOptions, Scope, Snapshot, Store, Tuning,
};

/// A clock that moves on by a step each time it is read: what reads it at its begin and at its end takes one step.
#[derive(Default)]
struct SteppingClock {
    micros: AtomicU64,
    step: AtomicU64,
}

impl Clock for SteppingClock {
    fn now(&self) -> i64 {
        START
    }

    fn monotonic(&self) -> Duration {
        let step = self.step.load(Ordering::SeqCst);
        Duration::from_micros(self.micros.fetch_add(step, Ordering::SeqCst) + step)
    }
}

fn stepping_store(graph_rows: u32) -> (Store, Arc<SteppingClock>) {
    let clock = Arc::new(SteppingClock::default());
    let tuning = Tuning { graph_rows, earn_rows: u32::MAX, ..Tuning::tiny() };
    let options = tiny(4, Metric::Cosine).tuning(tuning);
    (open_with(Arc::new(SimStorage::new(1)), clock.clone(), options).unwrap(), clock)
}

/// What a call adds to each kind, where only one is expected to grow.
fn latency(store: &Store) -> LatencyStats {
    store.stats().unwrap().latency
}

fn counts(latency: &LatencyStats) -> [u64; 8] {
    let LatencyStats { put, delete, batch, get, get_many, search_flat, search_graph, list } = latency;
    [put, delete, batch, get, get_many, search_flat, search_graph, list].map(|kind| kind.count)
}

/// One call took `micros`, and nothing else was counted under this kind.
fn assert_one(kind: CallLatency, micros: u64) {
    let wanted = micros as f64;
    assert_eq!((kind.count, kind.timed, kind.max_us), (1, 1, wanted), "{kind:?}");
    for percentile in [kind.p50_us, kind.p99_us] {
        assert!((percentile / wanted - 1.0).abs() <= 0.032, "{kind:?}, {micros} us wanted");
    }
}

#[test]
fn each_call_counts_under_its_kind_with_its_own_time() {
    let (store, clock) = stepping_store(60);
    let (large, small) = (namespace(["large"]), namespace(["small"]));
    let mut batch = Batch::new();
    for number in 0..100u64 {
        batch.put(numbered(&large, number.to_string(), number).vector([1.0, number as f32, 2.0, 3.0]));
    }
    store.batch(batch).unwrap();
    store.put(numbered(&small, "a", 1).vector([1.0, 2.0, 3.0, 4.0])).unwrap();
    store.compact().unwrap();
    let step = |micros| clock.step.store(micros, Ordering::SeqCst);
    assert_eq!(counts(&latency(&store)), [1, 0, 1, 0, 0, 0, 0, 0], "the clock stood still: {:?}", latency(&store));

    step(100);
    assert!(store.get(&small, "a").unwrap().is_some());
    step(20_000);
    let address = Address { namespace: small.clone(), key: "a".into() };
    store.get_many(&[address.clone(), address], &ReadOptions::default()).unwrap();
    step(3_000);
    let by_vector = |scope: Scope| Query::new(scope).vector([1.0, 1.0, 1.0, 1.0]).limit(1);
    store.search(&by_vector((&small).into())).unwrap();
    step(45_000);
    store.search(&by_vector((&large).into())).unwrap();
    step(7_000);
    store.search(&Query::new(Scope::Store).filter(Filter::eq("n", 1)).limit(1)).unwrap();
    step(0);
    let after = latency(&store);
    assert_eq!(counts(&after), [1, 0, 1, 1, 1, 1, 1, 1]);
    assert_one(after.get, 100);
    assert_one(after.get_many, 20_000);
    assert_one(after.search_flat, 3_000);
    assert_one(after.search_graph, 45_000);
    assert_one(after.list, 7_000);

    step(1_000);
    assert!(store.delete(&small, "a").unwrap());
    store.put(numbered(&small, "b", 1)).unwrap();
    step(0);
    let LatencyStats { put, delete, .. } = latency(&store);
    assert!(put.max_us >= 1_000.0 && delete.max_us >= 1_000.0, "{put:?} {delete:?}");
    assert_eq!((put.count, put.p50_us, delete.count), (2, 0.0, 1));
}

#[test]
fn failed_calls_do_not_count_and_reads_of_snapshots_do() {
    let (store, _) = stepping_store(u32::MAX);
    let home = namespace(["a"]);
    store.put(numbered(&home, "a", 1)).unwrap();
    assert!(store.put(numbered(&home, "", 1).vector([1.0])).is_err());
    assert!(store.search(&Query::new(&home).vector([1.0])).is_err());
    let snapshot: Snapshot = store.snapshot().unwrap();
    assert!(snapshot.get(&home, "a").unwrap().is_some());
    assert!(snapshot.get(&home, "none").unwrap().is_none(), "no item is an answer too");
    snapshot.search_many(&[Query::new(&home), Query::new(&home).vector([1.0; 4])]).unwrap();
    snapshot.list(&Query::new(&home)).unwrap();
    snapshot.search_by_item(&home, "a", Query::new(&home)).unwrap();
    assert_eq!(counts(&latency(&store)), [1, 0, 0, 2, 0, 2, 0, 2]);
}

#[test]
fn gets_are_counted_all_and_timed_in_part() {
    let (store, clock) = stepping_store(u32::MAX);
    let home = namespace(["a"]);
    store.put(numbered(&home, "a", 1)).unwrap();
    clock.step.store(50, Ordering::SeqCst);
    for _ in 0..800 {
        store.get(&home, "a").unwrap();
    }
    let get = latency(&store).get;
    assert!(get.count == 800 && (90..=110).contains(&get.timed) && get.max_us == 50.0, "{get:?}");
}
