//! A finished flush or merge: the parts that its output replaces, and the deletes and touches that it carries over.
//!
//! Invariants:
//! * The output holds the rows of the inputs that were alive at the base LSN. Deletes and touches since then are
//!   carried over by each swap.
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

/// A finished job: `inputs` are replaced by `output`.
pub(crate) struct CompletedJob {
    pub shard: usize,
    /// The output holds the rows of the inputs that were alive at this LSN.
    pub base: Lsn,
    pub inputs: Vec<Input>,
    /// For each input, where its rows lie in the output.
    pub rows: Vec<RowMap>,
    /// `None` if no row was alive.
    pub output: Option<SharedSegment>,
}

impl ViewChange for CompletedJob {
    fn applies_to(&self, view: &ReadView) -> bool {
        self.inputs.iter().all(|input| input.is_in(&view.shards[self.shard]))
    }

    fn carry_over(&self) {
        let Some(output) = &self.output else { return };
        for (input, rows) in self.inputs.iter().zip(&self.rows) {
            input.carry_over(self.base, rows, output);
        }
    }

    fn apply(&self, view: &ReadView) -> ReadView {
        let mut shard = Shard::clone(&view.shards[self.shard]);
        let is_input = |part: &SharedSegment| self.replaced().any(|input| Arc::ptr_eq(input, part));
        let position = shard.segments.iter().position(is_input).unwrap_or(shard.segments.len());
        shard.segments.retain(|part| !is_input(part));
        shard.frozen.retain(|frozen| {
            let is_input =
                |input: &Input| matches!(input, Input::Memtable(memtable, _) if Arc::ptr_eq(memtable, &frozen.memtable));
            !self.inputs.iter().any(is_input)
        });
        if let Some(output) = &self.output {
            shard.segments.insert(position.min(shard.segments.len()), Arc::clone(output));
        }
        view.with_shard(self.shard, shard)
    }

    fn retired(&self) -> Vec<SharedSegment> {
        self.replaced().cloned().collect()
    }

    fn flushed(&self) -> Option<(usize, Lsn)> {
        let through = |input: &Input| match input {
            Input::Memtable(_, through) => Some(*through),
            Input::Segment(_) => None,
        };
        self.inputs.iter().filter_map(through).max().map(|through| (self.shard, through))
    }

    /// A flush or a merge frees space.
    fn may_use_reserve(&self) -> bool {
        true
    }
}

impl CompletedJob {
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

    /// Gives the output the deletes and touches of this input's rows since the base.
    fn carry_over(&self, base: Lsn, rows: &RowMap, output: &SharedSegment) {
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
            let missed = part.missed.operations().into_iter().filter(|(lsn, _)| *lsn > base);
            // The output was just written and is whole, so these operations find all their rows in it.
            missed.for_each(|(lsn, operation)| drop(give(output, lsn, &operation)));
        }
        for (row, lsn) in tombstones.into_iter().filter(|&(_, lsn)| lsn != ALIVE) {
            if let Some(row) = rows.get(row)
                && output.tombstones.delete(row, lsn)
            {
                output.set_dirty();
            }
        }
        for touch in touches {
            if let Some(row) = rows.get(touch.row)
                && output.tombstones.touch(Touch { row, ..touch })
            {
                output.set_dirty();
            }
        }
    }
}
