//! Shards and Views: what a reader sees, and `apply`, the one function that live writes and replay share.
//!
//! Invariants:
//! * A View is never changed. Its parts are shared with newer ones and only grow: rows are appended with higher LSNs and
//!   deaths carry the LSN of their cause, so a reader of a View sees exactly the versions with
//!   `lsn <= visible < dead_lsn`, whatever is written meanwhile.
//! * Of one key, at most one version lives, in whichever part: merges may move a version behind parts with older ones.
//! * `apply` compares LSNs: it never kills a version that is newer than its operation, and applying twice changes nothing.
//! * Segments and actives never belong to two shards; shards partition the order of namespaces.

pub(crate) mod accounts;
pub(crate) mod bounds;
pub(crate) mod clock;
pub(crate) mod decide;
pub(crate) mod derived;
pub(crate) mod embeddings;
pub(crate) mod engine;
pub(crate) mod facts;
pub(crate) mod grants;
pub(crate) mod graphs;
pub(crate) mod ingest;
pub(crate) mod install;
pub(crate) mod log;
pub(crate) mod log_files;
pub(crate) mod lost;
pub(crate) mod missed;
pub(crate) mod older_views;
pub(crate) mod operation_ids;
pub(crate) mod output_files;
pub(crate) mod part;
pub(crate) mod recover;
pub(crate) mod reserve;
pub(crate) mod space;
pub(crate) mod unpublished;
pub(crate) mod weight;

use std::sync::Arc;

use crate::error::Result;
use crate::record::{ALIVE, Lsn, Operation};
use crate::segment::active::Active;
use crate::segment::dead::Touch;
use crate::shard::decide::Current;
use crate::shard::ingest::Logged;
use crate::shard::part::{SealedPart, SharedPart};
use crate::types::{Interval, Namespace};

/// Everything a reader needs: which LSNs it sees, and the parts that hold them.
#[derive(Clone)]
pub(crate) struct View {
    /// Counts the Views that were published since the open: the higher, the newer.
    pub number: u64,
    /// The last LSN of a whole frame that is applied.
    pub visible: Lsn,
    /// In namespace order.
    pub shards: Arc<[Arc<Shard>]>,
}

/// The parts of one contiguous range of namespaces.
#[derive(Clone)]
pub(crate) struct Shard {
    pub interval: Interval,
    /// Takes the writes.
    pub active: Arc<Active>,
    /// Being written to segments, oldest first.
    pub sealing: Vec<Sealing>,
    /// Oldest first.
    pub segments: Vec<Arc<SealedPart>>,
}

/// A former active part on its way to the disk.
#[derive(Clone)]
pub(crate) struct Sealing {
    pub active: Arc<Active>,
    /// Every operation of the shard at or below is in this part, or in an older one.
    pub through: Lsn,
}

/// One part of a shard.
#[derive(Clone, Copy)]
pub(crate) enum AnyPart<'a> {
    Active(&'a Arc<Active>),
    Sealing(&'a Arc<Active>),
    Sealed(&'a Arc<SealedPart>),
}

/// What a lookup does about a part that serves nothing any more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    Fails,
    /// For `apply`: the door, or the replay, has dealt with it.
    Skipped,
}

impl View {
    /// The shards that an interval of namespaces touches.
    pub fn shards_in<'a>(&'a self, interval: &'a Interval) -> impl Iterator<Item = &'a Arc<Shard>> + 'a {
        self.shards.iter().filter(move |shard| shard.interval.overlaps(interval))
    }

    /// The index of the shard that holds a namespace.
    pub fn shard_of(&self, namespace: &[u8]) -> usize {
        self.shards.partition_point(|shard| shard.interval.low.as_slice() <= namespace).saturating_sub(1)
    }

    /// The newest version of a key that lives in the newest state.
    pub fn current(&self, namespace: &Namespace, key: &str) -> Result<Option<Current>> {
        let shard = &self.shards[self.shard_of(namespace.encoded())];
        let Some((part, row)) = shard.newest(namespace.encoded(), key, Lost::Fails)? else { return Ok(None) };
        (part.dead_lsn(row)? == ALIVE).then(|| part.current(row)).transpose()
    }

    /// That every part can say which of its rows lie in an interval, so that a range delete of it will succeed.
    pub fn check_range(&self, interval: &Interval) -> Result<()> {
        for part in self.shards_in(interval).flat_map(|shard| shard.segments.iter()) {
            part.rows_in(interval)?;
        }
        Ok(())
    }

    /// Whether this very part is in it.
    pub fn has_segment(&self, part: &SharedPart) -> bool {
        self.shards.iter().flat_map(|shard| &shard.segments).any(|there| Arc::ptr_eq(there, part))
    }

    /// The same view with one shard replaced.
    pub fn with_shard(&self, index: usize, shard: Shard) -> Self {
        let mut shards: Vec<_> = self.shards.to_vec();
        shards[index] = Arc::new(shard);
        Self { shards: shards.into(), ..*self }
    }
}

impl Shard {
    /// The parts, newest first.
    pub fn parts(&self) -> impl Iterator<Item = AnyPart<'_>> {
        let sealing = self.sealing.iter().rev().map(|sealing| AnyPart::Sealing(&sealing.active));
        let segments = self.segments.iter().rev().map(AnyPart::Sealed);
        std::iter::once(AnyPart::Active(&self.active)).chain(sealing).chain(segments)
    }

    /// The version of a key that lives; if none does, the newest dead one.
    pub fn newest(&self, namespace: &[u8], key: &str, lost: Lost) -> Result<Option<(AnyPart<'_>, u32)>> {
        let mut newest_dead = None;
        for part in self.parts() {
            if lost == Lost::Skipped && part.is_lost() {
                continue;
            }
            let Some(row) = part.find(namespace, key)? else { continue };
            if part.dead_lsn(row)? == ALIVE {
                return Ok(Some((part, row)));
            }
            let lsn = part.lsn(row)?;
            if newest_dead.is_none_or(|(_, _, newest)| newest < lsn) {
                newest_dead = Some((part, row, lsn));
            }
        }
        Ok(newest_dead.map(|(part, row, _)| (part, row)))
    }

    /// The version of a key that a reader at `visible` sees.
    pub fn find_visible(&self, namespace: &[u8], key: &str, visible: Lsn) -> Result<Option<(AnyPart<'_>, u32)>> {
        for part in self.parts() {
            if let Some(row) = part.find_visible(namespace, key, visible)? {
                return Ok(Some((part, row)));
            }
        }
        Ok(None)
    }

    /// The same shard with an empty active part; the full one is on its way to the disk.
    pub fn with_active_sealed(&self, fresh: Arc<Active>, through: Lsn) -> Self {
        let mut next = self.clone();
        next.sealing.push(Sealing { active: std::mem::replace(&mut next.active, fresh), through });
        next
    }

    /// Applies one operation that concerns this shard. The caller holds the apply lock, or is the only one there is.
    fn apply(&self, lsn: Lsn, operation: &Operation) -> Result<()> {
        self.keep_for_lost(lsn, operation);
        match operation {
            Operation::Put(record) => {
                if let Some((part, row)) = self.newest(record.namespace.encoded(), &record.key, Lost::Skipped)? {
                    if part.lsn(row)? >= lsn {
                        return Ok(());
                    }
                    part.kill(row, lsn);
                }
                self.active.append(Arc::clone(record), lsn)?;
            }
            Operation::Delete { namespace, key } => {
                if let Some((part, row)) = self.newest(namespace.encoded(), key, Lost::Skipped)?
                    && part.lsn(row)? < lsn
                {
                    part.kill(row, lsn);
                }
            }
            Operation::DeleteRange { interval } => {
                for part in self.parts().filter(|part| !part.is_lost()) {
                    part.kill_range(interval, lsn)?;
                }
            }
            Operation::Touch { namespace, key, version, expires_at } => {
                if let Some((part, row)) = self.newest(namespace.encoded(), key, Lost::Skipped)?
                    && part.lsn(row)? == *version
                {
                    part.touch(Touch { row, expires_at: *expires_at, lsn });
                }
            }
        }
        Ok(())
    }
}

/// Applies a frame to every shard that has not got it yet.
///
/// `covered` tells the LSN through which a shard holds everything already (its checkpoint, during a replay).
pub(crate) fn apply(view: &mut View, logged: &Logged, covered: impl Fn(usize) -> Lsn) -> Result<()> {
    if let Some(ingested) = &logged.ingested {
        ingested.apply(view, &covered)?;
    }
    let mut operations = (logged.first_operation()..).zip(&logged.operations);
    operations.try_for_each(|(lsn, operation)| apply_operation(view, lsn, operation, &covered))
}

/// [`apply`] of one operation.
fn apply_operation(view: &View, lsn: Lsn, operation: &Operation, covered: impl Fn(usize) -> Lsn) -> Result<()> {
    let namespace = match operation {
        Operation::Put(record) => &record.namespace,
        Operation::Delete { namespace, .. } | Operation::Touch { namespace, .. } => namespace,
        Operation::DeleteRange { interval } => {
            let touched = view.shards.iter().enumerate().filter(|(_, shard)| shard.interval.overlaps(interval));
            for (_, shard) in touched.filter(|&(index, _)| covered(index) < lsn) {
                shard.apply(lsn, operation)?;
            }
            return Ok(());
        }
    };
    let index = view.shard_of(namespace.encoded());
    if covered(index) < lsn { view.shards[index].apply(lsn, operation) } else { Ok(()) }
}
