//! `list_namespaces` gives the labels of namespaces that hold a live item, in tuple order, by prefix and suffix
//! patterns.

use std::time::Duration;

use crate::common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{LabelPattern, NamespaceQuery, ReadOptions, Scope, Store};

fn patterns(labels: &[&str]) -> Vec<LabelPattern> {
    labels.iter().map(|label| LabelPattern::parse(label)).collect()
}

fn listed(store: &Store, query: &NamespaceQuery) -> Vec<String> {
    store.list_namespaces(query).unwrap().iter().map(|labels| labels.join("/")).collect()
}

fn filled() -> Store {
    let (store, _, _) = simulated(tiny_without_vectors().split_keys([namespace(["team"])]));
    for labels in [
        "users/ada/facts",
        "users/ada",
        "users/bob/facts",
        "users",
        "team/ada/facts",
        "users/ada/facts/old",
        "a\0",
        "a",
        "a/b",
    ] {
        for number in 0..9 {
            store.put(numbered(&namespace_of(labels), number.to_string(), number)).unwrap();
        }
    }
    assert!(store.stats().unwrap().internals.segments > 0);
    store
}

fn namespace_of(text: &str) -> vecmem::Namespace {
    vecmem::Namespace::new(text.split('/')).unwrap()
}

#[test]
fn namespaces_are_listed_by_pattern() {
    let store = filled();
    let all = [
        "a",
        "a/b",
        "a\0",
        "team/ada/facts",
        "users",
        "users/ada",
        "users/ada/facts",
        "users/ada/facts/old",
        "users/bob/facts",
    ];
    let any = NamespaceQuery::default();
    assert_eq!(listed(&store, &any), all, "in tuple order");
    let cases: &[(&[&str], &[&str], &[&str])] = &[
        (&["users"], &[], &all[4..]),
        (&["users", "*"], &[], &all[5..]),
        (&["*", "ada"], &[], &["team/ada/facts", "users/ada", "users/ada/facts", "users/ada/facts/old"]),
        (&["*", "ada", "facts"], &["facts"], &["team/ada/facts", "users/ada/facts"]),
        (&[], &["facts"], &["team/ada/facts", "users/ada/facts", "users/bob/facts"]),
        (&[], &["*", "facts"], &["team/ada/facts", "users/ada/facts", "users/bob/facts"]),
        (&["users"], &["users"], &["users"]),
        (&["use"], &[], &[]),
        (&["a"], &[], &["a", "a/b"]),
        (&["*", "*", "*", "*", "*"], &[], &[]),
        (&["users", ""], &[], &[]),
    ];
    for (prefix, suffix, expected) in cases {
        let query = NamespaceQuery { prefix: patterns(prefix), suffix: patterns(suffix), ..any.clone() };
        assert_eq!(listed(&store, &query), *expected, "{prefix:?} {suffix:?}");
    }
}

#[test]
fn cut_ones_are_listed_once_and_pages_come_after_the_cut() {
    let store = filled();
    let cut = |max_depth, limit, offset| {
        listed(&store, &NamespaceQuery { max_depth: Some(max_depth), limit, offset, ..NamespaceQuery::default() })
    };
    assert_eq!(cut(1, usize::MAX, 0), ["a", "a\0", "team", "users"]);
    assert_eq!(cut(2, usize::MAX, 0), ["a", "a/b", "a\0", "team/ada", "users", "users/ada", "users/bob"]);
    assert_eq!(cut(2, 2, 4), ["users", "users/ada"]);
    assert_eq!(cut(2, 2, usize::MAX), Vec::<String>::new());
}

#[test]
fn only_live_ones_are_listed() {
    let (store, _, clock) = simulated(tiny_without_vectors());
    let any = NamespaceQuery::default();
    store.put(numbered(&namespace_of("kept"), "k", 1)).unwrap();
    store.put(numbered(&namespace_of("deleted"), "k", 1)).unwrap();
    store.put(numbered(&namespace_of("mortal"), "k", 1).ttl(Duration::from_secs(1))).unwrap();
    store.compact().unwrap();
    assert_eq!(listed(&store, &any), ["deleted", "kept", "mortal"]);
    store.delete(&namespace_of("deleted"), "k").unwrap();
    clock.advance(Duration::from_secs(2));
    assert_eq!(listed(&store, &any), ["kept"]);
    let expired_too =
        NamespaceQuery { options: ReadOptions { include_expired: true, ..ReadOptions::default() }, ..any };
    assert_eq!(listed(&store, &expired_too), ["kept", "mortal"]);
    store.delete_range(&Scope::prefix(["kept"]).unwrap()).unwrap();
    assert_eq!(listed(&store, &NamespaceQuery::default()), Vec::<String>::new());
}
