//! Conditional writes happen exactly when the key's newest version, pending and expired ones considered, is as asked.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::common::{assert_unchanged, namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{Condition, ErrorKind, Options, Store};

#[test]
fn a_failed_condition_writes_nothing() {
    let (store, _, clock) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    let absent = |n| numbered(&home, "k", n).condition(Condition::IfAbsent);
    let first = store.put(absent(1)).unwrap();
    let refused = |outcome: vecmem::Result<vecmem::Version>| outcome.unwrap_err().kind() == ErrorKind::ConditionFailed;
    let dump = store.text_dump().unwrap();
    assert!(refused(store.put(absent(2))));
    assert!(store.delete_if(&home, "k", Condition::IfAbsent).is_err());
    assert!(refused(store.put(numbered(&home, "other", 2).condition(Condition::IfVersion(first)))));
    assert_unchanged(&store, &dump);

    let second = store.put(numbered(&home, "k", 2).condition(Condition::IfVersion(first))).unwrap();
    let dump = store.text_dump().unwrap();
    assert!(refused(store.put(numbered(&home, "k", 3).condition(Condition::IfVersion(first)))));
    assert!(store.delete_if(&home, "k", Condition::IfVersion(first)).is_err());
    assert_unchanged(&store, &dump);
    // The version may be older, newer, of another item or of another store: only that it is another one is known.
    store.put(numbered(&home, "other", 2)).unwrap();
    let of_other = store.get(&home, "other").unwrap().unwrap().version;
    let error = store.put(numbered(&home, "k", 3).condition(Condition::IfVersion(of_other))).unwrap_err().to_string();
    assert!(error.contains("its version is another one") && !error.contains("since"), "{error}");
    store.delete(&home, "other").unwrap();
    // The version is the item's for ever, wherever its row lies by now.
    for number in 0..200 {
        store.put(numbered(&home, format!("filler {}", number % 60), number)).unwrap();
    }
    store.compact().unwrap();
    assert!(store.stats().unwrap().internals.merges > 0);
    assert!(refused(store.put(numbered(&home, "k", 3).condition(Condition::IfVersion(first)))));
    assert!(store.delete_if(&home, "k", Condition::IfVersion(second)).unwrap());
    assert!(refused(store.put(numbered(&home, "k", 3).condition(Condition::IfVersion(second)))), "it is gone");

    let mortal = store.put(absent(4).ttl(Duration::from_secs(1))).unwrap();
    clock.advance(Duration::from_secs(2));
    assert!(refused(store.put(numbered(&home, "k", 5).condition(Condition::IfVersion(mortal)))), "expired is gone");
    store.put(absent(6)).unwrap();
}

#[test]
fn of_many_writers_at_once_exactly_one_wins_each_round() {
    const THREADS: u64 = 6;
    const ROUNDS: u64 = 150;
    let store = Store::temporary(Options::new()).unwrap();
    let home = namespace(["race"]);
    let wins = AtomicU64::new(0);
    store.put(numbered(&home, "counter", 0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    loop {
                        let item = store.get(&home, "counter").unwrap().unwrap();
                        let count: u64 = item.value_as::<serde_json::Value>().unwrap()["n"].as_u64().unwrap();
                        let put = numbered(&home, "counter", count + 1).condition(Condition::IfVersion(item.version));
                        match store.put(put) {
                            Ok(_) => break,
                            Err(error) => assert_eq!(error.kind(), ErrorKind::ConditionFailed, "{error}"),
                        }
                    }
                }
            });
        }
        for round in 0..ROUNDS {
            let (store, home, wins) = (&store, &home, &wins);
            (0..2).for_each(|_| {
                scope.spawn(move || {
                    let put = numbered(home, format!("lock {round}"), 0).condition(Condition::IfAbsent);
                    wins.fetch_add(u64::from(store.put(put).is_ok()), Ordering::Relaxed);
                });
            });
        }
    });
    let total = store.get(&home, "counter").unwrap().unwrap();
    assert_eq!(*total.value, format!("{{\"n\":{}}}", THREADS * ROUNDS), "no increment is lost");
    assert_eq!(wins.load(Ordering::Relaxed), ROUNDS);
}
