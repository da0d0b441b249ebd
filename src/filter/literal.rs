//! Values to compare with, and their sizes.
//!
//! Invariants:
//! * [`Literal::measure`] bounds depth before anything else recurses through a literal.
//! * A date stands alone or in a list of literals, never inside of an array or object.

use std::collections::BTreeMap;

use super::timestamp::Timestamp;
use crate::error::{Error, Result};

/// Why NaN is refused under a negation. Without one it matches nothing, as LangGraph's suite of SQLite asks.
pub(super) const NEGATED_NAN: &str = "NaN equals nothing, so its negation would match every item; leave it out";
/// Why a date is refused inside of an array or object.
pub(super) const NESTED_DATE: &str = "a date inside of an array or object is not compared; compare its field alone";

/// What each value that is no string counts of the bytes of a filter.
const SCALAR_BYTES: usize = 8;

/// A value to compare with: a JSON value, or a double that JSON cannot express. NaN equals nothing, and a filter that
/// negates a comparison with NaN is refused.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// Null. A missing value is equal to it too.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer. Outside the ranges of `i64` and `u64` it is compared as its nearest double, like integers in values.
    Integer(i128),
    /// A double; an infinity is one.
    Float(f64),
    /// A string.
    String(String),
    /// An array, equal to one with equal elements in the same order.
    Array(Vec<Literal>),
    /// An object, equal to one with the same keys and equal values.
    Object(BTreeMap<String, Literal>),
    /// An instant, equal to a string that spells it as [`Timestamp::parse`] reads it, in any offset from UTC. It stands
    /// in no array or object.
    Date(Timestamp),
}

/// What literals cost: values, those inside of arrays and objects included, and bytes. A string and a key count their
/// length in UTF-8, and every other value 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LiteralSize {
    pub values: usize,
    pub bytes: usize,
}

impl LiteralSize {
    pub fn add(&mut self, other: Self) {
        self.values = self.values.saturating_add(other.values);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What the scalars of a list are together: all that a check of a filter asks of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScalarList {
    pub size: LiteralSize,
    has_nan: bool,
}

impl ScalarList {
    /// `None` if a literal is an array or object.
    pub fn new(literals: &[Literal]) -> Option<Self> {
        let mut list = Self { size: LiteralSize::default(), has_nan: false };
        for literal in literals {
            // A scalar has no levels, and only NaN among them may not be negated.
            if let Literal::Array(_) | Literal::Object(_) = literal {
                return None;
            }
            list.size.add(literal.measure(0)?);
            list.has_nan |= matches!(literal, Literal::Float(number) if number.is_nan());
        }
        Some(list)
    }

    /// Fails if the list holds NaN and `is_negated`.
    pub fn check(&self, is_negated: bool) -> Result<()> {
        if is_negated && self.has_nan { Err(Error::invalid(format!("filter: {NEGATED_NAN}"))) } else { Ok(()) }
    }
}

impl Literal {
    /// The size of the literal, itself included; `None` if it nests deeper than `levels`.
    pub(super) fn measure(&self, levels: usize) -> Option<LiteralSize> {
        let mut size = LiteralSize { values: 1, bytes: SCALAR_BYTES };
        match self {
            Self::String(string) => size.bytes = string.len(),
            Self::Array(elements) => {
                let levels = levels.checked_sub(1)?;
                for element in elements {
                    size.add(element.measure(levels)?);
                }
            }
            Self::Object(members) => {
                let levels = levels.checked_sub(1)?;
                for (key, member) in members {
                    size.add(LiteralSize { values: 0, bytes: key.len() });
                    size.add(member.measure(levels)?);
                }
            }
            _ => {}
        }
        Some(size)
    }

    /// Fails if the literal holds NaN and `is_negated`, or a date inside of an array or object. Its depth is bounded.
    pub(super) fn check(&self, is_negated: bool) -> Result<()> {
        self.check_value(is_negated, false)
    }

    fn check_value(&self, is_negated: bool, is_inside: bool) -> Result<()> {
        match self {
            Self::Float(number) if is_negated && number.is_nan() => {
                Err(Error::invalid(format!("filter: {NEGATED_NAN}")))
            }
            Self::Date(_) if is_inside => Err(Error::invalid(format!("filter: {NESTED_DATE}"))),
            Self::Array(elements) => elements.iter().try_for_each(|element| element.check_value(is_negated, true)),
            Self::Object(members) => members.values().try_for_each(|member| member.check_value(is_negated, true)),
            _ => Ok(()),
        }
    }
}

impl From<bool> for Literal {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

macro_rules! literal_from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Literal {
            fn from(value: $integer) -> Self {
                Self::Integer(i128::from(value))
            }
        }
    )*};
}
literal_from_integer!(i8, i16, i32, i64, u8, u16, u32, u64);

impl From<usize> for Literal {
    fn from(value: usize) -> Self {
        Self::Integer(value as i128)
    }
}

impl From<f32> for Literal {
    fn from(value: f32) -> Self {
        Self::Float(f64::from(value))
    }
}

impl From<f64> for Literal {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}

impl From<&str> for Literal {
    fn from(value: &str) -> Self {
        Self::String(value.to_owned())
    }
}

impl From<String> for Literal {
    fn from(value: String) -> Self {
        Self::String(value)
    }
}

impl<L: Into<Literal>> From<Vec<L>> for Literal {
    fn from(values: Vec<L>) -> Self {
        Self::Array(values.into_iter().map(Into::into).collect())
    }
}

impl From<Timestamp> for Literal {
    fn from(value: Timestamp) -> Self {
        Self::Date(value)
    }
}
