//! A second backup into the same directory copies what is new, and then equals one into an empty directory.

use std::collections::BTreeMap;

use crate::common::{Random, assert_unchanged, namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{SimClock, SimStorage, backup_to};
use vecmem::{BackupOptions, ImportOptions, Metric, Put, Scope, Store};

fn put(store: &Store, label: &str, number: u64) {
    let vector = [number as f32 + 1.0, 1.0];
    store.put(numbered(&namespace([label]), format!("{:03}", number % 40), number).vector(vector)).unwrap();
}

/// One random change of the store.
fn change(store: &Store, random: &mut Random) {
    match random.below(12) {
        0 => store.delete_range(&Scope::prefix(["b"]).unwrap()).unwrap(),
        1 => store.flush().unwrap(),
        2 => drop(store.compact().unwrap()),
        3 => {
            let from = random.below(1_000);
            let home = namespace(["c"]);
            let puts = (from..from + 60).map(|number| {
                Ok(Put::new(&home, format!("{number}"), format!("{{\"n\":{number}}}")).vector([1.0, number as f32]))
            });
            store.import(puts, ImportOptions::new()).unwrap();
        }
        4 => drop(store.delete(&namespace(["a"]), &format!("{:03}", random.below(40))).unwrap()),
        5 => put_large(store, random.below(5)),
        _ => (0..random.below(30)).for_each(|_| put(store, ["a", "b"][random.below(2) as usize], random.below(10_000))),
    }
}

fn put_large(store: &Store, number: u64) {
    let json = format!("{{\"n\":{number},\"text\":\"{}\"}}", "large ".repeat(100));
    store.put(Put::new(&namespace(["large"]), format!("{number}"), json)).unwrap();
}

/// The files that make up a copy: those of its incarnation apart, all must be the same in every copy of one moment.
fn files_of(storage: &SimStorage) -> BTreeMap<String, Vec<u8>> {
    let names = storage.names().into_iter().filter(|name| name.starts_with("seg-") || name.starts_with("wal-"));
    names.map(|name| (name.clone(), storage.read_file(&name).unwrap())).collect()
}

fn opened(storage: &SimStorage, clock: &SimClock) -> Store {
    reopened(&storage.crash(vecmem::testing::Loss::AllUnsynced, 1), clock, tiny(2, Metric::Dot))
}

#[test]
fn every_later_backup_equals_a_full_one() {
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let (mut store, storage, clock) = simulated(tiny(2, Metric::Dot));
        let later = SimStorage::new(seed);
        for round in 0..12 {
            (0..random.below(8)).for_each(|_| change(&store, &mut random));
            if random.below(4) == 0 {
                store.close().unwrap();
                store = reopened(&storage, &clock, tiny(2, Metric::Dot));
            }
            let dump = store.text_dump().unwrap();
            let report = backup_to(&store, &later, &BackupOptions::new()).unwrap();
            let full = SimStorage::new(seed + 100);
            let of_full = backup_to(&store, &full, &BackupOptions::new()).unwrap();
            let context = format!("seed {seed}, round {round}: {report:?}");
            assert_eq!(report.lsn, of_full.lsn, "{context}");
            assert_unchanged(&opened(&later, &clock), &dump);
            assert_unchanged(&opened(&full, &clock), &dump);
            let count = |report: &vecmem::BackupReport| report.files_copied + report.files_reused;
            assert_eq!((count(&of_full), of_full.files_reused, of_full.files_removed), (of_full.files - 2, 0, 0));
            assert_eq!((count(&report), report.files_verified), (report.files - 2, report.files - 2), "{context}");
            // The full one may have a later log file more, which is empty: it turned the log again.
            let (later_files, full_files) = (files_of(&later), files_of(&full));
            assert!(later_files.iter().all(|(name, bytes)| full_files.get(name) == Some(bytes)), "{context}");
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
        }
    }
}

#[test]
fn what_is_there_already_is_not_copied_again() {
    let (store, _, clock) = simulated(tiny(2, Metric::Dot));
    (0..200).for_each(|number| put(&store, "a", number));
    store.compact().unwrap();
    let target = SimStorage::new(1);
    let first = backup_to(&store, &target, &BackupOptions::new()).unwrap();
    assert!(first.bytes_copied > 10_000 && first.bytes_reused == 0, "{first:?}");

    put(&store, "b", 1);
    let second = backup_to(&store, &target, &BackupOptions::new()).unwrap();
    assert_eq!(second.lsn, first.lsn + 1);
    assert!(second.files_reused >= first.files_copied - 2, "{second:?}");
    let logs = |report: &vecmem::BackupReport| report.bytes_copied;
    assert!(logs(&second) <= (3 * 32) << 10, "only log files are new: {second:?}");
    assert_unchanged(&opened(&target, &clock), &store.text_dump().unwrap());

    (0..200).for_each(|number| put(&store, "a", number));
    store.compact().unwrap();
    let third = backup_to(&store, &target, &BackupOptions::new()).unwrap();
    assert!(third.files_removed > 0, "{third:?}");
    let of_a_copy = target.names().iter().filter(|name| !name.starts_with("LOCK")).count() as u64;
    assert_eq!(of_a_copy, third.files, "{:?}", target.names());
}

#[test]
fn a_damaged_file_of_an_earlier_backup_is_copied_again() {
    let (store, _, clock) = simulated(tiny(2, Metric::Dot));
    (0..100).for_each(|number| put(&store, "a", number));
    let target = SimStorage::new(1);
    backup_to(&store, &target, &BackupOptions::new()).unwrap();
    let names: Vec<String> = files_of(&target).into_keys().collect();
    for name in names {
        target.flip_bit(&name, 8 * 200);
        let report = backup_to(&store, &target, &BackupOptions::new()).unwrap();
        assert!(report.files_copied >= 1, "{name}: {report:?}");
        assert_unchanged(&opened(&target, &clock), &store.text_dump().unwrap());
    }
}
