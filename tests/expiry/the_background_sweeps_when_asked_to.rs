//! The background removes expired items as often as the options say, never if they say so, and whoever opens an open
//! store and asks for something else is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{START, namespace, numbered};
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{ErrorKind, Options, ReadOptions, Scope, Store};

const MINUTE: Duration = Duration::from_secs(60);

/// A store with an item that expires in a second, and its clock.
fn mortal(options: Options) -> (Store, SimClock) {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let store = open_with(Arc::new(storage), Arc::new(clock.clone()), options).unwrap();
    store.put(numbered(&namespace(["a"]), "k", 1).ttl(Duration::from_secs(1))).unwrap();
    (store, clock)
}

fn swept(store: &Store) -> u64 {
    store.stats().unwrap().internals.swept
}

#[test]
fn the_background_sweeps_when_asked_to() {
    let stores = [
        mortal(Options::new().sweep_every(Some(5 * MINUTE))),
        mortal(Options::new()),
        mortal(Options::new().sweep_every(None)),
    ];
    let [often, by_default, never] = &stores;
    let pass = |span: Duration| stores.iter().for_each(|(_, clock)| clock.advance(span));
    let wait_for = |store: &Store, count: u64| {
        let started = Instant::now();
        while swept(store) < count {
            assert!(started.elapsed() < MINUTE, "no sweep");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    pass(2 * MINUTE);
    wait_for(&by_default.0, 1);
    assert_eq!(swept(&often.0), 0, "it is not time yet");
    pass(4 * MINUTE);
    wait_for(&often.0, 1);
    // Two more rounds of the others are one of the third at least.
    for round in 2..4 {
        for (store, _) in [often, by_default] {
            store.put(numbered(&namespace(["a"]), "k", 1).ttl(Duration::from_secs(1))).unwrap();
        }
        pass(6 * MINUTE);
        wait_for(&often.0, round);
        wait_for(&by_default.0, round);
    }
    let expired_too = ReadOptions { include_expired: true, ..ReadOptions::default() };
    assert_eq!(swept(&never.0), 0);
    assert_eq!(never.0.count(&Scope::Store, &expired_too).unwrap(), 1, "it is still there");
    assert_eq!(never.0.count(&Scope::Store, &ReadOptions::default()).unwrap(), 0, "and in no result");
    assert_eq!(never.0.sweep().unwrap(), 1, "until somebody sweeps");
}

#[test]
fn an_open_store_sweeps_as_its_first_opener_asked() {
    let directory = tempfile::tempdir().unwrap();
    let open = |options: Options| Store::open(directory.path(), options);
    let store = open(Options::new().sweep_every(None)).unwrap();
    assert!(open(Options::new()).is_ok(), "who asks for nothing gets what there is");
    assert!(open(Options::new().sweep_every(None)).is_ok());
    let refused = open(Options::new().sweep_every(Some(MINUTE))).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::OptionsDiffer);
    drop(store);
    let store = open(Options::new()).unwrap();
    assert!(open(Options::new().sweep_every(Some(MINUTE))).is_ok(), "every minute is the default");
    assert_eq!(open(Options::new().sweep_every(None)).unwrap_err().kind(), ErrorKind::OptionsDiffer);
    drop(store);
}
