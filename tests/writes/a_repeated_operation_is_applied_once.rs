//! A batch that carries an operation id is applied once, however often it is sent: at once, by several threads, after a
//! crash, and after checkpoints have let go of the log that first held it.

use crate::common::{namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::Loss;
use vecmem::{Batch, ErrorKind, Options, Store, WriteResult};

fn batch(id: &str, key: &str, number: u64) -> Batch {
    let mut batch = Batch::new();
    batch.put(numbered(&namespace(["a"]), key, number)).put(numbered(&namespace(["b"]), key, number)).operation_id(id);
    batch
}

/// Whether it was applied now.
fn send(store: &Store, id: &str, key: &str, number: u64) -> bool {
    let results = store.batch(batch(id, key, number)).unwrap();
    assert_eq!(results.len(), 2);
    match results[..] {
        [WriteResult::Put(_), WriteResult::Put(_)] => true,
        [WriteResult::Repeated(first), WriteResult::Repeated(second)] if first == second => false,
        _ => panic!("{results:?}"),
    }
}

#[test]
fn at_once_after_a_crash_and_after_checkpoints() {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    assert!(send(&store, "one", "k", 1));
    assert!(!send(&store, "one", "k", 2), "sent again");
    assert!(send(&store, "two", "k", 3));
    assert!(!send(&store, "one", "k", 4), "an older one sent again");
    let value = |store: &Store| store.get(&namespace(["b"]), "k").unwrap().unwrap().value.to_string();
    assert_eq!(value(&store), "{\"n\":3}");
    let of_log = reopened(&storage.crash(Loss::AllUnsynced, 3), &clock, tiny_without_vectors());
    assert!(!send(&of_log, "one", "k", 5) && !send(&of_log, "two", "k", 6) && send(&of_log, "three", "k", 7));
    for round in 0..20 {
        assert!(send(&store, &format!("round {round}"), "k", 100 + round));
        store.compact().unwrap();
    }
    assert_eq!(value(&store), "{\"n\":119}");
    let of_files = reopened(&storage.crash(Loss::AllUnsynced, 4), &clock, tiny_without_vectors());
    assert!(["one", "two", "round 0", "round 19"].iter().all(|id| !send(&of_files, id, "k", 8)));
    assert!(send(&of_files, "four", "k", 9));
    assert_eq!(value(&of_files), "{\"n\":9}");
}

#[test]
fn by_several_threads_on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::new()).unwrap();
    for round in 0..50 {
        let id = format!("round {round}");
        let applied: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|thread| {
                    let (store, id) = (&store, &id);
                    scope.spawn(move || {
                        let applied = send(store, id, "k", 10 * round + thread);
                        // Whoever is told that it was applied sees it.
                        let seen = store.get(&namespace(["a"]), "k").unwrap().unwrap().value;
                        let number: u64 = seen.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().unwrap();
                        assert_eq!(number / 10, round, "{seen}");
                        usize::from(applied)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(applied, 1, "{id}");
    }
    store.close().unwrap();
    let store = Store::open(directory.path(), Options::new()).unwrap();
    assert!((0..50).all(|round| !send(&store, &format!("round {round}"), "k", 0)));
}

#[test]
fn a_failed_condition_is_not_remembered_and_bad_ids_are_refused() {
    let (store, _storage, _clock) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    let conditional = || {
        let mut batch = Batch::new();
        batch.put(numbered(&home, "k", 1).condition(vecmem::Condition::IfAbsent)).operation_id("id");
        batch
    };
    store.put(numbered(&home, "k", 0)).unwrap();
    assert_eq!(store.batch(conditional()).unwrap_err().kind(), ErrorKind::ConditionFailed);
    store.delete(&home, "k").unwrap();
    assert!(matches!(store.batch(conditional()).unwrap()[..], [WriteResult::Put(_)]));
    assert!(matches!(store.batch(conditional()).unwrap()[..], [WriteResult::Repeated(_)]));
    for id in ["".to_owned(), "x".repeat(5_000)] {
        let mut batch = Batch::new();
        batch.put(numbered(&home, "k", 1)).operation_id(&id);
        assert!(matches!(store.batch(batch).unwrap_err().kind(), ErrorKind::InvalidInput | ErrorKind::Limit(_)));
    }
}
