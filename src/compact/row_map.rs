//! Where the rows of one input of a flush or merge lie in the outputs.
//!
//! Invariants:
//! * The rows of a job's outputs are numbered through: those of the first output, then those of the second.
//! * A row that no output holds, or that was added to the input later, has no row in the output.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::ids::{IdRange, RowId};

/// For each row of an input, its row in the outputs, or [`GONE`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowMap {
    rows: Vec<RowId>,
}

/// Marks a row that no output holds. All outputs together have fewer rows.
const GONE: RowId = RowId(u32::MAX);

impl RowMap {
    /// A map for an input of `rows` rows, none of which lies in an output yet.
    pub fn new(rows: usize) -> Self {
        Self { rows: vec![GONE; rows] }
    }

    /// A map that leaves each of `rows`, which begin at 0, where it is.
    pub fn identity(rows: Range<RowId>) -> Self {
        Self { rows: rows.ids().collect() }
    }

    /// Row `row` of the input is row `target` of the outputs.
    pub fn set(&mut self, row: RowId, target: RowId) {
        if let Some(place) = self.rows.get_mut(row.index()) {
            *place = target;
        }
    }

    /// The row of the outputs that `row` of the input became.
    #[inline]
    pub fn get(&self, row: RowId) -> Option<RowId> {
        self.rows.get(row.index()).copied().filter(|&target| target != GONE)
    }

    /// The map for the one output that has the rows `own` of all outputs.
    pub fn within(&self, own: Range<RowId>) -> Self {
        let inside = |&target: &RowId| if own.contains(&target) { RowId(target - own.start) } else { GONE };
        Self { rows: self.rows.iter().map(inside).collect() }
    }

    /// How many rows of the input the outputs hold.
    pub fn kept(&self) -> usize {
        self.rows.iter().filter(|&&target| target != GONE).count()
    }
}

/// The places of all inputs of a job, while its outputs are written one after the other.
pub(crate) struct RowPlaces {
    maps: Vec<RowMap>,
    /// The rows of the outputs before the present one.
    before: u32,
    /// These, and the rows of the present one so far.
    rows: u32,
}

impl RowPlaces {
    /// For inputs with so many rows each.
    pub fn new(rows: impl Iterator<Item = usize>) -> Self {
        Self { maps: rows.map(RowMap::new).collect(), before: 0, rows: 0 }
    }

    /// The rows that are set from now on lie in the next output.
    pub fn begin_output(&mut self) {
        self.before = self.rows;
    }

    /// Row `row` of input `input` is row `target` of the present output, the last one so far.
    pub fn set(&mut self, input: usize, row: RowId, target: RowId) -> Result<()> {
        let place = self.before.checked_add(target.0).filter(|&place| place < GONE.0);
        let place = place.ok_or_else(|| Error::invalid("2^32 rows are too many for one merge"))?;
        if let Some(map) = self.maps.get_mut(input) {
            map.set(row, RowId(place));
        }
        self.rows = place + 1;
        Ok(())
    }

    /// For each input, its map for the present output alone.
    pub fn of_output(&self) -> Vec<RowMap> {
        self.maps.iter().map(|map| map.within(RowId(self.before)..RowId(self.rows))).collect()
    }

    /// For each input, its map for all outputs.
    pub fn into_maps(self) -> Vec<RowMap> {
        self.maps
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
        assert_eq!(map.within(RowId(7)..RowId(9)).get(RowId(1)), Some(RowId(0)));
        assert_eq!((map.within(RowId(7)..RowId(9)).kept(), map.within(RowId(1)..RowId(7)).kept()), (1, 0));
        let mut places = RowPlaces::new([3, 2].into_iter());
        for (input, row, target) in [(0, 0, 0), (1, 1, 1)] {
            places.set(input, RowId(row), RowId(target)).unwrap();
        }
        places.begin_output();
        places.set(0, RowId(2), RowId(0)).unwrap();
        let of_second: Vec<_> = places.of_output().iter().map(|map| [0, 1, 2].map(|row| map.get(RowId(row)))).collect();
        assert_eq!(of_second, [[None, None, Some(RowId(0))], [None; 3]]);
        assert_eq!(places.into_maps()[0].get(RowId(2)), Some(RowId(2)), "behind the two of the first output");
        let same = RowMap::identity(RowId::range(0..3));
        assert!(RowId::range(0..3).ids().all(|row| same.get(row) == Some(row)) && same.get(RowId(3)).is_none());
    }
}
