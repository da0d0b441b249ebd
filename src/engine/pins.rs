//! The table of pins: which files running backups copy, and which of these files nothing else needs any more.
//!
//! Invariants:
//! * A pinned file that becomes obsolete is kept until no pin has it. Then the table returns its name once, and whoever
//!   has called removes the file.
//! * The lock of the table is a leaf.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::record::Lsn;
use crate::sync::{AtomicBool, Mutex, Ordering};

/// The pins of an open store.
#[derive(Default)]
pub(crate) struct Pins {
    table: Mutex<PinTable>,
}

#[derive(Default)]
struct PinTable {
    made: u64,
    pins: BTreeMap<u64, PinnedFiles>,
    /// Obsolete files that a pin has.
    kept: BTreeSet<String>,
}

struct PinnedFiles {
    names: HashSet<String>,
    since: Instant,
    lsn: Lsn,
    is_ended: Arc<AtomicBool>,
}

/// A pin in the table.
pub(crate) struct NumberedPin {
    pub number: u64,
    pub is_ended: Arc<AtomicBool>,
}

/// A pin that a purge has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedPin {
    pub age: Duration,
    pub lsn: Lsn,
}

/// What a purge did about pins.
#[derive(Debug, Default)]
pub(crate) struct EndedPins {
    /// How many ended by themselves during the wait.
    pub left: usize,
    pub ended: Vec<EndedPin>,
    /// The files that they kept, which the caller removes.
    pub files: Vec<String>,
}

impl PinTable {
    fn is_pinned(&self, name: &str) -> bool {
        self.pins.values().any(|pin| pin.names.contains(name))
    }

    /// The pins that keep an obsolete file.
    fn keepers(&self) -> BTreeSet<u64> {
        let keeps = |pin: &PinnedFiles| self.kept.iter().any(|name| pin.names.contains(name));
        self.pins.iter().filter(|(_, pin)| keeps(pin)).map(|(&number, _)| number).collect()
    }

    /// Takes the kept files that no pin has any more.
    fn unpinned(&mut self) -> Vec<String> {
        let (kept, free) = std::mem::take(&mut self.kept).into_iter().partition(|name| self.is_pinned(name));
        self.kept = kept;
        BTreeSet::into_iter(free).collect()
    }
}

impl Pins {
    /// Whether a pin has this obsolete file. If so, the caller does not remove it.
    pub fn keep(&self, name: &str) -> bool {
        let mut table = self.table.lock();
        let is_pinned = table.is_pinned(name);
        if is_pinned {
            table.kept.insert(name.to_owned());
        }
        is_pinned
    }

    /// Adds a pin. Returns its number, and the flag that a purge sets to end it.
    pub fn add(&self, names: HashSet<String>, lsn: Lsn) -> NumberedPin {
        let is_ended = Arc::new(AtomicBool::new(false));
        let mut table = self.table.lock();
        table.made += 1;
        let number = table.made;
        let pin = PinnedFiles { names, since: Instant::now(), lsn, is_ended: Arc::clone(&is_ended) };
        table.pins.insert(number, pin);
        NumberedPin { number, is_ended }
    }

    /// Removes a pin, if it was not ended. Returns the kept files that no other pin has.
    pub fn remove(&self, number: u64) -> Vec<String> {
        let mut table = self.table.lock();
        table.pins.remove(&number);
        table.unpinned()
    }

    /// The numbers of the pins that keep an obsolete file.
    pub fn keepers(&self) -> BTreeSet<u64> {
        self.table.lock().keepers()
    }

    /// Ends these pins. Returns them, and the kept files that no other pin has.
    pub fn end(&self, numbers: &BTreeSet<u64>) -> EndedPins {
        let mut table = self.table.lock();
        let mut ended = Vec::new();
        for number in numbers {
            if let Some(pin) = table.pins.remove(number) {
                pin.is_ended.store(true, Ordering::Release);
                ended.push(EndedPin { age: pin.since.elapsed(), lsn: pin.lsn });
            }
        }
        EndedPins { left: 0, ended, files: table.unpinned() }
    }
}
