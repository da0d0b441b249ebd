//! The operand of `$item`: conditions on the times and the key of an item.
//!
//! Invariant: each key and each operator becomes tests of the item, which hold all together.

use super::ast::Filter;
use super::item::ItemTest;
use super::literal::Literal;
use super::parse_operand::{all, boolean, date, range_of, string, values};
use super::place::{ParsePlace, hint, is_operator, shown};
use super::range::Range;
use super::set::LiteralSet;
use super::timestamp::Timestamp;
use crate::error::{Error, Result};

/// A test of a time of the item.
type TimeTest = fn(Range, Timestamp) -> ItemTest;

pub(super) fn item(operand: &Literal, place: &ParsePlace<'_>) -> Result<Filter> {
    let parts = each(operand, place, |key, operand, inner| match key {
        "created_at" => time(operand, inner, false, ItemTest::CreatedAt),
        "updated_at" => time(operand, inner, false, ItemTest::UpdatedAt),
        "expires_at" => time(operand, inner, true, ItemTest::ExpiresAt),
        "key" => key_test(operand, inner),
        other => Err(place.error(format_args!(
            "{} is nothing that an item has; it has created_at, updated_at, expires_at and key",
            shown(other)
        ))),
    })?;
    Ok(all(parts))
}

/// The filters for the members of an object, which is not empty.
fn each(
    operand: &Literal,
    place: &ParsePlace<'_>,
    filter: impl Fn(&str, &Literal, &ParsePlace<'_>) -> Result<Filter>,
) -> Result<Vec<Filter>> {
    match operand {
        Literal::Object(members) if !members.is_empty() => {
            members.iter().map(|(key, member)| filter(key, member, &place.key(key))).collect()
        }
        Literal::Object(_) => Err(place.error("an empty object would match every item; leave it out")),
        _ => Err(place.error("expects an object")),
    }
}

/// The tests of a time, which an item may lack if `is_optional`.
fn time(operand: &Literal, place: &ParsePlace<'_>, is_optional: bool, test: TimeTest) -> Result<Filter> {
    let parts = each(operand, place, |operator, operand, inner| {
        if let Some(range) = range_of(operator) {
            return Ok(Filter::Item(test(range, instant(operand, inner)?)));
        }
        match operator {
            "$eq" => Ok(same_time(test, instant(operand, inner)?)),
            "$ne" => Ok(same_time(test, instant(operand, inner)?).not()),
            "$exists" if is_optional => {
                let expires = Filter::Item(ItemTest::Expires);
                Ok(if boolean(operand, inner)? { expires } else { expires.not() })
            }
            other => Err(unsupported(other, place, "a time is compared with $eq, $ne, $gt, $gte, $lt and $lte")),
        }
    })?;
    Ok(all(parts))
}

fn same_time(test: TimeTest, at: Timestamp) -> Filter {
    Filter::Item(test(Range::GreaterOrEqual, at)).and(Filter::Item(test(Range::LessOrEqual, at)))
}

/// Microseconds since 1970 UTC, or a date.
fn instant(operand: &Literal, place: &ParsePlace<'_>) -> Result<Timestamp> {
    if let Some(date) = date(operand, place)? {
        return Ok(date);
    }
    let micros = if let Literal::Integer(micros) = operand { i64::try_from(*micros).ok() } else { None };
    let why = "expects microseconds since 1970 UTC, a whole number, or a date such as {\"$date\": \"2024-05-01\"}";
    micros.map(Timestamp::from_micros).ok_or_else(|| place.error(why))
}

fn key_test(operand: &Literal, place: &ParsePlace<'_>) -> Result<Filter> {
    if let Literal::String(key) = operand {
        return Ok(Filter::key_in([key.as_str()]));
    }
    let parts = each(operand, place, |operator, operand, inner| match operator {
        "$eq" => Ok(Filter::key_in([string(operand, inner)?])),
        "$ne" => Ok(Filter::key_in([string(operand, inner)?]).not()),
        "$in" => Ok(Filter::Item(ItemTest::KeyIn(keys(operand, inner)?))),
        "$nin" => Ok(Filter::Item(ItemTest::KeyIn(keys(operand, inner)?)).not()),
        "$starts_with" => Ok(Filter::key_starts_with(string(operand, inner)?)),
        other => Err(unsupported(other, place, "a key is compared with $eq, $ne, $in, $nin and $starts_with")),
    })?;
    Ok(all(parts))
}

fn keys(operand: &Literal, place: &ParsePlace<'_>) -> Result<LiteralSet> {
    let keys = values(operand, place)?;
    match keys.iter().position(|key| !matches!(key, Literal::String(_))) {
        Some(index) => Err(place.index(index).error("expects a string")),
        None => Ok(keys),
    }
}

fn unsupported(operator: &str, place: &ParsePlace<'_>, why: &str) -> Error {
    if is_operator(operator) { place.unsupported(operator, why) } else { place.unsupported(operator, hint(operator)) }
}
