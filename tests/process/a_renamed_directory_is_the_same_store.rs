//! A directory that is renamed while its store is open goes on as before: writing, sealing, merging, closing. By its
//! new name the same process finds the same store, and another one finds it locked.

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::process::{place, say, start, wait_for};
use common::{namespace, numbered, tiny};
use vecmem::{ErrorKind, Metric, Options, Put, Store, Tuning};

/// Tries the new path as another process, and says what came of it.
fn try_to_open(place: &str) {
    let outcome = Store::open(place, Options::new().lock_timeout(Duration::ZERO));
    say(format!("outcome {:?}", outcome.map(drop).map_err(|error| error.kind())));
}

fn outcome_elsewhere(path: &Path) -> String {
    let mut child = start("a_renamed_directory_is_the_same_store", path);
    let outcome = wait_for(&mut child, "outcome ");
    assert!(child.wait().unwrap().success());
    outcome
}

/// Writes until the background has sealed twice more, at most `puts` values of `bytes`.
fn until_sealed(store: &Store, puts: u64, bytes: usize) {
    let value = format!("{{\"text\":\"{}\"}}", "x".repeat(bytes));
    let flushes = || store.stats().unwrap().internals.flushes;
    let before = flushes();
    for number in 0..puts {
        let put = Put::new(&namespace(["b"]), (number % 400).to_string(), value.clone());
        store.put(put).unwrap();
        if flushes() >= before + 2 {
            return;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while flushes() == before {
        assert!(Instant::now() < deadline, "nothing is sealed: {:?}", store.stats().unwrap().health.background_error);
        std::thread::yield_now();
    }
}

fn renamed(options: Options, puts: u64, bytes: usize) {
    let parent = tempfile::tempdir().unwrap();
    let (old, new) = (parent.path().join("old"), parent.path().join("new"));
    let store = Store::open(&old, options.clone()).unwrap();
    store.put(numbered(&namespace(["a"]), "before", 1)).unwrap();
    std::fs::rename(&old, &new).unwrap();
    // Another directory in the old place changes nothing.
    std::fs::create_dir(&old).unwrap();
    std::fs::write(old.join("reserve"), "a stranger's").unwrap();

    until_sealed(&store, puts, bytes);
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().health.background_error, None);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    let same = Store::open(&new, options.clone()).unwrap();
    store.put(numbered(&namespace(["a"]), "after", 2)).unwrap();
    assert!(same.get(&namespace(["a"]), "after").unwrap().is_some(), "the new path is the same store");
    assert!(outcome_elsewhere(&new).contains("Locked"));
    let dump = store.text_dump().unwrap();
    store.close().unwrap();
    drop((store, same));

    assert_eq!(std::fs::read_dir(&old).unwrap().count(), 1, "nothing was written by the old path");
    assert_eq!(Store::open(&old, Options::new().create(false)).unwrap_err().kind(), ErrorKind::NotAStore);
    let store = Store::open(&new, options).unwrap();
    assert_eq!(store.text_dump().unwrap(), dump);
}

#[test]
fn a_renamed_directory_is_the_same_store() {
    if let Some(place) = place() {
        return try_to_open(&place);
    }
    renamed(Options::new(), 2_000, 60_000);
    renamed(tiny(2, Metric::Dot).tuning(Tuning { inline_background: false, ..Tuning::tiny() }), 300, 100);
}
