//! After `close`, every call of every clone fails with `Closed`, and the directory can be opened again at once.

use crate::common::{namespace, numbered, tiny};
use vecmem::{
    Batch, ErrorKind, IterateQuery, Metric, NamespaceQuery, Query, ReadOptions, Result, Scope, Store, Tuning,
};

fn outcomes(store: &Store) -> Vec<(&'static str, Result<()>)> {
    let (home, options) = (namespace(["a"]), ReadOptions::default());
    let mut batch = Batch::new();
    batch.put(numbered(&home, "k", 1));
    vec![
        ("put", store.put(numbered(&home, "k", 1)).map(drop)),
        ("delete", store.delete(&home, "k").map(drop)),
        ("batch", store.batch(batch).map(drop)),
        ("delete_range", store.delete_range(&Scope::from(&home))),
        ("delete_everything", store.delete_everything()),
        ("snapshot", store.snapshot().map(drop)),
        ("get", store.get(&home, "k").map(drop)),
        ("get_many", store.get_many(&[], &options).map(drop)),
        ("search", store.search(&Query::new(&home).vector([1.0, 2.0])).map(drop)),
        ("search_many", store.search_many(&[]).map(drop)),
        ("search_like", store.search_by_item(&home, "k", Query::new(&home)).map(drop)),
        ("list", store.list(&Query::new(&home)).map(drop)),
        ("iterate", store.iterate(&IterateQuery::new(&home), None).map(drop)),
        ("list_namespaces", store.list_namespaces(&NamespaceQuery::default()).map(drop)),
        ("count", store.count(&Scope::Store, &options).map(drop)),
        ("stats", store.stats().map(drop)),
        ("flush", store.sync()),
        ("compact", store.compact().map(drop)),
        ("check", store.check(false).map(drop)),
        ("sweep", store.sweep().map(drop)),
        ("setting", store.setting("s").map(drop)),
        ("set_setting", store.set_setting("s", Some("1"))),
        ("known_embeddings", store.known_embeddings("m", &["t"]).map(drop)),
        ("import_mark", store.import_checkpoint("s").map(drop)),
    ]
}

#[test]
fn a_closed_store_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), tiny(2, Metric::Dot)).unwrap();
    store.put(numbered(&namespace(["a"]), "k", 7)).unwrap();
    let clone = store.clone();
    store.close().unwrap();
    for (name, outcome) in outcomes(&clone) {
        let error = outcome.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Closed, "{name}: {error}");
    }
    store.close().unwrap();
    let again = Store::open(directory.path(), tiny(2, Metric::Dot)).unwrap();
    assert!(again.get(&namespace(["a"]), "k").unwrap().is_some());
    assert!(outcomes(&again).iter().all(|(name, outcome)| outcome.is_ok() || *name == "search_like"));
    drop(clone);
    assert!(again.stats().is_ok(), "the old handles have nothing to do with the new one");
}

#[test]
fn closing_in_the_midst_of_reads_and_writes_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    for round in 0..60 {
        let tuning = Tuning { inline_background: false, ..Tuning::tiny() };
        let store = Store::open(directory.path(), tiny(2, Metric::Dot).tuning(tuning)).unwrap();
        let home = namespace(["a"]);
        let count = |store: &Store| store.count(&Scope::from(&home), &ReadOptions::default()).unwrap();
        let before = count(&store);
        let written: u64 = std::thread::scope(|scope| {
            let write = |thread: u64| {
                let (store, home) = (store.clone(), &home);
                move || {
                    let key = |number| format!("{round} {thread} {number}");
                    let closed = |number: &u64| {
                        let outcome = store.put(numbered(home, key(*number), 1).vector([1.0, 2.0]));
                        outcome.map_err(|error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}")).is_err()
                    };
                    (0..).find(closed).unwrap_or(0)
                }
            };
            let writers = [0, 1, 2].map(|thread| scope.spawn(write(thread)));
            while count(&store) < before + 40 {
                std::thread::yield_now();
            }
            store.close().unwrap();
            writers.into_iter().map(|writer| writer.join().unwrap()).sum()
        });
        assert!(written > 0);
        let store = Store::open(directory.path(), tiny(2, Metric::Dot)).unwrap();
        let prefix = format!("{round} ");
        let page = store.iterate(&IterateQuery::new(&home).key_prefix(prefix).limit(usize::MAX), None).unwrap();
        assert!(page.items.len() as u64 >= written, "{} of {written}", page.items.len());
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}
