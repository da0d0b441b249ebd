//! A purge beside a backup waits for it, and ends it after its grace: then no file of the store holds what was purged,
//! and the target is what it was before.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::common::gate::{Gate, Step};
use crate::common::{namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Loss, SimClock, SimStorage, Storage, backup_to};
use vecmem::{BackupOptions, BackupReport, ErrorKind, HolderKind, Metric, PurgeOptions, Put, Scope, Store};

const SECRET: &str = "what nobody may find";
const LONG: Duration = Duration::from_secs(100);

/// A store that holds a secret in a segment and in the log.
fn filled() -> (Store, SimStorage, SimClock) {
    let (store, storage, clock) = simulated(tiny(2, Metric::Dot));
    for number in 0..60 {
        store.put(numbered(&namespace(["a"]), format!("{number}"), number).vector([1.0, number as f32])).unwrap();
        if number % 20 == 3 {
            let json = format!("{{\"text\":\"{SECRET}\"}}");
            store.put(Put::new(&namespace(["secret"]), format!("{number}"), json)).unwrap();
        }
    }
    (store, storage, clock)
}

fn holders_of_the_secret(storage: &SimStorage) -> Vec<String> {
    let holds = |name: &String| {
        storage.read_file(name).is_some_and(|bytes| bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()))
    };
    storage.names().into_iter().filter(holds).collect()
}

/// Runs `meanwhile` while a backup into `target` is held up amid its first segment file.
fn beside_a_backup(
    store: &Store,
    target: &SimStorage,
    meanwhile: impl FnOnce(&Gate) + Send,
) -> vecmem::Result<BackupReport> {
    let (gated, gate) = Gate::before(Arc::new(target.clone()));
    gate.close(Step::Write, "truth", 0);
    thread::scope(|scope| {
        let storage: &dyn Storage = &*gated;
        let backup = scope.spawn(move || backup_to(store, storage, &BackupOptions::new()));
        gate.wait_until_held();
        meanwhile(&gate);
        gate.open();
        backup.join().unwrap()
    })
}

#[test]
fn after_the_grace_nothing_of_the_scope_is_left() {
    let (store, storage, clock) = filled();
    let target = SimStorage::new(1);
    backup_to(&store, &target, &BackupOptions::new()).unwrap();
    let old = store.text_dump().unwrap();
    store.put(numbered(&namespace(["a"]), "new", 1)).unwrap();
    store.flush().unwrap();
    assert!(!holders_of_the_secret(&storage).is_empty());
    let outcome = beside_a_backup(&store, &target, |_| {
        let options = PurgeOptions::new().grace(Duration::ZERO);
        let receipt = store.purge_with(&Scope::Namespace(namespace(["secret"])), &options).unwrap();
        let kinds: Vec<HolderKind> = receipt.holders.ended.iter().map(|ended| ended.kind).collect();
        assert_eq!(kinds, [HolderKind::Backup], "{receipt:?}");
        assert_eq!(holders_of_the_secret(&storage), Vec::<String>::new());
        assert!(receipt.files_unlinked.iter().any(|name| name.ends_with("truth")), "{receipt:?}");
        assert!(receipt.not_reached.contains("backups"), "{receipt:?}");
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SnapshotGone, "{error}");
    assert!(error.to_string().contains("make the backup again"), "{error}");
    let left = reopened(&target.crash(Loss::None, 0), &clock, tiny(2, Metric::Dot));
    assert_eq!(left.text_dump().unwrap(), old, "it is still the backup that it was");

    backup_to(&store, &target, &BackupOptions::new()).unwrap();
    assert_eq!(holders_of_the_secret(&target), Vec::<String>::new());
    let copy = reopened(&target, &clock, tiny(2, Metric::Dot));
    assert_eq!(copy.text_dump().unwrap(), store.text_dump().unwrap());
}

#[test]
fn a_backup_that_ends_in_time_is_waited_for() {
    let (store, storage, clock) = filled();
    let dump = store.text_dump().unwrap();
    let target = SimStorage::new(1);
    thread::scope(|scope| {
        let mut purge = None;
        let outcome = beside_a_backup(&store, &target, |_| {
            let store = store.clone();
            purge = Some(scope.spawn(move || {
                let options = PurgeOptions::new().grace(LONG);
                store.purge_with(&Scope::Namespace(namespace(["secret"])), &options).unwrap()
            }));
            // The purge may reach its wait now or later; it is the same to the backup.
        });
        let receipt = purge.unwrap().join().unwrap();
        assert!(receipt.holders.ended.is_empty(), "{receipt:?}");
        assert!(receipt.holders.waited_seconds < LONG.as_secs_f64());
        let report = outcome.unwrap();
        assert!(report.lsn > 0);
    });
    assert_eq!(holders_of_the_secret(&storage), Vec::<String>::new());
    let copy = reopened(&target, &clock, tiny(2, Metric::Dot));
    assert_eq!(copy.text_dump().unwrap(), dump, "a purge does not reach backups");
}

#[test]
fn what_became_obsolete_beside_a_backup_goes_when_it_ends() {
    let (store, storage, clock) = filled();
    let dump = store.text_dump().unwrap();
    let target = SimStorage::new(1);
    let mut kept = 0;
    let report = beside_a_backup(&store, &target, |_| {
        store.delete_range(&Scope::prefix(["a"]).unwrap()).unwrap();
        store.compact().unwrap();
        store.compact().unwrap();
        kept = storage.names().len();
    });
    assert!(storage.names().len() < kept, "{:?}", storage.names());
    assert_eq!(reopened(&target, &clock, tiny(2, Metric::Dot)).text_dump().unwrap(), dump, "{report:?}");
    let (left, contents) = (storage.names(), store.text_dump().unwrap());
    store.close().unwrap();
    let store = reopened(&storage, &clock, tiny(2, Metric::Dot));
    assert_eq!(store.text_dump().unwrap(), contents);
    let gone: Vec<&String> = left.iter().filter(|name| !storage.names().contains(name)).collect();
    assert!(gone.iter().all(|name| name.starts_with("wal-")), "the open finds no orphan: {gone:?}");
}

#[test]
fn the_next_open_removes_what_a_killed_backup_kept() {
    let (store, storage, clock) = filled();
    let target = SimStorage::new(1);
    let mut killed = None;
    drop(beside_a_backup(&store, &target, |_| {
        store.delete_range(&Scope::prefix(["a"]).unwrap()).unwrap();
        store.compact().unwrap();
        killed = Some(storage.crash(Loss::None, 0));
    }));
    let (killed, contents) = (killed.unwrap(), store.text_dump().unwrap());
    let before = killed.names().len();
    let store = reopened(&killed, &clock, tiny(2, Metric::Dot));
    assert_eq!(store.text_dump().unwrap(), contents);
    assert!(killed.names().len() < before, "{:?}", killed.names());
}
