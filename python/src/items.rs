//! Items and hits as Python objects.
//!
//! Invariants:
//! * An item keeps what the engine returned; Python objects are made of it when they are first asked for, once.
//! * Times are ints, microseconds since 1970 UTC; a time to live is in seconds.

use numpy::PyArray1;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyString, PyTuple};

use crate::json;

/// A stored memory, as a read returned it.
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

/// The text, up to a length that fits a screen.
fn cut(text: &str) -> String {
    let start: String = text.chars().take(200).collect();
    if start.len() < text.len() { start + "..." } else { start }
}

/// One result of a search: an item and how similar it is.
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
