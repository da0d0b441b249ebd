//! Finds embeddings in the store by their text, so that a text need not be embedded twice.
//!
//! The hash of a text lies beside its vector in the row of the item, so it is moved and deleted with the item. This
//! file only has a map from hashes to items.
//!
//! Invariants:
//! * An entry of the map may be stale. A result is never stale: its row is visible, unexpired and has the hash.
//! * The map holds about `Tuning::known_embeddings` hashes, and drops the least recently used ones. An open starts with
//!   an empty map. The first lookup reads the hashes of the store, part by part, until the map is half full.
//! * The map has one item for a text: the last one put with it, or the first one found when the store was read. Once
//!   that item is deleted, the text is unknown even if another item has it. The next put with the text makes it known.

use std::collections::HashMap;

use crate::error::{ErrorKind, Result};
use crate::record::{ItemContent, TextHash, Write, text_hash};
use crate::shard::ReadView;
use crate::shard::embeddings::KnownText;
use crate::store::Store;
use crate::store::read::TextPlace;
use crate::sync::Mutex;
use crate::types::Interval;

/// Items with longer addresses are not kept in the map.
const ADDRESS_BYTES_MAX: usize = 1 << 10;

/// The map of one open store.
pub(super) struct Embeddings {
    places: Mutex<Places>,
}

/// Two maps of half the size. Hashes that are written or looked up go to the newer map. Once it is full, it replaces
/// the older map. Hashes that are read from the store go to the older map.
struct Places {
    newer: HashMap<TextHash, TextPlace>,
    older: HashMap<TextHash, TextPlace>,
    half: usize,
    /// Whether the hashes of the store were read, all of them or until the map was half full.
    is_complete: bool,
}

impl Embeddings {
    /// A map of about `limit` texts.
    pub fn new(limit: usize) -> Self {
        let (newer, older) = (HashMap::new(), HashMap::new());
        Self { places: Mutex::new(Places { newer, older, half: limit.div_ceil(2), is_complete: false }) }
    }

    /// Adds the hashes of written items.
    pub fn note(&self, writes: &[Write]) {
        let puts = writes.iter().filter_map(|write| match write {
            Write::Put(put) if !put.text_hashes.is_empty() => Some(&*put.content),
            _ => None,
        });
        self.note_items(puts);
    }

    /// Notes the texts that the vectors of these items embed.
    pub fn note_items<'i>(&self, items: impl Iterator<Item = &'i ItemContent>) {
        for item in items.filter(|item| !item.text_hashes.is_empty()) {
            let mut places = self.places.lock();
            for (vector, &hash) in (0..).zip(&item.text_hashes) {
                places.insert(hash, TextPlace { namespace: item.namespace.clone(), key: item.key.clone(), vector });
            }
        }
    }

    /// Lets the next lookup read the store again, after an import.
    pub fn look_again(&self) {
        self.places.lock().is_complete = false;
    }

    /// Drops the hashes of an interval's items. The next lookup finds those of live items again.
    pub fn forget(&self, interval: &Interval) {
        let mut places = self.places.lock();
        let Places { newer, older, is_complete, .. } = &mut *places;
        for map in [newer, older] {
            map.retain(|_, place| !interval.contains(place.namespace.encoded()));
            // A removed entry stays in the memory of the table until it is overwritten.
            map.shrink_to_fit();
        }
        *is_complete = false;
    }

    /// The place of each text in the map. Reads the hashes of the store first if that was not done yet.
    fn find(&self, view: &ReadView, hashes: &[TextHash]) -> Result<Vec<Option<TextPlace>>> {
        let mut places = self.places.lock();
        if !places.is_complete {
            places.look_through(view)?;
        }
        Ok(hashes.iter().map(|hash| places.get(*hash)).collect())
    }
}

impl Places {
    fn insert(&mut self, hash: TextHash, place: TextPlace) {
        if place.namespace.encoded().len() + place.key.len() > ADDRESS_BYTES_MAX {
            return;
        }
        self.older.remove(&hash);
        self.newer.insert(hash, place);
        if self.newer.len() >= self.half {
            self.older = std::mem::take(&mut self.newer);
        }
    }

    fn get(&mut self, hash: TextHash) -> Option<TextPlace> {
        if let Some(place) = self.newer.get(&hash) {
            return Some(place.clone());
        }
        let place = self.older.remove(&hash)?;
        self.insert(hash, place.clone());
        Some(place)
    }

    /// Adds the hashes of a view's items, as far as there is room. Damaged rows are skipped.
    fn look_through(&mut self, view: &ReadView) -> Result<()> {
        let room = self.half.saturating_sub(self.older.len());
        let (newer, older) = (&self.newer, &mut self.older);
        let most = older.len() + room;
        let mut each = |(namespace, key, vector, hash): KnownText<'_>| {
            let is_short = namespace.encoded().len() + key.len() <= ADDRESS_BYTES_MAX;
            if is_short && !newer.contains_key(&hash) && older.len() < most {
                older.entry(hash).or_insert_with(|| TextPlace { namespace, key: key.into(), vector });
            }
            older.len() < most
        };
        for part in view.shards.iter().flat_map(|shard| shard.parts()) {
            match part.each_known(view.read_lsn, &mut each) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) if error.kind() == ErrorKind::Damaged => {}
                Err(error) => return Err(error),
            }
        }
        self.is_complete = true;
        Ok(())
    }
}

impl Store {
    /// The embeddings of `texts` by `model`, from items that were put with [`Put::embedded`](crate::Put::embedded): bit
    /// for bit the vectors of the items. `None` for a text that is not known, even if an item may have it. About 65,536
    /// texts are known, half as many after an open. Each is known from one item, usually the last one put with it.
    pub fn known_embeddings(&self, model: &str, texts: &[&str]) -> Result<Vec<Option<Vec<f32>>>> {
        self.handle.engine.check_usable()?;
        let moment = self.newest_moment();
        let secret = self.handle.engine.identity.keys.secret;
        let hashes: Vec<TextHash> = texts.iter().map(|text| text_hash(secret, model, text)).collect();
        let places = self.handle.embeddings.find(&moment.view, &hashes)?;
        let vector = |(place, &hash): (Option<TextPlace>, &TextHash)| {
            place.map_or(Ok(None), |place| moment.embedding(&place, hash))
        };
        places.into_iter().zip(&hashes).map(vector).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Namespace;
    use crate::types::Scope;

    fn place(label: &str, key: &str) -> TextPlace {
        TextPlace { namespace: Namespace::new([label]).unwrap(), key: key.into(), vector: 0 }
    }

    #[test]
    fn what_lies_in_an_interval_is_forgotten_and_looked_for_again() {
        let embeddings = Embeddings::new(8);
        let mut places = embeddings.places.lock();
        for (hash, label) in (1..=6).zip(["a", "b", "a", "a", "b", "c"]) {
            places.insert(hash, place(label, "k"));
        }
        assert!(!places.older.is_empty() && !places.newer.is_empty(), "both maps are asked");
        places.is_complete = true;
        drop(places);
        embeddings.forget(&Scope::Namespace(Namespace::new(["a"]).unwrap()).interval());
        let mut places = embeddings.places.lock();
        let known: Vec<TextHash> = (1..=6).filter(|&hash| places.get(hash).is_some()).collect();
        assert_eq!((known.as_slice(), places.is_complete), ([2, 5, 6].as_slice(), false));
    }
}
