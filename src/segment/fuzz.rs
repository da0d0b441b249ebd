//! Functions that fuzz targets and seeded tests share. They give any bytes, with valid checksums, to every reader.

use crate::filter::Filter;
use crate::ids::{Id, RowId, VectorId};
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::blob::file::{BlobFile, identity};
use crate::segment::blob::packed::Unpacker;
use crate::segment::blocks::{ALIGNMENT, CheckedMap, FIELDS_AT, FinishedFile, HEADER_BYTES, forge};
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::truth::layout::{Header, Section, StoreIdentity, blob_name, truth_name};
use crate::segment::truth::reader::SegmentFiles;
use crate::storage::Storage;
use crate::storage::sim::SimStorage;
use crate::types::Interval;

/// The largest number of blob files that are forged.
const BLOBS_MAX: usize = 4;

/// Opens `bytes` as a truth file and as its blob files, with valid checksums, and reads rows, vectors and values.
pub fn fuzz_segment_open(bytes: &[u8]) {
    let storage = SimStorage::new(1);
    let mut keys = StoreIdentity { store_id: 1, secret: [1, 2], space: None, space_id: Default::default() };
    let mut truth = bytes.to_vec();
    truth.resize(truth.len().max(HEADER_BYTES).next_multiple_of(ALIGNMENT), 0);
    pin_blobs(&mut truth, |file_id| {
        let (image, finished) = forge(bytes.to_vec(), identity(1, file_id));
        storage.write_file(&blob_name(file_id), &image);
        Some(finished)
    });
    let (image, finished) = forge(truth, keys.truth(1));
    storage.write_file(&truth_name(1), &image);
    let Ok(file) = CheckedMap::open(&storage, truth_name(1), keys.truth(1)) else { return };
    let Ok(header) = Header::decode(file.fields(), file.body_end()) else { return };
    (keys.space, keys.space_id) = (header.space, header.space_id);
    let (length, header_crc) = (finished.length, finished.header_crc);
    let files = SegmentFiles { file_id: 1, length, header_crc, codes: None, lsn_base: Lsn::ZERO };
    if let Ok(segment) = Segment::open(&storage as &dyn Storage, &keys, &files) {
        read_some(&segment);
        segment.verify();
    }
}

/// Changes the list of blob files in a truth file: it names the files that `forged` makes for their ids. The caller
/// computes the checksums of the truth file afterwards.
pub(crate) fn pin_blobs(truth: &mut [u8], mut forged: impl FnMut(u64) -> Option<FinishedFile>) {
    let Some(fields) = truth.get(FIELDS_AT..HEADER_BYTES) else { return };
    let Ok(header) = Header::decode(fields, truth.len()) else { return };
    let list = &mut truth[header.section(Section::BlobFiles)];
    for entry in list.chunks_exact_mut(size_of::<BlobFile>()).take(BLOBS_MAX) {
        let file: BlobFile = bytemuck::pod_read_unaligned(entry);
        if let Some(FinishedFile { length, header_crc }) = forged(file.file_id) {
            entry.copy_from_slice(bytemuck::bytes_of(&BlobFile { length, header_crc, ..file }));
        }
    }
}

/// Reads the first and last rows by all methods. Errors are fine, but ranges outside of the segment are not.
pub(super) fn read_some(segment: &Segment) {
    let Ok(probe) = Filter::eq("n", 7).prepare() else { return };
    let rows = segment.rows();
    for row in (0..rows.min(20)).chain(rows.saturating_sub(5)..rows.saturating_add(2)).map(RowId) {
        let _ = (segment.record(row), segment.times(row), segment.value(row));
        let _ = segment.unread_value(row).and_then(|value| value.matches(&probe));
        let vectors = segment.row_vectors(row).unwrap_or_default();
        assert!(vectors.start <= vectors.end && vectors.end.0 <= segment.vectors(), "vectors that do not exist");
        if let Ok(stored) = segment.row(row) {
            let _ = segment.find(stored.namespace, stored.key);
            let own = segment.interval(&Interval::of_namespace(stored.namespace)).unwrap_or_default();
            assert!(own.start <= own.end && own.end.0 <= rows, "rows that do not exist");
            let high = [stored.namespace, &[0xFF]].concat();
            let _ = segment.interval(&Interval { low: stored.namespace.to_vec(), high });
            let _ = segment.seek_key(segment.all_rows(), stored.key);
        }
    }
    for vector in (0..segment.vectors().min(20)).chain([segment.vectors(), u32::MAX]).map(VectorId) {
        let _ = (segment.vector(vector), segment.inverse_norm(vector), segment.vector_path(vector));
    }
    let _ = (segment.find(b"a\0", "absent"), segment.interval(&Interval::everything()));
    let _ = (segment.namespace(u32::MAX), segment.namespace_rows(u32::MAX), segment.lsns(RowId::range(0..u32::MAX)));
    let _ = segment.ensure_rows(RowId::range(0..u32::MAX), &[Section::Lsn, Section::FirstVector]);
}

/// Decodes `bytes` as tombstones, first as they are, then with valid ids and a valid checksum.
pub fn fuzz_dead_file(bytes: &[u8]) {
    let file = TombstoneFile { store_id: 1, file_id: 2, generation: 3, rows: 1_000 };
    let _ = file.decode(bytes);
    let _ = file.decode(&file.forge(bytes.to_vec()));
}

/// The packed values at all positions of `bytes`, as far as each can be unpacked. Those up to 1 KiB are left out.
pub(crate) fn packed_values(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for start in 0..bytes.len() {
        let Ok(mut unpacker) = Unpacker::new(&bytes[start..]) else { continue };
        let mut value = Vec::new();
        // The bytes after the last block make `next_block` fail, but only after it has appended the block.
        while !unpacker.is_complete() && unpacker.next_block(&mut value).is_ok() {}
        if value.len() > 1_024 {
            found.push(value);
        }
    }
    found
}
