//! Values: from Python objects to JSON text, strictly, and back.
//!
//! Invariants:
//! * What is written comes back equal and of the same type: nothing is changed silently. A tuple would come back as a
//!   list, so
//!   it is refused; so is everything that JSON cannot say. The error names the place of the first such thing.
//! * Subclasses of `bool`, `int`, `float`, `str`, `list` and `dict` are written as what they hold.
//! * Scalars of numpy are written as the bool, int or float that they hold; nothing else is converted.
//! * No Python code runs while a value is written, so it cannot change meanwhile.

use jiter::{PythonParse, StringCacheMode};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict, PyFloat, PyInt, PyList, PyMapping, PyString, PyTuple};
use vecmem::limits;

use crate::errors;

/// Decimal digits of the largest integer: as many as Python itself turns into text and back until told otherwise.
const DIGITS_MAX: usize = 4_300;

/// Why a value is not JSON, and the place, from the inside out.
struct Problem {
    steps: Vec<String>,
    message: String,
}

impl Problem {
    fn new(message: impl Into<String>) -> Self {
        Self { steps: Vec::new(), message: message.into() }
    }

    fn inside(mut self, step: impl FnOnce() -> String) -> Self {
        self.steps.push(step());
        self
    }

    fn into_error(mut self, py: Python<'_>, what: &str) -> PyErr {
        self.steps.reverse();
        errors::invalid_value(py, format!("{what}{}: {}", self.steps.concat(), self.message))
    }
}

type Written = Result<(), Problem>;

/// The JSON object that `value`, a mapping, stands for; `what` names it in errors.
pub(crate) fn write_object(value: &Bound<'_, PyAny>, what: &str) -> PyResult<String> {
    let py = value.py();
    let mut out = Vec::with_capacity(128);
    let written = match value.cast::<PyDict>() {
        Ok(dict) => write_dict(&mut out, dict, 1),
        Err(_) => write_dict(&mut out, &copy_of_mapping(value, what)?, 1),
    };
    written.map_err(|problem| problem.into_error(py, what))?;
    if out.len() > limits::VALUE_BYTES {
        return Err(errors::over_limit(py, &format!("bytes of the {what}"), out.len(), limits::VALUE_BYTES));
    }
    String::from_utf8(out).map_err(|error| errors::invalid_value(py, format!("{what}: {error}")))
}

/// Only the outermost level may be a mapping that is no dict: it comes back as a dict that is equal to it item by item.
fn copy_of_mapping<'py>(value: &Bound<'py, PyAny>, what: &str) -> PyResult<Bound<'py, PyDict>> {
    let py = value.py();
    let Ok(mapping) = value.cast::<PyMapping>() else {
        return Err(errors::invalid_value(py, format!("{what} must be a mapping such as a dict, not {}", kind(value))));
    };
    let dict = PyDict::new(py);
    dict.update(mapping)?;
    Ok(dict)
}

fn write(out: &mut Vec<u8>, value: &Bound<'_, PyAny>, depth: usize) -> Written {
    if out.len() > limits::VALUE_BYTES {
        return Err(Problem::new(format!("the JSON text is longer than the limit of {} bytes", limits::VALUE_BYTES)));
    }
    if let Ok(text) = value.cast::<PyString>() {
        return write_text(out, text);
    }
    if value.is_none() {
        out.extend_from_slice(b"null");
    } else if let Ok(truth) = value.cast::<PyBool>() {
        out.extend_from_slice(if truth.is_true() { b"true" } else { b"false" });
    } else if let Ok(integer) = value.cast::<PyInt>() {
        return write_integer(out, integer);
    } else if let Ok(float) = value.cast::<PyFloat>() {
        return write_float(out, float.value());
    } else if let Ok(dict) = value.cast::<PyDict>() {
        return write_dict(out, dict, depth + 1);
    } else if let Ok(list) = value.cast::<PyList>() {
        return write_list(out, list, depth + 1);
    } else if value.is_instance_of::<PyTuple>() {
        return Err(Problem::new("a tuple would come back as a list; make it a list"));
    } else if let Some(scalar) = numpy_scalar(value) {
        return match scalar {
            Scalar::Bool(truth) => {
                out.extend_from_slice(if truth { b"true" } else { b"false" });
                Ok(())
            }
            Scalar::Integer(integer) => write_integer(out, &integer),
            Scalar::Float(float) => write_float(out, float),
        };
    } else {
        return Err(Problem::new(format!(
            "{} is not JSON; use dict, list, str, int, float, bool or None",
            kind(value)
        )));
    }
    Ok(())
}

/// What a scalar of numpy holds that is no Python number itself.
pub(crate) enum Scalar<'py> {
    Bool(bool),
    Integer(Bound<'py, PyInt>),
    Float(f64),
}

/// The content of a scalar of numpy; `None` for anything else.
pub(crate) fn numpy_scalar<'py>(value: &Bound<'py, PyAny>) -> Option<Scalar<'py>> {
    static BOOL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static INTEGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static SPAN: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static FLOATING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    let is_a = |class: &'static PyOnceLock<Py<PyAny>>, name| {
        class.import(py, "numpy", name).and_then(|class| value.is_instance(class)).unwrap_or(false)
    };
    if is_a(&BOOL, "bool_") {
        return value.is_truthy().ok().map(Scalar::Bool);
    }
    if is_a(&INTEGER, "integer") {
        // A span of time is an integer to numpy.
        if is_a(&SPAN, "timedelta64") {
            return None;
        }
        let number = value.call_method0(intern!(py, "item")).ok()?;
        return number.cast_into::<PyInt>().ok().map(Scalar::Integer);
    }
    if is_a(&FLOATING, "floating") {
        return value.extract().ok().map(Scalar::Float);
    }
    None
}

fn write_dict(out: &mut Vec<u8>, dict: &Bound<'_, PyDict>, depth: usize) -> Written {
    check_depth(depth)?;
    out.push(b'{');
    for (index, (key, value)) in dict.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let Ok(key) = key.cast::<PyString>() else {
            return Err(Problem::new(format!("the key {} is {}, not a str", short(&key), kind(&key))));
        };
        write_text(out, key).map_err(|problem| problem.inside(|| format!("[{}]", short(key))))?;
        out.push(b':');
        write(out, &value, depth).map_err(|problem| problem.inside(|| format!("[{}]", short(key))))?;
    }
    out.push(b'}');
    Ok(())
}

fn write_list(out: &mut Vec<u8>, list: &Bound<'_, PyList>, depth: usize) -> Written {
    check_depth(depth)?;
    out.push(b'[');
    for (index, value) in list.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, &value, depth).map_err(|problem| problem.inside(|| format!("[{index}]")))?;
    }
    out.push(b']');
    Ok(())
}

fn check_depth(depth: usize) -> Written {
    if depth > limits::DEPTH {
        return Err(Problem::new(format!("nests deeper than {} levels, or contains itself", limits::DEPTH)));
    }
    Ok(())
}

fn write_text(out: &mut Vec<u8>, text: &Bound<'_, PyString>) -> Written {
    let utf8 = text.to_str().map_err(|_| Problem::new("the str holds a lone surrogate, which no UTF-8 text can"))?;
    serde_json::to_writer(out, utf8).map_err(|error| Problem::new(error.to_string()))
}

fn write_integer(out: &mut Vec<u8>, integer: &Bound<'_, PyInt>) -> Written {
    if let Ok(small) = integer.extract::<i64>() {
        out.extend_from_slice(small.to_string().as_bytes());
        return Ok(());
    }
    // As `json.dumps` does it, so that subclasses are written as the number they hold.
    let digits = integer.py().get_type::<PyInt>().call_method1(intern!(integer.py(), "__repr__"), (integer,));
    match digits.and_then(|digits| digits.extract::<String>()) {
        Ok(digits) if digits.trim_start_matches('-').len() <= DIGITS_MAX => {
            out.extend_from_slice(digits.as_bytes());
            Ok(())
        }
        _ => Err(Problem::new(format!("the int has more than {DIGITS_MAX} digits; write it as a str"))),
    }
}

fn write_float(out: &mut Vec<u8>, float: f64) -> Written {
    if !float.is_finite() {
        return Err(Problem::new(format!("the float {float} is not JSON; use None or a str")));
    }
    // The shortest text that reads back as this float, and always with a point or an exponent, so that it stays a
    // float.
    out.extend_from_slice(format!("{float:?}").as_bytes());
    Ok(())
}

/// The Python object that JSON text stands for.
pub(crate) fn read<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyAny>> {
    let parse = PythonParse { cache_mode: StringCacheMode::Keys, ..PythonParse::default() };
    parse.python_parse(py, text.as_bytes()).map_err(|error| {
        errors::invalid_value(py, format!("the value cannot be read into Python ({error}); value_json has its text"))
    })
}

/// "a set", "an int", "a datetime.datetime": the type, for messages.
pub(crate) fn kind(value: &Bound<'_, PyAny>) -> String {
    let Ok(name) = value.get_type().fully_qualified_name() else { return "an object".into() };
    let name = name.to_string_lossy();
    let name = name.trim_start_matches("builtins.");
    let article = if name.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {name}")
}

/// A key for a message; cut, and never the reason of another error.
fn short(key: &Bound<'_, PyAny>) -> String {
    let text = key.repr().map_or_else(|_| "?".into(), |text| text.to_string_lossy().into_owned());
    if text.chars().count() > 60 { format!("{}...", text.chars().take(60).collect::<String>()) } else { text }
}
