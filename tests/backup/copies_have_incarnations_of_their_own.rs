//! Each backup and each restored store has an incarnation of its own, which lasts, and an open that asks for another
//! one is refused. Versions of copies never mix. Ids of operations belong to the content: a copy knows those that it
//! contains.

use std::collections::BTreeSet;

use crate::common::{namespace, numbered};
use vecmem::{Batch, Condition, ErrorKind, IterateQuery, Options, Query, Scope, Store, Version, WriteResult};

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
fn a_version_of_one_copy_is_none_of_another_one() {
    let (home, place) = (tempfile::tempdir().unwrap(), namespace(["a"]));
    let path = |name: &str| home.path().join(name);
    let store = Store::open(path("store"), Options::new()).unwrap();
    let old = store.put(numbered(&place, "k", 1)).unwrap();
    store.backup(path("backup")).unwrap();
    store.close().unwrap();
    let restored = ["first", "second"].map(|name| {
        Store::restore(path("backup"), path(name)).unwrap();
        path(name)
    });
    let directories = [path("store"), path("backup")].into_iter().chain(restored);
    let stores: Vec<Store> = directories.map(|directory| Store::open(directory, Options::new()).unwrap()).collect();
    // The same item in each, then a write that each gives the same LSN.
    let read = |store: &Store| store.get(&place, "k").unwrap().unwrap().version;
    let before: Vec<Version> = stores.iter().map(read).collect();
    assert_eq!(before[0], old, "the versions of the original stay what they were");
    for (store, version) in stores.iter().zip(&before) {
        store.put(numbered(&place, "k", 2).condition(Condition::IfVersion(*version))).unwrap();
    }
    let after: Vec<Version> = stores.iter().map(read).collect();
    let lsn = |store: &Store| store.stats().unwrap().log.visible_lsn;
    assert!(stores.iter().all(|store| lsn(store) == lsn(&stores[0])), "LSNs alone would mix");
    for (index, store) in stores.iter().enumerate() {
        for (other, version) in after.iter().enumerate().filter(|&(other, _)| other != index) {
            let put = numbered(&place, "k", 3).condition(Condition::IfVersion(*version));
            let error = store.put(put).expect_err(&format!("store {index} takes the version of store {other}"));
            assert_eq!(error.kind(), ErrorKind::ConditionFailed, "{error}");
            let error = store.delete_if(&place, "k", Condition::IfVersion(*version)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConditionFailed, "{error}");
        }
        // Every way to read gives the version that the writes take.
        let item = store.search(&Query::new(&place)).unwrap()[0].item.version;
        let page = store.iterate(&IterateQuery::new(&place), None).unwrap().items[0].version;
        let stored = store.iterate_stored(&IterateQuery::new(&place), None).unwrap().items[0].item.version;
        assert_eq!([item, page, stored], [after[index]; 3]);
        let mut batch = Batch::new();
        batch.put(numbered(&place, "k", 4).condition(Condition::IfVersion(item)));
        let written = store.batch(batch).unwrap();
        assert_eq!(written, [WriteResult::Put(read(store))]);
        assert!(store.delete_if(&place, "k", Condition::IfVersion(read(store))).unwrap());
    }
}

#[test]
fn a_version_of_a_store_is_none_of_what_was_salvaged_of_it() {
    let (home, place) = (tempfile::tempdir().unwrap(), namespace(["a"]));
    let path = |name: &str| home.path().join(name);
    let store = Store::open(path("store"), Options::new()).unwrap();
    let version = store.put(numbered(&place, "k", 1)).unwrap();
    store.close().unwrap();
    Store::salvage(path("store"), path("salvaged")).unwrap();
    let salvaged = Store::open(path("salvaged"), Options::new()).unwrap();
    assert_eq!(salvaged.stats().unwrap().log.visible_lsn, 1, "the LSNs alone would mix");
    let put = numbered(&place, "k", 2).condition(Condition::IfVersion(version));
    assert_eq!(salvaged.put(put).unwrap_err().kind(), ErrorKind::ConditionFailed);
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
