//! Locks, atomics and threads of the engine, the one cell through which readers see new state, and the points at which
//! tests hold a thread.
//!
//! All modules above take their primitives from here. With `--cfg shuttle` they are those of the crate `shuttle`, whose
//! scheduler chooses at each of them which thread goes on: `tests/models` runs the engine that way.
//!
//! Locks are those of the standard library, with its poisoning ignored: a thread that unwinds poisons the store
//! instead. Each lock keeps all its state in itself. Locks that park threads in a table of the process do not: a forked
//! child that opens a store would find its parent's threads in that table.
//!
//! Without the feature `testing`, [`Hooks`] has no fields and [`Hooks::reach`] does nothing.

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

/// A moment between two steps of the engine, where another thread may come between them. A test can hold a thread
/// there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookPoint {
    /// The writes of a caller are resolved: they have joined a group that is not published yet, or need no group.
    WriteJoined,
    /// The writes of a caller wait until a rule is decided.
    WriteHeldBack,
    /// A caller whose writes need no group is about to wait for the group that its answer depends on.
    GroupAwaited,
    /// Scopes with a quota must be counted before the writes of a caller are resolved again.
    CountNeeded,
    /// The leader of a group has published the read view. The writes of the group are still noted as pending.
    GroupPublished,
    /// An install has collected the deletes and touches of the parts that it replaces, and has committed nothing.
    InstallCollected,
    /// A commit of a manifest has collected its state and has synced the log. It has written no tombstones.
    GenerationCollected,
    /// The segments of a shard are cut, and the shard is about to be split.
    ShardCut,
    /// A split has copied the rows in memory, and has not taken the lock under which the copies are completed.
    SplitCopied,
    /// A split has published the read view, and has committed nothing.
    SplitPublished,
    /// A sweep has listed expired items and has not deleted them.
    SweepListed,
    /// A write was resolved on a read view and encoded, and has not joined a group.
    WriteResolved,
    /// An import has followed merges, and its frame has not joined a group.
    ImportFollowed,
    /// No call of the store is running any more, and the close goes on.
    CloseAlone,
}

/// The hook points of one store.
#[cfg(not(feature = "testing"))]
#[derive(Default)]
pub(crate) struct Hooks {}

#[cfg(not(feature = "testing"))]
impl Hooks {
    /// Does nothing.
    #[inline(always)]
    pub fn reach(&self, _point: HookPoint) {}
}

#[cfg(feature = "testing")]
pub use held::Hold;
#[cfg(feature = "testing")]
pub(crate) use held::Hooks;

#[cfg(feature = "testing")]
mod held {
    //! Hook points that hold threads.

    use std::sync::Arc;
    use std::time::{Duration, Instant};

    use super::{AtomicUsize, Condvar, HookPoint, Mutex, MutexGuard, Ordering};

    /// Long enough for any machine: whoever waits so long has failed.
    const LIMIT: Duration = Duration::from_secs(60);

    /// The hook points of one store.
    #[derive(Clone, Default)]
    pub(crate) struct Hooks {
        shared: Arc<SharedHooks>,
    }

    #[derive(Default)]
    struct SharedHooks {
        /// The number of holds, so that a thread that passes a point takes no lock while there are none.
        count: AtomicUsize,
        /// The number of holds so far. No two holds have the same number.
        given: AtomicUsize,
        holds: Mutex<Vec<HeldPoint>>,
        changed: Condvar,
    }

    struct HeldPoint {
        number: usize,
        point: HookPoint,
        is_reached: bool,
    }

    impl Hooks {
        /// Holds the next thread that reaches the point. Several holds of one point hold one thread each, in the order
        /// of the calls.
        pub fn hold(&self, point: HookPoint) -> Hold {
            let mut holds = self.shared.holds.lock();
            let number = self.shared.given.fetch_add(1, Ordering::Relaxed);
            holds.push(HeldPoint { number, point, is_reached: false });
            self.shared.count.store(holds.len(), Ordering::Release);
            Hold { hooks: self.clone(), number }
        }

        /// Waits here if a hold says so, until the hold goes.
        pub fn reach(&self, point: HookPoint) {
            if self.shared.count.load(Ordering::Acquire) == 0 {
                return;
            }
            let mut holds = self.shared.holds.lock();
            let Some(held) = holds.iter_mut().find(|held| held.point == point && !held.is_reached) else { return };
            held.is_reached = true;
            let number = held.number;
            self.shared.changed.notify_all();
            while holds.iter().any(|held| held.number == number) {
                holds = self.shared.changed.wait(holds);
            }
        }
    }

    /// Holds one thread at a hook point, until the value is dropped.
    pub struct Hold {
        hooks: Hooks,
        number: usize,
    }

    impl Hold {
        fn is_reached(&self, holds: &MutexGuard<'_, Vec<HeldPoint>>) -> bool {
            holds.iter().any(|held| held.number == self.number && held.is_reached)
        }

        /// Whether a thread is held now.
        pub fn is_held(&self) -> bool {
            self.is_reached(&self.hooks.shared.holds.lock())
        }

        /// Whether a thread is held before `limit` has passed.
        #[allow(clippy::disallowed_methods, reason = "a test waits in real time")]
        pub fn is_held_within(&self, limit: Duration) -> bool {
            let (deadline, mut is_over) = (Instant::now() + limit, false);
            let mut holds = self.hooks.shared.holds.lock();
            while !self.is_reached(&holds) && !is_over {
                (holds, is_over) = self.hooks.shared.changed.wait_until(holds, deadline);
            }
            self.is_reached(&holds)
        }

        /// Waits until a thread is held. Panics after a minute.
        pub fn wait_until_held(&self) {
            assert!(self.is_held_within(LIMIT), "no thread has reached the hook point");
        }

        /// Lets the thread go on, as a drop does. Without a thread, the hold ends.
        pub fn let_go(self) {}
    }

    impl Drop for Hold {
        fn drop(&mut self) {
            let mut holds = self.hooks.shared.holds.lock();
            holds.retain(|held| held.number != self.number);
            self.hooks.shared.count.store(holds.len(), Ordering::Release);
            self.hooks.shared.changed.notify_all();
        }
    }
}
