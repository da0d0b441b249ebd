//! What keeps a second process out is the directory itself: removing the file `LOCK`, or putting another in its place,
//! changes nothing, and every acknowledged write is there in the end. An earlier build, which locks the file alone, is
//! kept out too.

#[path = "../common/mod.rs"]
mod common;

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use common::process::{go_on, place, say, start, wait_for, wait_to_go_on};
use common::{assert_unchanged, namespace, numbered};
use vecmem::{ErrorKind, Options, Store};

fn options() -> Options {
    Options::new().lock_timeout(Duration::ZERO)
}

/// The other process: holds the store, and writes when it is told to.
fn hold(place: &str) {
    let store = Store::open(place, options()).unwrap();
    let put = |number: u64| store.put(numbered(&namespace(["a"]), number.to_string(), number)).map(drop);
    (0..100).try_for_each(put).unwrap();
    say("open");
    wait_to_go_on();
    (100..200).try_for_each(put).unwrap();
    store.close().unwrap();
}

fn refused(path: &Path) -> String {
    let error = Store::open(path, options()).expect_err("a second process came in");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    error.to_string()
}

#[test]
fn a_removed_lock_file_lets_nobody_in() {
    if let Some(place) = place() {
        return hold(&place);
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("LOCK");
    let mut child = start("a_removed_lock_file_lets_nobody_in", directory.path());
    wait_for(&mut child, "open");
    assert!(refused(directory.path()).contains(&child.id().to_string()));
    std::fs::remove_file(&file).unwrap();
    assert!(refused(directory.path()).contains("another process"));
    assert!(!file.exists(), "who is refused leaves nothing behind");
    std::fs::write(&file, "").unwrap();
    refused(directory.path());
    go_on(&mut child);
    assert!(child.wait().unwrap().success());
    let store = Store::open(directory.path(), options()).unwrap();
    assert_eq!(store.stats().unwrap().size.items, 200, "every acknowledged write");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn an_earlier_build_is_kept_out_and_keeps_others_out() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("LOCK");
    let store = Store::open(directory.path(), options()).unwrap();
    store.put(numbered(&namespace(["a"]), "k", 1)).unwrap();
    let dump = store.text_dump().unwrap();
    let early = File::options().read(true).write(true).open(&file).unwrap();
    assert!(early.try_lock().is_err(), "an earlier build would find it locked");
    store.close().unwrap();
    early.try_lock().unwrap();
    refused(directory.path());
    drop(early);
    assert_unchanged(&Store::open(directory.path(), options()).unwrap(), &dump);
}
