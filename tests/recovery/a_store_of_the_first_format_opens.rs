//! A store that commit 8025b5b has written opens with every item in it, closed or killed, goes on in the present
//! format, and is then the same store. `tests/fixtures/make_8025b5b.rs` has made the files.

use std::path::Path;
use std::time::Duration;

use crate::common::{START, assert_unchanged, namespace, numbered, reopened, tiny};
use vecmem::testing::{Loss, SimClock, SimStorage};
use vecmem::{Metric, Query, Store};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");

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

fn items() -> String {
    std::fs::read_to_string(Path::new(FIXTURES).join("8025b5b.items")).unwrap()
}

fn versions_of(storage: &SimStorage, prefix: &str) -> Vec<u8> {
    let names = storage.names().into_iter().filter(|name| name.starts_with(prefix));
    let versions = names.map(|name| storage.read_file(&name).unwrap()[8]);
    // A log file that waits has none.
    versions.filter(|&version| version > 0).collect()
}

fn use_it(store: &Store) {
    let ada = namespace(["users", "ada"]);
    assert_eq!(store.setting("index").unwrap().as_deref(), Some("{\"fields\":[\"text\"]}"));
    let found = store.search(&Query::new(&ada).vector([1.0; 8]).limit(5)).unwrap();
    assert_eq!(found.len(), 5);
    assert!(store.known_embeddings("model-1", &["text 0 absent"]).unwrap()[0].is_none());
}

#[test]
fn it_holds_what_was_written_and_goes_on() {
    for folder in ["closed-8025b5b", "killed-8025b5b"] {
        let (storage, clock) = fixture(folder);
        assert!(
            versions_of(&storage, "manifest-")
                .iter()
                .chain(&versions_of(&storage, "wal-"))
                .all(|&version| version == 1)
        );
        let store = reopened(&storage, &clock, tiny(8, Metric::Cosine));
        assert_unchanged(&store, &items());
        use_it(&store);
        store.put(numbered(&namespace(["new"]), "first", 1).vector([2.0; 8])).unwrap();
        let dump = store.text_dump().unwrap();
        // Killed, with frames of both formats in the log.
        let killed = storage.crash(Loss::None, 0);
        assert!(versions_of(&killed, "wal-").contains(&2), "{folder}");
        assert_unchanged(&reopened(&killed, &clock, tiny(8, Metric::Cosine)), &dump);
        store.compact().unwrap();
        assert_unchanged(&store, &dump);
        store.close().unwrap();
        for prefix in ["manifest-", "wal-"] {
            assert!(versions_of(&storage, prefix).iter().all(|&version| version == 2), "{folder} {prefix}");
        }
        let store = reopened(&storage, &clock, tiny(8, Metric::Cosine));
        assert_unchanged(&store, &dump);
        use_it(&store);
    }
}
