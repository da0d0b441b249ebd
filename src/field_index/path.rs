//! Paths of values as bytes.
//!
//! # Format
//!
//! Each key of the path as a varint of its length and its bytes, from the outermost on. The path of the elements of
//! arrays is that of the array, then 0xFF 0xFF: no key begins so, since none is that long.

use std::borrow::Cow;

use crate::codec::{Reader, Writer};
use crate::field_index::postings::{read_varint, write_varint};

/// Keys of the longest path that is indexed.
pub(super) const KEYS_MAX: usize = 16;
/// Bytes of the longest path that is indexed.
pub(super) const PATH_BYTES_MAX: usize = 512;

const ELEMENTS: [u8; 2] = [0xFF; 2];

/// Adds a key to a path.
pub(super) fn push(path: &mut Vec<u8>, key: &[u8]) {
    let mut out = Writer::after(std::mem::take(path));
    write_varint(&mut out, key.len() as u64);
    out.bytes(key);
    *path = out.into_vec();
}

/// Makes the path of arrays that of their elements.
pub(super) fn push_elements(path: &mut Vec<u8>) {
    path.extend_from_slice(&ELEMENTS);
}

/// The path of these keys, or of the elements of the arrays there. `None` if it is not indexed.
pub(super) fn of_keys<'k>(keys: impl Iterator<Item = &'k [u8]>, elements: bool) -> Option<Vec<u8>> {
    let (mut path, mut count) = (Vec::new(), 0);
    for key in keys {
        push(&mut path, key);
        count += 1;
    }
    let fits = count <= KEYS_MAX && path.len() <= PATH_BYTES_MAX;
    if elements {
        push_elements(&mut path);
    }
    fits.then_some(path)
}

/// The keys of a path, or of the arrays whose elements it stands for.
pub(super) fn keys(path: &[u8]) -> Vec<Cow<'_, str>> {
    let mut reader = Reader::new(path.strip_suffix(&ELEMENTS).unwrap_or(path));
    let mut keys = Vec::new();
    while let Some(key) = read_varint(&mut reader).ok().and_then(|length| reader.bytes(length as usize).ok()) {
        keys.push(String::from_utf8_lossy(key));
    }
    keys
}

/// The path for people: its keys with dots between, and `[]` after it if it is that of elements.
pub(super) fn describe(path: &[u8]) -> String {
    keys(path).join(".") + if path.ends_with(&ELEMENTS) { "[]" } else { "" }
}
