//! A restore finds every changed byte of a backup, in each of its files, and leaves no store then.

use crate::common::{Random, namespace, simulated, tiny};
use vecmem::testing::{Loss, SimStorage, backup_to, restore};
use vecmem::{BackupOptions, ErrorKind, Metric, Put};

/// A backup with every kind of file.
fn backup() -> SimStorage {
    let (store, ..) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["a"]);
    for number in 0..120_u64 {
        let text = if number.is_multiple_of(30) { "large ".repeat(60) } else { "small".to_owned() };
        let json = format!("{{\"n\":{number},\"text\":\"{text}\"}}");
        store.put(Put::new(&home, format!("{number}"), json).vector([1.0, number as f32])).unwrap();
    }
    let mut batch = vecmem::Batch::new();
    batch.operation_id("once");
    batch.delete(&home, "5");
    store.batch(batch).unwrap();
    store.flush().unwrap();
    store.delete(&home, "7").unwrap();
    store.put(Put::new(&home, "flushed", "{}").vector([1.0, 2.0])).unwrap();
    store.flush().unwrap();
    store.put(Put::new(&home, "in the log", "{}")).unwrap();
    let target = SimStorage::new(1);
    backup_to(&store, &target, &BackupOptions::new()).unwrap();
    target
}

#[test]
fn wherever_it_lies() {
    let (backup, mut random) = (backup(), Random::new(11));
    let names = backup.names();
    for kind in ["truth", "codes", "blob", "dead", "log", "operations"] {
        assert!(names.iter().any(|name| name.ends_with(kind)), "{kind}: {names:?}");
    }
    for name in &names {
        let bytes = backup.read_file(name).unwrap().len() as u64;
        let mut places: Vec<u64> = vec![0, bytes - 1, 4096.min(bytes - 1)];
        places.extend((0..25).map(|_| random.below(bytes)));
        for place in places {
            let damaged = backup.crash(Loss::None, 0);
            damaged.flip_bit(name, 8 * place + place % 8);
            let into = SimStorage::new(2);
            let error = restore(&damaged, &into, &BackupOptions::new()).unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NewerFormat),
                "byte {place} of {name}: {:?} {error}",
                error.kind()
            );
            assert!(error.to_string().contains(name.as_str()), "byte {place} of {name}: {error}");
            let (offset, header) = (error.location().and_then(|found| found.offset), 4096);
            if ["truth", "codes", "blob"].iter().any(|kind| name.ends_with(kind)) && place == header {
                assert_eq!(offset, Some(header), "the block is told: byte {place} of {name}: {error}");
            } else if name.ends_with("log") {
                assert_eq!(offset, None, "nothing is told that is not known: byte {place} of {name}: {error}");
            }
            assert_eq!(into.names(), Vec::<String>::new(), "byte {place} of {name}");
        }
        for length in [0, bytes / 2, bytes - 1, bytes + 1] {
            let damaged = backup.crash(Loss::None, 0);
            damaged.truncate(name, length);
            let into = SimStorage::new(2);
            assert!(restore(&damaged, &into, &BackupOptions::new()).is_err(), "{name} with {length} bytes");
            assert_eq!(into.names(), Vec::<String>::new());
        }
        let without = backup.crash(Loss::None, 0);
        without.remove_file(name);
        let error = restore(&without, &SimStorage::new(2), &BackupOptions::new()).unwrap_err();
        assert!(!error.to_string().contains("cannot be copied"), "without {name}: {error}");
    }
    restore(&backup, &SimStorage::new(2), &BackupOptions::new()).unwrap();
}
