//! One test of one value, run on the bytes of the value.
//!
//! Invariants:
//! * A test allocates nothing, except for a string with escapes and for a list of literals that an array must hold.
//! * A test returns `None` if the bytes are not JSON. It may leave bytes unread once its result is known.

use std::sync::Arc;

use super::operand::Operand;
use super::range::Range;
use super::set::PreparedSet;
use crate::json::{JsonReader, Raw};

/// A predicate on one value, compiled from a filter.
#[derive(Clone, Debug)]
pub(crate) enum Test {
    Exists,
    IsObject,
    Equal(Operand),
    /// The string in small letters.
    EqualIgnoringCase(Box<str>),
    In(Arc<PreparedSet>),
    Range(Range, Operand),
    StartsWith(Box<str>),
    Contains(Operand),
    ContainsAll(Arc<PreparedSet>),
    Size {
        least: u64,
        most: u64,
    },
}

impl Test {
    pub(super) fn equal_ignoring_case(string: &str) -> Self {
        Self::EqualIgnoringCase(lowercase(string).collect())
    }

    pub(crate) fn holds_for_missing(&self) -> bool {
        match self {
            Self::Equal(operand) => matches!(operand, Operand::Null),
            Self::In(set) => set.has_null(),
            _ => false,
        }
    }

    /// Whether the test holds for a value; `None` if the value is not JSON.
    #[inline]
    pub(crate) fn holds(&self, value: Raw<'_>) -> Option<bool> {
        match self {
            Self::Exists => Some(true),
            Self::IsObject => Some(matches!(value, Raw::Object(_))),
            Self::Equal(operand) => operand.equals(value),
            Self::EqualIgnoringCase(wanted) => match value {
                Raw::Text(text) => Some(lowercase(&text.decode()?).eq(wanted.chars())),
                _ => Some(false),
            },
            Self::In(set) => set.contains(value),
            Self::Range(range, bound) => Some(bound.order_of(value).is_some_and(|order| range.holds(order))),
            Self::StartsWith(prefix) => match value {
                Raw::Text(text) => Some(text.starts_with(prefix.as_bytes())),
                _ => Some(false),
            },
            Self::Contains(operand) => contains(operand, value),
            Self::ContainsAll(set) => contains_all(set, value),
            Self::Size { least, most } => has_size(*least, *most, value),
        }
    }
}

fn lowercase(text: &str) -> impl Iterator<Item = char> {
    text.chars().flat_map(char::to_lowercase)
}

/// Whether `each` returns true for an element of the array; it is called with a reader before the element, and with the
/// element. `None` if the bytes are not JSON.
pub(super) fn any_element<'a>(
    bytes: &'a [u8],
    mut each: impl FnMut(JsonReader<'a>, Raw<'a>) -> Option<bool>,
) -> Option<bool> {
    let mut reader = JsonReader::new(bytes);
    let mut more = reader.enter()?;
    while more {
        let before = reader;
        let element = reader.value()?;
        if each(before, element)? {
            return Some(true);
        }
        if let Raw::Array(_) | Raw::Object(_) = element {
            reader.skip()?;
        }
        more = reader.more()?;
    }
    Some(false)
}

/// Whether the value is an array with this element, or a string with this substring.
fn contains(operand: &Operand, value: Raw<'_>) -> Option<bool> {
    match (operand, value) {
        (Operand::String(part), Raw::Text(text)) => Some(text.decode()?.contains(&**part)),
        (_, Raw::Array(bytes)) => any_element(bytes, |_, element| operand.equals(element)),
        _ => Some(false),
    }
}

/// Whether the value is an array that holds each literal of the set.
fn contains_all(set: &PreparedSet, value: Raw<'_>) -> Option<bool> {
    let Raw::Array(bytes) = value else { return Some(false) };
    let mut missing = set.len();
    if missing == 0 {
        return Some(true);
    }
    // An element may be equal to a string and to a date, and takes a byte and a comma. So marks are only made for an
    // array that may be long enough. Another one is read to its end, since the bytes may be the beginning of a value.
    if bytes.len() < missing {
        return any_element(bytes, |_, _| Some(false));
    }
    let (mut few, mut many) = ([false; 64], Vec::new());
    let found = if missing <= few.len() {
        &mut few[..]
    } else {
        many.resize(missing, false);
        &mut many[..]
    };
    any_element(bytes, |_, element| {
        set.find(element, |number| missing -= usize::from(!std::mem::replace(&mut found[number], true)))?;
        Some(missing == 0)
    })
}

/// Whether the value is an array of so many elements.
fn has_size(least: u64, most: u64, value: Raw<'_>) -> Option<bool> {
    let Raw::Array(bytes) = value else { return Some(false) };
    let mut size = 0;
    let is_too_long = any_element(bytes, |_, _| {
        size += 1;
        Some(size > most)
    })?;
    Some(!is_too_long && size >= least)
}
