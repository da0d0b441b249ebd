//! Deletes of rows in segments reach the disk with the next manifest that can be committed, whatever failed before and
//! whatever was under way meanwhile: then the log that holds them may go.

use std::sync::Arc;

use crate::common::gate::{Gate, OpenAtEnd, Step};
use crate::common::{Random, namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{Fault, FaultKind, Loss, SimClock, SimOperation, SimStorage, open_with};
use vecmem::{ImportOptions, Metric, Options, Scope, Store, Tuning};

const DIMS: usize = 4;
const ITEMS: u64 = 40;

/// Graphs are built on request only.
fn options(inline_background: bool) -> Options {
    let tuning = Tuning { graph_rows: u32::MAX, earn_rows: u32::MAX, inline_background, ..Tuning::tiny() };
    tiny(DIMS, Metric::Dot).tuning(tuning)
}

/// One segment, and nothing in memory.
fn fill(store: &Store) {
    let mut random = Random::new(5);
    for number in 0..ITEMS {
        store.put(numbered(&namespace(["a"]), number.to_string(), number).vector(random.vector(DIMS))).unwrap();
    }
    store.compact().unwrap();
    assert_eq!((store.stats().unwrap().internals.segments, store.stats().unwrap().memory.memtable_rows), (1, 0));
}

fn delete(store: &Store, keys: &[u64]) {
    keys.iter().for_each(|key| assert!(store.delete(&namespace(["a"]), &key.to_string()).unwrap(), "{key}"));
}

/// Loses the power at once, and loses it behind further commits that need no log any more: what was deleted is gone
/// either way.
fn assert_gone(store: Store, storage: &SimStorage, clock: &SimClock, keys: &[u64], context: &str) {
    assert_gone_in(&storage.crash(Loss::AllUnsynced, 0), clock, keys, &format!("{context}, at once"));
    // A call that commits a manifest and does nothing else to segments.
    (0..2).for_each(|_| store.accept_clock().unwrap());
    let stats = store.stats().unwrap();
    assert_eq!(stats.log.checkpoint_lsn, stats.log.visible_lsn, "{context}: no log is needed");
    drop(store);
    assert_gone_in(&storage.crash(Loss::AllUnsynced, 0), clock, keys, &format!("{context}, without a log"));
}

fn assert_gone_in(left: &SimStorage, clock: &SimClock, keys: &[u64], context: &str) {
    let store = reopened(left, clock, options(true));
    for key in keys {
        let item = store.get(&namespace(["a"]), &key.to_string()).unwrap();
        assert!(item.is_none(), "{context}: {key} was deleted, and is there again");
    }
    assert_eq!(store.stats().unwrap().size.items, ITEMS - keys.len() as u64, "{context}");
    // Codes that could not be rebuilt are scanned around.
    let may_lack = |problem: &String| context.starts_with("codes") && problem.contains(".codes");
    let problems = store.check(false).unwrap().problems;
    assert_eq!(
        problems.iter().filter(|problem| !may_lack(problem)).collect::<Vec<_>>(),
        Vec::<&String>::new(),
        "{context}"
    );
}

/// What commits a manifest; whether it did.
type Job = fn(&Store) -> bool;

const COMMIT: Job = |store| store.accept_clock().is_ok();
const GRAPH: Job = |store| store.build_graph(&Scope::Store).is_ok();
const CODES: Job = |store| {
    let report = store.check(true);
    report.is_ok_and(|report| !report.repaired.is_empty())
};
const COMPACT: Job = |store| store.compact().is_ok();

#[test]
fn a_job_that_failed_anywhere() {
    const NEEDS: &[SimOperation] = &[SimOperation::Create, SimOperation::Write, SimOperation::Rename];
    for (name, job, least) in [("commit", COMMIT, 3), ("graph", GRAPH, 6), ("codes", CODES, 6), ("compact", COMPACT, 9)]
    {
        let mut failed = 0;
        loop {
            let context = format!("{name}, after {failed} operations");
            let (mut store, storage, clock) = simulated(options(true));
            fill(&store);
            if name == "codes" {
                store.close().unwrap();
                let codes = storage.names().into_iter().find(|name| name.ends_with(".codes")).unwrap();
                storage.flip_bit(&codes, 8 * 4096);
                store = reopened(&storage, &clock, options(true));
            }
            delete(&store, &[3, 17]);
            storage.fail_after(failed, Fault::once(FaultKind::Full, NEEDS));
            let is_done = job(&store);
            let has_failed = storage.fault_struck();
            storage.clear_faults();
            assert!(is_done || has_failed, "{context}");
            // A write of log that fails fences.
            if store.sync().is_err() {
                drop(store);
                store = reopened(&storage, &clock, options(true));
            }
            assert_gone(store, &storage, &clock, &[3, 17], &context);
            if !has_failed {
                break;
            }
            failed += 1;
        }
        println!("{name}: failed at {failed} operations");
        assert!(failed >= least, "{name}: {failed}");
    }
}

#[test]
fn what_dies_while_a_job_is_under_way() {
    let steps = [(Step::Create, "seg-"), (Step::Rename, "manifest")];
    for (name, job) in [("commit", COMMIT), ("graph", GRAPH), ("compact", COMPACT)] {
        // A commit alone has written its tombstones before it is held up.
        for (step, file) in steps.into_iter().filter(|(step, _)| name != "commit" || *step == Step::Rename) {
            for fails in [false, true] {
                let context = format!("{name}, held at {step:?} of {file}, fails: {fails}");
                let (storage, clock) = (SimStorage::new(1), SimClock::new(crate::common::START));
                let (gated, gate) = Gate::before(Arc::new(storage.clone()));
                let store = open_with(gated, Arc::new(clock.clone()), options(false)).unwrap();
                fill(&store);
                delete(&store, &[3]);
                gate.close(step, file, 0);
                std::thread::scope(|scope| {
                    let _end = OpenAtEnd(&gate);
                    let done = scope.spawn(|| job(&store));
                    gate.wait_until_held();
                    delete(&store, &[17]);
                    if fails && step == Step::Create {
                        gate.fail()
                    } else {
                        gate.open()
                    }
                    assert_eq!(done.join().unwrap(), !(fails && step == Step::Create), "{context}");
                });
                assert_gone(store, &storage, &clock, &[3, 17], &context);
            }
        }
    }
}

#[test]
fn what_an_import_replaces_while_a_job_is_under_way() {
    for (name, job) in [("graph", GRAPH), ("compact", COMPACT)] {
        let (storage, clock) = (SimStorage::new(1), SimClock::new(crate::common::START));
        let (gated, gate) = Gate::before(Arc::new(storage.clone()));
        let store = open_with(gated, Arc::new(clock.clone()), options(false)).unwrap();
        fill(&store);
        std::thread::scope(|scope| {
            let _end = OpenAtEnd(&gate);
            let mut done = None;
            let begin = || {
                gate.close(Step::Rename, "manifest", 0);
                done = Some(scope.spawn(|| job(&store)));
                gate.wait_until_held();
            };
            let puts = (0..10).map(|number| Ok(numbered(&namespace(["a"]), number.to_string(), 100)));
            store.import(puts, ImportOptions::new().before_commit(begin)).unwrap();
            gate.open();
            assert!(done.unwrap().join().unwrap(), "{name}");
        });
        assert_gone(store, &storage, &clock, &[], name);
    }
}
