//! From JSON to literals.
//!
//! Invariants:
//! * A literal that is read has at most [`VALUES_MAX`] values, so a long text does not become a much larger tree.
//! * An error of size names the whole size of the input. The values beyond the limit are counted, not kept.

use std::collections::BTreeMap;

use serde_json::Value;

use super::ast::{too_deep, too_many_values};
use super::literal::Literal;
use super::{FILTER_NODES_MAX, FILTER_VALUES_MAX};
use crate::error::{Error, Result};
use crate::json::{JsonReader, Number, Raw};

/// The most JSON values of one filter: those of its lists, and three for each node.
pub(super) const VALUES_MAX: usize = FILTER_VALUES_MAX + 4 * FILTER_NODES_MAX;

/// Reads JSON text, which was validated.
pub(super) fn read_text(text: &str) -> Result<Literal> {
    let (mut reader, mut values) = (JsonReader::new(text.as_bytes()), 0);
    match read(&mut reader, &mut values) {
        Some(literal) => Ok(literal),
        None if values > VALUES_MAX => {
            let mut all = 0;
            let _ = count(&mut JsonReader::new(text.as_bytes()), &mut all);
            Err(too_many_values(all))
        }
        None => Err(Error::invalid("filter: not valid JSON")),
    }
}

/// Counts the values from the reader on.
fn count(reader: &mut JsonReader<'_>, values: &mut usize) -> Option<()> {
    *values += 1;
    let is_object = match reader.value()? {
        Raw::Object(_) => true,
        Raw::Array(_) => false,
        _ => return Some(()),
    };
    let mut more = reader.enter()?;
    while more {
        if is_object {
            reader.key()?;
        }
        count(reader, values)?;
        more = reader.more()?;
    }
    Some(())
}

/// Reads the value at the reader. `None` beyond [`VALUES_MAX`] values, or if the value is not JSON.
fn read(reader: &mut JsonReader<'_>, values: &mut usize) -> Option<Literal> {
    *values += 1;
    if *values > VALUES_MAX {
        return None;
    }
    Some(match reader.value()? {
        Raw::Null => Literal::Null,
        Raw::Bool(value) => Literal::Bool(value),
        Raw::Number(token) => match Number::parse(token)? {
            Number::Integer(integer) => Literal::Integer(integer),
            Number::Float(float) => Literal::Float(float),
        },
        Raw::Text(text) => Literal::String(text.decode()?.into_owned()),
        Raw::Array(_) => {
            let mut elements = Vec::new();
            let mut more = reader.enter()?;
            while more {
                elements.push(read(reader, values)?);
                more = reader.more()?;
            }
            Literal::Array(elements)
        }
        Raw::Object(_) => {
            let mut members = BTreeMap::new();
            let mut more = reader.enter()?;
            while more {
                let key = reader.key()?.decode()?;
                members.insert(key.into_owned(), read(reader, values)?);
                more = reader.more()?;
            }
            Literal::Object(members)
        }
    })
}

/// Copies a JSON value to a literal. Fails beyond `levels` levels or [`VALUES_MAX`] values.
pub(super) fn copy_value(value: &Value, levels: usize) -> Result<Literal> {
    let values = count_copied(value, levels)?;
    if values > VALUES_MAX {
        return Err(too_many_values(values));
    }
    Ok(copy(value))
}

fn count_copied(value: &Value, levels: usize) -> Result<usize> {
    let levels = || levels.checked_sub(1).ok_or_else(too_deep);
    match value {
        Value::Array(elements) => {
            let levels = levels()?;
            elements.iter().try_fold(1, |sum, element| Ok(sum + count_copied(element, levels)?))
        }
        Value::Object(members) => {
            let levels = levels()?;
            members.values().try_fold(1, |sum, member| Ok(sum + count_copied(member, levels)?))
        }
        _ => Ok(1),
    }
}

/// Copies a JSON value of bounded depth.
fn copy(value: &Value) -> Literal {
    match value {
        Value::Null => Literal::Null,
        Value::Bool(value) => Literal::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(integer), _) => Literal::from(integer),
            (_, Some(integer)) => Literal::from(integer),
            _ => Literal::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Literal::String(text.clone()),
        Value::Array(elements) => Literal::Array(elements.iter().map(copy).collect()),
        Value::Object(members) => {
            Literal::Object(members.iter().map(|(key, member)| (key.clone(), copy(member))).collect())
        }
    }
}
