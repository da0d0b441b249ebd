//! What the background has still to do about a segment: rebuilds, graphs, tombstones to write down.
//!
//! Invariant: a part that takes the place of another one with the same rows takes over its tombstones, and what it is lost for.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::manifest::SegmentEntry;
use crate::segment::Segment;
use crate::segment::derived::graph_scope::Wanted;
use crate::shard::part::SegmentPart;
use crate::sync::Ordering;

impl SegmentPart {
    /// The same rows and tombstones beside other derived files.
    pub fn beside(&self, entry: SegmentEntry, segment: Segment) -> Self {
        let lacks = |wanted: &&Wanted| segment.graphs().iter().all(|graph| graph.rows() != wanted.rows);
        let put_off: Vec<Wanted> = self.put_off().iter().filter(lacks).cloned().collect();
        let mut next = Self::of(entry, Ok(segment), Arc::clone(&self.tombstones));
        next.put_off_graphs(put_off);
        next.lost = Arc::clone(&self.lost);
        next.missed = Arc::clone(&self.missed);
        next.unmergeable.store(self.unmergeable.load(Ordering::Relaxed), Ordering::Relaxed);
        next
    }

    /// Tombstones that `other`, which shares them, has to write are now this part's to write.
    pub fn take_dirty_from(&self, other: &Self) {
        if other.take_dirty() {
            self.set_dirty();
        }
    }

    /// Whether nobody has looked yet for graphs that the part lacks; asking counts as looking.
    pub fn take_look(&self) -> bool {
        self.segment().is_ok() && !self.looked.swap(true, Ordering::Relaxed)
    }

    /// The look came to nothing and must be taken again.
    pub fn look_again(&self) {
        self.looked.store(false, Ordering::Relaxed);
    }

    /// Whether a derived file is missing or damaged and nobody has tried to rebuild it yet; asking counts as trying.
    pub fn take_rebuild(&self) -> bool {
        let wanted = |segment: &Segment| segment.vectors() > 0 && segment.codes_problem().is_some();
        self.segment().is_ok_and(wanted) && !self.rebuilt.swap(true, Ordering::Relaxed)
    }

    /// What failed for want of anything but readable vectors is tried again.
    pub fn rebuild_again_unless_damaged(&self, error: &Error) {
        if error.kind() != ErrorKind::Damaged {
            self.rebuilt.store(false, Ordering::Relaxed);
        }
    }
}
