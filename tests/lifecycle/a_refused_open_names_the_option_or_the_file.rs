//! An open that is refused says as data which option differs, with both values, or which file is the reason, and where
//! in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common::{namespace, numbered};
use vecmem::{CodeResidency, Durability, Error, ErrorKind, Metric, Options, ReadMode, Store};

fn refused(path: &Path, options: Options) -> Error {
    Store::open(path, options.lock_timeout(Duration::ZERO)).map(drop).unwrap_err()
}

/// The name of the option that differs, its stored and its given value.
#[track_caller]
fn option(path: &Path, options: Options) -> (&'static str, String, String) {
    let error = refused(path, options);
    assert_eq!((error.kind(), error.location()), (ErrorKind::OptionsDiffer, None), "{error}");
    let option = error.option().expect("an option").clone();
    assert_eq!(error.duplicate().option(), Some(&option));
    (option.name, option.stored, option.given)
}

/// Kind, file and offset of a refusal.
#[track_caller]
fn place(path: &Path, options: Options) -> (ErrorKind, String, Option<u64>) {
    let error = refused(path, options);
    let place = error.location().unwrap_or_else(|| panic!("no place: {error}"));
    assert_eq!(error.option(), None);
    (error.kind(), place.file.clone(), place.offset)
}

/// A closed store with some items in its log; its directory lives as long as the guard.
fn closed() -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    let store = Store::open(&path, Options::new()).unwrap();
    for number in 0..9 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number)).unwrap();
    }
    store.close().unwrap();
    (root, path)
}

/// The files whose names begin so, in order.
fn files(path: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|file| name(file).starts_with(prefix));
    found.sort();
    found
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_str().unwrap().to_owned()
}

fn overwrite(file: &Path, at: usize, bytes: &[u8]) {
    let mut content = fs::read(file).unwrap();
    content[at..at + bytes.len()].copy_from_slice(bytes);
    fs::write(file, content).unwrap();
}

fn triple(name: &'static str, stored: &str, given: &str) -> (&'static str, String, String) {
    (name, stored.to_owned(), given.to_owned())
}

#[test]
fn what_a_store_was_made_with() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("store");
    Store::open(&path, Options::with_vectors(3, Metric::Cosine)).unwrap().close().unwrap();
    assert_eq!(option(&path, Options::with_vectors(4, Metric::L2)), triple("dims", "3", "4"));
    assert_eq!(option(&path, Options::with_vectors(3, Metric::L2)), triple("metric", "cosine", "l2"));
}

#[test]
fn what_a_store_is_open_with_in_this_process() {
    let (_root, path) = closed();
    let hour = Duration::from_secs(3_600);
    let base = Options::new().durability(Durability::Periodic);
    let _open = Store::open(&path, base.clone()).unwrap();
    assert!(Store::open(&path, base.clone()).is_ok());
    let cases = [
        (Options::with_vectors(3, Metric::Dot).durability(Durability::Periodic), triple("dims", "none", "3")),
        (Options::new(), triple("durability", "periodic", "sync")),
        (base.clone().read_mode(ReadMode::Heap), triple("read_mode", "map", "heap")),
        (base.clone().code_residency(CodeResidency::HugePages), triple("code_residency", "page-cache", "huge-pages")),
        (base.clone().sync_every(Duration::from_millis(7)), triple("sync_every", "100ms", "7ms")),
        (base.clone().sweep_every(None), triple("sweep_every", "60s", "none")),
        (base.clone().clock_grace(2 * hour), triple("clock_grace", "3600s", "7200s")),
        (base.clone().live_check(false), triple("live_check", "true", "false")),
    ];
    for (options, expected) in cases {
        assert_eq!(option(&path, options), expected);
    }
}

#[test]
fn a_lock_that_somebody_else_holds() {
    let (_root, path) = closed();
    let lock = fs::File::options().write(true).open(path.join("LOCK")).unwrap();
    lock.try_lock().unwrap();
    assert_eq!(place(&path, Options::new()), (ErrorKind::Locked, "LOCK".into(), None));
}

#[test]
fn a_damaged_manifest() {
    let (_root, path) = closed();
    let manifests = files(&path, "manifest-");
    manifests.iter().for_each(|file| overwrite(file, 0, b"no magic"));
    assert_eq!(place(&path, Options::new()), (ErrorKind::Corrupt, name(&manifests[0]), Some(0)));
}

#[test]
fn a_manifest_of_a_newer_version() {
    let (_root, path) = closed();
    let newest = files(&path, "manifest-").pop().unwrap();
    overwrite(&newest, 12, &u32::MAX.to_le_bytes());
    assert_eq!(place(&path, Options::new()), (ErrorKind::NewerFormat, name(&newest), None));
}

#[test]
fn manifests_that_are_missing() {
    let (_root, path) = closed();
    files(&path, "manifest-").iter().for_each(|file| fs::remove_file(file).unwrap());
    let log = files(&path, "wal-").remove(0);
    assert_eq!(place(&path, Options::new()), (ErrorKind::Corrupt, name(&log), None));
}

#[test]
fn a_log_that_is_missing_or_damaged() {
    let (_root, path) = closed();
    let log = files(&path, "wal-").remove(0);
    let content = fs::read(&log).unwrap();
    let (_, file, offset) = {
        overwrite(&log, 8_192 + 60, b"damage");
        place(&path, Options::new())
    };
    assert_eq!(file, name(&log));
    assert!(offset.is_some_and(|offset| offset >= 8_192 && offset < content.len() as u64), "{offset:?}");
    fs::remove_file(&log).unwrap();
    let (kind, file, offset) = place(&path, Options::new());
    assert_eq!((kind, file, offset), (ErrorKind::Corrupt, name(&log), Some(0)));
}

#[test]
fn a_directory_of_other_files() {
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("note.txt"), "not ours").unwrap();
    assert_eq!(place(root.path(), Options::new()), (ErrorKind::NotAStore, "note.txt".into(), None));
}
