//! From JSON to a filter. Errors name the place in the filter.
//!
//! Invariants:
//! * Input first becomes a [`Literal`] of bounded size and depth (`read`), so later recursion is bounded.
//! * The message of an `InvalidInput` starts with the place: `filter.price.$gt: ...`, `filter.$or[1].name: ...`. Its
//!   length is bounded (`place`).
//! * Only an empty filter, at the root, holds for every value by saying nothing.

use super::ast::{Filter, too_deep, too_many_values};
use super::literal::Literal;
use super::parse_item::item;
use super::parse_operand::{all, boolean, is_date, range_of, string, value, values};
use super::place::{DATE, ParsePlace, hint, is_operator, key_fault, shown};
use super::read::{VALUES_MAX, copy_value, read_text};
use crate::error::Result;
use crate::json::{JSON_DEPTH_MAX, validate_object};

impl Filter {
    /// Reads a filter from JSON text.
    ///
    /// A filter is an object. All of its keys must hold, and an empty filter matches every item. The value under a
    /// field's key is
    ///
    /// * a string, number, boolean, null or list: the field must be equal to it;
    /// * a date, `{"$date": "2024-05-01T10:00:00+02:00"}`: the field must be a string that spells the same instant, as
    ///   [`Timestamp::parse`](crate::filter::Timestamp::parse) reads it;
    /// * an object of operators, all of which must hold (below);
    /// * any other object: the field must be an object, and each key of the filter must hold in it (it may have more).
    ///
    /// | operator | operand | the field |
    /// |---|---|---|
    /// | `$eq`, `$ne` | a value or date | equals it, or not; a missing field equals null |
    /// | `$gt`, `$gte`, `$lt`, `$lte` | a number, string or date | is a number, a string, or a string that spells an instant, on that side of it |
    /// | `$in`, `$nin` | a list of values and dates | equals one of them, or none |
    /// | `$ieq` | a string | is a string that equals it but for the case of letters, see [`Filter::EqualIgnoringCase`] |
    /// | `$starts_with` | a string | is a string that begins with it |
    /// | `$contains` | a value or date | is an array with an element that equals it, or a string with this substring |
    /// | `$all` | a list of values and dates, not empty | is an array with an equal element for each of them |
    /// | `$size` | a number, or an object of `$eq`, `$gt`, `$gte`, `$lt`, `$lte` | is an array with so many elements |
    /// | `$elem_match` | an object, as under a field's key | is an array with an element for which it holds |
    /// | `$exists` | a boolean | is there, even if it is null, or is not |
    /// | `$not` | what stands under a field's key | does not satisfy it |
    /// | `$and`, `$or` | a list of what stands under a field's key | satisfies all of them, or at least one |
    ///
    /// `$and`, `$or` and `$not` may also stand beside the keys of fields, with whole filters as operands. So may
    /// `$item`, which is about the item and not its value, and takes an object with some of these keys:
    ///
    /// | key | operand |
    /// |---|---|
    /// | `created_at`, `updated_at` | an object of `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte` with microseconds since 1970 UTC or a date |
    /// | `expires_at` | the same, or `$exists` with a boolean. An item that never expires is on no side of an instant and equals none. |
    /// | `key` | a string, or an object of `$eq`, `$ne`, `$in`, `$nin`, `$starts_with` |
    ///
    /// A key of a field with dots is the field of exactly that name if there is one, else a path.
    ///
    /// What could only be a mistake is an error. No component of a path is empty or begins with `$`. An operator stands
    /// in no value to compare with, nor a date inside of one. The lists of `$and` and `$all` have an element, and no
    /// filter inside of another one is empty.
    ///
    /// ```
    /// use vecmem::Filter;
    ///
    /// let filter = Filter::from_json_str(
    ///     r#"{"title": {"$ieq": "tea"}, "steps": {"$elem_match": {"minutes": {"$lte": 3}}}, "$item": {"key": {"$starts_with": "r"}}}"#,
    /// )?;
    /// assert!(filter.prepare().is_ok());
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) naming the place;
    /// [`Limit::FilterNodes`](crate::error::Limit::FilterNodes),
    /// [`Limit::FilterValues`](crate::error::Limit::FilterValues),
    /// [`Limit::FilterBytes`](crate::error::Limit::FilterBytes), [`Limit::Depth`](crate::error::Limit::Depth).
    pub fn from_json_str(text: &str) -> Result<Self> {
        validate_object(text.as_bytes(), JSON_DEPTH_MAX).map_err(|error| error.context("filter"))?;
        Self::from_literal(&read_text(text)?)
    }

    /// Reads a filter from a JSON value; the language is that of [`from_json_str`](Self::from_json_str).
    ///
    /// # Errors
    ///
    /// Those of [`from_json_str`](Self::from_json_str).
    pub fn parse(value: &serde_json::Value) -> Result<Self> {
        Self::from_literal(&copy_value(value, JSON_DEPTH_MAX)?)
    }

    /// Reads a filter from a literal, which may hold doubles that JSON cannot express. The language is that of
    /// [`from_json_str`](Self::from_json_str).
    ///
    /// # Errors
    ///
    /// Those of [`from_json_str`](Self::from_json_str).
    pub fn from_literal(literal: &Literal) -> Result<Self> {
        let size = literal.measure(JSON_DEPTH_MAX).ok_or_else(too_deep)?;
        if size.values > VALUES_MAX {
            return Err(too_many_values(size.values));
        }
        let filter = whole(literal, &ParsePlace::ROOT)?;
        filter.check()?;
        Ok(filter)
    }
}

/// A whole filter: fields, and `$and`, `$or`, `$not` over whole filters.
fn whole(literal: &Literal, place: &ParsePlace<'_>) -> Result<Filter> {
    let Literal::Object(entries) = literal else { return Err(place.error("a filter must be a JSON object")) };
    if entries.is_empty() && !place.is_root() {
        return Err(place.error("an empty filter would match every item; leave it out"));
    }
    let mut parts = Vec::with_capacity(entries.len());
    for (key, operand) in entries {
        parts.push(match key.as_str() {
            "$and" => Filter::All(conjunction(operand, &place.key(key), whole)?),
            "$or" => Filter::Any(list(operand, &place.key(key), whole)?),
            "$not" => whole(operand, &place.key(key))?.not(),
            "$item" => item(operand, &place.key(key))?,
            operator if is_operator(operator) => {
                let why = format!("it compares a field, so write {{\"field\": {{\"{operator}\": ...}}}}");
                return Err(place.unsupported(operator, why));
            }
            unknown if unknown.starts_with('$') => return Err(place.unsupported(unknown, hint(unknown))),
            _ => field(key, operand, place)?,
        });
    }
    Ok(all(parts))
}

/// The filter for a field's key and the value under it.
fn field(key: &str, operand: &Literal, place: &ParsePlace<'_>) -> Result<Filter> {
    if let Some(fault) = key_fault(key) {
        return Err(place.error(format_args!("Invalid filter key {}: {fault}", shown(key))));
    }
    Ok(Filter::field(key, test(operand, &place.key(key))?))
}

/// The value under a field's key: a literal, operators, or the keys of a nested object.
fn test(operand: &Literal, place: &ParsePlace<'_>) -> Result<Filter> {
    let entries = match operand {
        Literal::Object(entries) if !entries.contains_key(DATE) => entries,
        _ => return Ok(Filter::Equal(value(operand, place)?)),
    };
    let mut parts = Vec::new();
    let mut fields = Vec::new();
    let compares = entries.keys().find(|key| key.starts_with('$') && !matches!(key.as_str(), "$and" | "$or" | "$not"));
    for (key, operand) in entries {
        let inner = place.key(key);
        match key.as_str() {
            "$and" => parts.push(Filter::All(conjunction(operand, &inner, test)?)),
            "$or" => parts.push(Filter::Any(list(operand, &inner, test)?)),
            "$not" => parts.push(test(operand, &inner)?.not()),
            operator if operator.starts_with('$') => parts.push(comparison(operator, operand, place, &inner)?),
            // A comparison and a plain key exclude each other: a plain key requires that the field is an object.
            plain => match compares {
                Some(operator) if is_operator(operator) => {
                    let why = format!("{operator} stands beside it, and an object has operators or fields, not both");
                    return Err(place.unsupported(plain, why));
                }
                Some(unknown) => return Err(place.unsupported(unknown, hint(unknown))),
                None => fields.push(field(plain, operand, place)?),
            },
        }
    }
    if !fields.is_empty() || parts.is_empty() {
        parts.push(Filter::Object(Box::new(all(fields))));
    }
    Ok(all(parts))
}

fn comparison(operator: &str, operand: &Literal, place: &ParsePlace<'_>, inner: &ParsePlace<'_>) -> Result<Filter> {
    if let Some(range) = range_of(operator) {
        return match value(operand, inner) {
            Ok(bound @ (Literal::Integer(_) | Literal::Float(_) | Literal::String(_) | Literal::Date(_))) => {
                Ok(Filter::Range(range, bound))
            }
            Err(error) if is_date(operand) || matches!(operand, Literal::Float(_)) => Err(error),
            _ => Err(inner.error("expects a number, a string or a date")),
        };
    }
    match operator {
        "$eq" => Ok(Filter::Equal(value(operand, inner)?)),
        "$ne" => Ok(Filter::Equal(value(operand, inner)?).not()),
        "$in" => Ok(Filter::In(values(operand, inner)?)),
        "$nin" => Ok(Filter::In(values(operand, inner)?).not()),
        "$ieq" => Ok(Filter::EqualIgnoringCase(string(operand, inner)?)),
        "$starts_with" => Ok(Filter::StartsWith(string(operand, inner)?)),
        "$contains" => Ok(Filter::Contains(value(operand, inner)?)),
        "$all" => match values(operand, inner)? {
            literals if literals.is_empty() => {
                Err(inner.error("expects at least one element; an empty list would match every array"))
            }
            literals => Ok(Filter::ContainsAll(literals)),
        },
        "$size" => size(operand, inner),
        "$elem_match" => match operand {
            Literal::Object(_) if !is_date(operand) => Ok(Filter::Element(Box::new(test(operand, inner)?))),
            _ => Err(inner.error("expects an object of fields or operators; $contains finds an element by its value")),
        },
        "$exists" => Ok(if boolean(operand, inner)? { Filter::Exists } else { Filter::Exists.not() }),
        "$item" => {
            Err(place.unsupported(operator, "it is about the whole item, and stands beside fields, not below one"))
        }
        unknown => Err(place.unsupported(unknown, hint(unknown))),
    }
}

/// The operand of `$size`: how many elements there are, or an object of bounds.
fn size(operand: &Literal, place: &ParsePlace<'_>) -> Result<Filter> {
    let number = |operand: &Literal, place: &ParsePlace<'_>| {
        let number = match operand {
            Literal::Integer(number) => u64::try_from(*number).ok(),
            Literal::Float(number) if number.fract() == 0.0 && (0.0..1e15).contains(number) => Some(*number as u64),
            _ => None,
        };
        number
            .ok_or_else(|| place.error("expects a whole number that is not negative, or bounds such as {\"$gte\": 2}"))
    };
    let (mut least, mut most) = (0, u64::MAX);
    let bounds = match operand {
        Literal::Object(bounds) if !bounds.is_empty() => bounds,
        _ => {
            let size = number(operand, place)?;
            return Ok(Filter::Size { least: size, most: size });
        }
    };
    for (operator, bound) in bounds {
        let inner = place.key(operator);
        let (from, to) = match operator.as_str() {
            "$eq" => number(bound, &inner).map(|size| (size, size))?,
            "$gt" => (number(bound, &inner)?.saturating_add(1), u64::MAX),
            "$gte" => (number(bound, &inner)?, u64::MAX),
            "$lt" => match number(bound, &inner)?.checked_sub(1) {
                Some(size) => (0, size),
                None => return Err(inner.error("no array has fewer than 0 elements")),
            },
            "$lte" => (0, number(bound, &inner)?),
            other => {
                return Err(place.unsupported(other, "a size is compared with $eq, $gt, $gte, $lt and $lte"));
            }
        };
        (least, most) = (least.max(from), most.min(to));
    }
    Ok(Filter::Size { least, most })
}

/// The operand of `$and`. An empty one is refused: it would match every item, and is what a program makes of a list of
/// conditions that it has lost.
fn conjunction(
    operand: &Literal,
    place: &ParsePlace<'_>,
    element: fn(&Literal, &ParsePlace<'_>) -> Result<Filter>,
) -> Result<Vec<Filter>> {
    let parts = list(operand, place, element)?;
    if parts.is_empty() {
        return Err(place.error("expects at least one element; an empty list would match every item"));
    }
    Ok(parts)
}

/// The operand of `$and` or `$or`.
fn list(
    operand: &Literal,
    place: &ParsePlace<'_>,
    element: fn(&Literal, &ParsePlace<'_>) -> Result<Filter>,
) -> Result<Vec<Filter>> {
    let Literal::Array(elements) = operand else { return Err(place.error("expects a list")) };
    elements.iter().enumerate().map(|(index, operand)| element(operand, &place.index(index))).collect()
}
