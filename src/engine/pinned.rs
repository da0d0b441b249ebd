//! Pins of an open store: while a backup copies files, none of them is removed.
//!
//! Invariants:
//! * A pin is made under the lock of the manifest's state, from the manifest, the log and the read view of that moment.
//!   So each of its files is there when it is made.
//! * The end of a pin removes the files that only it has kept. A killed process leaves no pin: the next open removes
//!   such files as orphans.
//! * A purge ends the pins that keep files, and then removes these files itself, so that none is left when it returns.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::Engine;
use crate::engine::pins::{EndedPins, NumberedPin};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::sync::Ordering;

/// Keeps files until it is dropped, or ended by a purge.
pub(crate) struct Pin {
    engine: Arc<Engine>,
    pin: NumberedPin,
}

impl Engine {
    /// Pins files as of an LSN. The caller holds the lock of the manifest's state.
    pub fn pin(self: &Arc<Self>, names: HashSet<String>, lsn: Lsn) -> Pin {
        Pin { engine: Arc::clone(self), pin: self.pins.add(names, lsn) }
    }

    /// Waits at most `grace` until no pin keeps an obsolete file, and ends those that still do. A close ends the wait.
    pub fn end_pins(&self, grace: Duration) -> EndedPins {
        let deadline = Instant::now().checked_add(grace);
        let mut awaited = BTreeSet::new();
        loop {
            let count = self.signal.count();
            let keepers = self.pins.keepers();
            awaited.extend(keepers.iter().copied());
            let is_over = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            if keepers.is_empty() || is_over || self.check_usable().is_err() {
                let ended = self.pins.end(&keepers);
                return EndedPins { left: awaited.len() - ended.ended.len(), ..ended };
            }
            let until = deadline.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            self.signal.wait_after(count, until);
        }
    }
}

impl Pin {
    /// Fails once a purge has ended the pin.
    pub fn check(&self) -> Result<()> {
        if !self.pin.is_ended.load(Ordering::Acquire) {
            return Ok(());
        }
        let why = "a purge has removed files that this backup was copying; make the backup again";
        Err(Error::new(ErrorKind::SnapshotGone, why))
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        // A thread of the parent may have held the lock when this child was forked.
        if self.engine.is_forked() {
            return;
        }
        let free = self.engine.pins.remove(self.pin.number);
        // In a poisoned store it is unknown which manifest is on disk. The next open removes the files then.
        if self.engine.check_poisoned().is_ok() {
            for name in &free {
                let _ = self.engine.storage.remove(name);
            }
        }
        self.engine.signal.raise();
    }
}
