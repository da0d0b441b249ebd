//! An error of the disk at any operation of a recovery, and of the first writes after it, gives a typed error or a
//! whole store, and the next open without the error holds everything that was promised.

use std::collections::BTreeMap;

use crate::crash::compare::{same_items, settings};
use crate::crash::history::{History, open, record, state_found};
use crate::crash::model::Model;
use crate::crash::operations::{Generator, perform};
use crate::crash::{options, tuning};
use vecmem::testing::{Clock, Fault, FaultKind, Image, Loss, SimClock, SimOperation, SimStorage};
use vecmem::{ErrorKind, Options, Store, Tuning};

const LOSSES: [Loss; 3] = [Loss::AllUnsynced, Loss::Torn, Loss::None];

/// Every kind of fault, on the operations that can have it.
const FAULTS: [Fault; 10] = [
    Fault::once(FaultKind::Io, &[]),
    Fault::sticky(FaultKind::Io, &[]),
    Fault::once(FaultKind::Io, SimOperation::CHANGES),
    Fault::sticky(FaultKind::Io, SimOperation::CHANGES),
    Fault::once(FaultKind::Full, SimOperation::GROWTH),
    Fault::sticky(FaultKind::Full, SimOperation::GROWTH),
    Fault::once(FaultKind::Short, SimOperation::GROWTH),
    Fault::once(FaultKind::OpenFiles, SimOperation::OPENS),
    Fault::sticky(FaultKind::OpenFiles, SimOperation::OPENS),
    Fault::once(FaultKind::Memory, SimOperation::OPENS),
];

fn small_options() -> Options {
    options().tuning(Tuning { memtable_rows: 8, log_total_bytes: 96 << 10, ..tuning() })
}

/// A disk that a crash has left, and what it holds.
struct Left {
    disk: SimStorage,
    clock: SimClock,
    model: Model,
}

impl Left {
    fn by(history: &History, image: &Image, loss: Loss, seed: u64) -> Result<Self, String> {
        let acknowledged = image.tag as usize;
        let (disk, clock) = (image.survivor(loss, seed), SimClock::new(history.clocks[acknowledged]));
        let seen = disk.crash(Loss::None, 0);
        let store = open(&seen, &clock, &small_options()).map_err(|error| format!("does not open: {error}"))?;
        let (_, model) = state_found(history, &store, (acknowledged + 1).min(history.models.len() - 1))?;
        Ok(Self { disk, clock, model: model.with_settings(&settings(&store)?) })
    }
}

/// What a call may fail with when the disk fails so.
fn typed(kind: ErrorKind) -> Result<(), String> {
    use ErrorKind as E;
    let known = matches!(kind, E::Io | E::DiskFull | E::Poisoned | E::ReadOnly | E::SystemLimit | E::Damaged);
    if known { Ok(()) } else { Err(format!("a failing disk gives {kind:?}")) }
}

/// Opens under the fault and writes; says which states may be left, the last of them with everything acknowledged.
fn under_fault(left: &Left, storage: &SimStorage, seed: u64) -> Result<Vec<Model>, String> {
    let mut states = vec![left.model.clone()];
    let store = match open(storage, &left.clock, &small_options()) {
        Ok(store) => store,
        Err(error) => return typed(error.kind()).map(|()| states).map_err(|why| format!("the open: {why}: {error}")),
    };
    let readable = |store: &Store, model: &Model| match same_items(store, model, &left.clock) {
        Err(why) if !why.starts_with("Damaged") && !why.starts_with("Io") && !why.starts_with("SystemLimit") => {
            Err(format!("reads under the fault: {why}"))
        }
        _ => Ok(()),
    };
    readable(&store, &left.model)?;
    let mut generator = Generator::new(seed, 14);
    let mut model = left.model.clone();
    for _ in 0..3 {
        let operation = generator.plain_put(&model);
        let mut next = model.clone();
        let wanted = next.apply(&operation, left.clock.now());
        match perform(&store, &left.clock, &operation) {
            Ok(found) if found == wanted => {
                states = vec![next.clone()];
                model = next;
            }
            Ok(found) => return Err(format!("answered {found:?}, not {wanted:?}")),
            // Nothing is written after it.
            Err(error) if error.kind() == ErrorKind::Poisoned => {
                states.insert(0, next);
                break;
            }
            Err(error) => {
                typed(error.kind()).map_err(|why| format!("a write: {why}: {error}"))?;
                model.drop_touches();
            }
        }
    }
    Ok(states)
}

/// The disk without the fault holds one of `states`.
fn holds(storage: &SimStorage, clock: &SimClock, states: &[Model]) -> Result<(), String> {
    let store = open(storage, clock, &small_options()).map_err(|error| format!("does not open: {error}"))?;
    let mut why = String::new();
    for model in states {
        match same_items(&store, &model.reopened(), clock) {
            Ok(()) => return Ok(()),
            Err(reason) => why = reason,
        }
    }
    Err(why)
}

/// Strikes the `n`-th operation that the fault concerns; tells whether there were so many.
fn strike(left: &Left, n: u64, fault: Fault, seed: u64) -> Result<bool, String> {
    let storage = left.disk.crash(Loss::None, 0);
    storage.fail_after(n, fault);
    let states = under_fault(left, &storage, seed)?;
    let struck = storage.fault_struck();
    storage.clear_faults();
    for loss in LOSSES {
        holds(&storage.crash(loss, seed ^ n), &left.clock, &states).map_err(|why| format!("then {loss:?}: {why}"))?;
    }
    Ok(struck)
}

#[test]
fn an_error_at_every_operation_of_a_recovery() {
    let mut places: BTreeMap<usize, u64> = BTreeMap::new();
    for seed in 90..92 {
        let history = record(seed, 120, 14, &small_options());
        let step = history.images.len() / 5;
        for (number, image) in history.images.iter().enumerate().step_by(step) {
            let loss = LOSSES[number / step % 2];
            let left = Left::by(&history, image, loss, seed).unwrap();
            for (kind, fault) in FAULTS.into_iter().enumerate() {
                for n in 0.. {
                    let struck = strike(&left, n, fault, seed).unwrap_or_else(|why| {
                        panic!(
                            "seed {seed}, disk {number} ({} acknowledged), {loss:?}, {fault:?} after {n}: {why}",
                            image.tag
                        )
                    });
                    if !struck {
                        break;
                    }
                    *places.entry(kind).or_default() += 1;
                }
            }
        }
    }
    println!("struck places by fault: {places:?}");
    assert!(places.len() == FAULTS.len() && places.values().all(|&count| count >= 100), "{places:?}");
}
