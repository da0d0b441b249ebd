//! The directory of a truth file: its namespaces in order, each with its rows, and seeks in them.
//!
//! Invariants: those of [`reader`](crate::segment::truth::reader). A seek reads a number of entries that grows with the
//! logarithm of the distance that it goes.

use std::ops::Range;

use crate::error::Result;
use crate::ids::{Id, IdRange, RowId};
use crate::segment::truth::layout::Section;
use crate::segment::truth::reader::Truth;
use crate::types::Interval;

impl Truth {
    /// The encoded namespace with this number.
    #[inline]
    pub fn namespace(&self, index: u32) -> Result<&[u8]> {
        self.entry(Section::NamespaceOffset, Section::NamespaceBytes, index as usize)
    }

    /// The rows of the namespace with this number.
    #[inline]
    pub fn namespace_rows(&self, index: u32) -> Result<Range<RowId>> {
        let start: RowId = self.cell(Section::NamespaceFirstRow, index as usize)?;
        let end: RowId = self.cell(Section::NamespaceFirstRow, index as usize + 1)?;
        if start > end || end.0 > self.rows() {
            let at = self.header.section(Section::NamespaceFirstRow).start;
            return Err(self.file.damaged(at, format!("namespace {index} has rows {start} to {end}")));
        }
        Ok(start..end)
    }

    /// The number of the namespace that `row` belongs to.
    pub fn namespace_of(&self, row: RowId) -> Result<u32> {
        self.file.ensure(self.header.section(Section::NamespaceFirstRow))?;
        let first_rows = self.column::<RowId>(Section::NamespaceFirstRow);
        Ok((first_rows.partition_point(|&first| first <= row) as u32).saturating_sub(1))
    }

    /// The rows of an interval of namespaces.
    pub fn interval(&self, interval: &Interval) -> Result<Range<RowId>> {
        let numbers = self.namespaces_in(interval)?;
        if numbers.is_empty() {
            return Ok(RowId::range(0..0));
        }
        let (first, last) = (self.namespace_rows(numbers.start)?, self.namespace_rows(numbers.end - 1)?);
        Ok(first.start..last.end.max(first.start))
    }

    /// The numbers of the namespaces of an interval.
    pub fn namespaces_in(&self, interval: &Interval) -> Result<Range<u32>> {
        if let Some(namespace) = interval.namespace() {
            return Ok(self.find_namespace(namespace)?.map_or(0..0, |index| index..index + 1));
        }
        let Interval { low, high } = interval;
        let start = if low.is_empty() { 0 } else { self.seek_namespace(low)? };
        let end = if high.as_slice() == [0xFF] { self.namespaces() } else { self.seek_namespace(high)? };
        Ok(start..end.max(start))
    }

    /// The number of the first namespace that is not below `bound`.
    fn seek_namespace(&self, bound: &[u8]) -> Result<u32> {
        seek(0..self.namespaces(), |index| Ok(self.namespace(index)? < bound))
    }

    /// The number of the first namespace from number `from` on that is not below `bound`. Fast if it is near.
    pub fn seek_namespace_from(&self, from: u32, bound: &[u8]) -> Result<u32> {
        seek_near(from..self.namespaces(), |index| Ok(self.namespace(index)? < bound))
    }

    /// The number of the first namespace from number `from` on that ends after `row`. Fast if it is near.
    pub fn seek_namespace_of(&self, from: u32, row: RowId) -> Result<u32> {
        seek_near(from..self.namespaces(), |index| Ok(self.namespace_rows(index)?.end <= row))
    }

    /// The first of `rows`, which belong to one namespace, whose key is not below `key`.
    pub fn seek_key(&self, rows: Range<RowId>, key: &str) -> Result<RowId> {
        seek(rows.numbers(), |row| Ok(self.key_bytes(RowId(row))? < key.as_bytes())).map(RowId)
    }
}

/// A binary search: the first number of `range` for which `below` is false, or the end of `range`. `below` must be true
/// for all numbers before that one, and false for all after it.
fn seek(range: Range<u32>, mut below: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut start, mut end) = (range.start, range.end);
    while start < end {
        let middle = start + (end - start) / 2;
        if below(middle)? {
            start = middle + 1;
        } else {
            end = middle;
        }
    }
    Ok(start)
}

/// The same as [`seek`], by steps that double. So it looks at few numbers if the one that it finds is near the start.
fn seek_near(range: Range<u32>, mut below: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut start, mut step) = (range.start, 0);
    loop {
        let probe = start.saturating_add(step);
        if probe >= range.end {
            return seek(start..range.end, below);
        }
        if !below(probe)? {
            return seek(start..probe, below);
        }
        (start, step) = (probe + 1, step * 2 + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_seeks_find_the_first_that_is_not_below() {
        for (start, end) in [(0, 0), (0, 1), (3, 40), (0, 1_000), (u32::MAX - 9, u32::MAX)] {
            for found in start..=end {
                let below = |number: u32| Ok(number < found);
                assert_eq!(seek(start..end, below).unwrap(), found);
                let mut looks = 0;
                let near = seek_near(start..end, |number| {
                    looks += 1;
                    below(number)
                });
                assert_eq!(near.unwrap(), found);
                let distance = u64::from(found - start) + 1;
                assert!(looks <= 2 * (distance.ilog2() + 1), "{looks} looks from {start} to {found}");
            }
        }
    }
}
