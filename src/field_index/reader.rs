//! Reading a field index: finding a path, a key, and the rows of keys.
//!
//! Invariants:
//! * Only the bytes that an answer needs are read, and each range of them is checked before ([`IndexBytes::read`]).
//! * Every number in the bytes is compared with what it counts before it is used.

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::codec::{Decoded, FormatError, Reader};
use crate::error::Result;
use crate::field_index::format::{
    BLOCK_BYTES, BLOCK_ENTRIES, FOOTER_BYTES, Footer, HEAD_BYTES, IndexHead, PathRecord, RECORD_BYTES,
};
use crate::field_index::path::describe;
use crate::field_index::postings::{decode, read_varint};
use crate::field_index::rules::{FieldRules, PathChoice, PreparedRules, RULES_BYTES_MAX};
use crate::ids::RowId;
use crate::row_set::{RowSet, RowSetBuilder};

/// The bytes of an index, wherever they lie.
pub(crate) trait IndexBytes {
    /// How many there are.
    fn length(&self) -> u64;

    /// The bytes of a range, checked. Fails if the range is not within the bytes, or if they are damaged.
    fn read(&self, range: Range<u64>) -> Result<&[u8]>;
}

impl IndexBytes for Vec<u8> {
    fn length(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, range: Range<u64>) -> Result<&[u8]> {
        let outside = FormatError { offset: range.start as usize, what: "a range lies outside of the index" };
        self.get(range.start as usize..range.end as usize).ok_or_else(|| malformed(outside))
    }
}

/// An entry that does not follow from the one before.
const SHARES_TOO_MUCH: &str = "a key shares more bytes than the key before has";

fn malformed(error: FormatError) -> crate::error::Error {
    error.in_part("a field index")
}

/// Decodes what lies in `range`.
fn decoded<T>(bytes: &dyn IndexBytes, range: Range<u64>, read: impl Fn(&mut Reader<'_>) -> Decoded<T>) -> Result<T> {
    read(&mut Reader::new(bytes.read(range)?)).map_err(malformed)
}

/// An index.
#[derive(Clone)]
pub(crate) struct FieldIndex<'a> {
    bytes: &'a dyn IndexBytes,
    footer: Footer,
    /// `None` if it was built without rules.
    rules: Option<Arc<IndexRules>>,
}

/// The rules that an index was built by.
#[derive(Debug)]
pub(crate) struct IndexRules {
    prepared: Arc<PreparedRules>,
    head: IndexHead,
}

/// What an index says of a path.
pub(super) enum FoundPath<'a> {
    /// No row has a value there, except perhaps those that are indexed in part.
    Absent,
    /// Nothing.
    Unknown,
    Found(PathIndex<'a>),
}

/// A path and its size, for statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathFacts {
    /// The keys of the path, with dots between; `[]` at the end stands for the elements of arrays.
    pub path: String,
    /// Distinct values.
    pub keys: u32,
    /// Pairs of a value and a row that has it.
    pub values: u32,
    pub bytes: u64,
}

impl<'a> FieldIndex<'a> {
    /// An index over `rows` rows.
    pub fn open(bytes: &'a dyn IndexBytes, rows: u32) -> Result<Self> {
        Self::open_known(bytes, rows, &OnceLock::new())
    }

    /// The same, with the rules of the index if they were read before.
    pub fn open_known(bytes: &'a dyn IndexBytes, rows: u32, known: &OnceLock<Arc<IndexRules>>) -> Result<Self> {
        let end = bytes.length();
        let footer = decoded(bytes, end.saturating_sub(FOOTER_BYTES as u64)..end, |reader| {
            let footer = Footer::read(reader)?;
            let records = u64::from(footer.paths) * RECORD_BYTES as u64 + FOOTER_BYTES as u64;
            let fits = footer.partial_at <= footer.records_at && footer.records_at.checked_add(records) == Some(end);
            if fits && footer.rows == rows {
                Ok(footer)
            } else {
                Err(reader.malformed("the index is one of other rows"))
            }
        })?;
        let rules = match (footer.has_rules, known.get()) {
            (false, _) => None,
            (true, Some(rules)) => Some(Arc::clone(rules)),
            (true, None) => {
                let rules = Arc::new(read_rules(bytes, footer.partial_at)?);
                let _ = known.set(Arc::clone(&rules));
                Some(rules)
            }
        };
        Ok(Self { bytes, footer, rules })
    }

    /// The rules that the index was built by.
    pub fn rules(&self) -> Arc<PreparedRules> {
        self.rules.as_ref().map_or_else(Arc::default, |rules| Arc::clone(&rules.prepared))
    }

    /// Whether the rules force the paths with these keys, and the index has them wherever they are.
    pub(super) fn is_forced<'k>(&self, keys: impl Iterator<Item = &'k str>) -> bool {
        self.rules.as_ref().is_some_and(|rules| {
            self.footer.has_forced && rules.prepared.has_forced() && rules.prepared.of_keys(keys) == PathChoice::Forced
        })
    }

    /// Whether a value could not be read when the index was built: it knows less than follows from the values.
    pub fn has_unread(&self) -> bool {
        self.footer.has_unread
    }

    /// The number of rows.
    pub(super) fn rows(&self) -> u32 {
        self.footer.rows
    }

    fn record(&self, number: u32) -> Result<PathRecord> {
        let start = self.footer.records_at + u64::from(number) * RECORD_BYTES as u64;
        decoded(self.bytes, start..start + RECORD_BYTES as u64, PathRecord::read)
    }

    /// Looks for a path.
    pub(super) fn find(&self, path: &[u8]) -> Result<FoundPath<'a>> {
        let (mut low, mut high) = (0, self.footer.paths);
        while low < high {
            let middle = low + (high - low) / 2;
            let record = self.record(middle)?;
            match self.bytes.read(record.path())?.cmp(path) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => return PathIndex::new(self.bytes, record).map(FoundPath::Found),
            }
        }
        let is_known = match self.rules.as_ref().map_or(PathChoice::Automatic, |rules| rules.prepared.of_path(path)) {
            PathChoice::Automatic => self.footer.has_others,
            PathChoice::Forced => self.footer.has_forced,
            PathChoice::Excluded => false,
        };
        Ok(if is_known { FoundPath::Absent } else { FoundPath::Unknown })
    }

    /// The rows of `interval` about which the index does not know everything. Of paths that [`are
    /// forced`](Self::is_forced) it may know more.
    pub(super) fn partial(&self, interval: &Range<RowId>, is_forced: bool) -> Result<RowSet> {
        let (rows, place) = match &self.rules {
            Some(rules) if is_forced => (rules.head.partial_rows, rules.head.partial()),
            _ => (self.footer.partial_rows, self.footer.partial_at..self.footer.records_at),
        };
        let mut builder = RowSetBuilder::new(interval.clone());
        if rows > 0 {
            decode(self.bytes.read(place)?, rows, interval, &mut builder).map_err(malformed)?;
        }
        Ok(builder.finish())
    }

    /// The paths, in the order of their bytes.
    pub fn paths(&self) -> Result<Vec<PathFacts>> {
        let facts = |number| {
            let record = self.record(number)?;
            let path = describe(self.bytes.read(record.path())?);
            let bytes = record.lists().end - record.path_at;
            Ok(PathFacts { path, keys: record.keys, values: record.values, bytes })
        };
        (0..self.footer.paths).map(facts).collect()
    }

    /// Reads everything.
    #[cfg(feature = "testing")]
    pub fn verify(&self) -> Result<()> {
        let all = RowId(0)..RowId(self.footer.rows);
        self.partial(&all, false)?;
        self.partial(&all, true)?;
        for number in 0..self.footer.paths {
            let path = PathIndex::new(self.bytes, self.record(number)?)?;
            let mut found = 0;
            let mut entries = path.entries(0..path.keys())?;
            while let Some(entry) = entries.next()? {
                let mut builder = RowSetBuilder::new(all.clone());
                path.decode(&entry, &all, &mut builder)?;
                if builder.finish().len() != entry.rows as usize {
                    return Err(malformed(FormatError { offset: 0, what: "postings have another number of rows" }));
                }
                found += 1;
            }
            if found != path.keys() {
                return Err(malformed(FormatError { offset: 0, what: "a path has fewer keys than its record says" }));
            }
        }
        Ok(())
    }
}

/// Reads the head of an index whose bodies end at `end`.
fn read_rules(bytes: &dyn IndexBytes, end: u64) -> Result<IndexRules> {
    let head = decoded(bytes, 0..HEAD_BYTES as u64, IndexHead::read)?;
    let is_bounded = head.rules().end <= (HEAD_BYTES + RULES_BYTES_MAX) as u64 && head.partial().end <= end;
    if !is_bounded {
        return Err(malformed(FormatError { offset: 0, what: "the field rules of an index are too long" }));
    }
    let rules = decoded(bytes, head.rules(), |reader| {
        let rules = FieldRules::read(reader)?;
        reader.finish().map(|()| rules)
    })?;
    Ok(IndexRules { prepared: Arc::new(PreparedRules::new(rules)), head })
}

/// The postings of one path.
#[derive(Clone, Copy)]
pub(super) struct PathIndex<'a> {
    bytes: &'a dyn IndexBytes,
    record: PathRecord,
    blocks: &'a [[u8; BLOCK_BYTES]],
}

/// A key and where its rows are.
pub(super) struct Entry {
    pub rows: u32,
    /// Where the postings lie among those of the path.
    list: Range<u64>,
}

impl<'a> PathIndex<'a> {
    fn new(bytes: &'a dyn IndexBytes, record: PathRecord) -> Result<Self> {
        let (blocks, _) = bytes.read(record.blocks())?.as_chunks();
        Ok(Self { bytes, record, blocks })
    }

    /// The number of keys.
    pub fn keys(&self) -> u32 {
        self.record.keys
    }

    /// Pairs of a key and a row.
    pub fn values(&self) -> usize {
        self.record.values as usize
    }

    /// Whether each of `rows` rows has a value at the path. No row has two: an array is one value, and its elements
    /// have a path of their own.
    pub fn has_all(&self, rows: u32) -> bool {
        self.record.values >= rows
    }

    /// Where the entries of a block begin, and the postings of its first key.
    fn block(&self, number: usize) -> [u64; 2] {
        let [a, b, c, d, rest @ ..] = self.blocks.get(number).copied().unwrap_or_default();
        [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes(rest)].map(u64::from)
    }

    /// The bytes of the entries of these blocks, of which there is at least one.
    fn entry_bytes(&self, blocks: Range<usize>) -> Result<&'a [u8]> {
        let [start, _] = self.block(blocks.start);
        let all = u64::from(self.record.entry_bytes);
        // The entries end with those of the last block that is needed.
        let end = if blocks.end < self.blocks.len() { self.block(blocks.end)[0] } else { all };
        if start > end || end > all {
            return Err(malformed(FormatError { offset: 0, what: "the blocks of a field index do not rise" }));
        }
        let from = self.record.entries().start;
        self.bytes.read(from + start..from + end)
    }

    /// The entries of these keys.
    pub fn entries(&self, keys: Range<u32>) -> Result<Entries<'a>> {
        let block = keys.start as usize / BLOCK_ENTRIES;
        let bytes = self.entry_bytes(block..(keys.end as usize).div_ceil(BLOCK_ENTRIES).max(block))?;
        let (list_at, next) = (self.block(block)[1], (block * BLOCK_ENTRIES) as u32);
        let mut entries = Entries { reader: Reader::new(bytes), list_at, next, end: keys.end, key: Vec::new() };
        while entries.next < keys.start && entries.next()?.is_some() {}
        Ok(entries)
    }

    /// The first key of a block.
    fn first_key(&self, block: usize) -> Result<&'a [u8]> {
        let mut reader = Reader::new(self.entry_bytes(block..block + 1)?);
        let mut read = || match (reader.u8()?, reader.u8()?) {
            (0, length) => reader.bytes(usize::from(length)),
            _ => Err(reader.malformed(SHARES_TOO_MUCH)),
        };
        read().map_err(malformed)
    }

    /// The number of the first key that is not below `key`.
    pub fn lower_bound(&self, key: &[u8]) -> Result<u32> {
        self.position(key).map(|(number, _)| number)
    }

    /// The number of the first key that is not below `key`, and whether it is `key`.
    pub fn position(&self, key: &[u8]) -> Result<(u32, bool)> {
        // The last block whose first key is below `key` holds the place, or it lies right behind that block.
        let (mut low, mut high) = (0, self.blocks.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_key(middle)?.cmp(key) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Ok(((middle * BLOCK_ENTRIES) as u32, true)),
                Ordering::Greater => high = middle,
            }
        }
        let Some(block) = low.checked_sub(1) else { return Ok((0, false)) };
        let (start, end) = ((block * BLOCK_ENTRIES) as u32, ((low * BLOCK_ENTRIES) as u32).min(self.keys()));
        let mut entries = self.entries(start..end)?;
        for number in start..end {
            if entries.next()?.is_none() || entries.key() >= key {
                return Ok((number, entries.key() == key));
            }
        }
        Ok((end, false))
    }

    /// Adds those rows of an entry that lie in `interval`.
    pub fn decode(&self, entry: &Entry, interval: &Range<RowId>, into: &mut RowSetBuilder) -> Result<()> {
        let lists = self.record.lists();
        let (start, end) = (lists.start.saturating_add(entry.list.start), lists.start.saturating_add(entry.list.end));
        if end > lists.end {
            return Err(malformed(FormatError { offset: 0, what: "postings end after those of their path" }));
        }
        decode(self.bytes.read(start..end)?, entry.rows, interval, into).map_err(malformed)
    }
}

/// A walk over consecutive keys.
pub(super) struct Entries<'a> {
    reader: Reader<'a>,
    list_at: u64,
    next: u32,
    end: u32,
    key: Vec<u8>,
}

impl Entries<'_> {
    /// The key of the last entry that [`next`](Self::next) returned.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// The next entry.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        if self.next >= self.end {
            return Ok(None);
        }
        self.read().map(Some).map_err(malformed)
    }

    fn read(&mut self) -> Decoded<Entry> {
        let reader = &mut self.reader;
        let (shared, rest) = (usize::from(reader.u8()?), usize::from(reader.u8()?));
        let kept = if (self.next as usize).is_multiple_of(BLOCK_ENTRIES) { 0 } else { self.key.len() };
        if shared > kept {
            return Err(reader.malformed(SHARES_TOO_MUCH));
        }
        self.key.truncate(shared);
        self.key.extend_from_slice(reader.bytes(rest)?);
        let (rows, length) = (read_varint(reader)?, read_varint(reader)?);
        let rows = u32::try_from(rows).map_err(|_| reader.malformed("a key has more rows than there can be"))?;
        let end = self.list_at.checked_add(length).ok_or(reader.malformed("postings are too long"))?;
        let list = self.list_at..end;
        self.list_at = end;
        self.next += 1;
        Ok(Entry { rows, list })
    }
}
