//! The cuts of a shard above its cap, and its split into several shards.
//!
//! 1. The cuts are planned. From then on, new segments of the shard are cut there.
//! 2. Merges rewrite the segments that lie on both sides of a cut.
//! 3. The shard is split: each new shard takes its segments as they are, and a copy of its rows in memory
//!    (`memtable/copy.rs`).
//!
//! Invariants:
//! * The plan is in memory only. After a crash or a close the shard is as it was before, and is planned anew. A purge
//!   drops all plans: bounds move, and a cut may name what was deleted.
//! * A cut lies between two namespaces. No segment, and no file that an import is about to commit, lies on both sides
//!   of a cut when the shard is split.
//! * Rows in memory that are deleted are not copied: the read views that show them keep the old memtable.
//! * A shard with a segment that cannot be read is not split, since it is unknown which rows the segment has.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crate::compact::split::{FULL, cuts};
use crate::error::Result;
use crate::ids::IdRange;
use crate::memtable::{Memtable, MemtableCopies};
use crate::record::{AtomicLsn, Lsn};
use crate::shard::bounds::{ImportFiles, bounds_of_pieces};
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::shard::view::{FrozenMemtable, ReadView, Shard};
use crate::sync::Ordering;
use crate::tuning::Tuning;
use crate::types::{Extent, Interval};

impl Shard {
    /// Whether the living rows of the segments are above the cap of a shard, and all segments can be read.
    pub fn is_splittable(&self, tuning: &Tuning) -> bool {
        let stats: Vec<_> = self.segments.iter().map(|part| part.stats()).collect();
        let weight = stats.iter().fold(0, |sum: u64, segment| sum.saturating_add(segment.weight(tuning)));
        weight > FULL && !stats.iter().any(|segment| segment.excluded)
    }

    /// Whether [`cuts_for`](Self::cuts_for) has found no cut for these very segments.
    pub fn is_known_uncut(&self) -> bool {
        self.uncut.load(Ordering::Relaxed) == self.fingerprint()
    }

    /// A number that stands for the segments and how many of their rows are alive; never 0.
    fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.segments.iter().for_each(|part| (part.entry.file_id, part.tombstones.dead_rows()).hash(&mut hasher));
        hasher.finish().max(1)
    }

    /// The namespaces, encoded, at which the shard is to be cut; none if it is not to be cut, which is remembered. A
    /// segment whose namespaces cannot be read is excluded from merges.
    pub fn cuts_for(&self, tuning: &Tuning) -> Result<Vec<Vec<u8>>> {
        let mut weights: Vec<(&[u8], u64)> = Vec::new();
        for part in &self.segments {
            let read = add_weights(part, tuning, &mut weights);
            read.inspect_err(|_| part.refuse_merges())?;
        }
        weights.sort_unstable_by_key(|&(namespace, _)| namespace);
        weights.dedup_by(|later, first| {
            let is_same = later.0 == first.0;
            first.1 += if is_same { later.1 } else { 0 };
            is_same
        });
        let numbers: Vec<u64> = weights.iter().map(|&(_, weight)| weight).collect();
        let cuts: Vec<Vec<u8>> = cuts(&numbers).into_iter().map(|cut| weights[cut].0.to_vec()).collect();
        if cuts.is_empty() {
            self.uncut.store(self.fingerprint(), Ordering::Relaxed);
        }
        Ok(cuts)
    }

    /// Whether something with this extent may lie on both sides of a cut.
    fn is_cut(&self, extent: &Extent) -> bool {
        self.cuts.iter().any(|cut| extent.lower < *cut && extent.upper >= *cut)
    }

    /// The segments that may lie on both sides of a cut.
    pub fn segments_to_cut(&self) -> Vec<SharedSegment> {
        self.segments.iter().filter(|part| self.is_cut(&part.entry.extent)).cloned().collect()
    }

    /// Whether the cuts are in order and lie inside of the shard, so that each piece is an interval.
    fn has_ordered_cuts(&self) -> bool {
        let bounds = std::iter::once(&self.interval.low).chain(self.cuts.iter()).chain([&self.interval.high]);
        bounds.is_sorted_by(|low, high| low < high)
    }
}

/// Adds the weight of the living rows of each namespace of a segment.
fn add_weights<'a>(part: &'a SegmentPart, tuning: &Tuning, weights: &mut Vec<(&'a [u8], u64)>) -> Result<()> {
    let (segment, stats) = (part.segment()?, part.stats());
    let (weight, living) = (u128::from(stats.weight(tuning)), u128::from(stats.living_rows().max(1)));
    for number in 0..segment.namespaces() {
        let rows = segment.namespace_rows(number)?;
        let alive = match part.tombstones.none_dead_in(rows.clone()) {
            true => u64::from(rows.end - rows.start),
            false => rows.ids().filter(|&row| !part.tombstones.is_deleted_at(row, Lsn::LAST)).count() as u64,
        };
        weights.push((segment.namespace(number)?, (weight * u128::from(alive) / living) as u64));
    }
    Ok(())
}

impl ReadView {
    /// The same read view with other planned cuts of a shard; with none if they do not lie in the shard in order.
    pub fn with_cuts(&self, index: usize, cuts: Vec<Vec<u8>>) -> Self {
        let planned = Shard { cuts: cuts.into(), ..Shard::clone(&self.shards[index]) };
        let cuts = if planned.has_ordered_cuts() { planned.cuts.clone() } else { Arc::default() };
        self.with_shard(index, Shard { cuts, ..planned })
    }

    /// Whether the shard has cuts, and no segment and no file of an import lies on both sides of one.
    pub fn can_split(&self, index: usize, imports: &ImportFiles) -> bool {
        let shard = &self.shards[index];
        let mut extents = shard.segments.iter().map(|part| &part.entry.extent).chain(&imports.extents);
        !shard.cuts.is_empty() && shard.has_ordered_cuts() && !extents.any(|extent| shard.is_cut(extent))
    }

    /// The read view with the shard split at its cuts; `None` if it cannot be split. Of the memtables, `begun` has most
    /// rows already. The caller holds the apply lock.
    pub fn with_split(&self, index: usize, imports: &ImportFiles, begun: Vec<MemtableCopies>) -> Result<Option<Self>> {
        if !self.can_split(index, imports) {
            return Ok(None);
        }
        let shard = &self.shards[index];
        let intervals = shard.pieces();
        let mut pieces: Vec<Shard> = intervals.iter().map(|interval| shard.without_memory(interval)).collect();
        self.share_memory(shard, &mut pieces, begun)?;
        let lows = bounds_of_pieces(&pieces, &intervals, imports);
        let highs = lows.iter().skip(1).chain([&shard.interval.high]);
        for ((piece, low), high) in pieces.iter_mut().zip(&lows).zip(highs) {
            piece.interval = Interval { low: low.clone(), high: high.clone() };
        }
        let mut shards = self.shards.to_vec();
        shards.splice(index..=index, pieces.into_iter().map(Arc::new));
        Ok(Some(Self { shards: shards.into(), ..*self }))
    }

    /// Gives the pieces of a shard its rows in memory.
    fn share_memory(&self, shard: &Shard, pieces: &mut [Shard], mut begun: Vec<MemtableCopies>) -> Result<()> {
        let intervals: Vec<Interval> = pieces.iter().map(|piece| piece.interval.clone()).collect();
        let mut copies = |memtable: &Arc<Memtable>| {
            let known = begun.iter().position(|copies| copies.are_of(memtable)).map(|at| begun.swap_remove(at));
            let copies = known.map_or_else(|| MemtableCopies::begin(memtable, &intervals, self.read_lsn), Ok)?;
            copies.complete(self.read_lsn)
        };
        for before in &shard.frozen {
            for (piece, copy) in pieces.iter_mut().zip(copies(&before.memtable)?) {
                if !copy.is_empty() {
                    piece.frozen.push(FrozenMemtable { memtable: Arc::new(copy), through: before.through });
                }
            }
        }
        for (piece, copy) in pieces.iter_mut().zip(copies(&shard.memtable)?) {
            piece.memtable = Arc::new(copy);
        }
        Ok(())
    }
}

impl Shard {
    /// Begins to copy the rows in memory, for the pieces of a split.
    pub fn copies(&self, read_lsn: Lsn) -> Result<Vec<MemtableCopies>> {
        let (memtables, intervals) = (self.frozen.iter().map(|frozen| &frozen.memtable), self.pieces());
        let begin = |memtable| MemtableCopies::begin(memtable, &intervals, read_lsn);
        memtables.chain([&self.memtable]).map(begin).collect()
    }

    /// The part of the shard that lies in `interval`, as a shard without rows in memory.
    fn without_memory(&self, interval: &Interval) -> Self {
        let inside = self.segments.iter().filter(|part| interval.contains(&part.entry.extent.lower));
        Self {
            committed: Arc::new(AtomicLsn::new(self.checkpoint())),
            cuts: Arc::default(),
            uncut: Arc::default(),
            memtable: Arc::clone(&self.memtable),
            frozen: Vec::new(),
            segments: inside.cloned().collect(),
            interval: interval.clone(),
        }
    }

    /// The segments that lie in a piece of the shard, whole. Without cuts there is one piece, with all segments.
    pub fn segments_inside(&self, piece: &Interval) -> Vec<SharedSegment> {
        if self.cuts.is_empty() {
            return self.segments.clone();
        }
        let is_inside = |extent: &Extent| piece.contains(&extent.lower) && extent.upper < piece.high;
        self.segments.iter().filter(|part| is_inside(&part.entry.extent)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two empty shards, with a bound that is longer than it need be.
    fn view() -> ReadView {
        let (middle, end) = (b"middle\0".to_vec(), Interval::everything().high);
        let shard = |low: &[u8], high: &[u8]| {
            let interval = Interval { low: low.to_vec(), high: high.to_vec() };
            Arc::new(Shard::new(interval, Lsn::ZERO, Memtable::new(None), Vec::new()))
        };
        ReadView { number: 0, read_lsn: Lsn::ZERO, shards: [shard(b"", &middle), shard(&middle, &end)].into() }
    }

    fn lows(view: &ReadView) -> Vec<Vec<u8>> {
        view.shards.iter().map(|shard| shard.interval.low.clone()).collect()
    }

    #[test]
    fn cuts_that_are_not_in_order_inside_of_the_shard_are_no_plan() {
        let (view, none) = (view(), ImportFiles::default());
        let planned = |cuts: &[&[u8]]| view.with_cuts(1, cuts.iter().map(|cut| cut.to_vec()).collect());
        for cuts in [&[&b"a\0"[..]][..], &[b"middle\0"], &[b"z\0", b"n\0"], &[b"n\0", b"n\0"], &[b"n\0", &[0xFF, 0xFF]]]
        {
            let view = planned(cuts);
            assert!(view.shards[1].cuts.is_empty(), "{cuts:?}");
            assert!(!view.can_split(1, &none) && view.with_split(1, &none, Vec::new()).unwrap().is_none());
        }
        let split = planned(&[b"n\0", b"z\0"]).with_split(1, &none, Vec::new()).unwrap().unwrap();
        assert_eq!(lows(&split)[..2], lows(&view), "what was a bound before stays");
        assert!(split.shards.len() == 4 && lows(&split).is_sorted(), "{:?}", lows(&split));
        assert!(split.shards.windows(2).all(|pair| pair[0].interval.high == pair[1].interval.low));
        // Bounds may have moved by another way than through this plan.
        let mut moved = planned(&[b"n\0"]);
        let beside = Interval { low: b"p\0".to_vec(), ..view.shards[1].interval.clone() };
        moved = moved.with_shard(1, Shard { interval: beside, ..Shard::clone(&moved.shards[1]) });
        assert!(!moved.can_split(1, &none) && moved.with_split(1, &none, Vec::new()).unwrap().is_none());
    }

    #[test]
    fn a_purge_that_moves_bounds_ends_all_plans() {
        let planned = view().with_cuts(1, vec![b"n\0".to_vec()]);
        let short = planned.with_short_bounds(&ImportFiles::default()).unwrap();
        assert_ne!(lows(&short), lows(&planned));
        assert!(short.shards.iter().all(|shard| shard.cuts.is_empty()));
        // Also where no bound moves.
        let planned = short.with_cuts(0, vec![b"\x00".to_vec()]);
        assert!(!planned.shards[0].cuts.is_empty());
        let ended = planned.with_short_bounds(&ImportFiles::default()).unwrap();
        assert!(lows(&ended) == lows(&short) && ended.shards[0].cuts.is_empty());
        assert!(ended.with_short_bounds(&ImportFiles::default()).is_none());
    }
}
