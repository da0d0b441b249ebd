//! Long calls: the engine works on a thread of its own, while the calling thread looks for signals and tells how far
//! the call is.
//!
//! Invariants:
//! * Ctrl-C, or an exception of `on_progress`, ends the call within `TURN` and `GRACE`: the engine is asked to stop.
//!   If it is amid a step that cannot be left, its thread ends by itself after that step.
//! * `on_progress` is called on the calling thread, at least every `TELL_EVERY`, and once more when the call has
//!   succeeded.
//! * The engine's thread never touches Python.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use vecmem::{Interrupt, Stage};

use crate::errors;

/// How long the calling thread sleeps between two looks for signals.
const TURN: Duration = Duration::from_millis(40);
/// How long it waits for the engine to stop before it raises.
const GRACE: Duration = Duration::from_millis(80);
/// How often `on_progress` is called at least, save for what Python itself takes.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What the two threads of a call share; each change wakes the other one.
#[derive(Default)]
pub(crate) struct Board<S> {
    state: Mutex<S>,
    changed: Condvar,
}

impl<S> Board<S> {
    pub(crate) fn lock(&self) -> MutexGuard<'_, S> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut S) -> T) -> T {
        let changed = change(&mut self.lock());
        self.changed.notify_all();
        changed
    }

    /// Waits until something is found in the state, at most so long.
    pub(crate) fn wait<T>(&self, at_most: Duration, mut find: impl FnMut(&mut S) -> Option<T>) -> Option<T> {
        let end = Instant::now() + at_most;
        let mut state = self.lock();
        loop {
            if let Some(found) = find(&mut state) {
                return Some(found);
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The outcome of a job: what it returned, or its panic.
type Outcome<T> = thread::Result<vecmem::Result<T>>;

/// A job on a thread of its own.
pub(crate) struct Job<T> {
    board: Arc<Board<Option<Outcome<T>>>>,
    pub(crate) interrupt: Interrupt,
}

impl<T: Send + 'static> Job<T> {
    /// Starts `work` on its thread.
    pub(crate) fn start(
        py: Python<'_>,
        work: impl FnOnce(&Interrupt) -> vecmem::Result<T> + Send + 'static,
    ) -> PyResult<Self> {
        let (board, interrupt) =
            (Arc::new(Board { state: Mutex::new(None), changed: Condvar::new() }), Interrupt::new());
        let (there, heeded) = (Arc::clone(&board), interrupt.clone());
        let run = move || {
            let outcome = catch_unwind(AssertUnwindSafe(|| heeded.around(|| work(&heeded))));
            there.change(|state| *state = Some(outcome));
        };
        let started = thread::Builder::new().name("vecmem-call".into()).spawn(run);
        started.map_err(|error| errors::panicked(py, &format!("no thread can be started: {error}")))?;
        Ok(Self { board, interrupt })
    }

    /// The outcome, if the job ends soon; meanwhile signals are looked for.
    pub(crate) fn turn(&self, py: Python<'_>) -> PyResult<Option<T>> {
        let outcome = py.detach(|| self.board.wait(TURN, Option::take));
        py.check_signals()?;
        outcome.map(|outcome| outcome_of(py, outcome)).transpose()
    }

    /// Asks the job to stop and gives it a moment for that; returns `error`.
    pub(crate) fn stop(&self, py: Python<'_>, error: PyErr) -> PyErr {
        self.interrupt.request();
        py.detach(|| self.board.wait(GRACE, |state| state.is_some().then_some(())));
        error
    }
}

fn outcome_of<T>(py: Python<'_>, outcome: Outcome<T>) -> PyResult<T> {
    match outcome {
        Ok(outcome) => outcome.map_err(|error| errors::from_engine(py, &error)),
        Err(payload) => Err(errors::panicked(py, &*payload)),
    }
}

/// When a callback is due again.
pub(crate) struct Pace(Instant);

impl Pace {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    /// Whether the callback is due; if so, the next time is counted from now.
    pub(crate) fn is_due(&mut self) -> bool {
        let is_due = self.0.elapsed() >= TELL_EVERY;
        if is_due {
            self.0 = Instant::now();
        }
        is_due
    }
}

/// Runs `work` on a thread of its own, and calls `tell` from time to time and when it has succeeded.
pub(crate) fn watched<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce(&Interrupt) -> vecmem::Result<T> + Send + 'static,
    tell: impl Fn(&Interrupt) -> PyResult<()>,
) -> PyResult<T> {
    let job = Job::start(py, work)?;
    let mut pace = Pace::new();
    let mut run = || loop {
        if let Some(result) = job.turn(py)? {
            tell(&job.interrupt)?;
            return Ok(result);
        }
        if pace.is_due() {
            tell(&job.interrupt)?;
        }
    };
    run().map_err(|error| job.stop(py, error))
}

/// The same of a job of upkeep: `on_progress` is called with its stage, the steps that are done, and all steps or
/// `None`.
pub(crate) fn upkeep<T: Send + 'static>(
    py: Python<'_>,
    on_progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&Interrupt) -> vecmem::Result<T> + Send + 'static,
) -> PyResult<T> {
    watched(py, work, |interrupt| {
        let Some(on_progress) = on_progress else { return Ok(()) };
        let progress = interrupt.progress();
        let stage = match progress.stage {
            Stage::Flush => "flush",
            Stage::Merge => "merge",
            Stage::Graph => "graph",
            Stage::Check => "check",
            Stage::Sweep => "sweep",
            Stage::Import => "import",
            Stage::Salvage => "salvage",
            Stage::Delete => "delete",
            Stage::Backup => "backup",
            _ => "waiting",
        };
        on_progress.call1((stage, progress.done, progress.total)).map(drop)
    })
}
