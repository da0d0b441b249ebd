//! While one sync runs, whoever needs one waits for it, and a failure is theirs too: the system reports a write-back
//! error once per open file, so a second sync that were asked at the same moment would say that all is well.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::common::watched::{Event, LIMIT, Point, Watch, on_both_disks, watched};
use crate::common::{namespace, numbered};
use vecmem::testing::{Storage, SystemClock, open_with};
use vecmem::{Durability, ErrorKind, Options, Put, Result, Store, Tuning};

/// How long somebody is given to do what they must not: too short a time hides a fault, and fails nobody.
const CHANCE: Duration = Duration::from_millis(300);

fn open(storage: &Arc<dyn Storage>, options: Options) -> Store {
    open_with(Arc::clone(storage), Arc::new(SystemClock), options).unwrap()
}

fn os() -> Options {
    Options::new().durability(Durability::Periodic).sync_every(Duration::from_millis(20))
}

/// Calls `act` while a sync at `point` is held up, lets that one fail, and returns what the call got.
fn beside_a_failure(watch: &Watch, act: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    watch.wait_until_held();
    std::thread::scope(|scope| {
        let (told, answer) = mpsc::channel();
        scope.spawn(move || told.send(act()).unwrap());
        let early = answer.recv_timeout(CHANCE);
        watch.release(true);
        if let Ok(outcome) = early { outcome } else { answer.recv_timeout(LIMIT).unwrap() }
    })
}

fn assert_fenced(outcome: Result<()>, what: &str) {
    let error = outcome.expect_err(what);
    assert_eq!(error.kind(), ErrorKind::Poisoned, "{what}: {error}");
    assert!(error.to_string().contains("an error of the test"), "{what}: {error}");
}

type Call = (&'static str, fn(&Store) -> Result<()>);

/// What needs a sync of the log.
fn calls() -> [Call; 4] {
    [
        ("flush", |store| store.sync()),
        ("a manifest", |store| store.set_setting("s", Some("1"))),
        ("compact", |store| store.compact().map(drop)),
        ("a log file that is full", |store| {
            // More than any file that can be waiting: the writer has to go on in another one.
            let value = format!("{{\"text\":\"{}\"}}", "x".repeat(600 << 10));
            (0..64).try_for_each(|key| store.put(Put::new(&namespace(["b"]), key.to_string(), value.clone())).map(drop))
        }),
    ]
}

#[test]
fn whoever_needs_the_log_synced_gets_the_failure_of_the_sync_that_runs() {
    for (what, call) in calls() {
        on_both_disks(|disk, storage| {
            let (storage, watch) = watched(storage);
            let store = open(&storage, os());
            store.put(numbered(&namespace(["a"]), "first", 1)).unwrap();
            store.sync().unwrap();
            let manifests = manifests(&*storage);
            watch.hold_next(Point::Sync);
            store.put(numbered(&namespace(["a"]), "second", 2)).unwrap();
            let outcome = beside_a_failure(&watch, || call(&store));
            assert_fenced(outcome, &format!("{what} on a {disk} disk"));
            assert_fenced(store.sync(), "a later flush");
            assert_fenced(store.put(numbered(&namespace(["a"]), "third", 3)).map(drop), "a later put");
            assert_fenced(store.close(), "the close");
            assert_eq!(self::manifests(&*storage), manifests, "{what}: no manifest reflects what may be lost");
        });
    }
}

#[test]
fn whoever_needs_names_synced_gets_the_failure_of_the_sync_that_runs() {
    on_both_disks(|disk, storage| {
        let (storage, watch) = watched(storage);
        let store = open(&storage, Options::new());
        watch.hold_next(Point::Names);
        std::thread::scope(|scope| {
            let setting = scope.spawn(|| store.set_setting("s", Some("1")));
            // The first put needs a log file, whose name must be durable before anything in it counts.
            let outcome = beside_a_failure(&watch, || store.put(numbered(&namespace(["a"]), "k", 1)).map(drop));
            assert_fenced(outcome, &format!("a put on a {disk} disk"));
            assert_fenced(setting.join().unwrap(), "the setting");
        });
        assert_fenced(store.close(), "the close");
    });
}

#[test]
fn syncs_of_the_log_never_overlap() {
    on_both_disks(|disk, storage| {
        let (storage, watch) = watched(storage);
        watch.slow_down(Duration::from_millis(2));
        let tuning = Tuning { inline_background: false, ..Tuning::tiny() };
        let store = open(&storage, os().sync_every(Duration::from_millis(1)).tuning(tuning));
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..200 {
                        store.put(numbered(&namespace(["a"]), format!("{thread} {number}"), number)).unwrap();
                    }
                });
                scope.spawn(|| (0..60).for_each(|_| store.sync().unwrap()));
            }
        });
        store.close().unwrap();
        let events = watch.events();
        let syncs: Vec<_> = events
            .iter()
            .filter(|event| matches!(event, Event::Begun(Point::Sync) | Event::Done(Point::Sync)))
            .collect();
        assert!(syncs.len() > 20, "{disk}: {}", syncs.len());
        for pair in syncs.chunks(2) {
            assert_eq!(pair, [&Event::Begun(Point::Sync), &Event::Done(Point::Sync)], "{disk}: two at once");
        }
    });
}

fn manifests(storage: &dyn Storage) -> Vec<String> {
    let names = storage.list().unwrap().into_iter().map(|(name, _)| name);
    names.filter(|name| name.starts_with("manifest-")).collect()
}
