//! Shards and read views: what a reader sees.
//!
//! Invariants:
//! * A read view is never changed. Its parts are shared with newer ones and only grow: rows are appended with higher
//!   LSNs and tombstones carry the LSN of their cause, so a reader of a read view sees exactly the versions with `lsn
//!   <= read_lsn < deleted_lsn`, whatever is written meanwhile.
//! * At most one version of a key is alive, in any part: merges may move a version behind parts with older ones.
//! * `apply` compares LSNs: it never deletes a version that is newer than its operation, and applying twice changes
//!   nothing.
//! * Segments and memtables never belong to two shards; shards partition the order of namespaces.

use std::sync::Arc;

use crate::error::Result;
use crate::ids::RowId;
use crate::memtable::Memtable;
use crate::record::{ALIVE, Lsn, VersionTimes};
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::shard::part_ref::PartRef;
use crate::types::{Interval, Namespace};

/// Everything a reader needs: which LSNs it sees, and the parts that hold them.
#[derive(Clone)]
pub(crate) struct ReadView {
    /// Counts the read views that were published since the open: the higher, the newer.
    pub number: u64,
    /// The last LSN of a whole frame that is applied.
    pub read_lsn: Lsn,
    /// In namespace order.
    pub shards: Arc<[Arc<Shard>]>,
}

/// The parts of one contiguous range of namespaces.
#[derive(Clone)]
pub(crate) struct Shard {
    pub interval: Interval,
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

/// What a lookup does with a lost part.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lost {
    Fails,
    /// Skip it: for `apply`, since the commit or the replay has handled it.
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

    /// The living version of a key in the newest state.
    pub fn current(&self, namespace: &Namespace, key: &str) -> Result<Option<VersionTimes>> {
        let shard = &self.shards[self.shard_of(namespace.encoded())];
        let Some((part, row)) = shard.newest(namespace.encoded(), key, Lost::Fails)? else { return Ok(None) };
        (part.deleted_lsn(row)? == ALIVE).then(|| part.current(row)).transpose()
    }

    /// Fails unless every part can tell its rows in an interval, so that a range delete of it will succeed.
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

    /// The same shard with an empty memtable; the one before is frozen.
    pub fn with_memtable_frozen(&self, fresh: Arc<Memtable>, through: Lsn) -> Self {
        let mut next = self.clone();
        next.frozen.push(FrozenMemtable { memtable: std::mem::replace(&mut next.memtable, fresh), through });
        next
    }
}
