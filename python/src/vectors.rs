//! Vectors: from arrays and sequences to `f32`.
//!
//! Invariants:
//! * A C-contiguous float32 array is copied once, straight from its memory; lists of floats likewise; everything else
//!   goes through `numpy.asarray`. Nothing of Python is touched once the engine runs.
//! * Dimensions and finiteness are the engine's to check; here is only the shape.

use numpy::{PyArray1, PyArray2, PyArrayDescrMethods, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods, dtype};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFloat, PyList};

use crate::errors::{invalid_input, invalid_value};
use crate::json::kind;

/// One vector.
pub(crate) fn vector(value: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    if let Ok(array) = value.cast::<PyArray1<f32>>() {
        return copy_of_row(array);
    }
    if let Some(floats) = value.cast::<PyList>().ok().and_then(floats) {
        return Ok(floats);
    }
    let array = as_array(value)?;
    match array.cast::<PyArray1<f32>>() {
        Ok(array) => copy_of_row(array),
        Err(_) => Err(wrong_shape(&array, "a vector must be one row of numbers")),
    }
}

/// What an embedding model returned for one text, as a float32 array.
#[pyfunction]
#[pyo3(name = "_vector", signature = (value, /))]
pub(crate) fn vector_array<'py>(py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyArray1<f32>>> {
    Ok(PyArray1::from_vec(py, vector(value)?))
}

/// Several vectors: the rows of an array of (n, dims), or a sequence of vectors.
pub(crate) fn vectors(value: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<f32>>> {
    let array = as_array(value)?;
    let Ok(array) = array.cast::<PyArray2<f32>>() else {
        return Err(wrong_shape(&array, "vectors must be an array of (n, dims)"));
    };
    let dims = array.shape()[1];
    if dims == 0 {
        return Err(wrong_shape(array.as_untyped(), "vectors must be an array of (n, dims)"));
    }
    let numbers = array.readonly();
    match numbers.as_slice() {
        // A slice is given in the order of memory, which is that of the rows only here.
        Ok(numbers) if array.is_c_contiguous() => Ok(numbers.chunks_exact(dims).map(<[f32]>::to_vec).collect()),
        _ => Ok(numbers.as_array().rows().into_iter().map(|row| row.to_vec()).collect()),
    }
}

fn copy_of_row(array: &Bound<'_, PyArray1<f32>>) -> PyResult<Vec<f32>> {
    let numbers = array.try_readonly().map_err(|_| {
        invalid_input(array.py(), "the vector is being written to by another thread; wait for it, or copy it first")
    })?;
    Ok(numbers.as_slice().map_or_else(|_| numbers.as_array().to_vec(), <[f32]>::to_vec))
}

/// The numbers of a list that holds nothing but floats, as most embedding models return.
fn floats(list: &Bound<'_, PyList>) -> Option<Vec<f32>> {
    let mut floats = Vec::with_capacity(list.len());
    for number in list.iter() {
        floats.push(number.cast_exact::<PyFloat>().ok()?.value() as f32);
    }
    Some(floats)
}

/// What `numpy.asarray` makes of it, as float32.
fn as_array<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyUntypedArray>> {
    static ASARRAY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let refused =
        |why: String| invalid_value(py, format!("{} cannot be read as a vector of float32: {why}", kind(value)));
    let asarray = ASARRAY.import(py, "numpy", "asarray")?;
    let array = asarray.call1((value,)).map_err(|error| refused(error.to_string()))?;
    let array = array.cast_into::<PyUntypedArray>().map_err(|_| refused("it is no array".into()))?;
    let of = array.dtype();
    // Text, complex numbers and objects would be turned into something, with a warning at best.
    if !matches!(of.kind(), b'f' | b'i' | b'u') {
        return Err(refused(format!("its elements are {of}, not numbers")));
    }
    let float32 = dtype::<f32>(py);
    if of.is_equiv_to(&float32) {
        return Ok(array);
    }
    let converted = array.call_method1(intern!(py, "astype"), (float32,));
    converted.map_err(|error| refused(error.to_string()))?.cast_into().map_err(|_| refused("it is no array".into()))
}

fn wrong_shape(array: &Bound<'_, PyUntypedArray>, wanted: &str) -> PyErr {
    invalid_input(array.py(), format!("{wanted}, not of shape {:?}", array.shape()))
}
