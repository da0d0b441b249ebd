//! Locks, atomics and threads of the engine, and the one cell through which readers see new state.
//!
//! All modules above take their primitives from here. With `--cfg shuttle` they are those of the crate `shuttle`, whose
//! scheduler chooses at each of them which thread goes on: `tests/models` runs the engine that way.
//!
//! Locks are those of the standard library, with its poisoning ignored: a thread that unwinds poisons the store
//! instead. Each lock keeps all its state in itself. Locks that park threads in a table of the process do not: a forked
//! child that opens a store would find its parent's threads in that table.

#[cfg(shuttle)]
use shuttle::{sync as primitives, thread};
#[cfg(not(shuttle))]
use std::{sync as primitives, thread};

pub(crate) use primitives::atomic::{
    AtomicBool, AtomicI64, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering,
};
pub(crate) use primitives::{MutexGuard, RwLockReadGuard, RwLockWriteGuard};
pub(crate) use thread::{Builder as ThreadBuilder, JoinHandle};

/// Atomics for figures from which no thread decides anything. A model never changes the thread at one of them.
pub(crate) mod counters {
    pub(crate) use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}

use std::sync::{Arc, PoisonError};
use std::time::Instant;

/// Mutual exclusion.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T>(primitives::Mutex<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(primitives::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Many readers or one writer.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(primitives::RwLock<T>);

impl<T> RwLock<T> {
    pub const fn new(value: T) -> Self {
        Self(primitives::RwLock::new(value))
    }

    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A condition variable: threads wait for a change of the value that a [`Mutex`] guards.
#[derive(Debug, Default)]
pub(crate) struct Condvar(primitives::Condvar);

impl Condvar {
    pub const fn new() -> Self {
        Self(primitives::Condvar::new())
    }

    pub fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Waits for a notification; it may also return without one.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `deadline` at most. Returns whether the wait timed out.
    #[cfg(not(shuttle))]
    #[allow(clippy::disallowed_methods, reason = "how long a thread sleeps is no time of the store's")]
    pub fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, deadline: Instant) -> (MutexGuard<'a, T>, bool) {
        let left = deadline.saturating_duration_since(Instant::now());
        let (guard, outcome) = self.0.wait_timeout(guard, left).unwrap_or_else(PoisonError::into_inner);
        (guard, outcome.timed_out())
    }

    /// As above, for a scheduler that knows no time: a deadline that has not passed yet never does.
    #[cfg(shuttle)]
    #[allow(clippy::disallowed_methods, reason = "how long a thread sleeps is no time of the store's")]
    pub fn wait_until<'a, T>(&self, guard: MutexGuard<'a, T>, deadline: Instant) -> (MutexGuard<'a, T>, bool) {
        let is_over = Instant::now() >= deadline;
        (if is_over { guard } else { self.wait(guard) }, is_over)
    }
}

/// A value that is replaced as a whole. A reader holds the lock only while it clones the `Arc` of the newest value.
#[derive(Debug)]
pub(crate) struct Latest<T> {
    newest: RwLock<Arc<T>>,
}

impl<T> Latest<T> {
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
