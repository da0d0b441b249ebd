//! Counting, deleting, keeping and moving items by a rule, as Python calls it.
//!
//! Invariants:
//! * Every option has its name, its type and its meaning in one place, `RuleArguments::set`. A call refuses options
//!   that would have no effect in it.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use vecmem::{DistinctQuery, Filter, PruneOptions, ReadOptions, RenameOptions, Scope, Store};

use crate::arguments::{count, each_option, namespace, scope, text, truth};
use crate::call::detached;
use crate::filters::filter;
use crate::queries::deadline;
use crate::reader::Moment;
use crate::upkeep::to_dict;
use crate::{json, watch};

/// The keyword arguments of a call by a rule.
#[derive(Default)]
pub(crate) struct RuleArguments<'py> {
    prefix: Option<Bound<'py, PyAny>>,
    everything: bool,
    filter: Option<Filter>,
    limit: Option<usize>,
    batches: bool,
    after: Option<String>,
    merge: bool,
    on_progress: Option<Bound<'py, PyAny>>,
    options: ReadOptions,
}

/// Options that say which items.
const SCOPE: [&str; 2] = ["prefix", "everything"];
/// Options of reads.
const READ: [&str; 3] = ["include_expired", "partial", "deadline"];
/// Options of writes that may be done in parts.
const PARTS: [&str; 3] = ["batches", "after", "on_progress"];

impl<'py> RuleArguments<'py> {
    /// The arguments of `call`, which takes the options of these groups.
    fn new(call: &str, groups: &[&[&str]], given: Option<&Bound<'py, PyDict>>) -> PyResult<Self> {
        let mut arguments = Self::default();
        each_option(given, |name, value| {
            if !groups.iter().any(|group| group.contains(&name)) {
                let message = format!("{call}() got an unexpected keyword argument '{name}'");
                return Err(PyTypeError::new_err(message));
            }
            arguments.set(name, value)
        })?;
        Ok(arguments)
    }

    fn set(&mut self, name: &str, value: &Bound<'py, PyAny>) -> PyResult<()> {
        match name {
            "prefix" => self.prefix = Some(value.clone()),
            "everything" => self.everything = truth(value, name)?,
            "filter" => self.filter = Some(filter(value)?),
            "limit" => self.limit = Some(count(value, name)?),
            "batches" => self.batches = truth(value, name)?,
            "after" => self.after = Some(text(value, name)?),
            "merge" => self.merge = truth(value, name)?,
            "on_progress" => self.on_progress = Some(value.clone()),
            "include_expired" => self.options.include_expired = truth(value, name)?,
            "partial" => self.options.partial = truth(value, name)?,
            _ => self.options.deadline = deadline(value)?,
        }
        Ok(())
    }

    fn scope(&self, py: Python<'py>, namespace: Option<&Bound<'py, PyAny>>) -> PyResult<Scope> {
        scope(py, namespace, self.prefix.as_ref(), self.everything)
    }

    fn prune_options(&self) -> PruneOptions {
        let options = PruneOptions::new().batches(self.batches);
        let options = self.limit.into_iter().fold(options, PruneOptions::limit);
        self.after.iter().fold(options, |options, after| options.after(after.as_str()))
    }
}

/// The keyword arguments of a call.
pub(crate) type Options<'a, 'py> = Option<&'a Bound<'py, PyDict>>;
/// The labels of a namespace, if they are given.
pub(crate) type Labels<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// Counts the items of a scope, or those that pass a filter.
pub(crate) fn count_items<'py>(
    py: Python<'py>,
    moment: &Moment,
    labels: Labels<'_, 'py>,
    given: Options<'_, 'py>,
) -> PyResult<u64> {
    let arguments = RuleArguments::new("count", &[&SCOPE, &["filter"], &READ], given)?;
    let scope = arguments.scope(py, labels)?;
    detached(py, || match &arguments.filter {
        Some(filter) => moment.count_where(&scope, filter, &arguments.options),
        None => moment.count(&scope, &arguments.options),
    })
}

/// The different values at a path.
pub(crate) fn distinct<'py>(
    moment: &Moment,
    path: &Bound<'py, PyAny>,
    labels: Labels<'_, 'py>,
    given: Options<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, path) = (path.py(), text(path, "path")?);
    let arguments = RuleArguments::new("distinct", &[&SCOPE, &["filter", "limit"], &READ], given)?;
    let query = DistinctQuery::new(arguments.scope(py, labels)?, path).options(arguments.options);
    let query = arguments.filter.into_iter().fold(query, DistinctQuery::filter);
    let query = arguments.limit.into_iter().fold(query, DistinctQuery::limit);
    let found = detached(py, || moment.distinct(&query))?;
    let values = found.values.iter().map(|value| format!(r#"{{"value":{},"count":{}}}"#, value.value, value.count));
    let values = values.collect::<Vec<_>>().join(",");
    let (distinct, more, incomplete) = (found.found, found.more, found.incomplete);
    let report = format!(r#"{{"values":[{values}],"found":{distinct},"more":{more},"incomplete":{incomplete}}}"#);
    json::read(py, &report)
}

/// What a scope holds.
pub(crate) fn scope_stats<'py>(
    py: Python<'py>,
    moment: &Moment,
    labels: Labels<'_, 'py>,
    given: Options<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let arguments = RuleArguments::new("scope_stats", &[&SCOPE, &["partial", "deadline"]], given)?;
    let scope = arguments.scope(py, labels)?;
    let stats = detached(py, || moment.scope_stats(&scope, &arguments.options))?;
    to_dict(py, &stats)
}

/// Deletes the items for which a filter holds.
pub(crate) fn delete_where<'py>(
    store: Store,
    conditions: &Bound<'py, PyAny>,
    labels: Labels<'_, 'py>,
    given: Options<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, filter) = (conditions.py(), filter(conditions)?);
    let arguments = RuleArguments::new("delete_where", &[&SCOPE, &["limit"], &PARTS], given)?;
    let (scope, options) = (arguments.scope(py, labels)?, arguments.prune_options());
    let receipt =
        watch::upkeep(py, arguments.on_progress.as_ref(), move |_| store.delete_where_with(&scope, &filter, &options))?;
    to_dict(py, &receipt)
}

/// Deletes all but the newest items of each namespace.
pub(crate) fn keep_newest<'py>(
    store: Store,
    n: &Bound<'py, PyAny>,
    labels: Labels<'_, 'py>,
    given: Options<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, n) = (n.py(), count(n, "n")?);
    let arguments = RuleArguments::new("keep_newest", &[&SCOPE, &["filter", "limit"], &PARTS], given)?;
    let (scope, options) = (arguments.scope(py, labels)?, arguments.prune_options());
    let options = arguments.filter.into_iter().fold(options, PruneOptions::filter);
    let receipt =
        watch::upkeep(py, arguments.on_progress.as_ref(), move |_| store.keep_newest_with(&scope, n, &options))?;
    to_dict(py, &receipt)
}

/// Moves a namespace, and with `below` all that begin with its labels.
pub(crate) fn rename<'py>(
    store: Store,
    labels: &Bound<'py, PyAny>,
    to: &Bound<'py, PyAny>,
    below: bool,
    given: Options<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, home, to) = (labels.py(), namespace(labels)?, namespace(to)?);
    let arguments = RuleArguments::new("rename", &[&["merge"], &PARTS], given)?;
    let from = if below { Scope::Prefix(home) } else { Scope::Namespace(home) };
    let options = RenameOptions::new().merge(arguments.merge).batches(arguments.batches);
    let options = arguments.after.into_iter().fold(options, RenameOptions::after);
    let receipt = watch::upkeep(py, arguments.on_progress.as_ref(), move |_| store.rename_with(&from, &to, &options))?;
    to_dict(py, &receipt)
}
