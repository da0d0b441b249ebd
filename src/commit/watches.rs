//! What others write while an import or a prune is prepared outside of the commit lock.
//!
//! Invariants:
//! * A watch notes every operation on its intervals that is pending when it begins or gets its LSN later, until it
//!   ends. So a read view that is taken after the beginning shows all other writes.
//! * A watch ends whatever happens to its owner, so that no write pays for it afterwards.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::record::{DeletedKeys, Operation};
use crate::types::{Interval, Namespace};

/// The keys and ranges that were written since a watch began.
#[derive(Default)]
pub(super) struct ConflictSet {
    keys: HashSet<(Namespace, Arc<str>)>,
    ranges: Vec<Interval>,
    deleted: Vec<Arc<DeletedKeys>>,
    has_ingested: bool,
}

impl ConflictSet {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && !self.has_many()
    }

    /// Whether keys were written that are not listed one by one.
    pub fn has_many(&self) -> bool {
        !self.ranges.is_empty() || !self.deleted.is_empty() || self.has_ingested
    }

    /// The keys that were written one by one.
    pub fn keys(&self) -> &HashSet<(Namespace, Arc<str>)> {
        &self.keys
    }

    /// Whether the key was deleted with others, by a range delete or by a prune.
    pub fn has_erased(&self, namespace: &Namespace, key: &str) -> bool {
        self.ranges.iter().any(|interval| interval.contains(namespace.encoded()))
            || self.deleted.iter().any(|deleted| deleted.position(namespace, key).is_some())
    }
}

struct Watch {
    intervals: Vec<Interval>,
    conflicts: ConflictSet,
}

impl Watch {
    fn covers(&self, namespace: &Namespace) -> bool {
        self.intervals.iter().any(|interval| interval.contains(namespace.encoded()))
    }
}

/// The number of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct WatchId(u64);

/// All watches, guarded by the commit lock.
#[derive(Default)]
pub(super) struct Watches {
    watches: BTreeMap<WatchId, Watch>,
    begun: u64,
}

impl Watches {
    /// Begins a watch of these intervals. The caller notes what is pending.
    pub fn begin(&mut self, intervals: Vec<Interval>) -> WatchId {
        self.begun += 1;
        let id = WatchId(self.begun);
        self.watches.insert(id, Watch { intervals, conflicts: ConflictSet::default() });
        id
    }

    /// Ends a watch. Returns what it has noted, which may be much, to be dropped without a lock.
    pub fn end(&mut self, id: WatchId) -> Option<ConflictSet> {
        self.watches.remove(&id).map(|watch| watch.conflicts)
    }

    /// What was written since the watch began.
    pub fn conflicts(&self, id: WatchId) -> Option<&ConflictSet> {
        self.watches.get(&id).map(|watch| &watch.conflicts)
    }

    /// Notes an operation.
    pub fn note(&mut self, operation: &Operation) {
        match (operation.address(), operation) {
            _ if self.watches.is_empty() => {}
            (Some((namespace, key)), _) => self.note_key(namespace, key),
            (None, Operation::DeleteRange { interval }) => self.note_range(interval),
            (None, _) => {}
        }
    }

    pub fn note_key(&mut self, namespace: &Namespace, key: &Arc<str>) {
        for watch in self.watches.values_mut().filter(|watch| watch.covers(namespace)) {
            watch.conflicts.keys.insert((namespace.clone(), Arc::clone(key)));
        }
    }

    pub fn note_range(&mut self, range: &Interval) {
        for watch in self.watches.values_mut() {
            if watch.intervals.iter().any(|interval| interval.overlaps(range)) {
                watch.conflicts.ranges.push(range.clone());
            }
        }
    }

    /// Notes keys that one frame deletes. Only the ends of the list are compared with the intervals.
    pub fn note_deleted(&mut self, deleted: &Arc<DeletedKeys>) {
        let (Some((first, _)), Some((last, _))) = (deleted.keys().first(), deleted.keys().last()) else { return };
        for watch in self.watches.values_mut() {
            let overlaps = |interval: &Interval| *first.encoded() < *interval.high && *interval.low <= *last.encoded();
            if watch.intervals.iter().any(overlaps) {
                watch.conflicts.deleted.push(Arc::clone(deleted));
            }
        }
    }

    /// Notes that an import has written rows.
    pub fn note_ingested(&mut self) {
        self.watches.values_mut().for_each(|watch| watch.conflicts.has_ingested = true);
    }
}
