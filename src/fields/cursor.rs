//! A place in an order of items, as text that a caller can keep.
//!
//! Invariants:
//! * A cursor names a place, not a moment: the value, the namespace and the key of an item. An item that has gone since
//!   leaves the place where it was.
//! * A cursor is short: beside the order, the namespace and the key it holds at most [`ORDERED_BYTES`].
//! * Any text gives a cursor or an error, in memory that is a small multiple of the text.
//!
//! # Format
//!
//! The text is hexadecimal. The bytes, little endian:
//!
//! ```text
//! 1        version, 1
//! 1        1 if the order is descending, else 0
//! 4 + n    length and name of the order
//! 4 + n    length and bytes of the value, as `order` has them; none if the order is by key
//! 4 + n    length and bytes of the encoded namespace
//! n        key
//! ```

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::codec::{Decoded, Reader, Writer};
use crate::error::{Error, Result};
use crate::fields::order::{ORDERED_BYTES, Order, OrderBy, push_text};
use crate::types::KeyPosition;

const VERSION: u8 = 1;

/// Where the next page of an ordered listing begins: strictly after an item. Made by
/// [`Query::order_by`](crate::Query::order_by), and taken by [`Query::after`](crate::Query::after).
///
/// It is a text for whoever keeps it ([`Display`](fmt::Display), [`FromStr`]), and keeps nothing in the store alive. On
/// a snapshot the pages are one list. On a store they are as of their moments: a page continues strictly after the
/// place, so an item that is moved behind it meanwhile comes (again), and one that is moved before it does not. The
/// text holds the namespace and the key of the last item and its value, of a long string the beginning that counts: it
/// is shorter than 1 KiB unless the names of field, namespace and key have more than 200 bytes together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderCursor {
    order: Box<str>,
    is_descending: bool,
    pub(crate) value: Vec<u8>,
    namespace: Vec<u8>,
    key: Box<str>,
}

impl OrderCursor {
    /// The place of an item with this value.
    pub(crate) fn new(order: &Order, value: &[u8], address: KeyPosition<'_>) -> Self {
        Self {
            order: order.name().into(),
            is_descending: order.is_descending,
            value: value.to_vec(),
            namespace: address.namespace.to_vec(),
            key: address.key.into(),
        }
    }

    pub(crate) fn address(&self) -> KeyPosition<'_> {
        KeyPosition { namespace: &self.namespace, key: &self.key }
    }

    /// Fails if the cursor is one of another order.
    pub(crate) fn check(&self, order: &Order) -> Result<()> {
        if *self.order == *order.name() && self.is_descending == order.is_descending {
            return Ok(());
        }
        let direction = if self.is_descending { ", descending" } else { "" };
        Err(Error::invalid(format!(
            "the cursor is one of a list ordered by {}{direction}, and not by {order}; begin without one",
            self.order
        )))
    }

    /// Whether the order is by key, so that the key tells the value.
    fn is_by_key(order: &str) -> bool {
        Order::parse(order).is_ok_and(|order| order.by == OrderBy::Key)
    }

    fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != VERSION {
            return Err(reader.malformed("its version is unknown"));
        }
        let is_descending = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.malformed("its direction is unknown")),
        };
        let mut part = || {
            let length = reader.u32()? as usize;
            reader.bytes(length)
        };
        let (order, value, namespace) = (part()?, part()?, part()?);
        let text = |bytes| std::str::from_utf8(bytes).ok();
        let (Some(order), Some(key)) = (text(order), text(reader.bytes(reader.remaining())?)) else {
            return Err(reader.malformed("a text is not UTF-8"));
        };
        if value.len() > ORDERED_BYTES {
            return Err(reader.malformed("its value is too long"));
        }
        let (mut value, namespace) = (value.to_vec(), namespace.to_vec());
        if Self::is_by_key(order) {
            value.clear();
            push_text(&mut value, key.as_bytes());
        }
        Ok(Self { order: order.into(), is_descending, value, namespace, key: key.into() })
    }
}

impl fmt::Display for OrderCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Writer::new();
        out.u8(VERSION);
        out.u8(u8::from(self.is_descending));
        let value = if Self::is_by_key(&self.order) { &[][..] } else { &self.value };
        for part in [self.order.as_bytes(), value, &self.namespace] {
            out.u32(part.len() as u32);
            out.bytes(part);
        }
        out.bytes(self.key.as_bytes());
        out.as_slice().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for OrderCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong =
            |why: &str| Error::invalid(format!("the text is no cursor: {why}; give one as a listing returned it"));
        let digits = text.as_bytes().as_chunks::<2>();
        let byte = |&[high, low]: &[u8; 2]| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            Some((digit(high)? << 4 | digit(low)?) as u8)
        };
        let bytes: Option<Vec<u8>> = digits.0.iter().map(byte).collect();
        match bytes {
            Some(bytes) if digits.1.is_empty() => Self::decode(&bytes).map_err(|error| wrong(error.what)),
            _ => Err(wrong("it is not hexadecimal")),
        }
    }
}

impl Serialize for OrderCursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    #[test]
    fn a_cursor_comes_back_from_its_text_and_other_texts_are_refused() {
        println!("seed 5");
        let mut random = Random::new(5);
        let order = Order::parse("a.b").unwrap().descending();
        let cursor = OrderCursor::new(&order, b"\x05tea", KeyPosition { namespace: b"a\0", key: "k\0é" });
        let text = cursor.to_string();
        assert_eq!(text.parse::<OrderCursor>().unwrap(), cursor);
        assert!(cursor.check(&order).is_ok());
        let others = [Order::parse("a.b").unwrap(), Order::parse("a").unwrap().descending(), Order::by_key()];
        assert!(others.iter().all(|other| cursor.check(other).is_err()));
        for _ in 0..20_000 {
            let mut bytes = text.clone().into_bytes();
            for _ in 0..random.below(4) {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] = *random.pick(b"0123456789abcdefF gz\0");
            }
            bytes.truncate(random.below(bytes.len() as u64 + 20) as usize);
            let text = String::from_utf8(bytes).unwrap();
            if let Ok(cursor) = text.parse::<OrderCursor>() {
                assert_eq!(cursor.to_string(), text.to_lowercase());
            }
        }
        let by_key = OrderCursor::new(&Order::by_key(), b"\x05a key", KeyPosition { namespace: b"a\0", key: "a key" });
        assert_eq!(by_key.to_string().parse::<OrderCursor>().unwrap(), by_key);
        assert_eq!(by_key.to_string().len(), 2 * (1 + 1 + 4 + "$item.key".len() + 4 + 4 + 2 + 5));
        let long = OrderCursor::new(&order, &[5; ORDERED_BYTES + 1], KeyPosition { namespace: b"a\0", key: "k" });
        assert!(long.to_string().parse::<OrderCursor>().is_err());
        assert!("é".parse::<OrderCursor>().is_err() && "".parse::<OrderCursor>().is_err());
    }
}
