//! Little-endian encoding and bounded decoding of everything the engine puts on disk, and its checksums.
//!
//! Invariants:
//! * [`Reader`] is total: any bytes give a value or a [`FormatError`], never a panic. A length or count is compared
//!   with the bytes left before it is used, so decoding allocates in proportion to the input.
//! * A checksum is bound to where its bytes belong: it starts from a [`seed`] of store, file and position, so bytes
//!   from another store, file or place do not verify.
//! * CRC-32C (Castagnoli) finds every error of up to 32 bits in a row. It does not stop an attacker, so decoders check
//!   ranges even in bytes whose checksum is right.

use std::fmt;

use crate::error::{Error, ErrorKind};

/// Bytes that are not what their format says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FormatError {
    /// Offset of the offending bytes, from the first byte the reader was given.
    pub offset: usize,
    pub what: &'static str,
}

/// The text of a [`FormatError`] about content that only a newer version of the format has.
const NEWER: &str = "something that only a newer version of vecmem writes";

impl FormatError {
    /// A flag that this version does not know, and without which the bytes cannot be read.
    pub fn newer(offset: usize) -> Self {
        Self { offset, what: NEWER }
    }

    /// The error for a reader whose first byte lies at `base` of `file`.
    pub fn in_file(self, file: impl fmt::Display, base: u64) -> Error {
        let error = Error::corrupt(file, base.saturating_add(self.offset as u64), self.what);
        if self.what == NEWER { error.with_kind(ErrorKind::NewerFormat) } else { error }
    }

    /// The same for bytes of `part` of a file. The caller adds the file and the offset of the part.
    pub fn in_part(self, part: impl fmt::Display) -> Error {
        self.in_file(part, 0).without_place()
    }
}

/// The result of decoding.
pub(crate) type Decoded<T> = Result<T, FormatError>;

/// Takes values off the front of a slice.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// Bytes taken so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The failure `what` at the current position.
    pub fn malformed(&self, what: &'static str) -> FormatError {
        FormatError { offset: self.position, what }
    }

    /// The next `length` bytes.
    #[inline]
    pub fn bytes(&mut self, length: usize) -> Decoded<&'a [u8]> {
        if length > self.remaining() {
            return Err(self.malformed("the bytes end before the value does"));
        }
        let taken = &self.bytes[self.position..self.position + length];
        self.position += length;
        Ok(taken)
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Decoded<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    #[inline]
    pub fn u8(&mut self) -> Decoded<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    #[inline]
    pub fn u16(&mut self) -> Decoded<u16> {
        self.array().map(u16::from_le_bytes)
    }

    #[inline]
    pub fn u32(&mut self) -> Decoded<u32> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub fn u64(&mut self) -> Decoded<u64> {
        self.array().map(u64::from_le_bytes)
    }

    #[inline]
    pub fn i64(&mut self) -> Decoded<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// `count` numbers; nothing is allocated unless all of them are there.
    pub fn floats(&mut self, count: usize) -> Decoded<Box<[f32]>> {
        let length = count.checked_mul(4).ok_or(self.malformed("a vector is longer than memory"))?;
        let (chunks, _) = self.bytes(length)?.as_chunks::<4>();
        Ok(chunks.iter().map(|&chunk| f32::from_le_bytes(chunk)).collect())
    }

    /// A u32 count of values that take at least `bytes_each` bytes. It is at most `maximum`, and no more than the bytes
    /// left can hold.
    pub fn count(&mut self, bytes_each: usize, maximum: usize) -> Decoded<usize> {
        let at = self.position;
        let count = self.u32()? as usize;
        if count > maximum {
            return Err(FormatError { offset: at, what: "a count exceeds its limit" });
        }
        if count.checked_mul(bytes_each).is_none_or(|needed| needed > self.remaining()) {
            return Err(FormatError { offset: at, what: "a count exceeds the bytes left" });
        }
        Ok(count)
    }

    /// A u32 length of at most `maximum`, then that many bytes.
    pub fn prefixed(&mut self, maximum: usize) -> Decoded<&'a [u8]> {
        let length = self.count(1, maximum)?;
        self.bytes(length)
    }

    /// A u32 length of at most `maximum`, then that many bytes of UTF-8.
    pub fn text(&mut self, maximum: usize) -> Decoded<&'a str> {
        let bytes = self.prefixed(maximum)?;
        std::str::from_utf8(bytes).map_err(|error| FormatError {
            offset: self.position - bytes.len() + error.valid_up_to(),
            what: "text is not UTF-8",
        })
    }

    /// Padding: fails unless the next `length` bytes are zeros.
    pub fn zeros(&mut self, length: usize) -> Decoded<()> {
        let at = self.position;
        match self.bytes(length)?.iter().position(|&byte| byte != 0) {
            None => Ok(()),
            Some(index) => Err(FormatError { offset: at + index, what: "padding is not zero" }),
        }
    }

    /// Fails if bytes are left.
    pub fn finish(&self) -> Decoded<()> {
        if self.remaining() == 0 { Ok(()) } else { Err(self.malformed("bytes are left after the last value")) }
    }
}

/// Appends values to a buffer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        Self::default()
    }

    /// A writer that appends to `buffer`.
    pub fn after(buffer: Vec<u8>) -> Self {
        Self { bytes: buffer }
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn u16(&mut self, value: u16) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn i64(&mut self, value: i64) {
        self.bytes(&value.to_le_bytes());
    }

    pub fn floats(&mut self, values: &[f32]) {
        self.bytes.reserve(4 * values.len());
        values.iter().for_each(|value| self.bytes.extend_from_slice(&value.to_le_bytes()));
    }

    /// A u32 count or length. The limits of the data model keep every one far below 2^32.
    pub fn count(&mut self, count: usize) {
        debug_assert!(u32::try_from(count).is_ok());
        self.u32(count as u32);
    }

    /// A u32 length, then the bytes.
    pub fn prefixed(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.bytes(bytes);
    }

    /// Overwrites the u32 at `offset`.
    #[cfg(feature = "testing")]
    pub fn set_u32(&mut self, offset: usize, value: u32) {
        self.bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
    }

    /// Appends zeros until the buffer has `length` bytes.
    pub fn pad_to(&mut self, length: usize) {
        if length > self.bytes.len() {
            self.bytes.resize(length, 0);
        }
    }
}

/// CRC-32C of `bytes`. `start` is 0 for a checksum of its own, or the checksum of the bytes before `bytes`.
pub(crate) fn crc32c(start: u32, bytes: &[u8]) -> u32 {
    let mut digest = crc_fast::Digest::new_with_init_state(crc_fast::CrcAlgorithm::Crc32Iscsi, u64::from(!start));
    digest.update(bytes);
    digest.finalize() as u32
}

/// CRC-32C of `bytes` bound to the place that `seed` stands for.
pub(crate) fn salted_crc32c(seed: u64, bytes: &[u8]) -> u32 {
    crc32c((seed ^ (seed >> 32)) as u32, bytes)
}

/// A hash of the place of some bytes, from numbers such as the store id, the file id and the block number.
pub(crate) fn seed(parts: &[u64]) -> u64 {
    parts.iter().fold(0x7665_636D_656D_0001, |state, &part| mix(state ^ mix(part)))
}

/// A bijection of u64 in which every input bit moves about half of the output bits.
pub(crate) fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_trip() {
        let mut writer = Writer::new();
        writer.u8(7);
        writer.u16(0x1234);
        writer.u32(u32::MAX);
        writer.u64(1 << 40);
        writer.i64(-5);
        writer.prefixed("é".as_bytes());
        writer.floats(&[1.0, f32::MIN_POSITIVE]);
        writer.pad_to(64);
        let bytes = writer.into_vec();
        let mut reader = Reader::new(&bytes);
        assert_eq!((reader.u8(), reader.u16(), reader.u32()), (Ok(7), Ok(0x1234), Ok(u32::MAX)));
        assert_eq!((reader.u64(), reader.i64()), (Ok(1 << 40), Ok(-5)));
        assert_eq!(reader.text(2), Ok("é"));
        assert_eq!(reader.floats(2).as_deref(), Ok(&[1.0, f32::MIN_POSITIVE][..]));
        assert!(reader.finish().is_err());
        assert_eq!((reader.zeros(64 - reader.position()), reader.finish()), (Ok(()), Ok(())));
    }

    #[test]
    fn lengths_are_checked_before_they_are_used() {
        let bytes = [0xFF; 8];
        assert!(Reader::new(&bytes).prefixed(usize::MAX).is_err());
        assert!(Reader::new(&bytes).floats(usize::MAX).is_err());
        assert!(Reader::new(&bytes).floats(usize::MAX / 4).is_err());
        assert!(Reader::new(&bytes).count(usize::MAX, usize::MAX).is_err());
        assert_eq!(
            Reader::new(&[2, 0, 0, 0, b'a', 0xFF]).text(9),
            Err(FormatError { offset: 5, what: "text is not UTF-8" })
        );
        assert_eq!(Reader::new(&[2, 0, 0, 0, 1, 1]).prefixed(1).unwrap_err().offset, 0);
    }

    #[test]
    fn checksums_are_castagnoli_and_bound_to_their_place() {
        assert_eq!(crc32c(0, b"123456789"), 0xE306_9283);
        assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xE306_9283);
        let bytes: Vec<u8> = (0..=255).cycle().take(10_000).collect();
        assert_eq!(crc32c(crc32c(0, &bytes[..777]), &bytes[777..]), crc32c(0, &bytes));
        assert_ne!(salted_crc32c(seed(&[1, 2]), &bytes), salted_crc32c(seed(&[2, 1]), &bytes));
        assert_ne!(seed(&[1]), seed(&[1, 0]));
    }
}
