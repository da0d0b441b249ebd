//! The outcomes of filters on the values of one part, kept row by row for the next search with the same filter.
//!
//! Invariants:
//! * The value of a row never changes, so an outcome never gets old. A filter that asks for times or the key of an item
//!   has no outcomes here: touches change times.
//! * An outcome changes how long a search takes, and nothing else. No decision about a graph depends on one.
//! * A part keeps the outcomes of at most [`FILTERS_MAX`] filters, two bits for each row and filter; those that were
//!   used longest ago go first. A filter has outcomes from its second use on: most filters come once.

use std::ops::Range;
use std::sync::Arc;

use crate::filter::PreparedFilter;
use crate::ids::RowId;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Filters whose outcomes a part keeps.
const FILTERS_MAX: usize = 8;
/// Filters that came once, lately.
const SEEN_MAX: usize = 16;
/// A part that grows has room for this many rows at first.
const ROWS_MIN: usize = 1_024;

/// What is known of one filter on the rows of one part.
#[derive(Debug)]
pub(crate) struct Outcomes {
    /// A bit for each row: its outcome is known.
    known: Box<[AtomicU64]>,
    /// A bit for each row: it passed. Set before the row's bit in `known`.
    passed: Box<[AtomicU64]>,
}

impl Outcomes {
    fn with_room(rows: usize) -> Self {
        let words = || (0..rows.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { known: words(), passed: words() }
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
        known.fetch_or(bit, Ordering::Release);
    }

    /// How many of the rows are known.
    pub fn known_in(&self, rows: Range<RowId>) -> usize {
        let words = rows.start.index() / 64..rows.end.index().div_ceil(64).min(self.known.len());
        let count = |word: usize| {
            let (first, last) = (rows.start.index().max(word * 64), rows.end.index().min(word * 64 + 64));
            let bits = if first < last { u64::MAX >> (64 - (last - first)) << (first % 64) } else { 0 };
            (self.known[word].load(Ordering::Relaxed) & bits).count_ones() as usize
        };
        words.map(count).sum()
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
    filters: Mutex<KnownFilters>,
}

#[derive(Debug, Default)]
struct KnownFilters {
    /// The fingerprints of filters with their outcomes. The one that was used last comes last.
    kept: Vec<(u128, Arc<Outcomes>)>,
    /// The fingerprints of filters that came once, the last one last.
    seen: Vec<u128>,
}

impl KnownFilters {
    fn take(&mut self, fingerprint: u128) -> Option<Arc<Outcomes>> {
        let at = self.kept.iter().position(|(of, _)| *of == fingerprint)?;
        Some(self.kept.remove(at).1)
    }

    /// Keeps the outcomes of a filter, those with more room if there are others.
    fn keep(&mut self, fingerprint: u128, outcomes: Arc<Outcomes>) -> Arc<Outcomes> {
        let others = self.take(fingerprint).filter(|others| others.known.len() >= outcomes.known.len());
        let outcomes = others.unwrap_or(outcomes);
        if self.kept.len() >= FILTERS_MAX {
            self.kept.remove(0);
        }
        self.kept.push((fingerprint, Arc::clone(&outcomes)));
        outcomes
    }

    /// Whether the filter came before. Notes that it came.
    fn came_before(&mut self, fingerprint: u128) -> bool {
        let at = self.seen.iter().position(|of| *of == fingerprint);
        if let Some(at) = at {
            self.seen.remove(at);
        } else {
            if self.seen.len() >= SEEN_MAX {
                self.seen.remove(0);
            }
            self.seen.push(fingerprint);
        }
        at.is_some()
    }
}

impl OutcomeCache {
    /// The outcomes of `filter` on the part, which has `rows` rows by now. `None` if they may change, or if the filter
    /// comes for the first time.
    pub fn of(&self, filter: &PreparedFilter, rows: usize) -> Option<Arc<Outcomes>> {
        if filter.constant().is_some() || !filter.asked_of_item().is_nothing() {
            return None;
        }
        let fingerprint = filter.fingerprint();
        let known = {
            let mut filters = self.filters.lock();
            match filters.take(fingerprint) {
                Some(outcomes) => Some(filters.keep(fingerprint, outcomes)),
                None if filters.came_before(fingerprint) => None,
                None => return None,
            }
        };
        let outcomes = match known {
            Some(outcomes) if rows <= outcomes.known.len() * 64 => return Some(outcomes),
            // Made outside of the lock, for which other searches would wait.
            Some(outcomes) => Arc::new(outcomes.grown(rows * 2)),
            None => Arc::new(Outcomes::with_room(rows.max(ROWS_MIN))),
        };
        Some(self.filters.lock().keep(fingerprint, outcomes))
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
        let known = |outcomes: &Outcomes| outcomes.known_in(RowId(0)..RowId(u32::MAX));
        assert!(cache.of(&filter(0), 100).is_none(), "it comes for the first time");
        let first = cache.of(&filter(0), 100).unwrap();
        for row in (0..200).map(RowId) {
            assert_eq!(first.get(row), None);
            first.set(row, row.0 % 3 == 0);
            first.set(row, row.0 % 3 == 0);
        }
        first.set(RowId(1 << 20), true);
        assert_eq!((known(&first), first.get(RowId(1 << 20))), (200, None));
        for (start, end, expected) in [(0, 0, 0), (3, 64, 61), (63, 65, 2), (100, 1_000, 100), (200, 900, 0)] {
            assert_eq!(first.known_in(RowId(start)..RowId(end)), expected, "{start} to {end}");
        }
        let grown = cache.of(&filter(0), 5_000).unwrap();
        assert!((0..200).all(|row| grown.get(RowId(row)) == Some(row % 3 == 0)));
        assert_eq!((known(&grown), grown.get(RowId(4_999))), (200, None));
        grown.set(RowId(4_999), true);
        assert_eq!(cache.of(&filter(0), 5_000).unwrap().get(RowId(4_999)), Some(true));
        // Nine filters, one too many: the first one was used last but eight.
        for number in 1..=8 {
            assert!(cache.of(&filter(number), 10).is_none());
            assert_eq!(known(&cache.of(&filter(number), 10).unwrap()), 0);
        }
        assert!(cache.of(&filter(0), 10).is_none(), "it comes for the first time again");
    }

    #[test]
    fn a_filter_that_asks_for_times_has_no_outcomes() {
        let cache = OutcomeCache::default();
        let filter = Filter::from_json_str(r#"{"$item": {"updated_at": {"$gt": 0}}, "n": 1}"#).unwrap();
        for _ in 0..3 {
            assert!(cache.of(&filter.prepare().unwrap(), 10).is_none());
            assert!(cache.of(&Filter::from_json_str("{}").unwrap().prepare().unwrap(), 10).is_none());
        }
    }
}
