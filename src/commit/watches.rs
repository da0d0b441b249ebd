//! What others write while an import or a prune is prepared outside of the commit lock.
//!
//! Invariants:
//! * A watch notes every operation on its intervals that is pending when it begins or gets its LSN later, until it
//!   ends. So a read view that is taken after the beginning shows all other writes.
//! * What a watch keeps is bounded: by the keys that it is about, or else by a number of keys; and by a number of
//!   ranges.
//! * A watch ends whatever happens to its owner, so that no write pays for it afterwards.

use std::collections::{BTreeMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::record::{DeletedKeys, Operation};
use crate::types::{Extent, Interval, Namespace};

/// Keys that a watch keeps, unless it is about certain keys.
const KEYS_MAX: usize = 65_536;
/// Ranges, and lists of deleted keys, that a watch keeps one by one.
const RANGES_MAX: usize = 256;

/// The keys and ranges that were written since a watch began.
#[derive(Default)]
pub(super) struct ConflictSet {
    keys: HashSet<(Namespace, Arc<str>)>,
    /// Whether more keys were written than are kept.
    has_too_many: bool,
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
        self.has_too_many || !self.ranges.is_empty() || !self.deleted.is_empty() || self.has_ingested
    }

    /// The keys that were written one by one.
    pub fn keys(&self) -> &HashSet<(Namespace, Arc<str>)> {
        &self.keys
    }

    /// Whether the key was deleted with others, by a range delete or by a prune, as far as ranges tell.
    pub fn has_erased(&self, namespace: &Namespace, key: &str) -> bool {
        self.ranges.iter().any(|interval| interval.contains(namespace.encoded()))
            || self.deleted.iter().any(|deleted| deleted.position(namespace, key).is_some())
    }

    fn add_range(&mut self, range: &Interval) {
        if self.ranges.len() < RANGES_MAX {
            return self.ranges.push(range.clone());
        }
        // One range around several: more keys than necessary count as changed.
        if let Some(last) = self.ranges.last_mut() {
            last.low = range.low.clone().min(std::mem::take(&mut last.low));
            last.high = range.high.clone().max(std::mem::take(&mut last.high));
        }
    }
}

/// Which keys a watch is about.
pub(super) enum WatchedKeys {
    /// Every key of some intervals. Of very many, only their being many is noted.
    Within(Vec<Interval>),
    /// The keys with these hashes, and perhaps others.
    Hashed { hashes: HashSet<u64>, state: RandomState },
}

impl WatchedKeys {
    /// A watch of certain keys, wherever they lie.
    pub fn of<'a>(keys: impl Iterator<Item = (&'a Namespace, &'a str)>) -> Self {
        let state = RandomState::new();
        let hashes = keys.map(|key| state.hash_one(key)).collect();
        Self::Hashed { hashes, state }
    }

    fn covers(&self, namespace: &Namespace, key: &str) -> bool {
        match self {
            Self::Within(intervals) => intervals.iter().any(|interval| interval.contains(namespace.encoded())),
            Self::Hashed { hashes, state } => hashes.contains(&state.hash_one((namespace, key))),
        }
    }

    fn overlaps(&self, touches: impl Fn(&Interval) -> bool) -> bool {
        match self {
            Self::Within(intervals) => intervals.iter().any(touches),
            Self::Hashed { .. } => true,
        }
    }
}

struct Watch {
    watched: WatchedKeys,
    conflicts: ConflictSet,
}

impl Watch {
    fn note_key(&mut self, namespace: &Namespace, key: &Arc<str>) {
        if self.conflicts.has_too_many || !self.watched.covers(namespace, key) {
            return;
        }
        if matches!(self.watched, WatchedKeys::Within(_)) && self.conflicts.keys.len() == KEYS_MAX {
            self.conflicts.has_too_many = true;
            return;
        }
        self.conflicts.keys.insert((namespace.clone(), Arc::clone(key)));
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
    /// Begins a watch of these keys. The caller notes what is pending.
    pub fn begin(&mut self, watched: WatchedKeys) -> WatchId {
        self.begun += 1;
        let id = WatchId(self.begun);
        self.watches.insert(id, Watch { watched, conflicts: ConflictSet::default() });
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
        self.watches.values_mut().for_each(|watch| watch.note_key(namespace, key));
    }

    pub fn note_range(&mut self, range: &Interval) {
        for watch in
            self.watches.values_mut().filter(|watch| watch.watched.overlaps(|interval| interval.overlaps(range)))
        {
            watch.conflicts.add_range(range);
        }
    }

    /// Notes keys that one frame deletes. Only the ends of the list are compared with the intervals.
    pub fn note_deleted(&mut self, deleted: &Arc<DeletedKeys>) {
        let (Some((first, _)), Some((last, _))) = (deleted.keys().first(), deleted.keys().last()) else { return };
        let span = Interval { low: first.encoded().to_vec(), high: Interval::of_namespace(last.encoded()).high };
        for watch in
            self.watches.values_mut().filter(|watch| watch.watched.overlaps(|interval| interval.overlaps(&span)))
        {
            if watch.conflicts.deleted.len() < RANGES_MAX {
                watch.conflicts.deleted.push(Arc::clone(deleted));
            } else {
                watch.conflicts.add_range(&span);
            }
        }
    }

    /// Notes that an import has written rows, in files with these extents.
    pub fn note_ingested<'a>(&mut self, extents: impl Iterator<Item = &'a Extent> + Clone) {
        for watch in self.watches.values_mut() {
            let overlaps = |interval: &Interval| extents.clone().any(|extent| extent.overlaps(interval));
            watch.conflicts.has_ingested |= watch.watched.overlaps(overlaps);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_concerns_the_watches_that_its_files_overlap() {
        let encoded = |label: &str| Namespace::new([label]).unwrap().encoded().to_vec();
        let extent = |lower, upper| Extent { lower: encoded(lower), upper: encoded(upper) };
        let interval = |label: &str| Interval::of_namespace(&encoded(label));
        let mut watches = Watches::default();
        let two = watches.begin(WatchedKeys::Within(vec![interval("a"), interval("m")]));
        let other = watches.begin(WatchedKeys::Within(vec![interval("c")]));
        let keys = watches.begin(WatchedKeys::of(std::iter::empty()));
        let noted = |watches: &Watches| {
            [two, other, keys].map(|id| watches.conflicts(id).is_some_and(|conflicts| conflicts.has_many()))
        };
        watches.note_ingested([].iter());
        watches.note_ingested([extent("x", "z")].iter());
        assert_eq!(noted(&watches), [false, false, true]);
        watches.note_ingested([extent("x", "z"), extent("k", "m")].iter());
        assert_eq!(noted(&watches), [true, false, true]);
    }
}
