//! Builds a field index from the values of rows.
//!
//! Invariants:
//! * The same values give the same bytes.
//! * Memory is that of the distinct keys and of eight bytes for each value in them. What exceeds a limit is left out,
//!   and the index says so: of a row ([`FieldIndexBuilder::push`]), or of all rows ([`PATHS_MAX`]).

use std::collections::HashMap;

use crate::codec::Writer;
use crate::field_index::format::{BLOCK_ENTRIES, Footer, PathRecord};
use crate::field_index::key::{KEY_BYTES_MAX, push_key};
use crate::field_index::path::{KEYS_MAX, PATH_BYTES_MAX, push, push_elements};
use crate::field_index::postings::{encode, write_varint};
use crate::ids::RowId;
use crate::json::{JsonReader, Raw};

/// The most paths of an index. Of more, those with the most rows are kept.
pub(crate) const PATHS_MAX: usize = 1_024;
/// The most paths that a build counts. Rows with others are indexed in part.
const PATHS_COUNTED_MAX: usize = 16 * PATHS_MAX;
/// The most scalars, arrays and objects of one row that are indexed. A row with more is indexed in part.
const ROW_VALUES_MAX: usize = 4_096;
/// The same of all rows together, so that a build takes at most half a gigabyte for them.
const VALUES_MAX: usize = 1 << 26;

/// The postings of one path during a build.
#[derive(Default)]
struct PathPostings {
    /// The number of each key, in the order of their first rows.
    numbers: HashMap<Box<[u8]>, u32>,
    /// The key's number and the row, for each value.
    values: Vec<(u32, RowId)>,
}

/// An index under construction.
#[derive(Default)]
pub(crate) struct FieldIndexBuilder {
    paths: HashMap<Box<[u8]>, PathPostings>,
    /// Rows that are indexed in part, or not at all.
    partial: Vec<RowId>,
    rows: u32,
    has_unread: bool,
    values: usize,
    key: Vec<u8>,
}

/// The walk through one value.
struct ValueWalk<'b> {
    paths: &'b mut HashMap<Box<[u8]>, PathPostings>,
    key: &'b mut Vec<u8>,
    path: Vec<u8>,
    row: RowId,
    /// How many more values may be added.
    room: usize,
    is_partial: bool,
}

impl FieldIndexBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the value of the next row; `None` if it cannot be read. Such a row is in the index as one about which
    /// nothing is known, and so is a row of which a part was left out.
    pub fn push(&mut self, value: Option<&[u8]>) {
        let row = RowId(self.rows);
        self.rows += 1;
        self.has_unread |= value.is_none();
        let Self { paths, key, .. } = self;
        let room = ROW_VALUES_MAX.min(VALUES_MAX - self.values);
        let mut walk = ValueWalk { paths, key, path: Vec::new(), row, room, is_partial: false };
        let walked = value.and_then(|value| walk.object(&mut JsonReader::new(value), 0));
        self.values += room - walk.room;
        if walked.is_none() || walk.is_partial {
            self.partial.push(row);
        }
    }

    /// The bytes of the index.
    pub fn finish(self) -> Vec<u8> {
        let mut paths: Vec<(Box<[u8]>, PathPostings)> = self.paths.into_iter().collect();
        let is_complete = paths.len() <= PATHS_MAX;
        if !is_complete {
            paths.sort_by(|a, b| b.1.values.len().cmp(&a.1.values.len()).then_with(|| a.0.cmp(&b.0)));
            paths.truncate(PATHS_MAX);
        }
        paths.sort_by(|a, b| a.0.cmp(&b.0));
        let mut out = Writer::new();
        let mut records = Vec::with_capacity(paths.len());
        for (path, postings) in paths {
            let path_at = out.len();
            out.bytes(&path);
            records.push(write_path(&mut out, path_at, path.len(), postings));
        }
        let partial_at = out.len();
        if !self.partial.is_empty() {
            encode(&mut out, &self.partial);
        }
        let records_at = out.len();
        let (partial_rows, paths) = (self.partial.len() as u32, records.len() as u32);
        records.iter().for_each(|record| record.write(&mut out));
        let footer = Footer {
            rows: self.rows,
            paths,
            is_complete,
            has_unread: self.has_unread,
            partial_rows,
            partial_at: partial_at as u64,
            records_at: records_at as u64,
        };
        footer.write(&mut out);
        out.into_vec()
    }
}

/// Appends blocks and postings of one path.
fn write_path(out: &mut Writer, path_at: usize, path_bytes: usize, postings: PathPostings) -> PathRecord {
    let PathPostings { numbers, mut values } = postings;
    // An array may hold one value many times.
    let mut last = vec![None; numbers.len()];
    values.retain(|&(number, row)| last[number as usize].replace(row) != Some(row));
    let mut keys: Vec<(Box<[u8]>, u32)> = numbers.into_iter().collect();
    keys.sort_unstable();
    let rows_by_key = group(&values, keys.len());
    let (mut blocks, mut entries, mut lists) = (Writer::new(), Writer::new(), Writer::new());
    let mut before: &[u8] = &[];
    for (at, (key, number)) in keys.iter().enumerate() {
        if at % BLOCK_ENTRIES == 0 {
            blocks.u32(entries.len() as u32);
            blocks.u32(lists.len() as u32);
            before = &[];
        }
        let rows = rows_by_key.of(*number);
        let (shared, start) = (key.iter().zip(before).take_while(|(a, b)| a == b).count(), lists.len());
        encode(&mut lists, rows);
        entries.u8(shared as u8);
        entries.u8((key.len() - shared) as u8);
        entries.bytes(&key[shared..]);
        write_varint(&mut entries, rows.len() as u64);
        write_varint(&mut entries, (lists.len() - start) as u64);
        before = key;
    }
    let record = PathRecord {
        path_at: path_at as u64,
        path_bytes: path_bytes as u32,
        keys: keys.len() as u32,
        values: values.len() as u32,
        entry_bytes: entries.len() as u32,
        list_bytes: lists.len() as u32,
    };
    out.bytes(blocks.as_slice());
    out.bytes(entries.as_slice());
    out.bytes(lists.as_slice());
    record
}

/// Rows grouped by the number of their key.
struct Grouped {
    starts: Vec<u32>,
    rows: Vec<RowId>,
}

impl Grouped {
    fn of(&self, number: u32) -> &[RowId] {
        &self.rows[self.starts[number as usize] as usize..self.starts[number as usize + 1] as usize]
    }
}

/// Groups the rows; within a group they rise, as in `values`, and none comes twice.
fn group(values: &[(u32, RowId)], keys: usize) -> Grouped {
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

impl ValueWalk<'_> {
    /// Adds the members of the object at the reader, and steps over it. `None` if the bytes are not JSON.
    fn object(&mut self, reader: &mut JsonReader<'_>, depth: usize) -> Option<()> {
        let mut more = reader.enter()?;
        while more {
            let key = reader.key()?.decode()?;
            let length = self.path.len();
            push(&mut self.path, key.as_bytes());
            self.member(reader, depth + 1)?;
            self.path.truncate(length);
            more = reader.more()?;
        }
        Some(())
    }

    /// Adds the value at the reader, which stands at the current path, and steps over it.
    fn member(&mut self, reader: &mut JsonReader<'_>, depth: usize) -> Option<()> {
        let value = reader.value()?;
        if depth > KEYS_MAX || self.path.len() > PATH_BYTES_MAX {
            // Filters on such paths ask the values.
            return if let Raw::Array(_) | Raw::Object(_) = value { reader.skip() } else { Some(()) };
        }
        self.add(value)?;
        match value {
            Raw::Object(_) if self.room == 0 => {
                self.is_partial = true;
                reader.skip()
            }
            Raw::Object(_) => self.object(reader, depth),
            Raw::Array(_) => self.elements(reader),
            _ => Some(()),
        }
    }

    /// Adds the elements of the array at the reader, and steps over it.
    fn elements(&mut self, reader: &mut JsonReader<'_>) -> Option<()> {
        let length = self.path.len();
        push_elements(&mut self.path);
        let mut more = reader.enter()?;
        while more {
            let element = reader.value()?;
            self.add(element)?;
            if let Raw::Array(_) | Raw::Object(_) = element {
                reader.skip()?;
            }
            more = reader.more()?;
        }
        self.path.truncate(length);
        Some(())
    }

    /// Adds one value at the current path.
    fn add(&mut self, value: Raw<'_>) -> Option<()> {
        let has_room = self.paths.len() < PATHS_COUNTED_MAX || self.paths.contains_key(self.path.as_slice());
        if self.room == 0 || !has_room {
            self.is_partial = true;
            return Some(());
        }
        self.room -= 1;
        self.key.clear();
        push_key(self.key, value)?;
        debug_assert!(self.key.len() <= KEY_BYTES_MAX);
        let postings = match self.paths.get_mut(self.path.as_slice()) {
            Some(postings) => postings,
            None => self.paths.entry(self.path.as_slice().into()).or_default(),
        };
        let next = postings.numbers.len() as u32;
        let number = match postings.numbers.get(self.key.as_slice()) {
            Some(&number) => number,
            None => *postings.numbers.entry(self.key.as_slice().into()).or_insert(next),
        };
        postings.values.push((number, self.row));
        Some(())
    }
}
