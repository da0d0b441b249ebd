//! The sides of a bound. A range includes its bound, or it does not; nothing else is on both sides.

use std::cmp::Ordering;

/// The side of a bound that a range covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// Greater than the bound.
    Greater,
    /// Greater than the bound, or equal.
    GreaterOrEqual,
    /// Less than the bound.
    Less,
    /// Less than the bound, or equal.
    LessOrEqual,
}

impl Range {
    /// Whether a value is on the side of the bound, from the order of the two.
    #[inline]
    pub(super) fn holds(self, of_value: Ordering) -> bool {
        match of_value {
            Ordering::Less => matches!(self, Self::Less | Self::LessOrEqual),
            Ordering::Equal => matches!(self, Self::LessOrEqual | Self::GreaterOrEqual),
            Ordering::Greater => matches!(self, Self::Greater | Self::GreaterOrEqual),
        }
    }
}
