//! The operands of operators: values, dates, lists of them, strings.
//!
//! Invariants:
//! * No value that is returned holds an operator, a date inside of an array or object, or a negated NaN.
//! * Each error names the place of the operand.

use super::ast::Filter;
use super::literal::{Literal, NEGATED_NAN, NESTED_DATE};
use super::place::{DATE, ParsePlace, is_operator};
use super::range::Range;
use super::set::LiteralSet;
use super::timestamp::Timestamp;
use crate::error::Result;

/// A value to compare with, or a date. An operator in a value would be compared as text: it would match nothing, or,
/// negated, everything.
pub(super) fn value(operand: &Literal, place: &ParsePlace<'_>) -> Result<Literal> {
    if let Some(date) = date(operand, place)? {
        return Ok(Literal::Date(date));
    }
    check_value(operand, place)?;
    Ok(operand.clone())
}

/// The instant, if the operand is a date.
pub(super) fn date(operand: &Literal, place: &ParsePlace<'_>) -> Result<Option<Timestamp>> {
    let members = match operand {
        Literal::Date(date) => return Ok(Some(*date)),
        Literal::Object(members) => members,
        _ => return Ok(None),
    };
    let Some(spelled) = members.get(DATE) else { return Ok(None) };
    if members.len() > 1 {
        return Err(place.error("a date is {\"$date\": \"...\"}, and nothing stands beside $date"));
    }
    let parsed = if let Literal::String(text) = spelled { Timestamp::parse(text) } else { None };
    let why =
        "expects a text such as \"2024-05-01T10:00:00+02:00\" or \"2024-05-01\"; a time needs its offset from UTC";
    Ok(Some(parsed.ok_or_else(|| place.key(DATE).error(why))?))
}

fn check_value(operand: &Literal, place: &ParsePlace<'_>) -> Result<()> {
    match operand {
        Literal::Float(number) if number.is_nan() && place.is_negated() => Err(place.error(NEGATED_NAN)),
        Literal::Date(_) => Err(place.error(NESTED_DATE)),
        Literal::Array(elements) => {
            elements.iter().enumerate().try_for_each(|(index, element)| check_value(element, &place.index(index)))
        }
        Literal::Object(members) => members.iter().try_for_each(|(key, member)| match key.as_str() {
            operator if is_operator(operator) => Err(place.error(format_args!(
                "expects a value, and {operator} is an operator; operators are combined with $and, $or and $not"
            ))),
            DATE => Err(place.error(NESTED_DATE)),
            _ => check_value(member, &place.key(key)),
        }),
        _ => Ok(()),
    }
}

/// The operand of an operator that takes a list of values.
pub(super) fn values(operand: &Literal, place: &ParsePlace<'_>) -> Result<LiteralSet> {
    let Literal::Array(elements) = operand else { return Err(place.error("expects a list")) };
    let literals = elements.iter().enumerate().map(|(index, element)| value(element, &place.index(index)));
    Ok(literals.collect::<Result<Vec<_>>>()?.into_iter().collect())
}

pub(super) fn string(operand: &Literal, place: &ParsePlace<'_>) -> Result<String> {
    if let Literal::String(text) = operand { Ok(text.clone()) } else { Err(place.error("expects a string")) }
}

pub(super) fn boolean(operand: &Literal, place: &ParsePlace<'_>) -> Result<bool> {
    if let Literal::Bool(value) = operand { Ok(*value) } else { Err(place.error("expects true or false")) }
}

/// The side of a bound that the operator covers.
pub(super) fn range_of(operator: &str) -> Option<Range> {
    match operator {
        "$gt" => Some(Range::Greater),
        "$gte" => Some(Range::GreaterOrEqual),
        "$lt" => Some(Range::Less),
        "$lte" => Some(Range::LessOrEqual),
        _ => None,
    }
}

/// Whether the operand is meant as a date.
pub(super) fn is_date(operand: &Literal) -> bool {
    matches!(operand, Literal::Object(members) if members.contains_key(DATE))
}

/// The conjunction of the filters. A single filter stays as it is.
pub(super) fn all(mut filters: Vec<Filter>) -> Filter {
    match filters.len() {
        1 => filters.remove(0),
        _ => Filter::All(filters),
    }
}
