//! Frames: a frame is written, checked and replayed as a whole. The layout is in `wal/mod.rs`.
//!
//! Invariants:
//! * A header decodes only if its CRC is right for this store, file and offset.
//! * A frame is checked without the frames around it, so that reading can continue after a bad one.

use super::FRAME_ALIGNMENT;
use super::body::FrameBody;
use crate::codec::{Reader, Writer, salted_crc32c, seed};
use crate::record::Lsn;

/// Bytes before the body.
pub(super) const FRAME_HEADER_BYTES: usize = 48;
const CRC_AT: usize = 44;

/// The kind of a frame and its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameKind {
    /// The operations of one batch.
    Batch,
    /// The file ends here.
    Closed,
    /// Segment files that an import has written, and operations.
    Ingest,
    /// A kind of a newer version.
    Unknown(u8),
}

impl FrameKind {
    fn to_byte(self) -> u8 {
        match self {
            Self::Batch => 1,
            Self::Closed => 2,
            Self::Ingest => 3,
            Self::Unknown(byte) => byte,
        }
    }

    fn from_byte(byte: u8) -> Self {
        match byte {
            1 => Self::Batch,
            2 => Self::Closed,
            3 => Self::Ingest,
            _ => Self::Unknown(byte),
        }
    }
}

/// A frame as the commit pipeline makes it. The log writer adds offset, durable LSN and checksums.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    pub kind: FrameKind,
    pub first_lsn: Lsn,
    /// The number of LSNs of the frame: one for each row of its files and each operation.
    pub count: u32,
    /// The clock of the frame, in microseconds since 1970 UTC; see `wal/mod.rs`.
    pub clock: i64,
    /// The layout of the body; see `operations.rs`.
    pub flags: u8,
    pub body: FrameBody,
}

/// The decoded header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub kind: FrameKind,
    /// The layout of the body; 0 in files of format version 1.
    pub flags: u8,
    pub first_lsn: Lsn,
    pub count: u32,
    /// The clock of the frame, in microseconds since 1970 UTC; see `wal/mod.rs`.
    pub clock: i64,
    /// Everything up to this LSN was known to be synced when the frame was written.
    pub durable_lsn: Lsn,
    pub(super) body_bytes: u32,
    pub(super) body_crc: u32,
    pub(super) header_crc: u32,
}

impl FrameHeader {
    /// The last LSN of the frame; if the frame has none, the LSN before its first LSN.
    pub fn last_lsn(&self) -> Lsn {
        (self.first_lsn + u64::from(self.count)).previous()
    }

    /// The bytes of the frame in the file, with its padding.
    pub(super) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.body_bytes as usize)
    }

    /// The chain after this frame, if `chain` is the one before it.
    pub(super) fn extend(&self, chain: u64) -> u64 {
        seed(&[chain, u64::from(self.header_crc) << 32 | u64::from(self.body_crc)])
    }

    /// Appends the header of `frame` for `offset` of the file with `salt`, and returns the header.
    pub(super) fn encode(frame: &Frame, salt: u64, offset: u64, durable_lsn: Lsn, out: &mut Vec<u8>) -> Self {
        let start = out.len();
        let body_crc = frame.body.salted_crc(body_seed(salt, frame.first_lsn));
        let mut writer = Writer::after(std::mem::take(out));
        writer.count(frame.body.len());
        writer.u8(frame.kind.to_byte());
        writer.u8(frame.flags);
        writer.bytes(&[0; 2]);
        writer.u64(frame.first_lsn.get());
        writer.u32(frame.count);
        writer.u32(body_crc);
        writer.i64(frame.clock);
        writer.u64(durable_lsn.get());
        writer.u32(0);
        let header_crc = salted_crc32c(seed(&[salt, offset]), &writer.as_slice()[start..]);
        writer.u32(header_crc);
        *out = writer.into_vec();
        let Frame { kind, first_lsn, count, clock, flags, .. } = *frame;
        Self {
            kind,
            flags,
            first_lsn,
            count,
            clock,
            durable_lsn,
            body_bytes: frame.body.len() as u32,
            body_crc,
            header_crc,
        }
    }

    /// Makes the length of the body, if it is beyond the end of `frame`, and both checksums right. Returns the bytes
    /// that the frame takes. For tests that get past the checksums, as an attacker would.
    #[cfg(feature = "testing")]
    pub(super) fn forge(frame: &mut [u8], salt: u64, offset: u64) -> u64 {
        let rest = frame.len() - FRAME_HEADER_BYTES;
        let length = Reader::new(frame).u32().map_or(rest, |length| (length as usize).min(rest));
        frame[..4].copy_from_slice(&(length as u32).to_le_bytes());
        let first_lsn = Reader::new(&frame[8..]).u64().map_or(Lsn::ZERO, Lsn::new);
        let crc = body_crc(salt, first_lsn, &frame[FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + length]);
        frame[20..24].copy_from_slice(&crc.to_le_bytes());
        let crc = salted_crc32c(seed(&[salt, offset]), &frame[..CRC_AT]);
        frame[CRC_AT..FRAME_HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        frame_bytes(length)
    }

    /// The header at `offset`, if `bytes` begin with one whose frame ends within `bytes_left` of the file.
    pub(super) fn decode(bytes: &[u8], salt: u64, offset: u64, bytes_left: u64) -> Option<Self> {
        let bytes = bytes.get(..FRAME_HEADER_BYTES)?;
        let mut reader = Reader::new(bytes);
        let body_bytes = reader.u32().ok()?;
        let kind = FrameKind::from_byte(reader.u8().ok()?);
        let flags = reader.u8().ok()?;
        reader.zeros(2).ok()?;
        let first_lsn = Lsn::new(reader.u64().ok()?);
        let count = reader.u32().ok()?;
        let body_crc = reader.u32().ok()?;
        let clock = reader.i64().ok()?;
        let durable_lsn = Lsn::new(reader.u64().ok()?);
        reader.zeros(4).ok()?;
        let header_crc = reader.u32().ok()?;
        let header = Self { kind, flags, first_lsn, count, clock, durable_lsn, body_bytes, body_crc, header_crc };
        let plausible = durable_lsn < first_lsn && first_lsn.checked_add(u64::from(count)).is_some();
        let whole = header.frame_bytes() <= bytes_left && offset.is_multiple_of(FRAME_ALIGNMENT);
        (plausible && whole && salted_crc32c(seed(&[salt, offset]), &bytes[..CRC_AT]) == header_crc).then_some(header)
    }
}

/// The checksum of a body.
pub(super) fn body_crc(salt: u64, first_lsn: Lsn, body: &[u8]) -> u32 {
    salted_crc32c(body_seed(salt, first_lsn), body)
}

fn body_seed(salt: u64, first_lsn: Lsn) -> u64 {
    seed(&[salt, first_lsn.get()])
}

/// The bytes that a frame with a body of `body_bytes` takes in a file.
pub(crate) fn frame_bytes(body_bytes: usize) -> u64 {
    ((FRAME_HEADER_BYTES + body_bytes) as u64).next_multiple_of(FRAME_ALIGNMENT)
}
