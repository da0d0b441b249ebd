//! The order of values, and orders of items.
//!
//! Invariants:
//! * The bytes of two values are in the order of the values: no value and null, false, true, numbers, strings, arrays,
//!   objects. Numbers are ordered exactly, strings by their UTF-8, which is the order of code points.
//! * Two values that a filter calls equal have the same bytes. All arrays have the same bytes, and all objects.
//!
//! # The bytes of a value
//!
//! The first byte is the kind of the value.
//!
//! ```text
//! KIND  VALUE           REST
//! 1     null, or none   none
//! 2     false           none
//! 3     true            none
//! 4     number          as Number::push_ordered writes it
//! 5     string          the UTF-8 bytes
//! 6     array           none
//! 7     object          none
//! ```

use std::fmt;

use crate::error::{Error, Result, shortened};
use crate::fields::path::FieldPath;
use crate::json::{Number, Raw};

pub(crate) const NULL: u8 = 1;
pub(crate) const FALSE: u8 = 2;
pub(crate) const TRUE: u8 = 3;
pub(crate) const NUMBER: u8 = 4;
pub(crate) const STRING: u8 = 5;
pub(crate) const ARRAY: u8 = 6;
pub(crate) const OBJECT: u8 = 7;

/// The most bytes of a value by which items are ordered: the kind, and the beginning of a long string. So neither the
/// rows that a listing keeps nor its cursor hold long values.
pub(crate) const ORDERED_BYTES: usize = 1 + 256;

/// Appends the bytes of a value. `None` if the value is not JSON.
pub(crate) fn push_value(bytes: &mut Vec<u8>, value: Raw<'_>) -> Option<()> {
    match value {
        Raw::Null => bytes.push(NULL),
        Raw::Bool(value) => bytes.push(if value { TRUE } else { FALSE }),
        Raw::Number(_) => push_number(bytes, value.number()?),
        Raw::Text(text) => push_text(bytes, text.decoded_bytes().as_ref()),
        Raw::Array(_) => bytes.push(ARRAY),
        Raw::Object(_) => bytes.push(OBJECT),
    }
    Some(())
}

/// Appends the bytes of a number.
pub(crate) fn push_number(bytes: &mut Vec<u8>, number: Number) {
    bytes.push(NUMBER);
    number.push_ordered(bytes);
}

/// Appends the bytes of a string.
pub(crate) fn push_text(bytes: &mut Vec<u8>, text: &[u8]) {
    bytes.push(STRING);
    bytes.extend_from_slice(text);
}

/// An order of the items of a listing: by a field of their values, by a time, or by key. Items with equal values follow
/// in the order of namespace and key, whichever way the values go.
///
/// Values of different types have an order too: no value and null first, then false, true, numbers, strings, arrays,
/// objects. Numbers compare by value, integers of 64 bits exactly; strings by code point, of which the first 256 bytes
/// of UTF-8 count: strings that differ only behind them follow in the order of namespace and key. Keys count wholly.
/// Arrays are all equal, and so are objects.
///
/// ```
/// use vecmem::{Namespace, Options, Order, Put, Query, Store};
///
/// let store = Store::temporary(Options::new())?;
/// let shop = Namespace::new(["shop"])?;
/// for (key, price) in [("tea", "3"), ("cup", "12.5"), ("pot", "40"), ("gift", "null")] {
///     store.put(Put::new(&shop, key, format!(r#"{{"price": {price}}}"#)))?;
/// }
/// let query = Query::new(&shop).order_by(Order::parse("price")?.descending()).limit(3);
/// let dear = store.list(&query)?;
/// assert_eq!(dear.iter().map(|hit| hit.item.key.as_str()).collect::<Vec<_>>(), ["pot", "cup", "tea"]);
///
/// // The next page begins strictly after the last item of this one.
/// let rest = store.list(&query.after(dear.next.clone().expect("there is more")))?;
/// assert!(rest[0].item.key == "gift" && rest.next.is_none());
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub(crate) by: OrderBy,
    pub(crate) is_descending: bool,
}

/// What items are ordered by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OrderBy {
    Field(FieldPath),
    CreatedAt,
    UpdatedAt,
    Key,
}

impl Order {
    /// By a field, the smallest value first.
    pub fn by(path: FieldPath) -> Self {
        Self::new(OrderBy::Field(path))
    }

    /// By the time at which an item was first put, the earliest first.
    pub fn by_created_at() -> Self {
        Self::new(OrderBy::CreatedAt)
    }

    /// By the time at which an item was last put, the earliest first.
    pub fn by_updated_at() -> Self {
        Self::new(OrderBy::UpdatedAt)
    }

    /// By key, and by namespace where keys are equal.
    pub fn by_key() -> Self {
        Self::new(OrderBy::Key)
    }

    fn new(by: OrderBy) -> Self {
        Self { by, is_descending: false }
    }

    /// The order that `text` names: a path, or `$item.created_at`, `$item.updated_at` or `$item.key`. Errors: those of
    /// [`FieldPath::new`].
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "$item.created_at" => Ok(Self::by_created_at()),
            "$item.updated_at" => Ok(Self::by_updated_at()),
            "$item.key" => Ok(Self::by_key()),
            _ if text.starts_with('$') => Err(Error::invalid(format!(
                "order {:?}: there are $item.created_at, $item.updated_at, $item.key, and paths of fields",
                shortened(text)
            ))),
            _ => FieldPath::new(text).map(Self::by),
        }
    }

    /// The same values from the largest to the smallest.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.is_descending = true;
        self
    }

    /// The name that [`parse`](Self::parse) reads.
    pub(crate) fn name(&self) -> &str {
        match &self.by {
            OrderBy::Field(path) => path.as_str(),
            OrderBy::CreatedAt => "$item.created_at",
            OrderBy::UpdatedAt => "$item.updated_at",
            OrderBy::Key => "$item.key",
        }
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name(), if self.is_descending { ", descending" } else { "" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::JsonReader;

    #[test]
    fn the_bytes_of_values_are_in_their_order() {
        let bytes = |json: &str| {
            let mut bytes = Vec::new();
            push_value(&mut bytes, JsonReader::new(json.as_bytes()).value().unwrap()).unwrap();
            bytes
        };
        let long = format!("\"{}\"", "a".repeat(1_000));
        let rising = [
            "null",
            "false",
            "true",
            "-1e400",
            "-9007199254740993",
            "-9007199254740992",
            "-0.5",
            "0",
            "5e-324",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "1e400",
            "\"\"",
            "\"\\u0000\"",
            "\"a\"",
            "\"a\\u0000\"",
            &long,
            "\"b\"",
            "\"é\"",
            "\"😀\"",
            "[]",
            "{}",
        ];
        for pair in rising.windows(2) {
            assert!(bytes(pair[0]) < bytes(pair[1]), "{pair:?}");
        }
        for (a, b) in [("0", "-0.0"), ("5", "5.0"), ("1e2", "100"), ("[1]", "[]"), ("\"\\u0061\"", "\"a\"")] {
            assert_eq!(bytes(a), bytes(b), "{a} {b}");
        }
    }
}
