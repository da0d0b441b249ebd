//! The header of a log file; the layout is in `wal/mod.rs`.
//!
//! Invariants:
//! * Either copy alone is enough; two valid copies that differ are corruption.
//! * A header is valid only in a file of the store, the id and the length that the header names.

use super::{HEADER_BYTES, HEADERS_BYTES, Predecessor, file_name};
use crate::codec::{Decoded, Reader, Writer, salted_crc32c, seed};
use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;

const MAGIC: u64 = u64::from_le_bytes(*b"vecmWAL\0");
const VERSION: u32 = 2;
const READER_VERSION: u32 = 2;
const CRC_AT: usize = HEADER_BYTES as usize - 4;
/// The offset of the file's length.
#[cfg(feature = "testing")]
const LENGTH_AT: usize = 32;

/// The fields of a header: the file, and the point of the log at which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub store_id: u64,
    pub file_id: u64,
    pub file_bytes: u64,
    pub manifest_generation: u64,
    pub predecessor: Predecessor,
}

/// The result of decoding the first two blocks of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    Valid(FileHeader),
    /// Neither copy has a valid checksum. The file is unused if the rest of it is zero.
    Absent,
    Wrong(&'static str),
}

impl FileHeader {
    /// Encodes both copies of the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut blocks = Vec::with_capacity(HEADERS_BYTES as usize);
        for copy in 0..2 {
            let mut block = Writer::new();
            block.u64(MAGIC);
            block.u32(VERSION);
            block.u32(READER_VERSION);
            block.u64(self.store_id);
            block.u64(self.file_id);
            block.u64(self.file_bytes);
            block.u64(self.manifest_generation);
            block.u64(self.predecessor.file);
            block.u64(self.predecessor.end);
            block.u64(self.predecessor.last_lsn.get());
            block.u64(self.predecessor.chain);
            block.i64(self.predecessor.clock);
            block.pad_to(CRC_AT);
            block.u32(salted_crc32c(seed(&[MAGIC, copy]), block.as_slice()));
            blocks.extend_from_slice(block.as_slice());
        }
        blocks
    }

    /// The store that a header names, if either copy is whole.
    pub fn store_id_in(blocks: &[u8]) -> Option<u64> {
        let whole = blocks.chunks_exact(HEADER_BYTES as usize).take(2).enumerate().find(|(copy, block)| {
            let crc = salted_crc32c(seed(&[MAGIC, *copy as u64]), &block[..CRC_AT]);
            Reader::new(&block[CRC_AT..]).u32() == Ok(crc)
        });
        Reader::new(&whole?.1[16..]).u64().ok()
    }

    /// Reads both copies of the file that should be `file_id` of `store_id` and is `file_bytes` long.
    pub fn decode(blocks: &[u8], store_id: u64, file_id: u64, file_bytes: u64) -> Result<HeaderState> {
        let mut valid = None;
        for (copy, block) in blocks.chunks_exact(HEADER_BYTES as usize).take(2).enumerate() {
            let crc = salted_crc32c(seed(&[MAGIC, copy as u64]), &block[..CRC_AT]);
            if Reader::new(&block[CRC_AT..]).u32() != Ok(crc) {
                continue;
            }
            let Ok(header) = Self::decode_block(block, file_id)? else {
                return Ok(HeaderState::Wrong(
                    "the checksum of the header is right, but its content is not a log file's",
                ));
            };
            if valid.is_some_and(|first| first != header) {
                return Ok(HeaderState::Wrong("the two copies of the header differ"));
            }
            valid = Some(header);
        }
        Ok(match valid {
            None => HeaderState::Absent,
            Some(header) if header.store_id != store_id => HeaderState::Wrong("the file belongs to another store"),
            Some(header) if header.file_id != file_id => {
                HeaderState::Wrong("the file is another log file under this name")
            }
            Some(header) if header.file_bytes != file_bytes => {
                HeaderState::Wrong("the file is shorter or longer than when it was made")
            }
            Some(header) if header.predecessor.file >= file_id => {
                HeaderState::Wrong("the file names a predecessor that is not older")
            }
            Some(header) => HeaderState::Valid(header),
        })
    }

    /// Makes the length and the checksums of both copies right for a file of `file_bytes`. For tests that get past the
    /// checksums, as an attacker would.
    #[cfg(feature = "testing")]
    pub fn forge(blocks: &mut [u8], file_bytes: u64) {
        for (copy, block) in blocks.chunks_exact_mut(HEADER_BYTES as usize).take(2).enumerate() {
            block[LENGTH_AT..LENGTH_AT + 8].copy_from_slice(&file_bytes.to_le_bytes());
            let crc = salted_crc32c(seed(&[MAGIC, copy as u64]), &block[..CRC_AT]);
            block[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        }
    }

    fn decode_block(block: &[u8], file_id: u64) -> Result<Decoded<Self>> {
        let mut reader = Reader::new(block);
        let (Ok(MAGIC), Ok(_), Ok(oldest_reader)) = (reader.u64(), reader.u32(), reader.u32()) else {
            return Ok(Err(reader.malformed("not a log file")));
        };
        if oldest_reader > READER_VERSION {
            let name = file_name(file_id);
            let message = format!("{name} was written by a newer version of vecmem; upgrade to open the store");
            return Err(Error::new(ErrorKind::NewerFormat, message).at(name, None));
        }
        Ok(Self::decode_fields(&mut reader))
    }

    fn decode_fields(reader: &mut Reader<'_>) -> Decoded<Self> {
        Ok(Self {
            store_id: reader.u64()?,
            file_id: reader.u64()?,
            file_bytes: reader.u64()?,
            manifest_generation: reader.u64()?,
            predecessor: Predecessor {
                file: reader.u64()?,
                end: reader.u64()?,
                last_lsn: Lsn::new(reader.u64()?),
                chain: reader.u64()?,
                clock: reader.i64()?,
            },
        })
    }
}
