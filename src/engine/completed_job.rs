//! A finished flush or merge: the parts that its outputs replace, and the deletes and touches that it carries over.
//!
//! Invariants:
//! * The outputs hold the rows of the inputs that were alive at the base LSN. Deletes and touches since then are
//!   carried over by each swap.
//! * A job belongs to the shard that has its inputs. All of its outputs lie in that shard.
//! * Flushes of a shard install in LSN order.

use std::sync::Arc;

use crate::compact::row_map::RowMap;
use crate::engine::install::ViewChange;
use crate::ids::RowId;
use crate::memtable::Memtable;
use crate::record::{ALIVE, Lsn};
use crate::segment::tombstones::Touch;
use crate::shard::lost::give;
use crate::shard::part::SharedSegment;
use crate::shard::{ReadView, Shard};

/// A part that a finished job replaces.
pub(crate) enum Input {
    /// The oldest frozen memtable of the shard, and its last LSN. After the flush the shard's segments hold all
    /// operations up to that LSN.
    Memtable(Arc<Memtable>, Lsn),
    Segment(SharedSegment),
}

/// A finished job: `inputs` are replaced by `outputs`.
pub(crate) struct CompletedJob {
    /// The outputs hold the rows of the inputs that were alive at this LSN.
    pub base: Lsn,
    pub inputs: Vec<Input>,
    /// For each input, where its rows lie in the outputs.
    pub rows: Vec<RowMap>,
    pub outputs: JobOutputs,
}

/// The segments that a job has written, in the order of their rows; none if no row was alive.
#[derive(Default)]
pub(crate) struct JobOutputs {
    parts: Vec<SharedSegment>,
}

impl JobOutputs {
    pub fn push(&mut self, part: SharedSegment) {
        self.parts.push(part);
    }

    /// The rows of all outputs.
    pub fn rows(&self) -> u32 {
        self.parts.iter().fold(0, |rows: u32, part| rows.saturating_add(part.entry.rows))
    }

    /// The bytes of the files of all outputs, without blob files.
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.entry.bytes()).sum()
    }

    /// The same with the blob files that were written for them.
    pub fn written_bytes(&self) -> u64 {
        let own = |part: &SharedSegment| -> u64 {
            let own = part.entry.blobs.iter().filter(|blob| blob.file_id == part.entry.file_id);
            own.map(|blob| blob.length).sum()
        };
        self.bytes() + self.parts.iter().map(own).sum::<u64>()
    }

    /// The output that holds row `row` of all outputs, and the row's number in it.
    fn place(&self, row: RowId) -> Option<(&SharedSegment, RowId)> {
        let mut left = row.0;
        for part in &self.parts {
            if left < part.entry.rows {
                return Some((part, RowId(left)));
            }
            left -= part.entry.rows;
        }
        None
    }
}

impl ViewChange for CompletedJob {
    fn applies_to(&self, view: &ReadView) -> bool {
        self.shard_in(view).is_some()
    }

    fn carry_over(&self) {
        for (input, rows) in self.inputs.iter().zip(&self.rows) {
            input.carry_over(self.base, rows, &self.outputs);
        }
    }

    fn apply(&self, view: &ReadView) -> ReadView {
        let Some(index) = self.shard_in(view) else { return view.clone() };
        let mut shard = Shard::clone(&view.shards[index]);
        let is_input = |part: &SharedSegment| self.replaced().any(|input| Arc::ptr_eq(input, part));
        let position = shard.segments.iter().position(is_input).unwrap_or(shard.segments.len());
        shard.segments.retain(|part| !is_input(part));
        shard.frozen.retain(|frozen| {
            let is_input =
                |input: &Input| matches!(input, Input::Memtable(memtable, _) if Arc::ptr_eq(memtable, &frozen.memtable));
            !self.inputs.iter().any(is_input)
        });
        let position = position.min(shard.segments.len());
        shard.segments.splice(position..position, self.outputs.parts.iter().cloned());
        view.with_shard(index, shard)
    }

    fn retired(&self) -> Vec<SharedSegment> {
        self.replaced().cloned().collect()
    }

    fn flushed(&self, view: &ReadView) -> Option<(usize, Lsn)> {
        let through = |input: &Input| match input {
            Input::Memtable(_, through) => Some(*through),
            Input::Segment(_) => None,
        };
        self.inputs.iter().filter_map(through).max().and_then(|through| Some((self.shard_in(view)?, through)))
    }

    /// A flush or a merge frees space.
    fn may_use_reserve(&self) -> bool {
        true
    }
}

impl CompletedJob {
    /// The shard that has all inputs.
    fn shard_in(&self, view: &ReadView) -> Option<usize> {
        view.shards.iter().position(|shard| self.inputs.iter().all(|input| input.is_in(shard)))
    }

    /// The segments among the inputs.
    fn replaced(&self) -> impl Iterator<Item = &SharedSegment> {
        self.inputs.iter().filter_map(|input| match input {
            Input::Segment(part) => Some(part),
            Input::Memtable(..) => None,
        })
    }
}

impl Input {
    fn is_in(&self, shard: &Shard) -> bool {
        match self {
            Self::Memtable(memtable, _) => shard.frozen.iter().any(|frozen| Arc::ptr_eq(memtable, &frozen.memtable)),
            Self::Segment(part) => shard.segments.iter().any(|other| Arc::ptr_eq(other, part)),
        }
    }

    /// Gives the outputs the deletes and touches of this input's rows since the base.
    fn carry_over(&self, base: Lsn, rows: &RowMap, outputs: &JobOutputs) {
        let (tombstones, touches): (Vec<(RowId, Lsn)>, Vec<Touch>) = match self {
            Self::Memtable(memtable, _) => {
                let touches = memtable.touches_after(base).into_iter();
                let touches = touches.map(|(row, expires_at, lsn)| Touch { row, expires_at, lsn });
                (memtable.deletions_after(base), touches.collect())
            }
            Self::Segment(part) => {
                let touches = part.tombstones.touches().filter(|touch| touch.lsn > base);
                (part.tombstones.died_after(base).collect(), touches.collect())
            }
        };
        if let Self::Segment(part) = self {
            for (lsn, operation) in part.missed.operations().into_iter().filter(|(lsn, _)| *lsn > base) {
                // The outputs were just written and are whole, so these operations find all their rows in them.
                outputs.parts.iter().for_each(|output| drop(give(output, lsn, &operation)));
            }
        }
        for (row, lsn) in tombstones.into_iter().filter(|&(_, lsn)| lsn != ALIVE) {
            if let Some((output, row)) = rows.get(row).and_then(|row| outputs.place(row))
                && output.tombstones.delete(row, lsn)
            {
                output.set_dirty();
            }
        }
        for touch in touches {
            if let Some((output, row)) = rows.get(touch.row).and_then(|row| outputs.place(row))
                && output.tombstones.touch(Touch { row, ..touch })
            {
                output.set_dirty();
            }
        }
    }
}
