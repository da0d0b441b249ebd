//! On a disk that the store's own puts have filled, deletes go on, one by one and by scope, and give the space back.

use std::time::{Duration, Instant};

use crate::common::tmpfs::Tmpfs;
use crate::common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{ErrorKind, Namespace, Options, Put, Scope, Store};

fn home(number: u64) -> Namespace {
    namespace(["user", &(number % 50).to_string()])
}

/// Puts values of `bytes` until the disk is full; how many there are.
fn fill(store: &Store, bytes: usize) -> u64 {
    let text = "x".repeat(bytes);
    for number in 0..100_000 {
        let put = Put::new(&home(number), number.to_string(), format!("{{\"text\":\"{text}\"}}"));
        if let Err(error) = store.put(put) {
            assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
            assert!(error.to_string().contains("free some space"), "{error}");
            return number;
        }
    }
    panic!("the disk never gets full");
}

fn deletes_everything_in_steps(store: &Store, items: u64) {
    for number in 0..items * 3 / 4 {
        match store.delete(&home(number), &number.to_string()) {
            Ok(existed) => assert!(existed, "item {number} of {items}"),
            Err(error) => panic!("delete {number} of {items}: {error}\n{:#?}", store.stats().unwrap()),
        }
    }
    store.delete_range(&Scope::from(&home(7))).unwrap();
    store.delete_everything().unwrap();
    assert_eq!(store.stats().unwrap().size.items, 0);
}

#[test]
fn on_a_real_disk_with_threads() {
    let Some(disk) = Tmpfs::mount(120) else { return };
    let store = Store::open(disk.path().join("store"), Options::new()).unwrap();
    for number in 0..20 {
        store.put(numbered(&namespace(["small"]), number.to_string(), number)).unwrap();
    }
    // The reserve of a tiny store, which must grow with it.
    store.compact().unwrap();
    let items = fill(&store, 60_000);
    let (free, stats) = (disk.free(), store.stats().unwrap());
    println!("{items} items, {} MiB free, reserve {} KiB", free >> 20, stats.size.reserve_bytes >> 10);
    assert!(items * 60_000 > 60 << 20, "only {items} items fit on a disk of 120 MiB: {stats:#?}");
    deletes_everything_in_steps(&store, items);
    let deadline = Instant::now() + Duration::from_secs(15);
    while disk.free() < 100 << 20 {
        assert!(Instant::now() < deadline, "{} bytes are free: {:#?}", disk.free(), store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    store.put(numbered(&home(1), "again", 1)).unwrap();
    store.close().unwrap();
    let store = Store::open(disk.path().join("store"), Options::new()).unwrap();
    assert_eq!(store.stats().unwrap().size.items, 1);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn where_others_have_taken_every_byte() {
    let Some(disk) = Tmpfs::mount(120) else { return };
    let store = Store::open(disk.path().join("store"), Options::new()).unwrap();
    let text = "x".repeat(60_000);
    for number in 0..600 {
        store.put(Put::new(&home(number), number.to_string(), format!("{{\"text\":\"{text}\"}}"))).unwrap();
    }
    store.compact().unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.stats().unwrap().size.reserve_bytes < 3 << 20 {
        assert!(Instant::now() < deadline, "no reserve: {:#?}", store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    disk.fill_to(0);
    // Far more deletes than files of the smallest size would find room in the reserve.
    let log_files = store.stats().unwrap().log.files_prepared;
    for round in 0..20 {
        for number in 0..500 {
            store.delete(&home(number), &format!("{number} {round}")).unwrap();
            store.delete(&home(number), &number.to_string()).unwrap();
        }
    }
    let taken = store.stats().unwrap().log.files_prepared - log_files;
    assert!(taken <= 4, "{taken} log files for 500 deletes");
    // A process that is new to the full disk deletes at once, too.
    store.close().unwrap();
    drop(store);
    disk.fill_to(0);
    let store = Store::open(disk.path().join("store"), Options::new()).unwrap();
    store.delete(&home(599), "599").unwrap_or_else(|error| panic!("{error}: {:#?}", store.stats().unwrap()));
    store.delete_range(&Scope::from(&home(7))).unwrap();
    store.delete_everything().unwrap();
    assert_eq!(store.stats().unwrap().size.items, 0);
}

#[test]
fn on_a_simulated_disk() {
    let (store, storage, _) = simulated(tiny_without_vectors());
    for capacity in [300, 500, 700] {
        storage.set_capacity(capacity << 10);
        let items = fill(&store, 500);
        assert!(items * 500 > (capacity << 10) / 4, "{items} of {capacity} KiB: {:#?}", store.stats().unwrap());
        deletes_everything_in_steps(&store, items);
        store.compact().unwrap();
        assert!(storage.used_bytes() < 200 << 10, "{} bytes are used", storage.used_bytes());
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}
