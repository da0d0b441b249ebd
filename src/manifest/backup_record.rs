//! The record of a backup: where it comes from, and a checksum of each of its files.
//!
//! Invariants:
//! * A record is written once, whole, and synced, before the manifest that it belongs to gets its name. The manifest's
//!   incarnation and generation name the record, so the rename of the manifest commits both.
//! * The files of a backup are those in its record and no others, log files included. The last file is the manifest.
//! * Decoding is total: any bytes give a record whose names are the engine's, each once, or `Corrupt`, or
//!   `NewerFormat`.
//!
//! # Format
//!
//! `backup-{incarnation}-{generation}`, 16 hexadecimal digits each. The file `backup-unfinished`, with which a backup
//! into an empty directory begins, has the same format and names no file. Little endian. `text` is a u32 length and
//! that many bytes.
//!
//! ```text
//! OFFSET  SIZE  MEANING
//! 0       8     magic VECMEMBK
//! 8       4     format version, 1
//! 12      4     oldest reader version that understands the file, 1
//! 16      8     store id
//! 24      8     incarnation of the backup
//! 32      8     generation of the manifest
//! 40      8     incarnation of the source
//! 48      8     LSN: the backup holds every operation up to it, and no later one
//! 56      8     wall clock at that moment, i64 microseconds since 1970 UTC
//! 64      4     flags: 1 the files may share their inodes with the source (a checkpoint)
//! 68      4     number of files
//! 72      ...   for each file: name `text`, length u64, CRC-32C of all its bytes u32
//! end     4     CRC-32C of everything before, seeded with magic, store id, incarnation and generation
//! ```

use std::collections::HashSet;

use crate::codec::{Decoded, Reader, Writer, salted_crc32c, seed};
use crate::error::{Error, Result};
use crate::file_names::{FileName, manifest_name, parse_name, record_name};
use crate::record::Lsn;
use crate::storage::Storage;

const MAGIC: &[u8; 8] = b"VECMEMBK";
const VERSION: u32 = 1;
const SHARES_INODES: u32 = 1;
const NAME_BYTES_MAX: usize = 255;
/// The fewest bytes of one file in a record.
const FILE_BYTES_MIN: usize = 16;
const FILES_MAX: usize = 1 << 24;

/// What a backup knows about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupRecord {
    pub store_id: u64,
    pub incarnation: u64,
    pub generation: u64,
    pub source_incarnation: u64,
    pub lsn: Lsn,
    pub time: i64,
    pub shares_inodes: bool,
    pub files: Vec<RecordedFile>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecordedFile {
    pub name: String,
    pub length: u64,
    pub crc: u32,
}

impl BackupRecord {
    /// The name of the file.
    pub fn name(&self) -> String {
        record_name(self.incarnation, self.generation)
    }

    /// The file of this name.
    pub fn file(&self, name: &str) -> Option<&RecordedFile> {
        self.files.iter().find(|file| file.name == name)
    }

    /// The manifest of the backup.
    pub fn manifest(&self) -> Option<&RecordedFile> {
        self.file(&manifest_name(self.generation))
    }

    /// The ids of the log files.
    pub fn logs(&self) -> impl Iterator<Item = u64> + '_ {
        self.files.iter().filter_map(|file| match parse_name(&file.name) {
            Some(FileName::Log(id)) => Some(id),
            _ => None,
        })
    }

    /// The id of the last log file; 0 if the backup has none.
    pub fn last_log(&self) -> u64 {
        self.logs().max().unwrap_or(0)
    }

    /// Writes and syncs the file under this name, in the place of an older one. The caller syncs the directory.
    pub fn write(&self, storage: &dyn Storage, name: &str) -> Result<()> {
        if storage.list()?.iter().any(|(there, _)| there == name) {
            storage.remove(name)?;
        }
        let file = storage.create(name)?;
        file.write_at(0, &self.encode())?;
        file.sync_all()
    }

    /// Reads the file of this name. Damage is `Corrupt`, a later format `NewerFormat`.
    pub fn read(storage: &dyn Storage, name: &str) -> Result<Self> {
        let file = storage.open(name)?;
        let length = file.len()?;
        if length > (FILES_MAX * (FILE_BYTES_MIN + NAME_BYTES_MAX)) as u64 {
            return Err(Error::corrupt(name, 0, "the file is longer than any record of a backup"));
        }
        let mut bytes = vec![0; length as usize];
        file.read_at(0, &mut bytes)?;
        Self::decode(name, &bytes)
    }

    /// The bytes of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        out.bytes(MAGIC);
        out.u32(VERSION);
        out.u32(VERSION);
        out.u64(self.store_id);
        out.u64(self.incarnation);
        out.u64(self.generation);
        out.u64(self.source_incarnation);
        out.u64(self.lsn.get());
        out.i64(self.time);
        out.u32(u32::from(self.shares_inodes) * SHARES_INODES);
        out.count(self.files.len());
        for file in &self.files {
            out.prefixed(file.name.as_bytes());
            out.u64(file.length);
            out.u32(file.crc);
        }
        let crc = self.crc(out.as_slice());
        out.u32(crc);
        out.into_vec()
    }

    /// [`read`](Self::read) of these bytes.
    pub fn decode(name: &str, bytes: &[u8]) -> Result<Self> {
        let corrupt = |what: &str| Error::corrupt(name, 0, what);
        let Some((content, crc)) = bytes.split_last_chunk::<4>() else {
            return Err(corrupt("the file ends inside its header"));
        };
        let mut reader = Reader::new(content);
        let record = Self::decode_fields(&mut reader).map_err(|malformed| malformed.in_file(name, 0))?;
        if u32::from_le_bytes(*crc) != record.crc(content) {
            return Err(corrupt("the record of the backup fails its checksum"));
        }
        let mut names = HashSet::new();
        let is_a_file = |file: &RecordedFile| {
            matches!(parse_name(&file.name), Some(FileName::Segment(_) | FileName::Log(_) | FileName::Manifest(_)))
        };
        if !record.files.iter().all(|file| is_a_file(file) && names.insert(file.name.as_str())) {
            return Err(corrupt("the record of the backup names a file twice, or one that is not a store's"));
        }
        Ok(record)
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Decoded<Self> {
        if reader.array::<8>()? != *MAGIC {
            return Err(reader.malformed("this is not the record of a backup"));
        }
        let (_version, needed) = (reader.u32()?, reader.u32()?);
        if needed > VERSION {
            return Err(crate::codec::FormatError::newer(12));
        }
        let (store_id, incarnation, generation) = (reader.u64()?, reader.u64()?, reader.u64()?);
        let (source_incarnation, lsn, time) = (reader.u64()?, Lsn::new(reader.u64()?), reader.i64()?);
        let flags = reader.u32()?;
        let count = reader.count(FILE_BYTES_MIN, FILES_MAX)?;
        let mut files = Vec::with_capacity(count);
        for _ in 0..count {
            let name = reader.text(NAME_BYTES_MAX)?.to_owned();
            files.push(RecordedFile { name, length: reader.u64()?, crc: reader.u32()? });
        }
        reader.finish()?;
        let shares_inodes = flags & SHARES_INODES != 0;
        Ok(Self { store_id, incarnation, generation, source_incarnation, lsn, time, shares_inodes, files })
    }

    fn crc(&self, bytes: &[u8]) -> u32 {
        let salt = seed(&[u64::from_le_bytes(*MAGIC), self.store_id, self.incarnation, self.generation]);
        salted_crc32c(salt, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_record_round_trips_and_every_changed_byte_is_refused() {
        let file = |name: &str, length| RecordedFile { name: name.into(), length, crc: 7 };
        let record = BackupRecord {
            store_id: 3,
            incarnation: 0x1f,
            generation: 9,
            source_incarnation: 4,
            lsn: Lsn::new(12),
            time: -5,
            shares_inodes: true,
            files: vec![file("wal-0000000000000007.log", 4096), file(&manifest_name(9), 300)],
        };
        assert_eq!(record.name(), "backup-000000000000001f-0000000000000009");
        assert_eq!((record.last_log(), record.manifest().unwrap().length), (7, 300));
        let bytes = record.encode();
        assert_eq!(BackupRecord::decode("record", &bytes).unwrap(), record);
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << (index % 8);
            assert!(BackupRecord::decode("record", &damaged).is_err(), "byte {index}");
            assert!(BackupRecord::decode("record", &bytes[..index]).is_err(), "length {index}");
        }
        for name in ["../LOCK", "LOCK", "notes", "wal-0000000000000007.log"] {
            let mut other = record.clone();
            other.files.push(file(name, 1));
            assert_eq!(
                BackupRecord::decode("record", &other.encode()).unwrap_err().kind(),
                ErrorKind::Corrupt,
                "{name}"
            );
        }
    }
}
