//! A graph that is being built while its vectors are purged: the purge waits for it, removes nothing that it still
//! writes, and leaves nothing of what it has written.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use crate::common::canaries::{Canary, DIMS, Needles, decoded_of, files_of_simulated, options};
use crate::common::gate::{Gate, LIMIT, OpenAtEnd, Step};
use crate::common::{Random, namespace, numbered, reopened};
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{Options, PurgeOptions, Scope, Store, Tuning};

/// How long a purge is watched that must not end.
const WATCHED: Duration = Duration::from_millis(500);
const DOOMED: u64 = 40;
const KEPT: u64 = 40;

/// With threads, which build no graph by themselves.
fn threaded() -> Options {
    let tuning = Tuning { graph_rows: u32::MAX, earn_rows: u32::MAX, inline_background: false, ..Tuning::tiny() };
    options().tuning(tuning)
}

fn doomed() -> Scope {
    Scope::Prefix(namespace(["doomed"]))
}

/// One segment with items that are to go and others, and what must not be left of the former.
fn filled(store: &Store, storage: &SimStorage) -> Needles {
    let mut random = Random::new(7);
    for number in 0..KEPT {
        let put = numbered(&namespace(["kept"]), number.to_string(), number);
        store.put(put.vector(random.vector(DIMS))).unwrap();
    }
    let canaries: Vec<Canary> = (0..DOOMED).map(|number| Canary::new("doomed", 3 * number)).collect();
    for canary in &canaries {
        store.put(canary.put()).unwrap();
    }
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.segments, 1);
    let mut needles = Needles::default();
    canaries.iter().for_each(|canary| needles.add(canary, true));
    needles.add_derived(&canaries, &decoded_of(storage));
    needles
}

/// The erasures that wait.
type Erase = fn(&Store);

const WAYS: [(&str, Erase); 2] = [
    ("purge", |store| {
        let receipt = store.purge_with(&doomed(), &PurgeOptions::new().grace(Duration::ZERO)).unwrap();
        assert_eq!(receipt.items, DOOMED, "{receipt:?}");
    }),
    ("compact", |store| {
        store.delete_range(&doomed()).unwrap();
        store.compact().unwrap();
    }),
];

fn graphs(storage: &SimStorage) -> Vec<String> {
    storage.names().into_iter().filter(|name| name.ends_with(".graph")).collect()
}

#[test]
fn whose_vectors_go_and_whose_vectors_stay() {
    for (way, erase) in WAYS {
        for of_doomed in [true, false] {
            for (step, after) in [(Step::Create, 0), (Step::Write, 0), (Step::Write, 1), (Step::Sync, 0)] {
                let context = format!("{way}, a graph of what is to go: {of_doomed}, held at {step:?} {after}");
                let (storage, clock) = (SimStorage::new(1), SimClock::new(crate::common::START));
                let (gated, gate) = Gate::before(Arc::new(storage.clone()));
                let store = open_with(gated, Arc::new(clock.clone()), threaded()).unwrap();
                let needles = filled(&store, &storage);
                let scope = if of_doomed { doomed() } else { Scope::from(&namespace(["kept"])) };
                gate.close(step, ".graph", after);
                std::thread::scope(|threads| {
                    let _end = OpenAtEnd(&gate);
                    let built = threads.spawn(|| store.build_graph(&scope));
                    gate.wait_until_held();
                    let begun = graphs(&storage);
                    let (tell, told) = mpsc::channel();
                    let erased = threads.spawn({
                        let store = &store;
                        move || {
                            erase(store);
                            tell.send(()).unwrap();
                        }
                    });
                    assert!(told.recv_timeout(WATCHED).is_err(), "{context}: it did not wait");
                    assert_eq!(graphs(&storage), begun, "{context}: what is being written stays");
                    gate.open();
                    told.recv_timeout(LIMIT).unwrap_or_else(|_| panic!("{context}: it waits for ever"));
                    assert_eq!(needles.in_files(&files_of_simulated(&storage)), Vec::<String>::new(), "{context}");
                    erased.join().unwrap();
                    built.join().unwrap().unwrap_or_else(|error| panic!("{context}: {error}"));
                });
                assert_eq!(needles.in_contents(&decoded_of(&storage)), Vec::<String>::new(), "{context}");
                store.close().unwrap();
                drop(store);
                let store = reopened(&storage, &clock, threaded());
                let stats = store.stats().unwrap();
                let expected = if of_doomed { (KEPT, 0) } else { (KEPT, 1) };
                assert_eq!((stats.size.items, stats.graphs.count), expected, "{context}: {stats:#?}");
                assert_eq!(graphs(&storage).len() as u64, stats.graphs.count, "{context}");
                assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
            }
        }
    }
}
