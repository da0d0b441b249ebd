//! A sweep in the background frees space only later. On a full disk it does not take the reserve, which deletes that somebody asks for
//! need.

mod common;

use std::time::Duration;

use common::{namespace, simulated, tiny_without_vectors};
use vecmem::{ErrorKind, Put, Scope, Tuning};

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
    let reserve = store.stats().unwrap().reserve_bytes;
    assert!(reserve > 0);
    storage.set_capacity(storage.used_bytes() + 6_000);
    clock.advance(Duration::from_secs(7_200));
    let error = store.sweep().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert_eq!(store.stats().unwrap().reserve_bytes, reserve, "the reserve is there: {:#?}", store.stats().unwrap());
    for number in 300..320 {
        store.delete(&home, &key(number)).unwrap();
    }
    store.delete_range(&Scope::from(&home)).unwrap();
    assert_eq!(store.stats().unwrap().items, 0);
}
