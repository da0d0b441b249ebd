//! The rows that a search has looked at: a set with a cheap hash, and counts.
//!
//! Invariant: the order of the rows in the set decides nothing.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use crate::ids::RowId;

pub(super) type SeenRows = HashSet<RowId, BuildHasherDefault<RowHasher>>;

/// What the searches of one graph have looked at.
#[derive(Default)]
pub(super) struct SeenCounts {
    /// The rows whose candidates were examined.
    pub examined: usize,
    /// How many of them the field index excludes: no value of theirs is read.
    pub excluded: usize,
    /// The results and the cost of the first, short search, if there was one.
    pub kept_before: usize,
    pub spent_before_ns: f64,
}

/// Spreads row numbers over a table.
#[derive(Default)]
pub(super) struct RowHasher(u64);

impl Hasher for RowHasher {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u32(u32::from(byte)));
    }

    fn write_u32(&mut self, row: u32) {
        let mixed = (self.0 ^ u64::from(row)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 32);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
