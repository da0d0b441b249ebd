//! Upkeep of a store as a whole, as Python calls it: check, accepted loss, purge, salvage, backup, restore; and reports
//! of the engine as dicts.
//!
//! Invariants:
//! * A report is given to Python whole: each field of the engine's report is a key, under the same name.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use vecmem::{BackupOptions, FieldRules, PurgeOptions, Scope, Store};

use crate::arguments::{count_from_one, namespace, seconds};
use crate::call::detached;
use crate::errors::invalid_value;
use crate::writes::strings;
use crate::{json, opening, watch};

/// A report of the engine as a dict.
pub(crate) fn to_dict<'py>(py: Python<'py>, report: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(report).map_err(|error| invalid_value(py, error.to_string()))?;
    json::read(py, &text)
}

/// Checks the store, after giving up what cannot be read if asked to; what was given up is in the report under `loss`.
pub(crate) fn check<'py>(
    py: Python<'py>,
    store: Store,
    repair: bool,
    accept_loss: bool,
    on_progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (loss, report) = watch::upkeep(py, on_progress, move |_| {
        let loss = accept_loss.then(|| store.accept_loss()).transpose()?;
        Ok((loss, store.check(repair)?))
    })?;
    let dict = to_dict(py, &report)?;
    if let Some(loss) = loss {
        dict.cast::<PyDict>()?.set_item("loss", to_dict(py, &loss)?)?;
    }
    Ok(dict)
}

/// The field rules of the store.
pub(crate) fn field_rules<'py>(py: Python<'py>, store: &Store) -> PyResult<Bound<'py, PyAny>> {
    to_dict(py, &detached(py, || store.field_rules())?)
}

/// Sets the field rules of the store.
pub(crate) fn set_field_rules(
    py: Python<'_>,
    store: &Store,
    exclude: Option<Bound<'_, PyAny>>,
    force: Option<Bound<'_, PyAny>>,
) -> PyResult<()> {
    let paths = |given: Option<Bound<'_, PyAny>>, name| given.map_or(Ok(Vec::new()), |given| strings(&given, name));
    let (exclude, force) = (paths(exclude, "exclude")?, paths(force, "force")?);
    detached(py, || store.set_field_rules(&FieldRules::new(exclude, force)?))
}

/// Builds the graphs of a scope.
pub(crate) fn build_graph<'py>(
    py: Python<'py>,
    store: &Store,
    scope: Scope,
    on_progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    let store = store.clone();
    let built = watch::upkeep(py, on_progress, move |_| store.build_graph(&scope))?;
    let dict = PyDict::new(py);
    dict.set_item("graphs", built.graphs)?;
    dict.set_item("nodes", built.nodes)?;
    dict.set_item("bytes", built.bytes)?;
    dict.set_item("seconds", built.seconds)?;
    Ok(dict)
}

/// Purges a namespace, and with `below` all that begin with its labels.
pub(crate) fn purge<'py>(
    store: &Store,
    labels: &Bound<'py, PyAny>,
    below: bool,
    keep_living: bool,
    grace: Option<&Bound<'py, PyAny>>,
    on_progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, home) = (labels.py(), namespace(labels)?);
    let scope = if below { Scope::Prefix(home) } else { Scope::Namespace(home) };
    let mut options = PurgeOptions::new().keep_living(keep_living);
    if let Some(grace) = grace {
        options = options.grace(seconds(grace, "grace")?);
    }
    let store = store.clone();
    let receipt = watch::upkeep(py, on_progress, move |_| store.purge_with(&scope, &options))?;
    to_dict(py, &receipt)
}

/// What keyword arguments say of a backup or a restore.
pub(crate) fn backup_options(bytes_per_second: Option<&Bound<'_, PyAny>>) -> PyResult<BackupOptions> {
    let Some(most) = bytes_per_second else { return Ok(BackupOptions::new()) };
    Ok(BackupOptions::new().bytes_per_second(count_from_one(most, "bytes_per_second")? as u64))
}

/// Backs the store up into a directory.
pub(crate) fn backup<'py>(
    store: Store,
    target: &Bound<'py, PyAny>,
    options: BackupOptions,
    on_progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, target) = (target.py(), opening::path(target, "target")?);
    let report = watch::upkeep(py, on_progress, move |_| store.backup_with(&target, &options))?;
    to_dict(py, &report)
}

#[doc = include_str!("docs/restore.txt")]
#[pyfunction]
#[pyo3(name = "restore", signature = (backup, into, *, bytes_per_second=None, on_progress=None))]
pub(crate) fn restore_backup<'py>(
    backup: &Bound<'py, PyAny>,
    into: &Bound<'py, PyAny>,
    bytes_per_second: Option<&Bound<'py, PyAny>>,
    on_progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, from, into) = (backup.py(), opening::path(backup, "backup")?, opening::path(into, "into")?);
    let options = backup_options(bytes_per_second)?;
    let report = watch::upkeep(py, on_progress, move |_| Store::restore_with(&from, &into, &options))?;
    to_dict(py, &report)
}

#[doc = include_str!("docs/salvage.txt")]
#[pyfunction]
#[pyo3(signature = (path, into, *, on_progress=None))]
pub(crate) fn salvage<'py>(
    path: &Bound<'py, PyAny>,
    into: &Bound<'py, PyAny>,
    on_progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, from, into) = (path.py(), opening::path(path, "path")?, opening::path(into, "into")?);
    let report = watch::upkeep(py, on_progress, move |_| Store::salvage(&from, &into))?;
    to_dict(py, &report)
}
