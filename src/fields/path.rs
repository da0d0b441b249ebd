//! Paths of fields.
//!
//! Invariants:
//! * A path means what the same key means in a filter: the field of exactly that name if the value has one, else, where
//!   the path has dots, the field below its components. No component goes into an array.
//! * A path has at most [`limits::DEPTH`] components, none of them empty.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Limit, Result, shortened};
use crate::json::{JsonReader, Raw};
use crate::types::limits;

/// The path of a field: `price`, or `address.city` for the field `city` of the object under `address`.
///
/// If a value has a field whose name is the whole path, dots included, the path means that field. An array has no
/// fields: a path that leads into one leads nowhere. Names that begin with `$` are kept for what an item has beside its
/// value (`$item.created_at`, see [`Order::parse`](crate::Order::parse)).
///
/// ```
/// use vecmem::{ErrorKind, FieldPath};
///
/// assert_eq!(FieldPath::new("address.city")?.as_str(), "address.city");
/// assert_eq!(FieldPath::new("address..city").unwrap_err().kind(), ErrorKind::InvalidInput);
/// assert_eq!(FieldPath::new("address.$eq").unwrap_err().kind(), ErrorKind::InvalidInput);
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldPath {
    text: Box<str>,
    /// The components of a path with dots; else none.
    components: Box<[Box<str>]>,
}

impl FieldPath {
    /// The path that `text` spells. Errors: `InvalidInput` if it is empty, or a component of it is empty or begins with
    /// `$`; `Limit` beyond [`limits::DEPTH`] components.
    pub fn new(text: &str) -> Result<Self> {
        let wrong = |why: &str| Err(Error::invalid(format!("path {:?}: {why}", shortened(text))));
        if text.is_empty() {
            return wrong("it is empty; name a field");
        }
        if text.starts_with('$') {
            return wrong(
                "no field begins with $; of an item there are $item.created_at, $item.updated_at, $item.key and \
                          $item.namespace, where they have a meaning",
            );
        }
        let components: Box<[Box<str>]> =
            if text.contains('.') { text.split('.').map(Box::from).collect() } else { Box::default() };
        if components.iter().any(|component| component.is_empty()) {
            return wrong("a component of it is empty; write a.b");
        }
        if components.iter().any(|component| component.starts_with('$')) {
            return wrong("a component of it begins with $, like an operator of a filter; name a field below a field");
        }
        if components.len() > limits::DEPTH {
            return Err(Error::limit(Limit::Depth, "components of a path", components.len(), limits::DEPTH));
        }
        Ok(Self { text: text.into(), components })
    }

    /// The path as it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The components of a path with dots, from the outermost on; none of a path without.
    pub(crate) fn components(&self) -> &[Box<str>] {
        &self.components
    }

    /// The field of a value, which is given as the bytes of a JSON object; `None` if it has none, or is no object.
    pub(crate) fn find<'v>(&self, value: &'v [u8]) -> Option<Raw<'v>> {
        let mut reader = JsonReader::new(value);
        let (mut found, mut more) = (None, reader.enter()?);
        while more {
            let key = reader.key()?;
            if key.equals(self.text.as_bytes()) {
                return reader.value();
            }
            if let Some(first) = self.components.first()
                && key.equals(first.as_bytes())
            {
                found = Some(reader);
            }
            reader.skip()?;
            more = reader.more()?;
        }
        let mut reader = found?;
        for component in self.components.get(1..)? {
            reader = member(reader, component.as_bytes())?;
        }
        reader.value()
    }
}

/// The reader before the member of that name of the object at `reader`.
fn member<'v>(mut reader: JsonReader<'v>, name: &[u8]) -> Option<JsonReader<'v>> {
    let Raw::Object(_) = reader.value()? else { return None };
    let mut more = reader.enter()?;
    while more {
        if reader.key()?.equals(name) {
            return Some(reader);
        }
        reader.skip()?;
        more = reader.more()?;
    }
    None
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for FieldPath {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_path_leads_where_the_key_of_a_filter_does() {
        let value =
            br#"{"a.b": 1, "a": {"b": 2, "c": [{"d": 3}], "\u0065": 4}, "x": {"y.z": 5, "y": {"z": 6}}, "n\u0000": 7}"#;
        let number = |path: &str| match FieldPath::new(path).unwrap().find(value)? {
            Raw::Number(token) => Some(std::str::from_utf8(token).unwrap().to_owned()),
            _ => Some("other".to_owned()),
        };
        for (path, expected) in [
            ("a.b", Some("1")),
            ("a", Some("other")),
            ("a.c", Some("other")),
            ("a.c.d", None),
            ("a.c.0", None),
            ("a.e", Some("4")),
            ("x.y.z", Some("6")),
            ("n\0", Some("7")),
            ("a.b.c", None),
            ("missing", None),
        ] {
            assert_eq!(number(path).as_deref(), expected, "{path}");
        }
        for bytes in [&b""[..], b"[1]", b"{", b"{\"a", b"{\"a\": ", b"{\"a\": {\"b\"", b"null"] {
            assert!(FieldPath::new("a.b").unwrap().find(bytes).is_none());
        }
    }

    #[test]
    fn wrong_paths_are_refused() {
        for path in ["", ".", "a.", ".a", "a..b", "$item.key", "$x"] {
            assert_eq!(FieldPath::new(path).unwrap_err().kind(), ErrorKind::InvalidInput, "{path}");
        }
        let deep = vec!["a"; limits::DEPTH].join(".");
        assert!(FieldPath::new(&deep).is_ok());
        assert_eq!(FieldPath::new(&format!("{deep}.a")).unwrap_err().kind(), ErrorKind::Limit(Limit::Depth));
    }
}
