//! The keys that one frame deletes, when there are so many that nobody may walk over them under a lock.
//!
//! Invariants:
//! * The keys are in (namespace, key) order, each once, so a key is found by a binary search.
//! * The first key has the first LSN of its frame, and each other key the LSN after that of the key before it.

use std::sync::Arc;

use crate::record::Operation;
use crate::types::Namespace;

/// The namespace and the key of an item.
pub(crate) type KeyAddress = (Namespace, Arc<str>);

/// Keys in order, each of which a frame deletes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DeletedKeys {
    keys: Vec<KeyAddress>,
}

impl DeletedKeys {
    /// These keys, in any order.
    pub fn new(mut keys: Vec<KeyAddress>) -> Self {
        if !keys.is_sorted_by(|one, next| one < next) {
            keys.sort_unstable();
            keys.dedup();
        }
        Self { keys }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub fn keys(&self) -> &[KeyAddress] {
        &self.keys
    }

    /// The position of a key; `None` if it is not deleted.
    pub fn position(&self, namespace: &Namespace, key: &str) -> Option<usize> {
        self.keys.binary_search_by(|(other, theirs)| (other, &**theirs).cmp(&(namespace, key))).ok()
    }

    /// The delete of each key, in the order of their LSNs.
    pub fn operations(&self) -> impl Iterator<Item = Operation> {
        self.keys
            .iter()
            .map(|(namespace, key)| Operation::Delete { namespace: namespace.clone(), key: Arc::clone(key) })
    }

    /// The same without the keys at these positions, which rise.
    #[must_use]
    pub fn without(&self, positions: &[usize]) -> Self {
        let kept = |at: &usize| positions.binary_search(at).is_err();
        Self { keys: (0..self.keys.len()).filter(kept).map(|at| self.keys[at].clone()).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_order_and_each_once() {
        let key = |namespace: &str, key: &str| (Namespace::new([namespace]).unwrap(), Arc::from(key));
        let keys = DeletedKeys::new(vec![key("b", "x"), key("a", "y"), key("a", "x"), key("a", "y")]);
        let (a, b) = (Namespace::new(["a"]).unwrap(), Namespace::new(["b"]).unwrap());
        let places = [(&a, "x"), (&a, "y"), (&b, "x"), (&b, "y"), (&a, "")].map(|(n, k)| keys.position(n, k));
        assert_eq!(places, [Some(0), Some(1), Some(2), None, None]);
        assert_eq!(keys.operations().count(), 3);
        assert_eq!(keys.without(&[1]).keys(), [key("a", "x"), key("b", "x")]);
    }
}
