//! A clock that stands still until a test moves it.
//!
//! Invariant: `monotonic` never goes back, whatever is done to `now`.

use std::sync::Arc;
use std::time::Duration;

use crate::storage::Clock;
use crate::sync::{AtomicI64, AtomicU64, Ordering};

/// Settable time; clones are the same clock.
#[derive(Clone, Debug)]
pub struct SimClock {
    now: Arc<AtomicI64>,
    monotonic_micros: Arc<AtomicU64>,
}

impl SimClock {
    /// A clock that shows `now`, in microseconds since 1970 UTC.
    pub fn new(now: i64) -> Self {
        Self { now: Arc::new(AtomicI64::new(now)), monotonic_micros: Arc::new(AtomicU64::new(0)) }
    }

    /// Lets time pass, on both clocks.
    pub fn advance(&self, span: Duration) {
        let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        self.now.fetch_add(i64::try_from(micros).unwrap_or(i64::MAX), Ordering::SeqCst);
        self.monotonic_micros.fetch_add(micros, Ordering::SeqCst);
    }

    /// Sets the wall clock, forwards or backwards; the monotonic one does not notice.
    pub fn set(&self, now: i64) {
        self.now.store(now, Ordering::SeqCst);
    }
}

impl Clock for SimClock {
    fn now(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic_micros.load(Ordering::SeqCst))
    }
}
