//! Every open of a directory in one process gives the same store, however the path is spelt; other options are refused.

use std::time::Duration;

use crate::common::{namespace, numbered};
use vecmem::{Durability, ErrorKind, Metric, Options, ReadMode, Store};

#[test]
fn one_directory_is_one_store() {
    let directory = tempfile::tempdir().unwrap();
    let (path, home) = (directory.path().join("store"), namespace(["a"]));
    let options = || Options::with_vectors(2, Metric::Dot);
    let first = Store::open(&path, options()).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let second = Store::open(&link, options()).unwrap();
    let third = Store::open(directory.path().join("./store/../store"), Options::new()).unwrap();
    first.put(numbered(&home, "k", 1)).unwrap();
    drop(first);
    assert!(second.get(&home, "k").unwrap().is_some() && third.get(&home, "k").unwrap().is_some());

    let others = [
        Options::with_vectors(3, Metric::Dot),
        Options::with_vectors(2, Metric::L2),
        options().durability(Durability::Manual),
        options().read_mode(ReadMode::Heap),
    ];
    for other in &others {
        let error = Store::open(&path, other.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OptionsDiffer, "{error}");
        assert!(error.to_string().contains("store"), "{error}");
    }
    drop((second, third));
    for other in &others[..2] {
        let error = Store::open(&path, other.clone()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OptionsDiffer, "created otherwise: {error}");
    }
    let again = Store::open(&path, others[2].clone()).unwrap();
    assert!(again.get(&home, "k").unwrap().is_some());
}

#[test]
fn opening_and_dropping_from_many_threads_never_finds_it_locked_or_hangs() {
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 60;
    let directory = tempfile::tempdir().unwrap();
    let home = namespace(["a"]);
    let options =
        || Options::with_vectors(1, Metric::Dot).durability(Durability::Periodic).lock_timeout(Duration::from_secs(60));
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (directory, home) = (&directory, &home);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let store = Store::open(directory.path(), options()).unwrap();
                    let wrong = Store::open(directory.path(), Options::with_vectors(2, Metric::Dot));
                    assert_eq!(wrong.unwrap_err().kind(), ErrorKind::OptionsDiffer);
                    match store.put(numbered(home, format!("{thread} {round}"), 1)) {
                        Ok(_) => {}
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Closed, "{error}"),
                    }
                    if round % 7 == 0 {
                        store.close().unwrap();
                    }
                }
            });
        }
    });
    let store = Store::open(directory.path(), options()).unwrap();
    assert!(store.stats().unwrap().size.items >= THREADS * ROUNDS / 2);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
