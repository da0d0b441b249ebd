//! Validation of writes, outside any lock and before anything is written. The commit tests conditions later.
//!
//! Invariants:
//! * Vectors have the store's dimensions, finite numbers and a squared norm of at most 1e37. Values are whole JSON
//!   objects without duplicate keys.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Limit, Result};
use crate::extensions::Extensions;
use crate::json::validate_object;
use crate::record::{CheckedPut, ItemContent, TextHash, Write, text_hash};
use crate::segment::truth::layout::StoreIdentity;
use crate::store::json_value::IntoJson;
use crate::types::{Condition, FieldVector, Namespace, VectorSpace, limits, micros};
use crate::words::counted;

/// A put under construction: namespace, key and value, then the optional properties of the item.
///
/// ```
/// use std::time::Duration;
/// use serde::Serialize;
/// use serde_json::json;
/// use vecmem::{Condition, Metric, Namespace, Options, Put, Store};
///
/// #[derive(Serialize)]
/// struct Fact<'a> {
///     text: &'a str,
/// }
///
/// let store = Store::temporary(Options::with_vectors(2, Metric::Cosine))?;
/// let facts = Namespace::new(["users", "ada", "facts"])?;
/// let hour = Duration::from_secs(3_600);
///
/// // The value: JSON text, a `serde_json::Value`, or whatever `serde` can write as a JSON object.
/// store.put(Put::new(&facts, "tea", r#"{"text": "drinks green tea"}"#).vector([0.9, 0.1]))?;
/// store.put(Put::new(&facts, "cat", json!({"text": "has a cat"})).vector([0.0, 1.0]).ttl(hour))?;
/// let version = store.put(Put::of(&facts, "rain", &Fact { text: "likes rain" })?.ttl(hour))?;
///
/// // Only if nobody has written the item meanwhile.
/// let unchanged = Condition::IfVersion(version);
/// store.put(Put::of(&facts, "rain", &Fact { text: "loves rain" })?.condition(unchanged))?;
/// assert!(store.put(Put::new(&facts, "rain", "{}").condition(unchanged)).is_err());
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Put {
    namespace: Namespace,
    key: String,
    json: String,
    vectors: Vec<(String, Vec<f32>)>,
    ttl: Option<Duration>,
    expires_at: Option<i64>,
    condition: Condition,
    created_at: Option<i64>,
    updated_at: Option<i64>,
    index_paths: Vec<String>,
    embedded: Option<(String, Vec<String>)>,
    extensions: Extensions,
}

impl Put {
    /// Puts a value under `key`. The put replaces an older item, vectors included. The value is a JSON object, as text
    /// or as a [`serde_json::Value`]; for other types see [`of`](Self::of).
    pub fn new(namespace: &Namespace, key: impl Into<String>, value: impl IntoJson) -> Self {
        Self {
            namespace: namespace.clone(),
            key: key.into(),
            json: value.into_json(),
            vectors: Vec::new(),
            ttl: None,
            expires_at: None,
            condition: Condition::Always,
            created_at: None,
            updated_at: None,
            index_paths: Vec::new(),
            embedded: None,
            extensions: Extensions::default(),
        }
    }

    /// Puts a value of any type that `serde` writes as a JSON object, such as a struct or a map, under `key`.
    ///
    /// Errors: `InvalidInput` if `value` cannot be written as JSON. The store refuses a value that is not an object.
    pub fn of<T: Serialize + ?Sized>(namespace: &Namespace, key: impl Into<String>, value: &T) -> Result<Self> {
        let key = key.into();
        match serde_json::to_string(value) {
            Ok(json) => Ok(Self::new(namespace, key, json)),
            Err(error) => Err(Error::invalid(format!(
                "the value of {:?} in {namespace} cannot be written as JSON: {error}",
                key.chars().take(64).collect::<String>()
            ))),
        }
    }

    /// The JSON object that is put.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The item's embedding: `dims` finite numbers.
    #[must_use]
    pub fn vector(self, values: impl Into<Vec<f32>>) -> Self {
        self.field_vector("", values)
    }

    /// One more embedding, of the field at `path`. The score of an item is the best score of its embeddings.
    #[must_use]
    pub fn field_vector(mut self, path: &str, values: impl Into<Vec<f32>>) -> Self {
        self.vectors.push((path.to_owned(), values.into()));
        self
    }

    /// The time to live: the item expires this long after the put, or after a read that refreshes it.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// When the item expires, in microseconds since 1970 UTC, for imports. Without this, the item's time to live
    /// decides, if it has one. A read that refreshes the item uses the time to live.
    #[must_use]
    pub fn expires_at(mut self, micros: i64) -> Self {
        self.expires_at = Some(micros);
        self
    }

    /// [`expires_at`](Self::expires_at) as an instant.
    #[must_use]
    pub fn expires(self, at: SystemTime) -> Self {
        self.expires_at(micros(at))
    }

    /// The condition under which the item is put.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    /// Microseconds since 1970 UTC, at most [`limits::INSTANT`]. Default: that of the replaced item, or `updated_at`.
    #[must_use]
    pub fn created_at(mut self, micros: i64) -> Self {
        self.created_at = Some(micros);
        self
    }

    /// Microseconds since 1970 UTC, at most [`limits::INSTANT`], for imports. Default: the time of the put.
    #[must_use]
    pub fn updated_at(mut self, micros: i64) -> Self {
        self.updated_at = Some(micros);
        self
    }

    /// [`created_at`](Self::created_at) as an instant.
    #[must_use]
    pub fn created(self, at: SystemTime) -> Self {
        self.created_at(micros(at))
    }

    /// [`updated_at`](Self::updated_at) as an instant.
    #[must_use]
    pub fn updated(self, at: SystemTime) -> Self {
        self.updated_at(micros(at))
    }

    /// The field paths that were chosen for embedding, kept beside the item.
    #[must_use]
    pub fn index_paths<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        self.index_paths = paths.into_iter().map(str::to_owned).collect();
        self
    }

    /// The texts that `model` embedded: one for each vector, in the order of the vectors. While this version of the
    /// item lives, [`Store::known_embeddings`](crate::Store::known_embeddings) can find the vectors by text. The store
    /// keeps only a hash of each text.
    #[must_use]
    pub fn embedded<'a>(mut self, model: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.embedded = Some((model.to_owned(), texts.into_iter().map(str::to_owned).collect()));
        self
    }

    /// An extension that a later version of vecmem keeps with the item. A version that does not know its kind refuses
    /// the item or carries the extension along. For imports and copies of a
    /// [`StoredItem`](crate::StoredItem): an application has no kinds of its own.
    #[must_use]
    pub fn extension(mut self, kind: u16, must_understand: bool, bytes: &[u8]) -> Self {
        self.extensions = self.extensions.with(kind, must_understand, bytes);
        self
    }

    fn text_hashes(&self, secret: [u64; 2]) -> Result<Vec<TextHash>> {
        let Some((model, texts)) = &self.embedded else { return Ok(Vec::new()) };
        if texts.len() != self.vectors.len() {
            let (texts, vectors) = (counted(texts.len(), "embedded text"), counted(self.vectors.len(), "vector"));
            let message = format!("{texts} for {vectors}; give one text for each vector, in order");
            return Err(Error::invalid(message));
        }
        Ok(texts.iter().map(|text| text_hash(secret, model, text)).collect())
    }

    pub(super) fn into_write(self, keys: &StoreIdentity) -> Result<Write> {
        let place = format!("{:?} in {}", self.key.chars().take(64).collect::<String>(), self.namespace);
        let checked = || -> Result<CheckedPut> {
            check_key(&self.key)?;
            if self.json.len() > limits::VALUE_BYTES {
                return Err(Error::limit(
                    Limit::ValueBytes,
                    "bytes of the value",
                    self.json.len(),
                    limits::VALUE_BYTES,
                ));
            }
            validate_object(self.json.as_bytes(), limits::DEPTH).map_err(|error| error.context("the value"))?;
            if self.vectors.len().max(self.index_paths.len()) > limits::VECTORS_PER_ITEM {
                let (found, maximum) = (self.vectors.len().max(self.index_paths.len()), limits::VECTORS_PER_ITEM);
                return Err(Error::limit(Limit::VectorsPerItem, "vectors or index paths of the item", found, maximum));
            }
            let text_hashes = self.text_hashes(keys.secret)?;
            let vectors = self.vectors.into_iter().map(|(path, values)| {
                check_vector(keys.space, &values)?;
                check_path(&path)?;
                Ok(FieldVector { path: path.into(), values: values.into() })
            });
            let index_paths = self.index_paths.iter().map(|path| check_path(path).map(|()| Arc::from(path.as_str())));
            Ok(CheckedPut {
                content: Arc::new(ItemContent {
                    vectors: vectors.collect::<Result<_>>()?,
                    index_paths: index_paths.collect::<Result<_>>()?,
                    namespace: self.namespace,
                    key: self.key.into(),
                    value: self.json.into(),
                    ttl: ttl_micros(self.ttl)?,
                    text_hashes,
                    space: keys.space_id,
                    extensions: self.extensions,
                }),
                expires_at: self.expires_at,
                condition: self.condition,
                created_at: check_instant("created_at", self.created_at)?,
                updated_at: check_instant("updated_at", self.updated_at)?,
            })
        };
        checked().map(Write::Put).map_err(|error| error.context(place))
    }
}

fn ttl_micros(ttl: Option<Duration>) -> Result<i64> {
    match ttl {
        None => Ok(0),
        Some(ttl) if ttl.as_micros() == 0 => {
            Err(Error::invalid("the time to live is zero; leave it out for an item that stays"))
        }
        Some(ttl) => Ok(i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)),
    }
}

/// A validated delete.
pub(super) fn delete(namespace: &Namespace, key: &str, condition: Condition) -> Result<Write> {
    check_key(key)?;
    Ok(Write::Delete { namespace: namespace.clone(), key: key.into(), condition })
}

/// A validated put.
pub(super) fn put(put: Put, keys: &StoreIdentity) -> Result<Write> {
    put.into_write(keys)
}

pub(super) fn bytes_of(write: &Write) -> usize {
    match write {
        Write::Put(put) => {
            let vectors: usize =
                put.vectors.iter().map(|vector| vector.path.len() + 4 * vector.values.len() + 16).sum();
            let paths: usize = put.index_paths.iter().map(|path| path.len() + 4).sum();
            put.namespace.encoded().len()
                + put.key.len()
                + put.value.len()
                + vectors
                + paths
                + 16 * put.text_hashes.len()
                + 64
        }
        other => other.address().map_or(64, |(namespace, key)| namespace.encoded().len() + key.len() + 16),
    }
}

pub(super) fn check_key(key: &str) -> Result<()> {
    if key.len() > limits::KEY_BYTES {
        return Err(Error::limit(Limit::KeyBytes, "bytes of the key", key.len(), limits::KEY_BYTES));
    }
    Ok(())
}

fn check_instant(name: &str, micros: Option<i64>) -> Result<Option<i64>> {
    match micros {
        Some(micros) if micros > limits::INSTANT => Err(Error::invalid(format!(
            "{name} is {micros} microseconds since 1970, beyond the year 9999; give an earlier time"
        ))),
        _ => Ok(micros),
    }
}

fn check_path(path: &str) -> Result<()> {
    if path.len() > limits::LABEL_BYTES {
        return Err(Error::limit(Limit::LabelBytes, "bytes of a field path", path.len(), limits::LABEL_BYTES));
    }
    Ok(())
}

/// Checks a vector. Every vector of a put or a query passes this check.
pub(super) fn check_vector(space: Option<VectorSpace>, values: &[f32]) -> Result<()> {
    let Some(space) = space else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "this store has no vector space; open it with one (dimensions and a metric) to keep vectors",
        ));
    };
    if values.len() != space.dims {
        return Err(Error::invalid(format!(
            "a vector has {}, the store's vectors have {}",
            counted(values.len(), "dimension"),
            space.dims
        )));
    }
    // Without an early exit the compiler can vectorize the loop. A number that is not finite makes the sum not finite.
    let (chunks, rest) = values.as_chunks::<8>();
    let mut lanes = [0.0_f64; 8];
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(lane, &value)| *lane += f64::from(value) * f64::from(value));
    }
    let squared: f64 = lanes.into_iter().chain(rest.iter().map(|&value| f64::from(value) * f64::from(value))).sum();
    if squared <= limits::SQUARED_NORM {
        return Ok(());
    }
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        return Err(Error::invalid(format!("element {index} of a vector is {}, not a finite number", values[index])));
    }
    Err(Error::invalid(format!("the squared norm of a vector is {squared:e}; scale it below 1e37")))
}
