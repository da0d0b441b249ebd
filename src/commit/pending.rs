//! Pending writes: writes that have LSNs and that no read view shows yet. Keeps the state of their keys, and decides
//! new writes against that state.
//!
//! Invariants:
//! * An entry is removed only after the read view of its group is published, and only if no later write replaced it.
//! * A touch whose key cannot be looked up is dropped and counted. It never fails the write of another caller.

use std::collections::HashMap;
use std::sync::Arc;

use crate::commit::checkpoints::Checkpoints;
use crate::commit::decide::{Decision, Times, decide};
use crate::commit::tally::{Counted, QuotaTally};
use crate::commit::watches::{ConflictSet, WatchId, WatchedKeys, Watches};
use crate::engine::Engine;
use crate::error::{ErrorKind, Result};
use crate::record::{CHECKPOINTS, DeletedKeys, Lsn, Operation, Record, VersionTimes, Write, WriteOutcome};
use crate::shard::ingest::{IngestedFiles, LoggedFrame};
use crate::shard::usage::{ItemSize, record_size};
use crate::sync::Ordering;
use crate::types::{Condition, Interval, Namespace, system_namespace};

/// Writes that have LSNs and are not in the published read view. The commit lock guards them.
#[derive(Default)]
pub(crate) struct PendingWrites {
    pub next_lsn: Lsn,
    pub times: Times,
    /// Touches that were taken off the queue and wait for the next group.
    pub touches: Vec<Write>,
    pub(super) checkpoints: Checkpoints,
    pending: HashMap<(Namespace, Arc<str>), PendingWrite>,
    pending_ranges: Vec<(Lsn, Interval)>,
    pending_ingests: Vec<Arc<IngestedFiles>>,
    /// Keys that frames delete, and the first LSN of each frame.
    pending_deletes: Vec<(Lsn, Arc<DeletedKeys>)>,
    watches: Watches,
}

/// The operations of the waiting touches.
#[derive(Debug, Default)]
pub(crate) struct ResolvedTouches {
    /// The touches that still apply.
    pub operations: Vec<Operation>,
    /// For each operation, the times of its item afterwards.
    pub newest: Vec<VersionTimes>,
    /// The number of touches whose keys could not be looked up.
    pub unreadable: u64,
}

/// The state of a key after a pending write; `current` is `None` if the write deletes the item.
struct PendingWrite {
    lsn: Lsn,
    current: Option<VersionTimes>,
    /// The version, if it was put while the key was pending.
    record: Option<Arc<Record>>,
}

impl PendingWrites {
    /// No pending writes. The next operation has the LSN after `last_lsn`.
    pub fn after(last_lsn: Lsn) -> Self {
        Self { next_lsn: last_lsn.next(), ..Self::default() }
    }

    /// Whether no write is pending, so that the published read view shows all writes.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
            && self.pending_ranges.is_empty()
            && self.pending_ingests.is_empty()
            && self.pending_deletes.is_empty()
    }

    /// Decides the operation and the outcome of each write. The first operation will have `first_lsn`. Adds what they
    /// do to scopes with a quota to `tally`.
    pub(super) fn resolve(
        &self,
        engine: &Engine,
        writes: &[Write],
        times: &mut Times,
        first_lsn: Lsn,
        tally: &mut QuotaTally,
    ) -> Result<(Vec<Operation>, Vec<WriteOutcome>)> {
        let (mut operations, mut written) = (Vec::with_capacity(writes.len()), Vec::with_capacity(writes.len()));
        for write in writes {
            if let Write::DeleteRange(interval) = write {
                engine.view.get().check_range(interval)?;
            }
            let current = match write.address() {
                Some((namespace, key)) => self.newest(engine, namespace, key)?,
                None => None,
            };
            if let Write::Checkpoint { expected, .. } = write
                && current.map(|current| current.lsn) != *expected
            {
                written.push(WriteOutcome::Other);
                continue;
            }
            let lsn = first_lsn + operations.len() as u64;
            let Decision { operation, result } = decide(write, current.as_ref(), times, lsn)?;
            if let Some(operation) = &operation {
                self.count(engine, operation, current.as_ref(), tally)?;
            }
            operations.extend(operation);
            written.push(result);
            if let Write::DeleteRange(interval) = write {
                operations.extend(self.covered_checkpoints(engine, interval, times)?);
            }
        }
        Ok((operations, written))
    }

    /// Adds what an operation does to scopes with a quota. `newest` is the version that it replaces or deletes.
    fn count(
        &self,
        engine: &Engine,
        operation: &Operation,
        newest: Option<&VersionTimes>,
        tally: &mut QuotaTally,
    ) -> Result<()> {
        let (namespace, key, record) = match operation {
            Operation::Put(record) => (&record.namespace, &record.key, Some(record)),
            Operation::Delete { namespace, key } => (namespace, key, None),
            Operation::DeleteRange { .. } | Operation::Touch { .. } => return Ok(()),
        };
        let old = match tally.enter(namespace) {
            Counted::Nothing => return Ok(()),
            Counted::Items => newest.map(|_| ItemSize::of(0)),
            Counted::Bytes => newest.map(|newest| self.size(engine, namespace, key, newest.lsn)).transpose()?,
        };
        tally.add_write(old, record.map(|record| record_size(record)));
        Ok(())
    }

    /// The size of the newest version of a key, whose LSN is given, as quotas count it.
    pub(super) fn size(&self, engine: &Engine, namespace: &Namespace, key: &Arc<str>, lsn: Lsn) -> Result<ItemSize> {
        if let Some(record) = self.pending_record(namespace, key, lsn) {
            return Ok(ItemSize::of(record_size(record)));
        }
        for pending in &self.pending_ingests {
            if let Some((part, row)) = pending.find_row(namespace, key)?
                && part.lsn(row)? == lsn
            {
                return part.size(row);
            }
        }
        let view = engine.view.get();
        view.living(namespace, key)?.map_or(Ok(ItemSize::of(0)), |(part, row)| part.size(row))
    }

    /// The deletes of the checkpoints whose imports have written nothing outside of a range delete. A checkpoint that
    /// is damaged stays, so that it stops no delete: an import that reads it fails.
    fn covered_checkpoints(&self, engine: &Engine, interval: &Interval, times: &mut Times) -> Result<Vec<Operation>> {
        let (area, mut deletes) = (system_namespace(CHECKPOINTS), Vec::new());
        for source in self.checkpoints.covered_by(interval, engine.identity.keys.secret) {
            let newest = match self.newest(engine, &area, source) {
                Err(error) if error.kind() == ErrorKind::Damaged => continue,
                newest => newest?,
            };
            let delete =
                Write::Delete { namespace: area.clone(), key: Arc::clone(source), condition: Condition::Always };
            deletes.extend(decide(&delete, newest.as_ref(), times, Lsn::ZERO)?.operation);
        }
        Ok(deletes)
    }

    /// Decides which of the waiting touches still apply.
    pub fn resolve_touches(&self, engine: &Engine, times: &mut Times) -> ResolvedTouches {
        let mut resolved = ResolvedTouches::default();
        for touch in &self.touches {
            let Some((namespace, key)) = touch.address() else { continue };
            let decided = self.newest(engine, namespace, key).and_then(|current| {
                let operation = decide(touch, current.as_ref(), times, Lsn::ZERO)?.operation;
                Ok(operation.zip(current))
            });
            match decided {
                Ok(Some((operation, current))) => {
                    let expires_at = match operation {
                        Operation::Touch { expires_at, .. } => expires_at,
                        _ => current.expires_at,
                    };
                    resolved.operations.push(operation);
                    resolved.newest.push(VersionTimes { expires_at, ..current });
                }
                Ok(None) => {}
                Err(_) => resolved.unreadable += 1,
            }
        }
        resolved
    }

    /// Clears the waiting touches once they are resolved, and counts the `unreadable` ones as dropped.
    pub fn settle_touches(&mut self, engine: &Engine, unreadable: u64) {
        self.touches.clear();
        if unreadable > 0 {
            engine.counters.touches_dropped.fetch_add(unreadable, Ordering::Relaxed);
        }
    }

    /// The newest state of a key: that of the newest pending write on it, else that in the published read view.
    pub fn newest(&self, engine: &Engine, namespace: &Namespace, key: &str) -> Result<Option<VersionTimes>> {
        let pending = if self.pending.is_empty() { None } else { self.pending.get(&(namespace.clone(), key.into())) };
        let mut since = pending.map_or(Lsn::ZERO, |pending| pending.lsn);
        let mut together = None;
        for pending in &self.pending_ingests {
            if let Some(current) = pending.find(namespace, key)?.filter(|current| current.lsn > since) {
                since = current.lsn;
                together = Some(Some(current));
            }
        }
        let ranges = self.pending_ranges.iter().filter(|(_, interval)| interval.contains(namespace.encoded()));
        let listed = self
            .pending_deletes
            .iter()
            .filter_map(|(first, deleted)| deleted.position(namespace, key).map(|position| *first + position as u64));
        if let Some(lsn) = ranges.map(|(lsn, _)| *lsn).chain(listed).filter(|lsn| *lsn > since).max() {
            since = lsn;
            together = Some(None);
        }
        // What is published is in the read view, with every later write that was published and forgotten before this
        // one is forgotten.
        match together.or(pending.map(|pending| pending.current)) {
            Some(state) if engine.view.get().read_lsn < since => Ok(state),
            _ => engine.current(namespace, key),
        }
    }

    /// The version of a key that a pending write has put.
    pub fn pending_record(&self, namespace: &Namespace, key: &Arc<str>, lsn: Lsn) -> Option<&Arc<Record>> {
        let pending = self.pending.get(&(namespace.clone(), Arc::clone(key)))?;
        pending.record.as_ref().filter(|_| pending.current.is_some_and(|current| current.lsn == lsn))
    }

    /// Gives the next LSNs to the operations, and keeps the new states of their keys until these are published.
    pub fn note(&mut self, operations: &[Operation], newest: impl Iterator<Item = Option<VersionTimes>>) {
        for (operation, current) in operations.iter().zip(newest) {
            let lsn = self.next_lsn;
            self.next_lsn = lsn.next();
            self.watches.note(operation);
            self.checkpoints.note(operation);
            match (operation.address(), operation) {
                (Some((namespace, key)), _) => {
                    let address = (namespace.clone(), Arc::clone(key));
                    let record = match operation {
                        Operation::Put(record) => Some(Arc::clone(record)),
                        Operation::Touch { version, .. } => self.pending_record(namespace, key, *version).cloned(),
                        _ => None,
                    };
                    self.pending.insert(address, PendingWrite { lsn, current, record });
                }
                (None, Operation::DeleteRange { interval }) => self.pending_ranges.push((lsn, interval.clone())),
                (None, _) => {}
            }
        }
    }

    /// Gives the next LSNs to the rows of an import, and keeps the import until it is published.
    pub fn note_ingested(&mut self, ingested: &Arc<IngestedFiles>) {
        self.next_lsn = self.next_lsn + u64::from(ingested.rows);
        self.pending_ingests.push(Arc::clone(ingested));
        self.watches.note_ingested(ingested.extents());
    }

    /// Gives the next LSNs to the keys that a frame deletes, and keeps the keys until the deletes are published.
    pub fn note_deleted(&mut self, deleted: &Arc<DeletedKeys>) {
        self.pending_deletes.push((self.next_lsn, Arc::clone(deleted)));
        self.next_lsn = self.next_lsn + deleted.len() as u64;
        self.watches.note_deleted(deleted);
    }

    /// Starts to note what is written of these keys, until [`PendingWrites::end_watch`]. Pending writes are noted at
    /// once.
    pub(super) fn begin_watch(&mut self, watched: WatchedKeys) -> WatchId {
        let id = self.watches.begin(watched);
        self.pending.keys().for_each(|(namespace, key)| self.watches.note_key(namespace, key));
        self.pending_ranges.iter().for_each(|(_, interval)| self.watches.note_range(interval));
        self.pending_deletes.iter().for_each(|(_, deleted)| self.watches.note_deleted(deleted));
        self.pending_ingests.iter().for_each(|ingested| self.watches.note_ingested(ingested.extents()));
        id
    }

    /// What was noted since the watch began.
    pub(super) fn conflicts(&self, watch: WatchId) -> Option<&ConflictSet> {
        self.watches.conflicts(watch)
    }

    /// Ends a watch, and returns what it has noted.
    pub(super) fn end_watch(&mut self, watch: WatchId) -> Option<ConflictSet> {
        self.watches.end(watch)
    }

    /// Removes the entries of a published group, except those that a later write has replaced.
    pub fn forget(&mut self, frames: &[LoggedFrame]) {
        for logged in frames {
            if logged.deleted.is_some() {
                self.pending_deletes.retain(|(first, _)| *first != logged.first_lsn);
            }
            if let Some(ingested) = &logged.ingested {
                self.pending_ingests.retain(|pending| !Arc::ptr_eq(pending, ingested));
            }
            for (lsn, operation) in logged.first_operation().sequence().zip(&logged.operations) {
                let Some((namespace, key)) = operation.address() else {
                    self.pending_ranges.retain(|(pending, _)| *pending != lsn);
                    continue;
                };
                let address = (namespace.clone(), Arc::clone(key));
                if self.pending.get(&address).is_some_and(|pending| pending.lsn == lsn) {
                    self.pending.remove(&address);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::Engine;
    use crate::engine::clock::StoreClock;
    use crate::engine::facts::gather;
    use crate::engine::recover::recover;
    use crate::segment::blocks::CHECKED;
    use crate::storage::Storage;
    use crate::storage::sim::{SimClock, SimStorage};
    use crate::store::{ImportOptions, Options, Put, Store, open_with};
    use crate::tuning::Tuning;
    use crate::types::{Durability, Quota, Scope};

    /// Resolves writes on a store that was just opened, and fails if blocks are checked only then.
    fn assert_checked_before(writes: &[Write], fill: impl Fn(&Store)) {
        let (storage, clock) = (SimStorage::new(1), SimClock::new(1));
        let options = Options::new().tuning(Tuning { import_chunk_rows: 100_000, ..Tuning::tiny() });
        let store = open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options).unwrap();
        fill(&store);
        store.compact().unwrap();
        store.close().unwrap();

        let storage: Arc<dyn Storage> = Arc::new(storage);
        let start = recover(&storage, gather(&*storage).unwrap(), None).unwrap();
        let last_lsn = start.view.read_lsn;
        let clock = StoreClock::new(Arc::new(clock), Duration::ZERO, start.clock);
        let engine = Arc::new(Engine::new(storage, clock, Tuning::tiny(), Durability::Sync, start));
        let at_open = CHECKED.get();
        engine.prefetch_keys(writes);
        let before = CHECKED.get();
        assert!(before > at_open, "the segment is checked before");
        let (state, mut tally) = (PendingWrites::after(last_lsn), QuotaTally::new(&engine.quotas.get()));
        let (operations, _) =
            state.resolve(&engine, writes, &mut Times::default(), last_lsn.next(), &mut tally).unwrap();
        assert_eq!((operations.len(), CHECKED.get()), (1, before), "and not once more under the lock");
    }

    #[test]
    fn a_range_delete_checks_no_cold_block_under_the_commit_lock() {
        let home = Namespace::new(["a"]).unwrap();
        assert_checked_before(&[Write::DeleteRange(Scope::from(&home).interval())], |store| {
            (0..60).try_for_each(|key| store.put(Put::new(&home, key.to_string(), "{}")).map(drop)).unwrap();
        });
    }

    #[test]
    fn a_size_for_a_quota_checks_no_cold_block_under_the_commit_lock() {
        let namespace = Namespace::new(["a"]).unwrap();
        let write = Write::Delete { namespace: namespace.clone(), key: "20000".into(), condition: Condition::Always };
        assert_checked_before(&[write], |store| {
            // So many that each column has blocks of its own.
            let puts = (0..40_000).map(|key| Ok(Put::new(&namespace, key.to_string(), "{}")));
            store.import(puts, ImportOptions::new()).unwrap();
            store.set_quota(Quota::new(Scope::Store).bytes(1 << 30)).unwrap();
        });
    }
}
