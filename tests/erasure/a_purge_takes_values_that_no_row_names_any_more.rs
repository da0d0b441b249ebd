//! A merge of the background leaves values that died in a blob file that is mostly alive, and no row says any more
//! whose they were. A purge of their scope takes them all the same.

use crate::common::canaries::{Canary, LARGE, Needles, decoded_of, files_of_simulated, options};
use crate::common::{namespace, reopened, simulated};
use vecmem::testing::Loss;
use vecmem::{Options, PurgeOptions, Scope, Tuning};

/// Parts of eight large values each, which are merged and not rewritten for what is dead in them.
fn tiny() -> Options {
    let tuning = Tuning {
        memtable_rows: 8,
        memtable_bytes: 4 << 20,
        log_total_bytes: 64 << 20,
        blob_value_bytes: Tuning::default().blob_value_bytes,
        blob_files: Tuning::default().blob_files,
        dead_percent: 60,
        ..Tuning::tiny()
    };
    options().tuning(tuning)
}

/// A value that is large and does not compress.
fn large(group: &str, number: u64) -> Canary {
    Canary::new(group, 3 * number + 1)
}

#[test]
fn with_and_without_items_that_live() {
    for living in [0, 1] {
        let (store, storage, clock) = simulated(tiny());
        let doomed = [large("doomed", 2), large("doomed", 5)];
        let kept: Vec<Canary> = (100..130).map(|number| large("kept", number)).collect();
        let later: Vec<Canary> = (200..200 + living).map(|number| large("doomed", number)).collect();
        let put = |canary: &Canary| store.put(canary.put()).map(drop).unwrap();
        kept[..6].iter().chain(&doomed).for_each(put);
        for canary in &doomed {
            assert!(store.delete(&canary.namespace(), &canary.key()).unwrap());
        }
        // Segments of the same size merge, and the file with the two dead values stays.
        kept[6..].iter().for_each(put);
        later.iter().for_each(put);
        let stats = store.stats().unwrap();
        assert!(stats.internals.merges > 0 && stats.size.dead_rows == 0, "{stats:#?}");
        assert!(stats.size.dead_blob_bytes >= 2 * LARGE as u64, "{stats:#?}");
        // What no file but the blob names is all that is looked for at first.
        let mut needles = Needles::default();
        for canary in &doomed {
            let (what, bytes) = canary.needles(false).swap_remove(0);
            needles.add_bytes(what, &bytes);
        }
        let found = needles.in_files(&files_of_simulated(&storage));
        assert_eq!(found.iter().filter(|found| found.starts_with("blob ")).count(), 2, "{found:?}");

        let scope = Scope::Prefix(namespace(["doomed"]));
        let receipt = store.purge_with(&scope, &PurgeOptions::new().keep_living(true)).unwrap();
        assert!(receipt.items == 0 && receipt.segments_rewritten > 0, "{receipt:?}");
        doomed.iter().for_each(|canary| needles.add(canary, true));
        assert_eq!(needles.in_files(&files_of_simulated(&storage)), Vec::<String>::new(), "{living}");
        assert_eq!(needles.in_contents(&decoded_of(&storage)), Vec::<String>::new(), "{living}");
        assert_eq!(store.stats().unwrap().size.dead_blob_bytes, 0);
        drop(store);
        let left = storage.crash(Loss::AllUnsynced, 0);
        assert_eq!(needles.in_files(&files_of_simulated(&left)), Vec::<String>::new(), "{living}, after a power loss");
        let store = reopened(&left, &clock, tiny());
        assert_eq!(store.stats().unwrap().size.items, 30 + living, "{living}");
        for canary in kept.iter().chain(&later) {
            let item = store.get(&canary.namespace(), &canary.key()).unwrap().unwrap();
            assert_eq!(&*item.value, canary.value(), "{living}");
        }
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}
