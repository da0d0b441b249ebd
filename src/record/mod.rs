//! What is written: writes as they come, and, once nothing is left to decide, complete versions of items and complete
//! operations.
//!
//! Invariants:
//! * An [`Operation`] needs no other state to be applied or replayed: conditions are tested, timestamps and LSNs given.
//! * A text is known by a hash under the store's secret: what it says cannot be told, or chosen to collide, from
//!   outside.
//! * The LSN of an operation is its frame's first LSN plus its position in the frame; it is not stored in the
//!   operation.

mod lsn;

use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::extensions::{ExtensionKind, Extensions};
use crate::types::{Condition, FieldVector, Interval, Namespace, Version};

pub(crate) use lsn::{ALIVE, AtomicLsn, Lsn};

/// Tells the vector spaces of a store apart: files tag vectors with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpaceId(pub u16);

/// A text and the model that embedded it, as a hash; 0 where they are not known.
pub(crate) type TextHash = u128;

/// The hash of a text that `model` embeds, under the store's secret; never 0.
pub(crate) fn text_hash(secret: [u64; 2], model: &str, text: &str) -> TextHash {
    let mut hasher = SipHasher13::new_with_keys(secret[0], !secret[1]);
    hasher.write(&(model.len() as u64).to_le_bytes());
    hasher.write(model.as_bytes());
    hasher.write(text.as_bytes());
    hasher.finish128().as_u128().max(1)
}

/// The hash of a client's name for an operation, under the store's secret.
pub(crate) fn operation_hash(secret: [u64; 2], id: &str) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(!secret[0], secret[1]);
    hasher.write(id.as_bytes());
    hasher.finish128().as_u128()
}

/// Kinds of extensions of a row: `flags` is what a version that does not know the kind does with it.
///
/// | KIND | FLAG | BYTES |
/// |---|---|---|
/// | 1 | may ignore | context text: what is said around the item, UTF-8 |
/// | 2 | may ignore | group: what the item is a part of, such as a conversation, UTF-8 |
/// | 3 | must understand | vectors of other spaces than the current one, in the form of the vectors of a Put (`wal/operations.rs`) |
pub(crate) mod row_extensions {
    use super::ExtensionKind;

    pub const CONTEXT: ExtensionKind = 1;
    pub const GROUP: ExtensionKind = 2;
    pub const OTHER_VECTORS: ExtensionKind = 3;
    /// Those that this version knows, and so may find in a row.
    pub const KNOWN: [ExtensionKind; 3] = [CONTEXT, GROUP, OTHER_VECTORS];
}

/// What a put says of an item. It never changes: the put, the log and the memtable share it from the check on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemContent {
    pub namespace: Namespace,
    pub key: Arc<str>,
    /// The JSON object, byte for byte as given.
    pub value: Box<str>,
    /// Own time to live in microseconds; 0 for none.
    pub ttl: i64,
    /// The field paths the caller asked to have embedded; empty for "as configured".
    pub index_paths: Vec<Arc<str>>,
    /// All of one dimension; empty for an item that no vector search finds.
    pub vectors: Vec<FieldVector>,
    /// What each vector embeds; empty where none is known.
    pub text_hashes: Vec<TextHash>,
    /// Of all vectors.
    pub space: SpaceId,
    pub extensions: Extensions,
}

/// One version of one item, complete. It reads as its content.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Record {
    pub content: Arc<ItemContent>,
    /// Microseconds since 1970 UTC.
    pub created_at: i64,
    /// Microseconds since 1970 UTC.
    pub updated_at: i64,
    /// Microseconds since 1970 UTC; `NEVER` for an item that stays.
    pub expires_at: i64,
    /// Format flags, 0 today.
    pub flags: u32,
}

impl Deref for Record {
    type Target = ItemContent;

    fn deref(&self) -> &ItemContent {
        &self.content
    }
}

#[cfg(test)]
impl std::ops::DerefMut for Record {
    fn deref_mut(&mut self) -> &mut ItemContent {
        Arc::make_mut(&mut self.content)
    }
}

impl Record {
    /// Bytes the version takes in memory and in a frame, roughly.
    pub fn bytes(&self) -> usize {
        let vectors: usize = self.vectors.iter().map(|vector| vector.path.len() + 4 * vector.values.len() + 8).sum();
        let texts = size_of::<TextHash>() * self.text_hashes.len();
        let extensions = self.extensions.encoded().len();
        96 + extensions + self.namespace.encoded().len() + self.key.len() + self.value.len() + vectors + texts
    }
}

impl Operation {
    /// The key that the operation concerns, if it is one.
    pub fn address(&self) -> Option<(&Namespace, &Arc<str>)> {
        match self {
            Self::Put(record) => Some((&record.namespace, &record.key)),
            Self::Delete { namespace, key } | Self::Touch { namespace, key, .. } => Some((namespace, key)),
            Self::DeleteRange { .. } => None,
        }
    }
}

/// One operation, complete.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// A new version, which deletes the key's older ones.
    Put(Arc<Record>),
    /// Deletes the key's versions.
    Delete { namespace: Namespace, key: Arc<str> },
    /// Deletes every version in an interval of namespaces.
    DeleteRange { interval: Interval },
    /// Moves the expiry of one version, if it still lives.
    Touch { namespace: Namespace, key: Arc<str>, version: Lsn, expires_at: i64 },
}

/// The numbers of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct VersionTimes {
    pub lsn: Lsn,
    pub created_at: i64,
    pub updated_at: i64,
    pub expires_at: i64,
    pub ttl: i64,
}

impl VersionTimes {
    pub fn of_record(record: &Record, lsn: Lsn) -> Self {
        Self {
            lsn,
            created_at: record.created_at,
            updated_at: record.updated_at,
            expires_at: record.expires_at,
            ttl: record.ttl,
        }
    }
}

/// A write that has passed the door: complete but for what the newest state decides.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(CheckedPut),
    Delete {
        namespace: Namespace,
        key: Arc<str>,
        condition: Condition,
    },
    DeleteRange(Interval),
    /// Pushes the expiry back by the item's own time to live, if it is still this version.
    Touch {
        namespace: Namespace,
        key: Arc<str>,
        version: Lsn,
    },
    /// Deletes an item that is expired by now, if the clock allows that anything is removed.
    Expire {
        namespace: Namespace,
        key: Arc<str>,
    },
    /// Writes nothing: the condition of a write that a later one of the same batch replaced.
    Check {
        namespace: Namespace,
        key: Arc<str>,
        condition: Condition,
    },
}

/// A put that was checked. It reads as its content.
#[derive(Clone, Debug)]
pub(crate) struct CheckedPut {
    pub content: Arc<ItemContent>,
    /// Given by an import; else the time to live decides.
    pub expires_at: Option<i64>,
    pub condition: Condition,
    /// Given by an import; else the clock decides.
    pub created_at: Option<i64>,
    pub updated_at: Option<i64>,
}

impl Deref for CheckedPut {
    type Target = ItemContent;

    fn deref(&self) -> &ItemContent {
        &self.content
    }
}

impl Write {
    /// The key the write concerns, if it is one.
    pub fn address(&self) -> Option<(&Namespace, &Arc<str>)> {
        match self {
            Self::Put(put) => Some((&put.namespace, &put.key)),
            Self::Delete { namespace, key, .. }
            | Self::Touch { namespace, key, .. }
            | Self::Expire { namespace, key }
            | Self::Check { namespace, key, .. } => Some((namespace, key)),
            Self::DeleteRange(_) => None,
        }
    }

    /// Whether the write is let through when the disk is full or flushes lag behind.
    pub fn frees_space(&self) -> bool {
        !matches!(self, Self::Put(_))
    }
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    Put(Version),
    /// Whether there was something to delete.
    Deleted(bool),
    /// Nothing, for its batch was written before, under the same operation id; the version that this gave its last
    /// operation.
    Repeated(Version),
    /// Done, or nothing to do.
    Other,
}
