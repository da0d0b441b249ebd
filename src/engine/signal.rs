//! How writers and background threads wake each other.
//!
//! Invariant: an event that happens after [`Signal::count`] ends the wait of [`Signal::wait_after`] with that count.

use std::time::Instant;

use crate::sync::{Condvar, Mutex};

/// How writers and background threads wake each other.
#[derive(Default)]
pub(crate) struct Signal {
    events: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    /// Counts an event for which a thread may wait, and wakes the threads that wait.
    pub fn raise(&self) {
        *self.events.lock() += 1;
        self.changed.notify_all();
    }

    /// The number of events so far, for `wait_after`.
    pub fn count(&self) -> u64 {
        *self.events.lock()
    }

    /// Waits until more than `count` events have happened or `deadline` has passed. Returns whether an event happened.
    pub fn wait_after(&self, count: u64, deadline: Instant) -> bool {
        let mut events = self.events.lock();
        let mut is_over = false;
        while *events == count && !is_over {
            (events, is_over) = self.changed.wait_until(events, deadline);
        }
        *events != count
    }
}
