//! Functions that fuzz targets and seeded tests share. They give any bytes, with valid checksums, to every reader.

use crate::filter::{Filter, ItemFacts};
use crate::ids::{Id, RowId, VectorId};
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::blob::file::{BlobFile, identity};
use crate::segment::blob::packed::Unpacker;
use crate::segment::blocks::{ALIGNMENT, CheckedMap, FIELDS_AT, FinishedFile, HEADER_BYTES, forge};
use crate::segment::tombstones::Touch;
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::truth::layout::{Header, Section, StoreIdentity, blob_name, truth_name};
use crate::segment::truth::reader::SegmentFiles;
use crate::storage::Storage;
use crate::storage::sim::SimStorage;
use crate::types::Interval;

/// The largest number of blob files that are forged.
const BLOBS_MAX: usize = 4;

/// Opens `bytes` as a truth file and as its blob files, with valid checksums, and reads rows, vectors and values.
/// Returns whether it opened.
pub fn fuzz_segment_open(bytes: &[u8]) -> bool {
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
    let Ok(file) = CheckedMap::open(&storage, truth_name(1), keys.truth(1)) else { return false };
    let Ok(header) = Header::decode(file.fields(), file.body_end()) else { return false };
    (keys.space, keys.space_id) = (header.space, header.space_id);
    let (length, header_crc) = (finished.length, finished.header_crc);
    let files = SegmentFiles { file_id: 1, length, header_crc, codes: None, fields: None, lsn_base: Lsn::ZERO };
    let Ok(segment) = Segment::open(&storage as &dyn Storage, &keys, &files) else { return false };
    read_some(&segment);
    segment.verify();
    true
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
pub(crate) fn read_some(segment: &Segment) {
    let Ok(probe) = Filter::eq("n", 7).prepare() else { return };
    let rows = segment.rows();
    for row in (0..rows.min(20)).chain(rows.saturating_sub(5)..rows.saturating_add(2)).map(RowId) {
        let _ = (segment.record(row), segment.times(row), segment.value(row));
        let _ = segment.unread_value(row).and_then(|value| value.matches(&probe, &ItemFacts::NONE));
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

const DEAD: TombstoneFile = TombstoneFile { store_id: 1, file_id: 2, generation: 3, rows: 1_000 };

/// Decodes `bytes` as tombstones, first as they are, then with valid ids and a valid checksum. Returns whether any were
/// decoded.
pub fn fuzz_dead_file(bytes: &[u8]) -> bool {
    fuzz_tombstones(bytes) | fuzz_tombstones(&DEAD.forge(bytes.to_vec()))
}

/// A file of tombstones without the checksum at its end.
pub fn good_tombstones() -> Vec<u8> {
    let touch = |row| Touch { row: RowId(row), expires_at: 77, lsn: Lsn::new(6) };
    let dead = (100..160).chain([3, 999]).collect();
    let mut bytes = DEAD.encode(Lsn::new(7), &dead, &[touch(5), touch(998)]).unwrap_or_default();
    bytes.truncate(bytes.len().saturating_sub(4));
    bytes
}

/// The same bytes with valid ids and a valid checksum.
pub fn forge_tombstones(bytes: Vec<u8>) -> Vec<u8> {
    DEAD.forge(bytes)
}

/// Decodes tombstones. Returns whether they were decoded; if so, what they say can be written and is read again.
pub fn fuzz_tombstones(bytes: &[u8]) -> bool {
    let Ok((tombstones, base)) = DEAD.decode(bytes) else { return false };
    let dead: Vec<RowId> = tombstones.died_up_to(base).collect();
    let touches: Vec<Touch> = tombstones.touches().collect();
    assert!(dead.iter().all(|row| row.0 < DEAD.rows), "rows that do not exist");
    let again = DEAD.encode(base, &dead.iter().map(|row| row.0).collect(), &touches);
    let again = again.and_then(|again| DEAD.decode(&again));
    let Ok((again, base)) = again else { panic!("what was read can be written: {:?}", again.err()) };
    assert_eq!((again.died_up_to(base).collect(), again.touches().collect()), (dead, touches));
    true
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
