//! JSON numbers, compared by value.
//!
//! Invariants:
//! * Integers in the range of `i64` and `u64` are exact. Every other number is rounded to the nearest double.
//! * An integer and a double are compared as real numbers, without rounding. NaN has no order.

use std::cmp::Ordering;

/// A number: an integer kept exactly, or a double.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// In the range of `i64` or `u64`.
    Integer(i128),
    Float(f64),
}

impl Number {
    /// The integer, as a double if it is outside the range that is kept exactly.
    pub(crate) fn from_integer(integer: i128) -> Self {
        if (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer) {
            Self::Integer(integer)
        } else {
            Self::Float(integer as f64)
        }
    }

    /// The number that a JSON token spells; `None` if it spells none.
    #[inline]
    pub(crate) fn parse(token: &[u8]) -> Option<Self> {
        let (negative, digits) = match token.split_first()? {
            (b'-', digits) => (true, digits),
            _ => (false, token),
        };
        // 18 digits cannot overflow an `i64`.
        if (1..=18).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) {
            let magnitude = digits.iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
            return Some(Self::Integer(i128::from(if negative { -magnitude } else { magnitude })));
        }
        Self::parse_long(token)
    }

    fn parse_long(token: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(token).ok()?;
        let has_digits_only = !token.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E'));
        if has_digits_only && let Ok(integer) = text.parse::<i128>() {
            return Some(Self::from_integer(integer));
        }
        // The parser of the standard library also accepts "inf" and "nan".
        let spelled = token.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        if spelled { text.parse().ok().map(Self::Float) } else { None }
    }

    /// The order of two numbers; `None` if one is NaN.
    pub(crate) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => Some(a.cmp(&b)),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b),
            (Self::Integer(a), Self::Float(b)) => compare_mixed(a, b),
            (Self::Float(a), Self::Integer(b)) => compare_mixed(b, a).map(Ordering::reverse),
        }
    }
}

impl Number {
    /// Appends bytes whose order is the order of the numbers, the same for numbers that are equal: the largest double
    /// that is not above the number, as eight bytes in the order of doubles (big endian, the sign bit flipped, all bits
    /// flipped where it is negative), then what is left to an integer beyond 2^53, u16 big endian; without the zeros at
    /// the end. NaN has a place among them like any other double.
    pub(crate) fn push_ordered(self, bytes: &mut Vec<u8>) {
        let (floor, rest) = match self {
            Self::Float(float) => (float, 0),
            // Of doubles and these integers, one is exactly the other.
            Self::Integer(integer) if integer.unsigned_abs() <= 1 << 53 => (integer as i64 as f64, 0),
            Self::Integer(integer) => {
                let nearest = integer as f64;
                let floor = if nearest as i128 > integer { nearest.next_down() } else { nearest };
                (floor, (integer - floor as i128) as u16)
            }
        };
        // The sum turns minus zero into zero.
        let bits = (floor + 0.0).to_bits();
        let ordered = if bits >> 63 == 1 { !bits } else { bits | 1 << 63 };
        if rest == 0 {
            bytes.extend(ordered.to_be_bytes().iter().take(8 - ordered.trailing_zeros() as usize / 8));
        } else {
            bytes.extend_from_slice(&ordered.to_be_bytes());
            bytes.extend(rest.to_be_bytes().iter().take(2 - rest.trailing_zeros() as usize / 8));
        }
    }
}

/// The order of an integer and a double as real numbers.
fn compare_mixed(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // The cast saturates for huge doubles, to a value beyond every exact integer. For all other doubles it converts the
    // integral part without rounding.
    let whole = float.trunc() as i128;
    Some(integer.cmp(&whole).then_with(|| 0.0f64.total_cmp(&(float.fract() + 0.0))))
}
