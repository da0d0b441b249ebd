//! A literal, prepared for comparisons with values in place.
//!
//! Invariants:
//! * A comparison returns `None` if the bytes are not JSON. It may leave bytes unread once its result is known.
//! * Equal values have equal hashes: operands and values are hashed alike, numbers by value, members in any order.
//! * Only a string with escapes is copied, and only where it is searched, hashed or folded.

use std::cmp::Ordering;
use std::hash::{BuildHasher, Hasher};

use super::literal::Literal;
use super::timestamp::{TEXT_BYTES_MAX, Timestamp};
use crate::json::{JsonReader, Number, Raw, Text};

/// A literal, prepared for comparisons.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    Null,
    Bool(bool),
    Number(Number),
    String(Box<str>),
    Date(Timestamp),
    Array(Vec<Operand>),
    /// Sorted by key.
    Object(Vec<(Box<str>, Operand)>),
}

/// The instant that a text of a value spells.
#[inline]
pub(super) fn timestamp_of(text: Text<'_>) -> Option<Timestamp> {
    let mut buffer = [0; TEXT_BYTES_MAX];
    Timestamp::parse_bytes(text.short(&mut buffer)?)
}

impl Operand {
    pub(super) fn new(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Integer(integer) => Self::Number(Number::from_integer(*integer)),
            Literal::Float(float) => Self::Number(Number::Float(*float)),
            Literal::String(string) => Self::String(string.as_str().into()),
            Literal::Date(timestamp) => Self::Date(*timestamp),
            Literal::Array(elements) => Self::Array(elements.iter().map(Self::new).collect()),
            Literal::Object(members) => {
                Self::Object(members.iter().map(|(key, member)| (key.as_str().into(), Self::new(member))).collect())
            }
        }
    }

    /// The order of a value relative to this literal. `None` if the two cannot be ordered.
    pub(super) fn order_of(&self, value: Raw<'_>) -> Option<Ordering> {
        match (self, value) {
            (Self::String(bound), Raw::Text(text)) => Some(text.compare(bound.as_bytes())),
            (Self::Number(bound), Raw::Number(_)) => value.number()?.compare(*bound),
            (Self::Date(bound), Raw::Text(text)) => Some(timestamp_of(text)?.cmp(bound)),
            _ => None,
        }
    }

    #[inline]
    pub(super) fn equals(&self, value: Raw<'_>) -> Option<bool> {
        match (self, value) {
            (Self::String(string), Raw::Text(text)) => Some(text.equals(string.as_bytes())),
            (Self::Null, Raw::Null) => Some(true),
            (Self::Bool(wanted), Raw::Bool(value)) => Some(*wanted == value),
            (Self::Number(_), Raw::Number(_)) | (Self::Date(_), Raw::Text(_)) => {
                Some(self.order_of(value) == Some(Ordering::Equal))
            }
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

    /// Whether every value that is equal to one of the two is equal to the other. NaN is equal to no value, so two of
    /// them are the same.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => {
                a.compare(*b) == Some(Ordering::Equal)
                    || matches!((a, b), (Number::Float(a), Number::Float(b)) if a.is_nan() && b.is_nan())
            }
            (Self::String(a), Self::String(b)) => a == b,
            (Self::Date(a), Self::Date(b)) => a == b,
            (Self::Array(a), Self::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b)),
            (Self::Object(a), Self::Object(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((key, a), (other, b))| key == other && a.is_same(b))
            }
            _ => false,
        }
    }

    /// The hash of the literal: that of every value that is equal to it, unless it is a date.
    pub(super) fn hash(&self, keys: &impl BuildHasher) -> u64 {
        match self {
            Self::Null => hash_scalar(keys, Kind::Null, &[]),
            Self::Bool(value) => hash_scalar(keys, Kind::Bool, &[u8::from(*value)]),
            Self::Number(number) => hash_number(keys, *number),
            Self::String(string) => hash_scalar(keys, Kind::String, string.as_bytes()),
            Self::Date(timestamp) => keys.hash_one(timestamp),
            Self::Array(elements) => elements
                .iter()
                .fold(hash_empty(keys, Kind::Array), |sum, element| hash_pair(keys, sum, element.hash(keys))),
            Self::Object(members) => members.iter().fold(hash_empty(keys, Kind::Object), |sum, (key, member)| {
                let key = hash_scalar(keys, Kind::String, key.as_bytes());
                sum.wrapping_add(hash_pair(keys, key, member.hash(keys)))
            }),
        }
    }
}

/// The hash of the value at the reader, which steps over it; `None` if the bytes are not JSON.
pub(super) fn hash_next(keys: &impl BuildHasher, reader: &mut JsonReader<'_>) -> Option<u64> {
    match reader.value()? {
        Raw::Array(_) => hash_array(keys, reader),
        Raw::Object(_) => hash_object(keys, reader),
        scalar => hash_value(keys, scalar),
    }
}

/// The hash of a value.
#[inline]
pub(super) fn hash_value(keys: &impl BuildHasher, value: Raw<'_>) -> Option<u64> {
    match value {
        Raw::Null => Some(hash_scalar(keys, Kind::Null, &[])),
        Raw::Bool(value) => Some(hash_scalar(keys, Kind::Bool, &[u8::from(value)])),
        Raw::Number(_) => Some(hash_number(keys, value.number()?)),
        Raw::Text(text) => Some(hash_scalar(keys, Kind::String, &text.decoded_bytes())),
        Raw::Array(bytes) => hash_array(keys, &mut JsonReader::new(bytes)),
        Raw::Object(bytes) => hash_object(keys, &mut JsonReader::new(bytes)),
    }
}

fn hash_array(keys: &impl BuildHasher, reader: &mut JsonReader<'_>) -> Option<u64> {
    let mut sum = hash_empty(keys, Kind::Array);
    let mut more = reader.enter()?;
    while more {
        sum = hash_pair(keys, sum, hash_next(keys, reader)?);
        more = reader.more()?;
    }
    Some(sum)
}

fn hash_object(keys: &impl BuildHasher, reader: &mut JsonReader<'_>) -> Option<u64> {
    let mut sum = hash_empty(keys, Kind::Object);
    let mut more = reader.enter()?;
    while more {
        let key = hash_scalar(keys, Kind::String, &reader.key()?.decoded_bytes());
        sum = sum.wrapping_add(hash_pair(keys, key, hash_next(keys, reader)?));
        more = reader.more()?;
    }
    Some(sum)
}

/// What values of different kinds are told apart by in their hashes.
#[derive(Clone, Copy)]
enum Kind {
    Null,
    Bool,
    Integer,
    Float,
    String,
    Array,
    Object,
}

fn hash_empty(keys: &impl BuildHasher, kind: Kind) -> u64 {
    hash_scalar(keys, kind, &[])
}

fn hash_scalar(keys: &impl BuildHasher, kind: Kind, bytes: &[u8]) -> u64 {
    let mut hasher = keys.build_hasher();
    hasher.write(bytes);
    hasher.write_u8(kind as u8);
    hasher.finish()
}

fn hash_pair(keys: &impl BuildHasher, a: u64, b: u64) -> u64 {
    keys.hash_one((a, b))
}

/// A double that is an integer of 64 bits is equal to that integer, so it has its hash. `-0.0` is 0.
fn hash_number(keys: &impl BuildHasher, number: Number) -> u64 {
    match number {
        Number::Float(float) => match Number::from_integer(float as i128) {
            Number::Integer(integer) if float.fract() == 0.0 => {
                hash_scalar(keys, Kind::Integer, &integer.to_le_bytes())
            }
            _ => hash_scalar(keys, Kind::Float, &float.to_le_bytes()),
        },
        Number::Integer(integer) => hash_scalar(keys, Kind::Integer, &integer.to_le_bytes()),
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
