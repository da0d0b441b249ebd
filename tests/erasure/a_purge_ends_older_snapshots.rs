//! What a purge ends: snapshots, cursors and listings of a moment before it fail with `SnapshotGone` once a grace is
//! over. Reads under way end as they began, newer holders go on, and nothing keeps the files that the purge has
//! replaced.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use crate::common::{START, SetAtEnd, keys, namespace, numbered, simulated, tiny, tiny_without_vectors};
use vecmem::testing::{Clock, SimClock, SimStorage, open_with};
use vecmem::{
    Address, ErrorKind, HolderKind, IterateQuery, Metric, NamespaceQuery, Options, Query, ReadOptions, Scope, Snapshot,
    Store,
};

/// Longer than any test waits for something that happens.
const LONG: Duration = Duration::from_secs(100);

fn filled(store: &Store, items: u64) {
    for number in 0..items {
        store.put(numbered(&namespace(["a"]), format!("{number:03}"), number)).unwrap();
    }
}

fn assert_gone<T: std::fmt::Debug>(outcome: vecmem::Result<T>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SnapshotGone, "{error}");
    assert!(error.to_string().contains("purge") && error.to_string().contains("new one"), "{error}");
}

/// That no kind of read of the snapshot is answered.
fn assert_nothing_is_read(snapshot: &Snapshot) {
    let (home, options) = (namespace(["a"]), ReadOptions::default());
    assert!(snapshot.is_gone());
    assert_gone(snapshot.get(&home, "001"));
    assert_gone(snapshot.get_many(&[Address { namespace: home.clone(), key: "001".into() }], &options));
    assert_gone(snapshot.search(&Query::new(&home)));
    assert_gone(snapshot.search_many(&[Query::new(&home)]));
    assert_gone(snapshot.search_many(&[]));
    assert_gone(snapshot.search_by_item(&home, "001", Query::new(&home)));
    assert_gone(snapshot.list(&Query::new(&home)));
    assert_gone(snapshot.listing(Query::new(&home)));
    assert_gone(snapshot.iterate(&IterateQuery::new(Scope::Store), None));
    assert_gone(snapshot.list_namespaces(&NamespaceQuery::default()));
    assert_gone(snapshot.count(&Scope::Store, &options));
}

#[test]
fn every_kind_is_ended_and_named_and_newer_ones_go_on() {
    let (store, ..) = simulated(tiny(2, Metric::Dot));
    filled(&store, 60);
    let home = namespace(["a"]);
    let query = IterateQuery::new(Scope::Store).limit(10);
    let old = store.snapshot().unwrap();
    let clone = old.clone();
    let listing = old.listing(Query::new(&home)).unwrap();
    assert_eq!(keys(&listing.page(0, 2).unwrap()), ["059", "058"]);
    let walk = store.iterate(&query, None).unwrap().next.unwrap();
    let walk_of_old = old.iterate(&query, None).unwrap().next.unwrap();
    let last_of_old = store.stats().unwrap().log.visible_lsn;
    store.delete(&home, "001").unwrap();
    let new = store.snapshot().unwrap();
    let epoch = store.purge_epoch();

    let report = store.end_snapshots_before_now(Duration::ZERO).unwrap();
    assert_eq!(store.purge_epoch(), epoch + 1);
    let kinds: Vec<HolderKind> = report.ended.iter().map(|ended| ended.kind).collect();
    assert_eq!(kinds, [HolderKind::Snapshot, HolderKind::Listing, HolderKind::Cursor, HolderKind::Cursor]);
    assert!(report.ended.iter().all(|ended| ended.visible_lsn == last_of_old && ended.age_seconds < 100.0));
    assert_eq!((report.left, report.still_held.running), (0, 0));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!((&json["ended"][2]["kind"], &json["still_held"]["files"]), (&"cursor".into(), &serde_json::json!([])));

    assert_nothing_is_read(&old);
    assert_nothing_is_read(&clone);
    for _ in 0..2 {
        assert_gone(listing.page(0, 2));
        assert_gone(store.iterate(&query, Some(&walk)));
        assert_gone(store.iterate(&query, Some(&walk_of_old)));
        assert_gone(old.iterate(&query, Some(&walk_of_old)));
        assert!(walk.is_gone());
    }
    assert_eq!(new.get(&home, "001").unwrap(), None);
    assert_eq!(new.count(&Scope::Store, &ReadOptions::default()).unwrap(), 59);
    assert_eq!(new.iterate(&query, Some(&walk)).unwrap().items[0].key, "010", "where to go on is known still");
    assert!(!new.is_gone() && store.snapshot().unwrap().get(&home, "002").unwrap().is_some());
    assert_eq!(store.stats().unwrap().memory.open_cursors, 1, "those that are ended keep nothing");
    assert_eq!(store.end_snapshots_before_now(Duration::ZERO).unwrap().ended, [], "it is of the newest moment");
}

#[test]
fn the_grace_is_over_as_soon_as_nobody_is_left() {
    let (store, ..) = simulated(tiny_without_vectors());
    filled(&store, 60);
    let home = namespace(["a"]);
    let (old, listing) = (store.snapshot().unwrap(), store.snapshot().unwrap().listing(Query::new(&home)).unwrap());
    store.delete(&home, "001").unwrap();
    let newer = store.snapshot().unwrap();
    let began = Instant::now();
    let report = std::thread::scope(|scope| {
        let end = scope.spawn(|| store.end_snapshots_before_now(LONG).unwrap());
        while store.purge_epoch() == 0 {
            std::thread::yield_now();
        }
        assert!(old.get(&home, "001").unwrap().is_some(), "it is read until the grace is over");
        store.put(numbered(&home, "written meanwhile", 1)).unwrap();
        assert_eq!(
            keys(&old.listing(Query::new(&home)).unwrap().page(0, 1).unwrap()),
            ["059"],
            "that one has gone, too"
        );
        drop((old, newer.clone()));
        assert_eq!(keys(&listing.page(0, 1).unwrap()), ["059"]);
        assert!(!end.is_finished(), "the listing is waited for");
        drop(listing);
        end.join().unwrap()
    });
    assert!(report.ended.is_empty() && (2..=3).contains(&report.left), "{report:?}");
    assert!(began.elapsed() < LONG / 2, "{report:?}");
    assert!(newer.get(&home, "002").unwrap().is_some());
}

#[test]
fn what_stays_beyond_the_grace_is_ended_and_the_time_is_told() {
    let (store, ..) = simulated(tiny_without_vectors());
    filled(&store, 5);
    let old = store.snapshot().unwrap();
    store.delete(&namespace(["a"]), "001").unwrap();
    let report = store.end_snapshots_before_now(Duration::from_millis(30)).unwrap();
    assert!(report.waited_seconds >= 0.03 && report.ended.len() == 1, "{report:?}");
    assert_nothing_is_read(&old);
}

#[test]
fn a_close_ends_the_wait() {
    let (store, ..) = simulated(tiny_without_vectors());
    filled(&store, 5);
    let old = store.snapshot().unwrap();
    store.delete(&namespace(["a"]), "001").unwrap();
    std::thread::scope(|scope| {
        let end = scope.spawn(|| store.end_snapshots_before_now(Duration::MAX).unwrap());
        while store.purge_epoch() == 0 {
            std::thread::yield_now();
        }
        store.close().unwrap();
        assert_eq!(end.join().unwrap().ended.len(), 1);
    });
    assert_eq!(old.get(&namespace(["a"]), "001").unwrap_err().kind(), ErrorKind::Closed, "which comes first");
    assert_eq!(store.end_snapshots_before_now(LONG).unwrap_err().kind(), ErrorKind::Closed);
}

/// A clock that holds whoever asks it on a thread named `reader`, until it is let go.
#[derive(Clone)]
struct Gate {
    clock: SimClock,
    state: Arc<(Mutex<(usize, bool)>, Condvar)>,
}

impl Gate {
    fn new() -> Self {
        Self { clock: SimClock::new(START), state: Arc::default() }
    }

    fn wait_for_readers(&self, readers: usize) {
        let (state, changed) = &*self.state;
        let state = changed.wait_while(state.lock().unwrap(), |(waiting, _)| *waiting < readers);
        assert_eq!(state.unwrap().0, readers);
    }

    fn open(&self) {
        self.state.0.lock().unwrap().1 = true;
        self.state.1.notify_all();
    }
}

impl Clock for Gate {
    fn now(&self) -> i64 {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        if std::thread::current().name() == Some("reader") {
            let (state, changed) = &*self.state;
            let mut held = state.lock().unwrap();
            held.0 += 1;
            changed.notify_all();
            drop(changed.wait_while(held, |(_, is_open)| !*is_open).unwrap());
        }
        self.clock.monotonic()
    }
}

#[test]
fn reads_under_way_end_as_they_began_and_are_reported() {
    let (storage, gate) = (SimStorage::new(1), Gate::new());
    let store = open_with(Arc::new(storage), Arc::new(gate.clone()), tiny_without_vectors()).unwrap();
    filled(&store, 60);
    store.compact().unwrap();
    let home = namespace(["a"]);
    let old = store.snapshot().unwrap();
    // A read with a deadline asks the clock once it has its moment.
    let options = ReadOptions { deadline: Some(LONG), ..ReadOptions::default() };
    let query = IterateQuery::new(Scope::Store).limit(10).options(options.clone());
    let reader = || std::thread::Builder::new().name("reader".into());
    let cursor = std::thread::scope(|scope| {
        let of_snapshot = reader().spawn_scoped(scope, || old.get_with(&home, "001", &options)).unwrap();
        let of_store = reader().spawn_scoped(scope, || store.get_with(&home, "001", &options)).unwrap();
        let walk = reader().spawn_scoped(scope, || store.iterate(&query, None)).unwrap();
        gate.wait_for_readers(3);
        store.delete(&home, "001").unwrap();
        store.compact().unwrap();

        let report = store.end_snapshots_before_now(Duration::ZERO).unwrap();
        assert_eq!((report.ended.len(), report.still_held.running), (1, 3), "{report:?}");
        let mut kinds: Vec<&str> = report.still_held.files.iter().filter_map(|file| file.rsplit('.').next()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["fields", "truth"], "{report:?}");
        assert_nothing_is_read(&old);

        gate.open();
        for read in [of_snapshot, of_store] {
            assert_eq!(&*read.join().unwrap().unwrap().unwrap().value, r#"{"n":1}"#);
        }
        walk.join().unwrap().unwrap().next.unwrap()
    });
    assert!(cursor.is_gone(), "a read that ends late keeps nothing");
    assert_gone(store.iterate(&query, Some(&cursor)));
    let after = store.end_snapshots_before_now(Duration::ZERO).unwrap();
    assert_eq!((after.ended.len(), after.still_held.running, after.still_held.files.len()), (0, 0, 0), "{after:?}");
    assert_eq!(store.stats().unwrap().memory.open_cursors, 0);
}

/// Maps and descriptors of this process that lead to files of a directory without a name.
fn nameless_files(directory: &std::path::Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mut found: Vec<String> = maps.lines().map(str::to_owned).collect();
    for descriptor in std::fs::read_dir("/proc/self/fd").unwrap() {
        let target = std::fs::read_link(descriptor.unwrap().path());
        found.extend(target.map(|target| target.display().to_string()));
    }
    found.retain(|line| line.contains(directory) && line.ends_with("(deleted)"));
    found
}

#[test]
fn nothing_keeps_a_replaced_file_of_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let store = Store::open(&path, Options::with_vectors(2, Metric::Dot)).unwrap();
    let home = namespace(["a"]);
    let large = format!("{{\"text\":\"{}\"}}", "secret ".repeat(20_000));
    for number in 0..60 {
        let put = vecmem::Put::new(&home, format!("{number:03}"), large.as_str()).vector([1.0, number as f32]);
        store.put(put).unwrap();
    }
    store.compact().unwrap();
    let old = store.snapshot().unwrap();
    let listing = old.listing(Query::new(&home)).unwrap();
    let walk = store.iterate(&IterateQuery::new(Scope::Store).limit(10), None).unwrap().next.unwrap();
    assert_eq!(listing.page(0, 10).unwrap().len(), 10);
    store.delete(&home, "001").unwrap();
    store.compact().unwrap();
    assert!(!nameless_files(&path).is_empty(), "a compaction alone leaves it to the snapshot");
    assert_eq!(old.get(&home, "001").unwrap().unwrap().value.len(), large.len());

    let report = store.end_snapshots_before_now(Duration::ZERO).unwrap();
    assert_eq!((report.ended.len(), report.still_held.files.len()), (3, 0), "{report:?}");
    assert_eq!(nameless_files(&path), Vec::<String>::new());
    assert_gone(old.get(&home, "001"));
    assert_gone(listing.page(10, 10));
    drop(walk);
    assert_eq!(store.get(&home, "002").unwrap().unwrap().value.len(), large.len());
}

#[test]
fn holders_that_are_made_during_an_end_are_answered_or_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::new()).unwrap();
    filled(&store, 60);
    let home = namespace(["a"]);
    let is_done = AtomicBool::new(false);
    let expect = |outcome: vecmem::Result<bool>| match outcome {
        Ok(is_right) => assert!(is_right),
        Err(error) => assert_eq!(error.kind(), ErrorKind::SnapshotGone, "{error}"),
    };
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    let snapshot = store.snapshot().unwrap();
                    let listing = snapshot.listing(Query::new(&home));
                    expect(listing.and_then(|listing| listing.page(0, 10)).map(|page| page.len() == 10));
                    let query = IterateQuery::new(Scope::Store).limit(30);
                    let walk = store.iterate(&query, None).unwrap().next.unwrap();
                    expect(store.iterate(&query, Some(&walk)).map(|page| page.items.len() == 30));
                    expect(snapshot.count(&Scope::Store, &ReadOptions::default()).map(|count| count >= 60));
                }
            });
        }
        let _end = SetAtEnd(&is_done);
        for number in 0..150 {
            store.put(numbered(&home, "last", number)).unwrap();
            if number % 30 == 7 {
                store.compact().unwrap();
            }
            let mine = store.snapshot().unwrap();
            store.put(numbered(&home, "last", number)).unwrap();
            let grace = Duration::from_micros(number % 7 * 100);
            let report = store.end_snapshots_before_now(grace).unwrap();
            assert!(!report.ended.is_empty(), "one of them is never let go of");
            assert_gone(mine.get(&home, "last"));
        }
    });
    let report = store.end_snapshots_before_now(Duration::ZERO).unwrap();
    assert_eq!((report.ended.len(), report.still_held.running), (0, 0), "{report:?}");
    assert_eq!(store.stats().unwrap().memory.open_cursors, 0);
}
