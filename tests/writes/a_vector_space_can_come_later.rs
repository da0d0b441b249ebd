//! A store that was created without vectors gets them when it is opened with a vector space: at once or not at all,
//! whatever crashes; what it holds stays, and merges with what comes.

use crate::common::{assert_unchanged, keys, namespace, numbered, reopened, simulated, tiny, tiny_without_vectors};
use vecmem::testing::{Fault, FaultKind, Loss, SimClock, SimOperation, SimStorage, open_with};
use vecmem::{Batch, Error, ErrorKind, ImportOptions, Metric, Options, Query, Scope, Store, VectorSpace};

use std::sync::Arc;

const SPACE: VectorSpace = VectorSpace { dims: 2, metric: Metric::Cosine };

fn with_vectors() -> Options {
    tiny(SPACE.dims, SPACE.metric)
}

/// A store without vectors that has segments, an imported one that only the log names, and rows in memory.
fn without_vectors() -> (SimStorage, SimClock, String) {
    let (store, storage, clock) = simulated(tiny_without_vectors());
    let home = namespace(["a"]);
    for number in 0..60 {
        store.put(numbered(&home, (number % 40).to_string(), number)).unwrap();
    }
    let rows = (0..20).map(|number| Ok(numbered(&namespace(["imported"]), number.to_string(), number)));
    store.import(rows, ImportOptions::new()).unwrap();
    store.put(numbered(&home, "last", 1)).unwrap();
    let stats = store.stats().unwrap();
    assert!(stats.internals.segments > 0 && stats.memory.memtable_rows > 0, "{stats:?}");
    let dump = store.text_dump().unwrap();
    drop(store);
    (storage, clock, dump)
}

#[test]
fn a_vector_space_can_come_later() {
    let (storage, clock, dump) = without_vectors();
    let home = namespace(["a"]);
    let store = reopened(&storage, &clock, with_vectors());
    assert_eq!(store.vector_space(), Some(SPACE));
    assert_unchanged(&store, &dump);
    let near = Query::new(Scope::Store).vector([1.0, 0.0]).limit(1_000);
    assert!(store.search(&near).unwrap().is_empty(), "nothing has a vector yet");
    assert_eq!(store.search(&near.clone().include_unscored(true)).unwrap().len(), 61);
    let mut batch = Batch::new();
    for number in 0..50_u8 {
        batch.put(numbered(&home, number.to_string(), 7).vector([1.0, f32::from(number)]));
    }
    store.batch(batch).unwrap();
    let check = |store: &Store| {
        assert_eq!(keys(&store.search(&near.clone().limit(3)).unwrap()), ["0", "1", "2"]);
        assert_eq!(store.search(&near).unwrap().len(), 50);
        assert_eq!(store.search(&near.clone().include_unscored(true)).unwrap().len(), 71);
        assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
    };
    check(&store);
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.segments, 1, "what had none has merged with what has");
    check(&store);
    store.close().unwrap();
    for options in [tiny_without_vectors(), with_vectors()] {
        let store = reopened(&storage, &clock, options);
        assert_eq!(store.vector_space(), Some(SPACE), "who asks for none keeps what there is");
        check(&store);
    }
}

#[test]
fn another_space_than_there_is_is_refused_by_name() {
    let (storage, clock, _) = without_vectors();
    drop(reopened(&storage, &clock, with_vectors()));
    let open = |options| open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options);
    let named = |error: Error, found: &str, asked: &str| {
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::OptionsDiffer, "{text}");
        assert!(text.contains(found) && text.contains(asked), "{text}");
    };
    named(open(tiny(3, Metric::Cosine)).unwrap_err(), "2 dimensions, Cosine", "3 dimensions, Cosine");
    named(open(tiny(2, Metric::L2)).unwrap_err(), "2 dimensions, Cosine", "2 dimensions, L2");
    let directory = tempfile::tempdir().unwrap();
    let _open = Store::open(directory.path(), Options::new()).unwrap();
    let error = Store::open(directory.path(), Options::with_vectors(2, Metric::Dot)).unwrap_err();
    named(error, "no vectors", "2 dimensions, Dot");
}

/// The store of this disk, opened without asking and then with vectors, is whole and holds what it held.
fn goes_on(storage: &SimStorage, clock: &SimClock, dump: &str) -> bool {
    let store = reopened(storage, clock, tiny_without_vectors());
    let has_space = store.vector_space().is_some();
    assert_unchanged(&store, dump);
    drop(store);
    let store = reopened(storage, clock, with_vectors());
    assert_unchanged(&store, dump);
    store.put(numbered(&namespace(["b"]), "k", 1).vector([1.0, 0.0])).unwrap();
    let again = storage.crash(Loss::AllUnsynced, 0);
    assert_eq!(reopened(&again, clock, with_vectors()).text_dump().unwrap(), store.text_dump().unwrap());
    has_space
}

#[test]
fn a_crash_on_the_way_leaves_a_store_with_or_without() {
    let (storage, clock, dump) = without_vectors();
    storage.record_sync_points();
    drop(reopened(&storage, &clock, with_vectors()));
    let mut outcomes = [0, 0];
    for (number, image) in storage.take_images().iter().enumerate() {
        for seed in 0..6 {
            let loss = if seed == 0 { Loss::AllUnsynced } else { Loss::Torn };
            println!("disk {number}, {loss:?} with seed {seed}");
            outcomes[usize::from(goes_on(&image.survivor(loss, seed), &clock, &dump))] += 1;
        }
    }
    assert!(outcomes.iter().all(|&count| count > 2), "{outcomes:?}");
}

#[test]
fn an_error_on_the_way_is_told_and_loses_nothing() {
    let (mut failed, mut opened) = (0, 0);
    for (kind, operations) in [(FaultKind::Io, SimOperation::CHANGES), (FaultKind::Full, SimOperation::GROWTH)] {
        for number in 0.. {
            let (storage, clock, dump) = without_vectors();
            storage.fail_after(number, Fault::once(kind, operations));
            match open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), with_vectors()) {
                Ok(store) => assert_unchanged(&store, &dump),
                Err(error) => {
                    assert!(
                        matches!(error.kind(), ErrorKind::Io | ErrorKind::DiskFull | ErrorKind::Poisoned),
                        "{error}"
                    );
                    failed += 1;
                }
            }
            let struck = storage.fault_struck();
            storage.clear_faults();
            goes_on(&storage, &clock, &dump);
            opened += u32::from(!struck);
            if !struck {
                break;
            }
        }
    }
    assert!(failed > 5 && opened == 2, "{failed} {opened}");
}

#[test]
fn the_manifest_before_the_newest_has_the_space_too() {
    let (storage, clock, _) = without_vectors();
    let store = reopened(&storage, &clock, with_vectors());
    store.put(numbered(&namespace(["b"]), "k", 1).vector([1.0, 0.0])).unwrap();
    drop(store);
    let newest = storage.names().into_iter().filter(|name| name.starts_with("manifest-")).max().unwrap();
    storage.flip_bit(&newest, 8 * 50);
    let store = reopened(&storage, &clock, Options::new());
    assert_eq!(store.search(&Query::new(Scope::Store).vector([1.0, 0.0])).unwrap().len(), 1);
}
