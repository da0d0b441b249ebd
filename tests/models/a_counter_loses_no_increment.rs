//! Commit: a counter that threads raise by conditional puts ends at the number of their successes, and each success
//! survives a power loss. A condition is answered from the newest version, published or not.

use vecmem::{Condition, ErrorKind, Namespace, Store};

use crate::world::{World, check, namespace, number_of, numbered, spawn};

const THREADS: usize = 3;
const ROUNDS: usize = 2;

/// Puts the next number if nobody has put another one meanwhile. Returns whether it did.
fn raise(store: &Store, home: &Namespace) -> bool {
    let item = store.get(home, "counter").unwrap().unwrap();
    let next = item.value_as::<serde_json::Value>().unwrap()["n"].as_u64().unwrap() + 1;
    let put = numbered(home, "counter", next).condition(Condition::IfVersion(item.version));
    let outcome = store.put(put);
    let seen = store.get(home, "counter").unwrap().unwrap();
    match outcome {
        Ok(version) => assert!(seen.version.to_u64() >= version.to_u64(), "a write is read by its writer"),
        Err(ref error) => {
            assert_eq!(error.kind(), ErrorKind::ConditionFailed, "{error}");
            assert_ne!(seen.version, item.version, "whatever failed the condition is read");
        }
    }
    outcome.is_ok()
}

#[test]
fn a_counter_loses_no_increment() {
    check(|| {
        let (world, home) = (World::new(), namespace("home"));
        world.store.put(numbered(&home, "counter", 0)).unwrap();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let home = home.clone();
                spawn(&world.store, move |store| (0..ROUNDS).filter(|_| raise(store, &home)).count())
            })
            .collect();
        let raised: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert!(raised >= 1);
        assert_eq!(number_of(&world.store, &home, "counter"), Some(raised as u64));
        world.loses_nothing();
    });
}
