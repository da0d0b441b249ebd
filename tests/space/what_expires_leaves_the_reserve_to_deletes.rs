//! A sweep in the background frees space only later. On a full disk it does not take the reserve, which deletes that
//! somebody asks for need.

use std::time::{Duration, Instant};

use crate::common::tmpfs::Tmpfs;
use crate::common::{START, canaries, namespace, simulated, tiny_without_vectors};
use vecmem::testing::SimClock;
use vecmem::{Batch, ErrorKind, Options, Put, Scope, Tuning};

#[test]
fn a_sweep_waits_for_space_and_a_delete_does_not() {
    // Nothing is merged, so that only the log takes space, and much of it.
    let tuning = Tuning { dead_percent: 1_000, ..Tuning::tiny() };
    let (store, storage, clock) = simulated(tiny_without_vectors().tuning(tuning));
    let (home, text) = (namespace(["a"]), "x".repeat(400));
    let key = |number: u64| format!("{number:0300}");
    for number in 0..400_u64 {
        let put = Put::new(&home, key(number), format!("{{\"text\":\"{text}\"}}"));
        store.put(if number < 300 { put.ttl(Duration::from_secs(3_600)) } else { put }).unwrap();
    }
    store.compact().unwrap();
    store.run_background();
    let reserve = store.stats().unwrap().size.reserve_bytes;
    assert!(reserve > 0);
    storage.set_capacity(storage.used_bytes() + 6_000);
    clock.advance(Duration::from_secs(7_200));
    let error = store.sweep().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(
        store.stats().unwrap().size.reserve_bytes,
        reserve,
        "the reserve is there: {:#?}",
        store.stats().unwrap()
    );
    for number in 300..320 {
        store.delete(&home, &key(number)).unwrap();
    }
    store.delete_range(&Scope::from(&home)).unwrap();
    assert_eq!(store.stats().unwrap().size.items, 0);
}

#[test]
fn on_a_real_disk_with_default_tuning() {
    let Some(disk) = Tmpfs::mount(160) else { return };
    let clock = SimClock::new(START);
    let store = canaries::open(&disk.path().join("store"), &clock, Options::new());
    let (home, text) = (namespace(["a"]), "x".repeat(400));
    let key = |number: u64| format!("{number:0400}");
    // The log of their removal is far larger than what is there of it, and a sweep that stops is far from a merge.
    for thousand in 0..36 {
        let mut batch = Batch::new();
        for number in 1_000 * thousand..1_000 * (thousand + 1) {
            let put = Put::new(&home, key(number), format!("{{\"text\":\"{text}\"}}"));
            batch.put(if thousand < 30 { put.ttl(Duration::from_secs(3_600)) } else { put });
        }
        store.batch(batch).unwrap();
    }
    store.compact().unwrap();
    let since = Instant::now();
    while store.stats().unwrap().size.reserve_bytes < 1 << 20 {
        assert!(since.elapsed() < Duration::from_secs(30), "no reserve: {:#?}", store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    let reserve = store.stats().unwrap().size.reserve_bytes;
    disk.fill_to(8 << 10);
    clock.advance(Duration::from_secs(7_200));
    let error = store.sweep().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    let stats = store.stats().unwrap();
    println!("{} of 30000 items swept, {reserve} bytes of reserve", stats.internals.swept);
    assert!(stats.internals.swept < 6_000, "the log had room for the sweep: {stats:#?}");
    assert_eq!(stats.size.reserve_bytes, reserve, "the reserve is there: {stats:#?}");
    for number in 30_000..32_000 {
        store.delete(&home, &key(number)).unwrap();
    }
    store.delete_range(&Scope::from(&home)).unwrap();
    assert_eq!(store.stats().unwrap().size.items, 0);
}
