//! One test of one value, run on the bytes of the value.
//!
//! Invariants:
//! * A test allocates nothing, except for a substring search in a string with escapes.
//! * A test returns `None` if the bytes are not JSON. It may leave bytes unread once its result is known.

use std::cmp::Ordering;

use super::ast::{Literal, Range};
use crate::json::{JsonReader, Number, Raw};

/// A predicate on one value, compiled from a filter.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Exists,
    IsObject,
    Equal(Operand),
    In { strings: Vec<Box<str>>, others: Vec<Operand> },
    Range(Range, Operand),
    Contains(Operand),
}

/// A literal, prepared for comparisons.
#[derive(Clone, Debug)]
pub(super) enum Operand {
    Null,
    Bool(bool),
    Number(Number),
    String(Box<str>),
    Array(Vec<Operand>),
    /// Sorted by key.
    Object(Vec<(Box<str>, Operand)>),
}

impl Test {
    pub(super) fn one_of(literals: &[Literal]) -> Self {
        let (strings, others): (Vec<_>, Vec<_>) =
            literals.iter().map(Operand::new).partition(|operand| matches!(operand, Operand::String(_)));
        let mut strings: Vec<Box<str>> = strings
            .into_iter()
            .filter_map(|operand| if let Operand::String(string) = operand { Some(string) } else { None })
            .collect();
        strings.sort_unstable();
        Self::In { strings, others }
    }

    pub(super) fn holds_for_missing(&self) -> bool {
        match self {
            Self::Equal(operand) => matches!(operand, Operand::Null),
            Self::In { others, .. } => others.iter().any(|operand| matches!(operand, Operand::Null)),
            _ => false,
        }
    }

    /// Whether the test holds for a value; `None` if the value is not JSON.
    #[inline]
    pub(super) fn holds(&self, value: Raw<'_>) -> Option<bool> {
        match self {
            Self::Exists => Some(true),
            Self::IsObject => Some(matches!(value, Raw::Object(_))),
            Self::Equal(operand) => operand.equals(value),
            Self::In { strings, others } => {
                if let Raw::Text(text) = value {
                    return Some(strings.binary_search_by(|string| text.compare(string.as_bytes()).reverse()).is_ok());
                }
                for operand in others {
                    if operand.equals(value)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Self::Range(range, bound) => Some(match bound.order_of(value) {
                Some(Ordering::Less) => matches!(range, Range::Less | Range::LessOrEqual),
                Some(Ordering::Equal) => matches!(range, Range::LessOrEqual | Range::GreaterOrEqual),
                Some(Ordering::Greater) => matches!(range, Range::Greater | Range::GreaterOrEqual),
                None => false,
            }),
            Self::Contains(operand) => operand.is_in(value),
        }
    }
}

impl Operand {
    pub(super) fn new(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Integer(integer) => Self::Number(Number::from_integer(*integer)),
            Literal::Float(float) => Self::Number(Number::Float(*float)),
            Literal::String(string) => Self::String(string.as_str().into()),
            Literal::Array(elements) => Self::Array(elements.iter().map(Self::new).collect()),
            Literal::Object(members) => {
                Self::Object(members.iter().map(|(key, member)| (key.as_str().into(), Self::new(member))).collect())
            }
        }
    }

    /// The order of a value relative to this literal. `None` if the two cannot be ordered.
    fn order_of(&self, value: Raw<'_>) -> Option<Ordering> {
        match (self, value) {
            (Self::String(bound), Raw::Text(text)) => Some(text.compare(bound.as_bytes())),
            (Self::Number(bound), Raw::Number(_)) => value.number()?.compare(*bound),
            _ => None,
        }
    }

    #[inline]
    fn equals(&self, value: Raw<'_>) -> Option<bool> {
        match (self, value) {
            (Self::String(string), Raw::Text(text)) => Some(text.equals(string.as_bytes())),
            (Self::Null, Raw::Null) => Some(true),
            (Self::Bool(wanted), Raw::Bool(value)) => Some(*wanted == value),
            (Self::Number(_), Raw::Number(_)) => Some(self.order_of(value) == Some(Ordering::Equal)),
            (Self::Array(wanted), Raw::Array(bytes)) => equals_array(wanted, &mut JsonReader::new(bytes)),
            (Self::Object(wanted), Raw::Object(bytes)) => equals_object(wanted, &mut JsonReader::new(bytes)),
            _ => Some(false),
        }
    }

    /// [`equals`](Self::equals) for the value at the reader. The reader steps over an equal value.
    fn equals_next(&self, reader: &mut JsonReader<'_>) -> Option<bool> {
        let value = reader.value()?;
        match (self, value) {
            (Self::Array(wanted), Raw::Array(_)) => equals_array(wanted, reader),
            (Self::Object(wanted), Raw::Object(_)) => equals_object(wanted, reader),
            _ => self.equals(value),
        }
    }

    /// Whether the value is an array with this element, or a string with this substring.
    fn is_in(&self, value: Raw<'_>) -> Option<bool> {
        match (self, value) {
            (Self::String(part), Raw::Text(text)) => Some(text.decode()?.contains(&**part)),
            (_, Raw::Array(bytes)) => {
                let mut reader = JsonReader::new(bytes);
                let mut more = reader.enter()?;
                while more {
                    let element = reader.value()?;
                    if self.equals(element)? {
                        return Some(true);
                    }
                    if let Raw::Array(_) | Raw::Object(_) = element {
                        reader.skip()?;
                    }
                    more = reader.more()?;
                }
                Some(false)
            }
            _ => Some(false),
        }
    }
}

fn equals_array(wanted: &[Operand], reader: &mut JsonReader<'_>) -> Option<bool> {
    let mut wanted = wanted.iter();
    let mut more = reader.enter()?;
    while more {
        match wanted.next() {
            Some(operand) if operand.equals_next(reader)? => more = reader.more()?,
            _ => return Some(false),
        }
    }
    Some(wanted.next().is_none())
}

fn equals_object(wanted: &[(Box<str>, Operand)], reader: &mut JsonReader<'_>) -> Option<bool> {
    let mut equal = 0;
    let mut more = reader.enter()?;
    while more {
        let key = reader.key()?;
        match wanted.binary_search_by(|(wanted, _)| key.compare(wanted.as_bytes()).reverse()) {
            Ok(at) if wanted[at].1.equals_next(reader)? => equal += 1,
            _ => return Some(false),
        }
        more = reader.more()?;
    }
    Some(equal == wanted.len())
}
