//! The keys of a path that pass a test, found by search in the order of the keys.
//!
//! Invariant: a key that is certain passes whatever value it stands for, and a key that is not possible never does.

use std::ops::Range;

use crate::error::Result;
use crate::field_index::key::{ARRAY, BEGINNING_BYTES, NUMBER, OBJECT, STRING, is_long_string, key_of};
use crate::field_index::reader::PathIndex;
use crate::filter::{Operand, Range as Side};

/// The keys of a path that pass a test: ranges of their numbers.
#[derive(Default)]
pub(super) struct Keys {
    pub certain: Vec<Range<u32>>,
    pub possible: Vec<Range<u32>>,
}

impl Keys {
    pub fn certainly(range: Range<u32>) -> Self {
        Self { certain: vec![range.clone()], possible: vec![range] }
    }

    pub fn possibly(range: Range<u32>) -> Self {
        Self { certain: Vec::new(), possible: vec![range] }
    }

    pub fn add(&mut self, other: Self) {
        self.certain.extend(other.certain);
        self.possible.extend(other.possible);
    }
}

/// The keys of all values of a kind.
pub(super) fn of_kind(place: &PathIndex<'_>, kind: u8) -> Result<Range<u32>> {
    Ok(place.lower_bound(&[kind])?..place.lower_bound(&[kind + 1])?)
}

/// The keys of the values that may be equal to a literal: one, or none.
pub(super) fn equal_keys(place: &PathIndex<'_>, operand: &Operand) -> Result<Keys> {
    let Some(key) = key_of(operand) else { return Ok(Keys::default()) };
    let found = equal_key(place, &key)?;
    if found.is_empty() {
        return Ok(Keys::default());
    }
    let tells_all = !is_long_string(&key) && !matches!(key.as_slice(), [ARRAY | OBJECT]);
    Ok(if tells_all { Keys::certainly(found) } else { Keys::possibly(found) })
}

/// The range of the key, which is empty where the path has no such key.
fn equal_key(place: &PathIndex<'_>, key: &[u8]) -> Result<Range<u32>> {
    let (at, is_there) = place.position(key)?;
    Ok(at..at + u32::from(is_there))
}

pub(super) fn has_dates(operands: &[Operand]) -> bool {
    operands.iter().any(|operand| matches!(operand, Operand::Date(_)))
}

/// The keys of the strings that begin with `prefix`.
pub(super) fn prefix_keys(place: &PathIndex<'_>, prefix: &[u8]) -> Result<Keys> {
    let first = [&[STRING], prefix].concat();
    // No UTF-8 has the byte 0xFF, so this is above every key that begins so, but for the end of a long string's.
    let after = [first.as_slice(), &[0xFF; 10]].concat();
    let found = place.lower_bound(&first)?..place.lower_bound(&after)?;
    // Behind the beginning that a long string keeps, only its value tells.
    let unsure = unsure_keys(place, prefix)?;
    Ok(if unsure.is_empty() {
        Keys::certainly(found)
    } else {
        Keys { certain: vec![found.clone()], possible: vec![found, unsure] }
    })
}

/// The keys of the values on one side of a bound.
pub(super) fn range_keys(place: &PathIndex<'_>, side: Side, bound: &Operand) -> Result<Keys> {
    let (key, kind, unsure) = match bound {
        Operand::Number(_) => match key_of(bound) {
            Some(key) => (key, NUMBER, 0..0),
            None => return Ok(Keys::default()),
        },
        Operand::String(text) => ([&[STRING], text.as_bytes()].concat(), STRING, unsure_keys(place, text.as_bytes())?),
        _ => return Ok(Keys::default()),
    };
    let (kind, equal) = (of_kind(place, kind)?, equal_key(place, &key)?);
    // The keys of long strings with the beginning of the bound follow the bound, whatever their order.
    Ok(match side {
        Side::Less | Side::LessOrEqual => {
            let end = if side == Side::Less { equal.start } else { equal.end };
            let mut keys = Keys::certainly(kind.start..end);
            if !unsure.is_empty() {
                keys.possible.push(unsure);
            }
            keys
        }
        Side::Greater | Side::GreaterOrEqual => {
            let start = if side == Side::Greater { equal.end } else { equal.start };
            if unsure.is_empty() {
                Keys::certainly(start..kind.end)
            } else {
                let certain = vec![start..unsure.start, unsure.end..kind.end];
                Keys { certain, ..Keys::possibly(start..kind.end) }
            }
        }
    })
}

/// The keys of long strings that have the beginning of `bound`, if `bound` goes on after it: their order is not known.
fn unsure_keys(place: &PathIndex<'_>, bound: &[u8]) -> Result<Range<u32>> {
    if bound.len() <= BEGINNING_BYTES {
        return Ok(0..0);
    }
    long_keys(place, bound)
}

/// The keys of long strings that have the beginning of `text`; none if it is shorter than a beginning.
pub(super) fn long_keys(place: &PathIndex<'_>, text: &[u8]) -> Result<Range<u32>> {
    let Some(beginning) = text.get(..BEGINNING_BYTES) else { return Ok(0..0) };
    let long = [&[STRING], beginning, &[0xFF]].concat();
    let after = [long.as_slice(), &[0xFF; 9]].concat();
    Ok(place.lower_bound(&long)?..place.lower_bound(&after)?)
}
