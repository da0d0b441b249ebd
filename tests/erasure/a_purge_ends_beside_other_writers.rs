//! Writers of other namespaces, imports among them, hold up no purge, and what they write meanwhile is lost by none;
//! afterwards nothing of the scope is in any file.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::common::canaries::{Canary, Needles, decoded, files_of, options};
use crate::common::{SetAtEnd, namespace};
use vecmem::{Durability, ImportOptions, Put, Scope, Store, Tuning};

#[test]
fn a_purge_ends_and_leaves_nothing() {
    // With the default, and with parts that fill every few milliseconds.
    let small = Tuning { memtable_rows: 200, log_file_min_bytes: 64 << 10, import_file_rows: 50, ..Tuning::default() };
    for (durability, tuning) in [(Durability::Sync, Tuning::default()), (Durability::Manual, small)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let options = || options().durability(durability).tuning(tuning.clone());
        let store = Store::open(&path, options()).unwrap();
        let (is_done, written) = (AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for writer in 0..2_u64 {
                let (store, is_done, written) = (&store, &is_done, &written);
                scope.spawn(move || {
                    for number in 0.. {
                        if is_done.load(Ordering::Relaxed) {
                            break;
                        }
                        let home = namespace(["other", &writer.to_string()]);
                        let put = |number: u64| Put::new(&home, format!("{number:09}"), format!("{{\"n\":{number}}}"));
                        if number % 100 == 7 {
                            let puts = (0..60).map(|more| Ok(put(1_000_000 + 60 * number + more)));
                            store.import(puts, ImportOptions::new()).unwrap();
                            written.fetch_add(60, Ordering::Relaxed);
                        } else {
                            store.put(put(number)).unwrap();
                            written.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                });
            }
            let _end = SetAtEnd(&is_done);
            for round in 0..8 {
                let secret: Vec<Canary> = (0..12).map(|number| Canary::new("secret", 100 * round + number)).collect();
                for canary in &secret {
                    store.put(canary.put()).unwrap();
                }
                if round % 2 == 0 {
                    store.compact().unwrap();
                }
                let mut needles = Needles::default();
                secret.iter().for_each(|canary| needles.add(canary, true));
                assert!(!needles.in_files(&files_of(&path)).is_empty());
                let receipt = store.purge(&Scope::Prefix(namespace(["secret"]))).unwrap();
                assert_eq!(receipt.items, 12, "round {round}: {receipt:?}");
                assert_eq!(needles.in_files(&files_of(&path)), Vec::<String>::new(), "round {round}: {receipt:?}");
            }
        });
        store.close().unwrap();
        decoded(&path);
        let store = Store::open(&path, options()).unwrap();
        let found = store.count(&Scope::Store, &vecmem::ReadOptions::default()).unwrap();
        assert_eq!(found, written.load(Ordering::Relaxed), "{durability:?}");
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}
