//! From JSON to a filter. Errors name the place in the filter.
//!
//! Invariants:
//! * Input first becomes a [`Literal`] of bounded size and depth, so later recursion is bounded.
//! * The message of an `InvalidInput` starts with the place: `filter.price.$gt: ...`, `filter.$or[1].name: ...`. Its
//!   length is bounded (`place`).
//! * Only an empty filter, at the root, holds for every value by saying nothing.

use std::collections::BTreeMap;

use super::FILTER_NODES_MAX;
use super::ast::{Filter, Literal, NEGATED_NAN, Range, too_deep, too_many_nodes};
use super::place::{ParsePlace, hint, is_operator, key_fault, shown};
use crate::error::{Error, Result};
use crate::json::{JSON_DEPTH_MAX, JsonReader, Number, Raw, validate_object};

/// The most JSON values of one filter. A node takes at most three JSON values, so more values make too many nodes.
const VALUES_MAX: usize = 4 * FILTER_NODES_MAX;

impl Filter {
    /// Reads a filter from JSON text.
    ///
    /// A filter is an object. All of its keys must hold, and an empty filter matches every item. The value under a
    /// field's key is
    ///
    /// * a string, number, boolean, null or list: the field must be equal to it;
    /// * an object of operators, all of which must hold: `$eq`, `$ne`, `$gt`, `$gte`, `$lt`, `$lte` compare; `$in` and
    ///   `$nin` take a list; `$exists` takes a boolean; `$contains` finds an element of an array or a substring; `$not`
    ///   takes a value like those of this list and negates it, `$and` and `$or` take a list of such values;
    /// * any other object: the field must be an object, and each key of the filter must hold in it (it may have more).
    ///
    /// `$and`, `$or` and `$not` may also stand beside the keys of fields, with whole filters as operands. A key with
    /// dots is the field of exactly that name if there is one, else a path.
    ///
    /// What could only be a mistake is an error. No component of a path is empty or begins with `$`. An operator stands
    /// in no value to compare with. The list of `$and` has an element, and no filter inside of another one is empty.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidInput`](crate::error::ErrorKind::InvalidInput) naming the place;
    /// [`Limit::FilterNodes`](crate::error::Limit::FilterNodes), [`Limit::Depth`](crate::error::Limit::Depth).
    pub fn from_json_str(text: &str) -> Result<Self> {
        validate_object(text.as_bytes(), JSON_DEPTH_MAX).map_err(|error| error.context("filter"))?;
        let mut values = 0;
        let literal = read(&mut JsonReader::new(text.as_bytes()), &mut values)?;
        Self::from_literal(&literal.ok_or_else(|| Error::invalid("filter: not valid JSON"))?)
    }

    /// Reads a filter from a JSON value; the language is that of [`from_json_str`](Self::from_json_str).
    ///
    /// # Errors
    ///
    /// Those of [`from_json_str`](Self::from_json_str).
    pub fn parse(value: &serde_json::Value) -> Result<Self> {
        Self::from_literal(&copy(value, JSON_DEPTH_MAX, &mut 0)?)
    }

    /// Reads a filter from a literal, which may hold doubles that JSON cannot express. The language is that of
    /// [`from_json_str`](Self::from_json_str).
    ///
    /// # Errors
    ///
    /// Those of [`from_json_str`](Self::from_json_str).
    pub fn from_literal(literal: &Literal) -> Result<Self> {
        let values = literal.count_values(JSON_DEPTH_MAX, false)?;
        if values > VALUES_MAX {
            return Err(too_many_nodes(values));
        }
        let filter = whole(literal, &ParsePlace::ROOT)?;
        filter.check()?;
        Ok(filter)
    }
}

/// Reads the value at the reader. Fails beyond [`VALUES_MAX`] values; `None` if the value is not JSON.
fn read(reader: &mut JsonReader<'_>, values: &mut usize) -> Result<Option<Literal>> {
    count(values)?;
    let Some(raw) = reader.value() else { return Ok(None) };
    Ok(match raw {
        Raw::Null => Some(Literal::Null),
        Raw::Bool(value) => Some(Literal::Bool(value)),
        Raw::Number(token) => Number::parse(token).map(|number| match number {
            Number::Integer(integer) => Literal::Integer(integer),
            Number::Float(float) => Literal::Float(float),
        }),
        Raw::Text(text) => text.decode().map(|text| Literal::String(text.into_owned())),
        Raw::Array(_) => read_array(reader, values)?.map(Literal::Array),
        Raw::Object(_) => read_object(reader, values)?.map(Literal::Object),
    })
}

fn read_array(reader: &mut JsonReader<'_>, values: &mut usize) -> Result<Option<Vec<Literal>>> {
    let mut elements = Vec::new();
    let mut more = reader.enter();
    while more == Some(true) {
        let Some(element) = read(reader, values)? else { return Ok(None) };
        elements.push(element);
        more = reader.more();
    }
    Ok(more.map(|_| elements))
}

fn read_object(reader: &mut JsonReader<'_>, values: &mut usize) -> Result<Option<BTreeMap<String, Literal>>> {
    let mut members = BTreeMap::new();
    let mut more = reader.enter();
    while more == Some(true) {
        let Some(key) = reader.key().and_then(|key| key.decode()) else { return Ok(None) };
        let Some(member) = read(reader, values)? else { return Ok(None) };
        members.insert(key.into_owned(), member);
        more = reader.more();
    }
    Ok(more.map(|_| members))
}

/// Copies a JSON value to a literal. Fails beyond `levels` levels or [`VALUES_MAX`] values.
fn copy(value: &serde_json::Value, levels: usize, values: &mut usize) -> Result<Literal> {
    use serde_json::Value;
    count(values)?;
    let inner = || levels.checked_sub(1).ok_or_else(too_deep);
    Ok(match value {
        Value::Null => Literal::Null,
        Value::Bool(value) => Literal::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Literal::from(integer),
            (_, Some(integer)) => Literal::from(integer),
            _ => Literal::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Literal::String(text.clone()),
        Value::Array(elements) => {
            let levels = inner()?;
            Literal::Array(elements.iter().map(|element| copy(element, levels, values)).collect::<Result<_>>()?)
        }
        Value::Object(members) => {
            let levels = inner()?;
            let copied = members.iter().map(|(key, member)| Ok((key.clone(), copy(member, levels, values)?)));
            Literal::Object(copied.collect::<Result<_>>()?)
        }
    })
}

fn count(values: &mut usize) -> Result<()> {
    *values += 1;
    if *values > VALUES_MAX { Err(too_many_nodes(*values)) } else { Ok(()) }
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
    let Literal::Object(entries) = operand else { return Ok(Filter::Equal(value(operand, place)?)) };
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

/// A value to compare with. An operator in it would be compared as text: it would match nothing, or, negated,
/// everything.
fn value(operand: &Literal, place: &ParsePlace<'_>) -> Result<Literal> {
    check_value(operand, place)?;
    Ok(operand.clone())
}

fn check_value(operand: &Literal, place: &ParsePlace<'_>) -> Result<()> {
    match operand {
        Literal::Float(number) if number.is_nan() && place.is_negated() => Err(place.error(NEGATED_NAN)),
        Literal::Array(elements) => {
            elements.iter().enumerate().try_for_each(|(index, element)| check_value(element, &place.index(index)))
        }
        Literal::Object(members) => members.iter().try_for_each(|(key, member)| match key.as_str() {
            operator if is_operator(operator) => Err(place.error(format_args!(
                "expects a value, and {operator} is an operator; operators are combined with $and, $or and $not"
            ))),
            _ => check_value(member, &place.key(key)),
        }),
        _ => Ok(()),
    }
}

fn comparison(operator: &str, operand: &Literal, place: &ParsePlace<'_>, inner: &ParsePlace<'_>) -> Result<Filter> {
    let range = |range| match operand {
        Literal::Integer(_) | Literal::Float(_) | Literal::String(_) => {
            Ok(Filter::Range(range, value(operand, inner)?))
        }
        _ => Err(inner.error("expects a number or a string")),
    };
    let literals = || match value(operand, inner)? {
        Literal::Array(literals) => Ok(Filter::In(literals)),
        _ => Err(inner.error("expects a list")),
    };
    match operator {
        "$eq" => Ok(Filter::Equal(value(operand, inner)?)),
        "$ne" => Ok(Filter::Equal(value(operand, inner)?).not()),
        "$gt" => range(Range::Greater),
        "$gte" => range(Range::GreaterOrEqual),
        "$lt" => range(Range::Less),
        "$lte" => range(Range::LessOrEqual),
        "$in" => literals(),
        "$nin" => Ok(literals()?.not()),
        "$contains" => Ok(Filter::Contains(value(operand, inner)?)),
        "$exists" => match operand {
            Literal::Bool(true) => Ok(Filter::Exists),
            Literal::Bool(false) => Ok(Filter::Exists.not()),
            _ => Err(inner.error("expects true or false")),
        },
        unknown => Err(place.unsupported(unknown, hint(unknown))),
    }
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

/// The conjunction of the filters. A single filter stays as it is.
fn all(mut filters: Vec<Filter>) -> Filter {
    match filters.len() {
        1 => filters.remove(0),
        _ => Filter::All(filters),
    }
}
