//! The fuzz bodies of manifests and of whole segments. The input is a file, or damage to the files of a good store
//! whose checksums are then made right again, as an attacker would. Whatever the files hold, every call must return.

use super::edits::edited;
use super::formats::{fuzz_missed, fuzz_operation_ids};
use super::good_store::{FuzzFile, damage, good_store, newest_manifest, use_store};
use crate::codec::{Reader, Writer, salted_crc32c, seed};
use crate::file_names::{FileName, manifest_name, parse_name};
use crate::manifest::Manifest;
use crate::segment::fuzz;
use crate::storage::sim::SimStorage;

/// Opens `bytes` as a manifest: first unchanged, then as the body of a manifest with a right checksum, then as edits of
/// a good body. Returns whether any was decoded.
pub(super) fn fuzz_manifest(bytes: &[u8]) -> bool {
    let good = honest_manifest();
    let body = edited(&good[BODY_AT..good.len().saturating_sub(4)], 0, bytes);
    let whole = Manifest::decode(&manifest_name(1), bytes, 1);
    whole.is_ok() | fuzz_manifest_body(bytes) | fuzz_manifest_body(&body)
}

/// Decodes the body of a manifest in both format versions, and opens stores with it.
fn fuzz_manifest_body(body: &[u8]) -> bool {
    let (name, mut is_decoded) = (manifest_name(1), false);
    for version in [1, 2] {
        if let Ok(manifest) = Manifest::decode(&name, &with_body(body, version), 1) {
            let again = Manifest::decode(&name, &manifest.encode(), 1);
            assert_eq!(again.ok(), Some(manifest), "what was read can be written");
            is_decoded = true;
        }
    }
    let file = with_body(body, 2);
    let storage = SimStorage::new(1);
    storage.write_file(&name, &file);
    use_store(&storage);
    // Here the segments exist, whatever the manifest says of them.
    let storage = good_store();
    let manifests = storage.names().into_iter().filter(|name| matches!(parse_name(name), Some(FileName::Manifest(_))));
    manifests.for_each(|name| storage.remove_file(&name));
    storage.write_file(&name, &file);
    use_store(&storage);
    is_decoded
}

/// The offset of the body of a manifest, behind its length.
const BODY_AT: usize = 40;

/// The newest manifest of the good store as generation 1.
fn honest_manifest() -> Vec<u8> {
    let Some(manifest) = newest_manifest(&good_store()) else { unreachable!("a good store has one") };
    Manifest { generation: 1, ..manifest }.encode()
}

/// The same with `body` as its body, in format version `version`.
fn with_body(body: &[u8], version: u32) -> Vec<u8> {
    let honest = honest_manifest();
    let (magic, id) = (&honest[..8], &honest[16..24]);
    let number = |bytes: &[u8]| bytes.try_into().map_or(0, u64::from_le_bytes);
    let salt = seed(&[number(magic), number(id), 1]);
    let mut file = Writer::after(honest[..BODY_AT - 4].to_vec());
    file.set_u32(8, version);
    file.set_u32(12, version);
    file.prefixed(body);
    let crc = salted_crc32c(salt, file.as_slice());
    file.u32(crc);
    file.into_vec()
}

/// Opens `bytes` as a segment, tombstones or side files, or opens a store with the damage that `bytes` choose. Returns
/// whether anything opened.
pub(super) fn fuzz_segment_open(bytes: &[u8]) -> bool {
    let Some((&how, rest)) = bytes.split_first() else { return false };
    match how % 4 {
        0 => fuzz::fuzz_segment_open(rest),
        1 => fuzz::fuzz_dead_file(rest),
        3 => fuzz_missed(rest) | fuzz_operation_ids(rest),
        _ => {
            let storage = good_store();
            damage(&storage, &mut |files| replace_bytes(files, rest));
            use_store(&storage)
        }
    }
}

/// Replaces bytes of the files, each chosen by a byte.
fn replace_bytes(files: &mut [FuzzFile], bytes: &[u8]) {
    let mut reader = Reader::new(bytes);
    while let Ok([file, low, high, value]) = reader.array() {
        let count = files.len();
        let Some((_, content)) = files.get_mut(usize::from(file) % count.max(1)) else { return };
        // Half of the damage is near the beginning, where the fields are.
        let place = usize::from(u16::from_le_bytes([low, high]));
        let place = if file < 128 { place % content.len().min(512) } else { place % content.len() };
        content[place] = value;
    }
}
