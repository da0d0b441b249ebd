//! A purge that a power loss, a full disk or a file that cannot be removed cuts short leaves its items deleted or as they were, and done
//! again it leaves nothing; one that has returned stays done, whatever becomes of the power.

mod common;

use common::canaries::{Canary, Needles, decoded_of, files_of_simulated, options};
use common::{namespace, reopened, simulated};
use vecmem::testing::{Fault, FaultKind, Loss, SimClock, SimOperation, SimStorage};
use vecmem::{ErrorKind, ImportOptions, Options, PurgeOptions, Scope, Store, Tuning};

const DOOMED: u64 = 24;

fn tiny() -> Options {
    options().tuning(Tuning { active_bytes: 1 << 20, ..Tuning::tiny() })
}

fn scope() -> Scope {
    Scope::Prefix(namespace(["doomed"]))
}

/// Items in segments, in a blob file, in memory and in the log; some are deleted already.
fn filled() -> (Store, SimStorage, SimClock, Needles) {
    let (store, storage, clock) = simulated(tiny().shards_at([namespace(["doomed", "M"]), namespace(["kept"])]));
    let mut needles = Needles::default();
    let canary = |group: &str, number: u64| Canary::new(group, if number == 5 { 5 } else { 3 * number });
    let write = |group: &str, numbers: std::ops::Range<u64>| {
        for number in numbers {
            store.put(canary(group, number).put()).unwrap();
        }
    };
    write("doomed", 0..8);
    write("kept", 100..110);
    store.compact().unwrap();
    let imported: Vec<_> = (8..18).map(|number| Ok(canary("doomed", number).put())).collect();
    store.import(imported, ImportOptions::new()).unwrap();
    write("doomed", 18..DOOMED);
    write("kept", 110..115);
    (0..DOOMED).for_each(|number| needles.add(&canary("doomed", number), true));
    assert!(store.delete(&canary("doomed", 3).namespace(), &canary("doomed", 3).key()).unwrap());
    (store, storage, clock, needles)
}

fn purge(store: &Store) -> vecmem::Result<vecmem::PurgeReceipt> {
    store.purge_with(&scope(), &PurgeOptions::new().grace(std::time::Duration::ZERO))
}

fn items(store: &Store, scope: &Scope) -> u64 {
    store.count(scope, &vecmem::ReadOptions::default()).unwrap()
}

/// That the store is whole, that the items are all there or all gone, and that a purge leaves nothing.
fn assert_repeatable(store: &Store, storage: &SimStorage, needles: &Needles, context: &str) {
    let left = items(store, &scope());
    assert!(left == 0 || left == DOOMED - 1, "{context}: {left} items are left");
    assert_eq!(items(store, &Scope::Prefix(namespace(["kept"]))), 15, "{context}");
    let receipt = purge(store).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(receipt.items, left, "{context}");
    assert_eq!(needles.in_files(&files_of_simulated(storage)), Vec::<String>::new(), "{context}");
    assert_eq!(needles.in_contents(&decoded_of(storage)), Vec::<String>::new(), "{context}");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
}

#[test]
fn after_a_power_loss_at_any_sync() {
    let (store, storage, clock, needles) = filled();
    storage.record_sync_points();
    purge(&store).unwrap();
    let images = storage.take_images();
    println!("{} sync points", images.len());
    assert!(images.len() > 20);
    for (point, image) in images.iter().enumerate() {
        for (loss, seed) in [(Loss::AllUnsynced, 0), (Loss::None, 0), (Loss::Torn, 7 + point as u64), (Loss::Torn, 1)] {
            let left = image.survivor(loss, seed);
            let store = reopened(&left, &clock, tiny());
            assert_repeatable(&store, &left, &needles, &format!("sync point {point}, {loss:?}, seed {seed}"));
        }
    }
}

#[test]
fn what_has_returned_stays_done() {
    for erase in [true, false] {
        let (store, storage, clock, needles) = filled();
        if erase {
            purge(&store).unwrap();
        } else {
            store.delete_range(&scope()).unwrap();
            store.compact().unwrap();
        }
        for seed in 0..20 {
            for loss in [Loss::AllUnsynced, Loss::Torn, Loss::None] {
                let left = storage.crash(loss, seed);
                let found = needles.in_files(&files_of_simulated(&left));
                assert_eq!(found, Vec::<String>::new(), "purge {erase}, {loss:?}, seed {seed}");
                assert_eq!(items(&reopened(&left, &clock, tiny()), &scope()), 0);
            }
        }
    }
}

#[test]
fn after_a_full_disk() {
    let (mut refused, mut passed) = (0, 0);
    for kib in (0..40).chain((40..400).step_by(24)) {
        let (store, storage, _, needles) = filled();
        storage.set_capacity(storage.used_bytes() + (kib << 10));
        match purge(&store) {
            Ok(_) => {
                passed += 1;
                assert_eq!(needles.in_files(&files_of_simulated(&storage)), Vec::<String>::new(), "{kib} KiB");
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{kib} KiB: {error}");
            }
        }
        storage.set_capacity(u64::MAX);
        assert_repeatable(&store, &storage, &needles, &format!("{kib} KiB"));
    }
    println!("{refused} purges were refused, {passed} passed");
    assert!(refused > 3 && passed > 3);
}

#[test]
fn after_a_file_that_could_not_be_removed() {
    let removes = &[SimOperation::Remove];
    let mut refused = 0;
    for after in 0..40 {
        for sticky in [false, true] {
            let (store, storage, clock, needles) = filled();
            let fault =
                if sticky { Fault::sticky(FaultKind::Io, removes) } else { Fault::once(FaultKind::Io, removes) };
            storage.fail_after(after, fault);
            let outcome = purge(&store);
            let found = needles.in_files(&files_of_simulated(&storage));
            match &outcome {
                Ok(_) => assert_eq!(found, Vec::<String>::new(), "remove {after}, sticky {sticky}"),
                Err(error) => {
                    refused += 1;
                    assert!(sticky || error.kind() == ErrorKind::Fenced, "remove {after}: {error}");
                }
            }
            storage.clear_faults();
            let store = if store.flush().is_ok() {
                store
            } else {
                drop(store);
                reopened(&storage, &clock, tiny())
            };
            assert_repeatable(&store, &storage, &needles, &format!("remove {after}, sticky {sticky}"));
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn what_only_the_log_still_holds_goes_at_the_first_try() {
    for purges in [true, false] {
        let one_file = Tuning { log_file_min_bytes: 1 << 20, log_file_max_bytes: 1 << 20, ..Tuning::tiny() };
        let (store, storage, _) = simulated(options().tuning(one_file));
        let canary = Canary::new("doomed", 3);
        store.put(canary.put()).unwrap();
        assert!(store.delete(&canary.namespace(), &canary.key()).unwrap());
        // The part is full, and flushed without what was deleted; two manifests know that no log is needed any more.
        for number in 0..23 {
            store.put(Canary::new("kept", 300 + 3 * number).put()).unwrap();
        }
        store.set_setting("a", Some("{}")).unwrap();
        let stats = store.stats().unwrap();
        assert_eq!((stats.active_rows, stats.checkpoint_lsn, stats.dead_rows), (0, stats.visible_lsn, 0), "{stats:#?}");
        let mut needles = Needles::default();
        needles.add(&canary, true);
        let found = needles.in_files(&files_of_simulated(&storage));
        assert!(!found.is_empty() && found.iter().all(|found| found.starts_with("log ")), "{found:?}");
        if purges {
            // Without a delete of its own, which would be logged and flushed.
            store.purge_with(&scope(), &PurgeOptions::new().keep_living(true)).unwrap();
        } else {
            store.compact().unwrap();
        }
        assert_eq!(needles.in_files(&files_of_simulated(&storage)), Vec::<String>::new(), "purges: {purges}");
        let left = files_of_simulated(&storage.crash(Loss::AllUnsynced, 0));
        assert_eq!(needles.in_files(&left), Vec::<String>::new(), "purges: {purges}, after a power loss");
    }
}
