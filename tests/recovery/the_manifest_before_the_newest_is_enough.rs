//! Where the newest manifest is damaged, the one before it and the log give the same store, at any time and also after
//! an open has removed what nothing needs. Where the log is cut off, the open is refused.

use std::sync::Arc;

use crate::common::{namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Loss, SimClock, SimStorage, open_with};
use vecmem::{ErrorKind, Metric, Options, Result, Store};

/// Bytes of a log file before its frames.
const LOG_HEADERS_BYTES: usize = 8 << 10;

fn options() -> Options {
    tiny(1, Metric::Dot)
}

fn damage_newest_manifest(storage: &SimStorage) -> bool {
    let manifests: Vec<String> = storage.names().into_iter().filter(|name| name.starts_with("manifest-")).collect();
    let newest = manifests.iter().max().filter(|_| manifests.len() > 1);
    newest.inspect(|newest| storage.flip_bit(newest, 8 * 60)).is_some()
}

fn open(storage: &SimStorage, clock: &SimClock) -> Result<Store> {
    open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options())
}

#[test]
fn wherever_the_newest_is_damaged() {
    let (store, storage, clock) = simulated(options());
    let (home, mut opened) = (namespace(["a"]), 0);
    for number in 0..1_500_u64 {
        let key = format!("k{}", number * 7 % 50);
        if number % 5 == 4 {
            store.delete(&home, &key).unwrap();
        } else {
            store.put(numbered(&home, key, number).vector([1.0])).unwrap();
        }
        if number % 500 == 300 {
            store.compact().unwrap();
        }
        if number % 5 != 0 {
            continue;
        }
        let dump = store.text_dump().unwrap();
        for reopen_first in [false, true] {
            let copy = storage.crash(Loss::None, 0);
            if reopen_first {
                drop(reopened(&copy, &clock, options()));
            }
            let copy = copy.crash(Loss::None, 0);
            if !damage_newest_manifest(&copy) {
                continue;
            }
            let context = format!("step {number}, opened before: {reopen_first}");
            let store = open(&copy, &clock).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_eq!(store.text_dump().unwrap(), dump, "{context}");
            opened += 1;
        }
    }
    assert!(opened > 400, "the open fell back {opened} times");
}

#[test]
fn a_log_that_was_cut_off_is_refused() {
    let (store, storage, clock) = simulated(options());
    for key in 0..10 {
        store.put(numbered(&namespace(["a"]), key.to_string(), key)).unwrap();
    }
    // Both manifests reflect the puts, which only the log holds.
    (0..2).for_each(|_| store.accept_clock().unwrap());
    let copy = storage.crash(Loss::None, 0);
    assert!(open(&copy.crash(Loss::None, 0), &clock).is_ok());
    for log in copy.names().into_iter().filter(|name| name.ends_with(".log")) {
        let mut bytes = copy.read_file(&log).unwrap();
        bytes[LOG_HEADERS_BYTES..].fill(0);
        copy.write_file(&log, &bytes);
    }
    for falls_back in [false, true] {
        let copy = copy.crash(Loss::None, 0);
        assert!(!falls_back || damage_newest_manifest(&copy));
        let error = open(&copy, &clock).expect_err("ten puts are missing");
        assert_eq!(error.kind(), ErrorKind::Corrupt, "falls back: {falls_back}: {error}");
    }
}
