//! The top k of many rows by a total order, and the threshold below which no row can enter the result any more.
//!
//! Invariants:
//! * Searches have one order of results, [`ScoredRow`]: score descending, then LSN descending. It does not depend on
//!   threads, parts or the order of arrival, so any split of the work gives the same list.
//! * The caller's limit allocates nothing: a [`Best`] grows with the values pushed, and never past its limit.
//! * A [`SharedThreshold`] only rises, and only to a score that `limit` rows reach. A row *strictly* below it is in no
//!   result; a row equal to it may be.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use crate::ids::{PartIndex, RowId};
use crate::record::Lsn;
use crate::sync::{AtomicU32, Ordering as Memory};

/// The address of a row: the number that the search gave its part, and its number in the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RowAddress {
    pub part: PartIndex,
    pub row: RowId,
}

/// A row and its score; the greater one is the better one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ScoredRow {
    /// Larger is better; never NaN.
    pub score: f32,
    pub lsn: Lsn,
    pub place: RowAddress,
}

impl Ord for ScoredRow {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        self.score.total_cmp(&other.score).then(self.lsn.cmp(&other.lsn))
    }
}

/// A row of a listing; the greater one is the newer one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListedRow {
    /// Microseconds since 1970 UTC.
    pub updated_at: i64,
    pub lsn: Lsn,
    pub place: RowAddress,
}

impl Ord for ListedRow {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (self.updated_at, self.lsn).cmp(&(other.updated_at, other.lsn))
    }
}

/// Implements equality and partial order of a type by its total order.
macro_rules! compare_by_order {
    ($($name:ty),*) => {$(
        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }
        impl PartialEq for $name {
            #[inline]
            fn eq(&self, other: &Self) -> bool {
                self.cmp(other).is_eq()
            }
        }
        impl Eq for $name {}
    )*};
}
compare_by_order!(ScoredRow, ListedRow);

/// The greatest `limit` of the values pushed.
#[derive(Clone, Debug)]
pub(crate) struct Best<T> {
    limit: usize,
    /// The worst kept value is at the top.
    heap: BinaryHeap<Reverse<T>>,
}

impl<T: Ord + Copy> Best<T> {
    pub fn new(limit: usize) -> Self {
        Self { limit, heap: BinaryHeap::new() }
    }

    pub fn limit(&self) -> usize {
        self.limit
    }

    pub fn len(&self) -> usize {
        self.heap.len()
    }

    /// The worst kept value, which the next better one replaces; `None` until `limit` values are kept.
    #[inline]
    pub fn worst(&self) -> Option<T> {
        if self.heap.len() < self.limit { None } else { self.heap.peek().map(|worst| worst.0) }
    }

    /// Whether [`push`](Self::push) would keep `value`.
    #[inline]
    pub fn would_keep(&self, value: &T) -> bool {
        self.heap.len() < self.limit || self.heap.peek().is_some_and(|worst| *value > worst.0)
    }

    /// Keeps `value` if it is among the best so far.
    #[inline]
    pub fn push(&mut self, value: T) {
        if self.heap.len() < self.limit {
            self.heap.push(Reverse(value));
        } else if let Some(mut worst) = self.heap.peek_mut()
            && value > worst.0
        {
            *worst = Reverse(value);
        }
    }

    /// The kept values, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.heap.iter().map(|value| &value.0)
    }

    /// Drops the values for which `keep` returns false.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.heap.retain(|value| keep(&value.0));
    }

    /// Pushes the values that `other` kept.
    pub fn merge(&mut self, other: Self) {
        other.heap.into_iter().for_each(|value| self.push(value.0));
    }

    /// The kept values, best first.
    pub fn into_sorted(self) -> Vec<T> {
        self.heap.into_sorted_vec().into_iter().map(|value| value.0).collect()
    }
}

/// The `limit` best rows of a search.
pub(crate) type TopK = Best<ScoredRow>;

/// The `limit` newest rows of a listing.
pub(crate) type Newest = Best<ListedRow>;

/// The score that a row must reach, shared by all parts and threads of one search.
#[derive(Debug)]
pub(crate) struct SharedThreshold {
    /// The score's bits, mapped so that their order as integers is the order of the scores.
    ordered: AtomicU32,
}

impl SharedThreshold {
    /// Starts at the caller's `min_score`, or at minus infinity.
    pub fn new(min_score: Option<f32>) -> Self {
        Self { ordered: AtomicU32::new(ordered_bits(min_score.unwrap_or(f32::NEG_INFINITY))) }
    }

    /// The threshold so far. It may lag behind other threads, which costs time and changes no result.
    #[inline]
    pub fn get(&self) -> f32 {
        from_ordered_bits(self.ordered.load(Memory::Relaxed))
    }

    /// Raises the threshold to `score`, which `limit` rows of this search reach.
    #[inline]
    pub fn raise(&self, score: f32) {
        self.ordered.fetch_max(ordered_bits(score), Memory::Relaxed);
    }
}

/// An integer for each score, in the order of [`f32::total_cmp`].
#[inline]
pub(crate) fn ordered_bits(score: f32) -> u32 {
    let bits = score.to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// The inverse of [`ordered_bits`].
#[inline]
pub(crate) fn from_ordered_bits(ordered: u32) -> f32 {
    f32::from_bits(if ordered >> 31 == 1 { ordered & !(1 << 31) } else { !ordered })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn scored(score: f32, lsn: u64) -> ScoredRow {
        ScoredRow { score, lsn: Lsn::new(lsn), place: RowAddress { part: PartIndex(0), row: RowId(lsn as u32) } }
    }

    #[test]
    fn keeps_what_a_sort_would_whatever_the_order_and_the_split() {
        let mut random = Random::new(7);
        for limit in [0, 1, 10, 99, 100, 1_000] {
            let values: Vec<ScoredRow> = (0..100).map(|lsn| scored(random.below(7) as f32 - 3.0, lsn)).collect();
            let mut expected = values.clone();
            expected.sort_by(|a, b| b.cmp(a));
            expected.truncate(limit);
            let (mut even, mut odd) = (TopK::new(limit), TopK::new(limit));
            for value in values {
                let side = if random.below(2) == 0 { &mut even } else { &mut odd };
                let kept = side.would_keep(&value);
                let before = side.clone().into_sorted();
                side.push(value);
                assert_eq!(kept, side.clone().into_sorted() != before, "limit {limit}");
            }
            even.merge(odd);
            assert_eq!(even.worst().is_some(), limit > 0 && limit <= 100);
            let lsns = |list: &[ScoredRow]| list.iter().map(|value| value.lsn).collect::<Vec<_>>();
            assert_eq!(lsns(&even.into_sorted()), lsns(&expected), "limit {limit}");
        }
    }

    #[test]
    fn the_order_is_score_then_lsn_and_time_then_lsn() {
        assert!(scored(1.0, 1) > scored(0.5, 2) && scored(1.0, 2) > scored(1.0, 1) && scored(0.0, 1) > scored(-0.0, 2));
        let listed = |updated_at, lsn| ListedRow {
            updated_at,
            lsn: Lsn::new(lsn),
            place: RowAddress { part: PartIndex(0), row: RowId(0) },
        };
        assert!(listed(2, 1) > listed(1, 2) && listed(1, 2) > listed(1, 1) && listed(1, 1) == listed(1, 1));
    }

    #[test]
    fn a_huge_limit_allocates_nothing() {
        let mut best = TopK::new(usize::MAX);
        best.push(scored(1.0, 1));
        assert!(best.heap.capacity() < 100 && best.worst().is_none());
    }

    #[test]
    fn threshold_follows_the_order_of_scores_and_only_rises() {
        let scores = [f32::NEG_INFINITY, -2.0, -f32::MIN_POSITIVE, -0.0, 0.0, 1e-40, 0.5, 1.0, f32::INFINITY];
        for pair in scores.windows(2) {
            assert!(ordered_bits(pair[0]) < ordered_bits(pair[1]), "{pair:?}");
            assert_eq!(from_ordered_bits(ordered_bits(pair[0])).to_bits(), pair[0].to_bits());
        }
        let threshold = SharedThreshold::new(Some(-0.5));
        threshold.raise(-1.0);
        assert_eq!(threshold.get(), -0.5);
        threshold.raise(0.25);
        assert_eq!(threshold.get(), 0.25);
    }
}
