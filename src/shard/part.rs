//! One segment of a shard, with its tombstones and its missed operations.
//!
//! Invariants:
//! * A segment whose file is damaged stays in its shard. A read that needs its rows fails as `Damaged`, and never
//!   reports them as absent.
//! * If damage hides the row of an operation from a replay or an import, the part is lost: every read of it fails.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{Id, RowId};
use crate::manifest::SegmentEntry;
use crate::record::Lsn;
use crate::search::part::SegmentView;
use crate::segment::Segment;
use crate::segment::derived::graph_scope::GraphRange;
use crate::segment::tombstones::Tombstones;
use crate::shard::missed::MissedOperations;
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::types::Interval;

/// The values in the blob files of a part, in bytes as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobBytes {
    pub all: u64,
    pub dead: u64,
    /// Dead bytes beside a living value that cannot be read: no merge frees them.
    pub stuck: u64,
}

/// A segment with its tombstones, as long as any read view needs it.
pub(crate) struct SegmentPart {
    pub entry: SegmentEntry,
    /// Shared with the part that replaces this one when its derived files change.
    pub tombstones: Arc<Tombstones>,
    segment: Result<Segment>,
    /// Why the part is lost although its file opened; shared like the tombstones.
    pub(super) lost: Arc<OnceLock<Error>>,
    /// The operations that the part missed since it was lost; shared like the tombstones.
    pub missed: Arc<MissedOperations>,
    /// Whether there are deletes or touches since the tombstones were last written.
    dirty: AtomicBool,
    /// A merge has met damage in the part.
    pub(super) unmergeable: AtomicBool,
    /// The background has tried to rebuild the part's codes.
    pub(super) rebuilt: AtomicBool,
    /// The background has checked which graphs the part lacks.
    pub(super) looked: AtomicBool,
    /// Graphs for which the merge that wrote the part found no room.
    put_off: OnceLock<Vec<GraphRange>>,
    /// The last count of its blob bytes, and the number of deleted rows at that time.
    pub(super) blob_count: Mutex<Option<(u64, BlobBytes)>>,
}

impl SegmentPart {
    pub fn new(entry: SegmentEntry, segment: Result<Segment>, tombstones: Tombstones) -> Self {
        Self::of(entry, segment, Arc::new(tombstones))
    }

    pub(super) fn of(entry: SegmentEntry, segment: Result<Segment>, tombstones: Arc<Tombstones>) -> Self {
        Self {
            entry,
            tombstones,
            segment,
            lost: Arc::new(OnceLock::new()),
            missed: Arc::default(),
            dirty: AtomicBool::new(false),
            unmergeable: AtomicBool::new(false),
            rebuilt: AtomicBool::new(false),
            looked: AtomicBool::new(false),
            put_off: OnceLock::new(),
            blob_count: Mutex::default(),
        }
    }

    /// The segment, or the reason why it cannot be read.
    #[inline]
    pub fn segment(&self) -> Result<&Segment> {
        match (&self.segment, self.lost.get()) {
            (Ok(segment), None) => Ok(segment),
            (Err(error), _) => Err(error.duplicate().with_kind(ErrorKind::Damaged)),
            (_, Some(why)) => Err(why.duplicate()),
        }
    }

    /// The segment if its file opened, even if the part is lost: for `accept_loss` and salvage.
    pub fn opened(&self) -> Option<&Segment> {
        self.segment.as_ref().ok()
    }

    /// Graphs for which the merge that wrote the part found no room. They are built once there is room.
    pub fn put_off(&self) -> &[GraphRange] {
        self.put_off.get().map_or(&[], Vec::as_slice)
    }

    /// Sets the graphs that [`put_off`](Self::put_off) returns.
    pub fn put_off_graphs(&self, wanted: Vec<GraphRange>) {
        let _ = self.put_off.set(wanted);
    }

    /// The rows inside `interval`, the base of their LSNs, and their LSNs relative to that base.
    pub fn rows_in(&self, interval: &Interval) -> Result<(Range<RowId>, Lsn, &[u64])> {
        if !self.covers(interval) {
            return Ok((RowId::range(0..0), Lsn::ZERO, &[]));
        }
        let segment = self.segment()?;
        let rows = segment.interval(interval)?;
        Ok((rows.clone(), segment.lsn_base(), segment.lsns(rows)?))
    }

    /// Whether a namespace of the interval may lie in the part.
    pub fn covers(&self, interval: &Interval) -> bool {
        self.entry.extent.overlaps(interval)
    }

    pub(super) fn may_hold(&self, namespace: &[u8]) -> bool {
        self.entry.extent.contains(namespace)
    }

    /// Excludes the part from merges if its truth file is damaged. Called after a merge has met damage.
    pub fn refuse_merges_if_damaged(&self) {
        if self.segment().map_or(true, |segment| !segment.verify_truth(&|| Ok(())).is_empty()) {
            self.refuse_merges();
        }
    }

    /// Excludes the part from merges, since damage was met in it.
    pub fn refuse_merges(&self) {
        self.unmergeable.store(true, Ordering::Relaxed);
    }

    /// Whether a merge has met damage in the part.
    pub fn is_unmergeable(&self) -> bool {
        self.unmergeable.load(Ordering::Relaxed)
    }

    /// Whether tombstones changed since the last call; the call resets that.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::Relaxed)
    }

    pub fn set_dirty(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }
}

impl SegmentPart {
    /// Whether the part is lost, so that every read of it fails.
    pub fn is_lost(&self) -> bool {
        self.lost.get().is_some()
    }

    /// The part as a read sees it.
    pub fn readable(&self) -> Result<SegmentView<'_>> {
        Ok(SegmentView::new(self.segment()?, &self.tombstones))
    }
}

/// A shared segment.
pub(crate) type SharedSegment = Arc<SegmentPart>;
