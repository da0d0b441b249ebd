//! Quotas of scopes, as Python calls them.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use serde::Serialize;
use vecmem::{Quota, Scope, Store};

use crate::arguments::{count, each_option, scope, truth};
use crate::call::detached;
use crate::rules::{Labels, Options};
use crate::upkeep::to_dict;

/// A quota as a dict.
#[derive(Serialize)]
struct QuotaReport {
    scope: String,
    items: Option<u64>,
    bytes: Option<u64>,
}

/// The scope and the options that a call takes, as a quota.
fn quota<'py>(
    py: Python<'py>,
    call: &str,
    names: &[&str],
    labels: Labels<'_, 'py>,
    given: Options<'_, 'py>,
) -> PyResult<Quota> {
    let (mut prefix, mut everything, mut quota) = (None, false, Quota::new(Scope::Store));
    each_option(given, |name, value| {
        match name {
            "prefix" => prefix = Some(value.clone()),
            "everything" => everything = truth(value, name)?,
            _ if !names.contains(&name) => {
                return Err(PyTypeError::new_err(format!("{call}() got an unexpected keyword argument '{name}'")));
            }
            "each" => quota.each = truth(value, name)?,
            "items" => quota.items = Some(count(value, name)? as u64),
            _ => quota.bytes = Some(count(value, name)? as u64),
        }
        Ok(())
    })?;
    quota.scope = scope(py, labels, prefix.as_ref(), everything)?;
    Ok(quota)
}

/// Limits what a scope may hold.
pub(crate) fn set(py: Python<'_>, store: &Store, labels: Labels<'_, '_>, given: Options<'_, '_>) -> PyResult<()> {
    let quota = quota(py, "set_quota", &["each", "items", "bytes"], labels, given)?;
    detached(py, || store.set_quota(quota))
}

/// Removes the quota of a scope. Returns whether there was one.
pub(crate) fn remove(py: Python<'_>, store: &Store, labels: Labels<'_, '_>, given: Options<'_, '_>) -> PyResult<bool> {
    let quota = quota(py, "remove_quota", &["each"], labels, given)?;
    detached(py, || store.remove_quota(&quota))
}

/// All quotas.
pub(crate) fn list<'py>(py: Python<'py>, store: &Store) -> PyResult<Bound<'py, PyAny>> {
    let quotas = detached(py, || store.quotas())?;
    let report = |quota: &Quota| QuotaReport { scope: quota.name(), items: quota.items, bytes: quota.bytes };
    to_dict(py, &quotas.iter().map(report).collect::<Vec<_>>())
}

/// What the scopes with a quota hold that a whole scope counts for.
pub(crate) fn held<'py>(
    py: Python<'py>,
    store: &Store,
    labels: Labels<'_, 'py>,
    given: Options<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let scope = quota(py, "quota_use", &[], labels, given)?.scope;
    let held = detached(py, || store.quota_use(&scope))?;
    to_dict(py, &held)
}
