//! The body of a frame before it is written: bytes that it owns, and bytes that it shares: large values of items, and
//! operations that were encoded before.
//!
//! Invariants:
//! * A large value is not copied into a body: the body shares the item that holds it. Nor are operations that were
//!   encoded before. So building a frame under a lock is cheap.
//! * The concatenated pieces of a body are the bytes that a reader of the log finds.

use std::sync::Arc;

use crate::codec::{crc32c, salted_crc32c};
use crate::record::ItemContent;

/// Values from this size on are shared.
pub(super) const SHARED_BYTES: usize = 64 << 10;

/// The bytes of a body.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct FrameBody {
    own: Vec<u8>,
    /// What else lies in the body, each before this byte of `own`.
    shared: Vec<(usize, Shared)>,
    shared_bytes: usize,
}

/// Bytes that a body shares.
#[derive(Clone, Debug, PartialEq)]
enum Shared {
    /// The value of an item.
    Value(Arc<ItemContent>),
    /// Encoded operations.
    Operations(Arc<Vec<u8>>),
}

impl Shared {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Value(content) => content.value.as_bytes(),
            Self::Operations(bytes) => bytes,
        }
    }
}

impl FrameBody {
    /// The owned bytes, for callers that append to the body.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.own
    }

    /// Appends the value of an item.
    pub fn push_value(&mut self, content: &Arc<ItemContent>) {
        if content.value.len() < SHARED_BYTES {
            self.own.extend_from_slice(content.value.as_bytes());
        } else {
            self.push_shared(Shared::Value(Arc::clone(content)));
        }
    }

    /// Appends operations that were encoded before.
    pub fn push_operations(&mut self, encoded: &Arc<Vec<u8>>) {
        self.push_shared(Shared::Operations(Arc::clone(encoded)));
    }

    fn push_shared(&mut self, shared: Shared) {
        self.shared_bytes += shared.bytes().len();
        self.shared.push((self.own.len(), shared));
    }

    pub fn len(&self) -> usize {
        self.own.len() + self.shared_bytes
    }

    /// The bytes, in pieces.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.shared.iter().map(|(at, _)| *at));
        let ends = self.shared.iter().map(|(at, _)| *at).chain([self.own.len()]);
        let values = self.shared.iter().map(|(_, shared)| shared.bytes()).chain([&[][..]]);
        let pieces = starts.zip(ends).zip(values).flat_map(|((start, end), value)| [&self.own[start..end], value]);
        pieces.filter(|piece| !piece.is_empty())
    }

    /// The checksum of the bytes.
    pub fn salted_crc(&self, seed: u64) -> u32 {
        self.pieces().fold(salted_crc32c(seed, &[]), crc32c)
    }

    /// The bytes in one piece.
    #[cfg(any(test, fuzzing))]
    pub fn to_vec(&self) -> Vec<u8> {
        self.pieces().collect::<Vec<_>>().concat()
    }
}

impl From<Vec<u8>> for FrameBody {
    fn from(own: Vec<u8>) -> Self {
        Self { own, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Namespace;

    fn item(bytes: usize) -> Arc<ItemContent> {
        Arc::new(ItemContent {
            namespace: Namespace::new(["a"]).unwrap(),
            key: "k".into(),
            value: (0..bytes).map(|at| char::from(b'a' + (at % 23) as u8)).collect::<String>().into(),
            ttl: 0,
            index_paths: Vec::new(),
            vectors: Vec::new(),
            text_hashes: Vec::new(),
            space: Default::default(),
            extensions: Default::default(),
        })
    }

    #[test]
    fn the_pieces_are_the_bytes_in_order_and_large_values_are_not_copied() {
        let items = [0, 5, SHARED_BYTES - 1, SHARED_BYTES, 3 * SHARED_BYTES, SHARED_BYTES].map(item);
        let (mut body, mut expected) = (FrameBody::default(), Vec::new());
        assert_eq!((body.len(), body.pieces().count()), (0, 0));
        for (number, item) in items.iter().enumerate() {
            // Some values directly follow another one.
            let between = &b"head"[..4 * usize::from(number != 4)];
            body.bytes().extend_from_slice(between);
            body.push_value(item);
            expected.extend_from_slice(&[between, item.value.as_bytes()].concat());
            assert_eq!((body.len(), body.to_vec()), (expected.len(), expected.clone()), "{number}");
            assert_eq!(body.salted_crc(7), salted_crc32c(7, &expected), "{number}");
        }
        let operations = Arc::new(b"operations".to_vec());
        body.push_operations(&operations);
        body.bytes().push(b'.');
        expected.extend_from_slice(b"operations.");
        assert_eq!(body.to_vec(), expected);
        let shared = items.iter().filter(|item| Arc::strong_count(item) > 1).count();
        assert!(shared == 3 && body.own.len() < 2 * SHARED_BYTES);
    }
}
