//! A purge that a power loss, a full disk or a file that cannot be removed cuts short leaves its items deleted or as
//! they were, and done again it leaves nothing; one that has returned stays done, whatever becomes of the power.

use std::time::{Duration, Instant};

use crate::common::canaries::{Canary, Needles, options};
use crate::common::directory::Directory;
use crate::common::namespace;
use crate::common::tmpfs::Tmpfs;
use vecmem::testing::{Fault, FaultKind, Loss, SimOperation};
use vecmem::{Batch, ErrorKind, ImportOptions, PurgeOptions, Put, Scope, Store, Tuning};

const DOOMED: u64 = 24;

fn simulated() -> Directory {
    Directory::simulated_with(Tuning { memtable_bytes: 1 << 20, ..Tuning::tiny() })
}

fn scope() -> Scope {
    Scope::Prefix(namespace(["doomed"]))
}

/// Items in segments, in a blob file, in memory and in the log; some are deleted already.
fn filled(directory: &Directory) -> (Store, Needles) {
    let store = directory.open(options().split_keys([namespace(["doomed", "M"]), namespace(["kept"])]));
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
    (store, needles)
}

fn purge(store: &Store) -> vecmem::Result<vecmem::PurgeReceipt> {
    store.purge_with(&scope(), &PurgeOptions::new().grace(std::time::Duration::ZERO))
}

fn items(store: &Store, scope: &Scope) -> u64 {
    store.count(scope, &vecmem::ReadOptions::default()).unwrap()
}

/// That the store is whole, that the items are all there or all gone, and that a purge leaves nothing.
fn assert_repeatable(store: &Store, directory: &Directory, needles: &Needles, context: &str) {
    let left = items(store, &scope());
    assert!(left == 0 || left == DOOMED - 1, "{context}: {left} items are left");
    assert_eq!(items(store, &Scope::Prefix(namespace(["kept"]))), 15, "{context}");
    let receipt = purge(store).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(receipt.items, left, "{context}");
    assert_eq!(needles.in_files(&directory.files()), Vec::<String>::new(), "{context}");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
    // The background changes no file while the decoders read.
    store.close().unwrap();
    assert_eq!(needles.in_contents(&directory.contents()), Vec::<String>::new(), "{context}");
}

/// That what a purge said is so: nothing is left, or it was refused as `refused` says. Tells whether it passed.
fn passed(
    outcome: &vecmem::Result<vecmem::PurgeReceipt>,
    directory: &Directory,
    needles: &Needles,
    refused: impl Fn(&vecmem::Error) -> bool,
    context: &str,
) -> bool {
    match outcome {
        Ok(_) => assert_eq!(needles.in_files(&directory.files()), Vec::<String>::new(), "{context}"),
        Err(error) => assert!(refused(error), "{context}: {error}"),
    }
    outcome.is_ok()
}

#[test]
fn after_a_power_loss_at_any_sync() {
    let directory = simulated();
    let (store, needles) = filled(&directory);
    directory.sim().storage.record_sync_points();
    purge(&store).unwrap();
    let images = directory.sim().storage.take_images();
    println!("{} sync points", images.len());
    assert!(images.len() > 20);
    for (point, image) in images.iter().enumerate() {
        for (loss, seed) in [(Loss::AllUnsynced, 0), (Loss::None, 0), (Loss::Torn, 7 + point as u64), (Loss::Torn, 1)] {
            let left = directory.sim().with(image.survivor(loss, seed));
            let store = left.open(options());
            assert_repeatable(&store, &left, &needles, &format!("sync point {point}, {loss:?}, seed {seed}"));
        }
    }
}

/// The store that is left there, with an item in the log file that it writes to now as well.
fn reopened(directory: &Directory) -> Store {
    let store = directory.open(options());
    store.put(Canary::new("doomed", 3 * (DOOMED - 1)).put()).unwrap();
    store
}

/// What a killed process left on a real disk, with the items in its files and in its log.
fn left_on_a_real_disk() -> (Directory, Needles) {
    let directory = Directory::real();
    let (store, needles) = filled(&directory);
    let left = directory.killed();
    drop(store);
    (left, needles)
}

#[test]
fn after_a_process_that_ended_at_any_change_of_a_real_disk_with_default_tuning() {
    let (filled, needles) = left_on_a_real_disk();
    let mut ended = 0;
    for changes in (0..).step_by(11) {
        let directory = filled.killed();
        let store = reopened(&directory);
        // From here on nothing of this process reaches the disk.
        directory.fail_after(changes, Fault::sticky(FaultKind::Io, SimOperation::CHANGES));
        let outcome = purge(&store);
        drop(store);
        directory.clear_faults();
        let context = format!("{changes} changes");
        let passed = passed(&outcome, &directory, &needles, |_| true, &context);
        assert_repeatable(&directory.open(options()), &directory, &needles, &context);
        if passed {
            break;
        }
        ended += 1;
    }
    println!("{ended} purges were cut short");
    assert!(ended > 5);
}

#[test]
fn what_has_returned_stays_done() {
    for erase in [true, false] {
        let directory = simulated();
        let (store, needles) = filled(&directory);
        empty(&store, erase);
        for seed in 0..20 {
            for loss in [Loss::AllUnsynced, Loss::Torn, Loss::None] {
                let left = directory.sim().with(directory.sim().storage.crash(loss, seed));
                let found = needles.in_files(&left.files());
                assert_eq!(found, Vec::<String>::new(), "purge {erase}, {loss:?}, seed {seed}");
                assert_eq!(items(&left.open(options()), &scope()), 0);
            }
        }
    }
}

#[test]
fn what_has_returned_stays_done_on_a_real_disk_with_default_tuning() {
    for erase in [true, false] {
        let directory = Directory::real();
        let (store, needles) = filled(&directory);
        empty(&store, erase);
        let left = directory.killed();
        drop(store);
        for round in 0..2 {
            assert_eq!(needles.in_files(&left.files()), Vec::<String>::new(), "purge {erase}, open {round}");
            let store = left.open(options());
            assert_eq!(items(&store, &scope()), 0);
            store.close().unwrap();
        }
    }
}

/// By a purge, or by a delete and a compaction.
fn empty(store: &Store, erase: bool) {
    if erase {
        purge(store).unwrap();
    } else {
        store.delete_range(&scope()).unwrap();
        store.compact().unwrap();
    }
}

fn is_full(error: &vecmem::Error) -> bool {
    error.kind() == ErrorKind::DiskFull
}

#[test]
fn after_a_full_disk() {
    let mut outcomes = [0, 0];
    for kib in (0..40).chain((40..400).step_by(24)) {
        let directory = simulated();
        let (store, needles) = filled(&directory);
        let storage = &directory.sim().storage;
        storage.set_capacity(storage.used_bytes() + (kib << 10));
        let context = format!("{kib} KiB");
        outcomes[usize::from(passed(&purge(&store), &directory, &needles, is_full, &context))] += 1;
        storage.set_capacity(u64::MAX);
        assert_repeatable(&store, &directory, &needles, &context);
    }
    let [refused, passed] = outcomes;
    println!("{refused} purges were refused, {passed} passed");
    assert!(refused > 3 && passed > 3);
}

#[test]
fn after_a_full_real_disk_with_default_tuning() {
    let (filled, needles) = left_on_a_real_disk();
    let mut outcomes = [0, 0];
    for kib in (0..64).step_by(8).chain([512, 8_192]) {
        let Some(disk) = Tmpfs::mount(40) else { return };
        let path = disk.path().join("store");
        let directory = filled.killed_into(&path);
        let store = reopened(&directory);
        disk.fill_to(kib << 10);
        let context = format!("{kib} KiB");
        outcomes[usize::from(passed(&purge(&store), &directory, &needles, is_full, &context))] += 1;
        std::fs::remove_file(disk.path().join("ballast")).unwrap();
        assert_repeatable(&store, &directory, &needles, &context);
    }
    let [refused, passed] = outcomes;
    println!("{refused} purges were refused, {passed} passed");
    assert!(refused > 1 && passed > 1);
}

fn fault_of_removal(sticky: bool) -> Fault {
    let removes = &[SimOperation::Remove];
    if sticky { Fault::sticky(FaultKind::Io, removes) } else { Fault::once(FaultKind::Io, removes) }
}

/// Purges while the file to be removed after so many others stays, and then again. Tells whether the first one passed.
fn purges_beside_what_stays(store: Store, directory: &Directory, needles: &Needles, after: u64, sticky: bool) -> bool {
    let context = format!("remove {after}, sticky {sticky}");
    directory.fail_after(after, fault_of_removal(sticky));
    let is_expected = |error: &vecmem::Error| sticky || error.kind() == ErrorKind::Poisoned;
    let passed = passed(&purge(&store), directory, needles, is_expected, &context);
    directory.clear_faults();
    let store = if store.sync().is_ok() {
        store
    } else {
        drop(store);
        directory.open(options())
    };
    assert_repeatable(&store, directory, needles, &context);
    passed
}

#[test]
fn after_a_file_that_could_not_be_removed() {
    let mut refused = 0;
    for after in 0..40 {
        for sticky in [false, true] {
            let directory = simulated();
            let (store, needles) = filled(&directory);
            refused += u64::from(!purges_beside_what_stays(store, &directory, &needles, after, sticky));
        }
    }
    assert!(refused > 5, "{refused}");
}

#[test]
fn after_a_file_that_could_not_be_removed_from_a_real_disk_with_default_tuning() {
    let (filled, needles) = left_on_a_real_disk();
    let mut refused = 0;
    for after in 0..12 {
        for sticky in [false, true] {
            let directory = filled.killed();
            let store = reopened(&directory);
            refused += u64::from(!purges_beside_what_stays(store, &directory, &needles, after, sticky));
        }
    }
    println!("{refused} purges were refused");
    assert!(refused > 5, "{refused}");
}

#[test]
fn what_only_the_log_still_holds_goes_at_the_first_try() {
    for purges in [true, false] {
        let one_file = Tuning { log_file_min_bytes: 1 << 20, log_file_max_bytes: 1 << 20, ..Tuning::tiny() };
        let directory = Directory::simulated_with(one_file);
        let store = directory.open(options());
        let needles = put_and_delete(&store);
        // The part is full, and flushed without what was deleted.
        for number in 0..23 {
            store.put(Canary::new("kept", 300 + 3 * number).put()).unwrap();
        }
        erases_what_only_the_log_holds(&store, &directory, &needles, purges);
        let left = directory.sim().with(directory.sim().storage.crash(Loss::AllUnsynced, 0));
        assert_eq!(needles.in_files(&left.files()), Vec::<String>::new(), "purges: {purges}, after a power loss");
    }
}

#[test]
fn what_only_the_log_still_holds_goes_at_the_first_try_on_a_real_disk_with_default_tuning() {
    for purges in [true, false] {
        let directory = Directory::real();
        let store = directory.open(options());
        let small = |number: usize| Put::new(&namespace(["kept"]), number.to_string(), "{}");
        for chunk in (0..8_000).collect::<Vec<_>>().chunks(1_000) {
            let mut batch = Batch::new();
            for &number in chunk {
                batch.put(small(number));
            }
            store.batch(batch).unwrap();
        }
        let needles = put_and_delete(&store);
        // One by one until the part is full, so that nothing is left in memory once it is flushed.
        for number in 8_000..9_000 {
            store.put(small(number)).unwrap();
            let stats = store.stats().unwrap();
            if stats.memory.frozen_memtables > 0 || stats.memory.memtable_rows == 0 {
                break;
            }
        }
        let since = Instant::now();
        while store.stats().unwrap().memory.frozen_memtables > 0 {
            assert!(since.elapsed() < Duration::from_secs(30), "{:#?}", store.stats().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        erases_what_only_the_log_holds(&store, &directory, &needles, purges);
    }
}

/// An item that is deleted before it was in a segment.
fn put_and_delete(store: &Store) -> Needles {
    let canary = Canary::new("doomed", 3);
    store.put(canary.put()).unwrap();
    assert!(store.delete(&canary.namespace(), &canary.key()).unwrap());
    let mut needles = Needles::default();
    needles.add(&canary, true);
    needles
}

/// Two manifests know that no log is needed any more, and yet it is there.
fn erases_what_only_the_log_holds(store: &Store, directory: &Directory, needles: &Needles, purges: bool) {
    store.set_setting("a", Some("{}")).unwrap();
    let stats = store.stats().unwrap();
    assert_eq!(
        (stats.memory.memtable_rows, stats.log.checkpoint_lsn, stats.size.dead_rows),
        (0, stats.log.visible_lsn, 0),
        "{stats:#?}"
    );
    let found = needles.in_files(&directory.files());
    assert!(!found.is_empty() && found.iter().all(|found| found.starts_with("log ")), "{found:?}");
    if purges {
        // Without a delete of its own, which would be logged and flushed.
        store.purge_with(&scope(), &PurgeOptions::new().keep_living(true)).unwrap();
    } else {
        store.compact().unwrap();
    }
    assert_eq!(needles.in_files(&directory.files()), Vec::<String>::new(), "purges: {purges}");
}
