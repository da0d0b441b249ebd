//! Rows by the number of their key, sorted in two passes over all values of a path.
//!
//! Invariant: within a group rows rise, as they do among the values, and none comes twice.

use crate::ids::RowId;

/// Rows grouped by the number of their key.
pub(super) struct Grouped {
    /// Where the rows of each key begin and end. Empty if each key has one row: the one at its number.
    bounds: Vec<[u32; 2]>,
    rows: Vec<RowId>,
}

impl Grouped {
    pub fn of(&self, number: u32) -> &[RowId] {
        match self.bounds.get(number as usize) {
            Some(&[start, end]) => &self.rows[start as usize..end as usize],
            None => std::slice::from_ref(&self.rows[number as usize]),
        }
    }
}

/// Groups the rows of `values`, which rise. A row may come several times with one key: an array may hold a value twice.
/// Each of the keys has a value, and their numbers are in the order of their first ones.
pub(super) fn group(values: &[(u32, RowId)], keys: usize) -> Grouped {
    if values.len() == keys {
        return Grouped { bounds: Vec::new(), rows: values.iter().map(|&(_, row)| row).collect() };
    }
    let mut bounds = vec![[0; 2]; keys];
    values.iter().for_each(|&(number, _)| bounds[number as usize][1] += 1);
    let mut next = 0;
    for [start, end] in &mut bounds {
        let count = *end;
        (*start, *end) = (next, next);
        next += count;
    }
    let mut rows = vec![RowId(0); values.len()];
    for &(number, row) in values {
        let [start, end] = &mut bounds[number as usize];
        if start == end || rows[*end as usize - 1] != row {
            rows[*end as usize] = row;
            *end += 1;
        }
    }
    Grouped { bounds, rows }
}
