//! Writes that are resolved on a read view, outside of the commit lock: deletes by filter, prunes and renames.
//!
//! A [`Rule`] lists on a read view the keys that the write deletes, and what it puts. Their frame is encoded. Only
//! then is the commit lock taken, and what others have written since the read view was taken is settled: the newest
//! state of each such key decides whether it is deleted. Where that is too much, the rule is resolved again.
//!
//! Invariants:
//! * The outcome is that of a rule on the state that the frame commits to: a watch knows every key of the
//!   intervals that the read view may show in another state.
//! * Under the commit lock the work depends on the keys that were written meanwhile, at most [`CHANGES_MAX`], and not
//!   on the number of keys that are deleted. A list of at most [`REBUILT_MAX`] keys is encoded again there.
//! * A write that was overtaken [`RESOLVES_BESIDE`] times makes others wait (`gate`), so that it is decided. They wait
//!   for as long as it takes to find its keys, without the commit lock.
//! * Every key is looked up before the lock is taken, so that damage fails the write and not the commit.

use std::cell::Cell;
use std::sync::Arc;

use super::gate::ClosedGate;
use super::watches::{WatchId, WatchedKeys};
use super::{Intent, Pipeline};
use crate::commit::pending::PendingWrites;
use crate::commit::tally::{Counted, QuotaTally};
use crate::engine::Engine;
use crate::engine::quotas::Quotas;
use crate::engine::space::Purpose;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::{Stage, Steps};
use crate::record::{DeletedKeys, KeyAddress, Operation, Record, VersionTimes};
use crate::shard::logged_deletes::KeyPlaces;
use crate::shard::usage::{ItemSize, record_size};
use crate::shard::{PartRef, ReadView};
use crate::sync::HookPoint;
use crate::types::{Growth, Interval, Namespace};
use crate::wal::encode_operation;

/// Keys that others may have written while a write was resolved, and that are settled under the commit lock. With more
/// of them the write is resolved again.
const CHANGES_MAX: usize = 256;
/// A list of so many keys is encoded again under the commit lock if keys must be taken out of it.
const REBUILT_MAX: usize = 16_384;
/// A write that others have overtaken so often is resolved while they wait.
const RESOLVES_BESIDE: usize = 3;
/// Bytes of values that are tested under the commit lock.
const CHANGED_BYTES_MAX: usize = 1 << 20;
/// How often a write is resolved before it gives up, since something else than a write keeps changing.
const RESOLVES_MAX: usize = 32;

/// What a write deletes and puts, as of a read view.
#[derive(Default)]
pub(crate) struct Resolved {
    pub deletes: Vec<KeyAddress>,
    pub puts: Vec<Arc<Record>>,
}

/// A key that others have written since the read view, and its newest version, unless it was deleted.
pub(crate) struct WrittenKey {
    pub namespace: Namespace,
    pub key: Arc<str>,
    pub newest: Option<(Arc<Record>, VersionTimes)>,
}

/// The consequences of changes for a list of keys.
#[derive(Default)]
pub(crate) struct Settled {
    /// The positions in the list of keys that are not deleted any more, rising.
    pub removed: Vec<usize>,
    /// How many keys of the list have no item any more. Their deletes do no harm.
    pub gone: usize,
    /// Keys that are deleted too.
    pub added: Vec<KeyAddress>,
}

/// Decides what a write deletes and puts.
pub(crate) trait Rule {
    /// Where the write depends on the state of the store.
    fn intervals(&self) -> Vec<Interval>;

    /// Decides on a read view.
    fn resolve(&mut self, view: &Arc<ReadView>) -> Result<Resolved>;

    /// What the changes mean for the keys that were listed last; `None` if the write must be resolved again. The caller
    /// holds the commit lock.
    fn settle(&self, changes: &[WrittenKey], listed: &DeletedKeys) -> Result<Option<Settled>>;
}

impl Settled {
    /// Adds the consequence of a change. The caller sorts what is removed.
    pub fn add(&mut self, change: &WrittenKey, is_wanted: bool, listed: &DeletedKeys) {
        match listed.position(&change.namespace, &change.key) {
            Some(_) if change.newest.is_none() => self.gone += 1,
            Some(position) if !is_wanted => self.removed.push(position),
            None if is_wanted => self.added.push((change.namespace.clone(), Arc::clone(&change.key))),
            _ => {}
        }
    }
}

/// A write that was resolved and encoded, and waits for its frame.
pub(super) struct ResolvedWrites<'a> {
    rule: &'a dyn Rule,
    watch: WatchId,
    deleted: EncodedDeletes,
    puts: Vec<Operation>,
    growth: ResolvedGrowth,
    /// Whether other writes of what it depends on are held back.
    pub is_behind_gate: bool,
    /// How many items the frame deletes; `None` if the write must be resolved again.
    pub outcome: Cell<Option<u64>>,
}

/// Keys, and their deletes as bytes of a frame.
#[derive(Clone)]
pub(super) struct EncodedDeletes {
    pub keys: Arc<DeletedKeys>,
    pub places: Arc<KeyPlaces>,
    pub bytes: Arc<Vec<u8>>,
}

/// What a resolved write does to scopes with a quota, as of its read view.
struct ResolvedGrowth {
    quotas: Arc<Quotas>,
    /// The size of each listed key's item, if it had one; empty without quotas.
    sizes: Vec<Option<ItemSize>>,
    tally: QuotaTally,
}

impl ResolvedGrowth {
    fn of(view: &ReadView, quotas: Arc<Quotas>, deleted: &EncodedDeletes, puts: &[Arc<Record>]) -> Result<Self> {
        let (mut sizes, mut tally) = (Vec::new(), QuotaTally::new(&quotas));
        if !quotas.is_empty() {
            sizes = deleted.places.sizes(quotas.counts_bytes())?;
            for ((namespace, _), size) in deleted.keys.keys().iter().zip(&sizes) {
                if tally.enter(namespace) != Counted::Nothing {
                    tally.add_write(*size, None);
                }
            }
            for record in puts {
                if tally.enter(&record.namespace) != Counted::Nothing {
                    let old = view.living(&record.namespace, &record.key)?.map(|(part, row)| part.size(row));
                    tally.add_write(old.transpose()?, Some(record_size(record)));
                }
            }
        }
        Ok(Self { quotas, sizes, tally })
    }

    /// The same where others have changed keys since, and keys are deleted that were not listed.
    fn settled(
        &self,
        changes: &[WrittenKey],
        settled: &Settled,
        listed: &DeletedKeys,
        size: impl Fn(&KeyAddress) -> Result<ItemSize>,
    ) -> Result<QuotaTally> {
        let mut tally = self.tally.clone();
        if self.quotas.is_empty() {
            return Ok(tally);
        }
        for change in changes {
            let Some(position) = listed.position(&change.namespace, &change.key) else { continue };
            let before = self.sizes.get(position).copied().flatten().map(|size| size.bytes);
            let is_deleted = settled.removed.binary_search(&position).is_err();
            let newest = change.newest.as_ref().filter(|_| is_deleted).map(|(record, _)| record_size(record));
            if tally.enter(&change.namespace) != Counted::Nothing {
                tally.add(Growth::between(newest, None).without(Growth::between(before, None)));
            }
        }
        for added in &settled.added {
            if tally.enter(&added.0) != Counted::Nothing {
                tally.add_write(Some(size(added)?), None);
            }
        }
        Ok(tally)
    }
}

impl EncodedDeletes {
    fn new(keys: DeletedKeys, places: KeyPlaces) -> Self {
        let mut bytes = Vec::new();
        keys.operations().for_each(|delete| encode_operation(&mut bytes, &delete));
        Self { keys: Arc::new(keys), places: Arc::new(places), bytes: Arc::new(bytes) }
    }
}

/// What a resolved write commits.
pub(super) struct SettledWrites {
    pub deleted: EncodedDeletes,
    pub operations: Vec<Operation>,
    /// How many items are deleted.
    pub count: u64,
    /// What the write does to scopes with a quota.
    pub tally: QuotaTally,
}

impl ResolvedWrites<'_> {
    /// Where the write depends on the state of the store.
    pub fn intervals(&self) -> Vec<Interval> {
        self.rule.intervals()
    }

    /// What the frame holds, decided on the newest state; `None` if the write must be resolved again. Changes nothing.
    pub fn settle(
        &self,
        pending: &PendingWrites,
        engine: &Engine,
        quotas: &Arc<Quotas>,
    ) -> Result<Option<SettledWrites>> {
        if !Arc::ptr_eq(quotas, &self.growth.quotas) {
            return Ok(None);
        }
        let Some(conflicts) = pending.conflicts(self.watch) else { return Ok(None) };
        if conflicts.has_many() || conflicts.keys().len() > CHANGES_MAX {
            return Ok(None);
        }
        let (mut changes, mut bytes) = (Vec::with_capacity(conflicts.keys().len()), 0);
        for (namespace, key) in conflicts.keys() {
            let newest = match pending.newest(engine, namespace, key)? {
                None => None,
                Some(times) => match newest_record(pending, engine, namespace, key, &times)? {
                    Some(record) => {
                        bytes += record.value.len();
                        Some((record, times))
                    }
                    None => return Ok(None),
                },
            };
            if bytes > CHANGED_BYTES_MAX {
                return Ok(None);
            }
            changes.push(WrittenKey { namespace: namespace.clone(), key: Arc::clone(key), newest });
        }
        let settled = if changes.is_empty() {
            Settled::default()
        } else {
            // In order, so that the frame does not depend on the order of a hash table.
            changes.sort_unstable_by(|one, other| (&one.namespace, &one.key).cmp(&(&other.namespace, &other.key)));
            let Some(settled) = self.rule.settle(&changes, &self.deleted.keys)? else { return Ok(None) };
            settled
        };
        let size = |(namespace, key): &KeyAddress| {
            let newest = pending.newest(engine, namespace, key)?;
            newest.map_or(Ok(ItemSize::of(0)), |newest| pending.size(engine, namespace, key, newest.lsn))
        };
        let tally = self.growth.settled(&changes, &settled, &self.deleted.keys, size)?;
        let Settled { removed, gone, added } = settled;
        if added.len() > CHANGES_MAX {
            return Ok(None);
        }
        for (namespace, key) in &added {
            pending.newest(engine, namespace, key)?;
        }
        let deleted = match removed.as_slice() {
            [] => self.deleted.clone(),
            removed if self.deleted.keys.len() <= REBUILT_MAX => {
                EncodedDeletes::new(self.deleted.keys.without(removed), KeyPlaces::default())
            }
            _ => return Ok(None),
        };
        let count = (deleted.keys.len() + added.len()).saturating_sub(gone) as u64;
        let added = added.into_iter().map(|(namespace, key)| Operation::Delete { namespace, key });
        Ok(Some(SettledWrites { deleted, operations: self.puts.iter().cloned().chain(added).collect(), count, tally }))
    }
}

/// The newest version of a key, whose times are given; `None` if it lies in an import that is not published yet.
fn newest_record(
    pending: &PendingWrites,
    engine: &Engine,
    namespace: &Namespace,
    key: &Arc<str>,
    times: &VersionTimes,
) -> Result<Option<Arc<Record>>> {
    if let Some(record) = pending.pending_record(namespace, key, times.lsn) {
        return Ok(Some(Arc::clone(record)));
    }
    let view = engine.view.get();
    let shard = &view.shards[view.shard_of(namespace.encoded())];
    match shard.find_visible(namespace.encoded(), key, view.read_lsn)? {
        Some((part, row)) if part.lsn(row)? == times.lsn => match part {
            PartRef::Memtable(memtable) => Ok(Some(Arc::clone(&memtable.row(row).record))),
            PartRef::Segment(part) => Ok(Some(Arc::new(part.segment()?.record(row)?))),
        },
        _ => Ok(None),
    }
}

impl Pipeline {
    /// Writes what `rule` decides on the state that the frame commits to, all or nothing. Returns how many items
    /// were deleted.
    ///
    /// Errors: those of the rule; `Busy` if others kept writing what it would delete; those of a write.
    pub fn write_resolved(&self, rule: &mut dyn Rule) -> Result<u64> {
        self.engine.check_writable()?;
        let steps = Steps::begin(Stage::Delete, 0);
        for resolves in 0..RESOLVES_MAX {
            steps.check()?;
            let gate = (resolves >= RESOLVES_BESIDE).then(|| ClosedGate::close(self, rule.intervals()));
            let noted = RuleWatch::begin(self, rule.intervals());
            let view = self.engine.view.get();
            let Resolved { deletes, puts } = rule.resolve(&view)?;
            let deletes = DeletedKeys::new(deletes);
            let places = KeyPlaces::look_up(&view, &deletes, || steps.check())?;
            for record in &puts {
                view.current(&record.namespace, &record.key)?;
            }
            if !puts.is_empty() {
                self.wait_for_room()?;
            }
            let purpose = if puts.is_empty() { Purpose::FreeingLog } else { Purpose::Log };
            let deleted = EncodedDeletes::new(deletes, places);
            let growth = ResolvedGrowth::of(&view, self.engine.quotas.get(), &deleted, &puts)?;
            let puts = puts.into_iter().map(Operation::Put).collect();
            let (watch, is_behind_gate, outcome) = (noted.id, gate.is_some(), Cell::default());
            let writes = ResolvedWrites { rule, watch, deleted, puts, growth, is_behind_gate, outcome };
            self.engine.hooks.reach(HookPoint::WriteResolved);
            self.commit(Intent::Resolved(&writes), purpose)?;
            if let Some(count) = writes.outcome.get() {
                return Ok(count);
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            "others kept writing what this call would delete or move; nothing was written, try again later, or with fewer items at a time",
        ))
    }
}

/// Ends the watch, whatever happens.
struct RuleWatch<'a> {
    pipeline: &'a Pipeline,
    id: WatchId,
}

impl<'a> RuleWatch<'a> {
    fn begin(pipeline: &'a Pipeline, intervals: Vec<Interval>) -> Self {
        let id = pipeline.state.lock().unpublished.begin_watch(WatchedKeys::Within(intervals));
        Self { pipeline, id }
    }
}

impl Drop for RuleWatch<'_> {
    fn drop(&mut self) {
        // The lock is given back at the end of the statement, and what was noted is dropped after that.
        let noted = self.pipeline.state.lock().unpublished.end_watch(self.id);
        drop(noted);
    }
}
