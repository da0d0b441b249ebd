//! Embeddings that the store holds already, found by text: so that nobody embeds a text twice.
//!
//! The hash of a text lies beside its vector, in the row of the item: it dies with the item, whichever way that goes,
//! and moves with it through log, segments and merges. Here is only a map from hashes to where they were last seen.
//!
//! Invariants:
//! * The map may be wrong, an answer never is: the row that it leads to must be visible, unexpired and hold the hash.
//! * It holds about `Tuning::known_embeddings` hashes; those that were not asked for longest go first. An open begins
//!   with none, and the first question looks through what the store holds, in the order of its parts, until half of the
//!   room is taken.
//! * A text has one place, that of the item that was written last. Once that item is gone the text is unknown, also
//!   where another item embeds it: it is embedded once more, and known again.

use std::collections::HashMap;

use crate::error::{ErrorKind, Result};
use crate::record::{TextHash, Write, text_hash};
use crate::shard::ReadView;
use crate::shard::embeddings::KnownText;
use crate::store::Store;
use crate::store::read::TextPlace;
use crate::sync::Mutex;
use crate::types::Interval;

/// Longer addresses are not worth their memory.
const ADDRESS_BYTES_MAX: usize = 1 << 10;

/// The map of one open store.
pub(super) struct Embeddings {
    places: Mutex<Places>,
}

/// Two maps of half the size: what is written or found goes to the newer one; once that is full, it takes the place of
/// the older one.
struct Places {
    newer: HashMap<TextHash, TextPlace>,
    older: HashMap<TextHash, TextPlace>,
    half: usize,
    /// Whether everything there is was looked through, or as much as fits.
    is_complete: bool,
}

impl Embeddings {
    /// For about `limit` texts.
    pub fn new(limit: usize) -> Self {
        let (newer, older) = (HashMap::new(), HashMap::new());
        Self { places: Mutex::new(Places { newer, older, half: limit.div_ceil(2), is_complete: false }) }
    }

    /// Keeps in mind what was written.
    pub fn note(&self, writes: &[Write]) {
        let puts = writes.iter().filter_map(|write| match write {
            Write::Put(put) if !put.text_hashes.is_empty() => Some(put),
            _ => None,
        });
        for put in puts {
            let mut places = self.places.lock();
            for (vector, &hash) in (0..).zip(&put.text_hashes) {
                places.insert(hash, TextPlace { namespace: put.namespace.clone(), key: put.key.clone(), vector });
            }
        }
    }

    /// The next question looks through everything again: an import has added to it.
    pub fn look_again(&self) {
        self.places.lock().is_complete = false;
    }

    /// Forgets which texts the items of an interval embed. What lives of them is found again by the next question.
    pub fn forget(&self, interval: &Interval) {
        let mut places = self.places.lock();
        let Places { newer, older, is_complete, .. } = &mut *places;
        for map in [newer, older] {
            map.retain(|_, place| !interval.contains(place.namespace.encoded()));
            // What was removed lies in the table until it is written over.
            map.shrink_to_fit();
        }
        *is_complete = false;
    }

    /// Where each text was last seen.
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

    /// Adds what a view shows, as far as there is room. What is damaged is not known.
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
    /// The embeddings that `model` made of `texts`, where an item holds one that was put with
    /// [`Put::embedded`](crate::Put::embedded): bit for bit the item's vector. `None` is no promise that there is none:
    /// about 65,536 texts are kept in mind, after an open half as many, and each with the item that was last put with
    /// it.
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
