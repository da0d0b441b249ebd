//! With `link`, segment files become hard links: a checkpoint, which says that it is one, and which a store may leave
//! behind as a backup does. Nothing but log files is copied.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::{namespace, numbered, simulated, tiny};
use vecmem::testing::{SimStorage, backup_to};
use vecmem::{BackupOptions, ErrorKind, Metric, Options, Scope, Store};

fn put(store: &Store, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let put = numbered(&namespace(["a"]), format!("{number}"), number).vector([1.0, number as f32]);
        store.put(put).unwrap();
    }
}

fn inode(path: &Path, name: &str) -> u64 {
    std::fs::metadata(path.join(name)).unwrap().ino()
}

fn segments(path: &Path) -> Vec<String> {
    let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("seg-")).collect()
}

#[test]
fn and_is_not_called_a_backup() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let store = Store::open(path("store"), Options::with_vectors(2, Metric::Dot)).unwrap();
    put(&store, 0..100);
    store.compact().unwrap();
    put(&store, 100..110);
    let link = BackupOptions::new().link(true);
    let report = store.backup_with(path("checkpoint"), &link).unwrap();
    assert!(report.is_checkpoint && report.files_linked >= 2 && report.files_cloned == 0, "{report:?}");
    assert!(report.files_copied >= 1, "log files are never shared: {report:?}");
    for name in segments(&path("checkpoint")) {
        assert_eq!(inode(&path("checkpoint"), &name), inode(&path("store"), &name), "{name}");
    }
    let dump = store.text_dump().unwrap();
    let error = store.backup(path("checkpoint")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("holds a checkpoint"), "{error}");
    let backup = store.backup(path("backup")).unwrap();
    assert!(!backup.is_checkpoint && backup.files_linked == 0);
    assert!(store.backup_with(path("backup"), &link).unwrap_err().to_string().contains("holds a backup"));
    for name in segments(&path("backup")) {
        assert_ne!(inode(&path("backup"), &name), inode(&path("store"), &name), "{name}");
    }

    // The store goes on, and the checkpoint stays what it was.
    store.delete_range(&Scope::Namespace(namespace(["a"]))).unwrap();
    store.compact().unwrap();
    let restored = Store::restore(path("checkpoint"), path("restored")).unwrap();
    assert!(!restored.is_checkpoint && restored.files_linked == 0);
    for copy in ["restored", "checkpoint"] {
        let copy = Store::open(path(copy), Options::new()).unwrap();
        assert_eq!(copy.text_dump().unwrap(), dump);
        put(&copy, 0..10);
        copy.compact().unwrap();
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    assert!(Store::restore_with(path("backup"), path("third"), &link).is_err(), "a restore shares nothing");
}

#[test]
fn where_links_are_impossible_the_error_says_so() {
    let (store, ..) = simulated(tiny(2, Metric::Dot));
    put(&store, 0..60);
    let error = backup_to(&store, &SimStorage::new(1), &BackupOptions::new().link(true)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("make a backup without links"), "{error}");
}

#[test]
fn on_another_file_system_the_error_names_file_and_directory_apart() {
    let (home, shm) = (tempfile::tempdir().unwrap(), Path::new("/dev/shm"));
    let device = |path: &Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    if device(shm).is_none() || device(shm) == device(home.path()) {
        println!("skipped: there is no second file system here");
        return;
    }
    let other = tempfile::tempdir_in(shm).unwrap();
    let store = Store::open(home.path().join("store"), Options::with_vectors(2, Metric::Dot)).unwrap();
    put(&store, 0..10);
    store.compact().unwrap();
    let error = store.backup_with(other.path().join("copy"), &BackupOptions::new().link(true)).unwrap_err().to_string();
    let target = std::fs::canonicalize(other.path()).unwrap().join("copy");
    assert!(error.contains(&format!(" to {}: it lies on another file system", target.display())), "{error}");
}
