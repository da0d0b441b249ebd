//! The keys that a frame deletes, with the places where they were found before its commit.
//!
//! Invariants:
//! * A place is a hint. It is used if its part is still in the shard and its row is alive: a key has one living
//!   version, so that is the one to delete. Any other key is looked up again. Both give the same result.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Result;
use crate::ids::RowId;
use crate::record::{ALIVE, DeletedKeys, Lsn, Operation};
use crate::shard::part_ref::{Part, PartRef, address};
use crate::shard::usage::ItemSize;
use crate::shard::view::{Lost, ReadView};

/// Where keys were found.
#[derive(Default)]
pub(crate) struct KeyPlaces {
    parts: Vec<Part>,
    /// For each key the index of its part, and its row; `None` if it had no version. Empty if nothing is known.
    places: Vec<Option<(u32, RowId)>>,
}

impl KeyPlaces {
    /// Looks up all keys. Damage that hides one fails the call.
    pub fn look_up(view: &ReadView, keys: &DeletedKeys, go_on: impl Fn() -> Result<()>) -> Result<Self> {
        let (mut found, mut numbers) = (Self::default(), HashMap::new());
        found.places.reserve(keys.len());
        for (namespace, key) in keys.keys() {
            go_on()?;
            let shard = &view.shards[view.shard_of(namespace.encoded())];
            let place = shard.newest(namespace.encoded(), key, Lost::Fails)?.map(|(part, row)| {
                let number = *numbers.entry(address(part)).or_insert_with(|| {
                    found.parts.push(Part::of(part));
                    found.parts.len() as u32 - 1
                });
                (number, row)
            });
            found.places.push(place);
        }
        Ok(found)
    }
}

impl KeyPlaces {
    /// The size of each key's living version, as quotas count it; without `with_bytes`, 0. `None` if it has none.
    pub fn sizes(&self, with_bytes: bool) -> Result<Vec<Option<ItemSize>>> {
        let sizes = self.places.iter().map(|place| {
            let Some((part, row)) = *place else { return Ok(None) };
            let part = self.parts[part as usize].part();
            if part.deleted_lsn(row)? != ALIVE {
                return Ok(None);
            }
            if with_bytes { part.size(row).map(Some) } else { Ok(Some(ItemSize::of(0))) }
        });
        sizes.collect()
    }
}

/// The keys that a frame deletes, and where they were found.
#[derive(Clone)]
pub(crate) struct LoggedDeletes {
    pub keys: Arc<DeletedKeys>,
    pub places: Arc<KeyPlaces>,
}

impl LoggedDeletes {
    /// Deletes the keys in a read view; `look_up` applies the delete of one key by looking it up.
    pub fn apply(
        &self,
        view: &ReadView,
        first_lsn: Lsn,
        look_up: impl Fn(Lsn, &Operation) -> Result<()>,
    ) -> Result<()> {
        let parts = || view.shards.iter().flat_map(|shard| shard.parts());
        let there: HashMap<usize, PartRef<'_>> = if parts().any(|part| part.is_lost()) {
            // A lost part keeps every operation that it misses.
            HashMap::new()
        } else {
            parts().map(|part| (address(part), part)).collect()
        };
        let known: Vec<Option<PartRef<'_>>> =
            self.places.parts.iter().map(|part| there.get(&address(part.part())).copied()).collect();
        let places = self.places.places.iter().copied().chain(std::iter::repeat(None));
        for ((lsn, (namespace, key)), place) in first_lsn.sequence().zip(self.keys.keys()).zip(places) {
            let hinted = place.and_then(|(part, row)| Some((known[part as usize]?, row)));
            match hinted {
                Some((part, row)) if part.deleted_lsn(row)? == ALIVE => part.delete(row, lsn),
                _ => look_up(lsn, &Operation::Delete { namespace: namespace.clone(), key: Arc::clone(key) })?,
            }
        }
        Ok(())
    }
}
