//! What became of the rows of an input: for each of them the row of the output, or none.

/// The sentinel of a row that is not in the output. No other file knows it.
const DROPPED: u32 = u32::MAX;

/// For each row of an input, its row in the output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowMap(Vec<u32>);

impl RowMap {
    /// A map of `rows` rows, none of which is in the output yet.
    pub fn new(rows: usize) -> Self {
        Self(vec![DROPPED; rows])
    }

    /// A map of `rows` rows that stay where they are.
    pub fn identity(rows: u32) -> Self {
        Self((0..rows).collect())
    }

    /// Notes that `row` became the row `target` of the output. A row beyond the map stays unknown.
    pub fn set(&mut self, row: u32, target: u32) {
        debug_assert_ne!(target, DROPPED, "an output has fewer rows");
        if let Some(entry) = self.0.get_mut(row as usize) {
            *entry = target;
        }
    }

    /// The row of the output that `row` became; `None` if it was dropped.
    pub fn get(&self, row: u32) -> Option<u32> {
        self.0.get(row as usize).copied().filter(|&target| target != DROPPED)
    }

    /// How many rows are in the output.
    pub fn kept(&self) -> u64 {
        self.0.iter().filter(|&&target| target != DROPPED).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_dropped_until_it_has_a_target() {
        let mut map = RowMap::new(3);
        assert_eq!(((0..4).map(|row| map.get(row)).collect::<Vec<_>>(), map.kept()), (vec![None; 4], 0));
        map.set(1, 0);
        map.set(9, 1);
        assert_eq!(
            ((0..4).map(|row| map.get(row)).collect::<Vec<_>>(), map.kept()),
            (vec![None, Some(0), None, None], 1)
        );
        assert_eq!((RowMap::identity(2).get(1), RowMap::identity(2).get(2)), (Some(1), None));
    }
}
