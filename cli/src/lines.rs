//! One line of an import file, from bytes to typed parts.
//!
//! ```json
//! {"namespace": ["users", "ada"], "key": "k1", "value": {"text": "likes tea"}, "vector": [0.1, 0.2],
//!  "ttl_seconds": 3600, "created_at": 1700000000000000, "updated_at": 1700000000000000}
//! ```
//!
//! `namespace`, `key` and `value` are required; times are microseconds since 1970 UTC. An item with vectors of several
//! fields has `"vectors": [{"path": "text", "values": [0.1, 0.2]}]` instead of `"vector"`, an empty list for none. A
//! null counts as absent.
//!
//! Invariants:
//! * A line is refused whole, with the column (in bytes, from 1) of what is wrong; an unknown name is refused too,
//!   since a misspelt `vector` would lose data silently.
//! * The value's bytes are kept as they stand; the store decides whether they are a legal value (depth, duplicate
//!   keys).
//! * Heap use is at most about twice the length of the line.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde_json::value::RawValue;
use vecmem::{FieldVector, Namespace, limits};

use crate::words::counted;

/// A line that was understood.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// Where the item lives.
    pub namespace: Namespace,
    /// Its key.
    pub key: String,
    /// The JSON object, byte for byte.
    pub value: Box<str>,
    /// The column at which the value begins, to place what the store says about it.
    pub value_column: usize,
    /// The vectors the line gives; `None` when it does not mention any.
    pub vectors: Option<Vec<FieldVector>>,
    /// The column at which they begin; 1 when there are none.
    pub vectors_column: usize,
    /// Time to live.
    pub ttl: Option<Duration>,
    /// Microseconds since 1970 UTC.
    pub created_at: Option<i64>,
    /// Microseconds since 1970 UTC.
    pub updated_at: Option<i64>,
}

/// Why a line was refused.
#[derive(Debug, PartialEq)]
pub struct LineError {
    /// Byte position in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.message)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields<'a> {
    #[serde(borrow)]
    namespace: &'a RawValue,
    #[serde(borrow)]
    key: &'a RawValue,
    #[serde(borrow)]
    value: &'a RawValue,
    #[serde(borrow)]
    vector: Option<&'a RawValue>,
    #[serde(borrow)]
    vectors: Option<&'a RawValue>,
    #[serde(borrow)]
    ttl_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    updated_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldOfLine<'a> {
    path: String,
    #[serde(borrow)]
    values: &'a RawValue,
}

/// Labels, refused as soon as there are too many, so that a hostile line cannot make a long list of empty strings.
struct Labels(Vec<String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bounded;
        impl<'de> Visitor<'de> for Bounded {
            type Value = Labels;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of strings such as [\"users\", \"ada\"]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut labels: A) -> Result<Labels, A::Error> {
                let mut read = Vec::new();
                while let Some(label) = labels.next_element()? {
                    if read.len() == limits::LABELS {
                        return Err(de::Error::custom(format!("a namespace has at most {} labels", limits::LABELS)));
                    }
                    read.push(label);
                }
                Ok(Labels(read))
            }
        }
        deserializer.deserialize_seq(Bounded)
    }
}

/// Reads one line, without its line feed.
pub fn parse_line(line: &[u8]) -> Result<Line, LineError> {
    let start = line.iter().position(|byte| !byte.is_ascii_whitespace());
    match start.map(|at| line[at]) {
        Some(b'{') => {}
        Some(_) => {
            return Err(LineError { column: start.unwrap_or(0) + 1, message: "the line is not a JSON object".into() });
        }
        None => {
            return Err(LineError { column: 1, message: "the line is empty; each line holds one JSON object".into() });
        }
    }
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| line_error(1, &error))?;
    let place = Place { line };
    let labels: Labels = place.read("namespace", fields.namespace)?;
    let namespace =
        Namespace::new(&labels.0).map_err(|error| place.error(fields.namespace, format!("\"namespace\": {error}")))?;
    let key: String = place.read("key", fields.key)?;
    if key.len() > limits::KEY_BYTES {
        let message = format!("\"key\" has {} bytes, more than the limit of {}", key.len(), limits::KEY_BYTES);
        return Err(place.error(fields.key, message));
    }
    if !fields.value.get().starts_with('{') {
        return Err(place.error(fields.value, "\"value\" is not a JSON object"));
    }
    Ok(Line {
        namespace,
        key,
        value: fields.value.get().into(),
        value_column: place.column(fields.value),
        vectors: read_vectors(&place, &fields)?,
        vectors_column: fields.vector.or(fields.vectors).map_or(1, |raw| place.column(raw)),
        ttl: fields.ttl_seconds.map(|raw| read_ttl(&place, raw)).transpose()?,
        created_at: fields.created_at.map(|raw| place.read("created_at", raw)).transpose()?,
        updated_at: fields.updated_at.map(|raw| place.read("updated_at", raw)).transpose()?,
    })
}

/// Reads a JSON array of finite numbers; the error says which one is wrong, and where in `text`.
pub fn parse_vector(text: &str) -> Result<Box<[f32]>, LineError> {
    let error = |at: usize, message: String| LineError { column: at + 1, message };
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let inside = inside.ok_or_else(|| error(0, "a vector is a JSON array of numbers".into()))?;
    let count = inside.bytes().filter(|&byte| byte == b',').count() + 1;
    if count > limits::DIMENSIONS {
        return Err(error(0, format!("the vector has {count} numbers, more than the limit of {}", limits::DIMENSIONS)));
    }
    let mut values = Vec::with_capacity(count);
    let mut at = 1;
    for token in inside.split(',') {
        let number = token.trim_ascii();
        // `parse` knows names such as `inf` that JSON does not, so what it may see is limited to a number's characters.
        let is_number = number.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        match number.parse::<f32>() {
            Ok(value) if is_number && value.is_finite() => values.push(value),
            _ => {
                return Err(error(
                    at,
                    format!("number {} of the vector is not a finite 32-bit number", values.len() + 1),
                ));
            }
        }
        at += token.len() + 1;
    }
    Ok(values.into())
}

fn read_vectors(place: &Place<'_>, fields: &Fields<'_>) -> Result<Option<Vec<FieldVector>>, LineError> {
    let values = |raw: &RawValue| {
        parse_vector(raw.get()).map_err(|error| LineError { column: place.column(raw) + error.column - 1, ..error })
    };
    match (fields.vector, fields.vectors) {
        (None, None) => Ok(None),
        (Some(raw), None) => Ok(Some(vec![FieldVector { path: Arc::from(""), values: values(raw)? }])),
        (None, Some(raw)) => {
            let entries: Vec<FieldOfLine<'_>> =
                serde_json::from_str(raw.get()).map_err(|error| place.inside("vectors", raw, &error))?;
            if entries.len() > limits::VECTORS_PER_ITEM {
                let message = format!(
                    "{}, more than the limit of {}",
                    counted(entries.len() as u64, "vector"),
                    limits::VECTORS_PER_ITEM
                );
                return Err(place.error(raw, message));
            }
            let read =
                |entry: FieldOfLine<'_>| Ok(FieldVector { path: entry.path.into(), values: values(entry.values)? });
            entries.into_iter().map(read).collect::<Result<_, _>>().map(Some)
        }
        (Some(_), Some(raw)) => Err(place.error(raw, "a line has \"vector\" or \"vectors\", not both")),
    }
}

fn read_ttl(place: &Place<'_>, raw: &RawValue) -> Result<Duration, LineError> {
    let seconds: f64 = place.read("ttl_seconds", raw)?;
    // Rounded to whole microseconds, the unit of the store: 0.3 must not become 299,999.
    let micros = (seconds * 1e6).round();
    if !(micros >= 1.0 && micros < i64::MAX as f64) {
        return Err(place.error(raw, "\"ttl_seconds\" must be at least 0.000001 and below 292,000 years"));
    }
    Ok(Duration::from_micros(micros as u64))
}

/// The line, to tell at which column of it a part begins.
struct Place<'a> {
    line: &'a [u8],
}

impl Place<'_> {
    fn column(&self, part: &RawValue) -> usize {
        (part.get().as_ptr() as usize).saturating_sub(self.line.as_ptr() as usize) + 1
    }

    fn error(&self, part: &RawValue, message: impl Into<String>) -> LineError {
        LineError { column: self.column(part), message: message.into() }
    }

    fn inside(&self, name: &str, part: &RawValue, error: &serde_json::Error) -> LineError {
        let placed = line_error(self.column(part), error);
        LineError { message: format!("\"{name}\": {}", placed.message), ..placed }
    }

    fn read<T: DeserializeOwned>(&self, name: &str, part: &RawValue) -> Result<T, LineError> {
        serde_json::from_str(part.get()).map_err(|error| self.inside(name, part, &error))
    }
}

/// serde_json's own message ends with a line and a column; only the column means something in one line.
fn line_error(start: usize, error: &serde_json::Error) -> LineError {
    let text = error.to_string();
    let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
    LineError { column: start + error.column().max(1) - 1, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line_is_understood() {
        let line = br#"{"namespace":["a","b/c"],"key":"k","value":{"x": 1e2},"vector":[1, -2.5,3e-1],"ttl_seconds":0.3,"created_at":5,"updated_at":null}"#;
        let line = parse_line(line).unwrap();
        assert_eq!(line.namespace.labels(), ["a", "b/c"]);
        assert_eq!((&*line.value, line.value_column), (r#"{"x": 1e2}"#, 44));
        assert_eq!(&*line.vectors.unwrap()[0].values, [1.0, -2.5, 0.3]);
        assert_eq!((line.ttl, line.created_at, line.updated_at), (Some(Duration::from_micros(300_000)), Some(5), None));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_column() {
        let cases: &[(&str, usize, &str)] = &[
            ("", 1, "empty"),
            ("  [1]", 3, "not a JSON object"),
            (r#"{"namespace":["a"],"key":"k","value":{}"#, 39, "EOF"),
            (r#"{"namespace":["a"],"value":{}}"#, 30, "missing field `key`"),
            (r#"{"namespace":["a"],"key":"k","value":{},"vecotr":[1]}"#, 48, "unknown field `vecotr`"),
            (r#"{"namespace":["a"],"key":"k","value":[]}"#, 38, "\"value\" is not a JSON object"),
            (r#"{"namespace":"a","key":"k","value":{}}"#, 16, "array of strings"),
            (r#"{"namespace":["a",""],"key":"k","value":{}}"#, 14, "label 2"),
            (r#"{"namespace":["a"],"key":7,"value":{}}"#, 26, "\"key\": invalid type"),
            (r#"{"namespace":["a"],"key":"k","value":{},"vector":[1,null]}"#, 53, "number 2"),
            (r#"{"namespace":["a"],"key":"k","value":{},"vector":[1e39]}"#, 51, "number 1"),
            (r#"{"namespace":["a"],"key":"k","value":{},"vector":[]}"#, 51, "number 1"),
            (r#"{"namespace":["a"],"key":"k","value":{},"ttl_seconds":-1}"#, 55, "ttl_seconds"),
            (r#"{"namespace":["a"],"key":"k","value":{},"created_at":1.5}"#, 56, "created_at"),
            (r#"{"namespace":["a"],"key":"k","value":{},"key":"l"}"#, 45, "duplicate field `key`"),
        ];
        for (line, column, message) in cases {
            let error = parse_line(line.as_bytes()).unwrap_err();
            assert!(error.message.contains(message), "{line}: {error}");
            assert_eq!(error.column, *column, "{line}: {error}");
        }
        let many = format!("[{}\"a\"]", "\"a\",".repeat(64));
        let line = format!(r#"{{"namespace":{many},"key":"k","value":{{}}}}"#);
        assert!(parse_line(line.as_bytes()).unwrap_err().message.contains("at most 64 labels"));
    }
}
