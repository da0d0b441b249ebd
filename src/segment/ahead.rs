//! What a read of one namespace needs of the disk, asked for together: a read that waits for one block after the other
//! takes as many times as long.
//!
//! Each round finds out what the next one asks for: the bucket of the namespace, its entry in the directory, its name
//! and the columns of its rows, and their values. All segments take a round before the next one.
//!
//! Invariants:
//! * Where the bucket was checked before, in each segment, nothing is done: most of the rest was read then too.
//! * Bytes are looked at before they are checked, so they decide what is asked for and nothing else.

use std::ops::Range;

use crate::ids::{IdRange, RowId, VectorId};
use crate::segment::Segment;

/// Of a namespace with more rows, only the blocks of the first and the last row are asked for, and no values.
const ROWS_MAX: u32 = 16;

/// Asks the system for what a search of this namespace reads of the segments.
pub(crate) fn read_ahead_namespace<'a>(segments: impl Iterator<Item = &'a Segment>, namespace: &[u8]) {
    let cold: Vec<&Segment> = segments.filter(|segment| segment.ask_for_namespace(namespace)).collect();
    let entries: Vec<(&Segment, u32)> =
        cold.iter().filter_map(|segment| Some((*segment, segment.ask_for_entry(namespace)?))).collect();
    let rows: Vec<(&Segment, Range<RowId>)> =
        entries.iter().filter_map(|&(segment, entry)| Some((segment, segment.ask_for_name(entry)?))).collect();
    rows.iter().for_each(|(segment, rows)| segment.ask_for_rows(rows));
    for (segment, rows) in rows.iter().filter(|(_, rows)| rows.len() <= ROWS_MAX as usize) {
        rows.clone().ids().for_each(|row| segment.prefetch_value(row));
    }
}

/// Asks the system for the buckets in which a look-up of this key begins.
pub(crate) fn read_ahead_key<'a>(segments: impl Iterator<Item = &'a Segment>, namespace: &[u8], key: &str) {
    segments.for_each(|segment| segment.ask_for_key(namespace, key));
}

impl Segment {
    /// Asks for the columns, the codes and the vectors of the first and the last of these rows.
    fn ask_for_rows(&self, rows: &Range<RowId>) {
        for row in [rows.start, RowId(rows.end.0.saturating_sub(1))] {
            self.prefetch_row(row);
            self.ask_for_vector_of(row);
            if let Some(codes) = self.derived.all_codes().filter(|_| self.has_one_vector_each()) {
                codes.read_ahead(VectorId(row.0));
            }
        }
    }
}
