//! Shards, and the read views that readers use.
//!
//! Invariants:
//! * A read view is never changed. It shares its parts with newer read views, and the parts only grow: rows are
//!   appended with higher LSNs, and a tombstone has the LSN of its delete. So a reader of a read view sees exactly the
//!   versions with `lsn <= read_lsn < deleted_lsn`, despite later writes.
//! * At most one version of a key is alive. It may be in any part, since merges can reorder the versions of a key.
//! * `apply` compares LSNs: it never deletes a version that is newer than its operation, and applying twice changes
//!   nothing.
//! * Segments and memtables never belong to two shards; shards partition the order of namespaces.
//! * A shard keeps its checkpoint, which is that of the newest manifest. So a read view may have more shards than the
//!   newest manifest: nothing counts the shards of both.

use std::sync::Arc;

use crate::error::Result;
use crate::ids::RowId;
use crate::memtable::Memtable;
use crate::record::{ALIVE, AtomicLsn, Lsn, VersionTimes};
use crate::segment::Segment;
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::shard::part_ref::PartRef;
use crate::sync::{AtomicU64, Ordering};
use crate::types::{Interval, Namespace};

/// Everything a reader needs: the last LSN that it sees, and all parts.
#[derive(Clone)]
pub(crate) struct ReadView {
    /// Counts the read views that were published since the open: the higher, the newer.
    pub number: u64,
    /// The last LSN of the newest frame that was applied completely.
    pub read_lsn: Lsn,
    /// In namespace order.
    pub shards: Arc<[Arc<Shard>]>,
}

/// The parts of one contiguous range of namespaces.
#[derive(Clone)]
pub(crate) struct Shard {
    pub interval: Interval,
    /// The checkpoint in the newest manifest. Only a commit changes it, under the lock of the manifest's state.
    pub committed: Arc<AtomicLsn>,
    /// The namespaces, encoded and in order, at which the shard is about to be split. New segments are cut there.
    pub cuts: Arc<[Vec<u8>]>,
    /// The fingerprint of the segments for which no cut was found; 0 if there are none.
    pub uncut: Arc<AtomicU64>,
    /// Takes the writes.
    pub memtable: Arc<Memtable>,
    /// Memtables that wait for their flush, oldest first.
    pub frozen: Vec<FrozenMemtable>,
    /// Oldest first.
    pub segments: Vec<Arc<SegmentPart>>,
}

/// A memtable that takes no more rows and waits for its flush.
#[derive(Clone)]
pub(crate) struct FrozenMemtable {
    pub memtable: Arc<Memtable>,
    /// Every operation of the shard at or below this LSN is in this part or an older one.
    pub through: Lsn,
}

/// How a lookup treats a lost part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    Fails,
    /// The lookup skips the part. For `apply`, which keeps the operation for the part as missed.
    Skipped,
}

impl ReadView {
    /// The shards that an interval of namespaces touches.
    pub fn shards_in<'a>(&'a self, interval: &'a Interval) -> impl Iterator<Item = &'a Arc<Shard>> + 'a {
        self.shards.iter().filter(move |shard| shard.interval.overlaps(interval))
    }

    /// The index of the shard that holds a namespace.
    pub fn shard_of(&self, namespace: &[u8]) -> usize {
        self.shards.partition_point(|shard| shard.interval.low.as_slice() <= namespace).saturating_sub(1)
    }

    /// The segments of the shard that holds a namespace, without those that cannot be read.
    pub fn segments_of(&self, namespace: &[u8]) -> impl Iterator<Item = &Segment> + Clone {
        self.shards[self.shard_of(namespace)].segments.iter().filter_map(|part| part.segment().ok())
    }

    /// The living version of a key.
    pub fn living(&self, namespace: &Namespace, key: &str) -> Result<Option<(PartRef<'_>, RowId)>> {
        let shard = &self.shards[self.shard_of(namespace.encoded())];
        let Some((part, row)) = shard.newest(namespace.encoded(), key, Lost::Fails)? else { return Ok(None) };
        Ok((part.deleted_lsn(row)? == ALIVE).then_some((part, row)))
    }

    /// The LSN and the times of the living version of a key.
    pub fn current(&self, namespace: &Namespace, key: &str) -> Result<Option<VersionTimes>> {
        self.living(namespace, key)?.map(|(part, row)| part.current(row)).transpose()
    }

    /// Fails unless every part can find its rows of the interval, so that a range delete of the interval will succeed.
    pub fn check_range(&self, interval: &Interval) -> Result<()> {
        for part in self.shards_in(interval).flat_map(|shard| shard.segments.iter()) {
            part.rows_in(interval)?;
        }
        Ok(())
    }

    /// Whether the read view holds this very part.
    pub fn has_segment(&self, part: &SharedSegment) -> bool {
        self.shards.iter().flat_map(|shard| &shard.segments).any(|there| Arc::ptr_eq(there, part))
    }

    /// The same read view with one shard replaced.
    pub fn with_shard(&self, index: usize, shard: Shard) -> Self {
        let mut shards: Vec<_> = self.shards.to_vec();
        shards[index] = Arc::new(shard);
        Self { shards: shards.into(), ..*self }
    }
}

impl Shard {
    /// A shard without frozen memtables.
    pub fn new(interval: Interval, checkpoint: Lsn, memtable: Memtable, segments: Vec<Arc<SegmentPart>>) -> Self {
        let (committed, memtable) = (Arc::new(AtomicLsn::new(checkpoint)), Arc::new(memtable));
        let (cuts, uncut) = (Arc::default(), Arc::default());
        Self { interval, committed, cuts, uncut, memtable, frozen: Vec::new(), segments }
    }

    /// The LSN up to which the newest manifest has all operations of the shard in files.
    pub fn checkpoint(&self) -> Lsn {
        self.committed.load(Ordering::Acquire)
    }

    /// The intervals between the cuts; the whole shard if there are none.
    pub fn pieces(&self) -> Vec<Interval> {
        let Interval { low, high } = &self.interval;
        let lows = std::iter::once(low).chain(self.cuts.iter());
        let highs = self.cuts.iter().chain([high]);
        lows.zip(highs).map(|(low, high)| Interval { low: low.clone(), high: high.clone() }).collect()
    }

    /// The parts, newest first.
    pub fn parts(&self) -> impl Iterator<Item = PartRef<'_>> {
        let frozen = self.frozen.iter().rev().map(|frozen| PartRef::Memtable(&frozen.memtable));
        let segments = self.segments.iter().rev().map(PartRef::Segment);
        std::iter::once(PartRef::Memtable(&self.memtable)).chain(frozen).chain(segments)
    }

    /// The living version of a key; without one, the newest deleted one.
    pub fn newest(&self, namespace: &[u8], key: &str, lost: Lost) -> Result<Option<(PartRef<'_>, RowId)>> {
        let mut newest_dead = None;
        for part in self.parts() {
            if lost == Lost::Skipped && part.is_lost() {
                continue;
            }
            let Some(row) = part.find(namespace, key)? else { continue };
            if part.deleted_lsn(row)? == ALIVE {
                return Ok(Some((part, row)));
            }
            let lsn = part.lsn(row)?;
            if newest_dead.is_none_or(|(_, _, newest)| newest < lsn) {
                newest_dead = Some((part, row, lsn));
            }
        }
        Ok(newest_dead.map(|(part, row, _)| (part, row)))
    }

    /// The version of a key that a reader at `read_lsn` sees.
    pub fn find_visible(&self, namespace: &[u8], key: &str, read_lsn: Lsn) -> Result<Option<(PartRef<'_>, RowId)>> {
        for part in self.parts() {
            if let Some(row) = part.find_visible(namespace, key, read_lsn)? {
                return Ok(Some((part, row)));
            }
        }
        Ok(None)
    }

    /// The same shard with the empty memtable `fresh`; the present memtable becomes a frozen one.
    pub fn with_memtable_frozen(&self, fresh: Arc<Memtable>, through: Lsn) -> Self {
        let mut next = self.clone();
        next.frozen.push(FrozenMemtable { memtable: std::mem::replace(&mut next.memtable, fresh), through });
        next
    }
}
