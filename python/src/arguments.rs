//! Arguments of calls: namespaces, keys, numbers, times. Everything an argument can be wrong in is said here.
//!
//! Invariants:
//! * A wrong argument is an `InvalidValueError` (wrong type) or an `InvalidInputError` (right type, impossible content)
//!   that names the argument; never an `OverflowError` from the depths, and never a crash.
//! * Numbers beyond what the engine counts in mean "all there is".

use std::fmt::Display;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDateTime, PyDelta, PyDict, PyInt, PyMapping, PyString, PyTuple, PyTzInfo};
use vecmem::{Address, LabelPattern, Namespace, Scope, Select, limits};

use crate::errors::{from_engine, invalid_input, invalid_value};
use crate::json::kind;

/// What is left for a number of seconds that no clock reaches, some 285,000 years.
const SECONDS_MAX: f64 = 9e12;

/// A `str` argument.
pub(crate) fn text(value: &Bound<'_, PyAny>, name: impl Display) -> PyResult<String> {
    let py = value.py();
    let Ok(text) = value.cast::<PyString>() else {
        return Err(invalid_value(py, format!("{name} must be a str, not {}", kind(value))));
    };
    let utf8 = text.to_str().map_err(|_| {
        invalid_value(py, format!("{name} holds a lone surrogate, which no UTF-8 text can; encode it otherwise"))
    })?;
    Ok(utf8.to_owned())
}

/// The labels of a namespace, a prefix or a suffix.
pub(crate) fn labels(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Vec<String>> {
    let label = |label: Bound<'_, PyAny>| text(&label, format_args!("a label of {name}"));
    if let Ok(tuple) = value.cast::<PyTuple>() {
        return tuple.iter().map(label).collect();
    }
    let py = value.py();
    let refused = || {
        let found = kind(value);
        invalid_value(py, format!("{name} must be a sequence of str such as (\"users\", \"ada\"), not {found}"))
    };
    let is_text = value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>();
    if is_text || value.cast::<PyMapping>().is_ok() {
        return Err(refused());
    }
    let mut found = Vec::new();
    for item in value.try_iter().map_err(|_| refused())? {
        found.push(label(item?)?);
        // One more than the engine allows is refused there; an endless iterator ends here.
        if found.len() > limits::LABELS {
            break;
        }
    }
    Ok(found)
}

/// The namespace of an argument.
pub(crate) fn namespace(value: &Bound<'_, PyAny>) -> PyResult<Namespace> {
    Namespace::new(labels(value, "namespace")?).map_err(|error| from_engine(value.py(), &error))
}

/// What a read covers: exactly one of the three ways to say it.
pub(crate) fn scope(
    py: Python<'_>,
    namespace: Option<&Bound<'_, PyAny>>,
    prefix: Option<&Bound<'_, PyAny>>,
    everything: bool,
) -> PyResult<Scope> {
    match (namespace, prefix, everything) {
        (Some(namespace), None, false) => Ok(Scope::Namespace(self::namespace(namespace)?)),
        (None, Some(prefix), false) => {
            let labels = labels(prefix, "prefix")?;
            if labels.is_empty() {
                return Err(invalid_input(py, "prefix is empty; everything=True says the whole store"));
            }
            Scope::prefix(labels).map_err(|error| from_engine(py, &error))
        }
        (None, None, true) => Ok(Scope::Store),
        _ => Err(invalid_input(py, "give exactly one of namespace, prefix and everything=True")),
    }
}

/// A number of things: an int from 0 on.
pub(crate) fn count(value: &Bound<'_, PyAny>, name: &str) -> PyResult<usize> {
    let py = value.py();
    let integer = integer(value, name)?;
    if let Ok(count) = integer.extract::<usize>() {
        return Ok(count);
    }
    if integer.lt(0)? {
        return Err(invalid_input(py, format!("{name} must be 0 or more")));
    }
    Ok(usize::MAX)
}

/// A number of things: an int from 1 on.
pub(crate) fn count_from_one(value: &Bound<'_, PyAny>, name: &str) -> PyResult<usize> {
    if integer(value, name)?.lt(1)? {
        return Err(invalid_input(value.py(), format!("{name} must be 1 or more")));
    }
    count(value, name)
}

/// An instant: a `datetime` with a time zone, or an int of 64 bits, which is microseconds since 1970 UTC.
pub(crate) fn instant(value: &Bound<'_, PyAny>, name: &str) -> PyResult<i64> {
    if let Ok(time) = value.cast::<PyDateTime>() {
        let py = value.py();
        if time.getattr("tzinfo")?.is_none() {
            return Err(invalid_input(
                py,
                format!("{name} has no time zone; write datetime.now(timezone.utc), or .astimezone() for local time"),
            ));
        }
        let utc = PyTzInfo::utc(py)?;
        let epoch = PyDateTime::new(py, 1970, 1, 1, 0, 0, 0, 0, Some(&utc))?;
        return micros(&time.sub(epoch)?);
    }
    integer(value, name)?.extract().map_err(|_| {
        invalid_input(value.py(), format!("{name} must be a number of microseconds since 1970 that fits 64 bits"))
    })
}

/// A version, as a write returned it.
pub(crate) fn version(value: &Bound<'_, PyAny>, name: &str) -> PyResult<vecmem::Version> {
    let number = integer(value, name)?.extract();
    let number =
        number.map_err(|_| invalid_input(value.py(), format!("{name} is no version that a write returned")))?;
    Ok(vecmem::Version::from_u64(number))
}

/// Any int, those of numpy among them; a bool is a mistake.
fn integer<'py>(value: &Bound<'py, PyAny>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let refused = || invalid_value(value.py(), format!("{name} must be an int, not {}", kind(value)));
    if value.is_exact_instance_of::<PyInt>() {
        return Ok(value.clone());
    }
    if value.is_instance_of::<PyBool>() {
        return Err(refused());
    }
    value.call_method0("__index__").map_err(|_| refused())
}

/// A finite or infinite float.
pub(crate) fn float(value: &Bound<'_, PyAny>, name: &str) -> PyResult<f64> {
    let refused = || invalid_value(value.py(), format!("{name} must be a float, not {}", kind(value)));
    if value.is_instance_of::<PyBool>() || value.is_instance_of::<PyString>() {
        return Err(refused());
    }
    let number = value.extract::<f64>().map_err(|_| refused())?;
    if number.is_nan() {
        return Err(invalid_input(value.py(), format!("{name} is NaN; give a number")));
    }
    Ok(number)
}

/// `True` or `False`.
pub(crate) fn truth(value: &Bound<'_, PyAny>, name: &str) -> PyResult<bool> {
    let refused = |_| invalid_value(value.py(), format!("{name} must be a bool, not {}", kind(value)));
    value.extract().map_err(refused)
}

/// The microseconds of a `timedelta`, exactly.
fn micros(span: &Bound<'_, PyAny>) -> PyResult<i64> {
    let part = |name: &str| span.getattr(name)?.extract::<i64>();
    // Between two dates of Python's calendar, so this fits.
    Ok((part("days")? * 86_400 + part("seconds")?) * 1_000_000 + part("microseconds")?)
}

/// A time span: a `timedelta`, or a number of seconds.
pub(crate) fn seconds(value: &Bound<'_, PyAny>, name: &str) -> PyResult<Duration> {
    let seconds = match value.cast::<PyDelta>() {
        Ok(span) => span.call_method0("total_seconds")?.extract()?,
        Err(_) => float(value, name)?,
    };
    if seconds < 0.0 {
        return Err(invalid_input(value.py(), format!("{name} must be 0 seconds or more")));
    }
    Ok(Duration::from_secs_f64(seconds.min(SECONDS_MAX)))
}

/// The items of keyword arguments as (name, value), without those that are `None`.
pub(crate) fn each_option<'py>(
    options: Option<&Bound<'py, PyDict>>,
    mut each: impl FnMut(&str, &Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    for (name, value) in options.into_iter().flat_map(|options| options.iter()) {
        if !value.is_none() {
            each(name.cast::<PyString>()?.to_str()?, &value)?;
        }
    }
    Ok(())
}

/// A pair of a namespace and a key.
pub(crate) fn address(pair: &Bound<'_, PyAny>) -> PyResult<Address> {
    let (namespace, key): (Bound<'_, PyAny>, Bound<'_, PyAny>) =
        pair.extract().map_err(|_| invalid_value(pair.py(), "addresses must be (namespace, key) pairs"))?;
    Ok(Address { namespace: self::namespace(&namespace)?, key: text(&key, "key")? })
}

/// Patterns of the labels of namespaces.
pub(crate) fn patterns(value: Option<&Bound<'_, PyAny>>, name: &str) -> PyResult<Vec<LabelPattern>> {
    let labels = value.map_or(Ok(Vec::new()), |value| labels(value, name))?;
    Ok(labels.iter().map(|label| LabelPattern::parse(label)).collect())
}

/// Which fields of the values a read returns: `None` for all of them, else paths, none for no value.
pub(crate) fn select(value: &Bound<'_, PyAny>) -> PyResult<Select> {
    if value.is_none() {
        return Ok(Select::All);
    }
    let py = value.py();
    let is_text = value.is_instance_of::<PyString>() || value.is_instance_of::<PyBytes>();
    if is_text || value.cast::<PyMapping>().is_ok() {
        return Err(invalid_value(
            py,
            format!("select must be a sequence of paths such as [\"a.b\"], not {}", kind(value)),
        ));
    }
    let paths = value.try_iter().map_err(|_| {
        invalid_value(py, format!("select must be a sequence of paths such as [\"a.b\"], not {}", kind(value)))
    })?;
    // One more than allowed is refused, and there may be no end.
    let paths = paths.take(limits::SELECTED_PATHS + 1).map(|path| text(&path?, "a path of select"));
    Select::fields(paths.collect::<PyResult<Vec<_>>>()?).map_err(|error| from_engine(py, &error))
}
