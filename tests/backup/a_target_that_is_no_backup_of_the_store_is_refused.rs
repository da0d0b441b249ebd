//! A backup goes into an empty directory, or one that holds an earlier backup of the same store. Any other is refused
//! with what to do about it, and nothing in it changes. An unfinished one says what it is when it is opened.

use std::path::Path;

use crate::common::{namespace, numbered, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, SimOperation, SimStorage, backup_to, open_with};
use vecmem::{BackupOptions, ErrorKind, Metric, Options, Store};

fn filled(path: &Path) -> Store {
    let store = Store::open(path, Options::new()).unwrap();
    (0..20).for_each(|number| {
        store.put(numbered(&namespace(["a"]), format!("{number}"), number)).unwrap();
    });
    store
}

#[test]
fn and_says_why() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let store = filled(&path("store"));
    drop(filled(&path("other")));
    filled(&path("another")).backup(path("of another")).unwrap();
    std::fs::create_dir(path("notes")).unwrap();
    std::fs::write(path("notes").join("letter.txt"), "dear").unwrap();
    std::fs::create_dir(path("remains")).unwrap();
    std::fs::write(path("remains").join("wal-0000000000000001.log"), "").unwrap();
    store.backup(path("opened")).unwrap();
    let opened = Store::open(path("opened"), Options::new()).unwrap();
    assert_eq!(store.backup(path("opened")).unwrap_err().kind(), ErrorKind::Locked);
    opened.put(numbered(&namespace(["a"]), "more", 1)).unwrap();
    opened.close().unwrap();
    Store::restore(path("of another"), path("restored")).unwrap();
    let restored = Store::open(path("restored"), Options::new()).unwrap();
    std::os::unix::fs::symlink(path("store"), path("alias")).unwrap();

    let cases = [
        ("other", "a store that is no backup"),
        ("of another", "a backup of another store"),
        ("notes", "letter.txt"),
        ("remains", "no manifest"),
        ("opened", "opened and written to as a store since"),
        ("store", "lies in the directory of the store"),
        ("store/inside/deep", "lies in the directory of the store"),
        ("alias", "lies in the directory of the store"),
        ("alias/inside", "lies in the directory of the store"),
        ("absent/../store/inside", "lies in the directory of the store"),
        ("absent/deep/../../notes/../store/inside", "lies in the directory of the store"),
        ("notes/letter.txt", "is not a directory"),
    ];
    for (target, why) in cases {
        let error = store.backup(path(target)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{target}: {error}");
        assert!(error.to_string().contains(why), "{target}: {error}");
    }
    let error = restored.backup(path("of another")).unwrap_err();
    assert!(error.to_string().contains("a backup of another store"), "another incarnation is another store: {error}");
    assert!(!path("store/inside").exists() && !path("absent").exists());
    let file = path("notes").join("letter.txt");
    assert_eq!(std::fs::read_to_string(file).unwrap(), "dear");
    let others: Vec<_> = std::fs::read_dir(path("notes")).unwrap().collect();
    assert!(others.len() <= 2, "the letter and the lock: {others:?}");
    drop(Store::open(path("other"), Options::new().create(false)).unwrap());
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_backup_that_was_only_read_as_a_store_is_continued() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let store = filled(&path("store"));
    store.backup(path("backup")).unwrap();
    let copy = Store::open(path("backup"), Options::new().create(false)).unwrap();
    assert!(copy.get(&namespace(["a"]), "3").unwrap().is_some());
    copy.close().unwrap();
    store.put(numbered(&namespace(["a"]), "more", 1)).unwrap();
    store.backup(path("backup")).unwrap();
    Store::restore(path("backup"), path("restored")).unwrap();
    assert_eq!(Store::open(path("restored"), Options::new()).unwrap().text_dump().unwrap(), store.text_dump().unwrap());
}

#[test]
fn an_unfinished_one_says_what_it_is_and_is_not_opened() {
    let (store, _, clock) = simulated(tiny(2, Metric::Dot));
    (0..60).for_each(|number| {
        store.put(numbered(&namespace(["a"]), format!("{number}"), number)).unwrap();
    });
    let target = SimStorage::new(1);
    target.fail_after(0, Fault::once(FaultKind::Io, &[SimOperation::Rename]));
    backup_to(&store, &target, &BackupOptions::new()).unwrap_err();
    for create in [true, false] {
        let options = tiny(2, Metric::Dot).create(create);
        let opened = open_with(std::sync::Arc::new(target.clone()), std::sync::Arc::new(clock.clone()), options);
        let error = opened.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAStore, "{error}");
        assert!(error.to_string().contains("was not finished") && error.to_string().contains("again"), "{error}");
    }
    let (other, ..) = simulated(tiny(2, Metric::Dot));
    other.put(numbered(&namespace(["a"]), "key", 1)).unwrap();
    backup_to(&store, &target, &BackupOptions::new()).unwrap();
}
