//! A restore refuses a directory with anything in it, and changes nothing there or in the backup.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{namespace, numbered};
use vecmem::{ErrorKind, Options, Scope, Store};

fn filled(path: &Path) -> Store {
    let store = Store::open(path, Options::new()).unwrap();
    (0..20).for_each(|number| {
        store.put(numbered(&namespace(["a"]), format!("{number}"), number)).unwrap();
    });
    store
}

fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.map(|name| (name.clone(), std::fs::read(path.join(name)).unwrap())).collect()
}

#[test]
fn whatever_lies_there() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let store = filled(&path("store"));
    store.backup(path("backup")).unwrap();
    drop(filled(&path("other")));
    std::fs::create_dir(path("notes")).unwrap();
    std::fs::write(path("notes").join("letter.txt"), "dear").unwrap();
    let backup = files(&path("backup"));
    std::fs::create_dir(path("part")).unwrap();
    std::fs::write(path("part").join("backup-unfinished"), "").unwrap();
    let cases = [
        ("other", "not empty"),
        ("notes", "not empty"),
        ("store", "not empty"),
        ("part", "a part of an interrupted restore"),
        ("backup", "lies in the directory of the backup"),
        ("backup/sub", "lies in the directory of the backup"),
        ("absent/../backup/sub", "lies in the directory of the backup"),
        ("notes/letter.txt", "is not a directory"),
        ("notes/letter.txt/sub", "is not a directory"),
    ];
    for (there, why) in cases {
        let before = path(there).is_dir().then(|| files(&path(there))).filter(|_| there != "store");
        let error = Store::restore(path("backup"), path(there)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{there}: {error}");
        assert!(error.to_string().contains(why), "{there}: {error}");
        assert!(before.is_none_or(|before| before == files(&path(there))), "{there}");
    }
    Store::restore(path("backup"), path("new")).unwrap();
    let again = Store::restore(path("backup"), path("new")).unwrap_err();
    assert_eq!(again.kind(), ErrorKind::InvalidInput);
    assert_eq!(files(&path("backup")), backup);
    let copy = Store::open(path("new"), Options::new().create(false)).unwrap();
    assert_eq!(copy.count(&Scope::Store, &Default::default()).unwrap(), 20);
}

#[test]
fn a_directory_that_is_no_backup_is_not_restored() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    drop(filled(&path("store")));
    std::fs::create_dir(path("empty")).unwrap();
    let refused = |from: &str| Store::restore(path(from), path("new")).unwrap_err();
    assert_eq!(refused("store").kind(), ErrorKind::InvalidInput);
    assert_eq!(refused("empty").kind(), ErrorKind::NotAStore);
    assert_eq!(refused("nothing").kind(), ErrorKind::NotAStore);
    assert!(!path("new").exists() || files(&path("new")).is_empty());

    let store = filled(&path("store"));
    store.backup(path("backup")).unwrap();
    let copy = Store::open(path("backup"), Options::new()).unwrap();
    assert_eq!(refused("backup").kind(), ErrorKind::Locked, "it is open as a store");
    copy.put(numbered(&namespace(["a"]), "more", 1)).unwrap();
    copy.close().unwrap();
    let error = refused("backup");
    assert!(error.to_string().contains("written to as a store since; open it as a store, or restore an"), "{error}");
    // The way out that the message names.
    Store::open(path("backup"), Options::new()).unwrap().backup(path("second")).unwrap();
    Store::restore(path("second"), path("new")).unwrap();
}

#[test]
fn a_backup_without_its_manifest_says_what_is_left() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    filled(&path("store")).backup(path("backup")).unwrap();
    let manifest = files(&path("backup")).into_keys().find(|name| name.starts_with("manifest-")).unwrap();
    std::fs::remove_file(path("backup").join(manifest)).unwrap();
    let error = Store::restore(path("backup"), path("new")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(error.to_string().contains("its manifest is missing") && error.to_string().contains("salvage"), "{error}");
    assert_eq!(Store::salvage(path("backup"), path("saved")).unwrap().items, 20, "the way out that the message names");
}
