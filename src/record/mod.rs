//! Writes as callers request them, and the complete operations and versions of items that they become after their
//! conditions are tested.
//!
//! Invariants:
//! * An [`Operation`] needs no other state to be applied or replayed: conditions are tested, timestamps and LSNs given.
//! * A text is identified by a hash keyed with the store's secret. Without the secret, a hash does not reveal its text,
//!   and texts cannot be chosen to collide.
//! * The LSN of an operation is its frame's first LSN plus its position in the frame; it is not stored in the
//!   operation.

mod deleted_keys;
mod incarnation;
mod lsn;
mod reach;

use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::extensions::{ExtensionKind, Extensions};
use crate::types::{Condition, FieldVector, Interval, Namespace, Version};

pub(crate) use deleted_keys::{DeletedKeys, KeyAddress};
pub(crate) use incarnation::{VersionMask, copy_incarnation, original_incarnation};
pub(crate) use lsn::{ALIVE, AtomicLsn, Lsn};
pub(crate) use reach::ImportReach;

/// The name of the namespace in the engine's own area that has the checkpoints of imports.
pub(crate) const CHECKPOINTS: &str = "import";

/// The id of a vector space of a store. Files tag vectors with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SpaceId(pub u16);

/// The hash of a text and of the model that embedded it; 0 if they are not known.
pub(crate) type TextHash = u128;

/// The hash of a text and of the `model` that embeds it, keyed with the store's secret; never 0.
pub(crate) fn text_hash(secret: [u64; 2], model: &str, text: &str) -> TextHash {
    let mut hasher = SipHasher13::new_with_keys(secret[0], !secret[1]);
    hasher.write(&(model.len() as u64).to_le_bytes());
    hasher.write(model.as_bytes());
    hasher.write(text.as_bytes());
    hasher.finish128().as_u128().max(1)
}

/// The hash of an operation id that a client has chosen, keyed with the store's secret.
pub(crate) fn operation_hash(secret: [u64; 2], id: &str) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(!secret[0], secret[1]);
    hasher.write(id.as_bytes());
    hasher.finish128().as_u128()
}

/// Kinds of extensions of a row. The flag tells a version that does not know the kind whether it may ignore it.
///
/// | KIND | FLAG | BYTES |
/// |---|---|---|
/// | 1 | may ignore | context text: what is said around the item, UTF-8 |
/// | 2 | may ignore | group: what the item is a part of, such as a conversation, UTF-8 |
/// | 3 | must understand | vectors of other spaces than the current one, in the form of the vectors of a Put (`wal/operations.rs`) |
/// | 4 | may ignore | import reach: the namespaces that an import has written, of its checkpoint (`record/reach.rs`) |
pub(crate) mod row_extensions {
    use super::ExtensionKind;

    pub const CONTEXT: ExtensionKind = 1;
    pub const GROUP: ExtensionKind = 2;
    pub const OTHER_VECTORS: ExtensionKind = 3;
    pub const IMPORT_REACH: ExtensionKind = 4;
    /// The kinds that this version knows.
    pub const KNOWN: [ExtensionKind; 4] = [CONTEXT, GROUP, OTHER_VECTORS, IMPORT_REACH];
}

/// The content that a put gives an item. It is immutable: the put, the log and the memtable share it after the check.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ItemContent {
    pub namespace: Namespace,
    pub key: Arc<str>,
    /// The JSON object, byte for byte as given.
    pub value: Box<str>,
    /// The item's own time to live in microseconds; 0 for none.
    pub ttl: i64,
    /// The field paths that the caller asked to have embedded; empty for "as configured".
    pub index_paths: Vec<Arc<str>>,
    /// All vectors have the same dimensions. An item without vectors is not found by vector search.
    pub vectors: Vec<FieldVector>,
    /// The hash of the text that each vector embeds; empty if none is known.
    pub text_hashes: Vec<TextHash>,
    /// The space of all vectors.
    pub space: SpaceId,
    pub extensions: Extensions,
}

/// One complete version of one item. It dereferences to its content.
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
    /// Roughly the bytes that the version takes in memory and in a frame.
    pub fn bytes(&self) -> usize {
        let vectors: usize = self.vectors.iter().map(|vector| vector.path.len() + 4 * vector.values.len() + 8).sum();
        let texts = size_of::<TextHash>() * self.text_hashes.len();
        let extensions = self.extensions.encoded().len();
        96 + extensions + self.namespace.encoded().len() + self.key.len() + self.value.len() + vectors + texts
    }
}

impl Operation {
    /// The namespace and key of the operation; `None` if it concerns an interval.
    pub fn address(&self) -> Option<(&Namespace, &Arc<str>)> {
        match self {
            Self::Put(record) => Some((&record.namespace, &record.key)),
            Self::Delete { namespace, key } | Self::Touch { namespace, key, .. } => Some((namespace, key)),
            Self::DeleteRange { .. } => None,
        }
    }
}

/// One complete operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operation {
    /// Adds a version, and deletes the key's older versions.
    Put(Arc<Record>),
    /// Deletes the key's versions.
    Delete { namespace: Namespace, key: Arc<str> },
    /// Deletes every version in an interval of namespaces.
    DeleteRange { interval: Interval },
    /// Changes the expiry of one version, if that version is not deleted.
    Touch { namespace: Namespace, key: Arc<str>, version: Lsn, expires_at: i64 },
}

/// The LSN and the times of one version.
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

/// A checked write. The newest state of the key decides the rest: whether its condition holds, and its timestamps.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(CheckedPut),
    Delete {
        namespace: Namespace,
        key: Arc<str>,
        condition: Condition,
    },
    DeleteRange(Interval),
    /// Renews the expiry by the item's own time to live, if `version` is still the newest.
    Touch {
        namespace: Namespace,
        key: Arc<str>,
        version: Lsn,
    },
    /// Deletes an item that has expired, if the clock is trusted enough to remove items.
    Expire {
        namespace: Namespace,
        key: Arc<str>,
    },
    /// The checkpoint of an import. It is not written, and fails nothing, unless `expected` is the LSN of the newest
    /// version of its key: a range delete may have deleted the checkpoint since.
    Checkpoint {
        put: CheckedPut,
        expected: Option<Lsn>,
    },
    /// Writes nothing, but tests the condition of a write that a later write of the same batch has replaced.
    Check {
        namespace: Namespace,
        key: Arc<str>,
        condition: Condition,
    },
}

/// A checked put. It dereferences to its content.
#[derive(Clone, Debug)]
pub(crate) struct CheckedPut {
    pub content: Arc<ItemContent>,
    /// Given by an import; `None` if the time to live decides.
    pub expires_at: Option<i64>,
    pub condition: Condition,
    /// Given by an import, like `updated_at`; `None` if the clock decides.
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
    /// The namespace and key of the write; `None` if it concerns an interval.
    pub fn address(&self) -> Option<(&Namespace, &Arc<str>)> {
        match self {
            Self::Put(put) | Self::Checkpoint { put, .. } => Some((&put.namespace, &put.key)),
            Self::Delete { namespace, key, .. }
            | Self::Touch { namespace, key, .. }
            | Self::Expire { namespace, key }
            | Self::Check { namespace, key, .. } => Some((namespace, key)),
            Self::DeleteRange(_) => None,
        }
    }

    /// Replaces the version of the condition, if there is one, by that inside of the store.
    pub fn unmask(&mut self, versions: VersionMask) {
        let condition = match self {
            Self::Put(put) => &mut put.condition,
            Self::Delete { condition, .. } | Self::Check { condition, .. } => condition,
            Self::Checkpoint { .. } | Self::DeleteRange(_) | Self::Touch { .. } | Self::Expire { .. } => return,
        };
        if let Condition::IfVersion(version) = condition {
            *version = versions.apply(*version);
        }
    }

    /// Whether the write is accepted while the disk is full or the store is stalled.
    pub fn frees_space(&self) -> bool {
        !matches!(self, Self::Put(_) | Self::Checkpoint { .. })
    }
}

/// The outcome of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WriteOutcome {
    Put(Version),
    /// Whether a version was deleted.
    Deleted(bool),
    /// Nothing was written, since a batch with the same operation id was applied before. Holds the version of the last
    /// operation of that batch.
    Repeated(Version),
    /// The write was applied, or had no effect.
    Other,
}

impl WriteOutcome {
    /// The outcome as it leaves the store.
    pub fn masked(self, versions: VersionMask) -> Self {
        match self {
            Self::Put(version) => Self::Put(versions.apply(version)),
            Self::Repeated(version) => Self::Repeated(versions.apply(version)),
            Self::Deleted(_) | Self::Other => self,
        }
    }
}
