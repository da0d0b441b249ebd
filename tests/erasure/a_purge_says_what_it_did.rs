//! The receipt of a purge is true: every file that it names was there and is gone, what it ended is ended, what still
//! holds a removed file is named; and a purge of nothing, or the same one again, does no harm.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::common::canaries::{Canary, Needles, files_of, open, options};
use crate::common::{START, SetAtEnd, namespace};
use vecmem::testing::{Clock, SimClock};
use vecmem::{
    ErrorKind, HolderKind, IterateQuery, Namespace, PurgeOptions, PurgeReceipt, Query, ReadOptions, Scope, Store,
};

fn names(path: &Path) -> BTreeSet<String> {
    files_of(path).into_keys().collect()
}

/// Maps and descriptors of this process that lead to files of a directory without a name.
fn nameless_files(directory: &Path) -> Vec<String> {
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

fn filled(path: &Path) -> (Store, Vec<Canary>, Needles) {
    let store = Store::open(path, options()).unwrap();
    let secret: Vec<Canary> = (0..30).map(|number| Canary::new("secret", number)).collect();
    let others = (100..130).map(|number| Canary::new("other", number).put());
    for put in secret.iter().map(Canary::put).chain(others) {
        store.put(put).unwrap();
    }
    store.compact().unwrap();
    let mut needles = Needles::default();
    secret.iter().for_each(|canary| needles.add(canary, true));
    (store, secret, needles)
}

fn secret() -> Scope {
    Scope::Prefix(namespace(["secret"]))
}

fn assert_true(receipt: &PurgeReceipt, before: &BTreeSet<String>, path: &Path) {
    let after = names(path);
    for file in &receipt.files_unlinked {
        assert!(before.contains(file), "{file} was never there: {receipt:?}");
        assert!(!after.contains(file), "{file} is still there: {receipt:?}");
    }
    let gone = before.difference(&after).filter(|name| !name.starts_with("manifest")).cloned().collect::<BTreeSet<_>>();
    let unnamed: Vec<&String> = gone.iter().filter(|name| !receipt.files_unlinked.contains(name)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?} went unnamed: {receipt:?}");
}

#[test]
fn named_files_are_gone_and_a_second_purge_finds_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (store, _, needles) = filled(directory.path());
    let before = names(directory.path());
    let receipt = store.purge(&secret()).unwrap();
    assert_eq!((receipt.scope.as_str(), receipt.items, receipt.segments_rewritten), ("secret/", 30, 1));
    assert_eq!(receipt.lsn, store.stats().unwrap().log.visible_lsn);
    for kind in [".truth", ".codes", ".blob", ".log"] {
        assert!(receipt.files_unlinked.iter().any(|file| file.ends_with(kind)), "{kind}: {receipt:?}");
    }
    assert_true(&receipt, &before, directory.path());
    assert_eq!(needles.in_files(&files_of(directory.path())), Vec::<String>::new());

    let before = names(directory.path());
    let again = store.purge(&secret()).unwrap();
    assert_eq!((again.items, again.segments_rewritten, again.bytes_written), (0, 0, 0), "{again:?}");
    assert_true(&again, &before, directory.path());
    let unknown = store.purge(&Scope::Namespace(namespace(["nobody", "was", "here"]))).unwrap();
    assert_eq!((unknown.items, unknown.segments_rewritten), (0, 0));
    assert_eq!(store.purge(&Scope::Store).unwrap_err().kind(), ErrorKind::InvalidInput);
    // Their labels were logged, too.
    for label in ["secret", "nobody"] {
        let mut label_needles = Needles::default();
        let encoded = Namespace::new([label, "was", "here"]).unwrap().to_string();
        label_needles.add_bytes(label.into(), encoded.as_bytes());
        assert_eq!(label_needles.in_files(&files_of(directory.path())), Vec::<String>::new());
    }
    let logs = files_of(directory.path()).into_iter().filter(|(name, _)| name.starts_with("wal-"));
    for (name, bytes) in logs {
        assert!(!bytes.windows(6).any(|window| window == b"secret" || window == b"nobody"), "{name}");
    }
}

#[test]
fn an_empty_store_can_be_purged() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options()).unwrap();
    let receipt = store.purge(&Scope::Namespace(namespace(["secret label"]))).unwrap();
    assert_eq!((receipt.items, receipt.segments_rewritten), (0, 0));
    let found =
        files_of(directory.path()).into_values().any(|bytes| bytes.windows(6).any(|window| window == b"secret"));
    assert!(!found);
}

#[test]
fn what_lives_stays_where_that_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let (store, secret_items, _) = filled(directory.path());
    let (gone, stays) = secret_items.split_at(7);
    gone.iter().for_each(|canary| assert!(store.delete(&canary.namespace(), &canary.key()).unwrap()));
    let receipt = store.purge_with(&secret(), &PurgeOptions::new().keep_living(true)).unwrap();
    assert_eq!((receipt.items, receipt.segments_rewritten), (0, 1));
    let mut needles = Needles::default();
    gone.iter().for_each(|canary| needles.add(canary, true));
    assert_eq!(needles.in_files(&files_of(directory.path())), Vec::<String>::new());
    assert!(stays.iter().all(|canary| store.get(&canary.namespace(), &canary.key()).unwrap().is_some()));
}

#[test]
fn holders_are_ended_and_nothing_keeps_a_removed_file() {
    for grace in [Duration::ZERO, Duration::from_millis(200)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().canonicalize().unwrap();
        let (store, secret_items, _) = filled(&path);
        let snapshot = store.snapshot().unwrap();
        let listing = snapshot.listing(Query::new(secret())).unwrap();
        assert_eq!(listing.page(0, 5).unwrap().len(), 5);
        let walk = store.iterate(&IterateQuery::new(Scope::Store).limit(10), None).unwrap().next.unwrap();
        let began = Instant::now();
        let receipt = store.purge_with(&secret(), &PurgeOptions::new().grace(grace)).unwrap();
        assert!(began.elapsed() >= grace && receipt.holders.waited_seconds >= grace.as_secs_f64(), "{receipt:?}");
        let kinds: BTreeSet<&str> = receipt
            .holders
            .ended
            .iter()
            .map(|ended| match ended.kind {
                HolderKind::Snapshot => "snapshot",
                HolderKind::Cursor => "cursor",
                HolderKind::Listing => "listing",
                _ => "other",
            })
            .collect();
        assert_eq!(kinds, BTreeSet::from(["cursor", "listing", "snapshot"]), "{receipt:?}");
        assert!(receipt.holders.still_held.files.is_empty(), "{receipt:?}");
        assert_eq!(nameless_files(&path), Vec::<String>::new());
        let first = &secret_items[0];
        assert_eq!(snapshot.get(&first.namespace(), &first.key()).unwrap_err().kind(), ErrorKind::SnapshotGone);
        assert_eq!(listing.page(5, 5).unwrap_err().kind(), ErrorKind::SnapshotGone);
        let query = IterateQuery::new(Scope::Store).limit(10);
        assert_eq!(store.iterate(&query, Some(&walk)).unwrap_err().kind(), ErrorKind::SnapshotGone);
    }
}

/// A clock that holds whoever asks it on a thread named `reader`, until it is let go.
#[derive(Clone)]
struct Gate {
    clock: SimClock,
    is_waiting: Arc<AtomicBool>,
    is_open: Arc<AtomicBool>,
}

impl Clock for Gate {
    fn now(&self) -> i64 {
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        if std::thread::current().name() == Some("reader") {
            self.is_waiting.store(true, Ordering::Release);
            while !self.is_open.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        }
        self.clock.monotonic()
    }
}

#[test]
fn a_read_under_way_is_named_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().canonicalize().unwrap();
    let gate = Gate { clock: SimClock::new(START), is_waiting: Arc::default(), is_open: Arc::default() };
    let store = open(&path, &gate, options());
    let canary = Canary::new("secret", 3);
    store.put(canary.put()).unwrap();
    store.put(Canary::new("other", 6).put()).unwrap();
    store.compact().unwrap();
    // A read with a deadline asks the clock once it has its moment.
    let read_options = ReadOptions { deadline: Some(Duration::from_secs(1_000)), ..ReadOptions::default() };
    let read = || store.get_with(&canary.namespace(), &canary.key(), &read_options).unwrap();
    std::thread::scope(|scope| {
        let _end = SetAtEnd(&gate.is_open);
        let reader = std::thread::Builder::new().name("reader".into()).spawn_scoped(scope, read).unwrap();
        while !gate.is_waiting.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let receipt = store.purge_with(&secret(), &PurgeOptions::new().grace(Duration::ZERO)).unwrap();
        let held = &receipt.holders.still_held;
        assert!(held.running >= 1 && held.files.iter().any(|file| file.ends_with(".truth")), "{receipt:?}");
        assert!(held.files.iter().all(|file| receipt.files_unlinked.contains(file)), "{receipt:?}");
        assert!(!nameless_files(&path).is_empty());
        gate.is_open.store(true, Ordering::Release);
        assert_eq!(&*reader.join().unwrap().unwrap().value, canary.value());
    });
    let receipt = store.purge_with(&secret(), &PurgeOptions::new().grace(Duration::ZERO)).unwrap();
    assert_eq!((receipt.holders.still_held.running, receipt.holders.still_held.files.len()), (0, 0), "{receipt:?}");
    assert_eq!(nameless_files(&path), Vec::<String>::new());
}
