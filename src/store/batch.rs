//! Batches: operations that happen together or not at all.
//!
//! Invariants:
//! * Of several operations of a batch on one key, the last one is written. The conditions of all of them are tested
//!   against the state before the batch.

use std::collections::HashMap;
use std::sync::Arc;

use crate::engine::operation_ids::OperationId;
use crate::error::{Error, Limit, Result};
use crate::record::{CHECKPOINTS, Write, WriteOutcome, operation_hash};
use crate::segment::truth::layout::StoreIdentity;
use crate::store::write::{Put, bytes_of, delete};
use crate::types::{Condition, Namespace, Version, limits, system_namespace};

/// The result of one operation of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// The item was written; its version.
    Put(Version),
    /// Whether there was an item to delete.
    Deleted(bool),
    /// A later operation of the batch wrote the same key.
    Superseded,
    /// The batch was applied before, under the same [`Batch::operation_id`], and was not applied again. The version is
    /// that of its last operation.
    Repeated(Version),
}

#[derive(Clone, Debug)]
enum BatchEntry {
    Put(Box<Put>),
    Delete { namespace: Namespace, key: String, condition: Condition },
}

/// Operations that happen together or not at all, across namespaces.
///
/// ```
/// use vecmem::{Batch, Condition, ErrorKind, Namespace, Options, Put, Store};
///
/// let store = Store::temporary(Options::new())?;
/// let (inbox, done) = (Namespace::new(["inbox"])?, Namespace::new(["done"])?);
/// let version = store.put(Put::new(&inbox, "letter", r#"{"from": "Bob"}"#))?;
///
/// // Moves the letter, if nobody has touched it meanwhile.
/// let mut batch = Batch::new();
/// batch.put(Put::new(&done, "letter", r#"{"from": "Bob"}"#).condition(Condition::IfAbsent));
/// batch.delete_if(&inbox, "letter", Condition::IfVersion(version));
/// store.batch(batch.clone())?;
/// assert!(store.get(&inbox, "letter")?.is_none() && store.get(&done, "letter")?.is_some());
///
/// // Sent again: the conditions do not hold any more, so nothing is written.
/// assert_eq!(store.batch(batch).unwrap_err().kind(), ErrorKind::ConditionFailed);
/// # Ok::<(), vecmem::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Batch {
    entries: Vec<BatchEntry>,
    checkpoints: Vec<(String, String)>,
    operation_id: Option<String>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, put: Put) -> &mut Self {
        self.entries.push(BatchEntry::Put(Box::new(put)));
        self
    }

    /// Adds a delete; a key without an item is no error.
    pub fn delete(&mut self, namespace: &Namespace, key: &str) -> &mut Self {
        self.delete_if(namespace, key, Condition::Always)
    }

    /// Adds a delete that fails the batch unless `condition` holds.
    pub fn delete_if(&mut self, namespace: &Namespace, key: &str, condition: Condition) -> &mut Self {
        self.entries.push(BatchEntry::Delete { namespace: namespace.clone(), key: key.to_owned(), condition });
        self
    }

    /// Stores the JSON object `json` as the checkpoint of an import of `source`, atomically with the batch.
    /// [`Store::delete_everything`](crate::Store::delete_everything) deletes it.
    pub fn import_checkpoint(&mut self, source: &str, json: &str) -> &mut Self {
        self.checkpoints.push((source.to_owned(), json.to_owned()));
        self
    }

    /// Gives the batch a name of 1 to 4,096 bytes, so that it can be sent again if the acknowledgement was lost.
    /// If a batch with this name was applied before, this one is not applied, and its results are
    /// [`WriteResult::Repeated`]. Names are remembered, across crashes and reopens, for a million batches or a day,
    /// whichever ends first. A batch that changed nothing is not remembered.
    pub fn operation_id(&mut self, id: &str) -> &mut Self {
        self.operation_id = Some(id.to_owned());
        self
    }

    /// The hash of the batch's name, if it has one. Fails if the name is empty or too long.
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

    /// Whether no operation was added.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks the batch. Returns the writes, and for each operation the position of its write, or `None` if a later
    /// operation supersedes it.
    pub(super) fn into_writes(self, keys: &StoreIdentity) -> Result<(Vec<Write>, Vec<Option<usize>>)> {
        let count = self.entries.len() + self.checkpoints.len();
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
        for (source, json) in self.checkpoints {
            writes.push(Put::new(&system_namespace(CHECKPOINTS), source, json).into_write(keys)?);
        }
        let bytes: usize = writes.iter().map(bytes_of).sum();
        if bytes > limits::BATCH_BYTES {
            return Err(Error::limit(Limit::BatchBytes, "bytes of the batch", bytes, limits::BATCH_BYTES));
        }
        let positions = last_of_each_key(&mut writes);
        Ok((writes, positions.into_iter().take(operations).collect()))
    }
}

impl BatchEntry {
    fn into_write(self, keys: &StoreIdentity) -> Result<Write> {
        match self {
            Self::Put(put) => put.into_write(keys),
            Self::Delete { namespace, key, condition } => delete(&namespace, &key, condition),
        }
    }
}

/// Replaces each write that a later one supersedes by a check of its condition, or drops it if it has none. Returns the
/// new position of each write, or `None` if it was superseded.
pub(super) fn last_of_each_key(writes: &mut Vec<Write>) -> Vec<Option<usize>> {
    let mut last: HashMap<(Namespace, Arc<str>), usize> = HashMap::with_capacity(writes.len());
    for (index, write) in writes.iter().enumerate() {
        if let Some((namespace, key)) = write.address() {
            last.insert((namespace.clone(), Arc::clone(key)), index);
        }
    }
    let mut positions = Vec::with_capacity(writes.len());
    let mut kept = Vec::with_capacity(writes.len());
    for (index, write) in std::mem::take(writes).into_iter().enumerate() {
        let is_last = write
            .address()
            .is_none_or(|(namespace, key)| last.get(&(namespace.clone(), Arc::clone(key))) == Some(&index));
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
        Write::Put(put) => (put.namespace.clone(), put.key.clone(), put.condition),
        Write::Delete { namespace, key, condition } => (namespace, key, condition),
        _ => return None,
    };
    (condition != Condition::Always).then_some(Write::Check { namespace, key, condition })
}

/// The result of each operation of a batch.
pub(super) fn results(written: &[WriteOutcome], positions: &[Option<usize>]) -> Vec<WriteResult> {
    let result = |position: &Option<usize>| match position.and_then(|at| written.get(at)) {
        Some(WriteOutcome::Put(version)) => WriteResult::Put(*version),
        Some(WriteOutcome::Deleted(found)) => WriteResult::Deleted(*found),
        Some(WriteOutcome::Repeated(version)) => WriteResult::Repeated(*version),
        Some(WriteOutcome::Other) | None => WriteResult::Superseded,
    };
    positions.iter().map(result).collect()
}
