//! Large values, compressed block by block. A filter that needs only the beginning of a value unpacks only the first
//! blocks.
//!
//! Invariants:
//! * The memory for a value is bounded by its stored bytes. No length field alone makes a reader allocate.
//!
//! # Format
//!
//! ```text
//! BYTES   MEANING
//! 4       length of the value
//! then for each 65,536 bytes of the value, the last ones fewer:
//! 4       length of the block
//! any     the block: LZ4, of these bytes alone
//! ```

use crate::types::limits;

/// Bytes of a value in one block.
pub(crate) const BLOCK_BYTES: usize = 64 << 10;
/// Bytes of the length of a value.
pub(crate) const LENGTH_BYTES: u32 = 4;
/// One stored byte unpacks to at most this many.
const LZ4_EXPANSION: usize = 255;

/// The compressed value, if compression saves at least an eighth. `packed` is the buffer for it.
pub(crate) fn pack<'a>(value: &[u8], packed: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    packed.clear();
    packed.extend(u32::try_from(value.len()).ok()?.to_le_bytes());
    for block in value.chunks(BLOCK_BYTES) {
        let start = packed.len() + 4;
        packed.resize(start + lz4_flex::block::get_maximum_output_size(block.len()), 0);
        let length = lz4_flex::block::compress_into(block, &mut packed[start..]).ok()?;
        packed[start - 4..start].copy_from_slice(&(length as u32).to_le_bytes());
        packed.truncate(start + length);
    }
    (8 * packed.len() <= 7 * value.len()).then_some(packed)
}

/// The bytes of the value that `pack` compressed, from the first ones of what it wrote.
pub(crate) fn length_of(beginning: &[u8]) -> Result<u64, String> {
    split_length(beginning).map(|(length, _)| length as u64)
}

/// The value that `pack` compressed to `stored`, or the reason why `stored` is invalid.
pub(crate) fn unpack(stored: &[u8]) -> Result<Vec<u8>, String> {
    let mut unpacker = Unpacker::new(stored)?;
    let mut value = Vec::with_capacity(unpacker.missing);
    while !unpacker.is_complete() {
        unpacker.next_block(&mut value)?;
    }
    Ok(value)
}

/// A value that is unpacked block by block.
pub(crate) struct Unpacker<'a> {
    rest: &'a [u8],
    /// Bytes of the value that are not unpacked yet.
    missing: usize,
}

impl<'a> Unpacker<'a> {
    pub fn new(stored: &'a [u8]) -> Result<Self, String> {
        let (length, rest) = split_length(stored)?;
        if length > limits::VALUE_BYTES || length > rest.len().saturating_mul(LZ4_EXPANSION) {
            return Err(format!("a compressed value of {} bytes cannot have {length}", rest.len()));
        }
        match (length, rest) {
            (0, [_, ..]) => Err("a compressed value is longer than it says".into()),
            _ => Ok(Self { rest, missing: length }),
        }
    }

    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Appends the next block to `value`. Only while the value is not complete.
    pub fn next_block(&mut self, value: &mut Vec<u8>) -> Result<(), String> {
        let (length, rest) = split_length(self.rest)?;
        let (block, rest) = rest.split_at_checked(length).ok_or("a compressed value is cut off")?;
        let (start, wanted) = (value.len(), self.missing.min(BLOCK_BYTES));
        value.resize(start + wanted, 0);
        match lz4_flex::block::decompress_into(block, &mut value[start..]) {
            Ok(written) if written == wanted => {}
            Ok(written) => return Err(format!("a compressed block has {written} bytes instead of {wanted}")),
            Err(error) => return Err(format!("a compressed block cannot be unpacked: {error}")),
        }
        (self.rest, self.missing) = (rest, self.missing - wanted);
        match (self.missing, rest) {
            (0, [_, ..]) => Err("a compressed value is longer than it says".into()),
            _ => Ok(()),
        }
    }
}

/// The length at the beginning of `bytes`, and the rest.
fn split_length(bytes: &[u8]) -> Result<(usize, &[u8]), String> {
    let (length, rest) = bytes.split_first_chunk().ok_or("a compressed value is too short")?;
    Ok((u32::from_le_bytes(*length) as usize, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn what_is_packed_unpacks_and_only_what_pays_is() {
        let mut scratch = Vec::new();
        for length in [0, 1, 13, 100, 4_096, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 1 << 20] {
            let regular: Vec<u8> = b"{\"role\":\"user\"},".iter().copied().cycle().take(length).collect();
            match pack(&regular, &mut scratch) {
                Some(packed) => {
                    assert!(8 * packed.len() <= 7 * length, "{length}");
                    assert_eq!(unpack(packed).as_deref(), Ok(regular.as_slice()));
                }
                None => assert!(length < 100, "{length} regular bytes pay"),
            }
            let mut random = Random::new(7);
            let noise: Vec<u8> = (0..length).map(|_| random.draw() as u8).collect();
            assert_eq!(pack(&noise, &mut scratch), None, "{length} random bytes do not");
        }
    }

    #[test]
    fn no_number_in_a_packed_value_makes_it_large() {
        let mut scratch = Vec::new();
        let packed = pack(&[b'a'; 100_000], &mut scratch).unwrap().to_vec();
        let first = u32::from_le_bytes(packed[4..8].try_into().unwrap());
        for (at, real) in [(0, 100_000), (4, first)] {
            for length in [0, 1, real - 1, real + 1, limits::VALUE_BYTES as u32, u32::MAX] {
                let mut forged = packed.clone();
                forged[at..at + 4].copy_from_slice(&length.to_le_bytes());
                assert!(unpack(&forged).is_err(), "{length} at {at}");
            }
        }
        assert!(unpack(&[&packed[..], &[0]].concat()).is_err());
        for end in 0..packed.len() {
            assert!(unpack(&packed[..end]).is_err(), "{end}");
        }
    }
}
