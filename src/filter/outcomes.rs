//! The outcomes of filters on the values of one part, kept row by row for the next search with the same filter.
//!
//! Invariants:
//! * The value of a row never changes, so an outcome never gets old. A filter that asks for times or the key of an item
//!   has no outcomes here: touches change times.
//! * An outcome changes how long a search takes, and nothing else. No decision about a graph depends on one.
//! * A part keeps the outcomes of at most [`FILTERS_MAX`] filters, two bits for each row and filter; those that were
//!   used longest ago go first.

use std::sync::Arc;

use crate::filter::PreparedFilter;
use crate::ids::RowId;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering};

/// Filters whose outcomes a part keeps.
const FILTERS_MAX: usize = 8;
/// A part that grows has room for this many rows at first.
const ROWS_MIN: usize = 1_024;

/// What is known of one filter on the rows of one part.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// A bit for each row: its outcome is known.
    known: Box<[AtomicU64]>,
    /// A bit for each row: it passed. Set before the row's bit in `known`.
    passed: Box<[AtomicU64]>,
    /// How many rows are known.
    count: AtomicUsize,
}

impl Outcomes {
    fn with_room(rows: usize) -> Self {
        let words = || (0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { known: words(), passed: words(), count: AtomicUsize::new(0) }
    }

    /// Whether the row passes, if that is known.
    #[inline]
    pub fn get(&self, row: RowId) -> Option<bool> {
        let (word, bit) = (row.index() / 64, 1 << (row.index() % 64));
        let is_known = self.known.get(word)?.load(Ordering::Acquire) & bit != 0;
        is_known.then(|| self.passed[word].load(Ordering::Relaxed) & bit != 0)
    }

    /// Notes whether the row passes. A row without room is forgotten.
    #[inline]
    pub fn set(&self, row: RowId, passed: bool) {
        let (word, bit) = (row.index() / 64, 1 << (row.index() % 64));
        let Some(known) = self.known.get(word) else { return };
        if passed {
            self.passed[word].fetch_or(bit, Ordering::Relaxed);
        }
        if known.fetch_or(bit, Ordering::Release) & bit == 0 {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many rows are known.
    pub fn known(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// The same outcomes, with room for more rows.
    fn grown(&self, rows: usize) -> Self {
        let grown = Self::with_room(rows);
        for row in (0..self.known.len() * 64).map(|row| RowId(row as u32)) {
            if let Some(passed) = self.get(row) {
                grown.set(row, passed);
            }
        }
        grown
    }
}

/// The outcomes of the filters that were used last on one part.
#[derive(Debug, Default)]
pub(crate) struct OutcomeCache {
    /// The fingerprints of filters with their outcomes. The one that was used last comes last.
    kept: Mutex<Vec<(u128, Arc<Outcomes>)>>,
}

impl OutcomeCache {
    /// The outcomes of `filter` on the part, which has `rows` rows by now. `None` if they may change.
    pub fn of(&self, filter: &PreparedFilter, rows: usize) -> Option<Arc<Outcomes>> {
        if filter.constant().is_some() || !filter.asked_of_item().is_nothing() {
            return None;
        }
        let fingerprint = filter.fingerprint();
        let mut kept = self.kept.lock();
        let outcomes = match kept.iter().position(|(of, _)| *of == fingerprint) {
            Some(at) => kept.remove(at).1,
            None => Arc::new(Outcomes::with_room(rows.max(ROWS_MIN))),
        };
        let has_room = rows <= outcomes.known.len() * 64;
        let outcomes = if has_room { outcomes } else { Arc::new(outcomes.grown(rows * 2)) };
        if kept.len() >= FILTERS_MAX {
            kept.remove(0);
        }
        kept.push((fingerprint, Arc::clone(&outcomes)));
        Some(outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;

    #[test]
    fn outcomes_are_kept_as_the_part_grows_and_those_of_the_oldest_filter_go() {
        let cache = OutcomeCache::default();
        let filter = |number: u32| Filter::eq("n", number).prepare().unwrap();
        let first = cache.of(&filter(0), 100).unwrap();
        for row in (0..200).map(RowId) {
            assert_eq!(first.get(row), None);
            first.set(row, row.0 % 3 == 0);
            first.set(row, row.0 % 3 == 0);
        }
        first.set(RowId(1 << 20), true);
        assert_eq!((first.known(), first.get(RowId(1 << 20))), (200, None));
        let grown = cache.of(&filter(0), 5_000).unwrap();
        assert!((0..200).all(|row| grown.get(RowId(row)) == Some(row % 3 == 0)));
        assert_eq!((grown.known(), grown.get(RowId(4_999))), (200, None));
        grown.set(RowId(4_999), true);
        assert_eq!(cache.of(&filter(0), 5_000).unwrap().get(RowId(4_999)), Some(true));
        // Nine filters, one too many: the first one was used last but eight.
        for number in 1..=8 {
            assert_eq!(cache.of(&filter(number), 10).unwrap().known(), 0);
        }
        assert_eq!(cache.of(&filter(0), 10).unwrap().known(), 0);
    }

    #[test]
    fn a_filter_that_asks_for_times_has_no_outcomes() {
        let cache = OutcomeCache::default();
        let filter = Filter::from_json_str(r#"{"$item": {"updated_at": {"$gt": 0}}, "n": 1}"#).unwrap();
        assert!(cache.of(&filter.prepare().unwrap(), 10).is_none());
        assert!(cache.of(&Filter::from_json_str("{}").unwrap().prepare().unwrap(), 10).is_none());
    }
}
