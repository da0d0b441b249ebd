//! Makes new derived files of an existing segment current: rebuilt codes, new graphs.
//!
//! Invariants:
//! * The old and the new part share the truth file, its tombstones and the mark that they are lost. So no delete that
//!   happens meanwhile has to be carried over.
//! * If a merge has taken the segment away meanwhile, or anything fails, nothing has changed; the caller owns the new
//!   files.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::install::{changed_parts, write_and_commit};
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
    let replaced = try_replace(engine, part, &entry, segment)?;
    if replaced {
        outputs.installed();
    }
    Ok(replaced)
}

fn try_replace(engine: &Arc<Engine>, part: &SharedSegment, entry: &SegmentEntry, segment: Segment) -> Result<bool> {
    engine.sync_dir()?;
    let mut installed = engine.manifest_state.lock();
    if !engine.view.get().has_segment(part) {
        return Ok(false);
    }
    let next = Arc::new(part.beside(entry.clone(), segment));
    let apply_lock = engine.apply_lock.lock();
    if part.is_lost() {
        return Ok(false);
    }
    next.take_dirty_from(part);
    let after = swapped(&engine.view.get(), part, &next);
    let changed = changed_parts(&after);
    drop(apply_lock);
    if let Err(error) = write_and_commit(engine, &mut installed, &after, &changed, None) {
        part.take_dirty_from(&next);
        return Err(error);
    }
    let apply_lock = engine.apply_lock.lock();
    next.take_dirty_from(part);
    let view = swapped(&engine.view.get(), part, &next);
    let stalled = engine.is_still_stalled(&view);
    engine.publish(view, stalled);
    drop(apply_lock);
    engine.retired.lock().push(Arc::clone(part));
    Ok(true)
}

/// The read view with `next` in the place of `part`.
fn swapped(view: &ReadView, part: &SharedSegment, next: &SharedSegment) -> ReadView {
    let mut after = ReadView::clone(view);
    for index in 0..view.shards.len() {
        if view.shards[index].segments.iter().any(|there| Arc::ptr_eq(there, part)) {
            let mut shard = Shard::clone(&view.shards[index]);
            for there in shard.segments.iter_mut().filter(|there| Arc::ptr_eq(there, part)) {
                *there = Arc::clone(next);
            }
            after = after.with_shard(index, shard);
        }
    }
    after
}
