//! A manifest holds of the namespaces of living items only the beginnings that tell apart segments, the ends of one
//! segment, and shards; reads find every item by them: on a simulated disk, and on a real one with default tuning.

use std::path::Path;

use crate::common::canaries::{Canary, Files, Needles, files_of, files_of_simulated, open, options};
use crate::common::{namespace, simulated};
use vecmem::testing::SimClock;
use vecmem::{ImportOptions, Namespace, Put, ReadOptions, Scope, Store};

/// So many make an import write files.
const FILLERS: usize = 4_100;

fn manifests(mut files: Files) -> Files {
    files.retain(|name, _| name.starts_with("manifest-"));
    assert!(!files.is_empty());
    files
}

/// Writes items in many ways, and looks at the manifests after each.
fn no_namespace_is_whole(context: &str, store: &Store, files: impl Fn() -> Files) {
    let mut needles = Needles::default();
    let mut written: Vec<Canary> = Vec::new();
    let mut look = |canaries: &[Canary], after: &str| {
        canaries.iter().for_each(|canary| needles.add(canary, true));
        written.extend_from_slice(canaries);
        let found = needles.in_files(&manifests(files()));
        assert_eq!(found, Vec::<String>::new(), "{context}, {after}");
        for canary in &written {
            let item = store.get(&canary.namespace(), &canary.key()).unwrap();
            assert_eq!(item.map(|item| item.value.to_string()), Some(canary.value()), "{context}, {after}: {canary:?}");
            let scope = Scope::Prefix(canary.namespace());
            assert_eq!(store.count(&scope, &ReadOptions::default()).unwrap(), 1, "{context}, {after}: {canary:?}");
        }
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}, {after}");
    };
    // Segments that lie one inside the other, apart, and next to each other.
    for (round, places) in [[10, 90], [40, 60], [20, 30], [31, 39], [5, 95]].into_iter().enumerate() {
        let canaries = places.map(|place| Canary::new("group", place));
        for canary in &canaries {
            store.put(canary.put()).unwrap();
        }
        write_segments(store);
        look(&canaries, &format!("segment {round}"));
    }
    let imported = [("group", 99), ("group", 100), ("another group", 101), ("another group", 102)];
    let imported = imported.map(|(group, place)| Canary::new(group, place));
    let fillers = (0..FILLERS).map(|number| Put::new(&namespace(["fillers"]), number.to_string(), "{}"));
    store.import(imported.iter().map(Canary::put).chain(fillers).map(Ok), ImportOptions::new()).unwrap();
    write_segments(store);
    assert!(store.stats().unwrap().internals.segments > 1, "{context}: there is nothing to be told apart");
    look(&imported, "import");
    store.purge(&Scope::Namespace(namespace(["fillers"]))).unwrap();
    look(&[], "purge");
    store.compact().unwrap();
    look(&[], "compact");
}

/// Writes what is in memory to segments, as every purge does.
fn write_segments(store: &Store) {
    store.purge(&Scope::Namespace(namespace(["nobody"]))).unwrap();
}

/// Where no namespace of an item lies, before all of one group.
fn cut() -> Namespace {
    namespace(["group"])
}

#[test]
fn on_a_simulated_disk() {
    let (store, storage, _) = simulated(options().split_keys([cut()]));
    no_namespace_is_whole("simulated", &store, || files_of_simulated(&storage));
}

#[test]
fn on_a_real_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path: &Path = directory.path();
    let store = open(path, &SimClock::new(crate::common::START), options().split_keys([cut()]));
    no_namespace_is_whole("real", &store, || files_of(path));
}
