//! Items for `serde`: the value of an item is serialized as a structure, not as text, in the format of the serializer.
//!
//! Invariants:
//! * Keys keep their order. Integers of 64 bits are exact. Other numbers become doubles, as in filters.
//! * No tree is built: the value is read and serialized in one pass.

use std::cell::RefCell;

use serde::ser::{Error, SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};

use crate::json::{JsonReader, Number, Raw};
use crate::types::Item;

impl Serialize for Item {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let reader = RefCell::new(JsonReader::new(self.value.as_bytes()));
        let mut fields = serializer.serialize_struct("Item", 9)?;
        fields.serialize_field("namespace", &self.namespace)?;
        fields.serialize_field("key", &self.key)?;
        fields.serialize_field("value", &Json(&reader))?;
        fields.serialize_field("created_at", &self.created_at)?;
        fields.serialize_field("updated_at", &self.updated_at)?;
        fields.serialize_field("ttl", &self.ttl)?;
        fields.serialize_field("expires_at", &self.expires_at)?;
        fields.serialize_field("version", &self.version)?;
        fields.serialize_field("vectors", &self.vectors)?;
        fields.end()
    }
}

/// The next JSON value of a reader. Serializing the value reads it.
struct Json<'r, 'a>(&'r RefCell<JsonReader<'a>>);

impl Serialize for Json<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw = self.0.borrow_mut().value().ok_or_else(not_json)?;
        match raw {
            Raw::Null => serializer.serialize_unit(),
            Raw::Bool(value) => serializer.serialize_bool(value),
            Raw::Number(token) => number(token, serializer),
            Raw::Text(text) => serializer.serialize_str(&text.decode().ok_or_else(not_json)?),
            Raw::Array(_) => {
                let mut sequence = serializer.serialize_seq(None)?;
                let mut more = self.0.borrow_mut().enter();
                while more.ok_or_else(not_json)? {
                    sequence.serialize_element(self)?;
                    more = self.0.borrow_mut().more();
                }
                sequence.end()
            }
            Raw::Object(_) => {
                let mut map = serializer.serialize_map(None)?;
                let mut more = self.0.borrow_mut().enter();
                while more.ok_or_else(not_json)? {
                    let key = self.0.borrow_mut().key().and_then(|key| key.decode()).ok_or_else(not_json)?;
                    map.serialize_entry(&*key, self)?;
                    more = self.0.borrow_mut().more();
                }
                map.end()
            }
        }
    }
}

fn number<S: Serializer>(token: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    match Number::parse(token).ok_or_else(not_json)? {
        Number::Float(float) => serializer.serialize_f64(float),
        Number::Integer(integer) => match (i64::try_from(integer), u64::try_from(integer)) {
            (Ok(integer), _) => serializer.serialize_i64(integer),
            (_, Ok(integer)) => serializer.serialize_u64(integer),
            _ => serializer.serialize_f64(integer as f64),
        },
    }
}

fn not_json<E: Error>() -> E {
    E::custom("the value of the item is not JSON")
}
