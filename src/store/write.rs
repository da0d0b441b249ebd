//! The door for writes: everything is checked here, outside any lock, and a refused write has written nothing.
//!
//! Invariants:
//! * Of several operations of a batch on one key, the last one is written; the conditions of all are tested, against the
//!   state before the batch.
//! * Vectors have the store's dimensions, finite numbers and a squared norm of at most 1e37; values are whole JSON objects
//!   without duplicate keys.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Limit, Result};
use crate::extensions::Extensions;
use crate::json::validate_object;
use crate::record::{TextHash, operation_hash, text_hash};
use crate::segment::layout::StoreKeys;
use crate::shard::decide::{PutWrite, Write, Written};
use crate::shard::operation_ids::OperationId;
use crate::types::{Condition, FieldVector, Namespace, VectorSpace, Version, limits, own_namespace};

/// A put under construction: namespace, key and JSON, then what else the item has.
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
    /// Puts the JSON object `json` under `key`; replaces what was there, vectors included.
    pub fn new(namespace: &Namespace, key: impl Into<String>, json: impl Into<String>) -> Self {
        Self {
            namespace: namespace.clone(),
            key: key.into(),
            json: json.into(),
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

    /// The JSON object that is put.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The item's embedding: `dims` finite numbers.
    #[must_use]
    pub fn vector(self, values: impl Into<Vec<f32>>) -> Self {
        self.field_vector("", values)
    }

    /// One more embedding, of the field at `path`; the item's score is that of its best one.
    #[must_use]
    pub fn field_vector(mut self, path: &str, values: impl Into<Vec<f32>>) -> Self {
        self.vectors.push((path.to_owned(), values.into()));
        self
    }

    /// The item is gone this long after the put (or after a read that refreshes it).
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// When the item is gone, in microseconds since 1970 UTC, for imports; else its time to live decides, if it has one. A read that
    /// refreshes still goes by the time to live.
    #[must_use]
    pub fn expires_at(mut self, micros: i64) -> Self {
        self.expires_at = Some(micros);
        self
    }

    /// What must hold for the put to happen.
    #[must_use]
    pub fn condition(mut self, condition: Condition) -> Self {
        self.condition = condition;
        self
    }

    /// Microseconds since 1970 UTC, at most [`limits::INSTANT`], for imports; else the clock decides.
    #[must_use]
    pub fn created_at(mut self, micros: i64) -> Self {
        self.created_at = Some(micros);
        self
    }

    /// Microseconds since 1970 UTC, at most [`limits::INSTANT`], for imports; else the clock decides.
    #[must_use]
    pub fn updated_at(mut self, micros: i64) -> Self {
        self.updated_at = Some(micros);
        self
    }

    /// The field paths that were chosen for embedding, kept beside the item.
    #[must_use]
    pub fn index_paths<'a>(mut self, paths: impl IntoIterator<Item = &'a str>) -> Self {
        self.index_paths = paths.into_iter().map(str::to_owned).collect();
        self
    }

    /// What the vectors are embeddings of: one text each, in their order, made by `model`. As long as this version of the item lives,
    /// [`Store::known_embeddings`](crate::Store::known_embeddings) knows them. Of a text, only a hash is kept.
    #[must_use]
    pub fn embedded<'a>(mut self, model: &str, texts: impl IntoIterator<Item = &'a str>) -> Self {
        self.embedded = Some((model.to_owned(), texts.into_iter().map(str::to_owned).collect()));
        self
    }

    /// Something that a later version keeps with the item; one that does not know the kind refuses it or carries it along. For tests.
    #[doc(hidden)]
    #[must_use]
    pub fn extension(mut self, kind: u16, must_understand: bool, bytes: &[u8]) -> Self {
        self.extensions = self.extensions.with(kind, must_understand, bytes);
        self
    }

    fn text_hashes(&self, secret: [u64; 2]) -> Result<Vec<TextHash>> {
        let Some((model, texts)) = &self.embedded else { return Ok(Vec::new()) };
        if texts.len() != self.vectors.len() {
            let (texts, vectors) = (texts.len(), self.vectors.len());
            let message =
                format!("{texts} embedded texts for {vectors} vectors; give one text for each vector, in order");
            return Err(Error::invalid(message));
        }
        Ok(texts.iter().map(|text| text_hash(secret, model, text)).collect())
    }

    fn into_write(self, keys: &StoreKeys) -> Result<Write> {
        let place = format!("{:?} in {}", self.key.chars().take(64).collect::<String>(), self.namespace);
        let checked = || -> Result<PutWrite> {
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
            Ok(PutWrite {
                vectors: vectors.collect::<Result<_>>()?,
                index_paths: index_paths.collect::<Result<_>>()?,
                namespace: self.namespace,
                key: self.key.into(),
                value: self.json.into(),
                ttl: ttl_micros(self.ttl)?,
                expires_at: self.expires_at,
                condition: self.condition,
                created_at: check_instant("created_at", self.created_at)?,
                updated_at: check_instant("updated_at", self.updated_at)?,
                text_hashes,
                space: keys.space_id,
                extensions: self.extensions,
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

/// What a batch did for one of its operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// The item was written; its version.
    Put(Version),
    /// Whether there was an item to delete.
    Deleted(bool),
    /// A later operation of the batch wrote the same key.
    Superseded,
    /// The batch was applied before, under the same [`Batch::operation_id`], and was not applied again. The version is that of its last
    /// operation.
    Repeated(Version),
}

#[derive(Clone, Debug)]
enum Entry {
    Put(Box<Put>),
    Delete { namespace: Namespace, key: String, condition: Condition },
}

/// Operations that happen together or not at all, across namespaces.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    entries: Vec<Entry>,
    marks: Vec<(String, String)>,
    operation_id: Option<String>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, put: Put) -> &mut Self {
        self.entries.push(Entry::Put(Box::new(put)));
        self
    }

    /// Adds a delete; a key without an item is no error.
    pub fn delete(&mut self, namespace: &Namespace, key: &str) -> &mut Self {
        self.delete_if(namespace, key, Condition::Always)
    }

    /// Adds a delete that fails the batch unless `condition` holds.
    pub fn delete_if(&mut self, namespace: &Namespace, key: &str, condition: Condition) -> &mut Self {
        self.entries.push(Entry::Delete { namespace: namespace.clone(), key: key.to_owned(), condition });
        self
    }

    /// Keeps the JSON object `json` as the progress of an import of `source`, in the same all or nothing.
    pub fn import_mark(&mut self, source: &str, json: &str) -> &mut Self {
        self.marks.push((source.to_owned(), json.to_owned()));
        self
    }

    /// A name that the caller gives this batch, 1 to 4,096 bytes, so that it can be sent again where its acknowledgement was lost: a
    /// batch of a name that was applied is not applied again, and says so ([`WriteResult::Repeated`]). Names are remembered, across
    /// crashes and reopens, for a million batches or a day, whichever ends first. A batch that changed nothing is not remembered.
    pub fn operation_id(&mut self, id: &str) -> &mut Self {
        self.operation_id = Some(id.to_owned());
        self
    }

    /// The hash of its name.
    pub(super) fn checked_operation_id(&self, secret: [u64; 2]) -> Result<Option<OperationId>> {
        match &self.operation_id {
            None => Ok(None),
            Some(id) if id.is_empty() => {
                Err(Error::invalid("the operation id is empty; leave it out or give it a name"))
            }
            Some(id) if id.len() > limits::LABEL_BYTES => {
                Err(Error::limit(Limit::LabelBytes, "bytes of the operation id", id.len(), limits::LABEL_BYTES))
            }
            Some(id) => Ok(Some(operation_hash(secret, id))),
        }
    }

    /// Operations added so far.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks everything. Returns the writes, and for each operation the position of its write (`None`: superseded).
    pub(super) fn into_writes(self, keys: &StoreKeys) -> Result<(Vec<Write>, Vec<Option<usize>>)> {
        let count = self.entries.len() + self.marks.len();
        if count > limits::BATCH_OPERATIONS {
            return Err(Error::limit(
                Limit::BatchOperations,
                "operations of the batch",
                count,
                limits::BATCH_OPERATIONS,
            ));
        }
        let mut writes = self.entries.into_iter().map(|entry| entry.into_write(keys)).collect::<Result<Vec<_>>>()?;
        let operations = writes.len();
        for (source, json) in self.marks {
            writes.push(Put::new(&own_namespace("import"), source, json).into_write(keys)?);
        }
        let bytes: usize = writes.iter().map(bytes_of).sum();
        if bytes > limits::BATCH_BYTES {
            return Err(Error::limit(Limit::BatchBytes, "bytes of the batch", bytes, limits::BATCH_BYTES));
        }
        let positions = last_of_each_key(&mut writes);
        Ok((writes, positions.into_iter().take(operations).collect()))
    }
}

impl Entry {
    fn into_write(self, keys: &StoreKeys) -> Result<Write> {
        match self {
            Self::Put(put) => put.into_write(keys),
            Self::Delete { namespace, key, condition } => delete(&namespace, &key, condition),
        }
    }
}

/// A delete that has passed the door.
pub(super) fn delete(namespace: &Namespace, key: &str, condition: Condition) -> Result<Write> {
    check_key(key)?;
    Ok(Write::Delete { namespace: namespace.clone(), key: key.into(), condition })
}

/// A put that has passed the door.
pub(super) fn put(put: Put, keys: &StoreKeys) -> Result<Write> {
    put.into_write(keys)
}

/// Turns every write that a later one replaces into the test of its condition, or drops it; where each one went.
pub(super) fn last_of_each_key(writes: &mut Vec<Write>) -> Vec<Option<usize>> {
    let mut last: HashMap<(Namespace, Box<str>), usize> = HashMap::with_capacity(writes.len());
    for (index, write) in writes.iter().enumerate() {
        if let Some((namespace, key)) = write.address() {
            last.insert((namespace.clone(), key.into()), index);
        }
    }
    let mut positions = Vec::with_capacity(writes.len());
    let mut kept = Vec::with_capacity(writes.len());
    for (index, write) in std::mem::take(writes).into_iter().enumerate() {
        let is_last =
            write.address().is_none_or(|(namespace, key)| last.get(&(namespace.clone(), key.into())) == Some(&index));
        positions.push(is_last.then_some(kept.len()));
        if is_last {
            kept.push(write);
        } else if let Some(check) = condition_of(write) {
            kept.push(check);
        }
    }
    *writes = kept;
    positions
}

fn condition_of(write: Write) -> Option<Write> {
    let (namespace, key, condition) = match write {
        Write::Put(put) => (put.namespace, put.key, put.condition),
        Write::Delete { namespace, key, condition } => (namespace, key, condition),
        _ => return None,
    };
    (condition != Condition::Always).then_some(Write::Check { namespace, key, condition })
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

/// What a batch reports for each of its operations.
pub(super) fn results(written: &[Written], positions: &[Option<usize>]) -> Vec<WriteResult> {
    let result = |position: &Option<usize>| match position.and_then(|at| written.get(at)) {
        Some(Written::Put(version)) => WriteResult::Put(*version),
        Some(Written::Deleted(found)) => WriteResult::Deleted(*found),
        Some(Written::Repeated(version)) => WriteResult::Repeated(*version),
        Some(Written::Other) | None => WriteResult::Superseded,
    };
    positions.iter().map(result).collect()
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

/// The one check of every vector that enters, stored or asked with.
pub(super) fn check_vector(space: Option<VectorSpace>, values: &[f32]) -> Result<()> {
    let Some(space) = space else {
        return Err(Error::new(
            ErrorKind::InvalidInput,
            "this store has no vector space; open it with one (dimensions and a metric) to keep vectors",
        ));
    };
    if values.len() != space.dims {
        return Err(Error::invalid(format!(
            "a vector has {} dimensions, the store's vectors have {}",
            values.len(),
            space.dims
        )));
    }
    // Without an early exit the loop has no branch and runs on whole registers. What is not finite makes the sum so.
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
