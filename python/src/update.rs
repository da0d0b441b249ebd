//! Updates of one item by a JSON merge patch (RFC 7386).
//!
//! Invariants:
//! * An update reads an item and puts it again on the condition that nobody wrote it in between; who did is read again.
//! * Vectors, time to live and expiry stay as they are, unless the call gives others.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyMapping};
use vecmem::{Condition, ErrorKind, Namespace, ReadOptions, Store, Version, limits};

use crate::call::detached;
use crate::errors::{from_engine, invalid_input, invalid_value};
use crate::json::{self, kind, write_object};
use crate::writes::PutArguments;

/// Other writers of the same key that an update gives way to before it fails.
const TRIES: usize = 100;

/// Options of a put that an update has none of.
const REFUSED: [&str; 3] = ["if_absent", "created_at", "expires_at"];

/// Merges `patch` into the value under an address; `None` if there is no item, and `create` does not make one.
pub(crate) fn update(
    store: &Store,
    namespace: &Namespace,
    key: &str,
    patch: &Bound<'_, PyAny>,
    create: bool,
    options: Option<&Bound<'_, PyDict>>,
) -> PyResult<Option<Version>> {
    let py = patch.py();
    let patch = mapping(patch)?;
    for name in REFUSED {
        if options.map_or(Ok(false), |options| options.contains(name))? {
            return Err(PyTypeError::new_err(format!("update() got an unexpected keyword argument '{name}'")));
        }
    }
    let read = ReadOptions { include_vectors: true, ..ReadOptions::default() };
    let mut tries = 0;
    loop {
        let item = detached(py, || store.get_with(namespace, key, &read))?;
        let given = PutArguments::of(options)?;
        if item.is_none() && !create && given.if_version.is_none() {
            return Ok(None);
        }
        let value = match &item {
            Some(item) => json::read(py, &item.value)?.cast_into::<PyDict>()?,
            None => PyDict::new(py),
        };
        merge(&value, &patch, 1)?;
        let mut put = vecmem::Put::new(namespace, key, write_object(&value, "the merged value")?);
        let (is_conditional, keeps_vectors, keeps_ttl) =
            (given.if_version.is_some(), !given.has_vectors(), given.ttl.is_none());
        match &item {
            Some(item) => {
                if keeps_vectors {
                    let vectors = item.vectors.iter();
                    put = vectors.fold(put, |put, vector| put.field_vector(&vector.path, vector.values.to_vec()));
                }
                if keeps_ttl {
                    put = item
                        .ttl
                        .into_iter()
                        .fold(put, |put, micros| put.ttl(std::time::Duration::from_micros(micros.unsigned_abs())));
                    put = item.expires_at.into_iter().fold(put, vecmem::Put::expires_at);
                }
                put = put.condition(Condition::IfVersion(item.version));
            }
            None => put = put.condition(Condition::IfAbsent),
        }
        let put = given.applied_to(put, py)?;
        match detached(py, || Ok(store.put(put)))? {
            Ok(version) => return Ok(Some(version)),
            Err(error) if error.kind() == ErrorKind::ConditionFailed && !is_conditional && tries < TRIES => tries += 1,
            Err(error) => return Err(from_engine(py, &error)),
        }
        py.check_signals()?;
    }
}

fn mapping<'py>(patch: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let py = patch.py();
    if let Ok(dict) = patch.cast::<PyDict>() {
        return Ok(dict.clone());
    }
    let Ok(mapping) = patch.cast::<PyMapping>() else {
        return Err(invalid_value(py, format!("patch must be a mapping such as a dict, not {}", kind(patch))));
    };
    let dict = PyDict::new(py);
    dict.update(mapping)?;
    Ok(dict)
}

/// RFC 7386: `None` removes a member, a dict is merged into the dict that is there, everything else takes its place.
fn merge(target: &Bound<'_, PyDict>, patch: &Bound<'_, PyDict>, depth: usize) -> PyResult<()> {
    if depth > limits::DEPTH {
        return Err(invalid_input(
            patch.py(),
            format!("patch nests deeper than {} levels, or contains itself", limits::DEPTH),
        ));
    }
    for (key, member) in patch.iter() {
        if member.is_none() {
            if target.contains(&key)? {
                target.del_item(key)?;
            }
        } else if let Ok(inner) = member.cast::<PyDict>() {
            let there = target.get_item(&key)?.and_then(|there| there.cast_into::<PyDict>().ok());
            let there = there.unwrap_or_else(|| PyDict::new(patch.py()));
            merge(&there, inner, depth + 1)?;
            target.set_item(key, there)?;
        } else {
            target.set_item(key, member)?;
        }
    }
    Ok(())
}

/// The value that a merge patch makes of another one; both stay as they are.
#[pyfunction]
#[pyo3(name = "_merged", signature = (value, patch, /))]
pub(crate) fn merged<'py>(value: &Bound<'py, PyDict>, patch: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = value.py();
    let copy = json::read(py, &write_object(value, "value")?)?.cast_into::<PyDict>()?;
    merge(&copy, &mapping(patch)?, 1)?;
    json::read(py, &write_object(&copy, "the merged value")?)
}
