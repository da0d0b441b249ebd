//! What a million namespaces cost: import, open, heap, searches, pages of namespaces, counts, a delete, a sweep.
//! Seeded data; run with `cargo bench --bench namespaces`.
//!
//! There are two stores of 1,000,000 namespaces `("users", "u0000001", "facts")` of 4 items with 128 dimensions. The
//! first is imported namespace by namespace, with the default tuning, and compacted. The second one has 8 segments,
//! each of which holds items of half of the namespaces, so that a namespace lies in 4 of them.
//!
//! `VECMEM_NAMESPACES` sets the number of namespaces; without `--bench` it is small. `VECMEM_NAMESPACES_KEEP` names a
//! directory in which the two stores stay for the next run, which does not import them again.

mod common;
#[path = "common/report.rs"]
mod report;

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use vecmem::testing::Random;
use vecmem::{
    Filter, ImportOptions, LabelPattern, Metric, Namespace, NamespaceQuery, Options, Put, Query, ReadOptions, Scope,
    Store, Tuning,
};

use common::{Times, is_test, open, random, timed, times, unmerged};
use report::{Table, heap_bytes, machine, show, take_heap_peak};

const EACH: usize = 4;
const DIMENSIONS: usize = 128;
const SEGMENTS: usize = 8;

fn count() -> usize {
    let is_full = std::env::args().any(|argument| argument == "--bench") && !is_test();
    let given = std::env::var("VECMEM_NAMESPACES").ok().and_then(|count| count.parse().ok());
    given.unwrap_or(if is_full { 1_000_000 } else { 2_000 })
}

fn facts(number: usize) -> Namespace {
    Namespace::new(["users", &format!("u{number:07}"), "facts"]).expect("three short labels are a namespace")
}

fn vector(random: &mut Random) -> Vec<f32> {
    (0..DIMENSIONS).map(|_| random.unit()).collect()
}

fn options() -> Options {
    Options::with_vectors(DIMENSIONS, Metric::Cosine)
}

/// The options of a store in which nothing merges, and each import makes `SEGMENTS` segments.
fn unmerged_options(count: usize) -> Options {
    let rows = (count * EACH).div_ceil(SEGMENTS);
    let files = Tuning { import_chunk_rows: rows, import_chunk_bytes: 4 << 30, import_file_rows: 1, ..unmerged(8_192) };
    options().tuning(files)
}

fn import(store: &Store, places: impl Iterator<Item = (usize, usize)>) {
    let mut random = random(12);
    let put = |(number, item): (usize, usize)| {
        let json = format!(r#"{{"text":"what user {number} said {item}","kind":"k{}","n":{item}}}"#, number % 10);
        Ok(Put::new(&facts(number), format!("fact{item}"), json).vector(vector(&mut random)))
    };
    store.import(places.map(put), ImportOptions::new()).expect("the items are imported");
}

/// Where the stores lie, and whether they stay there.
enum Place {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    fn new() -> Self {
        match std::env::var_os("VECMEM_NAMESPACES_KEEP") {
            Some(directory) => Self::Kept(directory.into()),
            None => Self::Temporary(common::directory()),
        }
    }

    fn store(&self, name: &str) -> PathBuf {
        match self {
            Self::Kept(directory) => directory.join(name),
            Self::Temporary(directory) => directory.path().join(name),
        }
    }
}

/// Lets the system forget the files of a directory, so that they are read from the disk again.
fn forget_cached(directory: &Path) {
    let files = std::fs::read_dir(directory).expect("the store is there").flatten().map(|entry| entry.path());
    for file in files.filter(|file| file.is_file()) {
        let input = format!("if={}", file.display());
        let _ = Command::new("dd").args([input.as_str(), "iflag=nocache", "count=0", "status=none"]).status();
    }
}

fn shown(times: &Times) -> String {
    format!("p50 {}, p99 {}", show(times.median()), show(times.percentile(99.0)))
}

/// The times of searches in random namespaces, after `warm` others.
fn searches(store: &Store, count: usize, warm: usize, measured: usize) -> Times {
    let mut random = random(13);
    let mut search = || {
        let query = Query::new(&facts(random.below(count))).vector(vector(&mut random)).limit(5);
        let (time, answer) = timed(|| store.search(&query).expect("the search answers"));
        assert_eq!(black_box(answer).len(), EACH);
        time
    };
    for _ in 0..warm {
        search();
    }
    Times::of((0..measured).map(|_| search()).collect())
}

/// The times of an open, of the first searches after it and of the first put, with files that are in memory or not.
fn open_and_first_calls(table: &mut Table, path: &Path, options: &Options, count: usize, what: &str) {
    for (how, is_cold) in [("from memory", false), ("from the disk", true)] {
        if is_cold {
            forget_cached(path);
        }
        let before = heap_bytes();
        let (time, store) = timed(|| open(path, options.clone()));
        table.row(&format!("open, {how}"), "0.2 s", &show(time), what);
        let heap = heap_bytes() - before;
        table.row("heap after it", "16 MB", &format!("{:.1} MB", heap as f64 / 1e6), what);
        let first = Query::new(&facts(count / 3)).vector(vec![1.0; DIMENSIONS]).limit(5);
        let (time, answer) = timed(|| store.search(&first).expect("the search answers").len());
        assert_eq!(answer, EACH);
        table.row(&format!("first search, {how}"), "", &show(time), what);
        let put = || Put::new(&facts(count / 2), "new", r#"{"text":"new"}"#).vector(vec![1.0; DIMENSIONS]);
        let (time, _) = timed(|| store.put(put()).expect("the put is written"));
        table.row(&format!("first put, {how}"), "5 ms", &show(time), what);
        let (time, _) = timed(|| store.put(put()).expect("the put is written"));
        table.row("second put", "", &show(time), what);
        assert!(store.delete(&facts(count / 2), "new").expect("the delete is written"));
        let cold = searches(&store, count, 0, 300);
        table.row(&format!("searches of random namespaces, pages {how}"), "", &shown(&cold), what);
        store.close().expect("the store closes");
    }
}

fn pages(table: &mut Table, store: &Store, count: usize, what: &str) {
    let any = NamespaceQuery::default();
    let label = |text: &str| vec![LabelPattern::parse(text)];
    let middle = format!("u{:07}", count / 2);
    let user = vec![LabelPattern::parse("users"), LabelPattern::parse(&middle)];
    let offset = 900.min(count / 2);
    let pages = [
        ("first page", any.clone()),
        ("page from offset 900", NamespaceQuery { offset, ..any.clone() }),
        ("max_depth 1", NamespaceQuery { max_depth: Some(1), ..any.clone() }),
        ("max_depth 2", NamespaceQuery { max_depth: Some(2), ..any.clone() }),
        ("max_depth 2 from offset 900", NamespaceQuery { max_depth: Some(2), offset, ..any.clone() }),
        ("prefix users", NamespaceQuery { prefix: label("users"), ..any.clone() }),
        ("prefix of one user", NamespaceQuery { prefix: user.clone(), ..any.clone() }),
        ("prefix *, then one user", NamespaceQuery { prefix: vec![LabelPattern::Any, user[1].clone()], ..any.clone() }),
        ("after the middle", NamespaceQuery { after: vec!["users".to_owned(), middle.clone()], ..any.clone() }),
        ("suffix facts", NamespaceQuery { suffix: label("facts"), ..any.clone() }),
        ("suffix that none has", NamespaceQuery { suffix: label("none"), ..any.clone() }),
    ];
    for (name, query) in pages {
        let list = || drop(black_box(store.list_namespaces(&query).expect("the page is read")));
        let (first, ()) = timed(list);
        let next = times(if first > Duration::from_millis(50) { 5 } else { 200 }, list);
        let goal = if name.ends_with("none has") { "" } else { "1 ms" };
        table.row(&format!("namespaces: {name}"), goal, &format!("{}, first {}", shown(&next), show(first)), what);
    }
}

fn counts(table: &mut Table, store: &Store, count: usize, what: &str) {
    let options = ReadOptions::default();
    let one = Scope::Namespace(facts(count / 2));
    let user = Scope::prefix(["users", &format!("u{:07}", count / 2)]).expect("a prefix");
    let users = Scope::prefix(["users"]).expect("a prefix");
    for (name, scope) in [("a namespace", one), ("one user", user), ("all users", users), ("store", Scope::Store)] {
        let ask = || assert!(black_box(store.count(&scope, &options).expect("the items are counted")) > 0);
        let (first, ()) = timed(ask);
        let next = times(200, ask);
        table.row(&format!("count of {name}"), "", &format!("{}, first {}", shown(&next), show(first)), what);
    }
}

fn small_reads(table: &mut Table, store: &Store, count: usize, what: &str) {
    let measured = count.min(50_000);
    let warm = searches(store, count, measured, measured);
    table.row("search of one namespace", "20 us", &shown(&warm), what);
    let mut numbers = random(14);
    let listed = times(measured / 10, || {
        let query = Query::new(&facts(numbers.below(count))).filter(Filter::eq("n", 2)).limit(100);
        assert_eq!(black_box(store.list(&query).expect("the items are listed")).len(), 1);
    });
    table.row("list of one namespace, filtered", "", &shown(&listed), what);
}

/// Deletes some namespaces, then all of the first tenth, lists and sweeps. The store has changed afterwards.
fn deletes_and_sweeps(table: &mut Table, store: &Store, count: usize, what: &str) {
    let mut numbers = random(15);
    let random: Vec<usize> = (0..200).map(|_| count / 2 + numbers.below(count / 2 - 1)).collect();
    // What a delete reads beside what a search reads, the LSNs of the rows, is not in memory; beside it, it is.
    for (how, next) in [("", 0), (", pages in memory", 1)] {
        let mut places = random.iter().map(|number| Scope::Namespace(facts(number + next)));
        let deletes = times(random.len(), || {
            let scope = places.next().expect("as many places as times");
            store.delete_range(&scope).expect("the namespace is deleted");
        });
        table.row(&format!("delete of one namespace{how}"), "1 ms", &shown(&deletes), what);
    }
    for number in 0..20 {
        let put = Put::new(&facts(numbers.below(count)), format!("mortal{number}"), "{}");
        store.put(put.ttl(Duration::from_millis(1))).expect("the put is written");
    }
    std::thread::sleep(Duration::from_millis(5));
    let (time, swept) = timed(|| store.sweep().expect("the store is swept"));
    table.row("sweep of 20 items in memory", "", &format!("{} ({swept} gone)", show(time)), what);
    for number in 0..20 {
        let put = Put::new(&facts(numbers.below(count)), format!("mortal{number}"), "{}");
        store.put(put.ttl(Duration::from_millis(1))).expect("the put is written");
    }
    store.flush().expect("the store is flushed");
    let (time, swept) = timed(|| store.sweep().expect("the store is swept"));
    table.row("sweep of 20 items in a segment", "", &format!("{} ({swept} gone)", show(time)), what);
    let (time, swept) = timed(|| store.sweep().expect("the store is swept"));
    table.row("sweep of nothing", "", &format!("{} ({swept} gone)", show(time)), what);
    for number in 0..count / 10 {
        store.delete_range(&Scope::Namespace(facts(number))).expect("the namespace is deleted");
        if number == count / 1_000 {
            pages(table, store, count, &format!("{what}, the first {number} deleted"));
        }
    }
    pages(table, store, count, &format!("{what}, the first {} deleted", count / 10));
    counts(table, store, count, &format!("{what}, the first {} deleted", count / 10));
}

fn import_and_compact(table: &mut Table, path: &Path, count: usize) {
    take_heap_peak();
    let store = open(path, options());
    let (time, ()) = timed(|| import(&store, (0..count * EACH).map(|row| (row / EACH, row % EACH))));
    let what = format!("{count} namespaces x {EACH}, {DIMENSIONS}-d");
    table.row("import", "60 s", &show(time), &what);
    table.row("most heap", "0.5 GB", &format!("{:.2} GB", take_heap_peak() as f64 / 1e9), &what);
    let (time, _) = timed(|| store.compact().expect("the store compacts"));
    table.row("compact", "30 s", &show(time), &what);
    table.row("most heap", "", &format!("{:.2} GB", take_heap_peak() as f64 / 1e9), &what);
    store.close().expect("the store closes");
}

fn main() {
    let (place, count) = (Place::new(), count());
    println!("{count} namespaces x {EACH}, {DIMENSIONS}-d; {}", machine());
    let mut table = Table::begin();
    let (compacted, unmerged) = (place.store("compacted"), place.store("segments"));
    if !compacted.exists() {
        import_and_compact(&mut table, &compacted, count);
    }
    if !unmerged.exists() {
        let store = open(&unmerged, unmerged_options(count));
        import(&store, (0..count * EACH).map(|row| (row % count, row / count)));
        store.close().expect("the store closes");
    }
    for (path, options) in [(&compacted, options().sweep_every(None)), (&unmerged, unmerged_options(count))] {
        let store = open(path, options.clone());
        let segments = store.stats().expect("the stats are there").internals.segments;
        store.close().expect("the store closes");
        drop(store);
        let what = format!("{segments} segments");
        open_and_first_calls(&mut table, path, &options, count, &what);
        let store = open(path, options.clone());
        small_reads(&mut table, &store, count, &what);
        pages(&mut table, &store, count, &what);
        counts(&mut table, &store, count, &what);
        if matches!(place, Place::Temporary(_)) {
            deletes_and_sweeps(&mut table, &store, count, &what);
        }
        store.close().expect("the store closes");
    }
}
