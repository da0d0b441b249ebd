//! A purge beside an import whose files are being written, and which nothing names yet, neither waits for it nor
//! removes what it has written.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::common::gate::{Gate, LIMIT, OpenAtEnd, Step};
use crate::common::{Random, namespace, numbered, reopened, tiny};
use vecmem::testing::{Loss, SimClock, SimStorage, open_with};
use vecmem::{ImportOptions, Metric, Options, PurgeOptions, Put, ReadOptions, Scope, Store};

const DIMS: usize = 4;
const ROWS: u64 = 30;

/// Two shards, so that one file of the import is whole while the other is written. Values of 150 bytes lie in blob
/// files.
fn options() -> Options {
    tiny(DIMS, Metric::Dot).split_keys([namespace(["m"])])
}

fn import(store: &Store) {
    let mut random = Random::new(4);
    let text = "x".repeat(40);
    let puts = (0..ROWS).map(|number| {
        let home = namespace([["early", "remote"][number as usize % 2], "z"]);
        let json = format!("{{\"n\":{number},\"t\":\"{}\"}}", text.repeat(number as usize % 7));
        Ok(Put::new(&home, number.to_string(), json).vector(random.vector(DIMS)))
    });
    store.import(puts.collect::<Vec<_>>(), ImportOptions::new()).unwrap();
}

#[test]
fn of_each_kind_and_at_each_step() {
    let doomed = Scope::from(&namespace(["doomed"]));
    for kind in [".truth", ".codes", ".blob"] {
        for (step, after) in [(Step::Write, 0), (Step::Sync, 0), (Step::Create, 1), (Step::Sync, 1)] {
            let context = format!("held at {step:?} {after} of {kind}");
            let (storage, clock) = (SimStorage::new(1), SimClock::new(crate::common::START));
            let (gated, gate) = Gate::before(Arc::new(storage.clone()));
            let store = open_with(gated, Arc::new(clock.clone()), options()).unwrap();
            for number in 0..5 {
                store.put(numbered(&namespace(["doomed"]), number.to_string(), number)).unwrap();
            }
            std::thread::scope(|scope| {
                let _end = OpenAtEnd(&gate);
                gate.close(step, kind, after);
                let imported = scope.spawn(|| import(&store));
                gate.wait_until_held();
                let (tell, told) = mpsc::channel();
                let purged = scope.spawn({
                    let (store, doomed) = (&store, &doomed);
                    move || {
                        let options = PurgeOptions::new().grace(Duration::ZERO);
                        let _ = tell.send(store.purge_with(doomed, &options));
                    }
                });
                let receipt = told.recv_timeout(LIMIT);
                let receipt = receipt.unwrap_or_else(|_| panic!("{context}: the purge waits for the import"));
                assert_eq!(receipt.unwrap().items, 5, "{context}");
                gate.open();
                imported.join().unwrap();
                purged.join().unwrap();
            });
            drop(store);
            let left = storage.crash(Loss::AllUnsynced, 0);
            let store = reopened(&left, &clock, options());
            assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), ROWS, "{context}");
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
        }
    }
}
