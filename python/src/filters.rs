//! Filters: from Python's dicts to the engine's.
//!
//! Invariants:
//! * Reading one is bounded, whatever it holds, itself included.
//! * A `Filter` has passed every check that a read would make of its dict.

use std::collections::BTreeMap;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use vecmem::filter::Literal;
use vecmem::limits;

use crate::arguments::text;
use crate::errors::{from_engine, invalid_input, invalid_value};
use crate::json::kind;

/// Levels and values of a filter are counted here only so far that reading one is bounded; the engine counts exactly.
const FILTER_VALUES_MAX: usize = 8 * limits::FILTER_NODES;

/// Conditions on values, checked once, for any number of reads: they take it wherever they take the dict it is made of.
#[pyclass(frozen, weakref, module = "vecmem")]
pub(crate) struct Filter {
    filter: vecmem::Filter,
}

#[pymethods]
impl Filter {
    #[new]
    fn new(conditions: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self { filter: filter(conditions)? })
    }

    /// As the engine reads it: equal for dicts of equal members in any order.
    fn __repr__(&self) -> String {
        format!("Filter({:?})", self.filter)
    }
}

/// A filter argument: a dict, or one that has been checked.
pub(crate) fn filter(value: &Bound<'_, PyAny>) -> PyResult<vecmem::Filter> {
    let py = value.py();
    if let Ok(checked) = value.cast_exact::<Filter>() {
        return Ok(checked.get().filter.clone());
    }
    if value.cast::<PyMapping>().is_err() {
        return Err(invalid_value(py, format!("filter must be a dict, not {}", kind(value))));
    }
    let literal = literal(value, limits::DEPTH, &mut 0)?;
    vecmem::Filter::from_literal(&literal).map_err(|error| from_engine(py, &error))
}

fn literal(value: &Bound<'_, PyAny>, levels: usize, values: &mut usize) -> PyResult<Literal> {
    let py = value.py();
    *values += 1;
    if levels == 0 || *values > FILTER_VALUES_MAX {
        let why = if levels == 0 { "nests too deep or contains itself" } else { "has too many parts" };
        return Err(invalid_input(py, format!("the filter {why}; make it smaller")));
    }
    if value.is_none() {
        Ok(Literal::Null)
    } else if value.is_instance_of::<PyString>() {
        text(value, "a str in the filter").map(Literal::String)
    } else if let Ok(truth) = value.cast::<PyBool>() {
        Ok(Literal::Bool(truth.is_true()))
    } else if let Ok(integer) = value.cast::<PyInt>() {
        Ok(integer.extract().map_or_else(|_| huge(integer), Literal::Integer))
    } else if let Ok(float) = value.cast::<PyFloat>() {
        Ok(Literal::Float(float.value()))
    } else if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let elements = value.try_iter()?.map(|element| literal(&element?, levels - 1, values));
        elements.collect::<PyResult<_>>().map(Literal::Array)
    } else if let Ok(mapping) = value.cast::<PyMapping>() {
        let mut members = BTreeMap::new();
        for entry in mapping.items()?.iter() {
            let (key, member): (Bound<'_, PyAny>, Bound<'_, PyAny>) = entry.extract()?;
            members.insert(text(&key, "a key of the filter")?, literal(&member, levels - 1, values)?);
        }
        Ok(Literal::Object(members))
    } else if let Some(number) = numpy_number(value)? {
        Ok(number)
    } else if let Ok(index) = value.call_method0("__index__") {
        literal(&index, levels, values)
    } else {
        let found = kind(value);
        Err(invalid_value(py, format!("the filter holds {found}; use dict, list, str, int, float, bool or None")))
    }
}

/// An int beyond 128 bits is compared as its nearest double, as it is in values.
fn huge(integer: &Bound<'_, PyInt>) -> Literal {
    let beyond = if integer.lt(0).unwrap_or(false) { f64::NEG_INFINITY } else { f64::INFINITY };
    Literal::Float(integer.extract().unwrap_or(beyond))
}

/// A bool or float of numpy, which is no Python one; its ints have an `__index__`, like those of others.
fn numpy_number(value: &Bound<'_, PyAny>) -> PyResult<Option<Literal>> {
    static BOOL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static FLOATING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    if value.is_instance(BOOL.import(py, "numpy", "bool_")?)? {
        return value.is_truthy().map(|truth| Some(Literal::Bool(truth)));
    }
    if value.is_instance(FLOATING.import(py, "numpy", "floating")?)? {
        return value.extract().map(|float| Some(Literal::Float(float)));
    }
    Ok(None)
}
