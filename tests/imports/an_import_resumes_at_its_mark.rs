//! An import that ends early has put whole chunks, its mark says which, and a second run of the same source does the
//! rest.

use crate::common::{START, namespace, numbered, reopened, simulated, tiny_without_vectors};
use vecmem::testing::{Loss, SimClock, SimStorage};
use vecmem::{Error, ErrorKind, ImportOptions, ImportProgress, Put, ReadOptions, Result, Scope, Store};

const LINES: u64 = 230;
const CHUNK: u64 = 40;

fn line(number: u64) -> Result<Put> {
    Ok(numbered(&namespace(["a"]), format!("k{number}"), number))
}

fn lines() -> impl Iterator<Item = Result<Put>> {
    (0..LINES).map(line)
}

fn source<'a>() -> ImportOptions<'a> {
    ImportOptions::new().source("a hash")
}

fn count(store: &Store) -> u64 {
    store.count(&Scope::Store, &ReadOptions::default()).unwrap()
}

/// That `store` has the first `done` lines, and that a second run does what is left.
fn does_the_rest(store: &Store, done: u64) {
    assert_eq!(count(store), done);
    let progress = store.import_progress("a hash").unwrap().unwrap_or_default();
    assert_eq!(
        progress,
        ImportProgress { lines: done, imported: done, complete: done == LINES, ..ImportProgress::default() }
    );
    let report = store.import(lines(), source()).unwrap();
    assert_eq!((report.imported, report.resumed_after), (LINES - done, done));
    assert_eq!(count(store), LINES);
    let report = store.import(lines(), source()).unwrap();
    assert_eq!((report.imported, report.resumed_after), (0, LINES));
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn a_source_that_fails_in_the_middle() {
    for fails_at in [0, 1, 39, 40, 41, 80, 119, 229] {
        let (store, _, _) = simulated(tiny_without_vectors());
        let failing = (0..LINES).map(|number| match number == fails_at {
            true => Err(Error::new(ErrorKind::Io, "the cable was pulled")),
            false => line(number),
        });
        assert_eq!(store.import(failing, source()).unwrap_err().kind(), ErrorKind::Io);
        does_the_rest(&store, fails_at / CHUNK * CHUNK);
    }
}

#[test]
fn a_crash_after_every_sync() {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    storage.record_sync_points();
    let store = reopened(&storage, &clock, tiny_without_vectors());
    let tag = storage.clone();
    store.import(lines(), source().on_progress(move |progress| tag.set_tag(progress.lines))).unwrap();
    let images = storage.take_images();
    assert!(images.len() > 20, "{} syncs", images.len());
    for (number, image) in images.iter().enumerate() {
        let store = reopened(&image.survivor(Loss::Torn, number as u64), &clock, tiny_without_vectors());
        let found = count(&store);
        assert!([image.tag, (image.tag + CHUNK).min(LINES)].contains(&found), "{found} lines, {} were done", image.tag);
        does_the_rest(&store, found);
    }
}

#[test]
fn a_store_that_is_closed_in_the_middle() {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let store = reopened(&storage, &clock, tiny_without_vectors());
    let other = store.clone();
    let closing = (0..LINES).map(|number| {
        if number == 100 {
            other.close().unwrap();
        }
        line(number)
    });
    assert_eq!(store.import(closing, source()).unwrap_err().kind(), ErrorKind::Closed);
    does_the_rest(&reopened(&storage, &clock, tiny_without_vectors()), 80);
}

#[test]
fn a_full_disk_gets_its_space_back() {
    let (store, storage, _) = simulated(tiny_without_vectors());
    store.import(lines().take(120), ImportOptions::new()).unwrap();
    let before: Vec<String> = storage.names();
    for n in 0..60 {
        storage.set_capacity(storage.used_bytes() + 512 * n);
        let outcome = store.import((1_000 * (n + 1)..1_000 * (n + 1) + 30).map(line), ImportOptions::new());
        storage.set_capacity(u64::MAX);
        let Err(error) = outcome else { break };
        assert!(n < 59);
        assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
        assert_eq!(count(&store), 120);
        let segments = |names: &[String]| names.iter().filter(|name| name.starts_with("seg-")).count();
        assert_eq!(segments(&storage.names()), segments(&before), "operation {n}: {:?}", storage.names());
    }
    store.import(lines(), ImportOptions::new()).unwrap();
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn it_goes_on_where_it_is_told_whatever_the_mark_says() {
    let (store, _, _) = simulated(tiny_without_vectors());
    store.import(lines(), source()).unwrap();
    let before = store.import_progress("a hash").unwrap().unwrap();
    let again = source().continue_after(ImportProgress::default());
    assert_eq!(store.import(lines(), again).unwrap().imported, LINES);
    let after = ImportProgress { lines: 200, imported: 190, skipped: 10, ..ImportProgress::default() };
    let report = store.import(lines().skip(200), source().continue_after(after)).unwrap();
    assert_eq!((report.imported, report.resumed_after, report.progress.imported), (30, 200, 220));
    assert_eq!((before.lines, store.import_progress("another").unwrap()), (LINES, None));
}
