//! What reads return: items, their versions, vectors and times, and hits.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::error::{Error, Result};
use crate::types::Namespace;

/// The version of an item. It changes with every write of the item, is opaque, and compares for equality only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct Version(pub(crate) u64);

impl Version {
    /// The number behind the version, for a caller that must carry it through text.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The version that [`to_u64`](Self::to_u64) gave.
    pub fn from_u64(number: u64) -> Self {
        Self(number)
    }
}

/// One embedding of an item, tagged with the field it embeds (`""` when there is only one).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldVector {
    /// The field path, e.g. `text` or `notes.0`.
    #[serde(serialize_with = "text")]
    pub path: Arc<str>,
    /// `dims` finite numbers.
    pub values: Box<[f32]>,
}

/// A stored memory, as a read returns it.
///
/// For `serde` it is a map of its fields: the namespace as labels, the value as the JSON object that it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The namespace of the item.
    pub namespace: Namespace,
    /// The key of the item, unique in the namespace.
    pub key: String,
    /// The JSON object, byte for byte as given.
    pub value: Box<str>,
    /// Microseconds since 1970 UTC; kept when the item is replaced. See [`created`](Self::created).
    pub created_at: i64,
    /// Microseconds since 1970 UTC; strictly rising with each write of the item. See [`updated`](Self::updated).
    pub updated_at: i64,
    /// The item's own time to live, in microseconds. See [`time_to_live`](Self::time_to_live).
    pub ttl: Option<i64>,
    /// Microseconds since 1970 UTC after which the item is gone. See [`expires`](Self::expires).
    pub expires_at: Option<i64>,
    /// Changes with every write of the item.
    pub version: Version,
    /// The embeddings, when `include_vectors` asked for them.
    pub vectors: Vec<FieldVector>,
}

impl Item {
    /// When the item was first put.
    pub fn created(&self) -> SystemTime {
        instant(self.created_at)
    }

    /// When the item was last put.
    pub fn updated(&self) -> SystemTime {
        instant(self.updated_at)
    }

    /// When the item is gone, if it expires.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires_at.map(instant)
    }

    /// The item's time to live, if it has one. It counts from the put or from the last read that refreshed the item.
    pub fn time_to_live(&self) -> Option<Duration> {
        self.ttl.map(|micros| Duration::from_micros(micros.max(0).unsigned_abs()))
    }

    /// The value as a Rust type.
    pub fn value_as<T: serde::de::DeserializeOwned>(&self) -> Result<T> {
        serde_json::from_str(&self.value).map_err(|error| {
            Error::invalid(format!("the value of {}/{:?} is not of that type: {error}", self.namespace, self.key))
        })
    }
}

/// One result of a search: an item and how similar it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hit {
    /// Larger is better, in every metric; `None` for an item without vectors
    /// ([`include_unscored`](crate::Query::include_unscored)) and in a search without a vector.
    pub score: Option<f32>,
    /// The item.
    pub item: Item,
}

/// The instant of `micros` microseconds since 1970 UTC; 1970 itself if the system cannot represent the instant.
fn instant(micros: i64) -> SystemTime {
    let span = Duration::from_micros(micros.unsigned_abs());
    let instant = if micros < 0 { UNIX_EPOCH.checked_sub(span) } else { UNIX_EPOCH.checked_add(span) };
    instant.unwrap_or(UNIX_EPOCH)
}

/// Microseconds since 1970 UTC, rounded down and clamped to `i64`.
pub(crate) fn micros(instant: SystemTime) -> i64 {
    match instant.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => {
            let nanos = before.duration().as_nanos().div_ceil(1_000);
            i64::try_from(nanos).map_or(i64::MIN, |micros| -micros)
        }
    }
}

fn text<S: Serializer>(text: &Arc<str>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}
