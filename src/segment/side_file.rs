//! Side files: small files that a manifest names beside segments, or for the whole store. An open reads all of each.
//!
//! Invariants:
//! * A file is written once, whole, and synced; the caller syncs the directory. A reader checks the checksum, which is
//!   bound to store and file, then store, file and kind in the header, before it uses the content.
//!
//! # Format
//!
//! `seg-{file id, 16 hexadecimal digits}.{kind}`. Little endian.
//!
//! ```text
//! OFFSET        SIZE  MEANING
//! 0             8     magic VECMEMSF
//! 8             4     format version, 1
//! 12            4     oldest reader version that understands the file, 1
//! 16            8     store id
//! 24            8     file id
//! 32            16    kind, as the name ends, then zeros
//! 48            8     length of the content
//! 56            8     0
//! 64            ...   content, whose form belongs to the kind
//! end           4     CRC-32C of everything before, seeded with magic, store id and file id
//! ```

use crate::codec::{Decoded, Reader, Writer, salted_crc32c, seed};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::segment_name;
use crate::storage::Storage;

const MAGIC: &[u8; 8] = b"VECMEMSF";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 64;
const KIND_BYTES: usize = 16;

/// The store, the id and the kind of a side file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SideFile<'a> {
    pub store_id: u64,
    pub file_id: u64,
    pub kind: &'a str,
}

impl SideFile<'_> {
    pub fn name(&self) -> String {
        segment_name(self.file_id, self.kind)
    }

    fn crc(&self, bytes: &[u8]) -> [u8; 4] {
        salted_crc32c(seed(&[u64::from_le_bytes(*MAGIC), self.store_id, self.file_id]), bytes).to_le_bytes()
    }

    /// Writes and syncs the file; returns its length. The caller syncs the directory.
    pub fn write(&self, storage: &dyn Storage, content: &[u8]) -> Result<u64> {
        let bytes = self.encode(content);
        let file = storage.create(&self.name())?;
        file.write_at(0, &bytes)?;
        file.sync_all()?;
        Ok(bytes.len() as u64)
    }

    /// The bytes of the file with this content.
    pub fn encode(&self, content: &[u8]) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(MAGIC);
        out.u32(VERSION);
        out.u32(VERSION);
        out.u64(self.store_id);
        out.u64(self.file_id);
        out.bytes(self.kind.as_bytes());
        out.pad_to(48);
        out.u64(content.len() as u64);
        out.pad_to(HEADER_BYTES);
        out.bytes(content);
        let crc = self.crc(out.as_slice());
        out.bytes(&crc);
        out.into_vec()
    }

    /// Reads the content. Damage is `Corrupt`, a later format `NewerFormat`.
    pub fn read(&self, storage: &dyn Storage) -> Result<Vec<u8>> {
        self.decode(&storage.map(&self.name())?)
    }

    /// [`SideFile::read`] of these bytes.
    pub fn decode(&self, bytes: &[u8]) -> Result<Vec<u8>> {
        let corrupt = |what: &str| Error::corrupt(self.name(), 0, what);
        let Some((content, crc)) = bytes.split_last_chunk::<4>().filter(|(content, _)| content.len() >= HEADER_BYTES)
        else {
            return Err(corrupt("the file ends inside its header"));
        };
        if *crc != self.crc(content) {
            return Err(corrupt("the file fails its checksum, or belongs to another store"));
        }
        self.decode_checked(&mut Reader::new(content)).map_err(|malformed| malformed.in_file(self.name(), 0))?
    }

    fn decode_checked(&self, reader: &mut Reader<'_>) -> Decoded<Result<Vec<u8>>> {
        let magic = reader.array::<8>()?;
        let (_version, needed) = (reader.u32()?, reader.u32()?);
        if needed > VERSION {
            let why = format!("{} was written by a newer version of vecmem; upgrade to open this store", self.name());
            return Ok(Err(Error::new(ErrorKind::NewerFormat, why).at(self.name(), None)));
        }
        let ids = [reader.u64()?, reader.u64()?];
        let mut kind = [0; KIND_BYTES];
        kind[..self.kind.len().min(KIND_BYTES)]
            .copy_from_slice(&self.kind.as_bytes()[..self.kind.len().min(KIND_BYTES)]);
        if (magic, ids, reader.array()?) != (*MAGIC, [self.store_id, self.file_id], kind) {
            return Err(reader.malformed("the file is another one under this name"));
        }
        let length = reader.u64()?;
        reader.zeros(8)?;
        if length != reader.remaining() as u64 {
            return Err(reader.malformed("the content is not as long as the header says"));
        }
        Ok(Ok(reader.bytes(reader.remaining())?.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: SideFile<'static> = SideFile { store_id: 3, file_id: 9, kind: "notes" };

    #[test]
    fn a_side_file_round_trips_and_every_changed_byte_is_refused() {
        let bytes = FILE.encode(b"content");
        assert_eq!(&bytes[..12], b"VECMEMSF\x01\0\0\0");
        assert_eq!(FILE.decode(&bytes).unwrap(), b"content");
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << (index % 8);
            assert!(FILE.decode(&damaged).is_err(), "byte {index}");
            assert!(FILE.decode(&bytes[..index]).is_err(), "length {index}");
        }
        for other in
            [SideFile { store_id: 4, ..FILE }, SideFile { file_id: 8, ..FILE }, SideFile { kind: "note", ..FILE }]
        {
            assert_eq!(other.decode(&bytes).unwrap_err().kind(), ErrorKind::Corrupt, "{other:?}");
        }
    }
}
