//! Writes: puts and deletes as Python says them, and batches of them.
//!
//! Invariants:
//! * Everything Python is converted before the engine is called, so a refused operation has written nothing of its
//!   batch.

use std::time::Duration;

use numpy::PyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString};
use vecmem::{Batch, Condition, Namespace, Store, Version, WriteResult};

use crate::arguments::{each_option, instant, namespace, seconds, text, truth, version};
use crate::call::detached;
use crate::errors::{invalid_input, invalid_value};
use crate::json::{kind, read, write_object};
use crate::vectors::vector;

#[doc = include_str!("docs/Put.txt")]
#[pyclass(frozen, weakref, module = "vecmem")]
pub(crate) struct Put {
    put: vecmem::Put,
}

#[pymethods]
impl Put {
    #[new]
    #[pyo3(signature = (namespace, key, value, **options), text_signature = "(namespace, key, value, *, vector=None, vectors=None, ttl=None, if_absent=False, if_version=None, created_at=None, updated_at=None, expires_at=None, index_paths=None, model=None, texts=None)")]
    fn new(
        namespace: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Ok(Self { put: put(namespace, key, value, options)? })
    }

    /// Bytes of the value's JSON text.
    #[getter]
    fn size(&self) -> usize {
        self.put.json().len()
    }

    /// The value as it will be read: what became of the mapping since the put was made is not in it.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        read(py, self.put.json())
    }

    #[doc = include_str!("docs/Put.with_vectors.txt")]
    #[pyo3(signature = (vectors, *, model=None, texts=None))]
    fn with_vectors(
        &self,
        vectors: &Bound<'_, PyAny>,
        model: Option<&Bound<'_, PyAny>>,
        texts: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let model = model.map(|model| text(model, "model")).transpose()?;
        let texts = texts.map(|texts| strings(texts, "texts")).transpose()?;
        let py = vectors.py();
        let vectors = field_vectors(vectors)?.into_iter();
        let put = vectors.fold(self.put.clone(), |put, (path, values)| put.field_vector(&path, values));
        Ok(Self { put: embedded(put, py, model, texts)? })
    }
}

#[doc = include_str!("docs/Delete.txt")]
#[pyclass(frozen, weakref, module = "vecmem")]
pub(crate) struct Delete {
    namespace: Namespace,
    key: String,
    condition: Condition,
}

#[pymethods]
impl Delete {
    #[new]
    #[pyo3(signature = (namespace, key, *, if_version=None))]
    fn new(
        namespace: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        if_version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let (namespace, key) = (self::namespace(namespace)?, text(key, "key")?);
        Ok(Self { namespace, key, condition: if_version_is(if_version)? })
    }
}

/// The condition of a delete.
pub(crate) fn if_version_is(wanted: Option<&Bound<'_, PyAny>>) -> PyResult<Condition> {
    wanted.map_or(Ok(Condition::Always), |wanted| version(wanted, "if_version").map(Condition::IfVersion))
}

/// A put from the arguments of `Engine.put`.
pub(crate) fn put(
    namespace: &Bound<'_, PyAny>,
    key: &Bound<'_, PyAny>,
    value: &Bound<'_, PyAny>,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<vecmem::Put> {
    let json = write_object(value, "value")?;
    let put = vecmem::Put::new(&self::namespace(namespace)?, text(key, "key")?, json);
    PutArguments::of(options)?.applied_to(put, namespace.py())
}

/// The options of a put.
#[derive(Default)]
pub(crate) struct PutArguments {
    vector: Option<Vec<f32>>,
    vectors: Option<Vec<(String, Vec<f32>)>>,
    pub(crate) ttl: Option<Duration>,
    if_absent: bool,
    pub(crate) if_version: Option<Version>,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    expires_at: Option<i64>,
    index_paths: Vec<String>,
    model: Option<String>,
    texts: Option<Vec<String>>,
}

impl PutArguments {
    /// From keyword arguments.
    pub(crate) fn of(options: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        let mut given = Self::default();
        each_option(options, |name, value| {
            if !given.set(name, value)? {
                return Err(PyTypeError::new_err(format!("a put got an unexpected keyword argument '{name}'")));
            }
            Ok(())
        })?;
        Ok(given)
    }

    /// Whether there is any vector among them.
    pub(crate) fn has_vectors(&self) -> bool {
        self.vector.is_some() || self.vectors.is_some()
    }

    /// Takes one option; false if there is none of that name.
    fn set(&mut self, name: &str, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        match name {
            "vector" => self.vector = Some(vector(value)?),
            "vectors" => self.vectors = Some(field_vectors(value)?),
            "ttl" => self.ttl = Some(seconds(value, "ttl")?),
            "if_absent" => self.if_absent = truth(value, "if_absent")?,
            "if_version" => self.if_version = Some(version(value, "if_version")?),
            "created_at" => self.created_at = Some(instant(value, "created_at")?),
            "updated_at" => self.updated_at = Some(instant(value, "updated_at")?),
            "expires_at" => self.expires_at = Some(instant(value, "expires_at")?),
            "index_paths" => self.index_paths = strings(value, "index_paths")?,
            "model" => self.model = Some(text(value, "model")?),
            "texts" => self.texts = Some(strings(value, "texts")?),
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(crate) fn applied_to(self, mut put: vecmem::Put, py: Python<'_>) -> PyResult<vecmem::Put> {
        put = match (self.vector, self.vectors) {
            (Some(_), Some(_)) => return Err(invalid_input(py, "give at most one of vector and vectors")),
            (Some(vector), None) => put.vector(vector),
            (None, vectors) => {
                let vectors = vectors.into_iter().flatten();
                vectors.fold(put, |put, (path, values)| put.field_vector(&path, values))
            }
        };
        put = match (self.if_absent, self.if_version) {
            (true, Some(_)) => return Err(invalid_input(py, "give at most one of if_absent=True and if_version")),
            (true, None) => put.condition(Condition::IfAbsent),
            (false, Some(version)) => put.condition(Condition::IfVersion(version)),
            (false, None) => put,
        };
        put = embedded(put, py, self.model, self.texts)?;
        put = self.ttl.into_iter().fold(put, vecmem::Put::ttl);
        put = self.created_at.into_iter().fold(put, vecmem::Put::created_at);
        put = self.updated_at.into_iter().fold(put, vecmem::Put::updated_at);
        put = self.expires_at.into_iter().fold(put, vecmem::Put::expires_at);
        Ok(put.index_paths(self.index_paths.iter().map(String::as_str)))
    }
}

/// Says which texts the vectors of `put` embed, so that `Engine.known_embeddings` finds them.
fn embedded(
    put: vecmem::Put,
    py: Python<'_>,
    model: Option<String>,
    texts: Option<Vec<String>>,
) -> PyResult<vecmem::Put> {
    match (model, texts) {
        (None, None) => Ok(put),
        (Some(model), Some(texts)) => Ok(put.embedded(&model, texts.iter().map(String::as_str))),
        _ => Err(invalid_input(py, "give both model and texts, or neither")),
    }
}

fn field_vectors(value: &Bound<'_, PyAny>) -> PyResult<Vec<(String, Vec<f32>)>> {
    let refused = |found: &Bound<'_, PyAny>| {
        let message = format!("vectors must be a sequence of (path, vector) pairs, not {}", kind(found));
        invalid_value(value.py(), message)
    };
    let mut vectors = Vec::new();
    for pair in value.try_iter().map_err(|_| refused(value))? {
        let pair = pair?;
        let (path, values): (Bound<'_, PyAny>, Bound<'_, PyAny>) = pair.extract().map_err(|_| refused(&pair))?;
        vectors.push((text(&path, "the path of a vector")?, vector(&values)?));
    }
    Ok(vectors)
}

/// A sequence of str.
pub(crate) fn strings(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Vec<String>> {
    if value.is_instance_of::<PyString>() {
        return Err(invalid_value(value.py(), format!("{name} must be a sequence of str, not a str")));
    }
    let items = value
        .try_iter()
        .map_err(|_| invalid_value(value.py(), format!("{name} must be a sequence of str, not {}", kind(value))))?;
    items.map(|item| text(&item?, name)).collect()
}

/// A batch from a sequence of `Put`, `Delete`, and dicts with the arguments of a put.
pub(crate) fn batch(operations: &Bound<'_, PyAny>, only_puts: bool) -> PyResult<Batch> {
    let mut batch = Batch::new();
    for (index, operation) in operations.try_iter()?.enumerate() {
        let operation = operation?;
        match operation.cast_exact::<Delete>() {
            Ok(delete) if !only_puts => {
                let Delete { namespace, key, condition } = delete.get();
                batch.delete_if(namespace, key, *condition);
            }
            _ => {
                batch.put(put_of(&operation, index)?);
            }
        }
    }
    Ok(batch)
}

/// The put that a `Put` or a dict stands for; `index` names it in errors.
pub(crate) fn put_of(operation: &Bound<'_, PyAny>, index: usize) -> PyResult<vecmem::Put> {
    if let Ok(put) = operation.cast_exact::<Put>() {
        return Ok(put.get().put.clone());
    }
    match operation.cast::<PyDict>() {
        Ok(arguments) => put_of_dict(arguments, index),
        Err(_) => {
            let message = format!("item {index} must be a Put or a dict with its arguments, not {}", kind(operation));
            Err(invalid_value(operation.py(), message))
        }
    }
}

/// A dict with the arguments of a put by name.
fn put_of_dict(arguments: &Bound<'_, PyDict>, index: usize) -> PyResult<vecmem::Put> {
    let py = arguments.py();
    let options = arguments.copy()?;
    let take = |name: &str| -> PyResult<Bound<'_, PyAny>> {
        let Some(value) = options.get_item(name)? else {
            return Err(invalid_input(py, format!("item {index} has no {name:?}; a put needs one")));
        };
        options.del_item(name)?;
        Ok(value)
    };
    let (namespace, key, value) = (take("namespace")?, take("key")?, take("value")?);
    put(&namespace, &key, &value, Some(&options))
}

/// For each operation: the version of a put, whether a delete found something, or `None` if a later operation of the
/// batch wrote the same key. `None` for all of them if the batch was applied before.
pub(crate) fn results<'py>(py: Python<'py>, results: &[WriteResult]) -> PyResult<Bound<'py, PyAny>> {
    let list = PyList::empty(py);
    for result in results {
        match result {
            WriteResult::Put(version) => list.append(version.to_u64())?,
            WriteResult::Deleted(found) => list.append(*found)?,
            WriteResult::Superseded => list.append(py.None())?,
            WriteResult::Repeated(_) => return Ok(py.None().into_bound(py)),
        }
    }
    Ok(list.into_any())
}

/// The vector of each text that the model has embedded, if the store knows it.
pub(crate) fn known_embeddings<'py>(
    store: &Store,
    model: &Bound<'py, PyAny>,
    texts: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let (py, model) = (model.py(), text(model, "model")?);
    let texts = strings(texts, "texts")?;
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let known = detached(py, || store.known_embeddings(&model, &texts))?;
    PyList::new(py, known.into_iter().map(|vector| vector.map(|vector| PyArray1::from_vec(py, vector))))
}
