//! Each backup and each restored store has an incarnation of its own, which lasts, and an open that asks for another
//! one is refused. Ids of operations belong to the content: a copy knows those that it contains.

use std::collections::BTreeSet;

use crate::common::{namespace, numbered};
use vecmem::{Batch, ErrorKind, Options, Scope, Store, WriteResult};

fn once(store: &Store, id: &str) -> Vec<WriteResult> {
    let mut batch = Batch::new();
    batch.operation_id(id);
    batch.put(numbered(&namespace(["a"]), id, 1));
    store.batch(batch).unwrap()
}

#[test]
fn and_an_open_with_another_one_is_refused() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let store = Store::open(path("store"), Options::new()).unwrap();
    once(&store, "before");
    let mut seen = BTreeSet::from([store.incarnation()]);
    for round in 0..2 {
        once(&store, &format!("round {round}"));
        assert!(seen.insert(store.backup(path("backup")).unwrap().incarnation));
        let restored = path(&format!("restored-{round}"));
        let report = Store::restore(path("backup"), &restored).unwrap();
        assert!(seen.insert(report.incarnation));
        let copy = Store::open(&restored, Options::new().incarnation(report.incarnation)).unwrap();
        assert_eq!(copy.incarnation(), report.incarnation);
        // Also while the store is open in this process, and after it was written to.
        copy.put(numbered(&namespace(["a"]), "later", 1)).unwrap();
        for _ in 0..2 {
            let error = Store::open(&restored, Options::new().incarnation(store.incarnation())).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OptionsDiffer, "{error}");
            let differs = error.option().unwrap();
            assert_eq!((differs.name, &differs.given), ("incarnation", &store.incarnation().to_string()));
            assert_eq!(differs.stored, report.incarnation.to_string());
            copy.close().unwrap();
        }
        let again = Store::open(&restored, Options::new().incarnation(report.incarnation)).unwrap();
        assert_eq!(again.incarnation(), report.incarnation);
    }
    let incarnation = store.incarnation();
    store.close().unwrap();
    let store = Store::open(path("store"), Options::new().incarnation(incarnation)).unwrap();
    assert_eq!(store.incarnation(), incarnation, "a backup does not change that of its source");
}

#[test]
fn a_copy_knows_the_operations_that_it_contains() {
    let home = tempfile::tempdir().unwrap();
    let path = |name: &str| home.path().join(name);
    let store = Store::open(path("store"), Options::new()).unwrap();
    once(&store, "before");
    store.backup(path("backup")).unwrap();
    once(&store, "after");
    Store::restore(path("backup"), path("restored")).unwrap();
    let copy = Store::open(path("restored"), Options::new()).unwrap();
    assert!(matches!(once(&copy, "before")[..], [WriteResult::Repeated(_)]), "it is in the copy already");
    assert!(matches!(once(&copy, "after")[..], [WriteResult::Put(_)]), "it is not in the copy yet");
    assert_eq!(copy.count(&Scope::Store, &Default::default()).unwrap(), 2);
}
