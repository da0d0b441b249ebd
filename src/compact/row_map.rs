//! Where the rows of one input of a flush or merge lie in the output.
//!
//! Invariants:
//! * A row that the output does not hold, or that was added to the input later, has no row in the output.

use std::ops::Range;

use crate::ids::{IdRange, RowId};

/// For each row of an input, its row in the output, or [`GONE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowMap {
    rows: Vec<RowId>,
}

/// Marks a row that the output does not hold. No output has that many rows.
const GONE: RowId = RowId(u32::MAX);

impl RowMap {
    /// A map for an input of `rows` rows, none of which lies in the output yet.
    pub fn new(rows: usize) -> Self {
        Self { rows: vec![GONE; rows] }
    }

    /// A map that leaves each of `rows`, which begin at 0, where it is.
    pub fn identity(rows: Range<RowId>) -> Self {
        Self { rows: rows.ids().collect() }
    }

    /// Row `row` of the input is row `target` of the output.
    pub fn set(&mut self, row: RowId, target: RowId) {
        if let Some(place) = self.rows.get_mut(row.index()) {
            *place = target;
        }
    }

    /// The row of the output that `row` of the input became.
    #[inline]
    pub fn get(&self, row: RowId) -> Option<RowId> {
        self.rows.get(row.index()).copied().filter(|&target| target != GONE)
    }

    /// How many rows of the input the output holds.
    pub fn kept(&self) -> usize {
        self.rows.iter().filter(|&&target| target != GONE).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Id;

    #[test]
    fn a_row_has_a_place_once_it_is_set_and_no_other_row_has() {
        let mut map = RowMap::new(4);
        map.set(RowId(3), RowId(0));
        map.set(RowId(1), RowId(7));
        map.set(RowId(4), RowId(8));
        let places = [0, 1, 2, 3, 4, u32::MAX].map(|row| map.get(RowId(row)));
        assert_eq!(places, [None, Some(RowId(7)), None, Some(RowId(0)), None, None]);
        assert_eq!((map.kept(), RowMap::new(4).kept()), (2, 0));
        let same = RowMap::identity(RowId::range(0..3));
        assert!(RowId::range(0..3).ids().all(|row| same.get(row) == Some(row)) && same.get(RowId(3)).is_none());
    }
}
