//! Rows by the number of their key, sorted in two passes over all values of a path.
//!
//! Invariant: within a group rows rise, as they do among the values.

use crate::ids::RowId;

/// Rows grouped by the number of their key.
pub(super) struct Grouped {
    starts: Vec<u32>,
    rows: Vec<RowId>,
}

impl Grouped {
    pub fn of(&self, number: u32) -> &[RowId] {
        &self.rows[self.starts[number as usize] as usize..self.starts[number as usize + 1] as usize]
    }
}

/// Groups the rows; within a group they rise, as in `values`, and none comes twice.
pub(super) fn group(values: &[(u32, RowId)], keys: usize) -> Grouped {
    let mut starts = vec![0_u32; keys + 1];
    values.iter().for_each(|&(number, _)| starts[number as usize + 1] += 1);
    for number in 0..keys {
        starts[number + 1] += starts[number];
    }
    let mut next = starts.clone();
    let mut rows = vec![RowId(0); values.len()];
    for &(number, row) in values {
        rows[next[number as usize] as usize] = row;
        next[number as usize] += 1;
    }
    Grouped { starts, rows }
}
