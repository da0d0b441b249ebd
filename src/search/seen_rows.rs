//! The rows that a search has looked at: a set with a cheap hash.
//!
//! Invariant: the order of the rows in the set decides nothing.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};

use crate::ids::RowId;

pub(super) type SeenRows = HashSet<RowId, BuildHasherDefault<RowHasher>>;

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
