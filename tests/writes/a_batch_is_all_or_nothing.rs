//! A batch is written whole or not at all; of several writes of a key the last one wins, and its conditions are tested
//! against the state before the batch.

use crate::common::{assert_unchanged, namespace, numbered, simulated, tiny};
use vecmem::{Batch, Condition, ErrorKind, Metric, WriteResult};

#[test]
fn the_last_write_of_a_key_wins_and_results_keep_the_order() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    store.put(numbered(&a, "old", 0)).unwrap();
    let mut batch = Batch::new();
    batch.put(numbered(&a, "x", 1).vector([1.0, 1.0])).put(numbered(&b, "x", 2)).put(numbered(&a, "x", 3));
    batch.delete(&a, "old").delete(&a, "never").put(numbered(&a, "y", 4)).delete(&a, "y").put(numbered(&b, "z", 5));
    assert_eq!(batch.len(), 8);
    let results = store.batch(batch).unwrap();
    let [WriteResult::Superseded, WriteResult::Put(bx), WriteResult::Put(ax), deleted @ .., WriteResult::Put(bz)] =
        &results[..]
    else {
        panic!("{results:?}");
    };
    let expected =
        [WriteResult::Deleted(true), WriteResult::Deleted(false), WriteResult::Superseded, WriteResult::Deleted(false)];
    assert_eq!(deleted, expected);
    let version = |namespace, key| store.get(namespace, key).unwrap().map(|item| item.version);
    assert_eq!((version(&a, "x"), version(&b, "x"), version(&b, "z")), (Some(*ax), Some(*bx), Some(*bz)));
    assert_eq!((version(&a, "old"), version(&a, "y")), (None, None));
    assert_eq!(&*store.get(&a, "x").unwrap().unwrap().value, "{\"n\":3}");
    assert_eq!(store.batch(Batch::new()).unwrap(), []);
}

type Spoil<'s> = &'s dyn Fn(&mut Batch) -> &mut Batch;

#[test]
fn one_bad_operation_spoils_the_batch() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let a = namespace(["a"]);
    let version = store.put(numbered(&a, "k", 0)).unwrap();
    let dump = store.text_dump().unwrap();
    let spoiled: [(&str, Spoil<'_>); 5] = [
        ("absent", &|batch| batch.put(numbered(&a, "k", 1).condition(Condition::IfAbsent))),
        ("delete", &|batch| batch.delete_if(&a, "none", Condition::IfVersion(version))),
        // Replaced within the batch, but its condition counts all the same.
        ("superseded", &|batch| {
            batch.put(numbered(&a, "k", 1).condition(Condition::IfAbsent)).put(numbered(&a, "k", 2))
        }),
        ("vector", &|batch| batch.put(numbered(&a, "k", 1).vector([f32::NAN, 0.0]))),
        ("json", &|batch| batch.put(vecmem::Put::new(&a, "k", "{"))),
    ];
    for (name, spoil) in spoiled {
        let mut batch = Batch::new();
        batch.put(numbered(&a, "first", 1)).delete(&a, "k");
        spoil(&mut batch);
        batch.put(numbered(&a, "last", 1));
        let error = store.batch(batch).unwrap_err();
        let conditional = ["absent", "delete", "superseded"].contains(&name);
        let kind = if conditional { ErrorKind::ConditionFailed } else { ErrorKind::InvalidInput };
        assert_eq!(error.kind(), kind, "{name}: {error}");
        assert_unchanged(&store, &dump);
    }
}

#[test]
fn conditions_see_the_state_before_the_batch() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let a = namespace(["a"]);
    let version = store.put(numbered(&a, "k", 0)).unwrap();
    let mut batch = Batch::new();
    batch.delete_if(&a, "k", Condition::IfVersion(version));
    batch.put(numbered(&a, "k", 1).condition(Condition::IfVersion(version)));
    batch.put(numbered(&a, "new", 1).condition(Condition::IfAbsent));
    batch.put(numbered(&a, "new", 2).condition(Condition::IfAbsent));
    let results = store.batch(batch).unwrap();
    assert!(matches!(
        results[..],
        [WriteResult::Superseded, WriteResult::Put(_), WriteResult::Superseded, WriteResult::Put(_)]
    ));
    assert_eq!(store.text_dump().unwrap().lines().count(), 2);
    assert!(store.text_dump().unwrap().contains("{\\\"n\\\":2}"));
}
