//! A merge needs room for what lives in its inputs, not for what is dead; one that cannot be done holds up no other
//! shard.

use std::time::{Duration, Instant};

use crate::common::tmpfs::Tmpfs;
use crate::common::{namespace, simulated, tiny_without_vectors};
use vecmem::{Options, Put, Store};

fn put(label: &str, number: u64, bytes: usize) -> Put {
    Put::new(&namespace([label]), number.to_string(), format!("{{\"text\":\"{}\"}}", "x".repeat(bytes)))
}

#[test]
fn on_a_real_disk_with_threads() {
    let Some(disk) = Tmpfs::mount(160) else { return };
    let store = Store::open(disk.path().join("store"), Options::new()).unwrap();
    for number in 0..900 {
        store.put(put("a", number, 60_000)).unwrap();
    }
    store.compact().unwrap();
    disk.fill_to(30 << 20);
    let before = store.stats().unwrap().size.segment_bytes;
    assert!(before > disk.free() + (20 << 20), "the segment has {before} bytes, and {} are free", disk.free());
    for number in (0..900).filter(|number| number % 20 > 0) {
        store.delete(&namespace(["a"]), &number.to_string()).unwrap();
    }
    let deadline = Instant::now() + Duration::from_secs(20);
    while store.stats().unwrap().size.segment_bytes > 5 << 20 {
        assert!(Instant::now() < deadline, "{:#?}", store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().size.items, 45);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn on_a_simulated_disk() {
    let (store, storage, _) = simulated(tiny_without_vectors());
    for number in 0..1_000 {
        store.put(put("a", number, 140)).unwrap();
    }
    store.compact().unwrap();
    let before = store.stats().unwrap().size.segment_bytes;
    for number in (0..1_000).filter(|number| number % 20 > 0) {
        // No background has run since there was less room than the whole segment takes.
        storage.set_capacity(storage.used_bytes() + 60_000);
        store.delete(&namespace(["a"]), &number.to_string()).unwrap();
    }
    store.compact().unwrap();
    let after = store.stats().unwrap().size.segment_bytes;
    assert!(before > 80_000 && after < before / 5, "{before} bytes became {after}");
}

#[test]
fn a_shard_whose_merge_has_no_room_holds_up_no_other() {
    let (store, storage, _) = simulated(tiny_without_vectors().split_keys([namespace(["m"])]));
    (0..2_000).for_each(|number| assert!(store.put(put("a", number, 100)).is_ok()));
    (0..100).for_each(|number| assert!(store.put(put("z", number, 100)).is_ok()));
    store.compact().unwrap();
    let before = store.stats().unwrap();
    let delete = |label: &str, number: u64| {
        storage.set_capacity(storage.used_bytes() + 80_000);
        store.delete(&namespace([label]), &number.to_string()).unwrap();
    };
    (0..500).for_each(|number| delete("a", number));
    let waits = store.stats().unwrap();
    assert_eq!((waits.internals.merges, waits.size.dead_rows), (before.internals.merges, 500), "{waits:#?}");
    assert!(waits.health.waiting.iter().any(|why| why.starts_with("merge of the first shard")), "{waits:#?}");
    (0..40).for_each(|number| delete("z", number));
    let after = store.stats().unwrap();
    assert!(after.internals.merges > before.internals.merges, "the second shard merges: {after:#?}");
    assert!(after.size.dead_rows < 540, "{after:#?}");
    storage.set_capacity(u64::MAX);
    store.run_background();
    assert_eq!(store.stats().unwrap().health.waiting, Vec::<String>::new());
    assert!(store.stats().unwrap().size.dead_rows < 40);
}
