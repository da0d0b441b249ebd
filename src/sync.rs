//! Locks and atomics of the engine, and the one cell through which readers see new state.
//!
//! Everything above takes its primitives from here: one place to exchange them, for a model checker for example.

pub(crate) use parking_lot::{Condvar, Mutex, MutexGuard, RwLock};
pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use std::sync::Arc;

/// A value that is replaced whole: readers take the newest with one lock held for one reference count.
#[derive(Debug)]
pub(crate) struct Published<T> {
    newest: RwLock<Arc<T>>,
}

impl<T> Published<T> {
    pub fn new(value: Arc<T>) -> Self {
        Self { newest: RwLock::new(value) }
    }

    /// The newest value; it stays as it is for as long as the caller keeps it.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.newest.read())
    }

    /// Replaces the value and returns the old one, so that it is dropped outside the lock.
    #[must_use = "drop the old value where a long destructor does no harm"]
    pub fn set(&self, value: Arc<T>) -> Arc<T> {
        std::mem::replace(&mut *self.newest.write(), value)
    }
}
