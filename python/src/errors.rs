//! From the engine's errors to the classes of `vecmem.errors`.
//!
//! Invariants:
//! * The classes live in Python, where they can be subclassed, pickled and documented; here each kind names its class
//!   once.
//! * Whatever goes wrong inside the extension is an exception below `VecmemError`, a panic included.

use std::any::Any;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use vecmem::{Error, ErrorKind};

/// The class of `vecmem.errors` for a kind.
fn class_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidInput => "InvalidInputError",
        ErrorKind::Limit(_) => "LimitError",
        ErrorKind::ConditionFailed => "ConditionFailedError",
        ErrorKind::QuotaExceeded => "QuotaExceededError",
        ErrorKind::Busy => "BusyError",
        ErrorKind::ClockSkew => "ClockSkewError",
        ErrorKind::DiskFull => "DiskFullError",
        ErrorKind::SystemLimit => "SystemLimitError",
        ErrorKind::Poisoned => "PoisonedError",
        ErrorKind::Locked => "LockedError",
        ErrorKind::OptionsDiffer => "OptionsDifferError",
        ErrorKind::NotAStore => "NotAStoreError",
        ErrorKind::NewerFormat => "NewerFormatError",
        ErrorKind::Corrupt => "CorruptError",
        ErrorKind::Damaged => "DamagedError",
        ErrorKind::Io => "IoError",
        ErrorKind::Forked => "ForkedError",
        ErrorKind::Closed => "ClosedError",
        ErrorKind::SnapshotGone => "SnapshotGoneError",
        ErrorKind::DeadlineExceeded => "DeadlineExceededError",
        ErrorKind::ReadOnly => "ReadOnlyError",
        // A kind of a newer engine.
        _ => "VecmemError",
    }
}

/// A class of `vecmem.errors`.
fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let errors = ERRORS.get_or_try_init(py, || py.import("vecmem.errors").map(Bound::unbind))?;
    errors.bind(py).getattr(name)
}

/// An exception of the named class, with a message no longer than those of the engine; whatever prevents that is the
/// exception then.
fn raise(py: Python<'_>, name: &str, message: String) -> PyErr {
    let message = Error::invalid(message).to_string();
    class(py, name).and_then(|class| class.call1((message,))).map_or_else(|error| error, PyErr::from_value)
}

/// Whether an exception is one of ours, so about an argument, and not what other code raised meanwhile.
pub(crate) fn is_vecmem_error(py: Python<'_>, error: &PyErr) -> bool {
    class(py, "VecmemError").is_ok_and(|class| error.is_instance(py, &class))
}

/// The exception for an error of the engine.
pub(crate) fn from_engine(py: Python<'_>, error: &Error) -> PyErr {
    let raised = raise(py, class_of(error.kind()), error.to_string());
    let exception = raised.value(py);
    // Where an attribute cannot be set, the message says the same.
    if let Some(place) = error.location() {
        let _ = exception.setattr("file", &place.file).and_then(|()| exception.setattr("offset", place.offset));
    }
    if let Some(differs) = error.option() {
        let _ = exception.setattr("option", differs.name);
        let _ = exception.setattr("stored", &differs.stored).and_then(|()| exception.setattr("given", &differs.given));
    }
    if let Some(excess) = error.quota() {
        let _ = exception.setattr("scope", &excess.scope).and_then(|()| exception.setattr("unit", excess.unit));
        let numbers = [("limit", excess.limit), ("used", excess.used), ("added", excess.added)];
        numbers.into_iter().for_each(|(name, number)| drop(exception.setattr(name, number)));
    }
    raised
}

/// An argument of the right type that can never be accepted.
pub(crate) fn invalid_input(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, "InvalidInputError", message.into())
}

/// An argument, or something inside one, of a type or content that cannot be represented.
pub(crate) fn invalid_value(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, "InvalidValueError", message.into())
}

/// An argument that is larger than a limit of the engine.
pub(crate) fn over_limit(py: Python<'_>, what: &str, actual: usize, maximum: usize) -> PyErr {
    raise(py, "LimitError", format!("{what}: {actual} exceeds the limit of {maximum}"))
}

/// A call on something closed.
pub(crate) fn closed(py: Python<'_>, message: impl Into<String>) -> PyErr {
    raise(py, "ClosedError", message.into())
}

/// What a panic said.
pub(crate) fn panicked(py: Python<'_>, payload: &(dyn Any + Send)) -> PyErr {
    let said = payload.downcast_ref::<&str>().copied();
    let said = said.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    raise(py, "PanicError", format!("a bug in the engine: {}", said.unwrap_or("a panic without a message")))
}
