//! Where an import has written: kept beside its checkpoint, so that a range delete can tell whether it covers all of
//! it.
//!
//! Invariants:
//! * A reach names no label. It has hashes of labels, keyed with the store's secret, so a purge of the namespaces need
//!   not erase it.
//! * A reach may be wider than what was written, never narrower.
//!
//! # Format
//!
//! The bytes of the row extension `IMPORT_REACH`, little endian: a u8, 0 for several namespaces, 1 for exactly one, 2
//! for none; then for each label that all namespaces begin with a u64, the hash of that label and those before it. A
//! checkpoint without the extension may have written everywhere.

use std::cmp::Ordering;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::types::{Interval, Namespace, Scope, encode_labels};

const SEVERAL: u8 = 0;
const ONE: u8 = 1;
const NONE: u8 = 2;

/// The namespaces that an import has written, as far as a range delete has to know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ImportReach {
    /// `SEVERAL`, `ONE` or `NONE`.
    count: u8,
    /// Hashes of the labels that all namespaces begin with: of the first, of the first two, and so on.
    prefixes: Vec<u64>,
}

impl ImportReach {
    /// Nothing is written yet.
    pub fn nothing() -> Self {
        Self { count: NONE, prefixes: Vec::new() }
    }

    /// What was written is not known.
    pub fn everywhere() -> Self {
        Self { count: SEVERAL, prefixes: Vec::new() }
    }

    /// The reach of these namespaces.
    pub fn of<'n>(secret: [u64; 2], namespaces: impl Iterator<Item = &'n Namespace>) -> Self {
        let mut ends: Option<(&Namespace, &Namespace)> = None;
        for namespace in namespaces {
            ends = Some(match ends {
                None => (namespace, namespace),
                Some((first, last)) => match (namespace.cmp(first), namespace.cmp(last)) {
                    (Ordering::Less, _) => (namespace, last),
                    (_, Ordering::Greater) => (first, namespace),
                    _ => (first, last),
                },
            });
        }
        // Namespaces between two that begin with the same labels begin with them too.
        ends.map_or_else(Self::nothing, |(first, last)| {
            if first == last {
                Self::of_one(secret, first)
            } else {
                Self::of_one(secret, first).and(Self::of_one(secret, last))
            }
        })
    }

    fn of_one(secret: [u64; 2], namespace: &Namespace) -> Self {
        let labels = namespace.labels();
        let prefixes = (1..=labels.len()).filter_map(|count| encode_labels(&labels[..count]).ok());
        Self { count: ONE, prefixes: prefixes.map(|encoded| hash(secret, &encoded)).collect() }
    }

    /// The smallest reach that has both.
    pub fn and(self, other: Self) -> Self {
        match (self.count, other.count) {
            (NONE, _) => other,
            (_, NONE) => self,
            (ONE, ONE) if self == other => self,
            _ => {
                let shared = self.prefixes.iter().zip(&other.prefixes).take_while(|(one, two)| one == two).count();
                Self { count: SEVERAL, prefixes: self.prefixes[..shared].to_vec() }
            }
        }
    }

    /// Whether every namespace of the reach lies in the interval of a range delete.
    pub fn is_covered_by(&self, interval: &Interval, secret: [u64; 2]) -> bool {
        let everything = Scope::Store.interval();
        if interval.low <= everything.low && interval.high >= everything.high {
            return true;
        }
        if let Some(namespace) = interval.namespace() {
            return self.count == ONE && self.prefixes.last() == Some(&hash(secret, namespace));
        }
        let is_prefix = interval.high.split_last() == Some((&0xFF, interval.low.as_slice()));
        self.count != NONE && is_prefix && self.prefixes.contains(&hash(secret, &interval.low))
    }

    /// The bytes of the extension.
    pub fn encode(&self) -> Vec<u8> {
        let hashes = self.prefixes.iter().flat_map(|hash| hash.to_le_bytes());
        std::iter::once(self.count).chain(hashes).collect()
    }

    /// The reach that an extension holds. Bytes in another form, which a later version may have written, and an absent
    /// extension mean everywhere.
    pub fn decode(bytes: Option<&[u8]>) -> Self {
        let Some((&count @ (SEVERAL | ONE | NONE), hashes)) = bytes.and_then(<[u8]>::split_first) else {
            return Self::everywhere();
        };
        match hashes.as_chunks::<8>() {
            (hashes, []) => Self { count, prefixes: hashes.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect() },
            _ => Self::everywhere(),
        }
    }
}

fn hash(secret: [u64; 2], encoded: &[u8]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(!secret[0], !secret[1]);
    hasher.write(encoded);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: [u64; 2] = [3, 4];

    fn namespace(labels: &str) -> Namespace {
        Namespace::new(labels.split('/')).unwrap()
    }

    fn reach(names: &[&str]) -> ImportReach {
        let namespaces: Vec<Namespace> = names.iter().map(|name| namespace(name)).collect();
        ImportReach::of(SECRET, namespaces.iter())
    }

    #[test]
    fn a_scope_covers_a_reach_if_it_has_all_of_its_namespaces() {
        let scopes = [
            ("*", Scope::Store),
            ("a", Scope::Namespace(namespace("a"))),
            ("a/", Scope::Prefix(namespace("a"))),
            ("a/b", Scope::Namespace(namespace("a/b"))),
            ("a/b/", Scope::Prefix(namespace("a/b"))),
            ("a/b/c/", Scope::Prefix(namespace("a/b/c"))),
        ];
        let table: [(&[&str], &[&str]); 8] = [
            (&[], &["*"]),
            (&["a"], &["*", "a", "a/"]),
            (&["a/b"], &["*", "a/", "a/b", "a/b/"]),
            (&["a/b", "a/b", "a/b"], &["*", "a/", "a/b", "a/b/"]),
            (&["a/b", "a/b/c"], &["*", "a/", "a/b/"]),
            (&["a/c", "a/b", "a/b/c"], &["*", "a/"]),
            (&["a", "a/b"], &["*", "a/"]),
            (&["b", "a/b"], &["*"]),
        ];
        for (names, covering) in table {
            let whole = reach(names);
            // The same in parts.
            let parts = names.iter().fold(ImportReach::nothing(), |all, name| all.and(reach(&[name])));
            assert_eq!(parts, whole, "{names:?}");
            assert_eq!(ImportReach::decode(Some(&whole.encode())), whole);
            let found: Vec<&str> = scopes
                .iter()
                .filter(|(_, scope)| whole.is_covered_by(&scope.interval(), SECRET))
                .map(|(name, _)| *name)
                .collect();
            assert_eq!(found, covering, "{names:?}");
        }
    }

    #[test]
    fn bytes_in_another_form_mean_everywhere() {
        for bytes in [None, Some(&[][..]), Some(&[3][..]), Some(&[1, 2, 3][..])] {
            assert_eq!(ImportReach::decode(bytes), ImportReach::everywhere());
        }
        let everywhere = ImportReach::everywhere();
        assert!(everywhere.is_covered_by(&Scope::Store.interval(), SECRET));
        assert!(!everywhere.is_covered_by(&Scope::Prefix(namespace("a")).interval(), SECRET));
    }
}
