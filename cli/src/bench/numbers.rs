//! Numbers that look random and are a function of a seed: made-up data of `vecmem bench`, and of the tests of the
//! command line, which include this file. The program sees the public API only, and the library's own generator is no
//! part of it.
//!
//! Invariant: the sequence of a seed, splitmix64, never changes. Figures of other days are compared with today's.

/// A sequence of numbers that belongs to a seed.
pub struct Numbers(u64);

impl Numbers {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A sequence of its own for each (seed, purpose, number).
    pub fn of(seed: u64, purpose: u64, number: u64) -> Self {
        let mut mixed = Self::new(seed ^ purpose.wrapping_mul(0xD6E8_FEB8_6659_FD93));
        Self::new(mixed.next() ^ number.wrapping_mul(0xA076_1D64_78BD_642F))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to 1.
    pub fn share(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }
}
