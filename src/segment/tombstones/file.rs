//! The tombstones of a segment on disk: the deleted rows and the touched expiries, as of one LSN, the base.
//!
//! Invariants:
//! * A file is written once, whole, under a new generation, and read whole at open; it is small.
//! * Decoding is total: any bytes give tombstones of rows that the segment has, or `Corrupt`, or `NewerFormat`. The
//!   memory for them is bounded by the bytes and the rows.
//! * A file holds every deletion at or below its base. A touch above the base is saved as of the base. The log still
//!   has this touch, and a replay repeats it.
//!
//! # Format
//!
//! `seg-{file id}-{generation}.dead`, 16 hex digits each. Little endian.
//!
//! ```text
//! OFFSET        SIZE  MEANING
//! 0             8     magic VECMEMDE
//! 8             4     format version, 1
//! 12            4     oldest reader version that understands the file, 1
//! 16            8     store id
//! 24            8     file id of the truth file
//! 32            8     generation
//! 40            8     base LSN
//! 48            4     rows of the segment
//! 52            4     length of the bitmap
//! 56            4     number of touches
//! 60            4     0
//! 64            ...   dead rows: Roaring bitmap in its portable serialisation
//! then          20 x  touches by row: row u32, expires at i64 microseconds since 1970 UTC, LSN u64
//! end           4     CRC-32C of everything before, seeded with magic, store id, file id and generation
//! ```

use roaring::RoaringBitmap;

use crate::codec::{Decoded, Reader, Writer, salted_crc32c, seed};
use crate::error::{Error, ErrorKind, Result};
use crate::ids::RowId;
use crate::record::{ALIVE, Lsn};
use crate::segment::tombstones::{Tombstones, Touch};
use crate::segment::truth::layout::tombstones_name;
use crate::storage::Storage;

const MAGIC: &[u8; 8] = b"VECMEMDE";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
/// The offset of the first field that `forge` does not set.
#[cfg(feature = "testing")]
const BITMAP_LENGTH_AT: usize = 52;

/// The identity of a tombstone file: generation `generation` of segment `file_id`, which has `rows`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TombstoneFile {
    pub store_id: u64,
    pub file_id: u64,
    pub generation: u64,
    pub rows: u32,
}

impl TombstoneFile {
    pub fn name(&self) -> String {
        tombstones_name(self.file_id, self.generation)
    }

    fn seed(&self) -> u64 {
        seed(&[u64::from_le_bytes(*MAGIC), self.store_id, self.file_id, self.generation])
    }

    /// Writes and syncs the deletions at or below `base`, and all touches. The caller syncs the directory.
    pub fn write(&self, storage: &dyn Storage, tombstones: &Tombstones, base: Lsn) -> Result<()> {
        let dead: RoaringBitmap = tombstones.died_up_to(base).map(|row| row.0).collect();
        let as_of_base = tombstones.touches().map(|touch| Touch { lsn: touch.lsn.min(base), ..touch });
        let touches: Vec<Touch> = as_of_base.filter(|touch| touch.lsn > Lsn::ZERO).collect();
        let bytes = self.encode(base, &dead, &touches)?;
        let file = storage.create(&self.name())?;
        file.write_at(0, &bytes)?;
        file.sync_all()
    }

    pub(crate) fn encode(&self, base: Lsn, dead: &RoaringBitmap, touches: &[Touch]) -> Result<Vec<u8>> {
        let mut bitmap = Vec::with_capacity(dead.serialized_size());
        dead.serialize_into(&mut bitmap).map_err(|error| Error::io(self.name(), "encode", error))?;
        let mut out = Writer::new();
        out.bytes(MAGIC);
        out.u32(VERSION);
        out.u32(VERSION);
        out.u64(self.store_id);
        out.u64(self.file_id);
        out.u64(self.generation);
        out.u64(base.get());
        out.u32(self.rows);
        out.count(bitmap.len());
        out.count(touches.len());
        out.pad_to(HEADER_BYTES);
        out.bytes(&bitmap);
        for touch in touches {
            out.u32(touch.row.0);
            out.i64(touch.expires_at);
            out.u64(touch.lsn.get());
        }
        Ok(self.with_crc(out.into_vec()))
    }

    fn with_crc(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let crc = salted_crc32c(self.seed(), &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Makes a file with valid ids and checksum from any bytes. For tests that get past both, as an attacker would.
    #[cfg(feature = "testing")]
    pub fn forge(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        let Ok(honest) = self.encode(Lsn::new(7), &RoaringBitmap::new(), &[]) else { return bytes };
        bytes.resize(bytes.len().max(HEADER_BYTES), 0);
        bytes[..BITMAP_LENGTH_AT].copy_from_slice(&honest[..BITMAP_LENGTH_AT]);
        self.with_crc(bytes)
    }

    /// Reads the tombstones and their base LSN.
    pub fn read(&self, storage: &dyn Storage) -> Result<(Tombstones, Lsn)> {
        self.decode(&storage.map(&self.name())?)
    }

    /// [`TombstoneFile::read`] of these bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<(Tombstones, Lsn)> {
        let corrupt = |what: &str| Error::corrupt(self.name(), 0, what);
        let Some((content, crc)) = bytes.split_last_chunk::<4>().filter(|(content, _)| content.len() >= HEADER_BYTES)
        else {
            return Err(corrupt("the file ends inside its header"));
        };
        if *crc != salted_crc32c(self.seed(), content).to_le_bytes() {
            return Err(corrupt("the file fails its checksum, or belongs to another store, segment or generation"));
        }
        let mut reader = Reader::new(content);
        self.decode_content(&mut reader).map_err(|error| error.in_file(self.name(), 0))?
    }

    fn decode_content(&self, reader: &mut Reader<'_>) -> Decoded<Result<(Tombstones, Lsn)>> {
        let magic = reader.array::<8>()?;
        let (_version, needed) = (reader.u32()?, reader.u32()?);
        if needed > VERSION {
            let what =
                format!("{} needs a reader of format {needed}, this one knows {VERSION}; upgrade vecmem", self.name());
            return Ok(Err(Error::new(ErrorKind::NewerFormat, what).at(self.name(), None)));
        }
        let ids = [reader.u64()?, reader.u64()?, reader.u64()?];
        let (base, rows) = (Lsn::new(reader.u64()?), reader.u32()?);
        if (magic, ids, rows) != (*MAGIC, [self.store_id, self.file_id, self.generation], self.rows) || base == ALIVE {
            return Err(reader.malformed("the tombstones belong to another segment"));
        }
        let (bitmap, touches) = (reader.u32()? as usize, reader.u32()? as usize);
        reader.zeros(4)?;
        // The deserialiser allocates before it reads: at most 256 KiB for one container at a time, 4 MiB for tables.
        let mut bitmap = reader.bytes(bitmap)?;
        let dead =
            RoaringBitmap::deserialize_from(&mut bitmap).map_err(|_| reader.malformed("the bitmap is not one"))?;
        if !bitmap.is_empty() || dead.max().is_some_and(|row| row >= self.rows) {
            return Err(reader.malformed("the bitmap has rows that the segment has not"));
        }
        let tombstones = Tombstones::new(self.rows);
        dead.iter().for_each(|row| {
            tombstones.delete(RowId(row), base);
        });
        let mut next_row = 0;
        for _ in 0..touches {
            let touch = Touch { row: RowId(reader.u32()?), expires_at: reader.i64()?, lsn: Lsn::new(reader.u64()?) };
            if touch.row.0 < next_row || touch.lsn > base || !tombstones.touch(touch) {
                return Err(reader.malformed("a touch is out of order or of a row that the segment has not"));
            }
            next_row = touch.row.0 + 1;
        }
        reader.finish()?;
        Ok(Ok((tombstones, base)))
    }
}
