//! The choice of the next merge, made from numbers alone, and the jobs that write segments and graphs.
//!
//! Reading order:
//! * `choose` here: which segments merge (pure).
//! * `split`: when a shard is too large, and where it is cut (pure).
//! * `flush`: a memtable becomes a segment. `merge`: several segments become one. `source`: what a merge reads.
//!   `pieces`: how an output is cut into several. `row_map`: where rows lie afterwards.
//! * `blobs`: which blob files the output keeps (pure), and how values are copied.
//! * `graphs`: which scopes of the output have a graph (pure), and how one is built. `filter_graph`: one of a filter.
//!
//! Invariants:
//! * `choose` is pure: the same stats give the same choice.
//! * The inputs are fixed when a job begins. The install carries over the deletes and touches of their rows since then.
//! * The output holds every version that is alive at the base LSN, even if it has expired: only the sweep removes
//!   expired items.

pub(crate) mod blobs;
pub(crate) mod filter_graph;
pub(crate) mod flush;
pub(crate) mod graphs;
pub(crate) mod merge;
pub(crate) mod pieces;
pub(crate) mod row_map;
pub(crate) mod source;
pub(crate) mod split;

use crate::compact::split::{FULL, weigh};
use crate::tuning::Tuning;

/// The numbers of a segment for `choose`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentStats {
    pub bytes: u64,
    pub rows: u64,
    pub vectors: u64,
    pub dead_rows: u64,
    /// Bytes of the values in its blob files, which a merge need not rewrite.
    pub blob_bytes: u64,
    pub dead_blob_bytes: u64,
    /// No merge may take the segment: it cannot be read, or the log still names it.
    pub excluded: bool,
}

impl SegmentStats {
    pub fn living_rows(&self) -> u64 {
        self.rows.saturating_sub(self.dead_rows)
    }

    /// The share of a number that living rows have.
    fn live_share(&self, number: u64) -> u64 {
        let live = self.living_rows();
        (u128::from(number) * u128::from(live) / u128::from(self.rows.max(1))) as u64
    }

    fn live_bytes(&self) -> u64 {
        self.live_share(self.bytes)
    }

    /// The weight of the living rows, a share of the cap of a shard (`split.rs`).
    pub fn weight(&self, tuning: &Tuning) -> u64 {
        weigh(self.live_share(self.rows.max(self.vectors)), self.live_bytes(), tuning)
    }

    /// Whether the segment is so large that it merges with no other: it has half the cap of a shard. So merges of a
    /// namespace above the cap, whose outputs are at most as large as the cap, come to an end.
    fn is_full(&self, tuning: &Tuning) -> bool {
        self.weight(tuning) >= FULL / 2
    }

    /// Whether more than `dead_percent` of the rows are deleted; or more than half of the bytes in blob files are dead,
    /// and these dead bytes are more than `dead_percent` of all bytes of the segment.
    fn is_mostly_dead(&self, tuning: &Tuning) -> bool {
        let exceeds = |dead: u64, all: u128| u128::from(dead) * 100 > all * u128::from(tuning.dead_percent);
        let is_half_dead = u128::from(self.dead_blob_bytes) * 2 > u128::from(self.blob_bytes);
        let everything = u128::from(self.bytes) + u128::from(self.blob_bytes);
        exceeds(self.dead_rows, u128::from(self.rows)) || (is_half_dead && exceeds(self.dead_blob_bytes, everything))
    }
}

/// The next job for the segments of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    Nothing,
    /// Drop the segment at this position: all its rows are deleted.
    Drop(usize),
    /// Rewrite the segments at these ascending positions as one.
    Merge(Vec<usize>),
}

/// The next job for a shard whose segments are `segments`.
///
/// Size-tiered: `merge_ratio` or more segments merge if their live bytes differ by less than that factor. Else, above
/// `segments_max`, the smallest segments merge. Else a segment with too many deleted rows, or too many dead bytes in
/// its blob files, is rewritten alone. Blob files do not count as size: a merge need not copy them (`blobs.rs`). Full
/// segments count as if they were not there, until they have too many deleted rows.
pub(crate) fn choose(segments: &[SegmentStats], tuning: &Tuning) -> Choice {
    if let Some(empty) = segments.iter().position(|segment| !segment.excluded && segment.dead_rows >= segment.rows) {
        return Choice::Drop(empty);
    }
    let (full, others): (Vec<usize>, Vec<usize>) =
        (0..segments.len()).partition(|&index| segments[index].is_full(tuning) && !segments[index].excluded);
    let count = others.len();
    let mut by_size: Vec<usize> = others.into_iter().filter(|&index| !segments[index].excluded).collect();
    by_size.sort_by_key(|&index| (segments[index].live_bytes(), index));
    let ratio = tuning.merge_ratio.max(2);
    for start in 0..by_size.len() {
        let smallest = segments[by_size[start]].live_bytes().max(1);
        let tier = by_size[start..]
            .iter()
            .take_while(|&&index| segments[index].live_bytes() < ratio.saturating_mul(smallest))
            .count();
        if tier as u64 >= ratio {
            return merge(&by_size[start..start + tier]);
        }
    }
    if count > tuning.segments_max && by_size.len() > 1 {
        let excess = (count - tuning.segments_max + 1).clamp(2, by_size.len());
        return merge(&by_size[..excess]);
    }
    match by_size.iter().chain(&full).find(|&&index| segments[index].is_mostly_dead(tuning)) {
        Some(&index) => Choice::Merge(vec![index]),
        None => Choice::Nothing,
    }
}

fn merge(positions: &[usize]) -> Choice {
    let mut positions = positions.to_vec();
    positions.sort_unstable();
    Choice::Merge(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(bytes: u64, rows: u64, dead_rows: u64) -> SegmentStats {
        SegmentStats { bytes, rows, vectors: rows, dead_rows, blob_bytes: 0, dead_blob_bytes: 0, excluded: false }
    }

    #[test]
    fn the_table_of_choices() {
        let tuning = Tuning { segments_max: 5, ..Tuning::default() };
        let small = segment(100, 10, 0);
        let big = segment(100_000, 10_000, 0);
        let damaged = SegmentStats { excluded: true, ..small };
        let large = |blob_bytes, dead_blob_bytes| SegmentStats { blob_bytes, dead_blob_bytes, ..small };
        let table: Vec<(Vec<SegmentStats>, Choice)> = vec![
            (vec![], Choice::Nothing),
            (vec![big, small, small, small], Choice::Nothing),
            (vec![big, small, small, small, small], Choice::Merge(vec![1, 2, 3, 4])),
            (vec![small, big, small, damaged, small], Choice::Nothing),
            (vec![segment(100, 10, 10), big], Choice::Drop(0)),
            (vec![big, segment(100, 10, 3)], Choice::Merge(vec![1])),
            (vec![big, segment(100, 10, 2)], Choice::Nothing),
            (vec![big, large(1_000, 500)], Choice::Nothing),
            (vec![big, large(1_000, 501)], Choice::Merge(vec![1])),
            (vec![big, large(20, 20)], Choice::Nothing),
            (vec![large(u64::MAX, u64::MAX)], Choice::Merge(vec![0])),
            ((0..6u32).rev().map(|tier| segment(10 * 5u64.pow(tier), 10, 0)).collect(), Choice::Merge(vec![4, 5])),
        ];
        for (segments, choice) in table {
            assert_eq!(choose(&segments, &tuning), choice, "{segments:?}");
        }
    }

    #[test]
    fn full_segments_are_left_alone_until_they_have_many_deleted_rows() {
        let tuning = Tuning { segments_max: 5, shard_rows: 1_000, ..Tuning::default() };
        let full = segment(100, 500, 0);
        let small = segment(100, 499, 0);
        let by_bytes = Tuning { shard_bytes: 200, shard_rows: u64::MAX, ..tuning.clone() };
        let table = [
            (&tuning, vec![full; 9], Choice::Nothing),
            (&tuning, vec![small; 4], Choice::Merge(vec![0, 1, 2, 3])),
            (&tuning, vec![full, small, small, full, small], Choice::Nothing),
            (&tuning, vec![segment(100, 700, 141), full], Choice::Merge(vec![0])),
            (&tuning, vec![segment(100, 700, 139), full], Choice::Nothing),
            (&tuning, vec![SegmentStats { vectors: 500, ..small }; 4], Choice::Nothing),
            (&by_bytes, vec![small; 4], Choice::Nothing),
        ];
        for (tuning, segments, choice) in table {
            assert_eq!(choose(&segments, tuning), choice, "{segments:?}");
        }
    }

    #[test]
    fn merges_of_a_namespace_above_the_cap_end() {
        let tuning = Tuning { shard_rows: 1_000, ..Tuning::default() };
        let (mut segments, mut written, mut all) = (Vec::new(), 0, 0);
        let mut random = crate::random::Random::new(3);
        for _ in 0..2_000 {
            let rows = 1 + random.below(60_u64);
            all += rows;
            segments.push(segment(rows * 10, rows, 0));
            for round in 0.. {
                assert!(round < 100, "merging does not end: {segments:?}");
                let Choice::Merge(positions) = choose(&segments, &tuning) else { break };
                let rows: u64 = positions.iter().map(|&index| segments[index].rows).sum();
                let weight: u64 = positions.iter().map(|&index| segments[index].weight(&tuning)).sum();
                written += rows;
                for &index in positions.iter().rev() {
                    segments.remove(index);
                }
                let count = weight.div_ceil(FULL).max(1);
                assert!((count as usize) < positions.len(), "fewer segments than before");
                segments.extend((0..count).map(|piece| {
                    let rows = rows * (piece + 1) / count - rows * piece / count;
                    segment(rows * 10, rows, 0)
                }));
            }
            assert!(segments.iter().all(|segment| segment.rows <= 1_000));
        }
        assert!(written <= 8 * all, "each row was written {} times", written as f64 / all as f64);
        assert!(segments.len() as u64 <= all / 500 + 9, "{} segments", segments.len());
    }

    #[test]
    fn merging_what_is_chosen_ends() {
        let tuning = Tuning::default();
        let mut segments: Vec<SegmentStats> = Vec::new();
        let mut written = 0;
        for _ in 0..2_000 {
            segments.push(segment(1_000, 100, 0));
            for round in 0.. {
                assert!(round < 100, "merging does not end: {segments:?}");
                let Choice::Merge(positions) = choose(&segments, &tuning) else { break };
                let bytes: u64 = positions.iter().map(|&index| segments[index].bytes).sum();
                written += bytes;
                for &index in positions.iter().rev() {
                    segments.remove(index);
                }
                segments.push(segment(bytes, bytes / 10, 0));
            }
            assert!(segments.len() <= tuning.segments_max);
        }
        // log4(2,000) = 5.5 levels; the cap on segments forces smaller merges than the tiers alone would ask for.
        assert!(written < 2_000 * 1_000 * 11, "each byte was rewritten {} times", written / 2_000_000);
    }
}
