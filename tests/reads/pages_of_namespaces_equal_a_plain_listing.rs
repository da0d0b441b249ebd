//! Every page of namespaces, by any prefix, suffix, depth, offset, limit and start, is the slice of a plain listing:
//! all items, their namespaces cut, sorted, each once.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{simulated, tiny_without_vectors};
use vecmem::testing::Random;
use vecmem::{
    IterateQuery, LabelPattern, Namespace, NamespaceQuery, Put, ReadOptions, Reads, Scope, Store, Tuning, limits,
};

/// Labels that are prefixes of each other, with NUL, the largest characters, and emoji.
const LABELS: [&str; 12] =
    ["a", "a\0", "a\0\0", "a\0b", "aa", "ab", "b", "\0", "\u{1}", "\u{10FFFF}", "\u{1F600}", "users"];

fn random_namespace(random: &mut Random) -> Namespace {
    let depth = match random.below(20) {
        0 => limits::LABELS,
        some => 1 + some % 4,
    };
    // Few different labels deep down, so that namespaces have each other as prefixes.
    let label = |at: usize| LABELS[random.below(if at == 0 { LABELS.len() } else { 4 })];
    Namespace::new((0..depth).map(label)).unwrap()
}

fn patterns(random: &mut Random, longest: usize) -> Vec<LabelPattern> {
    let length = [0, 0, 1, 1, 2, 3][random.below(6)].min(longest);
    let pattern = |_| match random.below(6) {
        0 | 1 => LabelPattern::Any,
        2 => LabelPattern::Label(["", "none", "a\u{1}", "~"][random.below(4)].to_owned()),
        _ => LabelPattern::Label(LABELS[random.below(5)].to_owned()),
    };
    (0..length).map(pattern).collect()
}

fn fits(patterns: &[LabelPattern], labels: &[String]) -> bool {
    patterns.iter().zip(labels).all(|(pattern, label)| match pattern {
        LabelPattern::Label(wanted) => wanted == label,
        LabelPattern::Any => true,
    })
}

/// The answer, by reading every item.
fn plain(reads: &impl Reads, query: &NamespaceQuery) -> Vec<Vec<String>> {
    let all = IterateQuery::new(Scope::Store).limit(usize::MAX).options(query.options.clone());
    let items = reads.iterate(&all, None).unwrap().items;
    let matching = items.iter().map(|item| item.namespace.labels()).filter(|labels| {
        labels.len() >= query.prefix.len().max(query.suffix.len())
            && fits(&query.prefix, labels)
            && fits(&query.suffix, &labels[labels.len() - query.suffix.len()..])
    });
    let cut = |mut labels: Vec<String>| {
        labels.truncate(query.max_depth.unwrap_or(labels.len()));
        labels
    };
    let listed: BTreeSet<Vec<String>> = matching.map(cut).collect();
    let after = cut(query.after.clone());
    let later = listed.into_iter().filter(|labels| query.after.is_empty() || *labels > after);
    later.skip(query.offset).take(query.limit).collect()
}

fn random_query(random: &mut Random) -> NamespaceQuery {
    let after = if random.below(3) == 0 { random_namespace(random).labels() } else { Vec::new() };
    NamespaceQuery {
        prefix: patterns(random, 3),
        suffix: if random.below(2) == 0 { Vec::new() } else { patterns(random, 2) },
        max_depth: [None, None, Some(1), Some(2), Some(3), Some(64)][random.below(6)],
        limit: [0, 1, 3, 10, usize::MAX][random.below(5)],
        offset: [0, 0, 1, 5, 40, usize::MAX][random.below(6)],
        after,
        options: ReadOptions { include_expired: random.below(4) == 0, ..ReadOptions::default() },
    }
}

fn act(store: &Store, random: &mut Random) {
    let namespace = random_namespace(random);
    let key = random.below(3).to_string();
    match random.below(24) {
        0 => store.delete_range(&Scope::Prefix(namespace)).unwrap(),
        1 | 2 => store.delete_range(&Scope::Namespace(namespace)).unwrap(),
        3..=6 => assert!(store.delete(&namespace, &key).is_ok()),
        7..=9 => {
            let ttl = Duration::from_secs(1 + random.below(50) as u64);
            assert!(store.put(Put::new(&namespace, key, "{}").ttl(ttl)).is_ok());
        }
        _ => assert!(store.put(Put::new(&namespace, key, "{}")).is_ok()),
    }
}

#[test]
fn pages_of_namespaces_equal_a_plain_listing() {
    for seed in 1..7 {
        println!("seed {seed}");
        let random = &mut Random::new(seed);
        let splits = ["a\0", "a\0b", "b"].map(|label| Namespace::new([label]).unwrap());
        let tuning = Tuning { merge_ratio: 1 << 40, segments_max: 40, ..Tuning::tiny() };
        let (store, _, clock) = simulated(tiny_without_vectors().tuning(tuning).split_keys(splits));
        let mut kept = None;
        for round in 0..12 {
            for _ in 0..60 {
                act(&store, random);
            }
            clock.advance(Duration::from_secs(5));
            match round {
                5 => kept = Some(store.snapshot().unwrap()),
                8 => drop(store.compact().unwrap()),
                10 => assert!(store.sweep().is_ok()),
                _ => {}
            }
            for _ in 0..60 {
                let query = random_query(random);
                assert_eq!(store.list_namespaces(&query).unwrap(), plain(&store, &query), "round {round}: {query:?}");
                if let Some(snapshot) = &kept {
                    assert_eq!(snapshot.list_namespaces(&query).unwrap(), plain(snapshot, &query), "{query:?}");
                }
            }
        }
        assert!(store.stats().unwrap().internals.segments > 1);
    }
}

/// A namespace of several pages of tombstones lies between two others.
#[test]
fn namespaces_are_found_behind_many_deleted_ones() {
    let (store, _, _) = simulated(tiny_without_vectors());
    let put = |label: String| Ok(Put::new(&Namespace::new([label, "x".to_owned()]).unwrap(), "k", "{}"));
    store.import((0..3_000).map(|number| put(format!("{number:04}"))), Default::default()).unwrap();
    store.compact().unwrap();
    let snapshot = store.snapshot().unwrap();
    let listed = |reads: &Store| reads.list_namespaces(&NamespaceQuery { limit: 2, ..Default::default() }).unwrap();
    for number in 0..1_024 {
        store.delete_range(&Scope::prefix([format!("{number:04}")]).unwrap()).unwrap();
    }
    assert_eq!(listed(&store), [["1024", "x"], ["1025", "x"]]);
    store.delete_everything().unwrap();
    assert_eq!(listed(&store), Vec::<Vec<String>>::new());
    assert_eq!(
        snapshot.list_namespaces(&NamespaceQuery { limit: usize::MAX, ..Default::default() }).unwrap().len(),
        3_000
    );
}
