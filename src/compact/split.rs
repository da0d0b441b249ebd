//! When a shard is too large, and where it is cut: decided from numbers alone.
//!
//! A weight is a share of the cap of a shard: the larger one of the share of the rows or vectors and the share of the
//! bytes. [`FULL`] is the whole cap.
//!
//! Invariants:
//! * All functions are pure: the same numbers give the same cuts.
//! * No namespace is cut. A piece above the cap is one namespace, with less than [`LEAST`] before it and behind it.

use std::ops::Range;

use crate::tuning::Tuning;

/// The weight of a shard at its cap.
pub(crate) const FULL: u64 = 1 << 32;

/// The least weight on each side of a cut. So splits end, and leave no shards of a few rows each.
pub(crate) const LEAST: u64 = FULL / 8;

/// The weight of so many rows or vectors, the larger number of both, with so many bytes.
pub(crate) fn weigh(rows: u64, bytes: u64, tuning: &Tuning) -> u64 {
    let share = |part: u64, cap: u64| (u128::from(part) * u128::from(FULL) / u128::from(cap.max(1))) as u64;
    share(rows, tuning.shard_rows).max(share(bytes, tuning.shard_bytes))
}

/// The positions of the namespaces, given by their weights in order, at which a shard is cut.
///
/// A range of namespaces above the cap is cut at the boundary nearest to its middle that leaves [`LEAST`] on each side,
/// until each range is within the cap or has no such boundary.
pub(crate) fn cuts(weights: &[u64]) -> Vec<usize> {
    let mut before = vec![0_u64];
    before.extend(weights.iter().scan(0, |sum: &mut u64, weight| {
        *sum = sum.saturating_add(*weight);
        Some(*sum)
    }));
    let all = 0..weights.len();
    let (mut found, mut ranges) = (Vec::new(), vec![all]);
    while let Some(range) = ranges.pop() {
        if let Some(cut) = middle(&before, &range) {
            found.push(cut);
            ranges.extend([range.start..cut, cut..range.end]);
        }
    }
    found.sort_unstable();
    found
}

/// The boundary nearest to the middle of a range of namespaces; `None` if the range is not to be cut. `before` has the
/// weight of all namespaces before each one.
fn middle(before: &[u64], range: &Range<usize>) -> Option<usize> {
    let (start, end) = (*before.get(range.start)?, *before.get(range.end)?);
    if end - start <= FULL || range.len() < 2 {
        return None;
    }
    let wanted = start + (end - start) / 2;
    let inside = range.start + 1..range.end;
    let above = before.partition_point(|&weight| weight < wanted).clamp(inside.start, inside.end - 1);
    let below = (above - 1).max(inside.start);
    let is_heavy = |&cut: &usize| before[cut] - start >= LEAST && end - before[cut] >= LEAST;
    [below, above].into_iter().filter(is_heavy).min_by_key(|&cut| before[cut].abs_diff(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_the_larger_share_of_the_cap() {
        let tuning = Tuning { shard_rows: 100, shard_bytes: 1_000, ..Tuning::default() };
        assert_eq!(weigh(0, 0, &tuning), 0);
        assert_eq!(weigh(100, 1, &tuning), FULL);
        assert_eq!(weigh(50, 1_000, &tuning), FULL);
        assert_eq!(weigh(150, 3_000, &tuning), 3 * FULL);
        assert_eq!(weigh(1, 0, &Tuning { shard_rows: 0, ..tuning }), FULL, "a cap of nothing is one of one row");
    }

    #[test]
    fn the_table_of_cuts() {
        let tenth = FULL / 10;
        let of = |tenths: &[u64]| cuts(&tenths.iter().map(|count| count * tenth).collect::<Vec<_>>());
        assert_eq!(of(&[]), [0; 0]);
        assert_eq!(of(&[40]), [0; 0], "one namespace is never cut");
        assert_eq!(of(&[4, 5]), [0; 0], "within the cap");
        assert_eq!(of(&[6, 6]), [1]);
        assert_eq!(of(&[1, 1, 1, 1, 8]), [4]);
        assert_eq!(of(&[8, 1, 1, 1, 1]), [1]);
        assert_eq!(of(&[3; 8]), [2, 4, 6], "halves that are too large are cut again");
        assert_eq!(of(&[2, 50, 2]), [1, 2], "a huge namespace is a shard of its own");
        assert_eq!(of(&[1, 50, 1]), [0; 0], "unless too little would be beside it");
        assert_eq!(of(&[1, 50, 1, 1]), [2]);
        assert_eq!(of(&[1, 1, 50, 1]), [2]);
        assert_eq!(of(&[50, 50]), [1]);
        assert_eq!(of(&[0, 0, 11, 0]), [0; 0]);
        assert_eq!(of(&[0, 1, 11, 0, 1, 11, 0, 1]), [4], "in the middle, and no further");
    }

    /// Whether no boundary leaves enough on both sides.
    fn is_uncuttable(weights: &[u64]) -> bool {
        let all: u64 = weights.iter().sum();
        (1..weights.len()).all(|cut| {
            let before: u64 = weights[..cut].iter().sum();
            before < LEAST || all - before < LEAST
        })
    }

    #[test]
    fn pieces_are_within_the_cap_or_have_no_good_cut() {
        let mut random = crate::random::Random::new(7);
        for round in 0..500_usize {
            let weights: Vec<u64> =
                (0..random.below(60)).map(|_| random.below(FULL as usize * [1, 6][round % 2] / 3) as u64).collect();
            let found = cuts(&weights);
            assert!(found.is_sorted() && found.iter().all(|&cut| 0 < cut && cut < weights.len()), "round {round}");
            let bounds: Vec<usize> = [0].into_iter().chain(found).chain([weights.len()]).collect();
            for piece in bounds.windows(2) {
                let weight: u64 = weights[piece[0]..piece[1]].iter().sum();
                assert!(weight <= FULL || is_uncuttable(&weights[piece[0]..piece[1]]), "round {round}: {weights:?}");
                assert!(weight >= LEAST || bounds.len() == 2, "round {round}: a sliver of {weights:?}");
            }
        }
    }
}
