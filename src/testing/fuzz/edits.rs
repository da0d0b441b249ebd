//! Edits of a good file, chosen by the input of a fuzz body: so libFuzzer and seeded tests change the structure of a
//! file, and need not find its structure first.
//!
//! Invariants:
//! * Any bytes are edits, and none makes a file longer than twice its bytes and 4 KiB.

use crate::codec::Reader;

/// Numbers that fields do not expect.
const NUMBERS: [u32; 10] = [0, 1, 2, 7, 255, 4_096, 65_536, i32::MAX as u32, u32::MAX - 1, u32::MAX];
/// Half of the edits lie within so many bytes of the start, where the fields are.
const FIELDS: usize = 512;
/// The bytes that one edit clears or moves, at most.
const PIECE: usize = 64;

/// The good bytes with the edits that `script` chooses: 4 bytes each. No edit changes the first `kept` bytes.
pub(super) fn edited(good: &[u8], kept: usize, script: &[u8]) -> Vec<u8> {
    let mut bytes = good.to_vec();
    let mut reader = Reader::new(script);
    while let Ok([what, low, high, value]) = reader.array() {
        let near = usize::from(u16::from_le_bytes([low, high]));
        let room = bytes.len().saturating_sub(kept).max(1);
        let at = kept + if what < 128 { near % room.min(FIELDS) } else { near * 7 % room };
        edit(&mut bytes, what % 16, at, value);
        bytes.truncate(2 * good.len() + 4_096);
    }
    bytes
}

fn edit(bytes: &mut Vec<u8>, what: u8, at: usize, value: u8) {
    let piece = at..(at + 1 + usize::from(value) % PIECE).min(bytes.len());
    let number = NUMBERS[usize::from(value) % NUMBERS.len()].to_le_bytes();
    let aligned = at.next_multiple_of(4);
    match what {
        0..4 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte = value),
        4..7 => bytes[at..].iter_mut().take(1).for_each(|byte| *byte ^= 1 << (value % 8)),
        7..11 => bytes[aligned.min(at)..].iter_mut().skip(aligned - at).zip(number).for_each(|(byte, new)| *byte = new),
        11 => bytes.get_mut(piece).into_iter().flatten().for_each(|byte| *byte = 0),
        12 if value > 200 => bytes.truncate(at),
        13 => drop(bytes.splice(at.min(bytes.len())..at.min(bytes.len()), [value; 3])),
        14 => drop(bytes.drain(piece.start.min(piece.end)..piece.end)),
        _ => {
            let copy = bytes.get(piece).map(<[u8]>::to_vec).unwrap_or_default();
            let target = usize::from(value) * 97 % bytes.len().max(1);
            let target = if target < at { at } else { target };
            bytes.iter_mut().skip(target).zip(copy).for_each(|(byte, new)| *byte = new);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn any_script_ends_and_leaves_the_beginning() {
        let good: Vec<u8> = (0..=255).collect();
        let mut random = Random::new(3);
        for round in 0..20_000 {
            let script: Vec<u8> = (0..random.below(40_usize)).map(|_| random.draw() as u8).collect();
            for kept in [0, 64, 256] {
                let bytes = edited(&good, kept, &script);
                assert_eq!(bytes[..kept], good[..kept], "round {round}");
                assert!(bytes.len() <= 2 * good.len() + 4_096);
            }
            edited(&[], 0, &script);
        }
        assert_eq!(edited(&good, 0, &[]), good);
    }
}
