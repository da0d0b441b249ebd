//! Codes that were damaged and a graph that is due are made in the background while the store is open, also where the
//! first try failed for another reason than damage.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::gate::{Gate, LIMIT, OpenAtEnd, Step};
use crate::common::{Random, namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{Metric, Options, Query, Scope, Store, Tuning};

const DIMS: usize = 4;

fn options(graph_rows: u32, inline_background: bool) -> Options {
    let tuning = Tuning { graph_rows, earn_rows: u32::MAX, inline_background, ..Tuning::tiny() };
    tiny(DIMS, Metric::Dot).tuning(tuning)
}

/// One segment without a graph, closed.
fn filled() -> (SimStorage, SimClock) {
    let (store, storage, clock) = simulated(options(u32::MAX, true));
    let mut random = Random::new(9);
    for number in 0..60 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number).vector(random.vector(DIMS))).unwrap();
    }
    store.compact().unwrap();
    store.close().unwrap();
    (storage, clock)
}

/// Opens the store with threads, and lets the first step on a file of this kind fail.
fn with_a_failure(
    storage: &SimStorage,
    clock: &SimClock,
    (step, kind): (Step, &'static str),
    made: fn(&Store) -> bool,
) {
    let context = format!("{step:?} of {kind}");
    let (gated, gate) = Gate::before(Arc::new(storage.clone()));
    let _end = OpenAtEnd(&gate);
    gate.close(step, kind, 0);
    let store = open_with(gated, Arc::new(clock.clone()), options(16, false)).unwrap();
    // The first look at codes finds the damage.
    drop(store.search(&Query::new(Scope::Store).vector([1.0; DIMS]).limit(3)).unwrap());
    gate.wait_until_held();
    assert!(!made(&store), "{context}");
    gate.fail();
    let since = Instant::now();
    while !made(&store) {
        assert!(since.elapsed() < LIMIT, "{context}: it was not tried again: {:#?}", store.stats().unwrap());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}");
    store.close().unwrap();
    drop(store);
    let store = reopened(storage, clock, options(u32::MAX, true));
    assert!(made(&store), "{context}, reopened");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new(), "{context}, reopened");
}

#[test]
fn codes() {
    for step in [Step::Create, Step::Write, Step::Sync] {
        let (storage, clock) = filled();
        let codes = storage.names().into_iter().find(|name| name.ends_with(".codes")).unwrap();
        storage.flip_bit(&codes, 8 * 4096);
        with_a_failure(&storage, &clock, (step, ".codes"), |store| store.check(false).unwrap().problems.is_empty());
    }
}

#[test]
fn a_graph() {
    for step in [Step::Create, Step::Write, Step::Sync] {
        let (storage, clock) = filled();
        with_a_failure(&storage, &clock, (step, ".graph"), |store| store.stats().unwrap().graphs.count == 1);
    }
}
