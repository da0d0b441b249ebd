//! Incarnations: numbers that tell a store and its copies apart, so that versions of items never mix.
//!
//! A copy continues with the LSNs of its original, so both give the same LSN to different writes. A version that left
//! the store is therefore an LSN under a mask, which is zero for an original and another one for each copy.
//!
//! Invariants:
//! * Applying a mask twice changes nothing: versions are masked on their way out of a store and on their way in.
//! * Inside of the store a version is an LSN without a mask.
//! * Below 2^34 writes, versions of a store rise with their LSNs and stay below 2^53, so a JSON number holds them.

use crate::record::Lsn;
use crate::types::Version;

/// The highest 16 bits of the incarnation of a copy. Those of an original are zero, or random in older stores.
const COPY: u64 = 0x0C09;
/// The position of these bits.
const KIND: u32 = 48;
/// The position of the mask in a version.
const SHIFT: u32 = 34;
/// Bits of a mask. Two copies have the same mask with a probability of 2^-19.
const MASK_BITS: u64 = (1 << 19) - 1;

/// The incarnation of a new store; `random` is any number.
pub(crate) fn original_incarnation(random: u64) -> u64 {
    random & ((1 << KIND) - 1)
}

/// The incarnation of a new copy.
pub(crate) fn copy_incarnation(random: u64) -> u64 {
    original_incarnation(random) | COPY << KIND
}

/// The mask of the versions of one incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VersionMask(u64);

impl VersionMask {
    pub fn of(incarnation: u64) -> Self {
        if incarnation >> KIND != COPY {
            return Self(0);
        }
        Self((incarnation & MASK_BITS).max(1) << SHIFT)
    }

    /// The version as it leaves the store, from the version inside of it, and the other way round.
    pub fn apply(self, version: Version) -> Version {
        Version(version.0 ^ self.0)
    }

    /// The LSN of a version that left the store.
    pub fn lsn(self, version: Version) -> Lsn {
        Lsn::new(self.apply(version).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_versions_of_a_copy_are_those_of_no_other() {
        let original = original_incarnation(u64::MAX);
        let masks =
            [original, copy_incarnation(0), copy_incarnation(2), copy_incarnation(u64::MAX)].map(VersionMask::of);
        assert_eq!(masks[0].apply(Version(7)), Version(7));
        for (index, mask) in masks.iter().enumerate() {
            assert_eq!(mask.lsn(mask.apply(Version(7))), Lsn::new(7));
            assert!(mask.apply(Version(7)).0 < mask.apply(Version(8)).0);
            assert!(mask.apply(Version((1 << SHIFT) - 1)).0 < 1 << 53);
            assert!(masks[..index].iter().all(|other| other.apply(Version(7)) != mask.apply(Version(7))));
        }
    }
}
