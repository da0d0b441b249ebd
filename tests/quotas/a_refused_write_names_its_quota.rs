//! What a refused write says, what passes although a quota is full, and which quotas are refused.

use std::time::Duration;

use vecmem::{Batch, Condition, ErrorKind, Limit, Metric, Options, Put, Quota, Scope, Store, limits};

use crate::common::{namespace, numbered, simulated, tiny, tiny_without_vectors};

#[test]
fn the_error_names_scope_limit_and_use_and_nothing_was_written() {
    let store = Store::temporary(tiny(2, Metric::Dot)).unwrap();
    let notes = namespace(["t", "a", "notes"]);
    store.set_quota(Quota::each(Scope::prefix(["t"]).unwrap()).items(2)).unwrap();
    store.put(numbered(&notes, "k0", 0)).unwrap();
    let mut batch = Batch::new();
    batch.put(numbered(&notes, "k1", 1)).put(numbered(&namespace(["t", "b"]), "k", 1)).put(numbered(&notes, "k2", 2));
    let error = store.batch(batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::QuotaExceeded);
    let excess = error.quota().unwrap();
    assert_eq!((excess.scope.as_str(), excess.unit), ("t/a/", "items"));
    assert_eq!((excess.limit, excess.used, excess.added), (2, 1, 2));
    let text = error.to_string();
    assert!(text.contains("t/a/ holds 1 of at most 2 items") && text.contains("raise its quota"), "{text}");
    assert!(store.get(&namespace(["t", "b"]), "k").unwrap().is_none(), "the batch is refused as a whole");
    assert_eq!(std::io::Error::from(error).kind(), std::io::ErrorKind::QuotaExceeded);

    store.set_quota(Quota::new(Scope::from(&notes)).bytes(16)).unwrap();
    let error = store.put(numbered(&notes, "k0", 0).vector([1.0, 2.0])).unwrap_err();
    let excess = error.quota().unwrap();
    assert_eq!((excess.scope.as_str(), excess.unit), ("t/a/notes", "bytes"));
    assert_eq!((excess.limit, excess.used, excess.added), (16, 9, 8), "the key, the value, and four bytes a dimension");
    assert!(
        store
            .put(numbered(&notes, "k0", 0).vector([1.0, 2.0]).condition(Condition::IfAbsent))
            .is_err_and(|error| error.kind() == ErrorKind::ConditionFailed),
        "a condition is tested first"
    );
}

#[test]
fn what_does_not_grow_passes_although_the_scope_holds_more_than_its_quota() {
    let (store, _storage, clock) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    for key in 0..10 {
        let put = numbered(&home, format!("k{key}"), key);
        store.put(if key < 2 { put.ttl(Duration::from_secs(10)) } else { put }).unwrap();
    }
    store.set_quota(Quota::new(Scope::Store).items(7)).unwrap();
    let held = |store: &Store| store.quota_use(&Scope::Store).unwrap()[0].items;
    assert_eq!(held(&store), 10, "a quota removes nothing");
    store.put(numbered(&home, "k5", 500)).unwrap();
    assert_eq!(store.put(numbered(&home, "new", 1)).unwrap_err().kind(), ErrorKind::QuotaExceeded);
    let mut swap = Batch::new();
    swap.put(numbered(&home, "new", 1)).delete(&home, "k9");
    store.batch(swap).unwrap();
    clock.advance(Duration::from_secs(20));
    assert_eq!(held(&store), 10, "what has expired counts until it is swept");
    store.put(numbered(&home, "k0", 1)).unwrap();
    assert_eq!(held(&store), 10, "and the place of an expired item is not a new one");
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(held(&store), 9);
    assert_eq!(store.keep_newest(&Scope::Store, 6).unwrap().deleted, 3);
    store.put(numbered(&home, "fits", 1)).unwrap();
    assert!(store.put(numbered(&home, "does not", 1)).is_err());
    store.delete_everything().unwrap();
    assert_eq!(held(&store), 0);
    store.put(numbered(&home, "again", 1)).unwrap();
}

#[test]
fn a_scope_has_its_quota_in_its_stats() {
    let store = Store::temporary(Options::new()).unwrap();
    let home = namespace(["a", "b"]);
    store.put(numbered(&home, "k", 1)).unwrap();
    let stats =
        |scope: &Scope| store.snapshot().unwrap().scope_stats(scope, &vecmem::ReadOptions::default()).unwrap().quota;
    assert_eq!(stats(&Scope::Store), None);
    store.set_quota(Quota::each(Scope::Store).items(5).bytes(100)).unwrap();
    let quota = stats(&Scope::prefix(["a"]).unwrap()).unwrap();
    assert_eq!((quota.scope.as_str(), quota.items, quota.items_limit), ("a/", 1, Some(5)));
    assert_eq!((quota.bytes, quota.bytes_limit), (Some(8), Some(100)));
    assert_eq!(stats(&Scope::from(&home)), None, "the namespace itself has none");
}

#[test]
fn bad_quotas_are_refused() {
    let store = Store::temporary(Options::new()).unwrap();
    let each = Quota::each(Scope::from(&namespace(["a"]))).items(1);
    assert_eq!(store.set_quota(each).unwrap_err().kind(), ErrorKind::InvalidInput);
    let error = store.set_setting("vecmem.quotas", Some("[{\"kind\": \"all\"}]")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let many = |count: usize| -> String {
        let one = |number: usize| format!("{{\"kind\":\"prefix\",\"scope\":[\"{number}\"]}}");
        format!("[{}]", (0..count).map(one).collect::<Vec<_>>().join(","))
    };
    store.set_setting("vecmem.quotas", Some(&many(limits::QUOTAS))).unwrap();
    assert_eq!(store.quotas().unwrap().len(), limits::QUOTAS);
    let one_more = store.set_quota(Quota::new(Scope::Store).items(1)).unwrap_err();
    assert_eq!(one_more.kind(), ErrorKind::Limit(Limit::Quotas));
    store.set_quota(Quota::new(Scope::prefix(["7"]).unwrap()).items(1)).unwrap();
    store.put(Put::new(&namespace(["7"]), "k", "{}")).unwrap();
    assert!(store.put(Put::new(&namespace(["7"]), "l", "{}")).is_err());
    let long = Scope::prefix((0..20).map(|_| "x".repeat(4_000))).unwrap();
    store.set_setting("vecmem.quotas", None).unwrap();
    assert_eq!(store.set_quota(Quota::new(long)).unwrap_err().kind(), ErrorKind::Limit(Limit::Quotas));
    assert!(store.quotas().unwrap().is_empty());
    store.put(Put::new(&namespace(["7"]), "l", "{}")).unwrap();
}
