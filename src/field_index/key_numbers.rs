//! The distinct keys of one path during a build, numbered in the order in which they came.
//!
//! A key costs no allocation of its own: its first eight bytes lie in a record, the others of all keys lie one after
//! the other. Most keys differ in their beginnings, so a look-up and a comparison seldom read more than the record.
//!
//! Invariants:
//! * Two numbers stand for different keys, and a number never changes.
//! * The hash has a seed of its own in each table, so keys that meet are not known to whoever writes them. No number
//!   depends on it.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};

use crate::field_index::key::KEY_BYTES_MAX;

/// Bytes of a key in its record.
const BEGINNING_BYTES: usize = 8;
/// Slots of a table with its first key.
const SLOTS_MIN: usize = 16;
/// An odd number without a pattern.
const MULTIPLIER: u64 = 0x9E37_79B9_7F4A_7C15;

/// Where a key lies.
#[derive(Clone, Copy, Debug)]
struct KeyRecord {
    /// The first bytes of the key as a number of the same order, with zeros after its end.
    beginning: u64,
    /// Where the bytes after these begin.
    rest_at: u32,
    /// Bytes of the key.
    length: u8,
}

/// The keys.
#[derive(Debug, Default)]
pub(super) struct KeyNumbers {
    records: Vec<KeyRecord>,
    /// The bytes of keys after their beginnings. With the limit of values they are less than 2^32.
    rests: Vec<u8>,
    /// The upper half is the hash of a key, the lower one its number and one; 0 is free. At most half are taken. A key
    /// lies at the slot that the first bits of its hash name, or at the next free one.
    slots: Vec<u64>,
    seed: u64,
}

/// The beginning of a key and its number, in the order of the keys.
pub(super) struct SortedKey {
    beginning: u64,
    pub number: u32,
}

/// The bytes of a key.
pub(super) struct KeyBytes {
    bytes: [u8; KEY_BYTES_MAX],
    length: u8,
}

impl KeyBytes {
    /// No bytes.
    pub const NONE: Self = Self { bytes: [0; KEY_BYTES_MAX], length: 0 };

    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// The bytes after those that it shares with the beginning of `before`.
    pub fn after_shared(&self, before: &Self) -> &[u8] {
        let (key, before) = (self.as_slice(), before.as_slice());
        let shared = key.iter().zip(before).take_while(|(a, b)| a == b).count();
        &key[shared..]
    }
}

/// The first bytes of a key of `length` bytes as a number of the same order, with zeros after its end. `bytes` begin
/// with the key and may go on after it.
fn beginning_of(bytes: &[u8], length: usize) -> u64 {
    match bytes.first_chunk() {
        Some(&first) if length >= BEGINNING_BYTES => u64::from_be_bytes(first),
        Some(&first) if length > 0 => u64::from_be_bytes(first) & u64::MAX << (64 - 8 * length),
        _ => {
            let mut padded = [0; BEGINNING_BYTES];
            padded.iter_mut().zip(bytes.iter().take(length)).for_each(|(padded, &byte)| *padded = byte);
            u64::from_be_bytes(padded)
        }
    }
}

/// A product of 128 bits, folded, so that its low bits depend on all bits of both numbers.
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

impl KeyNumbers {
    /// The number of keys.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The number of the key with which `bytes` begin, and which has `length` of them. It gets the next number if it is
    /// new.
    pub fn number(&mut self, bytes: &[u8], length: usize) -> u32 {
        debug_assert!(length <= KEY_BYTES_MAX);
        if (self.records.len() + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let (beginning, rest) = (beginning_of(bytes, length), bytes.get(BEGINNING_BYTES..length).unwrap_or_default());
        let hash = self.hash(beginning, rest, length);
        let (mask, mut at) = (self.slots.len() - 1, self.first_slot(hash));
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let number = slot as u32 - 1;
            if slot >> 32 == hash && self.is(number, beginning, rest, length) {
                return number;
            }
            at = (at + 1) & mask;
        }
        let number = self.records.len() as u32;
        self.slots[at] = hash << 32 | u64::from(number + 1);
        self.records.push(KeyRecord { beginning, rest_at: self.rests.len() as u32, length: length as u8 });
        self.rests.extend_from_slice(rest);
        number
    }

    fn is(&self, number: u32, beginning: u64, rest: &[u8], length: usize) -> bool {
        let record = &self.records[number as usize];
        record.beginning == beginning && usize::from(record.length) == length && self.rest(record) == rest
    }

    fn rest(&self, record: &KeyRecord) -> &[u8] {
        let length = usize::from(record.length).saturating_sub(BEGINNING_BYTES);
        &self.rests[record.rest_at as usize..][..length]
    }

    /// Half of the bits of a hash, as those that a slot keeps.
    fn hash(&self, beginning: u64, rest: &[u8], length: usize) -> u64 {
        let mut hash = fold(beginning ^ self.seed, MULTIPLIER ^ length as u64);
        let (chunks, end) = rest.as_chunks();
        for &chunk in chunks {
            hash = fold(hash ^ u64::from_be_bytes(chunk), MULTIPLIER ^ self.seed.rotate_left(32));
        }
        if !end.is_empty() {
            hash = fold(hash ^ beginning_of(end, end.len()), MULTIPLIER ^ self.seed.rotate_left(32));
        }
        fold(hash, MULTIPLIER) >> 32
    }

    fn first_slot(&self, hash: u64) -> usize {
        // There are a power of two of them, and fewer than 2^32.
        (hash >> (32 - self.slots.len().trailing_zeros())) as usize
    }

    /// Makes room for twice as many keys.
    fn grow(&mut self) {
        if self.slots.is_empty() {
            self.seed = RandomState::new().hash_one(MULTIPLIER);
        }
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![0; (old.len() * 2).max(SLOTS_MIN)];
        let mask = self.slots.len() - 1;
        for slot in old.into_iter().filter(|&slot| slot > 0) {
            let mut at = self.first_slot(slot >> 32);
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = slot;
        }
    }

    /// The keys in their order.
    pub fn sorted(&self) -> Vec<SortedKey> {
        let sorted_key = |(record, number): (&KeyRecord, u32)| SortedKey { beginning: record.beginning, number };
        let mut sorted: Vec<SortedKey> = self.records.iter().zip(0..).map(sorted_key).collect();
        sorted.sort_unstable_by(|a, b| match a.beginning.cmp(&b.beginning) {
            Ordering::Equal => self.compare_ends(a.number, b.number),
            order => order,
        });
        sorted
    }

    /// The order of two keys with the same beginning. Of two that end within it, the shorter one comes first.
    fn compare_ends(&self, a: u32, b: u32) -> Ordering {
        let (a, b) = (&self.records[a as usize], &self.records[b as usize]);
        self.rest(a).cmp(self.rest(b)).then(a.length.cmp(&b.length))
    }

    /// The bytes of a key.
    pub fn bytes(&self, key: &SortedKey) -> KeyBytes {
        let record = &self.records[key.number as usize];
        let mut bytes = [0; KEY_BYTES_MAX];
        let (beginning, after) = bytes.split_at_mut(BEGINNING_BYTES);
        beginning.copy_from_slice(&key.beginning.to_be_bytes());
        let rest = self.rest(record);
        after[..rest.len()].copy_from_slice(rest);
        KeyBytes { bytes, length: record.length }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::random::Random;

    #[test]
    fn a_key_has_one_number_and_keys_are_sorted_as_their_bytes() {
        let mut random = Random::new(71);
        for round in 0..60 {
            let (mut table, mut expected) = (KeyNumbers::default(), BTreeMap::new());
            let (bytes, lengths) = ([2, 3, 256][round % 3], [1, 9, 10, KEY_BYTES_MAX][round % 4]);
            for _ in 0..random.below(3_000) {
                let length = random.below(lengths + 1);
                let key: Vec<u8> = (0..length).map(|_| random.below(bytes) as u8).collect();
                let after: Vec<u8> = (0..random.below(12)).map(|_| random.below(256) as u8).collect();
                let next = expected.len() as u32;
                let number = *expected.entry(key.clone()).or_insert(next);
                assert_eq!(
                    table.number(&[key.as_slice(), &after].concat(), key.len()),
                    number,
                    "round {round}: {key:?}"
                );
                assert_eq!(table.len(), expected.len());
            }
            let sorted = table.sorted();
            let found = sorted.iter().map(|key| (table.bytes(key).as_slice().to_vec(), key.number));
            assert!(found.eq(expected), "round {round}");
        }
    }
}
