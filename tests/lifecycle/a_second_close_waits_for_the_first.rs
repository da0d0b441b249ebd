//! Two threads that close a store at once both return when it is closed, not before: what either of them does next
//! finds the log synced, and both are told if that failed.

use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::common::watched::{LIMIT, Point, on_both_disks, watched};
use crate::common::{namespace, numbered};
use vecmem::testing::{SystemClock, open_with};
use vecmem::{Durability, ErrorKind, Options};

#[test]
fn a_second_close_waits_for_the_first() {
    for fails in [false, true] {
        on_both_disks(|disk, storage| {
            let (storage, watch) = watched(storage);
            let options = Options::new().durability(Durability::Manual);
            let store = open_with(storage, Arc::new(SystemClock), options).unwrap();
            store.put(numbered(&namespace(["a"]), "k", 1)).unwrap();
            watch.hold_next(Point::Sync);
            std::thread::scope(|scope| {
                let first = scope.spawn(|| store.close());
                watch.wait_until_held();
                let (told, answer) = mpsc::channel();
                let second = store.clone();
                scope.spawn(move || told.send(second.close()).unwrap());
                // Too short a time hides a fault, and fails nobody.
                let early = answer.recv_timeout(Duration::from_millis(300));
                watch.release(fails);
                assert!(early.is_err(), "{disk}: the second close has returned before the log was synced");
                for outcome in [first.join().unwrap(), answer.recv_timeout(LIMIT).unwrap(), store.close()] {
                    match outcome {
                        Ok(()) => assert!(!fails, "{disk}: a close that failed"),
                        Err(error) => assert!(fails && error.kind() == ErrorKind::Poisoned, "{disk}: {error}"),
                    }
                }
            });
        });
    }
}
