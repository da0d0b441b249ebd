//! `get_many` and `search_many` answer in the order asked, each from one snapshot: writers in between are seen by all
//! or none.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::common::{namespace, numbered};
use vecmem::{Address, Batch, Metric, Namespace, Options, Query, ReadOptions, Store, Tuning};

fn address(namespace: &Namespace, key: &str) -> Address {
    Address { namespace: namespace.clone(), key: key.to_owned() }
}

#[test]
fn answers_come_in_the_order_asked() {
    let store = Store::temporary(Options::with_vectors(1, Metric::Dot)).unwrap();
    let (a, b) = (namespace(["a"]), namespace(["b"]));
    store.put(numbered(&a, "x", 1).vector([1.0])).unwrap();
    store.put(numbered(&b, "x", 2)).unwrap();
    let wanted = [address(&b, "x"), address(&a, "none"), address(&a, "x"), address(&b, "x")];
    let items = store.get_many(&wanted, &ReadOptions { include_vectors: true, ..ReadOptions::default() }).unwrap();
    let values: Vec<Option<&str>> = items.iter().map(|item| item.as_ref().map(|item| &*item.value)).collect();
    assert_eq!(values, [Some("{\"n\":2}"), None, Some("{\"n\":1}"), Some("{\"n\":2}")]);
    assert_eq!(items[2].as_ref().unwrap().vectors.len(), 1);
    assert_eq!(store.get_many(&[], &ReadOptions::default()).unwrap(), []);

    let queries = [Query::new(&b), Query::new(&a).vector([2.0]), Query::new(&b).vector([2.0]), Query::new(&a)];
    let answers = store.search_many(&queries).unwrap();
    for (query, answer) in queries.iter().zip(&answers) {
        assert_eq!(*answer, store.search(query).unwrap());
    }
    let wrong = [Query::new(&a), Query::new(&a).vector([1.0, 2.0])];
    assert!(store.search_many(&wrong).is_err());
}

#[test]
fn many_reads_see_one_moment() {
    const ROUNDS: u64 = 3_000;
    let tuning = Tuning { inline_background: false, ..Tuning::tiny() };
    let store = Store::temporary(Options::with_vectors(1, Metric::Dot).tuning(tuning)).unwrap();
    let spaces = [namespace(["a"]), namespace(["b"]), namespace(["c"])];
    let write = |number: u64| {
        let mut batch = Batch::new();
        for space in &spaces {
            batch.put(numbered(space, "k", number).vector([number as f32]));
        }
        store.batch(batch).unwrap();
    };
    write(0);
    let (done, wanted) = (AtomicBool::new(false), spaces.each_ref().map(|space| address(space, "k")));
    let queries = spaces.each_ref().map(|space| Query::new(space).vector([1.0]).limit(1));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (1..=ROUNDS).for_each(write);
            done.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !done.load(Ordering::Acquire) {
                let items = store.get_many(&wanted, &ReadOptions::default()).unwrap();
                let values: Vec<_> = items.iter().map(|item| &item.as_ref().unwrap().value).collect();
                assert!(values.windows(2).all(|pair| pair[0] == pair[1]), "{values:?}");
                let answers = store.search_many(&queries).unwrap();
                let scores: Vec<_> = answers.iter().map(|answer| answer[0].score).collect();
                assert!(scores.windows(2).all(|pair| pair[0] == pair[1]), "{scores:?}");
            }
        });
    });
    assert!(store.stats().unwrap().internals.flushes > 10);
}
