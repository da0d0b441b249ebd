//! The words of the data model: namespaces, scopes, vector spaces, items, and the limits of each.
//!
//! Reading order: `Namespace` and `Scope` here, then `interval` (ranges of encoded namespaces), `pattern` (which of
//! them match), `quota`.
//!
//! Invariants:
//! * A [`Namespace`] holds its *encoded* form: each label with `00` written as `00 FF`, ended by `00`, so byte order is
//!   tuple order and the interval of a prefix `P` is `[enc(P), enc(P) ++ FF)`. Nothing outside of this folder parses it.
//! * Values of these types were validated when they were made: a holder need not check their limits again.

mod interval;
mod item;
mod metric;
mod pattern;
mod quota;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

use crate::error::{Error, Limit, Result};

pub(crate) use interval::{Extent, Interval, KeyPosition};
pub(crate) use item::micros;
pub use item::{FieldVector, Hit, Item, Version};
pub use metric::{Metric, VectorSpace};
pub(crate) use pattern::{NamespacePattern, PatternFit, first_labels, label_ends};
pub(crate) use quota::{Growth, QuotaLimits, QuotaScope, Usage};
pub use quota::{Quota, QuotaUse};

/// The documented limits; going over one is [`ErrorKind::Limit`](crate::ErrorKind::Limit).
pub mod limits {
    /// Bytes of one label.
    pub const LABEL_BYTES: usize = 4 << 10;
    /// Labels of one namespace.
    pub const LABELS: usize = 64;
    /// Bytes of one key.
    pub const KEY_BYTES: usize = 1 << 20;
    /// Bytes of one value.
    pub const VALUE_BYTES: usize = 64 << 20;
    /// Nesting of a value or a filter.
    pub const DEPTH: usize = 128;
    /// Dimensions of a vector space.
    pub const DIMENSIONS: usize = 16_384;
    /// Vectors of one item.
    pub const VECTORS_PER_ITEM: usize = 4_096;
    /// Nodes of one filter.
    pub const FILTER_NODES: usize = 1_024;
    /// Values in all lists of one filter together: those of `$in`, `$nin` and `$all`, and keys.
    pub const FILTER_VALUES: usize = 1_000_000;
    /// Bytes of all literals of one filter together: a string counts its length, every other value 8.
    pub const FILTER_BYTES: usize = 64 << 20;
    /// Paths of one [`Select`](crate::Select).
    pub const SELECTED_PATHS: usize = 1_024;
    /// Operations of one batch.
    pub const BATCH_OPERATIONS: usize = 1_000_000;
    /// Bytes of one batch.
    pub const BATCH_BYTES: usize = 1 << 30;
    /// Items that one delete by filter, or one prune, deletes.
    pub const PRUNED_ITEMS: usize = 1_000_000;
    /// Items that one rename moves in one step.
    pub const RENAMED_ITEMS: usize = 50_000;
    /// Bytes of the items that one rename moves in one step, vectors included. A single item may be larger.
    pub const RENAMED_BYTES: usize = 64 << 20;
    /// Different values that one call counts.
    pub const DISTINCT_VALUES: usize = 1_000_000;
    /// Bytes of the different values that one call counts.
    pub const DISTINCT_BYTES: usize = 64 << 20;
    /// Quotas of one store. Together they have at most [`SETTING_BYTES`] as JSON.
    pub const QUOTAS: usize = 1_000;
    /// Settings of one store.
    pub const SETTINGS: usize = 64;
    /// Bytes of the name of a setting.
    pub const SETTING_NAME_BYTES: usize = 1 << 10;
    /// Bytes of one setting.
    pub const SETTING_BYTES: usize = 64 << 10;
    /// Paths that the field rules of one store exclude and force.
    pub const FIELD_RULES: usize = 128;
    /// Bytes of one of these paths.
    pub const FIELD_RULE_BYTES: usize = 256;
    /// The latest instant that an item may be given, in microseconds since 1970 UTC: the last one of the year 9999,
    /// where the calendars of most languages end. Later versions of the item still have room to rise.
    pub const INSTANT: i64 = 253_402_300_799_999_999;
    /// A vector whose squared norm is larger is refused, so that no score overflows.
    pub const SQUARED_NORM: f64 = 1e37;
}

/// "Never", for a point in time in microseconds.
pub(crate) const NEVER: i64 = i64::MAX;

/// When a write is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Durability {
    /// After it survives a power loss (group commit).
    #[default]
    Sync,
    /// After it survives a kill of the process; synced every [`Options::sync_every`](crate::Options::sync_every).
    Periodic,
    /// As soon as it is visible; durable after [`Store::sync`](crate::Store::sync).
    Manual,
}

/// An ordered, non-empty tuple of labels, e.g. `("users", "ada", "facts")`. Cheap to clone.
///
/// As text, a namespace is its labels joined by slashes: `users/ada/facts`. If a label holds a slash or begins with
/// `[`, the text is a JSON array of the labels instead: `["docs","a/b"]`. There is no other escape.
/// [`Display`](fmt::Display) writes this text, and [`FromStr`] reads it back as the same namespace. For `serde`, a
/// namespace is the sequence of its labels.
///
/// ```
/// use vecmem::Namespace;
///
/// let facts: Namespace = "users/ada/facts".parse()?;
/// assert_eq!(facts, Namespace::new(["users", "ada", "facts"])?);
/// assert_eq!(facts.to_string(), "users/ada/facts");
///
/// let docs = Namespace::new(["docs", "a/b"])?;
/// assert_eq!(docs.to_string(), r#"["docs","a/b"]"#);
/// assert_eq!(docs.to_string().parse::<Namespace>()?, docs);
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Namespace {
    encoded: Arc<[u8]>,
}

impl Namespace {
    /// The namespace of `labels`: 1 to 64 labels of 1 to 4,096 bytes each, any characters.
    pub fn new<L: AsRef<str>>(labels: impl IntoIterator<Item = L>) -> Result<Self> {
        let encoded = encode_labels(labels)?;
        if encoded.is_empty() {
            return Err(Error::invalid("a namespace needs at least one label"));
        }
        Ok(Self { encoded: encoded.into() })
    }

    /// The namespace whose encoded form was read from a file of the store.
    pub(crate) fn from_encoded(encoded: &[u8]) -> Self {
        Self { encoded: encoded.into() }
    }

    /// The encoded form: its byte order is the order of namespaces.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The labels, in order.
    pub fn labels(&self) -> Vec<String> {
        decode_labels(&self.encoded)
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels = self.labels();
        if labels.iter().any(|label| label.contains('/') || label.starts_with('[')) {
            return f.write_str(&serde_json::to_string(&labels).unwrap_or_default());
        }
        f.write_str(&labels.join("/"))
    }
}

impl FromStr for Namespace {
    type Err = Error;

    /// Reads `a/b/c`, or a JSON array of labels. Every label must be within the limits of [`Namespace::new`].
    fn from_str(text: &str) -> Result<Self> {
        Self::new(parse_labels(text)?)
    }
}

impl Serialize for Namespace {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.labels())
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.labels())
    }
}

/// The labels of `a/b/c` or of a JSON array of strings.
fn parse_labels(text: &str) -> Result<Vec<String>> {
    if text.starts_with('[') {
        return serde_json::from_str(text)
            .map_err(|error| Error::invalid(format!("namespace {text:?} is not a JSON array of strings: {error}")));
    }
    Ok(text.split('/').map(str::to_owned).collect())
}

/// Encodes labels; an empty sequence gives an empty encoding (the caller decides whether that is allowed).
pub(crate) fn encode_labels<L: AsRef<str>>(labels: impl IntoIterator<Item = L>) -> Result<Vec<u8>> {
    let mut encoded = Vec::new();
    for (count, label) in labels.into_iter().enumerate() {
        let label = label.as_ref();
        if count == limits::LABELS {
            return Err(Error::limit(Limit::Labels, "labels of a namespace", count + 1, limits::LABELS));
        }
        if label.is_empty() {
            return Err(Error::invalid(format!(
                "label {} of the namespace is empty; labels hold 1 to 4096 bytes",
                count + 1
            )));
        }
        if label.len() > limits::LABEL_BYTES {
            return Err(Error::limit(Limit::LabelBytes, "bytes of a label", label.len(), limits::LABEL_BYTES));
        }
        encode_label(&mut encoded, label.as_bytes());
    }
    Ok(encoded)
}

fn encode_label(encoded: &mut Vec<u8>, label: &[u8]) {
    for &byte in label {
        encoded.push(byte);
        if byte == 0 {
            encoded.push(0xFF);
        }
    }
    encoded.push(0);
}

/// The labels of an encoded namespace; bytes that are not UTF-8 (a damaged file) are replaced, never a panic.
pub(crate) fn decode_labels(encoded: &[u8]) -> Vec<String> {
    let mut labels = Vec::new();
    let mut label = Vec::new();
    let mut bytes = encoded.iter().peekable();
    while let Some(&byte) = bytes.next() {
        if byte != 0 {
            label.push(byte);
        } else if bytes.next_if_eq(&&0xFF).is_some() {
            label.push(0);
        } else {
            labels.push(String::from_utf8_lossy(&label).into_owned());
            label.clear();
        }
    }
    labels
}

/// Whether `encoded` is the encoding of 1 to 64 labels within the limits (the engine's own area included).
pub(crate) fn is_encoded_namespace(encoded: &[u8]) -> bool {
    let (mut labels, mut length, mut rest) = (0, 0, encoded);
    while let Some(zero) = rest.iter().position(|&byte| byte == 0) {
        // A NUL is a character of its own, so a label is UTF-8 when what lies between its NULs is.
        if std::str::from_utf8(&rest[..zero]).is_err() {
            return false;
        }
        length += zero;
        rest = &rest[zero + 1..];
        if let Some((&0xFF, after)) = rest.split_first() {
            rest = after;
            length += 1;
            continue;
        }
        labels += 1;
        let own_area = labels == 1 && length == 0;
        if labels > limits::LABELS || length > limits::LABEL_BYTES || (length == 0 && !own_area) {
            return false;
        }
        length = 0;
    }
    labels > 0 && length == 0 && rest.is_empty()
}

/// The namespace `("", name)`, in the engine's own area. No public read, list or count shows it.
pub(crate) fn system_namespace(name: &str) -> Namespace {
    let mut encoded = vec![0];
    encode_label(&mut encoded, name.as_bytes());
    Namespace { encoded: encoded.into() }
}

/// The namespaces that an operation covers: a read, a range delete, a purge or the build of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// One namespace, without the namespaces below it.
    Namespace(Namespace),
    /// The namespace itself, and every namespace whose labels begin with all of its labels.
    Prefix(Namespace),
    /// Every namespace of the store.
    Store,
}

impl Scope {
    /// The namespace with these labels and everything below it. An error without labels: use [`Scope::Store`].
    pub fn prefix<L: AsRef<str>>(labels: impl IntoIterator<Item = L>) -> Result<Self> {
        Namespace::new(labels)
            .map(Self::Prefix)
            .map_err(|error| error.context("a prefix (to reach everything, ask for the whole store)"))
    }

    /// The namespace, if the scope is exactly one.
    pub(crate) fn namespace(&self) -> Option<&Namespace> {
        if let Self::Namespace(namespace) = self { Some(namespace) } else { None }
    }

    /// The scope as text: `a/b` for a namespace, `a/b/` for a prefix, `*` for the store.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Namespace(namespace) => namespace.to_string(),
            Self::Prefix(namespace) => format!("{namespace}/"),
            Self::Store => "*".to_owned(),
        }
    }

    /// The interval of encoded namespaces that the scope covers.
    pub(crate) fn interval(&self) -> Interval {
        match self {
            Self::Namespace(namespace) => Interval::of_namespace(namespace.encoded()),
            Self::Prefix(namespace) => {
                let mut high = namespace.encoded().to_vec();
                high.push(0xFF);
                Interval { low: namespace.encoded().to_vec(), high }
            }
            Self::Store => Interval { low: vec![0x00, 0xFF], high: vec![0xFF] },
        }
    }
}

impl From<&Namespace> for Scope {
    fn from(namespace: &Namespace) -> Self {
        Self::Namespace(namespace.clone())
    }
}

/// What must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Condition {
    /// Write in any case.
    #[default]
    Always,
    /// Only if the key has no item (an expired one counts as none).
    IfAbsent,
    /// Only if the key's item has this version.
    IfVersion(Version),
}
