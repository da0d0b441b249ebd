//! What the simulator loses, keeps, tears and refuses.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Fault, FaultKind, Loss, SimOperation, SimStorage};
use crate::error::ErrorKind;
use crate::storage::Storage;

const SEEDS: u64 = 400;

/// A file of `length` times 1, wholly durable.
fn durable_ones(storage: &SimStorage, name: &str, length: usize) {
    let file = storage.create(name).unwrap();
    file.write_at(0, &vec![1; length]).unwrap();
    file.sync_all().unwrap();
    storage.sync_dir().unwrap();
}

#[test]
fn bytes_and_names_need_a_sync_each() {
    let storage = SimStorage::new(3);
    let lost = || storage.crash(Loss::AllUnsynced, 0);
    let file = storage.create("a").unwrap();
    file.write_at(0, b"hello").unwrap();
    file.sync_data().unwrap();
    assert!(lost().names().is_empty(), "a name without sync_dir");
    storage.sync_dir().unwrap();
    assert_eq!(lost().read_file("a").unwrap(), b"", "sync_data makes no length durable");
    file.sync_all().unwrap();
    assert_eq!(lost().read_file("a").unwrap(), b"hello");
    file.write_at(3, b"p me").unwrap();
    assert_eq!(lost().read_file("a").unwrap(), b"hello");
    file.sync_data().unwrap();
    assert_eq!(lost().read_file("a").unwrap(), b"help ");
    assert_eq!(storage.crash(Loss::None, 0).read_file("a").unwrap(), b"help me");
    file.sync_all().unwrap();
    assert_eq!(lost().read_file("a").unwrap(), b"help me");
    file.set_len(2).unwrap();
    file.write_at(3, b"x").unwrap();
    file.sync_data().unwrap();
    assert_eq!(lost().read_file("a").unwrap(), b"he\0x", "a cut goes with the writes around it");
    storage.rename("a", "b").unwrap();
    assert_eq!(lost().names(), ["a"]);
    assert_eq!(storage.crash(Loss::None, 0).names(), ["b"]);
    storage.sync_dir().unwrap();
    storage.remove("b").unwrap();
    assert_eq!(lost().names(), ["b"]);
    storage.sync_dir().unwrap();
    assert!(lost().names().is_empty());
}

#[test]
fn a_killed_process_leaves_unsynced_bytes_unsynced() {
    let storage = SimStorage::new(4);
    durable_ones(&storage, "a", 4);
    storage.open("a").unwrap().write_at(0, &[2; 4]).unwrap();
    storage.map("a").unwrap();
    let next = storage.crash(Loss::None, 0);
    assert_eq!(next.read_file("a").unwrap(), [2; 4]);
    assert_eq!(next.crash(Loss::AllUnsynced, 0).read_file("a").unwrap(), [1; 4]);
    next.open("a").unwrap().write_at(0, &[3; 4]).unwrap();
    assert_eq!(storage.read_file("a").unwrap(), [2; 4], "survivors are independent");
}

#[test]
fn torn_writes_take_every_form_and_spare_what_was_synced() {
    let storage = SimStorage::new(5);
    durable_ones(&storage, "a", 3000);
    let file = storage.open("a").unwrap();
    file.write_at(1000, &[2; 3000]).unwrap();
    let mut forms = BTreeSet::new();
    for seed in 0..SEEDS {
        let torn = storage.crash(Loss::Torn, seed);
        let bytes = torn.read_file("a").unwrap();
        assert_eq!(bytes, storage.crash(Loss::Torn, seed).read_file("a").unwrap(), "seed {seed} repeats itself");
        assert_eq!(torn.crash(Loss::AllUnsynced, 0).read_file("a").unwrap(), bytes, "a survivor is durable");
        assert!(bytes[..1000].iter().all(|&byte| byte == 1), "seed {seed} lost synced bytes");
        assert!((3000..=4000).contains(&bytes.len()), "seed {seed}");
        let count = |value| bytes[1000..].iter().filter(|&&byte| byte == value).count();
        let (first, last) = (bytes[1000], bytes.last().copied().unwrap());
        forms.insert(match (count(2), bytes.len()) {
            (3000, _) => "whole",
            (0, 3000) => "nothing",
            (0, 4000) if first == 0 => "zeros",
            (0, 4000) => "length only",
            (_, 4000) if first == 2 && last == 2 => "both ends",
            (_, 4000) if last == 2 => "suffix",
            _ => "prefix",
        });
    }
    assert_eq!(
        forms.into_iter().collect::<Vec<_>>(),
        ["both ends", "length only", "nothing", "prefix", "suffix", "whole", "zeros"]
    );
}

#[test]
fn torn_names_survive_in_any_combination_but_renames_are_atomic() {
    let storage = SimStorage::new(6);
    durable_ones(&storage, "current", 1);
    durable_ones(&storage, "log", 2);
    durable_ones(&storage, "next", 3);
    storage.create("new").unwrap();
    storage.rename("next", "current").unwrap();
    storage.remove("log").unwrap();
    let mut seen = BTreeSet::new();
    for seed in 0..SEEDS {
        let torn = storage.crash(Loss::Torn, seed);
        let current = torn.read_file("current").unwrap().len();
        assert_eq!(torn.names().contains(&"next".to_owned()), current == 1, "seed {seed}: half a rename");
        seen.insert((current, torn.names().contains(&"log".to_owned()), torn.names().contains(&"new".to_owned())));
    }
    assert_eq!(seen.len(), 8, "every combination of three changes");
}

#[test]
fn a_file_never_gets_two_names() {
    let storage = SimStorage::new(7);
    durable_ones(&storage, "a", 1);
    storage.rename("a", "b").unwrap();
    storage.rename("b", "c").unwrap();
    storage.create("a").unwrap();
    for seed in 0..SEEDS {
        let torn = storage.crash(Loss::Torn, seed);
        let names = torn.names();
        let holding: Vec<_> = names.iter().filter(|name| torn.read_file(name).unwrap() == [1]).collect();
        assert_eq!(holding.len(), 1, "seed {seed}: {names:?}");
    }
}

#[test]
fn a_failed_sync_loses_what_it_covered_for_good() {
    let storage = SimStorage::new(8);
    durable_ones(&storage, "a", 4);
    let file = storage.open("a").unwrap();
    file.write_at(0, &[2; 4]).unwrap();
    storage.fail_after(0, Fault::once(FaultKind::Io, SimOperation::SYNCS));
    assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Io);
    assert!(storage.fault_struck());
    file.sync_all().unwrap();
    assert_eq!(storage.read_file("a").unwrap(), [2; 4], "still visible");
    assert_eq!(storage.crash(Loss::AllUnsynced, 0).read_file("a").unwrap(), [1; 4], "yet gone");
    storage.create("b").unwrap();
    storage.fail_after(0, Fault::once(FaultKind::Io, SimOperation::SYNCS));
    storage.sync_dir().unwrap_err();
    storage.sync_dir().unwrap();
    assert_eq!(storage.names(), ["a", "b"]);
    assert_eq!(storage.crash(Loss::AllUnsynced, 0).names(), ["a"]);
}

#[test]
fn faults_strike_where_ordered() {
    let storage = SimStorage::new(9);
    let file = storage.create("a").unwrap();
    storage.fail_after(2, Fault::once(FaultKind::Io, &[SimOperation::Write]));
    let outcomes: Vec<bool> = (0..4).map(|i| file.write_at(i, &[1]).is_ok()).collect();
    assert_eq!(outcomes, [true, true, false, true]);
    assert_eq!(storage.read_file("a").unwrap(), [1, 1, 0, 1]);
    storage.fail_after(1, Fault::sticky(FaultKind::Full, SimOperation::GROWTH));
    assert!(storage.create("b").is_ok());
    for _ in 0..3 {
        assert_eq!(file.write_at(0, &[9]).unwrap_err().kind(), ErrorKind::DiskFull);
        assert_eq!(storage.create("c").err().unwrap().kind(), ErrorKind::DiskFull);
        file.sync_all().unwrap();
    }
    storage.clear_faults();
    storage.fail_after(0, Fault::once(FaultKind::Short, SimOperation::CHANGES));
    file.write_at(0, &[5; 100]).unwrap_err();
    let bytes = storage.read_file("a").unwrap();
    assert!(bytes.len() < 100 && bytes.iter().skip(4).all(|&byte| byte == 5), "a part, and only a first part");
    storage.fail_after(0, Fault::once(FaultKind::Io, SimOperation::READS));
    assert!(storage.list().is_err() && storage.list().is_ok());
}

#[test]
fn a_full_disk_takes_what_fits() {
    let storage = SimStorage::new(10);
    storage.set_capacity(1000);
    let file = storage.create("a").unwrap();
    file.set_len(600).unwrap();
    assert_eq!(storage.free_bytes().unwrap(), 400);
    assert_eq!(file.set_len(1001).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(file.write_at(500, &[1; 600]).unwrap_err().kind(), ErrorKind::DiskFull);
    assert_eq!(file.len().unwrap(), 1000);
    file.write_at(0, &[2; 1000]).unwrap();
    assert_eq!(storage.create("b").err().unwrap().kind(), ErrorKind::DiskFull);
    drop(file);
    storage.remove("a").unwrap();
    storage.sync_dir().unwrap();
    assert_eq!(storage.used_bytes(), 0);
    storage.create("b").unwrap();
}

#[test]
fn images_show_the_disk_before_each_sync() {
    let storage = SimStorage::new(11);
    storage.record_sync_points();
    storage.record_trace();
    let file = storage.create("a").unwrap();
    storage.sync_dir().unwrap();
    for round in 1..=100 {
        storage.set_tag(round);
        file.write_at(round - 1, &[round as u8]).unwrap();
        file.sync_all().unwrap();
    }
    assert_eq!(storage.syncs(), 101);
    assert_eq!(storage.trace()[..4], ["create a", "sync_dir .", "write a", "sync_all a"]);
    let images = storage.take_images();
    assert_eq!(images.len(), 101);
    assert!(images[0].survivor(Loss::AllUnsynced, 0).names().is_empty());
    for image in &images[1..] {
        let length = |loss| image.survivor(loss, 0).read_file("a").unwrap().len() as u64;
        assert_eq!((length(Loss::AllUnsynced), length(Loss::None)), (image.tag - 1, image.tag));
    }
    assert!(storage.take_images().is_empty());
}

#[test]
fn writing_to_a_mapped_file_panics() {
    let storage = SimStorage::new(12);
    durable_ones(&storage, "a", 10);
    let file = storage.open("a").unwrap();
    assert_eq!(&*storage.map("a").unwrap(), [1; 10]);
    assert!(catch_unwind(AssertUnwindSafe(|| file.write_at(0, &[2]))).is_err());
    assert_eq!(storage.read_file("a").unwrap(), [1; 10]);
}

#[test]
fn damage_is_done_behind_the_engines_back() {
    let storage = SimStorage::new(13);
    storage.write_file("a", &[0; 5000]);
    storage.flip_bit("a", 8 * 4999 + 3);
    assert_eq!(storage.read_file("a").unwrap()[4999], 8);
    storage.truncate("a", 4999);
    storage.truncate("a", 5000);
    let left = storage.crash(Loss::AllUnsynced, 0).read_file("a").unwrap();
    assert_eq!(left, [0; 5000]);
    storage.remove_file("a");
    assert!(storage.crash(Loss::AllUnsynced, 0).names().is_empty());
}
