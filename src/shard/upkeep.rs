//! The work that the background still has to do for a segment: rebuilds, graphs, tombstones to write.
//!
//! Invariant: a part that replaces another part with the same rows shares its tombstones, its missed operations and the
//! reason why it is lost.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};
use crate::manifest::SegmentEntry;
use crate::segment::Segment;
use crate::segment::derived::graph_scope::GraphRange;
use crate::shard::part::SegmentPart;
use crate::sync::Ordering;

/// The derived files of a segment that are to be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rebuild {
    pub codes: bool,
    pub fields: bool,
}

impl Rebuild {
    /// All derived files that `segment` can have, other than graphs.
    pub fn of(segment: &Segment) -> Self {
        Self { codes: segment.vectors() > 0, fields: true }
    }
}

impl SegmentPart {
    /// A part with the same rows and tombstones and with other derived files, to replace this one.
    pub fn beside(&self, entry: SegmentEntry, segment: Segment) -> Self {
        let lacks = |wanted: &&GraphRange| segment.graphs().iter().all(|graph| graph.rows() != wanted.rows);
        let put_off: Vec<GraphRange> = self.put_off().iter().filter(lacks).cloned().collect();
        let mut next = Self::of(entry, Ok(segment), Arc::clone(&self.tombstones));
        next.put_off_graphs(put_off);
        next.lost = Arc::clone(&self.lost);
        next.missed = Arc::clone(&self.missed);
        next.unmergeable.store(self.unmergeable.load(Ordering::Relaxed), Ordering::Relaxed);
        next
    }

    /// If `other`, which shares the tombstones, still had to write them, this part has to instead.
    pub fn take_dirty_from(&self, other: &Self) {
        if other.take_dirty() {
            self.set_dirty();
        }
    }

    /// Whether the part must still be checked for missing graphs. The call counts as the check.
    pub fn take_look(&self) -> bool {
        self.segment().is_ok() && !self.looked.swap(true, Ordering::Relaxed)
    }

    /// Repeats the check for missing graphs, after it has failed.
    pub fn look_again(&self) {
        self.looked.store(false, Ordering::Relaxed);
    }

    /// Which derived files are missing or damaged, if any and if no rebuild was tried yet. The call counts as the
    /// attempt.
    pub fn take_rebuild(&self) -> Option<Rebuild> {
        let segment = self.segment().ok()?;
        let codes = segment.vectors() > 0 && segment.codes_problem().is_some();
        let wanted = Rebuild { codes, fields: segment.fields().is_none() };
        let is_wanted = (wanted.codes || wanted.fields) && !self.rebuilt.swap(true, Ordering::Relaxed);
        is_wanted.then_some(wanted)
    }

    /// Allows another attempt, unless the last one failed because vectors or values cannot be read.
    pub fn rebuild_again_unless_damaged(&self, error: &Error) {
        if error.kind() != ErrorKind::Damaged {
            self.rebuilt.store(false, Ordering::Relaxed);
        }
    }
}
