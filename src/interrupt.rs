//! Interrupts: another thread ends a long call, or reads its progress. Long calls are compactions, builds of graphs,
//! flushes, purges, checks, sweeps, imports, salvages, deletes of scopes, backups and restores.
//!
//! Invariants:
//! * An interrupt concerns calls of the thread that [`Interrupt::around`] runs on, and no background job.
//! * An interrupted call fails with [`ErrorKind::Interrupted`] at its next step. The results that it has installed
//!   stay. The files of an unfinished step are removed.
//! * A stage may run inside another one. The progress is that of the stage that last began or did a step.

use std::cell::RefCell;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::sync::{AtomicBool, AtomicU8, AtomicU64, Ordering};

/// The stage of a long call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// No stage has begun: the call determines what to do, or waits for a background job.
    #[default]
    Waiting,
    /// Rows in memory are written to a segment; a step is a row.
    Flush,
    /// Segments are merged; a step is a row.
    Merge,
    /// A graph is built and calibrated. A step is an insert of a vector into a level, or a part of the repair or of the
    /// calibration.
    Graph,
    /// Files are verified; a step is a block of 64 KiB or a row.
    Check,
    /// Expired items are removed; a step is a search of a part for them, or a batch of deletes.
    Sweep,
    /// A chunk of an import is written; a step is a row.
    Import,
    /// A directory is salvaged; a step is a segment that is opened, a row that is read, or an item that is written.
    Salvage,
    /// A scope is deleted, in one atomic step.
    Delete,
    /// A backup is made or restored; a step is a megabyte that is copied or read back.
    Backup,
}

const STAGES: [Stage; 10] = [
    Stage::Waiting,
    Stage::Flush,
    Stage::Merge,
    Stage::Graph,
    Stage::Check,
    Stage::Sweep,
    Stage::Import,
    Stage::Salvage,
    Stage::Delete,
    Stage::Backup,
];

/// Asks whether a long job may go on. An error ends the job.
pub(crate) type GoOn<'a> = dyn Fn() -> Result<()> + 'a;

/// The progress of a long call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// The current stage.
    pub stage: Stage,
    /// The number of finished steps of the stage.
    pub done: u64,
    /// The most steps that the stage can have; `None` if unknown.
    pub total: Option<u64>,
}

/// A handle by which another thread follows a long call and ends it. Clones are the same handle.
///
/// ```
/// use vecmem::{ErrorKind, Interrupt, Namespace, Options, Put, Store};
///
/// # fn main() -> vecmem::Result<()> {
/// let store = Store::temporary(Options::new())?;
/// store.put(Put::new(&Namespace::new(["notes"])?, "tea", "{}"))?;
///
/// let interrupt = Interrupt::new();
/// interrupt.request();
/// let error = interrupt.around(|| store.flush()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Interrupted);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<State>);

#[derive(Debug, Default)]
struct State {
    requested: AtomicBool,
    /// An index of `STAGES`.
    stage: AtomicU8,
    done: AtomicU64,
    /// 0 if unknown.
    total: AtomicU64,
}

thread_local! {
    static CURRENT: RefCell<Option<Interrupt>> = const { RefCell::new(None) };
}

impl Interrupt {
    /// A new handle. No interrupt is requested.
    pub fn new() -> Self {
        Self::default()
    }

    /// Requests that the call ends at its next step.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::Release);
    }

    /// Whether the interrupt was [requested](Self::request).
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::Acquire)
    }

    /// The progress of the call.
    pub fn progress(&self) -> Progress {
        let total = self.0.total.load(Ordering::Relaxed);
        Progress {
            stage: STAGES[usize::from(self.0.stage.load(Ordering::Relaxed)) % STAGES.len()],
            done: self.0.done.load(Ordering::Relaxed),
            total: (total > 0).then_some(total),
        }
    }

    /// Runs `call`. Its long jobs report to this handle, and end when it is [requested](Self::request).
    pub fn around<T>(&self, call: impl FnOnce() -> T) -> T {
        struct Restored(Option<Interrupt>);
        impl Drop for Restored {
            fn drop(&mut self) {
                CURRENT.set(self.0.take());
            }
        }
        let _restored = Restored(CURRENT.replace(Some(self.clone())));
        call()
    }
}

/// The steps of one stage of a job. Before each step the job asks whether it may go on. The thread of the call makes
/// this value, and any thread may use it.
#[derive(Debug)]
pub(crate) struct Steps {
    call: Option<Interrupt>,
    stage: Stage,
    done: AtomicU64,
    total: u64,
}

impl Steps {
    /// Begins a stage of `total` steps, 0 if unknown.
    pub fn begin(stage: Stage, total: u64) -> Self {
        let steps = Self { call: CURRENT.with_borrow(Clone::clone), stage, done: AtomicU64::new(0), total };
        steps.report(0);
        steps
    }

    /// Counts a step, or fails if the call was interrupted.
    pub fn next(&self) -> Result<()> {
        self.check()?;
        if self.call.is_some() {
            self.report(self.done.fetch_add(1, Ordering::Relaxed) + 1);
        }
        Ok(())
    }

    /// Fails if the call was interrupted. Counts no step.
    pub fn check(&self) -> Result<()> {
        if self.call.as_ref().is_some_and(Interrupt::is_requested) {
            return Err(Error::new(ErrorKind::Interrupted, "the call was interrupted; what it had installed stays"));
        }
        Ok(())
    }

    /// Makes this stage the one that [`Interrupt::progress`] returns.
    fn report(&self, done: u64) {
        if let Some(Interrupt(state)) = &self.call {
            state.stage.store(self.stage as u8, Ordering::Relaxed);
            state.done.store(done, Ordering::Relaxed);
            state.total.store(self.total, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_counted_until_the_interrupt() {
        let interrupt = Interrupt::new();
        interrupt.around(|| {
            let steps = Steps::begin(Stage::Merge, 3);
            steps.next().unwrap();
            steps.next().unwrap();
            assert_eq!(interrupt.progress(), Progress { stage: Stage::Merge, done: 2, total: Some(3) });
            interrupt.request();
            assert_eq!(steps.next().unwrap_err().kind(), ErrorKind::Interrupted);
            assert_eq!(interrupt.progress().done, 2);
        });
    }

    #[test]
    fn a_stage_inside_another_one_counts_its_own_steps() {
        let interrupt = Interrupt::new();
        interrupt.around(|| {
            let outer = Steps::begin(Stage::Salvage, 9);
            (0..5).for_each(|_| outer.next().unwrap());
            let inner = Steps::begin(Stage::Import, 2);
            inner.next().unwrap();
            assert_eq!(interrupt.progress(), Progress { stage: Stage::Import, done: 1, total: Some(2) });
            outer.next().unwrap();
            assert_eq!(interrupt.progress(), Progress { stage: Stage::Salvage, done: 6, total: Some(9) });
        });
    }

    #[test]
    fn only_the_calls_inside_are_concerned() {
        let interrupt = Interrupt::new();
        interrupt.request();
        interrupt.around(|| assert!(Steps::begin(Stage::Flush, 0).next().is_err()));
        Steps::begin(Stage::Flush, 0).next().unwrap();
        let other = interrupt.around(|| std::thread::spawn(|| Steps::begin(Stage::Flush, 0).next().is_ok()));
        assert!(other.join().unwrap(), "a background job is not the call's");
    }
}
