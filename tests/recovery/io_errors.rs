//! Every operation on the disk fails once, in turn, alone or for good: each call then answers as documented or with a
//! typed error, nothing panics, a failed sync of the log is final, and a reopened store holds every acknowledged write.

use std::time::Instant;

use crate::crash::compare::{same_answers, same_items, settings};
use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::{Change, Generator, Operation, Outcome, perform};
use crate::crash::{START, options, tuning};
use vecmem::testing::{Clock, Fault, FaultKind, Loss, Random, SimClock, SimOperation, SimStorage};
use vecmem::{ErrorKind, Options, Store, Tuning};

const OPERATIONS: usize = 70;

fn small_options() -> Options {
    options().tuning(Tuning { memtable_rows: 8, log_total_bytes: 96 << 10, ..tuning() })
}

/// A run that a fault strikes.
struct Run {
    storage: SimStorage,
    clock: SimClock,
    model: Model,
    /// The write whose fate is unknown, done wholly or only as to what it carried along.
    under_way: Vec<Model>,
    fenced: bool,
}

impl Run {
    fn new(seed: u64) -> Self {
        let (storage, clock) = (SimStorage::new(seed), SimClock::new(START));
        Self { storage, clock, model: Model::default(), under_way: Vec::new(), fenced: false }
    }

    /// Opens, and does operations until the end or until nothing more is accepted.
    fn run(&mut self, seed: u64) -> Result<Option<Store>, String> {
        let store = match open(&self.storage, &self.clock, &small_options()) {
            Ok(store) => store,
            Err(error) if self.storage.fault_struck() => return typed(error.kind()).map(|()| None),
            Err(error) => return Err(format!("does not open, and nothing struck: {error}")),
        };
        let mut generator = Generator::new(seed, 14);
        for number in 1..=OPERATIONS {
            let operation = generator.operation(&self.model);
            self.step(&store, &operation).map_err(|why| format!("operation {number}, {operation:?}: {why}"))?;
        }
        same_items(&store, &self.model, &self.clock).map_err(|why| format!("reads after the fault: {why}"))?;
        Ok(Some(store))
    }

    fn step(&mut self, store: &Store, operation: &Operation) -> Result<(), String> {
        if matches!(operation, Operation::Import(..)) {
            // An import that fails says nothing of touches: whether they wait still depends on where it failed.
            self.step(store, &Operation::Flush)?;
        }
        let mut next = self.model.clone();
        match perform(store, &self.clock, operation) {
            Ok(found) => {
                let wanted = next.apply(operation, self.clock.now());
                if found != wanted {
                    return Err(format!("answered {found:?}, not {wanted:?}"));
                }
                if self.fenced && next.lsn != self.model.lsn {
                    return Err("was acknowledged although the store is fenced".into());
                }
                self.model = next;
                Ok(())
            }
            Err(error) if !self.storage.fault_struck() => Err(format!("failed and nothing struck: {error}")),
            Err(error) if error.kind() == ErrorKind::Poisoned => {
                if !std::mem::replace(&mut self.fenced, true) {
                    self.take_swept(store, operation)?;
                    next.apply(operation, self.clock.now());
                    self.under_way = vec![next, self.model.with_touches_only(self.clock.now())];
                }
                Ok(())
            }
            Err(_) if self.fenced => Err("failed otherwise than as fenced, although it is".into()),
            Err(error) => {
                if self.take_swept(store, operation)? {
                    return typed(error.kind());
                }
                // Only what needs log space drops the touches that wait.
                if !matches!(operation, Operation::Compact | Operation::Setting(..)) {
                    self.model.drop_touches();
                }
                typed(error.kind())
            }
        }
    }

    /// A compaction, or a sweep, that fails later on has removed what had expired all the same: whether this one has.
    fn take_swept(&mut self, store: &Store, operation: &Operation) -> Result<bool, String> {
        let mut swept = self.model.clone();
        let sweeps = matches!(operation, Operation::Compact | Operation::Sweep);
        if !sweeps || swept.apply(operation, self.clock.now()) == Outcome::Swept(0) {
            return Ok(false);
        }
        let lsn = store.stats().map_err(|error| error.to_string())?.log.visible_lsn;
        let has_swept = lsn > self.model.lsn && lsn == swept.lsn;
        if has_swept {
            self.model = swept;
        }
        Ok(has_swept)
    }

    /// What a reopened store may hold.
    ///
    /// A sync that failed leaves a mark for the next writer. Where even that failed, and no power loss came first, a
    /// later one may be refused as corruption.
    fn reopens(&self, storage: &SimStorage) -> Result<(), String> {
        let unmarked = self.fenced && !storage.names().contains(&"wal-doubt".to_owned());
        let store = open(storage, &self.clock, &small_options()).map_err(|error| format!("does not open: {error}"))?;
        let lsn = store.stats().map_err(|error| error.to_string())?.log.visible_lsn;
        let settings = settings(&store)?;
        let done = self.under_way.iter().find(|done| done.lsn == lsn && done.settings == settings);
        let mut model = done.unwrap_or(&self.model).reopened();
        same_items(&store, &model, &self.clock)?;
        let mut generator = Generator::new(1, 14);
        for _ in 0..5 {
            let operation = generator.plain_put(&model);
            do_both(&store, &self.clock, &mut model, &operation)?;
        }
        let again = storage.crash(Loss::AllUnsynced, 0);
        let store = match open(&again, &self.clock, &small_options()) {
            Err(error) if unmarked && error.kind() == ErrorKind::Corrupt => return Ok(()),
            other => other.map_err(|error| format!("5 writes later: {error}"))?,
        };
        same_items(&store, &model.reopened(), &self.clock).map_err(|why| format!("5 writes later: {why}"))
    }
}

/// What a call may fail with when the disk fails.
fn typed(kind: ErrorKind) -> Result<(), String> {
    match kind {
        ErrorKind::Io | ErrorKind::DiskFull | ErrorKind::Poisoned | ErrorKind::ReadOnly => Ok(()),
        other => Err(format!("a failing disk gives {other:?}")),
    }
}

/// Strikes the `n`-th operation that `fault` concerns; tells whether there were so many.
fn strike(seed: u64, n: u64, fault: Fault) -> Result<bool, String> {
    let mut run = Run::new(seed);
    run.storage.fail_after(n, fault);
    let store = run.run(seed)?;
    let struck = run.storage.fault_struck();
    run.storage.clear_faults();
    for (loss, tear) in [(Loss::None, 0), (Loss::AllUnsynced, 0), (Loss::Torn, n)] {
        let left = run.storage.crash(loss, tear);
        run.reopens(&left).map_err(|why| format!("{loss:?} after the run: {why}"))?;
    }
    if let Some(store) = store {
        // Background work may have met the fault after the last write.
        match store.close() {
            Err(error) if error.kind() != ErrorKind::Poisoned || !struck => {
                return Err(format!("does not close: {error}"));
            }
            _ => {}
        }
        drop(store);
        run.reopens(&run.storage).map_err(|why| format!("after the close: {why}"))?;
    }
    Ok(struck)
}

/// Runs whose every `step`-th operation is struck.
const SEEDS: u64 = 4;

fn sweep(name: &str, seed: u64, step: usize, fault: Fault) {
    (0..SEEDS).for_each(|more| sweep_one(name, seed + 100 * more, step, fault));
}

fn sweep_one(name: &str, seed: u64, step: usize, fault: Fault) {
    let started = Instant::now();
    for (count, n) in (0..).step_by(step).enumerate() {
        let struck = strike(seed, n, fault).unwrap_or_else(|why| panic!("{name}, seed {seed}, operation {n}: {why}"));
        if !struck {
            println!("{name}: seed {seed}, {count} places of {n}, {:?}", started.elapsed());
            assert!(count >= 20, "{name}: only {count} places");
            return;
        }
    }
}

#[test]
fn an_error_at_every_operation() {
    sweep("error once", 40, 1, Fault::once(FaultKind::Io, SimOperation::CHANGES));
    sweep("error for good", 41, 3, Fault::sticky(FaultKind::Io, SimOperation::CHANGES));
    sweep("sync once", 42, 1, Fault::once(FaultKind::Io, SimOperation::SYNCS));
    sweep("sync for good", 43, 2, Fault::sticky(FaultKind::Io, SimOperation::SYNCS));
}

#[test]
fn no_space_at_every_operation() {
    sweep("full once", 44, 1, Fault::once(FaultKind::Full, SimOperation::GROWTH));
    sweep("full for good", 45, 2, Fault::sticky(FaultKind::Full, SimOperation::GROWTH));
    sweep("short write once", 46, 1, Fault::once(FaultKind::Short, SimOperation::GROWTH));
    sweep("full in a sync", 47, 3, Fault::once(FaultKind::Full, SimOperation::CHANGES));
}

#[test]
fn an_unreadable_file_at_every_operation() {
    for n in 0..60 {
        let mut run = Run::new(48);
        run.run(48).unwrap();
        let left = run.storage.crash(Loss::AllUnsynced, 0);
        left.fail_after(n, Fault::once(FaultKind::Io, SimOperation::READS));
        let opened = open(&left, &run.clock, &small_options());
        if let Ok(store) = &opened {
            let answer = same_items(store, &run.model.reopened(), &run.clock);
            assert!(answer.as_ref().map_or_else(|why| why.contains("Damaged"), |()| true), "read {n}: {answer:?}");
        }
        drop(opened);
        left.clear_faults();
        run.reopens(&left).unwrap_or_else(|why| panic!("read {n}: {why}"));
    }
}

#[test]
fn a_failed_sync_of_the_log_is_final() {
    let mut run = Run::new(49);
    let store = open(&run.storage, &run.clock, &small_options()).unwrap();
    let mut generator = Generator::new(49, 14);
    let put = generator.plain_put(&run.model);
    do_both(&store, &run.clock, &mut run.model, &put).unwrap();
    run.storage.fail_after(0, Fault::once(FaultKind::Io, &[SimOperation::SyncData]));
    for _ in 0..20 {
        let put = generator.plain_put(&run.model);
        run.step(&store, &put).unwrap();
        assert!(run.fenced, "a write was acknowledged after a failed sync");
        assert_eq!(store.sync().unwrap_err().kind(), ErrorKind::Poisoned);
    }
    same_items(&store, &run.model, &run.clock).unwrap();
    for loss in [Loss::None, Loss::AllUnsynced] {
        run.reopens(&run.storage.crash(loss, 0)).unwrap();
    }
}

/// Puts until the disk is full.
fn fill(store: &Store, run: &mut Run, generator: &mut Generator) {
    for number in 0.. {
        assert!(number < 5_000, "the disk never gets full");
        let put = generator.plain_put(&run.model);
        let before = run.model.lsn;
        run.model = match perform(store, &run.clock, &put) {
            Ok(_) => {
                let mut next = run.model.clone();
                next.apply(&put, run.clock.now());
                next
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
                return;
            }
        };
        assert!(run.model.lsn > before);
    }
}

#[test]
fn on_a_full_disk_reads_go_on_and_deletes_work_and_with_space_writes_do() {
    for seed in 50..60 {
        let mut run = Run::new(seed);
        let capacity = (250 << 10) + Random::new(seed).below(200 << 10) as u64;
        let store = open(&run.storage, &run.clock, &small_options()).unwrap();
        let mut generator = Generator::new(seed, 40);
        for _ in 0..40 {
            let put = generator.plain_put(&run.model);
            do_both(&store, &run.clock, &mut run.model, &put).unwrap();
        }
        run.storage.set_capacity(capacity);
        fill(&store, &mut run, &mut generator);
        same_answers(&store, &run.model, &run.clock, seed).unwrap();
        let keys: Vec<_> = run.model.items.keys().take(20).cloned().collect();
        for key in keys {
            let delete = Operation::Write(Change::Delete { key, condition: vecmem::Condition::Always });
            assert!(delete.frees_space());
            do_both(&store, &run.clock, &mut run.model, &delete)
                .unwrap_or_else(|why| panic!("seed {seed}, capacity {capacity}, {}: {why}", run.storage.used_bytes()));
        }
        let everything = Operation::DeleteRange(vecmem::Scope::Store);
        do_both(&store, &run.clock, &mut run.model, &everything).unwrap();
        same_answers(&store, &run.model, &run.clock, seed).unwrap();
        run.reopens(&run.storage.crash(Loss::AllUnsynced, 0)).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        run.storage.set_capacity(u64::MAX);
        for _ in 0..40 {
            let put = generator.plain_put(&run.model);
            do_both(&store, &run.clock, &mut run.model, &put).unwrap();
        }
        same_answers(&store, &run.model, &run.clock, seed).unwrap();
        run.reopens(&run.storage.crash(Loss::AllUnsynced, 0)).unwrap();
    }
}
