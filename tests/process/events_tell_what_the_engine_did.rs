//! With the feature `tracing`, the engine tells of opens, recoveries, flushes, merges, graph builds, stalls, slow
//! searches and errors. No event holds a value or a vector.

#[path = "../common/mod.rs"]
mod common;

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Random, namespace, reopened, simulated, tiny, tiny_without_vectors};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use vecmem::testing::{Fault, FaultKind, SimOperation};
use vecmem::{Metric, Options, Put, Query, Store, Tuning};

/// One event: its level, and its message and fields as text.
type Told = (Level, String);

/// Keeps the events of the threads that it is the default of.
#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<Told>>>);

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, " {}={value:?}", field.name());
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "vecmem"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push((*event.metadata().level(), text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// What is told while `run` runs; its background is on this thread.
fn told(run: impl FnOnce()) -> Vec<Told> {
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), run);
    std::mem::take(&mut *listener.0.lock().unwrap())
}

/// The first event with this message, as text; its level must be `level`.
fn find(events: &[Told], level: Level, message: &str) -> String {
    let found = events.iter().find(|(_, text)| text.contains(&format!("message={message}")));
    let (found, text) = found.unwrap_or_else(|| panic!("no event {message:?} in {events:#?}"));
    assert_eq!(*found, level, "{text}");
    text.clone()
}

fn fill(store: &Store, items: u64) {
    let (home, mut random) = (namespace(["home"]), Random::new(1));
    for number in 0..items {
        let put = Put::new(&home, number.to_string(), r#"{"text": "confidential"}"#).vector(random.vector(4));
        store.put(put).unwrap();
    }
}

#[test]
fn the_life_of_a_store_is_told() {
    let options = || tiny(4, Metric::Dot).slow_search(Duration::ZERO);
    let events = told(|| {
        let (store, storage, clock) = simulated(options());
        fill(&store, 200);
        store.search(&Query::new(&namespace(["home"])).vector([1.0; 4])).unwrap();
        store.close().unwrap();
        drop(store);
        reopened(&storage, &clock, options());
    });
    assert!(find(&events, Level::INFO, "store opened").contains("created=true segments=0"));
    let recovered = find(&events, Level::INFO, "store recovered");
    assert!(recovered.contains("lsn=200") && recovered.contains("log_files="), "{recovered}");
    assert!(events.last().unwrap().1.contains("created=false"), "{events:#?}");
    assert!(find(&events, Level::DEBUG, "memtable flushed").contains("shard=0 rows=24 bytes="));
    assert!(find(&events, Level::DEBUG, "segments merged").contains("inputs="));
    assert!(find(&events, Level::DEBUG, "graph built").contains("nodes="));
    assert!(find(&events, Level::WARN, "slow search").contains("queries=1 hits=10 seconds="));
    assert!(!format!("{events:?}").contains("confidential"));
}

#[test]
fn a_search_below_the_threshold_is_not_told() {
    let events = told(|| {
        let (store, _, _) = simulated(tiny(4, Metric::Dot));
        fill(&store, 20);
        store.search(&Query::new(&namespace(["home"])).vector([1.0; 4])).unwrap();
    });
    assert!(events.iter().all(|(_, text)| !text.contains("slow search")), "{events:#?}");
}

#[test]
fn a_stall_is_told_when_it_begins_and_when_it_ends() {
    // Without a place for a frozen memtable, only a flush that is asked for frees one.
    let tuning = Tuning { frozen_memtables: 0, ..Tuning::tiny() };
    let (store, _, _) = simulated(Options::with_vectors(4, Metric::Dot).tuning(tuning));
    let events = told(|| fill(&store, 30));
    find(&events, Level::WARN, "writers stalled");
    assert_eq!(events.len(), 1, "{events:#?}");
    find(&told(|| store.flush().unwrap()), Level::INFO, "writers go on");
}

#[test]
fn errors_are_told() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let events = told(|| drop(Store::open(&missing, Options::new().create(false)).unwrap_err()));
    let failed = find(&events, Level::ERROR, "open failed");
    assert!(failed.contains("kind=\"NotAStore\"") && failed.contains("missing"), "{failed}");

    let (store, storage, _) = simulated(tiny(4, Metric::Dot));
    storage.fail_after(0, Fault::sticky(FaultKind::Full, &[SimOperation::Rename]));
    let failed = find(&told(|| fill(&store, 30)), Level::WARN, "background job failed");
    assert!(failed.contains("kind=\"DiskFull\""), "{failed}");

    let (store, storage, _) = simulated(tiny_without_vectors());
    store.put(Put::new(&namespace(["home"]), "a", "{}")).unwrap();
    storage.fail_after(0, Fault::sticky(FaultKind::Io, &[SimOperation::SyncData]));
    let events = told(|| drop(store.put(Put::new(&namespace(["home"]), "b", "{}")).unwrap_err()));
    let poisoned = find(&events, Level::ERROR, "store poisoned");
    assert!(poisoned.contains("kind=\"Io\"") && poisoned.contains("simulated input/output error"), "{poisoned}");
}
