//! A salvage writes everything that can be read of a directory into a new store: of a whole store that is all of it, of
//! one without a manifest or without a log what the other files hold, and of a damaged one the newest versions that are
//! whole, the others listed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::common::{Random, namespace, numbered, simulated, tiny};
use vecmem::testing::{Loss, SimClock, SimStorage, backup_to, open_directory_with, open_with};
use vecmem::{
    BackupOptions, ErrorKind, ImportOptions, Item, IterateQuery, Metric, Options, Put, Query, ReadOptions, Scope, Store,
};

/// The files of a simulated disk, in a directory.
fn unpack(storage: &SimStorage, directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    for name in storage.names() {
        std::fs::write(directory.join(&name), storage.read_file(&name).unwrap()).unwrap();
    }
}

/// Every item, without its version, which a salvage gives anew.
fn items(store: &Store) -> BTreeMap<(String, String), Item> {
    let options = ReadOptions { include_vectors: true, include_expired: true, ..ReadOptions::default() };
    let query = IterateQuery::new(Scope::Store).limit(100_000).options(options);
    let of = |mut item: Item| {
        item.version = vecmem::Version::from_u64(0);
        ((item.namespace.to_string(), item.key.clone()), item)
    };
    store.iterate(&query, None).unwrap().items.into_iter().map(of).collect()
}

/// A store with everything in it: segments of seals, merges and imports, blob files, tombstones, refreshed expiries, a
/// log that goes on behind the last checkpoint; and what it holds.
fn prepared() -> (SimStorage, BTreeMap<(String, String), Item>, Vec<String>) {
    let (store, storage, clock) = simulated(tiny(3, Metric::L2));
    let mut random = Random::new(4);
    let mut written = Vec::new();
    store.set_setting("index", Some("{\"a\":1}")).unwrap();
    for number in 0..200_u64 {
        let home = namespace([["a", "b", "b\0"][(number % 3) as usize], "x"]);
        let key = format!("key {}", random.below(70));
        clock.advance(Duration::from_secs(1));
        match random.below(12) {
            0 => drop(store.delete(&home, &key).unwrap()),
            1 if number % 7 == 0 => {
                let item = |n: u64| Ok(numbered(&home, format!("i {n}"), number).vector(vec![n as f32, 0.0, 1.0]));
                store.import((0..12).map(item), ImportOptions::new()).unwrap();
                written.push(format!("{{\"n\":{number}}}"));
            }
            _ => {
                let json = format!("{{\"n\":{number},\"t\":\"{}\"}}", "abc".repeat([1, 30, 90][(number % 3) as usize]));
                written.push(json.clone());
                let put = Put::new(&home, &key, json).vector(random.vector(3)).index_paths(["t"]);
                let put = if number % 5 == 0 { put.field_vector("t", random.vector(3)) } else { put };
                let put = if number % 4 == 0 { put.ttl(Duration::from_secs(100_000)) } else { put };
                store.put(put.extension(1, false, b"context")).unwrap();
            }
        }
        if number == 120 {
            store.delete_range(&Scope::from(&namespace(["b", "x"]))).unwrap();
        }
    }
    let refresh = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
    clock.advance(Duration::from_secs(50_000));
    store.list(&Query::new(Scope::Store).limit(30).options(refresh)).unwrap();
    store.sync().unwrap();
    let expected = items(&store);
    (storage.crash(Loss::None, 0), expected, written)
}

/// What a salvage of the files gives.
fn salvaged(
    storage: &SimStorage,
) -> (BTreeMap<(String, String), Item>, vecmem::SalvageReport, Store, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let (from, into) = (directory.path().join("from"), directory.path().join("into"));
    unpack(storage, &from);
    let report = Store::salvage(&from, &into).unwrap();
    for name in storage.names() {
        assert_eq!(std::fs::read(from.join(&name)).unwrap(), storage.read_file(&name).unwrap(), "{name} was changed");
    }
    let store = Store::open(&into, Options::new().create(false)).unwrap();
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    let found = items(&store);
    assert_eq!(found.len() as u64, report.items);
    (found, report, store, directory)
}

#[test]
fn a_whole_store_comes_back_as_it_was() {
    let (storage, expected, _) = prepared();
    let (found, report, store, _directory) = salvaged(&storage);
    assert_eq!(found, expected);
    assert_eq!((report.lost.len(), report.unnamed, report.damage, report.notes), (0, 0, vec![], vec![]));
    assert_eq!(store.setting("index").unwrap().as_deref(), Some("{\"a\":1}"));
    assert!(store.text_dump().unwrap().contains("kind: 1, must_understand: false"), "extensions come along");
}

#[test]
fn without_manifests_and_without_the_log() {
    let (storage, expected, _) = prepared();
    let without = |gone: &dyn Fn(&str) -> bool| {
        let copy = storage.crash(Loss::None, 0);
        storage.names().iter().filter(|name| gone(name)).for_each(|name| copy.remove_file(name));
        copy
    };
    let no_manifest = without(&|name| name.starts_with("manifest-"));
    let (found, report, ..) = salvaged(&no_manifest);
    for (address, item) in &expected {
        assert_eq!(found.get(address), Some(item), "{address:?}");
    }
    assert!(report.notes.iter().any(|note| note.contains("manifest")), "{report:?}");
    // What only the log had is gone.
    let no_log = without(&|name| name.starts_with("wal-"));
    let (found, report, ..) = salvaged(&no_log);
    assert!(report.damage.iter().any(|what| what.contains("acknowledged writes after")), "{report:?}");
    assert!(
        !found.is_empty() && found.keys().all(|address| expected.contains_key(address) || address.1.starts_with("key"))
    );
    let nothing = without(&|name| !name.starts_with("reserve"));
    let directory = tempfile::tempdir().unwrap();
    unpack(&nothing, &directory.path().join("from"));
    let refused = Store::salvage(directory.path().join("from"), directory.path().join("into")).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::NotAStore);
}

fn put(store: &Store, count: u64) {
    for number in 0..count {
        store.put(numbered(&namespace(["a"]), format!("{number}"), number)).unwrap();
    }
}

/// The log files that were written to, oldest first.
fn used_log_files(storage: &SimStorage) -> Vec<String> {
    let is_used = |name: &String| storage.read_file(name).unwrap().iter().any(|byte| *byte != 0);
    storage.names().into_iter().filter(|name| name.ends_with(".log")).filter(is_used).collect()
}

/// Salvages the files without each log file that was written to. The report must name it exactly if an open would
/// refuse the store without it. An older file may be kept for an older manifest alone.
fn assert_missed_log_files_are_named(storage: &SimStorage, clock: &SimClock) {
    let (names, mut missed) = (used_log_files(storage), 0);
    for name in &names {
        let copy = storage.crash(Loss::None, 0);
        copy.remove_file(name);
        let opened = open_with(Arc::new(copy.crash(Loss::None, 0)), Arc::new(clock.clone()), tiny(3, Metric::L2));
        let (_, report, _, _directory) = salvaged(&copy);
        let told = |what: &String| what.contains(name.as_str()) && what.contains("acknowledged writes after LSN ");
        let is_named = report.damage.iter().any(told);
        assert_eq!(is_named, opened.is_err(), "{name} of {names:?}: {report:?}");
        missed += usize::from(is_named);
    }
    assert!(missed > 0, "{names:?}");
}

#[test]
fn a_log_file_that_is_missing_is_named_with_what_is_lost() {
    let (store, storage, clock) = simulated(tiny(3, Metric::L2));
    let home = namespace(["a"]);
    for number in 0..300_u64 {
        let json = format!("{{\"text\":\"{}\"}}", "tea ".repeat(300));
        store.put(Put::new(&home, format!("{}", number % 90), json)).unwrap();
    }
    store.flush().unwrap();
    (0..9).for_each(|number| assert!(store.delete(&home, &format!("{number}")).unwrap()));
    store.put(Put::new(&home, "last", "{}")).unwrap();
    let open = storage.crash(Loss::None, 0);
    assert_eq!(salvaged(&open).1.damage, Vec::<String>::new());
    assert_missed_log_files_are_named(&open, &clock);

    // Without the newest file, or without any, what it deleted is back: the report is the only one to say so.
    let newest = used_log_files(&open).pop().unwrap();
    let (found, ..) = {
        let copy = open.crash(Loss::None, 0);
        copy.remove_file(&newest);
        salvaged(&copy)
    };
    assert!(found.keys().any(|(_, key)| key == "3") && !found.keys().any(|(_, key)| key == "last"));

    let backup = SimStorage::new(1);
    backup_to(&store, &backup, &BackupOptions::new()).unwrap();
    assert_eq!(salvaged(&backup).1.damage, Vec::<String>::new());
    assert_missed_log_files_are_named(&backup, &clock);

    store.close().unwrap();
    let closed = storage.crash(Loss::None, 0);
    assert_eq!(salvaged(&closed).1.damage, Vec::<String>::new());
    assert_missed_log_files_are_named(&closed, &clock);
}

#[test]
fn a_store_that_was_never_flushed_and_lost_its_log_says_so() {
    let (store, storage, _) = simulated(tiny(3, Metric::L2));
    put(&store, 5);
    store.close().unwrap();
    let copy = storage.crash(Loss::None, 0);
    copy.names().iter().filter(|name| name.ends_with(".log")).for_each(|name| copy.remove_file(name));
    let (found, report, ..) = salvaged(&copy);
    assert!(found.is_empty() && report.damage.len() == 1, "{report:?}");
    assert!(report.damage[0].contains("acknowledged writes after"), "{report:?}");
}

#[test]
fn a_segment_that_is_missing_is_named_with_its_rows() {
    let (store, storage, _) = simulated(tiny(3, Metric::L2));
    put(&store, 21);
    store.compact().unwrap();
    let copy = storage.crash(Loss::None, 0);
    let truth = copy.names().into_iter().find(|name| name.ends_with(".truth")).unwrap();
    copy.remove_file(&truth);
    let (_, report, ..) = salvaged(&copy);
    let told = |what: &String| what.contains(&truth) && what.contains("the file had 21 rows");
    assert!(report.damage.iter().any(told), "{report:?}");
}

#[test]
fn an_import_that_nothing_names_comes_back_where_no_other_version_lives() {
    let (store, storage, _) = simulated(tiny(3, Metric::L2));
    let home = namespace(["a"]);
    for number in 0..40 {
        store.put(numbered(&home, format!("{number:02}"), number)).unwrap();
    }
    store.compact().unwrap();
    store.import((30..50).map(|n| Ok(numbered(&home, format!("{n:02}"), 100 + n))), ImportOptions::new()).unwrap();
    let copy = storage.crash(Loss::None, 0);
    let gone = |name: &String| name.starts_with("manifest-") || name.starts_with("wal-");
    storage.names().iter().filter(|name| gone(name)).for_each(|name| copy.remove_file(name));
    let (found, report, ..) = salvaged(&copy);
    assert_eq!(found.len(), 50);
    // Tombstones say of those that the import replaced that they are gone: rows of unknown age are in nobody's way, and
    // nobody in theirs.
    for ((_, key), item) in &found {
        let number: u64 = key.parse().unwrap();
        let known = if number < 30 { number } else { 100 + number };
        assert_eq!(item.value.as_ref(), format!("{{\"n\":{known}}}"), "{key}");
    }
    assert!(report.notes.iter().any(|note| note.contains("import")), "{report:?}");
}

#[test]
fn with_damage_anywhere_nothing_is_invented() {
    let (storage, expected, written) = prepared();
    let values: BTreeSet<&str> = written.iter().map(String::as_str).collect();
    let names: Vec<String> = storage.names();
    let (mut all, mut some) = (0, 0);
    for seed in 0..60 {
        let mut random = Random::new(seed);
        let copy = storage.crash(Loss::None, 0);
        for _ in 0..1 + random.below(3) {
            let name = &names[random.below(names.len() as u64) as usize];
            let Some(bytes) = copy.read_file(name).filter(|bytes| !bytes.is_empty()) else { continue };
            match random.below(4) {
                0 => copy.remove_file(name),
                1 => copy.truncate(name, random.below(bytes.len() as u64)),
                _ => copy.flip_bit(name, random.below(8 * bytes.len() as u64)),
            }
        }
        let (found, report, ..) = salvaged(&copy);
        for (address, item) in &found {
            assert!(
                values.contains(item.value.as_ref()),
                "seed {seed}: {address:?} has a value that nobody wrote: {}",
                item.value
            );
        }
        let missing = expected.keys().filter(|address| !found.contains_key(*address)).count();
        let is_reported =
            !report.damage.is_empty() || !report.lost.is_empty() || report.unnamed > 0 || !report.notes.is_empty();
        let has_files = copy.names().len() == names.len();
        assert!(missing == 0 || is_reported || !has_files, "seed {seed}: {missing} items are missing without a word");
        if missing == 0 { all += 1 } else { some += 1 }
    }
    println!("60 seeds: {all} times everything, {some} times less");
    assert!(all > 10 && some > 0);
}

#[test]
fn a_target_that_is_not_empty_and_a_store_in_use_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (from, into) = (directory.path().join("from"), directory.path().join("into"));
    let store = Store::open(&from, Options::new()).unwrap();
    store.put(numbered(&namespace(["a"]), "k", 1)).unwrap();
    assert_eq!(Store::salvage(&from, &into).unwrap_err().kind(), ErrorKind::Locked);
    store.close().unwrap();
    std::fs::create_dir_all(&into).unwrap();
    std::fs::write(into.join("notes"), "mine").unwrap();
    assert_eq!(Store::salvage(&from, &into).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(std::fs::read_to_string(into.join("notes")).unwrap(), "mine");
    assert_eq!(Store::salvage(&from, &from).unwrap_err().kind(), ErrorKind::InvalidInput);
    let inside = Store::salvage(&from, from.join("sub")).unwrap_err();
    assert!(inside.to_string().contains("lies in the directory of the damaged store"), "{inside}");
    assert!(!from.join("sub").exists());
    assert_eq!(
        Store::salvage(directory.path().join("absent"), directory.path().join("new")).unwrap_err().kind(),
        ErrorKind::NotAStore
    );
    let report = Store::salvage(&from, directory.path().join("new")).unwrap();
    assert_eq!(report.items, 1);
    let clock = Arc::new(SimClock::new(crate::common::START));
    let again = open_directory_with(&directory.path().join("new"), clock, Options::new()).unwrap();
    assert_eq!(again.count(&Scope::Store, &ReadOptions::default()).unwrap(), 1);
}
