//! Filters: from Python's dicts to the engine's.
//!
//! Invariants:
//! * Reading one is bounded, whatever it holds, itself included.
//! * A `Filter` has passed every check that a read would make of its dict.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDateTime, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple, PyType};
use vecmem::filter::{Literal, Timestamp};
use vecmem::{ErrorKind, Limit, limits};

use crate::arguments::{instant, text};
use crate::errors::{from_engine, invalid_input, invalid_value};
use crate::json::{Scalar, kind, numpy_scalar};

/// Levels, values and bytes of a filter are counted here only so far that reading one is bounded; the engine counts
/// exactly.
const FILTER_VALUES_MAX: usize = limits::FILTER_VALUES + 8 * limits::FILTER_NODES;
const FILTER_TEXT_MAX: usize = 2 * limits::FILTER_BYTES;

/// The most characters of a key in a message.
const KEY_CHARACTERS_MAX: usize = 80;

#[doc = include_str!("docs/Filter.txt")]
#[pyclass(frozen, weakref, module = "vecmem")]
pub(crate) struct Filter {
    filter: vecmem::Filter,
    /// What it was made of.
    conditions: Literal,
}

#[pymethods]
impl Filter {
    #[new]
    fn new(conditions: &Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(checked) = conditions.cast_exact::<Self>() {
            let Self { filter, conditions } = checked.get();
            return Ok(Self { filter: filter.clone(), conditions: conditions.clone() });
        }
        let (filter, conditions) = parse(conditions)?;
        Ok(Self { filter, conditions })
    }

    /// The dict that the filter was made of, new each time; its keys are sorted.
    #[getter]
    fn conditions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        object(py, &self.conditions)
    }

    /// Equal for dicts of equal members in any order.
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        Ok(format!("Filter({})", object(py, &self.conditions)?.repr()?.to_string_lossy()))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> Option<bool> {
        other.cast_exact::<Self>().ok().map(|other| self.filter == other.get().filter)
    }

    fn __hash__(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        format!("{:?}", self.filter).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyType>, (Bound<'py, PyAny>,))> {
        Ok((slf.get_type(), (slf.get().conditions(slf.py())?,)))
    }
}

/// A filter argument: a dict, or one that has been checked.
pub(crate) fn filter(value: &Bound<'_, PyAny>) -> PyResult<vecmem::Filter> {
    match value.cast_exact::<Filter>() {
        Ok(checked) => Ok(checked.get().filter.clone()),
        Err(_) => parse(value).map(|(filter, _)| filter),
    }
}

fn parse(value: &Bound<'_, PyAny>) -> PyResult<(vecmem::Filter, Literal)> {
    let py = value.py();
    if value.cast::<PyMapping>().is_err() {
        return Err(invalid_value(py, format!("filter must be a dict, not {}", kind(value))));
    }
    let literal = literal(value, &Place::Root, limits::DEPTH, &mut SizeRead::default())?;
    let filter = vecmem::Filter::from_literal(&literal).map_err(|error| from_engine(py, &error))?;
    Ok((filter, literal))
}

/// A literal as Python writes it.
fn object<'py>(py: Python<'py>, literal: &Literal) -> PyResult<Bound<'py, PyAny>> {
    Ok(match literal {
        Literal::Null => py.None().into_bound(py),
        Literal::Bool(truth) => PyBool::new(py, *truth).to_owned().into_any(),
        Literal::Integer(integer) => integer.into_pyobject(py)?.into_any(),
        Literal::Float(float) => PyFloat::new(py, *float).into_any(),
        Literal::String(text) => PyString::new(py, text).into_any(),
        Literal::Date(timestamp) => {
            let dict = PyDict::new(py);
            dict.set_item("$date", timestamp.to_string())?;
            dict.into_any()
        }
        Literal::Array(elements) => {
            let elements = elements.iter().map(|element| object(py, element)).collect::<PyResult<Vec<_>>>()?;
            PyList::new(py, elements)?.into_any()
        }
        Literal::Object(members) => {
            let dict = PyDict::new(py);
            members.iter().try_for_each(|(key, member)| dict.set_item(key, object(py, member)?))?;
            dict.into_any()
        }
    })
}

/// A place in a filter that is being read, for messages.
enum Place<'a> {
    Root,
    Key(&'a Place<'a>, &'a str),
    Index(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("filter"),
            Self::Key(parent, key) => {
                write!(f, "{parent}.{}", key.escape_debug().take(KEY_CHARACTERS_MAX).collect::<String>())
            }
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

/// What has been read of a filter.
#[derive(Default)]
struct SizeRead {
    values: usize,
    bytes: usize,
}

impl SizeRead {
    /// Counts values that are read next.
    fn add_values(&mut self, py: Python<'_>, values: usize) -> PyResult<()> {
        self.values = self.values.saturating_add(values);
        let maximum = limits::FILTER_VALUES;
        if self.values <= FILTER_VALUES_MAX {
            return Ok(());
        }
        let (actual, what) = (self.values, "values in the lists of the filter");
        let message = format!("{what}: {actual} exceeds the limit of {maximum}; split the lists over several reads");
        Err(from_engine(py, &vecmem::Error::new(ErrorKind::Limit(Limit::FilterValues), message)))
    }

    fn add_text(&mut self, py: Python<'_>, text: String) -> PyResult<String> {
        self.bytes = self.bytes.saturating_add(text.len());
        let maximum = limits::FILTER_BYTES;
        if self.bytes <= FILTER_TEXT_MAX {
            return Ok(text);
        }
        let (actual, what) = (self.bytes, "bytes of the literals of the filter");
        let message =
            format!("{what}: {actual} or more exceed the limit of {maximum}; split the lists over several reads");
        Err(from_engine(py, &vecmem::Error::new(ErrorKind::Limit(Limit::FilterBytes), message)))
    }
}

fn literal(value: &Bound<'_, PyAny>, place: &Place<'_>, levels: usize, read: &mut SizeRead) -> PyResult<Literal> {
    let py = value.py();
    if levels == 0 {
        return Err(invalid_input(py, "the filter nests too deep or contains itself; make it smaller"));
    }
    if value.is_none() {
        Ok(Literal::Null)
    } else if value.is_instance_of::<PyString>() {
        let text = text(value, format_args!("the str at {place}"))?;
        read.add_text(py, text).map(Literal::String)
    } else if let Ok(truth) = value.cast::<PyBool>() {
        Ok(Literal::Bool(truth.is_true()))
    } else if let Ok(integer) = value.cast::<PyInt>() {
        Ok(integer.extract().map_or_else(|_| huge(integer), Literal::Integer))
    } else if let Ok(float) = value.cast::<PyFloat>() {
        Ok(Literal::Float(float.value()))
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        read.add_values(py, value.len()?)?;
        let elements = value.try_iter()?.enumerate();
        let elements = elements.map(|(at, element)| literal(&element?, &Place::Index(place, at), levels - 1, read));
        elements.collect::<PyResult<_>>().map(Literal::Array)
    } else if value.is_instance_of::<PyDateTime>() {
        date(value, place)
    } else if let Ok(mapping) = value.cast::<PyMapping>() {
        let mut members = BTreeMap::new();
        read.add_values(py, mapping.len()?)?;
        for entry in mapping.items()?.iter() {
            let (key, member): (Bound<'_, PyAny>, Bound<'_, PyAny>) = entry.extract()?;
            let key = read.add_text(py, text(&key, format_args!("a key of {place}"))?)?;
            let member = literal(&member, &Place::Key(place, &key), levels - 1, read)?;
            members.insert(key, member);
        }
        Ok(Literal::Object(members))
    } else if let Some(scalar) = numpy_scalar(value) {
        Ok(match scalar {
            Scalar::Bool(truth) => Literal::Bool(truth),
            Scalar::Integer(integer) => integer.extract().map_or_else(|_| huge(&integer), Literal::Integer),
            Scalar::Float(float) => Literal::Float(float),
        })
    } else if let Ok(index) = value.call_method0("__index__") {
        literal(&index, place, levels - 1, read)
    } else {
        let found = kind(value);
        Err(invalid_value(py, format!("{place} is {found}; use dict, list, str, int, float, bool, datetime or None")))
    }
}

/// A `datetime` with a time zone is an instant.
fn date(value: &Bound<'_, PyAny>, place: &Place<'_>) -> PyResult<Literal> {
    let timestamp = Timestamp::from_micros(instant(value, &place.to_string())?);
    if Timestamp::parse(&timestamp.to_string()) != Some(timestamp) {
        return Err(invalid_input(value.py(), format!("{place} is outside of the years 0 to 9999 in UTC")));
    }
    Ok(Literal::Date(timestamp))
}

/// An int beyond 128 bits is compared as its nearest double, as it is in values.
fn huge(integer: &Bound<'_, PyInt>) -> Literal {
    let beyond = if integer.lt(0).unwrap_or(false) { f64::NEG_INFINITY } else { f64::INFINITY };
    Literal::Float(integer.extract().unwrap_or(beyond))
}
