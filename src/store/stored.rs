//! Items with everything that a store keeps of them: what an export needs beyond what other reads return.
//!
//! Invariants:
//! * A [`StoredItem`] and the [`Put`] made of its parts are the same item, apart from the version and the hashes of its
//!   texts.
//! * The store's secret never leaves the store. A caller learns only whether a text that it names is the embedded one.

use std::sync::Arc;

use crate::error::Result;
use crate::ids::RowId;
use crate::record::{TextHash, VersionMask, text_hash};
use crate::shard::{ItemParts, PartRef};
use crate::store::Store;
use crate::store::write::Put;
use crate::types::Item;

/// An extension of an item: bytes that a version of vecmem keeps with the item, under the number of their kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemExtension {
    /// What the bytes are.
    pub kind: u16,
    /// Whether a version that does not know the kind must refuse the item. Any other version carries the bytes along.
    pub must_understand: bool,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// An item with its vectors and everything else that a store keeps of it. See
/// [`Reads::iterate_stored`](crate::Reads::iterate_stored).
#[derive(Clone, Debug, PartialEq)]
pub struct StoredItem {
    /// The item, vectors included.
    pub item: Item,
    /// The field paths of [`Put::index_paths`](crate::Put::index_paths).
    pub index_paths: Vec<Arc<str>>,
    /// The extensions, in the order of their kinds.
    pub extensions: Vec<ItemExtension>,
    /// Of each vector; empty if none is known.
    text_hashes: Vec<TextHash>,
}

impl StoredItem {
    pub(super) fn read(part: &PartRef<'_>, row: RowId, versions: VersionMask) -> Result<Self> {
        let extensions = part.extensions(row)?;
        let extensions = extensions.iter().map(|extension| ItemExtension {
            kind: extension.kind,
            must_understand: extension.must_understand,
            bytes: extension.bytes.to_vec(),
        });
        let item = part.item(row, None, ItemParts::ALL)?;
        Ok(Self {
            item: Item { version: versions.apply(item.version), ..item },
            index_paths: part.index_paths(row)?,
            extensions: extensions.collect(),
            text_hashes: part.text_hashes(row)?,
        })
    }

    /// Whether the store keeps the hash of the text that the vector numbered `vector` embeds
    /// ([`Put::embedded`](crate::Put::embedded)).
    pub fn has_text(&self, vector: usize) -> bool {
        self.text_hashes.get(vector).is_some_and(|&hash| hash != 0)
    }

    /// The put that writes the item again, with its times and its expiry. It does not say which texts the vectors
    /// embed: the store has only their hashes, which [`Store::embeds`](crate::Store::embeds) compares.
    pub fn to_put(&self) -> Put {
        let Item { namespace, key, value, created_at, updated_at, expires_at, vectors, .. } = &self.item;
        let mut put = Put::new(namespace, key.as_str(), &**value)
            .created_at(*created_at)
            .updated_at(*updated_at)
            .index_paths(self.index_paths.iter().map(|path| &**path));
        if let Some(ttl) = self.item.time_to_live() {
            put = put.ttl(ttl);
        }
        // An item may have a time to live and no expiry, which `i64::MAX` says.
        put = put.expires_at(expires_at.unwrap_or(i64::MAX));
        put = vectors.iter().fold(put, |put, vector| put.field_vector(&vector.path, vector.values.to_vec()));
        self.extensions
            .iter()
            .fold(put, |put, extension| put.extension(extension.kind, extension.must_understand, &extension.bytes))
    }
}

impl Store {
    /// Whether the vector numbered `vector` of an item of this store embeds `text` by `model`, as the put of the item
    /// said ([`Put::embedded`](crate::Put::embedded)).
    pub fn embeds(&self, item: &StoredItem, vector: usize, model: &str, text: &str) -> bool {
        let secret = self.handle.engine.identity.keys.secret;
        item.has_text(vector) && item.text_hashes[vector] == text_hash(secret, model, text)
    }
}
