//! Reading the files of a directory that no manifest need describe, one by one.
//!
//! Invariants:
//! * A file is believed by its own checksums, which are bound to the store and the file, and by nothing else.

use crate::error::Result;
use crate::file_names::{FileName, parse_name};
use crate::record::{Lsn, SpaceId};
use crate::segment::blocks::CheckedMap;
use crate::segment::layout::{Header, StoreKeys, truth_name};
use crate::segment::sealed::{Segment, SegmentFiles};
use crate::storage::Storage;
use crate::types::is_encoded_namespace;
use crate::wal::{file_id, store_id_of};

/// Whether a namespace is one of callers, not of the engine.
pub(super) fn is_of_users(namespace: &[u8]) -> bool {
    is_encoded_namespace(namespace) && namespace.first() != Some(&0) || namespace.starts_with(&[0, 0xFF])
}

/// The generation in the name of a file of tombstones.
pub(super) fn dead_generation(name: &str) -> Option<u64> {
    let (_, generation) = name.strip_suffix(".dead")?.rsplit_once('-')?;
    u64::from_str_radix(generation, 16).ok()
}

/// The store that a file says it belongs to, as far as that can be told without knowing the store.
pub(super) fn store_id_in(storage: &dyn Storage, name: &str) -> Option<u64> {
    if let Some(id) = file_id(name) {
        return store_id_of(storage, id);
    }
    let is_truth = name.ends_with(".truth") && matches!(parse_name(name), Some(FileName::Segment(_)));
    let map = storage.map(name).ok().filter(|map| is_truth && map.len() >= 24)?;
    map[16..24].try_into().ok().map(u64::from_le_bytes)
}

/// Opens a segment of which no manifest need say anything.
pub(super) fn open_bare(storage: &dyn Storage, keys: StoreKeys, file_id: u64, lsn_base: Lsn) -> Result<Segment> {
    let file = CheckedMap::open(storage, truth_name(file_id), keys.truth(file_id))?;
    let header = Header::decode(file.fields(), file.body_end()).map_err(|error| error.in_file(file.name(), 64))?;
    let own = if header.space.is_some() { (header.space, header.space_id) } else { (keys.space, keys.space_id) };
    let keys = StoreKeys { space: own.0, space_id: if own.0.is_some() { own.1 } else { SpaceId::default() }, ..keys };
    let (length, header_crc) = (file.bytes().len() as u64, file.header_crc());
    let files = SegmentFiles { file_id, length, header_crc, codes: None, lsn_base };
    Segment::open(storage, &keys, &files)
}
