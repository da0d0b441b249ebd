//! A rule that says nothing, that says everything, or that contradicts itself is refused, and changes nothing.

use vecmem::{DistinctQuery, ErrorKind, Filter, Limit, Namespace, PruneOptions, RenameOptions, Scope, Store, limits};

use crate::common::{assert_unchanged, namespace, numbered, simulated, tiny_without_vectors};

fn kind<T: std::fmt::Debug>(outcome: vecmem::Result<T>) -> ErrorKind {
    outcome.unwrap_err().kind()
}

fn filled() -> Store {
    let (store, ..) = simulated(tiny_without_vectors());
    for (space, key) in [(["a"], "k"), (["b"], "k")] {
        store.put(numbered(&namespace(space), key, 1)).unwrap();
    }
    store.put(numbered(&namespace(["a", "x"]), "k", 1)).unwrap();
    store
}

#[test]
fn bad_rules_are_refused() {
    let store = filled();
    let before = store.text_dump().unwrap();
    let (scope, one) = (Scope::from(&namespace(["a"])), Filter::eq("n", 1));
    for everything in [Filter::from_json_str("{}").unwrap(), Filter::All(Vec::new()), Filter::Any(Vec::new()).not()] {
        let error = store.delete_where(&scope, &everything).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{everything:?}");
        assert!(error.to_string().contains("delete_range"), "{error}");
    }
    let refused = |options: PruneOptions| kind(store.delete_where_with(&scope, &one, &options));
    assert_eq!(refused(PruneOptions::new().limit(0)), ErrorKind::InvalidInput);
    assert_eq!(refused(PruneOptions::new().limit(limits::PRUNED_ITEMS + 1)), ErrorKind::Limit(Limit::PrunedItems));
    assert_eq!(refused(PruneOptions::new().filter(one.clone())), ErrorKind::InvalidInput);
    for place in ["", "7", r#"[0,["z"],"k"]"#, r#"[0,["a"]]"#, r#"[0,[""],"k"]"#] {
        assert_eq!(refused(PruneOptions::new().after(place)), ErrorKind::InvalidInput, "{place}");
    }
    assert_eq!(kind(store.keep_newest(&scope, 0)), ErrorKind::InvalidInput);
    assert_eq!(kind(store.distinct(&DistinctQuery::new(scope.clone(), ""))), ErrorKind::InvalidInput);
    assert_eq!(kind(store.distinct(&DistinctQuery::new(scope.clone(), "n").limit(0))), ErrorKind::InvalidInput);
    for path in [".", "..", "n.", ".n", "$item", "n\0"] {
        assert_eq!(store.distinct(&DistinctQuery::new(scope.clone(), path)).unwrap().found, 0, "{path:?}");
    }
    assert_unchanged(&store, &before);
}

#[test]
fn a_rename_onto_itself_below_itself_or_onto_others_is_refused() {
    let store = filled();
    let before = store.text_dump().unwrap();
    let [a, ax, b] = [namespace(["a"]), namespace(["a", "x"]), namespace(["b"])];
    let prefix = |namespace: &Namespace| Scope::Prefix(namespace.clone());
    let (invalid, exists) = (ErrorKind::InvalidInput, ErrorKind::ConditionFailed);
    for (from, to, why) in [
        (Scope::from(&a), &a, invalid),
        (prefix(&a), &a, invalid),
        (prefix(&a), &ax, invalid),
        (prefix(&ax), &a, invalid),
        (Scope::Store, &a, invalid),
        (Scope::from(&a), &b, exists),
        (Scope::from(&a), &ax, exists),
        (prefix(&a), &b, exists),
    ] {
        assert_eq!(kind(store.rename(&from, to)), why, "{from:?} to {to}");
    }
    let goes_on = RenameOptions::new().after("not a number");
    assert_eq!(kind(store.rename_with(&Scope::from(&a), &namespace(["c"]), &goes_on)), invalid);
    let deep = Namespace::new(vec!["x"; limits::LABELS]).unwrap();
    assert_eq!(kind(store.rename(&prefix(&a), &deep)), ErrorKind::Limit(Limit::Labels));
    assert_unchanged(&store, &before);
}

#[test]
fn one_frame_takes_no_more_items_than_it_may() {
    let (store, ..) = simulated(vecmem::Options::new());
    let home = namespace(["a"]);
    let items = limits::RENAMED_ITEMS as u64 + 10;
    let puts = (0..items).map(|number| Ok(numbered(&home, format!("{number:06}"), number)));
    store.import(puts, vecmem::ImportOptions::new()).unwrap();
    let (scope, target) = (Scope::from(&home), namespace(["b"]));
    let error = store.rename(&scope, &target).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit(Limit::RenamedItems));
    assert!(error.to_string().contains(&items.to_string()), "{error}");
    let first = store.rename_with(&scope, &target, &RenameOptions::new().batches(true)).unwrap();
    assert_eq!((first.moved, first.total), (items - 10, items - 10));
    // What others write under the new name between two steps is not replaced.
    let options = RenameOptions::new().after(first.next.unwrap());
    let last = format!("{:06}", items - 1);
    store.put(numbered(&target, &*last, 7)).unwrap();
    let refused = store.rename_with(&scope, &target, &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConditionFailed, "{refused}");
    assert!(store.delete(&target, &last).unwrap());
    let second = store.rename_with(&scope, &target, &options).unwrap();
    assert_eq!((second.moved, second.total, second.next), (10, items, None));
    assert_eq!(store.count(&Scope::from(&target), &vecmem::ReadOptions::default()).unwrap(), items);
}
