//! Where a later call goes on: the text that a receipt gives to the caller.
//!
//! # Format
//!
//! A JSON array of three: how many items were deleted so far, the labels of a namespace, a key. The text is meant for
//! the next call alone.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::record::KeyAddress;
use crate::types::{Namespace, Scope};

/// A place in the order of (namespace, key), and what was done before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    /// Items that were deleted before.
    pub total: u64,
    pub namespace: Namespace,
    pub key: Arc<str>,
}

impl Place {
    pub fn new(total: u64, namespace: &Namespace, key: &str) -> Self {
        Self { total, namespace: namespace.clone(), key: key.into() }
    }

    pub fn address(self) -> KeyAddress {
        (self.namespace, self.key)
    }

    /// The text for the caller.
    pub fn write(&self) -> String {
        serde_json::json!([self.total, self.namespace.labels(), &*self.key]).to_string()
    }

    /// The place that a receipt has given, in the scope that it was about.
    pub fn read(next: &str, scope: &Scope) -> Result<Self> {
        let malformed = |why: &str| Error::invalid(format!("`after` is not what a receipt gave as `next`: {why}"));
        let (total, labels, key): (u64, Vec<String>, String) =
            serde_json::from_str(next).map_err(|error| malformed(&error.to_string()))?;
        let namespace = Namespace::new(labels).map_err(|error| malformed(&error.to_string()))?;
        if !scope.interval().contains(namespace.encoded()) {
            return Err(malformed("it is a place in another scope; give the receipt of this one"));
        }
        Ok(Self { total, namespace, key: key.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_and_other_texts_are_refused() {
        let namespace = Namespace::new(["a\u{0}", "b/\"c"]).unwrap();
        let place = Place::new(7, &namespace, "k\n");
        assert_eq!(Place::read(&place.write(), &Scope::from(&namespace)).unwrap(), place);
        assert!(Place::read(&place.write(), &Scope::prefix(["b"]).unwrap()).is_err());
        for text in ["", "{}", "[]", "[1,[],\"k\"]", "[-1,[\"a\"],\"k\"]", "[1,[\"a\"]]", &"[".repeat(9_999)] {
            assert!(Place::read(text, &Scope::Store).is_err(), "{text:.20}");
        }
    }
}
