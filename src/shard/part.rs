//! One segment of a shard, with its tombstones and what it missed.
//!
//! Invariants:
//! * A segment whose file is damaged stays in its shard: what it held must fail as `Damaged`, never read as absent.
//! * A part that missed a death (its key table was damaged when the log was replayed) serves nothing any more.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::SegmentEntry;
use crate::record::Lsn;
use crate::search::part::SegmentView;
use crate::segment::Segment;
use crate::segment::derived::graph_scope::Wanted;
use crate::segment::tombstones::Tombstones;
use crate::shard::missed::Missed;
use crate::sync::{AtomicBool, Mutex, Ordering};
use crate::types::Interval;

/// The values in the blob files of a part, in bytes as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlobBytes {
    pub all: u64,
    pub dead: u64,
    /// Of these, beside a living value that cannot be read: no merge frees them.
    pub stuck: u64,
}

/// A segment with its tombstones, as long as any read view needs it.
pub(crate) struct SegmentPart {
    pub entry: SegmentEntry,
    /// Shared with the part that this one becomes when its derived files change.
    pub tombstones: Arc<Tombstones>,
    segment: Result<Segment>,
    /// Why the part serves nothing although its file opened; shared like the tombstones, whose lack it is.
    pub(super) lost: Arc<OnceLock<String>>,
    /// What it missed since it was lost; shared like that.
    pub missed: Arc<Missed>,
    /// Tombstones and touches since the tombstones were last written down.
    dirty: AtomicBool,
    /// A merge met damage in it.
    pub(super) unmergeable: AtomicBool,
    /// The background has tried to rebuild its derived files.
    pub(super) rebuilt: AtomicBool,
    /// The background has looked for graphs that it lacks.
    pub(super) looked: AtomicBool,
    /// Graphs that the merge which wrote it found no room for.
    put_off: OnceLock<Vec<Wanted>>,
    /// The last count of its blobs, and the number of dead rows that it was made with.
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

    /// The segment, or why it cannot be read.
    #[inline]
    pub fn segment(&self) -> Result<&Segment> {
        match (&self.segment, self.lost.get()) {
            (Ok(segment), None) => Ok(segment),
            (Err(error), _) => Err(error.duplicate().with_kind(ErrorKind::Damaged)),
            (_, Some(why)) => Err(Error::new(ErrorKind::Damaged, why.clone())),
        }
    }

    /// The segment if its file opened, even where the part serves nothing: for whoever saves what can be read.
    pub fn opened(&self) -> Option<&Segment> {
        self.segment.as_ref().ok()
    }

    /// Graphs that the merge which wrote the part found no room for, and that are built as soon as there is.
    pub fn put_off(&self) -> &[Wanted] {
        self.put_off.get().map_or(&[], Vec::as_slice)
    }

    /// Keeps them in mind.
    pub fn put_off_graphs(&self, wanted: Vec<Wanted>) {
        let _ = self.put_off.set(wanted);
    }

    /// The rows of the part in an interval, with what their LSNs are counted from and these.
    pub fn rows_in(&self, interval: &Interval) -> Result<(Range<u32>, Lsn, &[Lsn])> {
        if !self.covers(interval) {
            return Ok((0..0, 0, &[]));
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

    /// A merge that met damage does not try the damaged input again.
    pub fn refuse_merges_if_damaged(&self) {
        if self.segment().map_or(true, |segment| !segment.verify_truth().is_empty()) {
            self.unmergeable.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a merge met damage in it.
    pub fn is_unmergeable(&self) -> bool {
        self.unmergeable.load(Ordering::Relaxed)
    }

    /// Whether tombstones changed since this was last asked; asking forgets.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::Relaxed)
    }

    pub fn set_dirty(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }
}

impl SegmentPart {
    /// Whether the part serves nothing any more.
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
