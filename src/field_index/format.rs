//! How an index lies in its bytes.
//!
//! # Format
//!
//! Little endian. The bytes begin with the head, if the index was built by rules. Then come one body for each path, in
//! rising order of the paths; the rows that are indexed in part, the records of the paths, and the footer.
//!
//! ```text
//! HEAD
//! bytes of the rules u32, rows that are indexed in part at forced paths u32, bytes of their postings u32
//! the rules            as `rules.rs` has them
//! postings             of those rows
//!
//! BODY OF A PATH
//! the path             as `path.rs` has it
//! blocks, 8 bytes each for each 16 keys: where their entries begin u32, and where the postings of the first begin u32
//! entries              for each key, in rising order: bytes that it shares with the key before in its block u8, bytes
//! that
//! follow u8, these bytes (`key.rs` has the whole key), its number of rows varint, bytes of its postings varint
//! postings             of each key, in the same order (`postings.rs`)
//!
//! RECORD OF A PATH, 32 bytes
//! 0     8   where its body begins
//! 8     4   bytes of the path
//! 12    4   keys
//! 16    4   pairs of a key and a row
//! 20    4   bytes of the entries
//! 24    4   bytes of the postings
//! 28    4   0
//!
//! FOOTER, 32 bytes
//! 0     4   rows
//! 4     4   paths
//! 8     4   flags: 1 if every path of the rows is in the index, 2 if a value could not be read when it was built, 4 if
//!           there is a head. With a head: 8 if every path is in the index that the rules neither exclude nor force, 16
//!           if every path that they force is there; and never 1
//! 12    4   rows that are indexed in part
//! 16    8   where their postings begin; they end where the records begin
//! 24    8   where the records begin
//! ```

use std::ops::Range;

use crate::codec::{Decoded, Reader, Writer};
use crate::field_index::postings::encode;
use crate::field_index::rules::FieldRules;
use crate::ids::RowId;

/// Keys of one block.
pub(super) const BLOCK_ENTRIES: usize = 16;
pub(super) const BLOCK_BYTES: usize = 8;
pub(super) const RECORD_BYTES: usize = 32;
pub(super) const FOOTER_BYTES: usize = 32;

/// Bytes of the head before the rules.
pub(super) const HEAD_BYTES: usize = 12;

const COMPLETE: u32 = 1;
const UNREAD: u32 = 2;
const RULES: u32 = 4;
const OTHERS: u32 = 8;
const FORCED: u32 = 16;

/// Appends the head of an index built by `rules`. At forced paths, the rows of `partial` are indexed in part.
pub(super) fn write_head(out: &mut Writer, rules: &FieldRules, partial: &[RowId]) {
    let (mut text, mut postings) = (Writer::new(), Writer::new());
    rules.write(&mut text);
    encode(&mut postings, partial);
    [text.len(), partial.len(), postings.len()].iter().for_each(|&number| out.u32(number as u32));
    out.bytes(text.as_slice());
    out.bytes(postings.as_slice());
}

/// The head of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct IndexHead {
    rules_bytes: u32,
    /// Rows that are indexed in part at forced paths.
    pub partial_rows: u32,
    partial_bytes: u32,
}

impl IndexHead {
    pub fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self { rules_bytes: reader.u32()?, partial_rows: reader.u32()?, partial_bytes: reader.u32()? })
    }

    /// The rules.
    pub fn rules(&self) -> Range<u64> {
        HEAD_BYTES as u64..HEAD_BYTES as u64 + u64::from(self.rules_bytes)
    }

    /// The postings of the rows that are indexed in part.
    pub fn partial(&self) -> Range<u64> {
        self.rules().end..self.rules().end + u64::from(self.partial_bytes)
    }
}

/// Where the parts of a path lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct PathRecord {
    pub path_at: u64,
    pub path_bytes: u32,
    pub keys: u32,
    pub values: u32,
    pub entry_bytes: u32,
    pub list_bytes: u32,
}

impl PathRecord {
    pub fn write(&self, out: &mut Writer) {
        out.u64(self.path_at);
        for number in [self.path_bytes, self.keys, self.values, self.entry_bytes, self.list_bytes, 0] {
            out.u32(number);
        }
    }

    pub fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        let path_at = reader.u64()?;
        let (path_bytes, keys, values) = (reader.u32()?, reader.u32()?, reader.u32()?);
        let (entry_bytes, list_bytes) = (reader.u32()?, reader.u32()?);
        Ok(Self { path_at, path_bytes, keys, values, entry_bytes, list_bytes })
    }

    /// The path.
    pub fn path(&self) -> Range<u64> {
        self.path_at..self.path_at.saturating_add(u64::from(self.path_bytes))
    }

    /// The blocks.
    pub fn blocks(&self) -> Range<u64> {
        let start = self.path().end;
        start..start.saturating_add(BLOCK_BYTES as u64 * u64::from(self.keys).div_ceil(BLOCK_ENTRIES as u64))
    }

    /// The entries.
    pub fn entries(&self) -> Range<u64> {
        let start = self.blocks().end;
        start..start.saturating_add(u64::from(self.entry_bytes))
    }

    /// The postings.
    pub fn lists(&self) -> Range<u64> {
        let start = self.entries().end;
        start..start.saturating_add(u64::from(self.list_bytes))
    }
}

/// The end of an index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Footer {
    pub rows: u32,
    pub paths: u32,
    /// Whether every path is there that the rules neither exclude nor force.
    pub has_others: bool,
    /// Whether every path is there that the rules force.
    pub has_forced: bool,
    pub has_rules: bool,
    pub has_unread: bool,
    pub partial_rows: u32,
    pub partial_at: u64,
    pub records_at: u64,
}

impl Footer {
    pub fn write(&self, out: &mut Writer) {
        let flags = match self.has_rules {
            false => [(self.has_others, COMPLETE), (false, 0), (false, 0)],
            true => [(true, RULES), (self.has_others, OTHERS), (self.has_forced, FORCED)],
        };
        let flags = flags.into_iter().chain([(self.has_unread, UNREAD)]);
        let flags = flags.filter_map(|(is_set, flag)| is_set.then_some(flag)).sum();
        [self.rows, self.paths, flags, self.partial_rows].iter().for_each(|&number| out.u32(number));
        out.u64(self.partial_at);
        out.u64(self.records_at);
    }

    pub fn read(reader: &mut Reader<'_>) -> Decoded<Self> {
        let (rows, paths, flags, partial_rows) = (reader.u32()?, reader.u32()?, reader.u32()?, reader.u32()?);
        let (partial_at, records_at) = (reader.u64()?, reader.u64()?);
        let is_set = |flag: u32| flags & flag != 0;
        let (has_rules, has_unread) = (is_set(RULES), is_set(UNREAD));
        let has_others = is_set(if has_rules { OTHERS } else { COMPLETE });
        let has_forced = !has_rules || is_set(FORCED);
        Ok(Self { rows, paths, has_others, has_forced, has_rules, has_unread, partial_rows, partial_at, records_at })
    }
}
