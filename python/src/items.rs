//! Items and hits as Python objects.
//!
//! Invariants:
//! * An item keeps what the engine returned; Python objects are made of it when they are first asked for, once.
//! * Times are ints, microseconds since 1970 UTC; a time to live is in seconds.
//! * A copy or a pickle of an item is equal to it: it keeps every field, the value as its JSON text.

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};

use crate::errors::from_engine;
use crate::json;
use crate::vectors::vector;

#[doc = include_str!("docs/Item.txt")]
#[pyclass(frozen, subclass, weakref, module = "vecmem")]
pub(crate) struct Item {
    pub(crate) item: vecmem::Item,
    value: PyOnceLock<Py<PyAny>>,
    namespace: PyOnceLock<Py<PyTuple>>,
}

impl Item {
    pub(crate) fn new(item: vecmem::Item) -> Self {
        Self { item, value: PyOnceLock::new(), namespace: PyOnceLock::new() }
    }
}

#[pymethods]
impl Item {
    /// The labels of the namespace.
    #[getter]
    fn namespace<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let namespace =
            self.namespace.get_or_try_init(py, || PyTuple::new(py, self.item.namespace.labels()).map(Bound::unbind))?;
        Ok(namespace.bind(py).clone())
    }

    /// The key, unique in the namespace.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.item.key)
    }

    /// The value, read from JSON when it is first asked for; the same dict each time.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let value = self.value.get_or_try_init(py, || json::read(py, &self.item.value).map(Bound::unbind))?;
        Ok(value.bind(py).clone())
    }

    /// The value's JSON text, as it is stored.
    #[getter]
    fn value_json<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::new(py, &self.item.value)
    }

    /// Microseconds since 1970 UTC; kept when the item is replaced.
    #[getter]
    fn created_at(&self) -> i64 {
        self.item.created_at
    }

    /// Microseconds since 1970 UTC; strictly rising with each write of the item.
    #[getter]
    fn updated_at(&self) -> i64 {
        self.item.updated_at
    }

    /// Microseconds since 1970 UTC after which the item is gone; `None` for one that stays.
    #[getter]
    fn expires_at(&self) -> Option<i64> {
        self.item.expires_at
    }

    /// The item's own time to live in seconds, if it has one.
    #[getter]
    fn ttl(&self) -> Option<f64> {
        self.item.ttl.map(|micros| micros as f64 / 1e6)
    }

    /// Changes with every write of the item; for `if_version`.
    #[getter]
    fn version(&self) -> u64 {
        self.item.version.to_u64()
    }

    /// `(path, float32 array)` for each embedding, if `include_vectors` asked for them. The arrays are new each time.
    #[getter]
    fn vectors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let vectors = self.item.vectors.iter();
        let pairs = vectors.map(|vector| (&*vector.path, PyArray1::from_slice(py, &vector.values)));
        PyList::new(py, pairs.map(|(path, array)| (PyString::new(py, path), array)))
    }

    #[doc = include_str!("docs/Item.to_dict.txt")]
    fn to_dict<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        dict_of(slf.py(), &slf.get().item, slf.cast::<Hit>().ok().map(|hit| hit.get().score))
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> Option<bool> {
        let score = |item: &Bound<'_, Self>| item.cast::<Hit>().ok().map(|hit| hit.get().score);
        let other = other.cast::<Self>().ok()?;
        Some(score(slf) == score(other) && slf.get().item == other.get().item)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> PyResult<isize> {
        let item = slf.get();
        (item.namespace(slf.py())?, &item.item.key, item.item.version.to_u64()).into_pyobject(slf.py())?.hash()
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyTuple>)> {
        let (py, item) = (slf.py(), &slf.get().item);
        let times = (item.created_at, item.updated_at, item.ttl, item.expires_at);
        let fields = (slf.get().namespace(py)?, &item.key, &*item.value, times, item.version.to_u64());
        let hit = slf.cast::<Hit>().ok().map(|hit| (hit.get().score,));
        let restore = py.import("vecmem._vecmem")?.getattr("_item")?;
        Ok((restore, (fields, slf.get().vectors(py)?, hit).into_pyobject(py)?))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let class = slf.get_type().name()?;
        let item = slf.get();
        let namespace = item.namespace(slf.py())?.repr()?;
        let key = item.key(slf.py()).repr()?;
        let score = slf.cast::<Hit>().ok().and_then(|hit| hit.get().score);
        let score = score.map_or_else(String::new, |score| format!(", score={score}"));
        Ok(format!("{class}(namespace={namespace}, key={key}{score}, value={})", cut(&item.item.value)))
    }
}

/// See `Item.to_dict`; `score` is a hit's.
pub(crate) fn dict_of<'py>(
    py: Python<'py>,
    item: &vecmem::Item,
    score: Option<Option<f32>>,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("namespace", PyTuple::new(py, item.namespace.labels())?)?;
    dict.set_item("key", &item.key)?;
    if let Some(score) = score {
        dict.set_item("score", score)?;
    }
    dict.set_item("value", json::read(py, &item.value)?)?;
    dict.set_item("created_at", item.created_at)?;
    dict.set_item("updated_at", item.updated_at)?;
    dict.set_item("expires_at", item.expires_at)?;
    dict.set_item("ttl", item.ttl.map(|micros| micros as f64 / 1e6))?;
    dict.set_item("version", item.version.to_u64())?;
    if !item.vectors.is_empty() {
        let vectors = PyDict::new(py);
        item.vectors.iter().try_for_each(|vector| vectors.set_item(&*vector.path, vector.values.to_vec()))?;
        dict.set_item("vectors", vectors)?;
    }
    Ok(dict)
}

type Times = (i64, i64, Option<i64>, Option<i64>);
/// The tuple of Python that a pickled hit carries; an item has none.
type HitFields = (Option<f32>,);
type Fields = (Vec<String>, String, String, Times, u64);

/// The item, or the hit, that was pickled or copied.
#[pyfunction]
#[pyo3(name = "_item", signature = (fields, vectors, hit, /))]
pub(crate) fn restore(
    py: Python<'_>,
    fields: Fields,
    vectors: Vec<(String, Bound<'_, PyAny>)>,
    hit: Option<HitFields>,
) -> PyResult<Py<PyAny>> {
    let (labels, key, value, (created_at, updated_at, ttl, expires_at), version) = fields;
    let namespace = vecmem::Namespace::new(labels).map_err(|error| from_engine(py, &error))?;
    let vectors = vectors
        .into_iter()
        .map(|(path, values)| Ok(vecmem::FieldVector { path: path.into(), values: vector(&values)?.into() }));
    let (vectors, version) = (vectors.collect::<PyResult<_>>()?, vecmem::Version::from_u64(version));
    let value = value.into();
    let item = vecmem::Item { namespace, key, value, created_at, updated_at, ttl, expires_at, version, vectors };
    match hit {
        Some((score,)) => Ok(Hit::create(py, vecmem::Hit { score, item })?.into_any()),
        None => Ok(Py::new(py, Item::new(item))?.into_any()),
    }
}

/// The text, up to a length that fits a screen.
fn cut(text: &str) -> String {
    let start: String = text.chars().take(200).collect();
    if start.len() < text.len() { start + "..." } else { start }
}

#[doc = include_str!("docs/Hit.txt")]
#[pyclass(frozen, extends = Item, weakref, module = "vecmem")]
pub(crate) struct Hit {
    pub(crate) score: Option<f32>,
}

impl Hit {
    pub(crate) fn create(py: Python<'_>, hit: vecmem::Hit) -> PyResult<Py<Self>> {
        Py::new(py, PyClassInitializer::from(Item::new(hit.item)).add_subclass(Self { score: hit.score }))
    }
}

#[pymethods]
impl Hit {
    /// Larger is better, in every metric; `None` for an item without vectors, or a search without one.
    #[getter]
    fn score(&self) -> Option<f32> {
        self.score
    }
}
