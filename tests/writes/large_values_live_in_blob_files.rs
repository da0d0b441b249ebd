//! Values of 64 KiB and more lie in blob files of their own, compressed when that pays, and are rewritten by the
//! background only when half of a file is dead; every read finds them, from memory, from segments, after merges,
//! imports and reopening.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::common::Random;
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{
    Filter, ImportOptions, Item, IterateQuery, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Stats,
    Store, Tuning,
};

const LARGE: usize = 64 << 10;

/// Background work on the writing thread, and segments of a few large values.
fn tuning() -> Tuning {
    let large = Tuning::default();
    Tuning {
        memtable_rows: 1_000,
        memtable_bytes: 4 << 20,
        log_file_min_bytes: 1 << 20,
        log_file_max_bytes: 8 << 20,
        log_total_bytes: 64 << 20,
        blob_value_bytes: large.blob_value_bytes,
        blob_files: large.blob_files,
        import_chunk_rows: 1_000,
        ..Tuning::tiny()
    }
}

fn open(storage: &SimStorage) -> Store {
    let options = Options::with_vectors(2, Metric::Cosine).tuning(tuning());
    open_with(Arc::new(storage.clone()), Arc::new(SimClock::new(1_700_000_000_000_000)), options).unwrap()
}

fn namespace() -> Namespace {
    Namespace::new(["users", "ada", "files"]).unwrap()
}

/// A JSON object of about `bytes` bytes, which a compressor makes little of if `regular`, and nothing else.
fn json(random: &mut Random, number: usize, bytes: usize, regular: bool) -> String {
    let letter = |random: &mut Random| char::from(b' ' + 2 + random.below(90) as u8);
    let text: String = match regular {
        true => "a line of a log, again and again; ".chars().cycle().take(bytes).collect(),
        false => std::iter::repeat_with(|| letter(random)).filter(|&c| c != '\\' && c != '"').take(bytes).collect(),
    };
    format!("{{\"n\":{number},\"text\":\"{text}\"}}")
}

fn blob_names(storage: &SimStorage) -> BTreeSet<String> {
    storage.names().into_iter().filter(|name| name.ends_with(".blob")).collect()
}

fn stats(store: &Store) -> Stats {
    store.stats().unwrap()
}

#[test]
fn every_read_finds_them() {
    let (seed, storage) = (1, SimStorage::new(1));
    println!("seed {seed}");
    let (mut random, mut store, namespace) = (Random::new(seed), open(&storage), namespace());
    let mut model = BTreeMap::new();
    for number in 0..120 {
        let bytes = [10, LARGE - 40, LARGE - 20, LARGE, 3 * LARGE, 17 * LARGE][random.below(6) as usize];
        let (key, value) = (format!("{}", random.below(60)), json(&mut random, number, bytes, number % 2 == 0));
        let put = Put::new(&namespace, key.as_str(), value.as_str()).vector([1.0, number as f32]);
        if number % 10 == 9 {
            let more = (0..12).map(|more| Put::new(&namespace, format!("i{more}"), value.as_str()).vector([0.5, 1.0]));
            store.import(more.map(Ok), ImportOptions::new()).unwrap();
            (0..12).for_each(|more| drop(model.insert(format!("i{more}"), value.clone())));
        }
        store.put(put).unwrap();
        model.insert(key, value);
        if number % 40 == 20 {
            store.close().unwrap();
            store = open(&storage);
        }
    }
    assert!(blob_names(&storage).len() > 1 && stats(&store).internals.merges > 0, "{:?}", stats(&store));
    all_reads(&store, &model);
    store.compact().unwrap();
    all_reads(&store, &model);
    let shown = stats(&store);
    assert!(
        shown.size.blob_bytes > 0
            && shown.size.segment_bytes < shown.size.blob_bytes
            && shown.size.disk_bytes > shown.size.blob_bytes
    );
    assert!(store.check(false).unwrap().problems.is_empty());
    store.close().unwrap();
    let store = open(&storage);
    all_reads(&store, &model);
    assert!(store.delete_range(&Scope::from(&namespace)).is_ok());
    store.compact().unwrap();
    assert_eq!(
        (stats(&store).internals.blob_files, stats(&store).size.blob_bytes, blob_names(&storage).len()),
        (0, 0, 0)
    );
}

fn all_reads(store: &Store, model: &BTreeMap<String, String>) {
    let (namespace, scope) = (namespace(), Scope::from(&namespace()));
    for (key, value) in model {
        assert_eq!(&*store.get(&namespace, key).unwrap().unwrap().value, value, "{key}");
    }
    let expected = |wanted: &dyn Fn(u64) -> bool| -> BTreeMap<&str, &str> {
        let number = |value: &str| value[5..].split(',').next().unwrap().parse().unwrap();
        let wanted = model.iter().filter(|(_, value)| wanted(number(value)));
        wanted.map(|(key, value)| (key.as_str(), value.as_str())).collect()
    };
    let as_map = |items: &[&Item]| -> BTreeMap<String, String> {
        items.iter().map(|item| (item.key.clone(), item.value.to_string())).collect()
    };
    let check = |items: Vec<&Item>, wanted: &dyn Fn(u64) -> bool| {
        let found = as_map(&items);
        let found: BTreeMap<&str, &str> = found.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        assert!(found == expected(wanted), "{} of {} items", found.len(), expected(wanted).len());
    };
    let query = Query::new(scope.clone()).limit(1_000);
    let late = query.clone().filter(Filter::gte("n", 60));
    check(store.list(&query).unwrap().hits.iter().map(|hit| &hit.item).collect(), &|_| true);
    check(store.list(&late).unwrap().hits.iter().map(|hit| &hit.item).collect(), &|n| n >= 60);
    let search = late.vector([1.0, 2.0]);
    check(store.search(&search).unwrap().hits.iter().map(|hit| &hit.item).collect(), &|n| n >= 60);
    let like = store.search_by_item(&namespace, model.keys().next().unwrap(), query).unwrap();
    assert_eq!(like.hits.len() + 1, model.len());
    let page = store.iterate(&IterateQuery::new(scope.clone()).limit(1_000), None).unwrap();
    check(page.items.iter().collect(), &|_| true);
    assert_eq!(store.count(&scope, &ReadOptions::default()).unwrap(), model.len() as u64);
}

#[test]
fn only_what_saves_an_eighth_is_compressed() {
    for (regular, most) in [(true, LARGE as u64 / 10), (false, 2 * LARGE as u64 + 100)] {
        let storage = SimStorage::new(2);
        let store = open(&storage);
        let value = json(&mut Random::new(2), 1, 2 * LARGE, regular);
        store.put(Put::new(&namespace(), "file", value.as_str())).unwrap();
        store.compact().unwrap();
        let shown = stats(&store);
        assert!(shown.internals.blob_files == 1 && shown.size.blob_bytes <= most, "{shown:?}");
        assert!(regular || shown.size.blob_bytes == value.len() as u64, "stored as it is: {shown:?}");
        assert_eq!(&*store.get(&namespace(), "file").unwrap().unwrap().value, value);
    }
}

/// Which blob files there are tells what was rewritten: a file never changes, and a new one has a new name.
#[test]
fn large_values_are_rewritten_only_when_half_dead() {
    let storage = SimStorage::new(3);
    let (store, mut random, namespace) = (open(&storage), Random::new(3), namespace());
    for number in 0..10 {
        let value = json(&mut random, number, LARGE, false);
        store.put(Put::new(&namespace, format!("{number}"), value)).unwrap();
    }
    store.compact().unwrap();
    let first = blob_names(&storage);
    assert_eq!((first.len(), stats(&store).internals.blob_files), (1, 1));
    // Five of ten die, one by one; the background merges when too many rows are dead.
    for number in 0..5 {
        assert!(store.delete(&namespace, &format!("{number}")).unwrap());
        let shown = stats(&store);
        assert_eq!((shown.internals.segments, blob_names(&storage)), (1, first.clone()), "{number} are dead");
        assert!(
            shown.size.dead_blob_bytes >= number as u64 * LARGE as u64
                && shown.size.dead_blob_bytes * 2 <= shown.size.blob_bytes + 200
        );
    }
    assert!(stats(&store).size.dead_rows < 5, "a merge took place");
    assert!(store.delete(&namespace, "5").unwrap());
    assert_eq!(stats(&store).size.dead_blob_bytes, 0, "the background has rewritten it");
    store.compact().unwrap();
    let second = blob_names(&storage);
    assert!(second.len() == 1 && second.is_disjoint(&first), "{second:?}");
    let shown = stats(&store);
    assert!(shown.size.dead_blob_bytes == 0 && shown.size.blob_bytes < 5 * LARGE as u64, "{shown:?}");
    // What is new lies beside it.
    store.put(Put::new(&namespace, "new", json(&mut random, 11, LARGE, false))).unwrap();
    store.compact().unwrap();
    assert!(blob_names(&storage).is_superset(&second) && stats(&store).internals.blob_files == 2);
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 4 + 1);
}

#[test]
fn rewriting_one_value_a_thousand_times_keeps_little_of_it() {
    let storage = SimStorage::new(4);
    let (store, mut random, namespace) = (open(&storage), Random::new(4), namespace());
    for number in 0..3_000 {
        store.put(Put::new(&namespace, format!("small {number}"), format!("{{\"n\":{number}}}"))).unwrap();
    }
    let value = json(&mut random, 0, 1 << 20, false);
    let mut most = 0;
    for number in 0..1_000 {
        store.put(Put::new(&namespace, "conversation", value.as_str())).unwrap();
        if number % 100 == 99 {
            store.put(Put::new(&namespace, format!("more {number}"), "{}")).unwrap();
            let shown = stats(&store);
            most = most.max(shown.size.blob_bytes);
        }
    }
    println!("at most {most} bytes of values in blob files");
    // One in each segment there may be, and the copies of the next merge.
    assert!(most <= 8 << 20, "{most}");
    store.compact().unwrap();
    let shown = stats(&store);
    let files: u64 = storage
        .names()
        .iter()
        .filter(|name| !name.ends_with(".log") && *name != "reserve")
        .map(|name| storage.read_file(name).unwrap().len() as u64)
        .sum();
    println!("{} bytes in files beside the log, {} in blob files", files, shown.size.blob_bytes);
    assert!(shown.size.blob_bytes <= 5 << 19 && files <= 5 << 19, "{files} bytes: {shown:?}");
}

#[test]
fn many_blob_files_are_gathered() {
    let storage = SimStorage::new(5);
    let options = Options::new().tuning(Tuning { memtable_rows: 4, blob_files: 8, ..tuning() });
    let store = open_with(Arc::new(storage.clone()), Arc::new(SimClock::new(1)), options).unwrap();
    let (mut random, namespace) = (Random::new(5), namespace());
    for number in 0..400 {
        store
            .put(Put::new(
                &namespace,
                format!("{number:03}"),
                json(&mut random, number, LARGE / 2 * (1 + number % 2), false),
            ))
            .unwrap();
    }
    let shown = stats(&store);
    assert!(shown.internals.segments > 0 && shown.internals.blob_files <= 8 * shown.internals.segments, "{shown:?}");
    store.compact().unwrap();
    assert!((1..=8).contains(&stats(&store).internals.blob_files), "{:?}", stats(&store));
    assert_eq!(stats(&store).size.dead_blob_bytes, 0);
    assert_eq!(store.count(&Scope::Store, &ReadOptions::default()).unwrap(), 400);
}
