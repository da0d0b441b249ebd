//! A store of format revision 2 opens with every item in it, closed or killed, with every kind of file that there is,
//! and is the same store when it was written on and compacted. `tests/fixtures/make_2.rs` has made the files.

use std::path::Path;
use std::time::Duration;

use crate::common::{START, assert_unchanged, namespace, numbered, reopened, tiny};
use vecmem::testing::{SimClock, SimStorage};
use vecmem::{Batch, Metric, Query, Scope, WriteResult};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
/// A store has them in any case, or has lost something (`missed`).
const KINDS: [&str; 8] = [".truth", ".codes", ".blob", ".graph", ".dead", ".operations", ".log", "manifest-"];

/// The files of a fixture, on a simulated disk, and a clock that shows when it was made.
fn fixture(folder: &str) -> (SimStorage, SimClock) {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    for entry in std::fs::read_dir(Path::new(FIXTURES).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        storage.write_file(path.file_name().unwrap().to_str().unwrap(), &std::fs::read(&path).unwrap());
    }
    clock.advance(Duration::from_secs(360_000_200));
    (storage, clock)
}

#[test]
fn it_holds_what_was_written_and_goes_on() {
    let items = std::fs::read_to_string(Path::new(FIXTURES).join("2.items")).unwrap();
    let ada = namespace(["users", "ada"]);
    for folder in ["closed-2", "killed-2"] {
        let (storage, clock) = fixture(folder);
        for kind in KINDS {
            let is_there = storage.names().iter().any(|name| name.ends_with(kind) || name.starts_with(kind));
            assert!(is_there, "{folder} has no {kind}");
        }
        let store = reopened(&storage, &clock, tiny(8, Metric::Cosine));
        assert_unchanged(&store, &items);
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{folder}");
        assert_eq!(store.setting("index").unwrap().as_deref(), Some("{\"fields\":[\"text\"]}"));
        assert_eq!(store.search(&Query::new(&ada).vector([1.0; 8]).limit(5)).unwrap().len(), 5);
        store.put(numbered(&namespace(["new"]), "first", 1).vector([2.0; 8])).unwrap();
        let dump = store.text_dump().unwrap();
        store.compact().unwrap();
        assert_unchanged(&store, &dump);
        store.close().unwrap();
        assert_unchanged(&reopened(&storage, &clock, tiny(8, Metric::Cosine)), &dump);
    }
}

#[test]
fn the_id_of_an_operation_is_known_as_long_as_it_is_kept() {
    let (storage, clock) = (fixture("closed-2").0, SimClock::new(START));
    clock.advance(Duration::from_secs(100));
    let store = reopened(&storage, &clock, tiny(8, Metric::Cosine));
    let mut batch = Batch::new();
    batch.put(numbered(&namespace(["users", "ada"]), "once", 2)).operation_id("an operation");
    let written = store.batch(batch).unwrap();
    assert!(matches!(written[..], [WriteResult::Repeated(_)]), "{written:?}");
}

#[test]
fn its_graphs_are_built_again() {
    for compacts in [false, true] {
        let (storage, clock) = fixture("closed-2");
        let store = reopened(&storage, &clock, tiny(8, Metric::Cosine));
        let before = store.stats().unwrap().graphs.count;
        if compacts {
            store.compact().unwrap();
        } else {
            // The writer does the work of the background.
            store.put(numbered(&namespace(["new"]), "first", 1).vector([2.0; 8])).unwrap();
            store.flush().unwrap();
        }
        // The graph of the whole store was asked for, so it stays.
        let answer = store.search(&Query::new(Scope::Store).vector([1.0; 8]).limit(5).explain(true)).unwrap();
        let searches: u64 = answer.explain.iter().map(|part| part.graph_searches).sum();
        let after = store.stats().unwrap().graphs.count;
        assert!(before == 0 && after > 0 && searches > 0, "compacts: {compacts}; {before} {after} {searches}");
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    }
}
