//! How every call of the engine is made: without the interpreter's lock, and with panics turned into exceptions.
//!
//! Invariants:
//! * The engine runs detached: other Python threads go on, and no thread of the engine ever waits for the interpreter.
//! * What crosses into the engine is owned by Rust: arrays and strings were copied before.

use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::prelude::*;

use crate::errors;

/// Runs `step` detached from the interpreter.
pub(crate) fn detached<T: Send>(py: Python<'_>, step: impl FnOnce() -> vecmem::Result<T> + Send) -> PyResult<T> {
    // A panic leaves nothing half done behind that a later call could see: the engine fences itself where that matters.
    match py.detach(|| catch_unwind(AssertUnwindSafe(step))) {
        Ok(outcome) => outcome.map_err(|error| errors::from_engine(py, &error)),
        Err(payload) => Err(errors::panicked(py, &*payload)),
    }
}

/// Something of the engine that a Python object keeps. It may be the last to keep files and memory of a moment, so it
/// is let go of detached. A forked child lets go of nothing of its parent's: that could wait for a thread that it does
/// not have.
pub(crate) struct Kept<T: Send> {
    value: Option<T>,
    process: u32,
}

impl<T: Send> Kept<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Some(value), process: std::process::id() }
    }
}

impl<T: Send> Deref for Kept<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Send> Drop for Kept<T> {
    fn drop(&mut self) {
        let mut value = self.value.take();
        if self.process != std::process::id() {
            std::mem::forget(value);
            return;
        }
        // Attached, since this is the end of a Python object, except when the interpreter is on its way out.
        let _ = Python::try_attach(|py| py.detach(|| drop(value.take())));
    }
}

/// Panics inside a call of the engine, to prove that this is an ordinary exception.
#[pyfunction]
pub(crate) fn _panic(py: Python<'_>, message: String) -> PyResult<()> {
    detached(py, || panic!("{message}"))
}
