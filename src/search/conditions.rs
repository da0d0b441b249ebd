//! Conditions on rows, the cheapest first: visibility, expiry, what the field index says of the filter, the filter.
//! Also the treatment of rows with damaged values.
//!
//! Invariants:
//! * The filter costs the most, so it has a method of its own. It tests times and key of an item first. The value is
//!   read only if they do not decide it.
//! * A damaged value fails the read. Under `partial` the row is left out instead, and `skipped` is set.

use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::field_index::Passing;
use crate::filter::{ItemFacts, Outcomes, PreparedFilter};
use crate::ids::RowId;
use crate::record::Lsn;
use crate::search::part::PartColumns;
use crate::storage::Clock;
use crate::sync::{AtomicBool, Ordering};

/// The conditions that a row must satisfy to be in a result.
#[derive(Clone, Copy)]
pub(crate) struct Conditions<'a> {
    /// The `read_lsn` of the read view.
    pub read_lsn: Lsn,
    /// Microseconds since 1970 UTC; `i64::MIN` to see expired rows too.
    pub now: i64,
    pub filter: Option<&'a PreparedFilter>,
    /// What the field index of the part says of the filter, if anything.
    pub passing: Option<&'a Passing>,
    /// What the filter said of rows of the part in earlier searches, if that is kept.
    pub outcomes: Option<&'a Outcomes>,
    /// Under `partial`: set when a row with a damaged value was left out. Without it, such a row fails the read.
    pub skipped: Option<&'a AtomicBool>,
    /// A clock, and the time on it at which the caller stops waiting.
    pub deadline: Option<(&'a dyn Clock, Duration)>,
}

impl Conditions<'_> {
    /// Everything that a read view shows, with what has expired.
    pub fn shown_at(read_lsn: Lsn) -> Self {
        let (filter, passing, outcomes, skipped, deadline) = (None, None, None, None, None);
        Self { read_lsn, now: i64::MIN, filter, passing, outcomes, skipped, deadline }
    }

    /// Whether the read view shows `row`. The filter is not applied.
    #[inline]
    pub fn sees<P: PartColumns>(&self, part: &P, row: RowId) -> bool {
        part.sees(row, self.read_lsn, self.now)
    }

    /// Whether the filter may have to read values.
    pub fn asks_values(&self) -> bool {
        self.filter.is_some() && self.passing.is_none_or(|passing| !passing.is_exact())
    }

    /// Whether the filter may accept `row`, as far as the field index knows. No value is read.
    #[inline]
    pub fn may_want(&self, row: RowId) -> bool {
        self.passing.is_none_or(|passing| passing.possible.contains(row))
    }

    /// Whether the filter accepts `row`.
    #[inline]
    pub fn wants<P: PartColumns>(&self, part: &P, row: RowId) -> Result<bool> {
        let Some(filter) = self.filter else { return Ok(true) };
        if let Some(passing) = self.passing {
            if passing.certain.contains(row) {
                return Ok(true);
            }
            if passing.is_exact() || !passing.possible.contains(row) {
                return Ok(false);
            }
        }
        // A constant filter does not need the value, which may lie in a blob file.
        if let Some(wanted) = filter.constant() {
            return Ok(wanted);
        }
        if let Some(known) = self.outcomes.and_then(|outcomes| outcomes.get(row)) {
            return Ok(known);
        }
        let wanted = self.readable(self.asks(filter, part, row))?;
        if let (Some(outcomes), Some(wanted)) = (self.outcomes, wanted) {
            outcomes.set(row, wanted);
        }
        Ok(wanted.unwrap_or(false))
    }

    /// What was read of a row. `None` if it is damaged and the row is left out for that.
    #[inline]
    pub fn readable<T>(&self, read: Result<T>) -> Result<Option<T>> {
        match (read, self.skipped) {
            (Ok(read), _) => Ok(Some(read)),
            (Err(error), Some(skipped)) if error.kind() == ErrorKind::Damaged => {
                skipped.store(true, Ordering::Relaxed);
                Ok(None)
            }
            (Err(error), _) => Err(error),
        }
    }

    /// The result of the filter, or why it cannot be read.
    #[inline]
    fn asks<P: PartColumns>(&self, filter: &PreparedFilter, part: &P, row: RowId) -> Result<bool> {
        let asked = filter.asked_of_item();
        let item = if asked.is_nothing() { ItemFacts::NONE } else { part.item_facts(row, asked)? };
        if !asked.is_nothing()
            && let Some(wanted) = filter.decided_by_item(&item)
        {
            return Ok(wanted);
        }
        let value = part.value(row)?;
        if value.is_large() {
            self.check_deadline()?;
        }
        value.matches(filter, &item)
    }

    /// Fails once the deadline has passed. Searches call it between blocks, and before each large value.
    pub fn check_deadline(&self) -> Result<()> {
        match self.deadline {
            Some((clock, at)) if clock.monotonic() >= at => {
                Err(Error::new(ErrorKind::DeadlineExceeded, "the deadline passed before the answer was complete"))
            }
            _ => Ok(()),
        }
    }
}
