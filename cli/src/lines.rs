//! One line of an import file, from bytes to typed parts.
//!
//! ```json
//! {"namespace": ["users", "ada"], "key": "k1", "value": {"text": "likes tea"}, "vector": [0.1, 0.2],
//!  "ttl_seconds": 3600, "created_at": 1700000000000000, "updated_at": 1700000000000000}
//! ```
//!
//! `namespace`, `key` and `value` are required; times are microseconds since 1970 UTC. An item with vectors of several
//! fields has `"vectors": [{"path": "text", "values": [0.1, 0.2]}]` instead of `"vector"`, an empty list for none. A
//! null counts as absent. `export.rs` has the fields that a line of an export may have besides.
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
use vecmem::{FieldVector, ItemExtension, Namespace, limits};

use crate::texts::{TEXT_BYTES_MAX, text_at};
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
    pub expires_at: Option<i64>,
    /// The field paths that the put named for embedding.
    pub index_paths: Vec<String>,
    /// The model and the texts that it has embedded, one for each vector.
    pub embedded: Option<EmbeddedTexts>,
    /// Vectors whose texts the export could not find.
    pub unknown_texts: u64,
    /// Extensions of the item.
    pub extensions: Vec<ItemExtension>,
    /// Microseconds since 1970 UTC.
    pub created_at: Option<i64>,
    /// Microseconds since 1970 UTC.
    pub updated_at: Option<i64>,
}

/// A model, and the texts that it has embedded.
#[derive(Debug, PartialEq)]
pub struct EmbeddedTexts {
    pub model: String,
    pub texts: Vec<String>,
}

/// Why a line was refused.
#[derive(Debug, PartialEq)]
pub struct LineError {
    /// Byte position in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl LineError {
    /// An error of JSON that begins at the column `start`. serde_json's own message ends with a line and a column; only
    /// the column means something in one line.
    pub fn of_json(start: usize, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let message = text.split(" at line ").next().unwrap_or(&text).to_owned();
        Self { column: start + error.column().max(1) - 1, message }
    }
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
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    value_text: Option<&'a RawValue>,
    #[serde(borrow)]
    vector: Option<&'a RawValue>,
    #[serde(borrow)]
    vectors: Option<&'a RawValue>,
    #[serde(borrow)]
    ttl_seconds: Option<&'a RawValue>,
    #[serde(borrow)]
    ttl_micros: Option<&'a RawValue>,
    #[serde(borrow)]
    expires_at: Option<&'a RawValue>,
    #[serde(borrow)]
    index_paths: Option<&'a RawValue>,
    #[serde(borrow)]
    texts: Option<&'a RawValue>,
    #[serde(borrow)]
    unknown_texts: Option<&'a RawValue>,
    #[serde(borrow)]
    extensions: Option<&'a RawValue>,
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

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TextsOfLine {
    model: String,
    paths: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExtensionOfLine {
    kind: u16,
    must_understand: bool,
    hex: String,
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
    let fields: Fields<'_> = serde_json::from_slice(line).map_err(|error| LineError::of_json(1, &error))?;
    let place = Place { line };
    let labels: Labels = place.read("namespace", fields.namespace)?;
    let namespace =
        Namespace::new(&labels.0).map_err(|error| place.error(fields.namespace, format!("\"namespace\": {error}")))?;
    let key: String = place.read("key", fields.key)?;
    if key.len() > limits::KEY_BYTES {
        let message = format!("\"key\" has {} bytes, more than the limit of {}", key.len(), limits::KEY_BYTES);
        return Err(place.error(fields.key, message));
    }
    let (value, value_at) = read_value(&place, &fields)?;
    let embedded = fields.texts.map(|raw| read_texts(&place, raw, &value)).transpose()?;
    Ok(Line {
        namespace,
        key,
        value,
        value_column: place.column(value_at),
        vectors: read_vectors(&place, &fields)?,
        vectors_column: fields.vector.or(fields.vectors).map_or(1, |raw| place.column(raw)),
        ttl: read_ttl(&place, &fields)?,
        expires_at: fields.expires_at.map(|raw| place.read("expires_at", raw)).transpose()?,
        index_paths: fields.index_paths.map(|raw| place.read("index_paths", raw)).transpose()?.unwrap_or_default(),
        embedded,
        unknown_texts: fields.unknown_texts.map(|raw| place.read("unknown_texts", raw)).transpose()?.unwrap_or(0),
        extensions: fields.extensions.map(|raw| read_extensions(&place, raw)).transpose()?.unwrap_or_default(),
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

/// The value, and the part of the line that has it: as an object, or as the text of one.
fn read_value<'a>(place: &Place<'_>, fields: &Fields<'a>) -> Result<(Box<str>, &'a RawValue), LineError> {
    let (value, raw) = match (fields.value, fields.value_text) {
        (Some(raw), None) => (Box::from(raw.get()), raw),
        (None, Some(raw)) => (place.read::<Box<str>>("value_text", raw)?, raw),
        (Some(_), Some(raw)) => return Err(place.error(raw, "a line has \"value\" or \"value_text\", not both")),
        (None, None) => {
            return Err(LineError { column: place.line.len().max(1), message: "missing field `value`".into() });
        }
    };
    if !value.trim_ascii_start().starts_with('{') {
        return Err(place.error(raw, "\"value\" is not a JSON object"));
    }
    Ok((value, raw))
}

/// The texts at the paths that the line names, in its value.
fn read_texts(place: &Place<'_>, raw: &RawValue, value: &str) -> Result<EmbeddedTexts, LineError> {
    let TextsOfLine { model, paths } = place.read("texts", raw)?;
    let value: serde_json::Value =
        serde_json::from_str(value).map_err(|error| place.error(raw, format!("\"texts\": the value: {error}")))?;
    let text = |path: &String| {
        let missing = || place.error(raw, format!("\"texts\": the value has no single text at {path:?}"));
        text_at(&value, path).ok_or_else(missing)
    };
    let (mut texts, mut bytes) = (Vec::new(), 0);
    for path in &paths {
        let text = text(path)?;
        bytes += text.len();
        if texts.len() == limits::VECTORS_PER_ITEM || bytes > TEXT_BYTES_MAX {
            return Err(place.error(raw, "\"texts\" are more, or longer, than those of one item may be"));
        }
        texts.push(text);
    }
    Ok(EmbeddedTexts { model, texts })
}

fn read_extensions(place: &Place<'_>, raw: &RawValue) -> Result<Vec<ItemExtension>, LineError> {
    let extensions: Vec<ExtensionOfLine> = place.read("extensions", raw)?;
    let read = |ExtensionOfLine { kind, must_understand, hex }: ExtensionOfLine| {
        let bytes = from_hex(&hex)
            .ok_or_else(|| place.error(raw, format!("\"extensions\": the bytes of kind {kind} are not hexadecimal")))?;
        Ok(ItemExtension { kind, must_understand, bytes })
    };
    extensions.into_iter().map(read).collect()
}

/// Bytes as two lower-case hexadecimal digits each.
pub fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |pair: &[u8; 2]| Some(16 * digit(pair[0])? + digit(pair[1])?);
    if rest.is_empty() { pairs.iter().map(byte).collect() } else { None }
}

fn read_ttl(place: &Place<'_>, fields: &Fields<'_>) -> Result<Option<Duration>, LineError> {
    if let (None, Some(raw)) = (fields.ttl_seconds, fields.ttl_micros) {
        let micros: u64 = place.read("ttl_micros", raw)?;
        if micros == 0 || i64::try_from(micros).is_err() {
            return Err(place.error(raw, "\"ttl_micros\" must be from 1 to 9,223,372,036,854,775,807"));
        }
        return Ok(Some(Duration::from_micros(micros)));
    }
    let Some(raw) = fields.ttl_seconds else { return Ok(None) };
    if fields.ttl_micros.is_some() {
        return Err(place.error(raw, "a line has \"ttl_seconds\" or \"ttl_micros\", not both"));
    }
    let seconds: f64 = place.read("ttl_seconds", raw)?;
    // serde_json may miss the nearest number by a digit, the standard library does not.
    let seconds = raw.get().parse().unwrap_or(seconds);
    match ttl_of_seconds(seconds) {
        Some(micros) => Ok(Some(Duration::from_micros(micros))),
        None => Err(place.error(raw, "\"ttl_seconds\" must be at least 0.000001 and below 292,000 years")),
    }
}

/// Seconds as whole microseconds, the unit of the store, rounded: 0.3 must not become 299,999.
pub fn ttl_of_seconds(seconds: f64) -> Option<u64> {
    let micros = (seconds * 1e6).round();
    (micros >= 1.0 && micros < i64::MAX as f64).then_some(micros as u64)
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
        let placed = LineError::of_json(self.column(part), error);
        LineError { message: format!("\"{name}\": {}", placed.message), ..placed }
    }

    fn read<T: DeserializeOwned>(&self, name: &str, part: &RawValue) -> Result<T, LineError> {
        serde_json::from_str(part.get()).map_err(|error| self.inside(name, part, &error))
    }
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
            (r#"{"namespace":["a"],"key":"k"}"#, 29, "missing field `value`"),
            (r#"{"namespace":["a"],"key":"k","value_text":"[]"}"#, 43, "\"value\" is not a JSON object"),
            (r#"{"namespace":["a"],"key":"k","value":{},"value_text":"{}"}"#, 54, "not both"),
            (r#"{"namespace":["a"],"key":"k","value":{},"ttl_micros":0}"#, 54, "ttl_micros"),
            (r#"{"namespace":["a"],"key":"k","value":{},"ttl_micros":1,"ttl_seconds":1}"#, 70, "not both"),
            (r#"{"namespace":["a"],"key":"k","value":{},"expires_at":"now"}"#, 58, "expires_at"),
            (r#"{"namespace":["a"],"key":"k","value":{},"index_paths":[1]}"#, 56, "index_paths"),
            (
                r#"{"namespace":["a"],"key":"k","value":{},"texts":{"model":"m","paths":["x"]}}"#,
                49,
                "no single text at",
            ),
            (
                r#"{"namespace":["a"],"key":"k","value":{},"extensions":[{"kind":1,"must_understand":false,"hex":"0g"}]}"#,
                54,
                "not hexadecimal",
            ),
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
