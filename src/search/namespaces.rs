//! The namespaces of one part that hold a row which a read sees, found by seeking in their order.
//!
//! Invariants:
//! * A seek does not look at the namespaces between two places, nor at rows that a range delete took as whole pages.
//! * A namespace is asked for a visible row only if it matches the pattern.
//! * Places only rise. A place below the last one finds the same namespace again.

use std::borrow::Cow;
use std::ops::Range;

use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::memtable::Memtable;
use crate::search::conditions::Conditions;
use crate::search::part::{PartColumns, Rows, SegmentView};
use crate::types::{Interval, NamespacePattern, PatternFit};

/// Rows whose columns are checked at a time while a visible one is sought.
const BLOCK_ROWS: u32 = 512;
/// Namespaces between two checks of the deadline.
const DEADLINE_STEPS: u32 = 256;

/// The parameters of a listing of namespaces.
#[derive(Clone, Copy)]
pub(crate) struct SoughtNamespaces<'a> {
    pub interval: &'a Interval,
    pub pattern: &'a NamespacePattern,
    pub conditions: &'a Conditions<'a>,
}

/// The namespaces of a segment, from one place to the next.
pub(crate) struct SegmentNamespaces<'a> {
    part: SegmentView<'a>,
    /// The number of the next namespace.
    at: u32,
}

impl<'a> SegmentNamespaces<'a> {
    pub fn new(part: SegmentView<'a>) -> Self {
        Self { part, at: 0 }
    }

    /// The first namespace at or above `low` that is sought.
    pub fn seek(&mut self, low: &[u8], sought: &SoughtNamespaces<'_>) -> Result<Option<&'a [u8]>> {
        let segment = self.part.segment();
        self.at = segment.seek_namespace_from(self.at, low)?;
        let mut steps = 0_u32;
        while self.at < segment.namespaces() {
            let namespace = segment.namespace(self.at)?;
            if namespace >= sought.interval.high.as_slice() {
                return Ok(None);
            }
            steps += 1;
            if steps.is_multiple_of(DEADLINE_STEPS) {
                sought.conditions.check_deadline()?;
            }
            self.at = match sought.pattern.fit(namespace) {
                PatternFit::Misses => self.at + 1,
                PatternFit::MissesUntil(place) => segment.seek_namespace_from(self.at + 1, &place)?,
                PatternFit::Matches => {
                    let rows = segment.namespace_rows(self.at)?;
                    if self.is_any_visible(rows.clone(), sought.conditions)? {
                        return Ok(Some(namespace));
                    }
                    let rest = rows.end..segment.all_rows().end;
                    let alive = self.part.first_not_deleted(rest, sought.conditions.read_lsn);
                    segment.seek_namespace_of(self.at + 1, alive)?
                }
            };
        }
        Ok(None)
    }

    /// Whether the read sees any of the rows.
    fn is_any_visible(&self, rows: Range<RowId>, conditions: &Conditions<'_>) -> Result<bool> {
        if !rows.is_empty() && self.part.sees_all(&Rows::Range(rows.clone()), conditions.read_lsn, conditions.now) {
            return Ok(true);
        }
        let mut row = rows.start;
        loop {
            conditions.check_deadline()?;
            row = self.part.first_not_deleted(row..rows.end, conditions.read_lsn);
            if row >= rows.end {
                return Ok(false);
            }
            let block = row..RowId(row.0.saturating_add(BLOCK_ROWS)).min(rows.end);
            self.part.ensure_rows(&Rows::Range(block.clone()))?;
            if block.ids().any(|row| conditions.sees(&self.part, row)) {
                return Ok(true);
            }
            row = block.end;
        }
    }
}

/// The first namespace of a memtable at or above `low` that is sought.
pub(crate) fn next_of_memtable(
    memtable: &Memtable,
    low: &[u8],
    sought: &SoughtNamespaces<'_>,
) -> Result<Option<Cow<'static, [u8]>>> {
    let mut low = Cow::Borrowed(low);
    loop {
        sought.conditions.check_deadline()?;
        let mut until = None;
        let found = memtable.find_namespace(&low, &sought.interval.high, |namespace, rows| {
            match sought.pattern.fit(namespace) {
                PatternFit::Misses => false,
                PatternFit::MissesUntil(place) => {
                    until = Some(place);
                    true
                }
                PatternFit::Matches => rows.iter().rev().any(|&row| sought.conditions.sees(memtable, row)),
            }
        });
        match until {
            Some(place) => low = Cow::Owned(place),
            None => return Ok(found.map(|namespace| Cow::Owned(namespace.encoded().to_vec()))),
        }
    }
}
