//! Pseudorandom numbers from a seed. A graph takes its nodes in an order made from them. With the feature `testing`
//! they are also the data of tests and benches.
//!
//! Invariants:
//! * The sequence of a seed is Vigna's SplitMix64 and never changes: the rebuild of a graph, fixtures, and seeds that a
//!   failed test has printed depend on it.
//! * Nothing here is secret. Store ids and secrets come from the operating system (`Storage::random`).

use crate::codec::mix;

/// A pseudorandom sequence of numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        let drawn = mix(self.0);
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        drawn
    }
}

#[cfg(feature = "testing")]
impl Random {
    /// A number below `bound`, which is not 0. The bias does not matter in tests.
    pub fn below<N: TryInto<u64> + TryFrom<u64>>(&mut self, bound: N) -> N {
        let Ok(bound) = bound.try_into() else { panic!("a bound is positive") };
        let Ok(drawn) = N::try_from(self.draw() % bound) else { unreachable!("a number below the bound fits") };
        drawn
    }

    /// True in `percent` of cases.
    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A number from -1 up to, but not including, 1.
    pub fn unit(&mut self) -> f32 {
        (self.draw() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    /// A printable character that JSON does not escape.
    pub fn letter(&mut self) -> char {
        char::from(b'#' + self.below(56) as u8)
    }

    /// A vector of small whole numbers: every sum of their products is exact in f32, in any order of additions.
    pub fn vector(&mut self, dims: usize) -> Vec<f32> {
        (0..dims).map(|_| self.below(17) as f32 - 8.0).collect()
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_that_of_splitmix64() {
        let mut random = Random::new(1_234_567);
        let drawn: [u64; 3] = std::array::from_fn(|_| random.draw());
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn draws_stay_inside_their_bounds() {
        let mut random = Random::new(7);
        for bound in 1..200_usize {
            assert!(random.below(bound) < bound);
            assert!((-1.0..=1.0).contains(&random.unit()) && ('#'..='Z').contains(&random.letter()));
        }
    }
}
