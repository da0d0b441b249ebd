//! A purge rewrites the segments that hold something of its scope and no other, on a real disk with default tuning;
//! bounds of shards that name what is gone are replaced.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::common::canaries::{Canary, DIMS, Needles, copy, decoded, files_of, options};
use crate::common::namespace;
use vecmem::{ImportOptions, Namespace, Options, Put, ReadOptions, Scope, Store};

/// Rows of the smallest import that writes files.
const ROWS: usize = 4_096;

/// Inode and time of the last change of each segment file.
fn segment_files(path: &Path) -> BTreeMap<String, (u64, i64, i64)> {
    let entries = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap()));
    let segments = named.filter(|(name, _)| name.starts_with("seg-") && !name.ends_with(".dead"));
    segments.map(|(name, metadata)| (name, (metadata.ino(), metadata.mtime(), metadata.mtime_nsec()))).collect()
}

fn filler(namespace: &Namespace, number: usize) -> Put {
    let vector: Vec<f32> = (0..DIMS).map(|place| ((number * 31 + place * 7) % 101) as f32 - 50.0).collect();
    Put::new(namespace, format!("{number:06}"), format!("{{\"n\":{number}}}")).vector(vector)
}

fn import(store: &Store, items: impl Iterator<Item = Put>) {
    assert!(store.import(items.map(Ok), ImportOptions::new()).unwrap().progress.complete);
}

#[test]
fn other_segments_stay_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    let store = Store::open(&path, options()).unwrap();
    // Sizes too far apart to be merged. The second one holds the scope, the third one a namespace on both sides of it.
    let secret: Vec<Canary> = (0..10).map(|number| Canary::new("secret", number)).collect();
    let many = (0..16 * ROWS).map(|number| filler(&namespace(["a", &(number % 16).to_string()]), number));
    import(&store, many);
    let beside = (0..ROWS).map(|number| filler(&namespace(["b"]), number));
    import(&store, beside.chain(secret.iter().map(Canary::put)));
    let around = (0..40).map(|number| filler(&namespace([if number % 2 == 0 { "r" } else { "t" }]), number));
    for put in around {
        store.put(put).unwrap();
    }
    // Something dead elsewhere is no concern of the purge.
    assert!(store.delete(&namespace(["a", "7"]), "000007").unwrap());
    let stats = store.stats().unwrap();
    assert_eq!(stats.internals.segments, 2, "{stats:#?}");
    let before_copy = directory.path().join("before");
    copy(&path, &before_copy);
    let before = segment_files(&path);
    let mut needles = Needles::default();
    secret.iter().for_each(|canary| needles.add(canary, true));
    needles.add_derived(&secret, &decoded(&before_copy));

    let scope = Scope::Prefix(namespace(["secret"]));
    let receipt = store.purge(&scope).unwrap();
    println!("{receipt:#?}");
    assert_eq!((receipt.items, receipt.segments_rewritten), (10, 1));
    let after = segment_files(&path);
    let gone: Vec<&String> = before.keys().filter(|name| !after.contains_key(*name)).collect();
    let stems: std::collections::BTreeSet<&str> = gone.iter().filter_map(|name| name.split('.').next()).collect();
    assert!(!gone.is_empty() && stems.len() <= 3, "one segment and what lies beside it: {gone:?}");
    for (name, identity) in before.iter().filter(|(name, _)| after.contains_key(*name)) {
        assert_eq!(after[name], *identity, "{name} was touched");
    }
    assert_eq!(before.keys().filter(|name| name.ends_with(".truth") && after.contains_key(*name)).count(), 1);
    assert!(gone.iter().all(|name| receipt.files_unlinked.contains(name)), "{receipt:?}");
    assert_eq!(needles.in_files(&files_of(&path)), Vec::<String>::new());
    store.close().unwrap();
    assert_eq!(needles.in_contents(&decoded(&path)), Vec::<String>::new());
}

#[test]
fn a_scope_in_memory_only_rewrites_no_segment() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options()).unwrap();
    import(&store, (0..ROWS).map(|number| filler(&namespace(["a"]), number)));
    let before = segment_files(directory.path());
    let canary = Canary::new("secret", 1);
    store.put(canary.put()).unwrap();
    let receipt = store.purge(&Scope::Namespace(canary.namespace())).unwrap();
    assert_eq!((receipt.items, receipt.segments_rewritten, receipt.bytes_written), (1, 0, 0));
    assert_eq!(segment_files(directory.path()), before);
    let mut needles = Needles::default();
    needles.add(&canary, true);
    assert_eq!(needles.in_files(&files_of(directory.path())), Vec::<String>::new());
}

/// The bounds of shards that any manifest names.
fn bounds(path: &Path) -> Vec<Vec<u8>> {
    let bounds = decoded(path).into_iter().filter(|content| content.what == "bound");
    bounds.map(|content| content.bytes).collect()
}

#[test]
fn bounds_name_nothing_that_is_gone() {
    for seed in 0..3 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let cuts: Vec<Canary> = (0..4).map(|number| Canary::new("secret", 10 * seed + number)).collect();
        // Neighbours that leave little room between them: nothing at all, a sibling, a child.
        let (below, above) = [("a", vec!["b"]), ("r", vec!["t"]), ("secreta", vec!["secretb"])][seed as usize].clone();
        let (below, above) = (namespace([below]), Namespace::new(above).unwrap());
        let cut_at = cuts.iter().map(Canary::namespace).chain([above.clone()]);
        let store = Store::open(&path, options().split_keys(cut_at)).unwrap();
        let puts = cuts.iter().map(Canary::put).chain([filler(&below, 1), filler(&above, 2)]);
        for put in puts {
            store.put(put).unwrap();
        }
        let mut needles = Needles::default();
        cuts.iter().for_each(|canary| needles.add(canary, true));
        let copied = directory.path().join("before");
        copy(&path, &copied);
        assert!(!needles.in_contents(&decoded(&copied)).is_empty());
        assert!(bounds(&copied).iter().any(|bound| bound.len() > 20));

        store.purge(&Scope::Prefix(namespace(["secret"]))).unwrap();
        assert_eq!(needles.in_files(&files_of(&path)), Vec::<String>::new(), "seed {seed}");
        store.put(filler(&namespace(["secret", "later"]), 3)).unwrap();
        store.close().unwrap();
        assert_eq!(needles.in_contents(&decoded(&path)), Vec::<String>::new(), "seed {seed}");
        let longest = bounds(&path).iter().map(Vec::len).max().unwrap();
        assert!(longest <= 9, "seed {seed}: {:?}", bounds(&path));
        let store = Store::open(&path, Options::new()).unwrap();
        assert_eq!(store.stats().unwrap().internals.shards, 6);
        for (namespace, key) in [(&below, "000001"), (&above, "000002"), (&namespace(["secret", "later"]), "000003")] {
            assert!(store.get(namespace, key).unwrap().is_some(), "seed {seed}: {namespace}");
        }
        assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 3);
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}

#[test]
fn files_of_an_import_that_a_replay_still_asks_for_are_rewritten_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), options()).unwrap();
    let secret: Vec<Canary> = (0..10).map(|number| Canary::new("secret", number)).collect();
    let beside = (0..ROWS).map(|number| filler(&namespace(["b"]), number));
    import(&store, beside.chain(secret.iter().map(Canary::put)));
    let receipt = store.purge(&Scope::Prefix(namespace(["secret"]))).unwrap();
    assert_eq!((receipt.items, receipt.segments_rewritten), (10, 1));
    let mut needles = Needles::default();
    secret.iter().for_each(|canary| needles.add(canary, true));
    assert_eq!(needles.in_files(&files_of(directory.path())), Vec::<String>::new());
}
