//! Files in checked blocks: the frame that truth, blob and derived files share.
//!
//! Invariants:
//! * Every byte of a file lies under a CRC-32C that is seeded with (magic, store id, file id), and in the body with the
//!   block number too. Bytes that rot, move, or come from another file do not verify.
//! * The header is written last, so an unfinished file has none. Its CRC covers the CRC of the table, and so every byte
//!   of the file: the header CRC identifies the content.
//! * A reader checks a block when it first needs it, before its loop. Later reads do not check it again. Checked bytes
//!   are still not trusted: a reader compares each range that it reads from the file with the bounds of the file.
//!
//! # Format
//!
//! Little endian.
//!
//! ```text
//! OFFSET    SIZE    MEANING
//! 0         8       magic
//! 8         4       format version
//! 12        4       oldest reader version that understands the file
//! 16        8       store id
//! 24        8       file id
//! 32        8       length of the file
//! 40        8       end of the body, a multiple of 64
//! 48        4       CRC-32C of the table
//! 52        12      0
//! 64        4028    fields of the file kind, then 0
//! 4092      4       CRC-32C of the 4092 bytes before
//! 4096      ...     body, in blocks of 65536 bytes from here; the last one may be shorter
//! body end  4 each  table: the CRC-32C of each block
//! ```

use std::ops::Range;

use crate::codec::{Reader, Writer, salted_crc32c, seed};
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::GoOn;
use crate::storage::{Map, Storage, StorageFile};
use crate::sync::{AtomicU64, Ordering};

/// Bytes of the header; the body begins here.
pub(crate) const HEADER_BYTES: usize = 4 << 10;
/// Bytes under one checksum.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
/// A writer syncs its file each time it has written this many blocks, so that a sync of the log never waits behind a
/// whole segment.
const SYNC_BLOCKS: usize = 512;
/// Blocks that are read ahead of a loop through a file.
const BLOCKS_AHEAD: usize = 4;
/// The alignment of every section.
pub(crate) const ALIGNMENT: usize = 64;

/// Where the fields of the file kind begin.
pub(crate) const FIELDS_AT: usize = 64;
const CRC_AT: usize = HEADER_BYTES - 4;

/// The file and the store that the checksums of a file are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileIdentity {
    pub magic: [u8; 8],
    pub version: u32,
    pub store_id: u64,
    pub file_id: u64,
}

impl FileIdentity {
    fn seed(&self) -> u64 {
        seed(&[u64::from_le_bytes(self.magic), self.store_id, self.file_id])
    }
}

fn block_crc(file_seed: u64, block: usize, bytes: &[u8]) -> u32 {
    salted_crc32c(seed(&[file_seed, block as u64]), bytes)
}

/// A finished file, with the CRC that identifies its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FinishedFile {
    pub length: u64,
    pub header_crc: u32,
}

struct OpenBlock {
    index: usize,
    filled: usize,
    bytes: Box<[u8]>,
}

/// Writes a file whose sections grow at the same time. Memory holds only blocks that are not full, and spare buffers.
pub(crate) struct BlockWriter {
    identity: FileIdentity,
    file_seed: u64,
    file: Box<dyn StorageFile>,
    open: Vec<OpenBlock>,
    spare: Vec<Box<[u8]>>,
    crcs: Vec<u32>,
    /// Blocks written since the last sync.
    unsynced: usize,
}

impl BlockWriter {
    pub fn create(storage: &dyn Storage, name: &str, identity: FileIdentity) -> Result<Self> {
        let file = storage.create(name)?;
        let (open, spare, crcs) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { identity, file_seed: identity.seed(), file, open, spare, crcs, unsynced: 0 })
    }

    /// Writes `bytes` at `offset` of the file, in the body. Each byte of the body is written exactly once.
    pub fn write_at(&mut self, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let place = offset as usize - HEADER_BYTES;
            let (index, start) = (place / BLOCK_BYTES, place % BLOCK_BYTES);
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK_BYTES - start));
            let position = self.open_block(index);
            let block = &mut self.open[position];
            block.bytes[start..start + now.len()].copy_from_slice(now);
            block.filled += now.len();
            if block.filled == BLOCK_BYTES {
                self.close_block(position, BLOCK_BYTES)?;
            }
            (offset, bytes) = (offset + now.len() as u64, later);
        }
        Ok(())
    }

    fn open_block(&mut self, index: usize) -> usize {
        if let Some(position) = self.open.iter().position(|block| block.index == index) {
            return position;
        }
        let bytes = self.spare.pop().unwrap_or_else(|| vec![0; BLOCK_BYTES].into());
        self.open.push(OpenBlock { index, filled: 0, bytes });
        self.open.len() - 1
    }

    fn close_block(&mut self, position: usize, length: usize) -> Result<()> {
        let block = self.open.swap_remove(position);
        let bytes = &block.bytes[..length];
        if self.crcs.len() <= block.index {
            self.crcs.resize(block.index + 1, 0);
        }
        self.crcs[block.index] = block_crc(self.file_seed, block.index, bytes);
        self.file.write_at((HEADER_BYTES + block.index * BLOCK_BYTES) as u64, bytes)?;
        self.spare.push(block.bytes);
        self.unsynced += 1;
        if self.unsynced == SYNC_BLOCKS {
            self.unsynced = 0;
            self.file.sync_data()?;
        }
        Ok(())
    }

    /// Ends the body at `body_end`, writes table and header, and syncs the file.
    pub fn finish(mut self, body_end: u64, fields: &[u8]) -> Result<FinishedFile> {
        let body = body_end as usize - HEADER_BYTES;
        let short = body % BLOCK_BYTES;
        if let Some(position) =
            self.open.iter().position(|block| block.index == body / BLOCK_BYTES && block.filled == short)
        {
            self.close_block(position, short)?;
        }
        if !self.open.is_empty() || self.crcs.len() != body.div_ceil(BLOCK_BYTES) || fields.len() > CRC_AT - FIELDS_AT {
            return Err(Error::invalid("a segment file was finished before all that its totals announce was written"));
        }
        let mut table = Writer::new();
        self.crcs.iter().for_each(|&crc| table.u32(crc));
        self.file.write_at(body_end, table.as_slice())?;
        let length = body_end + table.len() as u64;
        let table_crc = salted_crc32c(self.file_seed, table.as_slice());
        let mut header = header(self.identity, length, body_end, table_crc);
        header.bytes(fields);
        header.pad_to(CRC_AT);
        let header_crc = salted_crc32c(self.file_seed, header.as_slice());
        header.u32(header_crc);
        self.file.write_at(0, header.as_slice())?;
        self.file.sync_all()?;
        Ok(FinishedFile { length, header_crc })
    }
}

/// Makes a file with valid checksums from any bytes: bytes 64 to 4,091 become the fields of its header, bytes from
/// 4,096 its body. For tests that get past the checksums, as an attacker would.
#[cfg(feature = "testing")]
pub(crate) fn forge(mut bytes: Vec<u8>, identity: FileIdentity) -> (Vec<u8>, FinishedFile) {
    bytes.resize(bytes.len().max(HEADER_BYTES).next_multiple_of(ALIGNMENT), 0);
    let (file_seed, body_end) = (identity.seed(), bytes.len());
    let crcs = bytes[HEADER_BYTES..].chunks(BLOCK_BYTES).enumerate();
    let table: Vec<u8> = crcs.flat_map(|(block, bytes)| block_crc(file_seed, block, bytes).to_le_bytes()).collect();
    bytes.extend_from_slice(&table);
    let length = bytes.len() as u64;
    let mut header = header(identity, length, body_end as u64, salted_crc32c(file_seed, &table));
    header.bytes(&bytes[FIELDS_AT..CRC_AT]);
    let header_crc = salted_crc32c(file_seed, header.as_slice());
    header.u32(header_crc);
    bytes[..HEADER_BYTES].copy_from_slice(header.as_slice());
    (bytes, FinishedFile { length, header_crc })
}

/// The header up to its fields.
fn header(identity: FileIdentity, length: u64, body_end: u64, table_crc: u32) -> Writer {
    let mut header = Writer::new();
    header.bytes(&identity.magic);
    header.u32(identity.version);
    header.u32(identity.version);
    header.u64(identity.store_id);
    header.u64(identity.file_id);
    header.u64(length);
    header.u64(body_end);
    header.u32(table_crc);
    header.pad_to(FIELDS_AT);
    header
}

#[cfg(test)]
thread_local! {
    /// Blocks that this thread has checked, for tests of what is read where.
    pub(crate) static CHECKED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    /// Those of them that were not asked for before.
    pub(crate) static AWAITED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

/// A mapped file whose blocks are checked when they are first needed.
pub(crate) struct CheckedMap {
    name: String,
    map: Map,
    file_seed: u64,
    body_end: usize,
    header_crc: u32,
    /// One bit for each block that passed.
    seen: Box<[AtomicU64]>,
    /// One bit for each block that the system was asked to read ahead.
    asked: Box<[AtomicU64]>,
}

impl CheckedMap {
    /// Maps `name` and checks its header and table. Another identity is `Corrupt`, a later format `NewerFormat`.
    pub fn open(storage: &dyn Storage, name: String, identity: FileIdentity) -> Result<Self> {
        let map = storage.map(&name)?;
        Self::of_map(map, name, identity)
    }

    /// The same for codes and graphs, which the storage may copy into memory.
    pub fn open_hot(storage: &dyn Storage, name: String, identity: FileIdentity) -> Result<Self> {
        let map = storage.map_hot(&name)?;
        Self::of_map(map, name, identity)
    }

    /// The same for a file of any kind, whose magic and format are not checked.
    pub fn open_any(storage: &dyn Storage, name: String, store_id: u64, file_id: u64) -> Result<Self> {
        let map = storage.map(&name)?;
        let magic = map.first_chunk().copied().unwrap_or_default();
        Self::of_map(map, name, FileIdentity { magic, version: u32::MAX, store_id, file_id })
    }

    fn of_map(map: Map, name: String, identity: FileIdentity) -> Result<Self> {
        let corrupt = |offset: usize, what: &str| Error::corrupt(&name, offset as u64, what);
        if map.len() < HEADER_BYTES {
            return Err(corrupt(map.len(), "the file ends inside its header"));
        }
        if map[..8] != identity.magic {
            return Err(corrupt(0, "the file does not begin with the magic of its kind"));
        }
        let mut reader = Reader::new(&map[8..HEADER_BYTES]);
        let read = |error: crate::codec::FormatError| error.in_file(&name, 8);
        let (_version, needed) = (reader.u32().map_err(read)?, reader.u32().map_err(read)?);
        let (store_id, file_id) = (reader.u64().map_err(read)?, reader.u64().map_err(read)?);
        let (length, body_end) = (reader.u64().map_err(read)?, reader.u64().map_err(read)?);
        let table_crc = reader.u32().map_err(read)?;
        let file_seed = identity.seed();
        let header_crc = salted_crc32c(file_seed, &map[..CRC_AT]);
        if map[CRC_AT..HEADER_BYTES] != header_crc.to_le_bytes()
            || (store_id, file_id) != (identity.store_id, identity.file_id)
        {
            return Err(corrupt(0, "the header fails its checksum, or belongs to another store or file"));
        }
        if needed > identity.version {
            let what = format!(
                "{name} needs a reader of format {needed}, this one knows {}; upgrade vecmem",
                identity.version
            );
            return Err(Error::new(ErrorKind::NewerFormat, what).at(name, None));
        }
        let blocks = body_end.saturating_sub(HEADER_BYTES as u64).div_ceil(BLOCK_BYTES as u64);
        let ends_well = body_end >= HEADER_BYTES as u64
            && body_end.is_multiple_of(ALIGNMENT as u64)
            && body_end.checked_add(4 * blocks) == Some(length)
            && length == map.len() as u64;
        if !ends_well {
            return Err(corrupt(map.len(), &format!("the header says that the file is {length} bytes long")));
        }
        let body_end = body_end as usize;
        if salted_crc32c(file_seed, &map[body_end..]) != table_crc {
            return Err(corrupt(body_end, "the table of checksums fails its own"));
        }
        let bits = || (0..(blocks as usize).div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { name, map, file_seed, body_end, header_crc, seen: bits(), asked: bits() })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn header_crc(&self) -> u32 {
        self.header_crc
    }

    pub fn body_end(&self) -> usize {
        self.body_end
    }

    /// The header's fields of the file kind: the first one lies at offset 64.
    pub fn fields(&self) -> &[u8] {
        &self.map[FIELDS_AT..CRC_AT]
    }

    /// The whole file. Only the blocks that were ensured are known to be as written.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The error for wrong bytes at `offset`.
    #[cold]
    pub fn damaged(&self, offset: usize, what: impl std::fmt::Display) -> Error {
        Error::corrupt(&self.name, offset as u64, what).with_kind(ErrorKind::Damaged)
    }

    /// Whether the block at an offset in the body was checked.
    #[inline]
    pub fn is_checked(&self, offset: usize) -> bool {
        let block = offset.saturating_sub(HEADER_BYTES) / BLOCK_BYTES;
        self.seen.get(block / 64).is_some_and(|word| word.load(Ordering::Relaxed) >> (block % 64) & 1 == 1)
    }

    /// Asks the system for the block at an offset in the body, if it was neither checked nor asked for before, and does
    /// not wait. So what a read needs of several places of a disk arrives together.
    pub fn read_ahead(&self, offset: usize) {
        if !self.is_checked(offset) {
            self.ask_for(offset.saturating_sub(HEADER_BYTES) / BLOCK_BYTES);
        }
    }

    #[cold]
    fn ask_for(&self, block: usize) {
        let start = HEADER_BYTES + block * BLOCK_BYTES;
        let Some(word) = self.asked.get(block / 64).filter(|_| start < self.body_end) else { return };
        let bit = 1 << (block % 64);
        if word.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            self.map.read_ahead(start..(start + BLOCK_BYTES).min(self.body_end));
        }
    }

    /// Checks the blocks of `range` that were not checked before. Call it before a loop, not inside.
    #[inline]
    pub fn ensure(&self, range: Range<usize>) -> Result<()> {
        if range.start >= range.end {
            return Ok(());
        }
        if range.start < HEADER_BYTES || range.end > self.body_end {
            return Err(self.damaged(range.start, "a range lies outside the body of the file"));
        }
        let (first, last) = ((range.start - HEADER_BYTES) / BLOCK_BYTES, (range.end - 1 - HEADER_BYTES) / BLOCK_BYTES);
        for word in first / 64..=last / 64 {
            let low = u64::MAX << first.saturating_sub(word * 64);
            let high = u64::MAX >> (63 - (last - word * 64).min(63));
            let missing = low & high & !self.seen[word].load(Ordering::Relaxed);
            if missing != 0 {
                self.check_blocks(word, missing)?;
            }
        }
        Ok(())
    }

    /// Reads and checks every block again, and returns the failures. Once `go_on` fails, the rest is not read.
    pub fn check_all(&self, go_on: &GoOn<'_>) -> Vec<Error> {
        let blocks = (0..(self.body_end - HEADER_BYTES).div_ceil(BLOCK_BYTES)).take_while(|_| go_on().is_ok());
        blocks.filter_map(|block| self.check_blocks(block / 64, 1 << (block % 64)).err()).collect()
    }

    /// Asks for blocks that are about to be checked. Where the block before was checked, a loop goes through the file,
    /// and the next blocks are asked for too.
    fn ask_for_run(&self, first: usize, count: usize) {
        let goes_on = first > 0 && self.is_checked(HEADER_BYTES + (first - 1) * BLOCK_BYTES);
        let more = if goes_on { BLOCKS_AHEAD } else { 0 };
        (first..first + count + more).for_each(|block| self.ask_for(block));
    }

    #[cold]
    fn check_blocks(&self, word: usize, mut missing: u64) -> Result<()> {
        #[cfg(test)]
        {
            let asked = self.asked[word].load(Ordering::Relaxed);
            CHECKED.with(|count| count.set(count.get() + missing.count_ones()));
            AWAITED.with(|count| count.set(count.get() + (missing & !asked).count_ones()));
        }
        self.ask_for_run(word * 64 + missing.trailing_zeros() as usize, missing.count_ones() as usize);
        while missing != 0 {
            let block = word * 64 + missing.trailing_zeros() as usize;
            let start = HEADER_BYTES + block * BLOCK_BYTES;
            let bytes = &self.map[start..(start + BLOCK_BYTES).min(self.body_end)];
            let entry = self.body_end + 4 * block;
            if self.map[entry..entry + 4] != block_crc(self.file_seed, block, bytes).to_le_bytes() {
                return Err(self.damaged(start, format!("a block of {} bytes fails its checksum", bytes.len())));
            }
            self.seen[word].fetch_or(missing & missing.wrapping_neg(), Ordering::Relaxed);
            missing &= missing - 1;
        }
        Ok(())
    }
}
