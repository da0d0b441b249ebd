//! Answers of an index that are kept for the next search with the same filter.
//!
//! Invariants:
//! * An answer belongs to rows that never change, so it never gets old.
//! * The answers of an index take at most one byte for each of its rows, and [`SPARE_BYTES`]; the answer that was used
//!   longest ago goes first.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::field_index::select::Passing;
use crate::filter::PreparedFilter;
use crate::ids::RowId;
use crate::sync::Mutex;

/// Answers of one index.
const ANSWERS_MAX: usize = 32;
/// Bytes for answers, beside one for each row.
const SPARE_BYTES: usize = 64 << 10;

/// The answers of one index.
#[derive(Debug, Default)]
pub(crate) struct PassingCache {
    /// The one that was used last comes last.
    answers: Mutex<Vec<Answer>>,
}

#[derive(Debug)]
struct Answer {
    fingerprint: u128,
    interval: Range<RowId>,
    passing: Arc<Passing>,
    bytes: usize,
}

impl Answer {
    fn is_of(&self, fingerprint: u128, interval: &Range<RowId>) -> bool {
        self.fingerprint == fingerprint && self.interval == *interval
    }
}

impl PassingCache {
    /// The kept answer for the interval, or else that of `find`, which is kept. The index has `rows` rows.
    pub fn get_or_keep(
        &self,
        filter: &PreparedFilter,
        interval: &Range<RowId>,
        rows: u32,
        find: impl FnOnce() -> Result<Arc<Passing>>,
    ) -> Result<Arc<Passing>> {
        if let Some(passing) = self.get(filter.fingerprint(), interval) {
            return Ok(passing);
        }
        let passing = find()?;
        self.keep(filter.fingerprint(), interval, &passing, rows);
        Ok(passing)
    }

    /// The kept answer.
    fn get(&self, fingerprint: u128, interval: &Range<RowId>) -> Option<Arc<Passing>> {
        let mut answers = self.answers.lock();
        let at = answers.iter().position(|answer| answer.is_of(fingerprint, interval))?;
        let answer = answers.remove(at);
        let found = Arc::clone(&answer.passing);
        answers.push(answer);
        Some(found)
    }

    /// Keeps an answer, in the place of one of the same filter and interval.
    fn keep(&self, fingerprint: u128, interval: &Range<RowId>, passing: &Arc<Passing>, rows: u32) {
        let (room, bytes) = (SPARE_BYTES + rows as usize, passing.bytes());
        if bytes > room {
            return;
        }
        let mut answers = self.answers.lock();
        answers.retain(|answer| !answer.is_of(fingerprint, interval));
        let mut taken: usize = answers.iter().map(|answer| answer.bytes).sum();
        while answers.len() >= ANSWERS_MAX || taken + bytes > room {
            taken -= answers.remove(0).bytes;
        }
        answers.push(Answer { fingerprint, interval: interval.clone(), passing: Arc::clone(passing), bytes });
    }
}
