//! A backup that is made while writers write holds every write up to its LSN, no later one, and each batch whole.
//! The oracle is what the writers wrote down: each write with the LSN that it got.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{Random, SetAtEnd, namespace, reopened, simulated, tiny};
use vecmem::testing::{Loss, SimStorage, backup_to, restore};
use vecmem::{
    BackupOptions, Batch, ImportOptions, IterateQuery, Metric, Namespace, Options, Put, ReadOptions, Scope, Store,
    WriteResult,
};

type Key = (Namespace, String);

/// What writers wrote: by LSN, the key and its new value; `None` for a delete.
#[derive(Default)]
struct Written(Mutex<BTreeMap<u64, (Key, Option<String>)>>);

impl Written {
    fn note(&self, lsn: u64, key: Key, value: Option<String>) {
        let before = self.0.lock().unwrap().insert(lsn, (key, value));
        assert!(before.is_none(), "two writes have LSN {lsn}");
    }

    /// The items at an LSN. Every write up to it must be known.
    fn at(&self, lsn: u64) -> BTreeMap<Key, (String, u64)> {
        let mut items = BTreeMap::new();
        let written = self.0.lock().unwrap();
        assert_eq!(written.range(..=lsn).count() as u64, lsn, "not every write up to LSN {lsn} was written down");
        for (&lsn, (key, value)) in written.range(..=lsn) {
            match value {
                Some(value) => drop(items.insert(key.clone(), (value.clone(), lsn))),
                None => drop(items.remove(key)),
            }
        }
        items
    }
}

fn json(random: &mut Random) -> String {
    let large = if random.below(20) == 0 { 80_000 } else { 20 };
    format!("{{\"n\":{},\"text\":\"{}\"}}", random.below(1_000_000), "x".repeat(large))
}

/// One batch: puts and a delete of other keys, whose LSNs follow each other.
fn write(store: &Store, written: &Written, home: &Namespace, random: &mut Random) {
    let keys: BTreeSet<String> = (0..1 + random.below(6)).map(|_| format!("{:02}", random.below(60))).collect();
    let (mut batch, mut changes) = (Batch::new(), Vec::new());
    for key in &keys {
        let value = json(random);
        batch.put(Put::new(home, key, &value).vector([random.unit(), 1.0]));
        changes.push((key.clone(), Some(value)));
    }
    let gone = format!("{:02}", random.below(60));
    if !keys.contains(&gone) {
        batch.delete(home, &gone);
        changes.push((gone, None));
    }
    let results = store.batch(batch).unwrap();
    let mut lsn = 0;
    for (result, (key, value)) in results.iter().zip(changes) {
        lsn = match result {
            WriteResult::Put(version) => version.to_u64(),
            WriteResult::Deleted(true) => lsn + 1,
            // Nothing was deleted, so nothing was logged.
            _ => continue,
        };
        written.note(lsn, (home.clone(), key), value);
    }
}

/// The bits of a version of a copy that are those of the LSN.
const LSN_BITS: u64 = (1 << 34) - 1;

fn assert_holds(copy: &Store, items: &BTreeMap<Key, (String, u64)>, context: &str) {
    let query = IterateQuery::new(Scope::Store).limit(usize::MAX);
    let found = copy.iterate(&query, None).unwrap().items;
    let found: BTreeMap<Key, (String, u64)> = found
        .into_iter()
        .map(|item| ((item.namespace, item.key), (item.value.into(), item.version.to_u64() & LSN_BITS)))
        .collect();
    assert!(found == *items, "{context}: {} items, and not {}", found.len(), items.len());
    assert_eq!(copy.count(&Scope::Store, &ReadOptions::default()).unwrap(), items.len() as u64, "{context}");
    assert_eq!(copy.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    let home = tempfile::tempdir().unwrap();
    let options = || Options::with_vectors(2, Metric::Dot);
    let path = |name: &str| home.path().join(name);
    let store = Store::open(path("store"), options()).unwrap();
    let (written, is_over) = (Written::default(), AtomicBool::new(false));
    let mut copies = Vec::new();
    std::thread::scope(|scope| {
        let end = SetAtEnd(&is_over);
        for writer in 0..3 {
            let (store, written, is_over) = (&store, &written, &is_over);
            scope.spawn(move || {
                let (home, mut random) = (namespace([["a", "b", "c"][writer]]), Random::new(writer as u64));
                while !is_over.load(Ordering::Relaxed) {
                    write(store, written, &home, &mut random);
                    if random.below(40) == 0 {
                        store.flush().unwrap();
                    }
                    if random.below(150) == 0 {
                        store.compact().unwrap();
                    }
                }
            });
        }
        for round in 0..12 {
            let before = store.stats().unwrap().log.visible_lsn;
            // Every second one goes into the directory of the one before.
            let target = path(&format!("backup-{}", round / 2));
            let report = store.backup(&target).unwrap();
            assert!(report.lsn >= before, "what was acknowledged before is in the backup");
            let restored = path(&format!("restored-{round}"));
            assert_eq!(Store::restore(&target, &restored).unwrap().lsn, report.lsn);
            copies.push((report, restored));
        }
        drop(end);
    });
    for (report, restored) in copies {
        let copy = Store::open(&restored, options()).unwrap();
        assert_eq!(copy.stats().unwrap().log.visible_lsn, report.lsn);
        assert_holds(&copy, &written.at(report.lsn), &format!("{report:?}"));
        // The copy is a store like any other.
        copy.put(Put::new(&namespace(["later"]), "key", "{}")).unwrap();
        drop(copy);
        assert_eq!(
            opened(&restored).count(&Scope::Namespace(namespace(["later"])), &ReadOptions::default()).unwrap(),
            1
        );
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

fn opened(path: &Path) -> Store {
    Store::open(path, Options::with_vectors(2, Metric::Dot)).unwrap()
}

#[test]
fn on_a_simulated_disk_at_many_random_moments() {
    for seed in 0..6 {
        let mut random = Random::new(seed);
        let (store, _, clock) = simulated(tiny(2, Metric::Dot));
        let written = Written::default();
        let homes = [namespace(["a"]), namespace(["a", "b"]), namespace(["c"])];
        let target = SimStorage::new(seed);
        for round in 0..40 {
            for _ in 0..random.below(12) {
                write(&store, &written, random.pick(&homes), &mut random);
            }
            match random.below(8) {
                0 => store.flush().unwrap(),
                1 => drop(store.compact().unwrap()),
                _ => {}
            }
            let report = backup_to(&store, &target, &BackupOptions::new()).unwrap();
            let context = format!("seed {seed}, round {round}: {report:?}");
            let items = written.at(report.lsn);
            assert_holds(
                &reopened(&target.crash(Loss::AllUnsynced, seed), &clock, tiny(2, Metric::Dot)),
                &items,
                &context,
            );
            let new = SimStorage::new(seed + 1);
            restore(&target, &new, &BackupOptions::new()).unwrap();
            assert_holds(
                &reopened(&new.crash(Loss::AllUnsynced, seed), &clock, tiny(2, Metric::Dot)),
                &items,
                &context,
            );
        }
    }
}

#[test]
fn an_import_that_only_the_log_names_is_copied_with_its_files() {
    let (store, _, clock) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["imported"]);
    let puts = (0..100).map(|number| Ok(Put::new(&home, format!("{number}"), "{}").vector([1.0, number as f32])));
    store.put(Put::new(&namespace(["other"]), "first", "{}")).unwrap();
    store.import(puts, ImportOptions::new()).unwrap();
    let target = SimStorage::new(1);
    backup_to(&store, &target, &BackupOptions::new()).unwrap();
    let copy = reopened(&target.crash(Loss::AllUnsynced, 1), &clock, tiny(2, Metric::Dot));
    assert_eq!(copy.text_dump().unwrap(), store.text_dump().unwrap());
}

#[test]
fn a_store_that_was_only_opened_is_copied_and_not_written_to() {
    let (store, storage, clock) = simulated(tiny(2, Metric::Dot));
    (0..70).for_each(|number| {
        store.put(Put::new(&namespace(["a"]), format!("{number}"), "{}").vector([1.0, 2.0])).unwrap();
    });
    let dump = store.text_dump().unwrap();
    // A close, and a kill that leaves no closing frame.
    for image in [storage.crash(Loss::None, 3), {
        store.close().unwrap();
        storage.crash(Loss::AllUnsynced, 3)
    }] {
        let store = reopened(&image, &clock, tiny(2, Metric::Dot));
        let target = SimStorage::new(1);
        let before: Vec<_> = image.names().into_iter().map(|name| image.read_file(&name)).collect();
        backup_to(&store, &target, &BackupOptions::new()).unwrap();
        let after: Vec<_> = image.names().into_iter().map(|name| image.read_file(&name)).collect();
        assert_eq!(before, after);
        assert_eq!(reopened(&target, &clock, tiny(2, Metric::Dot)).text_dump().unwrap(), dump);
    }
    let (empty, ..) = simulated(tiny(2, Metric::Dot));
    let target = SimStorage::new(1);
    assert_eq!(backup_to(&empty, &target, &BackupOptions::new()).unwrap().lsn, 0);
    assert_eq!(reopened(&target, &clock, tiny(2, Metric::Dot)).text_dump().unwrap(), "");
}
