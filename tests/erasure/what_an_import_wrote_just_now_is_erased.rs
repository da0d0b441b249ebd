//! A purge and a compaction erase items of an import whose files a replay would still ask for by name: the checkpoint
//! that lets the files go comes first.

use crate::common::canaries::{Canary, Needles, decoded_of, files_of_simulated, options};
use crate::common::{namespace, reopened, simulated};
use vecmem::testing::{Fault, FaultKind, Loss, SimOperation};
use vecmem::{ImportOptions, Options, PurgeOptions, Scope, Store, Tuning};

const DOOMED: u64 = 12;
const KEPT: u64 = 12;

fn tiny() -> Options {
    options().tuning(Tuning { memtable_bytes: 1 << 20, ..Tuning::tiny() })
}

fn scope() -> Scope {
    Scope::Prefix(namespace(["doomed"]))
}

fn kept() -> Vec<Canary> {
    (0..KEPT).map(|number| Canary::new("kept", 1_000 + 3 * number)).collect()
}

type Erase = fn(&Store);

/// How the items are erased, and whether they were deleted before.
const WAYS: [(&str, bool, Erase); 3] = [
    ("purge", false, |store| assert_eq!(store.purge(&scope()).unwrap().items, DOOMED)),
    ("purge of what is deleted", true, |store| {
        assert_eq!(store.purge_with(&scope(), &PurgeOptions::new().keep_living(true)).unwrap().items, 0);
    }),
    ("compact", true, |store| drop(store.compact().unwrap())),
];

#[test]
fn by_a_purge_and_by_a_compaction() {
    for (way, is_deleted, erase) in WAYS {
        let (store, storage, clock) = simulated(tiny());
        let doomed: Vec<Canary> = (0..DOOMED).map(|number| Canary::new("doomed", number)).collect();
        let mut needles = Needles::default();
        doomed.iter().for_each(|canary| needles.add(canary, true));
        // The background commits no manifest behind the import, nor behind a delete after it.
        storage.fail_after(0, Fault::sticky(FaultKind::Full, &[SimOperation::Rename]));
        let puts: Vec<_> = doomed.iter().chain(&kept()).map(|canary| Ok(canary.put())).collect();
        store.import(puts, ImportOptions::new()).unwrap();
        if is_deleted {
            store.delete_range(&scope()).unwrap();
        }
        let stats = store.stats().unwrap();
        assert_eq!(stats.memory.memtable_rows, 0, "{way}: the import wrote files");
        assert!(stats.log.checkpoint_lsn < stats.log.visible_lsn, "{way}: a replay asks for them");
        let found = needles.in_files(&files_of_simulated(&storage));
        assert!(found.iter().any(|found| found.starts_with("truth ")), "{way}: {found:?}");
        assert!(found.iter().any(|found| found.starts_with("blob ")), "{way}: {found:?}");
        storage.clear_faults();
        erase(&store);
        assert_eq!(needles.in_files(&files_of_simulated(&storage)), Vec::<String>::new(), "{way}");
        assert_eq!(needles.in_contents(&decoded_of(&storage)), Vec::<String>::new(), "{way}");
        drop(store);
        let left = storage.crash(Loss::AllUnsynced, 0);
        assert_eq!(needles.in_files(&files_of_simulated(&left)), Vec::<String>::new(), "{way}, after a power loss");
        let store = reopened(&left, &clock, tiny());
        assert_eq!(store.stats().unwrap().size.items, KEPT, "{way}");
        for canary in kept() {
            let item = store.get(&canary.namespace(), &canary.key()).unwrap().unwrap();
            assert_eq!(&*item.value, canary.value(), "{way}");
        }
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{way}");
    }
}
