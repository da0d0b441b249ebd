//! Makes new derived files of an existing segment current: rebuilt codes, new graphs.
//!
//! Invariants:
//! * The old and the new part share the truth file, its tombstones and the mark that they are lost. So no delete that
//!   happens meanwhile has to be carried over.
//! * If a merge has taken the segment away meanwhile, or anything fails, nothing has changed; the caller owns the new
//!   files.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::install::{ViewChange, install_change};
use crate::engine::space::output_files::OutputFiles;
use crate::engine::space::{Purpose, written_bytes};
use crate::error::Result;
use crate::manifest::{FileKind, SegmentEntry, SideEntry};
use crate::segment::Segment;
use crate::segment::truth::writer::rebuild_codes;
use crate::shard::part::SharedSegment;
use crate::shard::{ReadView, Shard};

/// Rebuilds the codes of a segment from its vectors, and makes them current. Returns false if a merge took the part
/// away meanwhile.
pub(crate) fn replace_codes(engine: &Arc<Engine>, part: &SharedSegment) -> Result<bool> {
    let (storage, keys) = (&*engine.storage, &engine.identity.keys);
    let (segment, mut outputs) = (part.segment()?, OutputFiles::new(engine));
    let vectors = u64::from(segment.vectors());
    let needed = written_bytes(vectors * segment.dims() as u64, 1);
    outputs.ask_for_space(Purpose::Merge, needed, "the codes of a segment")?;
    let codes = rebuild_codes(storage, keys, segment, outputs.codes())?;
    let mut entry = part.entry.clone();
    entry.derived.retain(|derived| derived.kind != FileKind::CODES);
    entry.derived.insert(0, SideEntry::codes(codes));
    let segment = segment.with_codes(storage, keys, codes)?;
    replace(engine, part, entry, segment, outputs)
}

/// Makes `segment` current, which is the segment of `part` with other derived files; `entry` names them for the
/// manifest. Returns false if a merge took the part away meanwhile.
pub(crate) fn replace(
    engine: &Arc<Engine>,
    part: &SharedSegment,
    entry: SegmentEntry,
    segment: Segment,
    mut outputs: OutputFiles,
) -> Result<bool> {
    let replaced = install_change(engine, &Replacement { part, next: Arc::new(part.beside(entry, segment)) })?;
    if replaced {
        outputs.installed();
    }
    Ok(replaced)
}

/// A segment with other derived files.
struct Replacement<'a> {
    part: &'a SharedSegment,
    next: SharedSegment,
}

impl ViewChange for Replacement<'_> {
    fn applies_to(&self, view: &ReadView) -> bool {
        view.has_segment(self.part) && !self.part.is_lost()
    }

    /// The two parts share their tombstones; only whether these have to be written is each part's own.
    fn carry_over(&self) {
        self.next.take_dirty_from(self.part);
    }

    fn apply(&self, view: &ReadView) -> ReadView {
        let mut after = ReadView::clone(view);
        for index in 0..view.shards.len() {
            if view.shards[index].segments.iter().any(|there| Arc::ptr_eq(there, self.part)) {
                let mut shard = Shard::clone(&view.shards[index]);
                for there in shard.segments.iter_mut().filter(|there| Arc::ptr_eq(there, self.part)) {
                    *there = Arc::clone(&self.next);
                }
                after = after.with_shard(index, shard);
            }
        }
        after
    }

    fn undo(&self) {
        self.part.take_dirty_from(&self.next);
    }

    fn retired(&self) -> Vec<SharedSegment> {
        vec![Arc::clone(self.part)]
    }

    /// Reads do without derived files; deletes cannot do without the reserve.
    fn may_use_reserve(&self) -> bool {
        false
    }
}
