//! The background of an idle store leaves a full disk alone: it asks for free bytes, and what has no room waits.

#[path = "../common/mod.rs"]
mod common;

use std::time::{Duration, Instant};

use common::tmpfs::Tmpfs;
use common::{namespace, simulated, tiny_without_vectors};
use vecmem::{Options, Put, Store};

/// Longer than an idle store waits with its checkpoint.
const IDLE: Duration = Duration::from_secs(12);

/// Bytes that this process has written so far.
fn written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = text.lines().find(|line| line.starts_with("wchar:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn put(number: u64, bytes: usize) -> Put {
    let home = namespace(["user", &(number % 50).to_string()]);
    Put::new(&home, number.to_string(), format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)))
}

/// What the process writes, and the least free space, while nobody calls.
fn idle(disk: &Tmpfs) -> (u64, u64) {
    let (before, since, mut least) = (written(), Instant::now(), u64::MAX);
    while since.elapsed() < IDLE {
        least = least.min(disk.free());
    }
    (written() - before, least)
}

/// One test, since it measures what the whole process writes.
#[test]
fn on_real_disks_with_threads() {
    let Some(disk) = Tmpfs::mount(120) else { return };
    let store = Store::open(disk.path().join("store"), Options::new()).unwrap();
    (0..100_000).find_map(|number| store.put(put(number, 60_000)).err()).unwrap();
    idle(&disk);
    let (bytes, least) = idle(&disk);
    println!(
        "after puts: wrote {bytes} bytes, {least} free at least; waiting {:?}",
        store.stats().unwrap().health.waiting
    );
    assert!(bytes < 1 << 20, "wrote {bytes} bytes in {IDLE:?} without a call: {:#?}", store.stats().unwrap());
    assert!(least > 256 << 10, "{least} bytes were free at some time");
    drop(store);
    drop(disk);

    // What is in memory cannot be flushed, since others have taken the space.
    let Some(disk) = Tmpfs::mount(120) else { return };
    let store = Store::open(disk.path().join("store"), Options::new()).unwrap();
    (0..450).for_each(|number| assert!(store.put(put(number, 60_000)).is_ok()));
    disk.fill_to(6 << 20);
    (450..700).find_map(|number| store.put(put(number, 60_000)).err()).unwrap();
    idle(&disk);
    let (bytes, least) = idle(&disk);
    let stats = store.stats().unwrap();
    println!("beside others: wrote {bytes} bytes, {least} free at least; waiting {:?}", stats.health.waiting);
    assert!(bytes < 1 << 20, "wrote {bytes} bytes in {IDLE:?} without a call: {stats:#?}");
    assert!(least > 256 << 10, "{least} bytes were free at some time");
    std::fs::remove_file(disk.path().join("ballast")).unwrap();
    store.put(put(1_000, 60_000)).unwrap();
    store.compact().unwrap();
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn on_a_simulated_disk() {
    let (store, storage, _) = simulated(tiny_without_vectors());
    for number in 0..200 {
        store.put(put(number, 400)).unwrap();
    }
    for left in [0, 4, 20, 40] {
        storage.set_capacity(storage.used_bytes() + (left << 10));
        (200..10_000).find_map(|number| store.put(put(number, 400)).err()).unwrap();
        (0..3).for_each(|_| store.run_background());
        storage.record_trace();
        let used = storage.used_bytes();
        (0..20).for_each(|_| store.run_background());
        let trace = storage.trace();
        let writes = trace.iter().filter(|line| line.starts_with("write") || line.starts_with("create")).count();
        assert_eq!(writes, 0, "{left} KiB left: {trace:?}");
        assert_eq!(storage.used_bytes(), used);
    }
}
