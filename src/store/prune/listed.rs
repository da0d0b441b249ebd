//! The keys that a call deletes: the first ones in order, at most so many.
//!
//! Invariants:
//! * No more keys are kept than the cap and [`limits::BATCH_BYTES`] allow, however many there are. All are counted.

use std::collections::BinaryHeap;

use crate::error::{Error, ErrorKind, Limit, Result};
use crate::record::KeyAddress;
use crate::store::prune::Cap;
use crate::types::{Namespace, limits};
use crate::words::counted;

/// Bytes of a key in a frame, beside those of its names.
const KEY_BYTES: usize = 9;

/// The first keys in (namespace, key) order of all that were added.
pub(super) struct Listed {
    cap: Cap,
    keys: BinaryHeap<KeyAddress>,
    bytes: usize,
    /// All keys that were added.
    found: u64,
    /// The first key in order that was left out. Later ones are left out too, so that what is kept has no gap.
    first_dropped: Option<KeyAddress>,
    /// The namespace of the last key, which the next one shares more often than not.
    namespace: Option<Namespace>,
}

impl Listed {
    pub fn new(cap: Cap) -> Self {
        Self { cap, keys: BinaryHeap::new(), bytes: 0, found: 0, first_dropped: None, namespace: None }
    }

    /// Adds a key. Returns whether a later key in order could still be kept, or has to be counted.
    pub fn add(&mut self, namespace: &[u8], key: &str) -> bool {
        self.found += 1;
        let is_after = |(other, other_key): &KeyAddress| (other.encoded(), &**other_key) < (namespace, key);
        if self.first_dropped.as_ref().is_some_and(is_after) {
            return !self.cap.is_partial;
        }
        let namespace = self.shared(namespace);
        self.bytes += bytes_of(&namespace, key);
        self.keys.push((namespace, key.into()));
        while self.keys.len() > self.cap.items || (self.bytes > limits::BATCH_BYTES && self.keys.len() > 1) {
            let Some((namespace, key)) = self.keys.pop() else { break };
            self.bytes -= bytes_of(&namespace, &key);
            self.first_dropped = Some((namespace, key));
        }
        true
    }

    /// The namespace, shared with the last one if it is the same.
    fn shared(&mut self, encoded: &[u8]) -> Namespace {
        match &self.namespace {
            Some(last) if last.encoded() == encoded => last.clone(),
            _ => self.namespace.insert(Namespace::from_encoded(encoded)).clone(),
        }
    }

    /// Whether keys were left out.
    pub fn is_cut(&self) -> bool {
        self.first_dropped.is_some()
    }

    /// The keys in order. Fails if keys were left out and the caller wants all or nothing.
    pub fn into_keys(self, scope: &str) -> Result<Vec<KeyAddress>> {
        if self.is_cut() && !self.cap.is_partial {
            let message = format!(
                "{scope}: {} would be deleted, more than the limit of {}, or {} bytes of keys, of one atomic delete; \
                 delete in batches, and go on with the receipt of each",
                counted(self.found, "item"),
                counted(self.cap.items as u64, "item"),
                limits::BATCH_BYTES
            );
            return Err(Error::new(ErrorKind::Limit(Limit::PrunedItems), message));
        }
        Ok(self.keys.into_sorted_vec())
    }
}

fn bytes_of(namespace: &Namespace, key: &str) -> usize {
    namespace.encoded().len() + key.len() + KEY_BYTES
}
