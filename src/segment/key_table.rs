//! A hash table of names, which are keys or namespaces, in a file. Most absent names cost one cache line.
//!
//! Invariants:
//! * Every name is in the bucket of its hash, or that bucket is marked as overflowing and the name is in the spill
//!   list.
//! * The hash is SipHash-1-3 under a secret of the store, so a client that chooses names cannot choose buckets.
//!
//! # Format
//!
//! Bucket of a hash: the high half of (hash >> 32) * buckets. There is one bucket for every 8 names, rounded up.
//!
//! ```text
//! BUCKET, 64 bytes                                          SPILL ENTRY, 16 bytes, sorted by (hash, row)
//! OFFSET  SIZE    MEANING                                   OFFSET  SIZE  MEANING
//! 0       10 x 2  fingerprints: the low 16 bits of a hash   0       8     hash
//! 20      10 x 4  rows                                      8       4     row
//! 60      1       entries in use, 0 to 10                   12      4     0
//! 61      1       1 if names of this bucket spilled
//! 62      2       0
//! ```

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::error::Result;

/// Bytes of one bucket: a cache line.
pub(crate) const BUCKET_BYTES: usize = size_of::<Bucket>();

const SLOTS: usize = 10;
const NAMES_PER_BUCKET: usize = 8;
/// More names than ever share a 64-bit hash. A lookup in a hostile file compares at most this many spilled names.
const EQUAL_HASHES_MAX: usize = 4_096;

/// Up to ten names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct Bucket {
    fingerprints: [u16; SLOTS],
    rows: [u32; SLOTS],
    count: u8,
    overflows: u8,
    zero: [u8; 2],
}

/// A name whose bucket was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C)]
pub(crate) struct SpillEntry {
    hash: u64,
    row: u32,
    zero: u32,
}

/// The hash of a namespace and a key. The length of the namespace is hashed too, so that the two cannot be confused.
#[inline]
pub(crate) fn hash_key(secret: [u64; 2], namespace: &[u8], key: &str) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(secret[0], secret[1]);
    hasher.write(&(namespace.len() as u64).to_le_bytes());
    hasher.write(namespace);
    hasher.write(key.as_bytes());
    hasher.finish()
}

/// The hash of a namespace, under a secret other than that of keys.
#[inline]
pub(crate) fn hash_namespace(secret: [u64; 2], namespace: &[u8]) -> u64 {
    SipHasher13::new_with_keys(!secret[0], secret[1]).hash(namespace)
}

/// The number of buckets of a table with `names` names.
pub(crate) fn bucket_count(names: usize) -> usize {
    names.div_ceil(NAMES_PER_BUCKET)
}

#[inline]
fn bucket_of(hash: u64, buckets: usize) -> usize {
    (((hash >> 32) * buckets as u64) >> 32) as usize
}

/// Builds the table of names from their hashes: row `i` has `hashes[i]`.
pub(crate) fn build(hashes: &[u64]) -> (Vec<Bucket>, Vec<SpillEntry>) {
    let mut buckets = vec![Bucket::default(); bucket_count(hashes.len())];
    let mut spill = Vec::new();
    for (row, &hash) in (0..).zip(hashes) {
        let index = bucket_of(hash, buckets.len());
        let bucket = &mut buckets[index];
        let slot = usize::from(bucket.count);
        if slot < SLOTS {
            (bucket.fingerprints[slot], bucket.rows[slot]) = (hash as u16, row);
            bucket.count += 1;
        } else {
            bucket.overflows = 1;
            spill.push(SpillEntry { hash, row, zero: 0 });
        }
    }
    spill.sort_unstable();
    (buckets, spill)
}

/// A table in a file.
#[derive(Clone, Copy)]
pub(crate) struct KeyTable<'a> {
    pub buckets: &'a [Bucket],
    pub spill: &'a [SpillEntry],
}

impl KeyTable<'_> {
    /// The number of the bucket of a hash; 0 in a table without buckets.
    #[inline]
    pub fn bucket(&self, hash: u64) -> usize {
        bucket_of(hash, self.buckets.len())
    }

    /// The row with this hash for which `is_it` holds. `ensure_bucket(i)` and `ensure_spill` are called before the
    /// bytes are read.
    #[inline]
    pub fn find(
        &self,
        hash: u64,
        ensure_bucket: impl FnOnce(usize) -> Result<()>,
        ensure_spill: impl FnOnce() -> Result<()>,
        mut is_it: impl FnMut(u32) -> Result<bool>,
    ) -> Result<Option<u32>> {
        let index = self.bucket(hash);
        let Some(bucket) = self.buckets.get(index) else { return Ok(None) };
        ensure_bucket(index)?;
        for (&fingerprint, &row) in bucket.fingerprints.iter().zip(&bucket.rows).take(usize::from(bucket.count)) {
            if fingerprint == hash as u16 && is_it(row)? {
                return Ok(Some(row));
            }
        }
        if bucket.overflows == 0 {
            return Ok(None);
        }
        ensure_spill()?;
        let first = self.spill.partition_point(|entry| entry.hash < hash);
        for entry in self.spill[first..].iter().take(EQUAL_HASHES_MAX).take_while(|entry| entry.hash == hash) {
            if is_it(entry.row)? {
                return Ok(Some(entry.row));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(table: KeyTable<'_>, hash: u64, row: u32) -> Option<u32> {
        table.find(hash, |_| Ok(()), || Ok(()), |found| Ok(found == row)).unwrap()
    }

    #[test]
    fn every_name_is_found_and_no_other() {
        let hash = |name: u64| hash_namespace([1, 2], &name.to_le_bytes());
        for names in [0, 1, 9, 1_000, 50_000] {
            let hashes: Vec<u64> = (0..names).map(hash).collect();
            let (buckets, spill) = build(&hashes);
            let table = KeyTable { buckets: &buckets, spill: &spill };
            assert!((0..).zip(&hashes).all(|(row, &hash)| find(table, hash, row) == Some(row)));
            assert!((names..names + 1_000).all(|name| find(table, hash(name), u32::MAX).is_none()));
            assert!(spill.len() * 10 <= hashes.len() + 100, "{} of {names} spilled", spill.len());
        }
    }

    #[test]
    fn equal_hashes_spill_and_are_told_apart() {
        let hashes = vec![0xABCD_EF01_2345_6789; 100];
        let (buckets, spill) = build(&hashes);
        assert_eq!(spill.len(), 90);
        let table = KeyTable { buckets: &buckets, spill: &spill };
        assert!((0..100).all(|row| find(table, hashes[0], row) == Some(row)));
        assert_eq!(find(table, hashes[0], 100), None);
        let absent = table.find(hashes[0] ^ 1, |_| Ok(()), || Ok(()), |_| panic!("nothing to compare")).unwrap();
        assert_eq!(absent, None);
    }

    #[test]
    fn a_key_is_not_mistaken_for_a_longer_namespace() {
        assert_ne!(hash_key([3, 4], b"a\0", "b\0"), hash_key([3, 4], b"a\0b\0", ""));
    }
}
