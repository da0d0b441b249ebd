//! Makes derived files current that were built for a segment which is there already: rebuilt codes, new graphs.
//!
//! Invariants:
//! * The truth file stays, and so do its tombstones: the part before and the part after share both, and what they are lost for,
//!   so nothing that happens meanwhile must be carried over.
//! * If a merge has taken the segment away meanwhile, or anything fails, nothing has changed; the caller owns the new files.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{FileKind, SegmentEntry, SideEntry};
use crate::segment::graph_scope::Wanted;
use crate::segment::sealed::Segment;
use crate::segment::writer::rebuild_codes;
use crate::shard::engine::Engine;
use crate::shard::install::{changed_parts, write_and_commit};
use crate::shard::output_files::OutputFiles;
use crate::shard::part::{SealedPart, SharedPart};
use crate::shard::space::{Purpose, written_bytes};
use crate::shard::{Shard, View};
use crate::sync::Ordering;

impl SealedPart {
    /// The same rows and deaths beside other derived files.
    pub fn beside(&self, entry: SegmentEntry, segment: Segment) -> Self {
        let lacks = |wanted: &&Wanted| segment.graphs().iter().all(|graph| graph.rows() != wanted.rows);
        let put_off: Vec<Wanted> = self.put_off().iter().filter(lacks).cloned().collect();
        let mut next = Self::of(entry, Ok(segment), Arc::clone(&self.deaths));
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

/// Builds the codes of a segment anew from its vectors, and makes them current. Whether the part was still there: a merge
/// may have replaced it.
pub(crate) fn replace_codes(engine: &Arc<Engine>, part: &SharedPart) -> Result<bool> {
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

/// Makes `segment`, which is that of `part` beside other derived files, current; the manifest names these by `entry`.
/// Whether the part was still there.
pub(crate) fn replace(
    engine: &Arc<Engine>,
    part: &SharedPart,
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

fn try_replace(engine: &Arc<Engine>, part: &SharedPart, entry: &SegmentEntry, segment: Segment) -> Result<bool> {
    engine.sync_dir()?;
    let mut installed = engine.installing.lock();
    if !engine.view.get().has_segment(part) {
        return Ok(false);
    }
    let next = Arc::new(part.beside(entry.clone(), segment));
    let applying = engine.applying.lock();
    if part.is_lost() {
        return Ok(false);
    }
    next.take_dirty_from(part);
    let after = swapped(&engine.view.get(), part, &next);
    let changed = changed_parts(&after);
    drop(applying);
    if let Err(error) = write_and_commit(engine, &mut installed, &after, &changed, None) {
        part.take_dirty_from(&next);
        return Err(error);
    }
    let applying = engine.applying.lock();
    next.take_dirty_from(part);
    let view = swapped(&engine.view.get(), part, &next);
    let crowded = engine.still_crowded(&view);
    engine.publish(view, crowded);
    drop(applying);
    engine.graveyard.lock().push(Arc::clone(part));
    Ok(true)
}

/// The view with `next` in the place of `part`.
fn swapped(view: &View, part: &SharedPart, next: &SharedPart) -> View {
    let mut after = View::clone(view);
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
