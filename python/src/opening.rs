//! How an engine is opened: the keyword arguments of `Engine`; and what it says it is.

use std::path::PathBuf;
use std::time::Duration;

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use vecmem::{CodeResidency, Durability, Metric, Options, ReadMode};

use crate::arguments::{count, each_option, seconds, text, truth};
use crate::errors::{invalid_input, invalid_value};
use crate::json::kind;
use crate::reader::Reader;

const METRICS: [(&str, Metric); 3] = [("cosine", Metric::Cosine), ("dot", Metric::Dot), ("l2", Metric::L2)];
const DURABILITIES: [(&str, Durability); 3] =
    [("sync", Durability::Sync), ("periodic", Durability::Periodic), ("manual", Durability::Manual)];
const RESIDENCIES: [(&str, CodeResidency); 2] =
    [("page-cache", CodeResidency::PageCache), ("huge-pages", CodeResidency::HugePages)];
const READ_MODES: [(&str, ReadMode); 2] = [("map", ReadMode::Map), ("heap", ReadMode::Heap)];

/// The longest that an open waits for another process, a sweep for the next one, or a clock to be believed: some 34
/// years.
const WAIT_MAX: Duration = Duration::from_secs(1 << 30);

/// The path of a store; `name` is the argument's.
pub(crate) fn path(path: &Bound<'_, PyAny>, name: &str) -> PyResult<PathBuf> {
    let refused = |_| invalid_value(path.py(), format!("{name} must be a str or os.PathLike, not {}", kind(path)));
    let found: PathBuf = path.extract().map_err(refused)?;
    let text = found.to_string_lossy();
    if text.contains("://") {
        return Err(invalid_input(
            path.py(),
            format!("{name} is a directory, not a URL: write the path alone instead of {text:?}"),
        ));
    }
    if text.starts_with('~') {
        return Err(invalid_input(
            path.py(),
            format!("nothing expands the ~ of {text:?}: write os.path.expanduser({text:?}), or \"./~\" for that name"),
        ));
    }
    Ok(found)
}

/// How long an open waits for another process if it is not told.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// What keyword arguments say of an open.
pub(crate) struct Opening {
    /// All but the wait: its time is the next one.
    pub(crate) options: Options,
    /// How long to wait for another process to let go of the store.
    pub(crate) lock_timeout: Duration,
}

/// What keyword arguments stand for.
pub(crate) fn opening(py: Python<'_>, given: Option<&Bound<'_, PyDict>>) -> PyResult<Opening> {
    let mut lock_timeout = LOCK_TIMEOUT;
    let argument = |name: &str| given.map_or(Ok(None), |given| given.get_item(name));
    let given_one = |name: &str| argument(name).map(|value| value.filter(|value| !value.is_none()));
    let metric = given_one("metric")?.map(|metric| one_of(&metric, "metric", &METRICS)).transpose()?;
    let mut options = match (given_one("dims")?, metric) {
        (Some(dims), metric) => Options::with_vectors(count(&dims, "dims")?, metric.unwrap_or(Metric::Cosine)),
        (None, Some(_)) => return Err(invalid_input(py, "metric says how vectors compare; give dims too")),
        (None, None) => Options::new(),
    };
    // The one argument that `None` says something in.
    if let Some(period) = argument("sweep_every")? {
        let period = if period.is_none() { None } else { Some(seconds(&period, "sweep_every")?.min(WAIT_MAX)) };
        options = options.sweep_every(period);
    }
    each_option(given, |name, value| {
        let changed = std::mem::take(&mut options);
        options = match name {
            "dims" | "metric" | "sweep_every" => changed,
            "durability" => changed.durability(one_of(value, name, &DURABILITIES)?),
            "create" => changed.create(truth(value, name)?),
            "sync_every" => changed.sync_every(seconds(value, name)?),
            "clock_grace" => changed.clock_grace(seconds(value, name)?.min(WAIT_MAX)),
            "lock_timeout" => {
                lock_timeout = seconds(value, name)?.min(WAIT_MAX);
                changed
            }
            "incarnation" => changed.incarnation(count(value, name)? as u64),
            "read_mode" => changed.read_mode(one_of(value, name, &READ_MODES)?),
            "code_residency" => changed.code_residency(one_of(value, name, &RESIDENCIES)?),
            "live_check" => changed.live_check(truth(value, name)?),
            _ => return Err(PyTypeError::new_err(format!("Engine() got an unexpected keyword argument '{name}'"))),
        };
        Ok(())
    })?;
    Ok(Opening { options, lock_timeout })
}

/// What a metric is called.
pub(crate) fn metric_name(metric: Metric) -> &'static str {
    METRICS.iter().find(|(_, known)| *known == metric).map_or("", |(name, _)| name)
}

/// The choice that an argument names.
fn one_of<T: Copy>(value: &Bound<'_, PyAny>, argument: &str, choices: &[(&str, T)]) -> PyResult<T> {
    let name = text(value, argument)?;
    let choice = choices.iter().find(|(known, _)| *known == name).map(|(_, choice)| *choice);
    choice.ok_or_else(|| {
        let known: Vec<&str> = choices.iter().map(|(known, _)| *known).collect();
        invalid_input(value.py(), format!("{argument} must be one of {}, not {name:?}", known.join(", ")))
    })
}

/// What an engine is: its path, its vector space and its number of items.
pub(crate) fn description(py: Python<'_>, reader: &Reader) -> String {
    let Ok(store) = reader.store(py) else { return "Engine(closed)".into() };
    let path = store.path().map_or_else(String::new, |path| format!("'{}'", path.display()));
    let space = store
        .vector_space()
        .map_or_else(String::new, |space| format!(", dims={}, metric='{}'", space.dims, metric_name(space.metric)));
    // Damage, for instance, is no reason not to show what it is.
    let count = reader.__len__(py).map_or_else(|_| String::new(), |count| format!(", count={count}"));
    format!("Engine({path}{space}{count})")
}
