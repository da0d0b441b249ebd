//! LSNs: the numbers that put all writes in one order.
//!
//! Invariants:
//! * Each operation has an LSN of its own. A later operation has a greater LSN.
//! * No operation has [`Lsn::ZERO`] or [`Lsn::MAX`].
//! * Files hold an LSN in eight bytes, little-endian. LSNs in the segment of an import are relative to its frame.

use std::fmt;
use std::ops::Add;

use crate::sync::{AtomicU64, Ordering};

/// Log sequence number: one per operation, the one order of all writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub(crate) struct Lsn(u64);

/// The `deleted_lsn` of a version that is not deleted.
pub(crate) const ALIVE: Lsn = Lsn::MAX;

impl Lsn {
    /// Before every write.
    pub const ZERO: Self = Self(0);
    /// The greatest LSN that an operation can have. A view of this LSN sees every deletion.
    pub const LAST: Self = Self(u64::MAX - 1);
    /// After every write.
    pub const MAX: Self = Self(u64::MAX);

    #[inline]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number, as files hold it and as callers see it.
    #[inline]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The LSN directly after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The LSN directly before this one.
    pub fn previous(self) -> Self {
        Self(self.0 - 1)
    }

    /// This LSN and all later ones.
    pub fn sequence(self) -> impl Iterator<Item = Self> {
        (self.0..).map(Self)
    }

    /// The LSN `count` after this one, if there is one.
    pub fn checked_add(self, count: u64) -> Option<Self> {
        self.0.checked_add(count).map(Self)
    }

    /// The LSN `count` after this one, [`Lsn::MAX`] at most.
    #[inline]
    pub fn saturating_add(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

/// The LSN `count` after this one.
impl Add<u64> for Lsn {
    type Output = Self;

    fn add(self, count: u64) -> Self {
        Self(self.0 + count)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An LSN that threads share.
#[derive(Debug, Default)]
pub(crate) struct AtomicLsn(AtomicU64);

impl AtomicLsn {
    #[inline]
    pub const fn new(lsn: Lsn) -> Self {
        Self(AtomicU64::new(lsn.0))
    }

    #[inline]
    pub fn load(&self, ordering: Ordering) -> Lsn {
        Lsn(self.0.load(ordering))
    }

    pub fn store(&self, lsn: Lsn, ordering: Ordering) {
        self.0.store(lsn.0, ordering);
    }

    /// Stores `lsn` if it is greater.
    pub fn raise(&self, lsn: Lsn, ordering: Ordering) {
        self.0.fetch_max(lsn.0, ordering);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsns_count_and_end() {
        let nine = Lsn::new(9);
        assert_eq!((nine.next(), nine.previous(), nine + 3), (Lsn::new(10), Lsn::new(8), Lsn::new(12)));
        assert_eq!(nine.sequence().take(3).map(Lsn::get).collect::<Vec<_>>(), [9, 10, 11]);
        assert_eq!((Lsn::MAX.checked_add(1), Lsn::MAX.saturating_add(1)), (None, Lsn::MAX));
        assert_eq!((Lsn::LAST.next(), Lsn::default(), ALIVE), (Lsn::MAX, Lsn::ZERO, Lsn::MAX));
        assert_eq!((size_of::<Lsn>(), nine.to_string()), (8, "9".to_owned()));
    }

    #[test]
    fn a_shared_lsn_only_rises_by_raise() {
        let shared = AtomicLsn::default();
        assert_eq!(shared.load(Ordering::Relaxed), Lsn::ZERO);
        for (lsn, expected) in [(5, 5), (3, 5), (6, 6)] {
            shared.raise(Lsn::new(lsn), Ordering::Relaxed);
            assert_eq!(shared.load(Ordering::Relaxed), Lsn::new(expected));
        }
        shared.store(Lsn::new(2), Ordering::Relaxed);
        assert_eq!(shared.load(Ordering::Relaxed), Lsn::new(2));
    }
}
