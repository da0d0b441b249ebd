//! `delete_range` kills everything older in its scope at once, wherever it lies: active, sealing, being merged or
//! merged.

use crate::common::{Random, namespace, numbered, reopened, simulated, tiny, tiny_without_vectors};
use vecmem::{ErrorKind, Metric, Options, Query, ReadOptions, Scope, Store, Tuning};

fn count(store: &Store, scope: &Scope) -> u64 {
    store.count(scope, &ReadOptions::default()).unwrap()
}

#[test]
fn a_range_delete_kills_what_is_sealing_and_merging() {
    const ROUNDS: u64 = 40;
    let tuning = Tuning { inline_background: false, ..Tuning::tiny() };
    let options = Options::with_vectors(1, Metric::Dot).tuning(tuning).split_keys([namespace(["b"])]);
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options.clone()).unwrap();
    let (doomed, kept) = (Scope::prefix(["a"]).unwrap(), Scope::prefix(["b"]).unwrap());
    let mut random = Random::new(2);
    for round in 0..ROUNDS {
        // Seals and merges of these run while the range is deleted.
        for number in 0..60 + random.below(60) {
            store.put(numbered(&namespace(["a", "x"]), number.to_string(), number).vector([1.0])).unwrap();
            store.put(numbered(&namespace(["b"]), format!("{round} {}", number % 4), number)).unwrap();
        }
        store.delete_range(&doomed).unwrap();
        assert_eq!(count(&store, &doomed), 0);
        store.put(numbered(&namespace(["a"]), "after", round).vector([round as f32])).unwrap();
        let answer = store.search(&Query::new(doomed.clone()).vector([1.0])).unwrap();
        assert_eq!((answer.len(), answer[0].score), (1, Some(round as f32)), "only what came after");
        assert_eq!(count(&store, &kept), 4 * (round + 1));
    }
    assert!(store.stats().unwrap().internals.flushes >= ROUNDS);
    store.close().unwrap();
    let store = Store::open(directory.path(), options).unwrap();
    assert_eq!((count(&store, &doomed), count(&store, &kept)), (1, 4 * ROUNDS));
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.segment_rows, 1 + 4 * ROUNDS, "nothing dead is left");
}

#[test]
fn a_range_delete_is_one_step_of_the_history() {
    let (store, storage, clock) = simulated(tiny(1, Metric::Dot));
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    let version = store.put(numbered(&a, "k", 1)).unwrap();
    store.put(numbered(&b, "k", 1)).unwrap();
    store.delete_range(&Scope::from(&a)).unwrap();
    assert!(!store.delete(&a, "k").unwrap());
    let again = numbered(&a, "k", 2).condition(vecmem::Condition::IfVersion(version));
    assert_eq!(store.put(again).unwrap_err().kind(), ErrorKind::ConditionFailed);
    store.put(numbered(&a, "k", 3).condition(vecmem::Condition::IfAbsent)).unwrap();
    let dump = store.text_dump().unwrap();
    store.close().unwrap();
    let store = reopened(&storage, &clock, tiny(1, Metric::Dot));
    assert_eq!(store.text_dump().unwrap(), dump, "replayed in the same order");
}

#[test]
fn the_whole_store_has_a_name_of_its_own() {
    let (store, _, _) = simulated(tiny_without_vectors());
    for number in 0..100 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number)).unwrap();
    }
    let error = store.delete_range(&Scope::Store).unwrap_err();
    assert!(error.kind() == ErrorKind::InvalidInput && error.to_string().contains("delete_everything"), "{error}");
    assert_eq!(count(&store, &Scope::Store), 100);
    store.delete_everything().unwrap();
    assert_eq!(count(&store, &Scope::Store), 0);
    assert_eq!(store.stats().unwrap().size.items, 0);
}
