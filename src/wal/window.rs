//! Reads a log file through a buffer: its frames, its zeros, and the bytes behind a bad frame.
//!
//! Invariants:
//! * The buffer holds a megabyte, or a larger body whose header is valid. It is never longer than the file.
//! * No read goes beyond the end of the file.

use super::frame::{FRAME_HEADER_BYTES, FrameHeader, body_crc};
use super::{FRAME_ALIGNMENT, file_name};
use crate::error::{Error, Result};
use crate::record::Lsn;
use crate::storage::{Storage, StorageFile};

/// Bytes read at once.
const WINDOW_BYTES: u64 = 1 << 20;
const ZEROS: [u8; FRAME_ALIGNMENT as usize] = [0; FRAME_ALIGNMENT as usize];

/// The result of a search for frames where none is expected.
pub(super) struct WindowRemains {
    /// Where the first frame header lies.
    pub first: Option<u64>,
    /// The highest durable LSN of all frame headers found.
    pub durable_lsn: Lsn,
    /// The end of the last 64 bytes that are not all zero.
    pub end: u64,
}

/// A log file, and a buffer with a part of it.
pub(super) struct Window {
    file: Box<dyn StorageFile>,
    name: String,
    pub length: u64,
    start: u64,
    buffer: Vec<u8>,
}

impl Window {
    pub fn open(storage: &dyn Storage, id: u64) -> Result<Self> {
        let name = file_name(id);
        let file = storage.open(&name)?;
        let length = file.len()?;
        Ok(Self { file, name, length, start: 0, buffer: Vec::new() })
    }

    /// `length` bytes at `offset`.
    pub fn bytes(&mut self, offset: u64, length: u64) -> Result<&[u8]> {
        let left = self.length.saturating_sub(offset);
        if length > left {
            return Err(Error::corrupt(&self.name, offset, "the file ends too early"));
        }
        let buffered = self.start <= offset && offset + length <= self.start + self.buffer.len() as u64;
        if !buffered {
            self.buffer.resize(left.min(length.max(WINDOW_BYTES)) as usize, 0);
            self.start = offset;
            self.file.read_at(offset, &mut self.buffer)?;
        }
        let at = (offset - self.start) as usize;
        Ok(&self.buffer[at..at + length as usize])
    }

    /// The whole and undamaged frame at `offset`, if there is one.
    pub fn frame(&mut self, salt: u64, offset: u64) -> Result<Option<(FrameHeader, &[u8])>> {
        let left = self.length.saturating_sub(offset);
        if left < FRAME_ALIGNMENT {
            return Ok(None);
        }
        let Some(header) = FrameHeader::decode(self.bytes(offset, FRAME_ALIGNMENT)?, salt, offset, left) else {
            return Ok(None);
        };
        let body = self.bytes(offset + FRAME_HEADER_BYTES as u64, u64::from(header.body_bytes))?;
        let whole = body_crc(salt, header.first_lsn, body) == header.body_crc;
        Ok(whole.then_some((header, body)))
    }

    /// The buffered bytes at `offset`, in whole multiples of 64; if there are none, a megabyte or the rest of the file.
    fn some_bytes(&mut self, offset: u64) -> Result<&[u8]> {
        let left = self.length.saturating_sub(offset);
        let end = self.start + self.buffer.len() as u64;
        let at_hand =
            if self.start <= offset { end.saturating_sub(offset) / FRAME_ALIGNMENT * FRAME_ALIGNMENT } else { 0 };
        let length = if at_hand > 0 { at_hand } else { left.min(WINDOW_BYTES) };
        self.bytes(offset, length)
    }

    /// The offset of the first 64 bytes, at or after `offset`, that are not all zero.
    pub fn skip_zeros(&mut self, mut offset: u64) -> Result<Option<u64>> {
        while offset < self.length {
            let bytes = self.some_bytes(offset)?;
            let mut chunks = bytes.chunks(FRAME_ALIGNMENT as usize);
            if let Some(index) = chunks.position(|chunk| *chunk != ZEROS[..chunk.len()]) {
                return Ok(Some(offset + index as u64 * FRAME_ALIGNMENT));
            }
            offset += bytes.len() as u64;
        }
        Ok(None)
    }

    /// Looks for a frame header at every multiple of 64 from `offset` on. The body is not read: the durable LSN of a
    /// header holds even if the body is torn.
    pub fn search_frames(&mut self, salt: u64, offset: u64) -> Result<WindowRemains> {
        let mut remains = WindowRemains { first: None, durable_lsn: Lsn::ZERO, end: offset };
        let mut next = Some(offset);
        while let Some(offset) = next {
            let left = self.length - offset;
            let bytes = self.bytes(offset, left.min(FRAME_ALIGNMENT))?;
            if let Some(header) = FrameHeader::decode(bytes, salt, offset, left) {
                remains.first = remains.first.or(Some(offset));
                remains.durable_lsn = remains.durable_lsn.max(header.durable_lsn);
            }
            remains.end = offset + bytes.len() as u64;
            next = self.skip_zeros(remains.end)?;
        }
        Ok(remains)
    }
}
