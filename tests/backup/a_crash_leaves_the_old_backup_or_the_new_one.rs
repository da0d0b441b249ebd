//! Whatever operation of a backup fails, and wherever a power loss strikes: the source loses nothing, and the target is
//! the old backup, the new one, or no store. The same call then finishes the backup.

use std::sync::Arc;

use crate::common::{namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, Image, Loss, SimClock, SimStorage, backup_to, open_with, restore};
use vecmem::{BackupOptions, ErrorKind, Metric, Options, Scope, Store};

fn options() -> Options {
    tiny(2, Metric::Dot)
}

fn put(store: &Store, label: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let put = numbered(&namespace([label]), format!("{number}"), number).vector([1.0, number as f32]);
        store.put(put).unwrap();
    }
}

/// A store, the first backup of it, and what both held then.
struct Begun {
    store: Store,
    storage: SimStorage,
    clock: SimClock,
    target: SimStorage,
    old: String,
}

fn begun() -> Begun {
    let (store, storage, clock) = simulated(options());
    put(&store, "a", 0..60);
    let target = SimStorage::new(1);
    backup_to(&store, &target, &BackupOptions::new()).unwrap();
    let old = store.text_dump().unwrap();
    put(&store, "a", 30..90);
    store.delete_range(&Scope::prefix(["b"]).unwrap()).unwrap();
    store.compact().unwrap();
    put(&store, "c", 0..10);
    Begun { store, storage, clock, target, old }
}

/// What a directory holds if it opens. It does not open only if it is marked as unfinished.
fn found(storage: &SimStorage, clock: &SimClock, context: &str) -> Option<String> {
    match open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options().create(false)) {
        Ok(store) => {
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
            Some(store.text_dump().unwrap())
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotAStore, "{context}: {error}");
            None
        }
    }
}

const LOSSES: [(Loss, u64); 5] =
    [(Loss::None, 0), (Loss::AllUnsynced, 0), (Loss::Torn, 1), (Loss::Torn, 2), (Loss::Torn, 3)];

/// That every directory which a crash may leave is one of `wanted`, or none of them if `may_be_none`; and that the same
/// call finishes each.
fn assert_left(image: &Image, begun: &Begun, wanted: &[&str], may_be_none: bool, context: &str) {
    let new = begun.store.text_dump().unwrap();
    for (loss, seed) in LOSSES {
        let context = format!("{context}, {loss:?} {seed}");
        let left = found(&image.survivor(loss, seed), &begun.clock, &context);
        let fits = left.as_deref().map_or(may_be_none, |left| wanted.contains(&left));
        assert!(fits, "{context}: {left:?}");
        let backup = image.survivor(loss, seed);
        let new_store = SimStorage::new(seed);
        match restore(&backup, &new_store, &BackupOptions::new()) {
            Ok(_) => assert_eq!(found(&new_store, &begun.clock, &context), left, "{context}"),
            Err(error) => assert!(left.is_none() && error.kind() == ErrorKind::NotAStore, "{context}: {error}"),
        }
        let again = image.survivor(loss, seed);
        backup_to(&begun.store, &again, &BackupOptions::new()).unwrap_or_else(|error| panic!("{context}: {error}"));
        let finished = again.crash(Loss::AllUnsynced, 0);
        assert_eq!(found(&finished, &begun.clock, &context).as_deref(), Some(new.as_str()), "{context}");
    }
}

#[test]
fn of_the_target_at_every_sync() {
    let begun = begun();
    let new = begun.store.text_dump().unwrap();
    for target in [SimStorage::new(2), begun.target.crash(Loss::None, 0)] {
        let is_first = target.names().is_empty();
        target.record_sync_points();
        backup_to(&begun.store, &target, &BackupOptions::new()).unwrap();
        let images: Vec<Image> = target.take_images().into_iter().chain([target.image()]).collect();
        assert!(images.len() > 6, "{} images", images.len());
        for (number, image) in images.iter().enumerate() {
            let context = format!("first: {is_first}, image {number}");
            // An empty directory is no store either.
            assert_left(image, &begun, &[&begun.old, &new], is_first, &context);
        }
    }
}

#[test]
fn of_the_target_at_every_operation_that_fails() {
    let begun = begun();
    let new = begun.store.text_dump().unwrap();
    for is_first in [true, false] {
        let (mut number, mut struck) = (0, true);
        while struck {
            let target = if is_first { SimStorage::new(2) } else { begun.target.crash(Loss::None, 0) };
            target.fail_after(number, Fault::once(FaultKind::Io, &[]));
            let outcome = backup_to(&begun.store, &target, &BackupOptions::new());
            struck = target.fault_struck();
            target.clear_faults();
            let context = format!("first: {is_first}, operation {number}: {outcome:?}");
            // A derived file that does not open in the last check was compared with its checksums before.
            assert!(struck || outcome.is_ok(), "{context}");
            // A quarter of the operations is enough for what follows, since it is slow.
            let wanted: &[&str] = if outcome.is_ok() { &[&new] } else { &[&begun.old, &new] };
            if number % 4 == 0 || !struck {
                assert_left(&target.image(), &begun, wanted, is_first && outcome.is_err(), &context);
            }
            begun.store.put(numbered(&namespace(["d"]), "goes on", 1)).unwrap_or_else(|error| panic!("{error}"));
            begun.store.delete(&namespace(["d"]), "goes on").unwrap();
            number += 1;
        }
        assert!(number > 30, "{number} operations");
    }
}

#[test]
fn of_the_source_at_every_operation_that_fails() {
    let (mut number, mut struck) = (0, true);
    while struck {
        let begun = begun();
        let wanted = begun.store.text_dump().unwrap();
        let target = begun.target.crash(Loss::None, 0);
        begun.storage.record_sync_points();
        begun.storage.fail_after(number, Fault::once(FaultKind::Io, &[]));
        let outcome = backup_to(&begun.store, &target, &BackupOptions::new());
        struck = begun.storage.fault_struck();
        begun.storage.clear_faults();
        let context = format!("operation {number}: {outcome:?}");
        for image in begun.storage.take_images().into_iter().chain([begun.storage.image()]) {
            for (loss, seed) in LOSSES {
                let source = reopened(&image.survivor(loss, seed), &begun.clock, options());
                assert_eq!(source.text_dump().unwrap(), wanted, "{context}, {loss:?}");
            }
        }
        let left = found(&target.crash(Loss::AllUnsynced, 0), &begun.clock, &context).unwrap();
        assert!(left == if outcome.is_ok() { wanted } else { begun.old }, "{context}");
        number += 1;
    }
    assert!(number > 10, "{number} operations");
}

#[test]
fn a_restore_is_a_store_or_none() {
    let begun = begun();
    for is_torn in [false, true] {
        let (mut number, mut struck) = (0, true);
        while struck {
            let into = SimStorage::new(5);
            into.record_sync_points();
            into.fail_after(number, Fault::once(FaultKind::Io, &[]));
            let outcome = restore(&begun.target.crash(Loss::None, 0), &into, &BackupOptions::new());
            struck = into.fault_struck();
            into.clear_faults();
            let context = format!("operation {number}: {outcome:?}");
            for image in into.take_images().into_iter().chain([into.image()]) {
                let loss = if is_torn { Loss::Torn } else { Loss::AllUnsynced };
                let left = found(&image.survivor(loss, number), &begun.clock, &context);
                assert!(left.is_none_or(|left| left == begun.old), "{context}");
            }
            number += 1;
        }
        assert!(number > 20, "{number} operations");
    }
}
