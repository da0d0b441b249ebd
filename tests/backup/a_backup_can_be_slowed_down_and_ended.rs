//! A throttled backup moves no more bytes than it may, and an interrupt ends a backup at its next step, throttled or
//! not. The same call then makes it.

use std::thread;

use crate::common::{namespace, simulated, tiny};
use vecmem::testing::{SimStorage, backup_to, restore};
use vecmem::{BackupOptions, ErrorKind, Interrupt, Metric, Put, Stage, Store};

fn filled() -> Store {
    let (store, ..) = simulated(tiny(2, Metric::Dot));
    for number in 0..200 {
        let json = format!("{{\"text\":\"{}\"}}", "x".repeat(100));
        store.put(Put::new(&namespace(["a"]), format!("{number}"), json).vector([1.0, number as f32])).unwrap();
    }
    store
}

#[test]
fn by_its_account_of_bytes_and_pauses() {
    let store = filled();
    let free = backup_to(&store, &SimStorage::new(1), &BackupOptions::new()).unwrap();
    assert_eq!(free.paused_seconds, 0.0);
    let moved = free.bytes_copied + free.bytes_verified;
    let rate = moved * 5;
    let target = SimStorage::new(2);
    let slow = backup_to(&store, &target, &BackupOptions::new().bytes_per_second(rate)).unwrap();
    // The log was turned in between, so the second backup may have another empty file.
    let moved = slow.bytes_copied + slow.bytes_verified;
    assert!(slow.paused_seconds > 0.0, "{slow:?}");
    let restored = restore(&target, &SimStorage::new(3), &BackupOptions::new().bytes_per_second(rate)).unwrap();
    assert!(restored.paused_seconds > 0.0, "{restored:?}");
    let least = (restored.bytes_copied + restored.bytes_verified) as f64 / rate as f64;
    assert!(restored.seconds >= least, "{moved} bytes: {restored:?}");
}

#[test]
fn by_an_interrupt_at_any_step() {
    let store = filled();
    let (target, dump) = (SimStorage::new(1), store.text_dump().unwrap());
    let interrupt = Interrupt::new();
    interrupt.request();
    let error = interrupt.around(|| backup_to(&store, &target, &BackupOptions::new())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert!(error.to_string().contains("the same call begins it anew"), "{error}");

    // A backup that would take for ever.
    let interrupt = Interrupt::new();
    let error = thread::scope(|scope| {
        let slow = BackupOptions::new().bytes_per_second(1);
        let (store, target, inside) = (&store, &target, interrupt.clone());
        let backup = scope.spawn(move || inside.around(|| backup_to(store, target, &slow)));
        while interrupt.progress().stage != Stage::Backup {
            thread::yield_now();
        }
        interrupt.request();
        backup.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");

    let interrupt = Interrupt::new();
    let report = interrupt.around(|| backup_to(&store, &target, &BackupOptions::new())).unwrap();
    assert!(report.files_verified > 0 && interrupt.progress().done > 0);
    let error = interrupt_of_a_second(&store, &target);
    assert!(error.to_string().contains("still the backup that it was before"), "{error}");
    let into = SimStorage::new(2);
    restore(&target, &into, &BackupOptions::new()).unwrap();
    assert_eq!(store.text_dump().unwrap(), dump, "the source is as it was");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

fn interrupt_of_a_second(store: &Store, target: &SimStorage) -> vecmem::Error {
    let interrupt = Interrupt::new();
    interrupt.request();
    interrupt.around(|| backup_to(store, target, &BackupOptions::new())).unwrap_err()
}

#[test]
fn by_a_close_of_the_store() {
    let store = filled();
    let target = SimStorage::new(1);
    let interrupt = Interrupt::new();
    let error = thread::scope(|scope| {
        let slow = BackupOptions::new().bytes_per_second(1);
        let (of_backup, target, inside) = (store.clone(), &target, interrupt.clone());
        let backup = scope.spawn(move || inside.around(|| backup_to(&of_backup, target, &slow)));
        while interrupt.progress().stage != Stage::Backup {
            thread::yield_now();
        }
        store.close().unwrap();
        backup.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Closed, "{error}");
}
