//! The values of one path during a build, and how they become its body in an index.

use crate::codec::Writer;
use crate::field_index::format::{BLOCK_ENTRIES, PathRecord};
use crate::field_index::grouped::group;
use crate::field_index::key::push_key;
use crate::field_index::key_numbers::{KeyBytes, KeyNumbers};
use crate::field_index::postings::{encode, write_varint};
use crate::ids::RowId;
use crate::json::Raw;

/// The postings of one path during a build.
pub(super) struct PathPostings {
    pub path: Box<[u8]>,
    pub is_forced: bool,
    /// The number of the path whose value came after the last one of this path: rows are mostly made alike.
    pub next: u32,
    keys: KeyNumbers,
    /// The key's number and the row, for each value. Of the last values, the length of the key stands for its number.
    values: Vec<(u32, RowId)>,
    /// How many values have their key's number.
    numbered: usize,
    /// The keys of the others. They are looked up many at a time: one by one, each look-up waits for memory.
    unnumbered: Vec<u8>,
}

impl PathPostings {
    pub fn new(path: Box<[u8]>, is_forced: bool) -> Self {
        let (keys, values, unnumbered) = (KeyNumbers::default(), Vec::new(), Vec::new());
        Self { path, is_forced, next: u32::MAX, keys, values, numbered: 0, unnumbered }
    }

    /// The number of values.
    pub fn values(&self) -> usize {
        self.values.len()
    }

    /// Adds a value of a row; about `unnumbered_max` bytes of keys wait for their numbers. `None` if the value is not
    /// JSON.
    pub fn add(&mut self, value: Raw<'_>, row: RowId, unnumbered_max: usize) -> Option<()> {
        let start = self.unnumbered.len();
        if push_key(&mut self.unnumbered, value).is_none() {
            self.unnumbered.truncate(start);
            return None;
        }
        self.values.push(((self.unnumbered.len() - start) as u32, row));
        if self.unnumbered.len() > unnumbered_max {
            self.number_keys();
        }
        Some(())
    }

    /// Numbers the keys of all values.
    fn number_keys(&mut self) {
        let mut left = self.unnumbered.as_slice();
        // The next key is often the same.
        let (mut before, mut number_before): (&[u8], u32) = (&[], 0);
        for (number, _) in self.values.get_mut(self.numbered..).unwrap_or_default() {
            let length = *number as usize;
            let (key, rest) = left.split_at(length);
            if key != before {
                (before, number_before) = (key, self.keys.number(left, length));
            }
            (*number, left) = (number_before, rest);
        }
        self.numbered = self.values.len();
        self.unnumbered.clear();
    }

    /// Appends a path with its blocks and postings.
    pub fn write(mut self, out: &mut Writer) -> PathRecord {
        self.number_keys();
        let Self { path, keys, values, .. } = self;
        let path_at = out.len();
        out.bytes(&path);
        let rows_by_key = group(&values, keys.len());
        let (mut blocks, mut entries, mut lists) = (Writer::new(), Writer::new(), Writer::new());
        let (mut before, mut pairs) = (KeyBytes::NONE, 0);
        for (at, sorted) in keys.sorted().iter().enumerate() {
            if at % BLOCK_ENTRIES == 0 {
                blocks.u32(entries.len() as u32);
                blocks.u32(lists.len() as u32);
                before = KeyBytes::NONE;
            }
            let (key, rows, start) = (keys.bytes(sorted), rows_by_key.of(sorted.number), lists.len());
            let rest = key.after_shared(&before);
            encode(&mut lists, rows);
            entries.u8((key.as_slice().len() - rest.len()) as u8);
            entries.u8(rest.len() as u8);
            entries.bytes(rest);
            write_varint(&mut entries, rows.len() as u64);
            write_varint(&mut entries, (lists.len() - start) as u64);
            pairs += rows.len();
            before = key;
        }
        let record = PathRecord {
            path_at: path_at as u64,
            path_bytes: path.len() as u32,
            keys: keys.len() as u32,
            values: pairs as u32,
            entry_bytes: entries.len() as u32,
            list_bytes: lists.len() as u32,
        };
        out.bytes(blocks.as_slice());
        out.bytes(entries.as_slice());
        out.bytes(lists.as_slice());
        record
    }
}
