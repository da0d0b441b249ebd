//! Settings: small JSON documents that belong to a store as a whole and are kept in its manifest.
//!
//! Invariants:
//! * A store has at most [`limits::SETTINGS`] settings. Each is a JSON document of at most [`limits::SETTING_BYTES`].
//! * Names ascend and are unique, so equal settings have equal bytes.
//!
//! # Format
//!
//! Little endian, no bytes if there are no settings. Else their number u32, and for each its name (a u32 length and
//! that many bytes), its version u16 (0 for documents of applications, vecmem raises the versions of its own documents
//! when their meaning changes), and its JSON (a u32 length and that many bytes). Manifests of format version 1 have no
//! versions here.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use crate::codec::{Decoded, Reader, Writer};
use crate::error::{Error, Limit, Result};
use crate::json::validate_value;
use crate::types::limits;

/// The settings of a store. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Settings {
    documents: Arc<BTreeMap<String, Document>>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq)]
struct Document {
    /// The version of the document; 0 for documents of applications.
    version: u16,
    json: Arc<str>,
}

impl Settings {
    /// The JSON document of the setting `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.documents.get(name).map(|document| &*document.json)
    }

    /// All settings, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.documents.iter().map(|(name, document)| (name.as_str(), &*document.json))
    }

    /// The same settings, with one of them set or removed.
    pub fn with(&self, name: &str, json: Option<&str>) -> Result<Self> {
        let mut documents = BTreeMap::clone(&self.documents);
        match json {
            None => drop(documents.remove(name)),
            Some(json) => {
                check(name, json)?;
                documents.insert(name.to_owned(), Document { version: 0, json: json.into() });
            }
        }
        within(Limit::Settings, "settings of the store", documents.len(), limits::SETTINGS)?;
        Ok(Self { documents: Arc::new(documents) })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Writer::new();
        if !self.documents.is_empty() {
            out.count(self.documents.len());
        }
        for (name, document) in &*self.documents {
            out.prefixed(name.as_bytes());
            out.u16(document.version);
            out.prefixed(document.json.as_bytes());
        }
        out.into_vec()
    }

    pub(crate) fn decode(bytes: &[u8]) -> Decoded<Self> {
        Self::decode_with(bytes, |reader| reader.u16())
    }

    /// Reads the settings of a manifest of format version 1.
    pub(super) fn decode_first(bytes: &[u8]) -> Decoded<Self> {
        Self::decode_with(bytes, |_| Ok(0))
    }

    fn decode_with(bytes: &[u8], version: impl Fn(&mut Reader<'_>) -> Decoded<u16>) -> Decoded<Self> {
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        let mut reader = Reader::new(bytes);
        let count = reader.count(8, limits::SETTINGS)?;
        let mut documents: BTreeMap<String, Document> = BTreeMap::new();
        for _ in 0..count {
            let name = reader.text(limits::SETTING_NAME_BYTES)?;
            if documents.last_key_value().is_some_and(|(last, _)| last.as_str() >= name) {
                return Err(reader.malformed("the settings are not in order"));
            }
            let (name, version) = (name.to_owned(), version(&mut reader)?);
            documents.insert(name, Document { version, json: reader.text(limits::SETTING_BYTES)?.into() });
        }
        reader.finish()?;
        Ok(Self { documents: Arc::new(documents) })
    }
}

fn check(name: &str, json: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("the name of a setting is empty; give it one"));
    }
    let what = "bytes of the name of a setting";
    within(Limit::SettingNameBytes, what, name.len(), limits::SETTING_NAME_BYTES)?;
    let what = format_args!("bytes of the setting {name:?}");
    within(Limit::SettingBytes, what, json.len(), limits::SETTING_BYTES)?;
    validate_value(json.as_bytes(), limits::DEPTH).map_err(|error| error.context(format!("the setting {name:?}")))
}

fn within(limit: Limit, what: impl Display, found: usize, most: usize) -> Result<()> {
    if found > most { Err(Error::limit(limit, what, found, most)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_round_trip_and_their_bytes_are_fixed() {
        let settings = Settings::default().with("b", Some("[1]")).unwrap().with("a", Some("null")).unwrap();
        let golden = b"\x02\0\0\0\x01\0\0\0a\0\0\x04\0\0\0null\x01\0\0\0b\0\0\x03\0\0\0[1]";
        assert_eq!(settings.encode(), golden);
        assert_eq!(Settings::decode(golden).unwrap(), settings);
        let first = b"\x02\0\0\0\x01\0\0\0a\x04\0\0\0null\x01\0\0\0b\x03\0\0\0[1]";
        assert_eq!(Settings::decode_first(first).unwrap(), settings);
        assert_eq!((Settings::default().encode(), Settings::decode(b"").unwrap()), (Vec::new(), Settings::default()));
        let none = settings.with("a", None).unwrap().with("b", None).unwrap();
        assert_eq!(none, Settings::default());
    }

    #[test]
    fn bytes_in_another_form_are_refused() {
        let whole = Settings::default().with("b", Some("1")).unwrap().with("c", Some("2")).unwrap().encode();
        for length in 1..whole.len() {
            assert!(Settings::decode(&whole[..length]).is_err(), "{length} bytes");
        }
        let mut twice = whole.clone();
        twice[20] = b'b';
        assert!(Settings::decode(&twice).is_err(), "a name twice");
        assert!(Settings::decode(&[whole, vec![0]].concat()).is_err(), "more behind the end");
    }
}
