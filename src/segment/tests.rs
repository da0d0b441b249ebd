//! Segments against a model of them, and against damage.

use std::collections::BTreeMap;
use std::sync::Arc;

use roaring::RoaringBitmap;

use super::blocks::{HEADER_BYTES, forge};
use super::fuzz::{fuzz_dead_file, fuzz_segment_open, read_some};
use crate::distance::Kernels;
use crate::error::{ErrorKind, Result};
use crate::ids::{Id, IdRange, RowId, VectorId};
use crate::quant;
use crate::random::Random;
use crate::record::{ItemContent, Lsn, Record};
use crate::segment::Segment;
use crate::segment::blob::file::BlobFile;
use crate::segment::blob::values::KnownBlobs;
use crate::segment::tombstones::file::TombstoneFile;
use crate::segment::tombstones::{Tombstones, Touch};
use crate::segment::truth::input::ValueInput;
use crate::segment::truth::layout::{Section, StoreIdentity, blob_name, codes_name, truth_name};
use crate::segment::truth::reader::SegmentFiles;
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals, rebuild_codes};
use crate::storage::sim::SimStorage;
use crate::types::{FieldVector, Interval, Metric, NEVER, Namespace, Scope, VectorSpace};

fn text(random: &mut Random, length: usize) -> String {
    (0..random.below(length)).map(|_| *random.pick(&["a", "b", "/", "\0", "é", "🦀"])).collect()
}

/// Rows in the order of a segment, each with its LSN.
type Model = BTreeMap<(Vec<u8>, String), (Lsn, Record)>;

fn random_model(random: &mut Random, rows: usize, dims: usize) -> Model {
    let mut model = Model::new();
    while model.len() < rows {
        let labels: Vec<String> = (0..1 + random.below(3)).map(|_| format!("{}.", text(random, 3))).collect();
        let (namespace, key) = (Namespace::new(labels).unwrap(), text(random, 9));
        let vectors = if dims == 0 { 0 } else { [0, 1, 1, 1, 3][random.below(5) as usize] };
        let vector = |random: &mut Random| FieldVector {
            path: ["", "text", "notes.0"][random.below(3) as usize].into(),
            values: (0..dims).map(|_| random.below(2_001) as f32 / 1_000.0 - 1.0).collect(),
        };
        let more = [0, 0, 0, 20, 200][random.below(5) as usize];
        let record = Record {
            content: Arc::new(ItemContent {
                namespace: namespace.clone(),
                key: key.as_str().into(),
                value: format!("{{\"text\":{:?},\"more\":\"{}\"}}", text(random, 40), "ab".repeat(more)).into(),
                ttl: random.below(3) as i64,
                index_paths: (0..random.below(3))
                    .map(|_| Arc::from(["text", "title"][random.below(2) as usize]))
                    .collect(),
                vectors: (0..vectors).map(|_| vector(random)).collect(),
                text_hashes: (0..if more == 20 { vectors } else { 0 })
                    .map(|number| number as u128 + (1 << 90))
                    .collect(),
                space: Default::default(),
                extensions: match random.below(4) {
                    0 => crate::extensions::Extensions::default().with(1, false, key.as_bytes()),
                    _ => Default::default(),
                },
            }),
            created_at: random.below(1 << 30) as i64 - 5,
            updated_at: random.below(1 << 30) as i64,
            expires_at: if random.below(4) == 0 { random.below(1 << 30) as i64 } else { NEVER },
            flags: 0,
        };
        let lsn = Lsn::new(1 + random.below(1 << 40));
        model.insert((namespace.encoded().to_vec(), key), (lsn, record));
    }
    model
}

fn keys(dims: usize) -> StoreIdentity {
    let space = (dims > 0).then_some(VectorSpace { dims, metric: Metric::Cosine });
    StoreIdentity { store_id: 77, secret: [3, 4], space, space_id: Default::default() }
}

/// Values of that many bytes lie in the blob file.
const LARGE: usize = 70;

fn write(storage: &SimStorage, keys: &StoreIdentity, file_id: u64, model: &Model) -> SegmentInfo {
    let mut totals = Totals::new(LARGE);
    model.values().for_each(|(_, record)| totals.add(record.vectors.len(), record.value.len()));
    let mut writer = SegmentWriter::create(storage, keys, file_id, totals).unwrap();
    for (lsn, record) in model.values() {
        writer.push_record(record, *lsn, &[]).unwrap();
    }
    writer.finish().unwrap()
}

/// Everything a reader can learn from a segment, or the first error.
fn contents(segment: &Segment) -> Result<Vec<(Lsn, Record)>> {
    segment.all_rows().ids().map(|row| Ok((segment.lsn(row)?, segment.record(row)?))).collect()
}

#[test]
fn a_segment_says_what_was_written() {
    for (seed, dims, rows) in [(1, 0, 1), (2, 0, 300), (3, 1, 40), (4, 3, 500), (5, 64, 200), (6, 100, 2_000)] {
        println!("seed {seed}, {dims} dimensions, {rows} rows");
        let (mut random, storage, keys) = (Random::new(seed), SimStorage::new(seed), keys(dims));
        let model = random_model(&mut random, rows, dims);
        let info = write(&storage, &keys, 1, &model);
        let segment = Segment::open(&storage, &keys, &info.files).unwrap();
        assert_eq!(contents(&segment).unwrap(), model.values().cloned().collect::<Vec<_>>());
        assert_eq!(segment.codes_problem(), None);
        assert!(segment.verify().is_empty(), "{:?}", segment.verify());
        for (row, (namespace, key)) in (0..).map(RowId).zip(model.keys()) {
            assert_eq!(segment.find(namespace, key).unwrap(), Some(row));
            let absent = format!("{key}?");
            assert_eq!(
                segment.find(namespace, &absent).unwrap().is_some(),
                model.contains_key(&(namespace.clone(), absent))
            );
        }
        for _ in 0..200 {
            check_interval(&mut random, &segment, &model);
        }
        let again = write(&storage, &keys, 2, &model);
        assert_eq!(info.counts, again.counts);
        assert_eq!(info.oldest_lsn, model.values().map(|&(lsn, _)| lsn).min().unwrap());
        assert_eq!(info.earliest_expiry, model.values().map(|(_, record)| record.expires_at).min().unwrap());
    }
}

fn check_interval(random: &mut Random, segment: &Segment, model: &Model) {
    let (namespace, key) = model.keys().nth(random.below(model.len() as u64) as usize).unwrap();
    let known = Namespace::from_encoded(namespace);
    let other = Namespace::new([format!("{}.", text(random, 3))]).unwrap();
    let interval = match random.below(6) {
        0 => Scope::from(&known).interval(),
        1 => Scope::from(&other).interval(),
        2 => Scope::prefix(&known.labels()[..1]).unwrap().interval(),
        3 => Scope::Prefix(other).interval(),
        4 => Scope::Store.interval(),
        _ => Interval::everything(),
    };
    let inside = |encoded: &Vec<u8>| interval.contains(encoded);
    let first = model.keys().position(|(encoded, _)| inside(encoded));
    let count = model.keys().filter(|(encoded, _)| inside(encoded)).count() as u32;
    let rows = segment.interval(&interval).unwrap();
    assert_eq!(rows.len() as u32, count, "{interval:?}");
    assert!(first.is_none_or(|first| RowId::from_index(first) == rows.start), "{interval:?}");
    let rows = segment.interval(&Interval::of_namespace(namespace)).unwrap();
    let sought = segment.seek_key(rows.clone(), key).unwrap();
    assert_eq!(segment.key(sought).unwrap(), key);
    assert_eq!(segment.seek_key(rows.clone(), "\u{10FFFF}").unwrap(), rows.end);
}

#[test]
fn copies_and_rebuilt_codes_are_the_same_bytes() {
    let (storage, keys) = (SimStorage::new(1), keys(70));
    let model = random_model(&mut Random::new(9), 700, 70);
    let info = write(&storage, &keys, 1, &model);
    let segment = Segment::open(&storage, &keys, &info.files).unwrap();
    let codes = segment.codes(segment.all_vectors()).unwrap();
    for vector in segment.all_vectors().ids() {
        let mut code = vec![0; quant::stride(70)];
        let meta = quant::encode(Kernels::get(), segment.vector(vector).unwrap(), &mut code);
        assert_eq!(codes.code(vector), Some((code.as_slice(), meta)));
    }
    let mut totals = Totals::new(LARGE);
    model.values().for_each(|(_, record)| totals.add(record.vectors.len(), record.value.len()));
    let other = SimStorage::new(2);
    let mut writer = SegmentWriter::create(&other, &keys, 1, totals).unwrap();
    for row in segment.all_rows().ids() {
        let value = segment.value(row).unwrap();
        let value = ValueInput::Text(&value);
        assert_eq!(writer.push_copy(&segment, row, segment.times(row).unwrap().expires_at, value).unwrap(), row);
    }
    assert_eq!(writer.finish().unwrap(), info);
    for name in [truth_name(1), codes_name(1), blob_name(1)] {
        assert!(storage.read_file(&name).is_some());
        assert_eq!(storage.read_file(&name), other.read_file(&name));
    }
    let rebuilt = rebuild_codes(&storage, &keys, &segment, 8).unwrap();
    storage.flip_bit(&codes_name(1), 8 * (HEADER_BYTES as u64 + 5));
    let damaged = Segment::open(&storage, &keys, &info.files).unwrap();
    assert!(damaged.codes(VectorId::range(0..1)).is_none() && damaged.codes_problem().is_some());
    let healed = Segment::open(&storage, &keys, &SegmentFiles { codes: Some(rebuilt), ..info.files }).unwrap();
    assert!(healed.verify().is_empty() && healed.codes(healed.all_vectors()).is_some());
}

#[test]
fn a_writer_refuses_what_does_not_fit() {
    let (storage, keys) = (SimStorage::new(1), keys(2));
    let model = random_model(&mut Random::new(5), 2, 2);
    let rows: Vec<&Record> = model.values().map(|(_, record)| record).collect();
    let mut totals = Totals::new(usize::MAX);
    rows.iter().for_each(|record| totals.add(record.vectors.len(), record.value.len()));
    let writer = |file_id, totals| SegmentWriter::create(&storage, &keys, file_id, totals).unwrap();
    let mut backwards = writer(1, totals);
    backwards.push_record(rows[1], Lsn::new(1), &[]).unwrap();
    assert!(
        backwards.push_record(rows[0], Lsn::new(2), &[]).is_err()
            && backwards.push_record(rows[1], Lsn::new(2), &[]).is_err()
    );
    assert!(backwards.finish().is_err());
    let mut short = writer(2, Totals { value_bytes: totals.value_bytes - 1, ..totals });
    short.push_record(rows[0], Lsn::new(1), &[]).unwrap();
    assert!(short.push_record(rows[1], Lsn::new(2), &[]).is_err());
    assert!(SegmentWriter::create(&storage, &keys, 3, Totals::new(usize::MAX)).is_err());
    assert!(SegmentWriter::create(&storage, &super::tests::keys(0), 4, Totals { vectors: 1, ..totals }).is_err());
}

#[test]
fn a_flipped_bit_is_noticed_or_harmless() {
    let keys = keys(5);
    let storage = SimStorage::new(1);
    let model = random_model(&mut Random::new(11), 150, 5);
    let info = write(&storage, &keys, 1, &model);
    let truth: Vec<(Lsn, Record)> = model.values().cloned().collect();
    for name in [truth_name(1), codes_name(1), blob_name(1)] {
        let bits = 8 * storage.read_file(&name).unwrap().len() as u64;
        for bit in (0..bits).step_by(97) {
            storage.flip_bit(&name, bit);
            match Segment::open(&storage, &keys, &info.files) {
                Err(error) => {
                    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NewerFormat), "bit {bit}: {error}");
                    assert!(name == truth_name(1) && error.to_string().contains(&name), "bit {bit}: {error}");
                }
                Ok(segment) => {
                    assert!(!segment.verify().is_empty() || segment.codes_problem().is_some(), "bit {bit} of {name}");
                    match contents(&segment) {
                        Ok(found) => assert_eq!(found, truth, "bit {bit} of {name}"),
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Damaged, "bit {bit}: {error}"),
                    }
                    for (row, (namespace, key)) in (0..).map(RowId).zip(model.keys()).step_by(13) {
                        assert!(
                            segment.find(namespace, key).is_ok_and(|found| found == Some(row)) || name == truth_name(1)
                        );
                    }
                }
            }
            storage.flip_bit(&name, bit);
        }
    }
    let segment = Segment::open(&storage, &keys, &info.files).unwrap();
    assert!(segment.verify().is_empty());
}

#[test]
fn damage_stays_where_it_is() {
    let (storage, keys) = (SimStorage::new(1), keys(100));
    let model = random_model(&mut Random::new(12), 2_000, 100);
    let info = write(&storage, &keys, 1, &model);
    let first_row_vectors = 8 * HEADER_BYTES as u64;
    storage.flip_bit(&truth_name(1), first_row_vectors);
    let segment = Segment::open(&storage, &keys, &info.files).unwrap();
    let fails = |row: RowId| segment.record(row).is_err_and(|error| error.kind() == ErrorKind::Damaged);
    let failing = segment.all_rows().ids().filter(|&row| fails(row)).count();
    assert!(failing > 0 && failing < 400, "{failing} of {} rows fail", segment.rows());
    assert_eq!(segment.verify().len(), 1);
    let whole = segment.vectors();
    assert!(
        segment.ensure_vectors(VectorId::range(0..1), &[Section::Vectors]).is_err()
            && segment.ensure_vectors(VectorId::range(0..0), &[Section::Vectors]).is_ok()
    );
    assert!(
        segment.ensure_vectors(VectorId::range(whole - 9..whole), &[Section::Vectors, Section::InverseNorm]).is_ok()
    );
    let first_vectors = 8 * segment.header().section(Section::FirstVector).end as u64 - 8;
    storage.flip_bit(&truth_name(1), first_vectors);
    let segment = Segment::open(&storage, &keys, &info.files).unwrap();
    let rows = segment.rows();
    assert!(segment.ensure_rows(RowId::range(rows - 1..rows + 1), &[Section::FirstVector]).is_err());
    storage.flip_bit(&truth_name(1), first_vectors);
    let segment = Segment::open(&storage, &keys, &info.files).unwrap();
    assert!(segment.all_rows().ids().all(|row| segment.row(row).is_ok()));
}

#[test]
fn a_damaged_blob_file_fails_its_values_only() {
    let (storage, keys) = (SimStorage::new(1), keys(5));
    let model = random_model(&mut Random::new(19), 3_000, 5);
    let info = write(&storage, &keys, 1, &model);
    let blob = storage.read_file(&blob_name(1)).unwrap();
    let large: Vec<RowId> = (0..)
        .map(RowId)
        .zip(model.values())
        .filter(|(_, (_, record))| record.value.len() >= LARGE)
        .map(|(row, _)| row)
        .collect();
    assert!(blob.len() > HEADER_BYTES + 66_000 && large.len() < 2_000, "several blocks, and rows that have none");
    let failing = || {
        let segment = Segment::open(&storage, &keys, &info.files).unwrap();
        assert!(segment.verify_truth(&|| Ok(())).is_empty() && !segment.verify_blobs(&|| Ok(())).is_empty());
        let rows = segment.all_rows().ids().filter(|&row| match segment.record(row) {
            Ok(record) => model.values().nth(row.index()).is_none_or(|(_, known)| *known != record),
            Err(error) => {
                assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains(&blob_name(1)), "{error}");
                true
            }
        });
        rows.collect::<Vec<RowId>>()
    };
    storage.flip_bit(&blob_name(1), 8 * (HEADER_BYTES as u64 + 65_536) + 9);
    let some = failing();
    assert!(!some.is_empty() && some.len() < large.len() && some.iter().all(|row| large.contains(row)));
    storage.write_file(&blob_name(1), &blob[..blob.len() - 64]);
    assert_eq!(failing(), large);
    storage.write_file(&blob_name(1), &[&blob[..], &[0]].concat());
    assert_eq!(failing(), large);
    write(&storage, &keys, 2, &random_model(&mut Random::new(20), 3_000, 5));
    storage.write_file(&blob_name(1), &storage.read_file(&blob_name(2)).unwrap());
    assert_eq!(failing(), large);
    storage.remove_file(&blob_name(1));
    assert_eq!(failing(), large);
    storage.write_file(&blob_name(1), &blob);
    assert!(Segment::open(&storage, &keys, &info.files).unwrap().verify().is_empty());
}

#[test]
fn a_list_of_blob_files_that_cannot_be_true_fails_their_values_only() {
    let (storage, keys) = (SimStorage::new(1), keys(2));
    let model = random_model(&mut Random::new(23), 300, 2);
    let info = write(&storage, &keys, 1, &model);
    let large = |row: RowId| model.values().nth(row.index()).is_some_and(|(_, record)| record.value.len() >= LARGE);
    let only_large_fail = |files: &SegmentFiles, named: Option<&[BlobFile]>, what: &str| {
        let known = KnownBlobs { named, opened: &[] };
        let segment = Segment::open_knowing(&storage, &keys, files, &known).unwrap();
        for row in segment.all_rows().ids() {
            match segment.record(row) {
                Ok(_) => assert!(!large(row) || what.is_empty(), "{row}"),
                Err(error) => assert!(large(row) && error.kind() == ErrorKind::Damaged, "{row}: {error}"),
            }
        }
        let problems = segment.verify_blobs(&|| Ok(()));
        assert!(if what.is_empty() { problems.is_empty() } else { problems[0].to_string().contains(what) });
        assert!(segment.live_blob_bytes(|row| !large(row)).unwrap().is_empty(), "nobody needs the list");
        assert_eq!(segment.live_blob_bytes(|_| true).is_err(), !what.is_empty());
    };
    only_large_fail(&info.files, Some(&info.blobs), "");
    let other = BlobFile { header_crc: !info.blobs[0].header_crc, ..info.blobs[0] };
    only_large_fail(&info.files, Some(&[other]), "other blob files than the manifest");
    only_large_fail(&info.files, Some(&[]), "other blob files than the manifest");
    only_large_fail(&info.files, Some(&[info.blobs[0], info.blobs[0]]), "other blob files than the manifest");
    // A list that both name, with one file twice.
    let mut totals = Totals::new(LARGE);
    model.values().for_each(|(_, record)| totals.add(record.vectors.len(), record.value.len()));
    let mut writer = SegmentWriter::create(&storage, &keys, 2, totals).unwrap().keeping(vec![info.blobs[0]; 2]);
    for (lsn, record) in model.values() {
        writer.push_record(record, *lsn, &[]).unwrap();
    }
    let twice = writer.finish().unwrap();
    only_large_fail(&twice.files, Some(&twice.blobs), "twice");
}

#[test]
fn a_cut_file_is_refused() {
    let (storage, keys) = (SimStorage::new(1), keys(5));
    let info = write(&storage, &keys, 1, &random_model(&mut Random::new(13), 50, 5));
    let bytes = storage.read_file(&truth_name(1)).unwrap();
    for length in (0..bytes.len()).step_by(61).chain([4_095, 4_096, bytes.len() - 1]) {
        storage.write_file(&truth_name(1), &bytes[..length]);
        let error = Segment::open(&storage, &keys, &info.files).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{length}: {error}");
    }
    storage.write_file(&truth_name(1), &[&bytes[..], &[0]].concat());
    assert!(Segment::open(&storage, &keys, &info.files).is_err());
    storage.remove_file(&truth_name(1));
    assert!(Segment::open(&storage, &keys, &info.files).is_err());
}

#[test]
fn a_file_from_elsewhere_is_refused() {
    let (storage, keys) = (SimStorage::new(1), keys(5));
    let model = random_model(&mut Random::new(14), 50, 5);
    let info = write(&storage, &keys, 1, &model);
    let other = write(&storage, &keys, 2, &random_model(&mut Random::new(15), 50, 5));
    let refused = |keys: &StoreIdentity, files: &SegmentFiles| Segment::open(&storage, keys, files).is_err();
    assert!(refused(&StoreIdentity { store_id: 78, ..keys }, &info.files));
    assert!(refused(&StoreIdentity { space: None, ..keys }, &info.files));
    assert!(
        refused(&StoreIdentity { space_id: crate::record::SpaceId(1), ..keys }, &info.files),
        "another vector space"
    );
    assert!(refused(&keys, &SegmentFiles { header_crc: !info.files.header_crc, ..info.files }));
    let own = storage.read_file(&truth_name(1)).unwrap();
    storage.write_file(&truth_name(1), &storage.read_file(&truth_name(2)).unwrap());
    assert!(refused(&keys, &info.files));
    storage.write_file(&truth_name(1), &own);
    storage.write_file(&codes_name(1), &storage.read_file(&codes_name(2)).unwrap());
    let swapped = Segment::open(&storage, &keys, &info.files).unwrap();
    assert!(swapped.codes(VectorId::range(0..1)).is_none() && swapped.codes_problem().is_some());
    let borrowed = SegmentFiles { codes: other.files.codes, ..info.files };
    assert!(Segment::open(&storage, &keys, &borrowed).unwrap().codes(VectorId::range(0..1)).is_none());
    let without = SegmentFiles { codes: None, ..info.files };
    assert!(Segment::open(&storage, &keys, &without).unwrap().codes_problem().is_some());
}

#[test]
fn an_extension_that_must_be_understood_is_refused_and_another_is_kept() {
    for (must_understand, expected) in [(false, None), (true, Some(ErrorKind::NewerFormat))] {
        let (storage, keys) = (SimStorage::new(1), keys(5));
        let mut model = random_model(&mut Random::new(18), 30, 5);
        let unknown = crate::extensions::Extensions::default().with(902, must_understand, b"later");
        model.values_mut().nth(7).unwrap().1.extensions = unknown;
        let info = write(&storage, &keys, 1, &model);
        let opened = Segment::open(&storage, &keys, &info.files);
        assert_eq!(opened.as_ref().err().map(crate::error::Error::kind), expected);
        if let Ok(segment) = opened {
            assert_eq!(segment.extensions(RowId(7)).unwrap().get(902), Some(&b"later"[..]));
            assert!(segment.verify().is_empty());
        }
    }
}

#[test]
fn hostile_bytes_with_good_checksums_do_no_harm() {
    let keys = StoreIdentity { store_id: 1, secret: [1, 2], space: keys(5).space, space_id: Default::default() };
    let storage = SimStorage::new(1);
    let model = random_model(&mut Random::new(16), 120, 5);
    let info = write(&storage, &keys, 1, &model);
    let whole = storage.read_file(&truth_name(1)).unwrap();
    let body = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    let (forged, finished) = forge(whole[..body].to_vec(), keys.truth(1));
    assert_eq!(
        (forged, finished.header_crc),
        (whole.clone(), info.files.header_crc),
        "a forgery of the original is it"
    );
    let mut random = Random::new(17);
    println!("seed 17");
    for round in 0..4_000_u64 {
        let mut bytes = whole[..body].to_vec();
        for _ in 0..1 + random.below(4) {
            // Half of the changes hit the header, whose fields steer everything else.
            let at = if round % 2 == 0 { 64 + random.below(800) } else { 64 + random.below(body as u64 - 64) } as usize;
            bytes[at] = [0, 1, 0x7F, 0xFF, random.below(256) as u8][random.below(5) as usize];
        }
        if round % 50 == 0 {
            bytes.truncate(random.below(body as u64) as usize);
        }
        fuzz_segment_open(&bytes);
    }
    let segment = Segment::open(&storage, &keys, &info.files).unwrap();
    read_some(&segment);
    assert!(segment.ensure_rows(segment.all_rows(), &[Section::Lsn]).is_ok());
}

#[test]
fn tombstones_round_trip_and_notice_damage() {
    let storage = SimStorage::new(1);
    let file = TombstoneFile { store_id: 5, file_id: 6, generation: 7, rows: 3_000 };
    let tombstones = Tombstones::new(3_000);
    tombstones.delete_range(RowId::range(1_000..1_600), Lsn::new(40), |_| Lsn::new(1));
    (0..3_000)
        .step_by(17)
        .for_each(|row| assert_eq!(tombstones.delete(RowId(row), Lsn::new(50)), !(1_000..1_600).contains(&row)));
    tombstones.delete(RowId(5), Lsn::new(99));
    tombstones.touch(Touch { row: RowId(7), expires_at: 1_234, lsn: Lsn::new(45) });
    tombstones.touch(Touch { row: RowId(8), expires_at: -1, lsn: Lsn::new(98) });
    file.write(&storage, &tombstones, Lsn::new(60)).unwrap();
    let (read, base) = file.read(&storage).unwrap();
    assert_eq!(base, Lsn::new(60));
    assert!(
        read.died_up_to(Lsn::new(60)).eq(tombstones.died_up_to(Lsn::new(60)))
            && read.dead_rows() == tombstones.dead_rows() - 1
    );
    assert_eq!(
        (read.expires_at(RowId(7), 0), read.expires_at(RowId(8), 0), read.expires_at(RowId(9), 3)),
        (1_234, -1, 3)
    );
    assert_eq!(read.touches().map(|touch| touch.lsn.get()).collect::<Vec<_>>(), [45, 60]);
    let bytes = storage.read_file(&file.name()).unwrap();
    for bit in 0..8 * bytes.len() {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(file.decode(&damaged).unwrap_err().kind(), ErrorKind::Corrupt, "bit {bit}");
    }
    assert!((0..bytes.len()).all(|length| file.decode(&bytes[..length]).is_err()));
    for other in [
        TombstoneFile { store_id: 9, ..file },
        TombstoneFile { file_id: 9, ..file },
        TombstoneFile { generation: 9, ..file },
    ] {
        assert!(other.decode(&bytes).is_err());
    }
    assert!(TombstoneFile { rows: 2_999, ..file }.decode(&bytes).is_err());
    let everything = RoaringBitmap::full();
    let hostile = file.encode(Lsn::new(60), &everything, &[]).unwrap();
    assert_eq!(file.decode(&hostile).unwrap_err().kind(), ErrorKind::Corrupt, "four billion dead rows");
    let mut random = Random::new(18);
    println!("seed 18");
    for _ in 0..3_000 {
        let mut hostile = bytes[..bytes.len() - 4].to_vec();
        (0..1 + random.below(5))
            .for_each(|_| hostile[52 + random.below(bytes.len() as u64 - 60) as usize] = random.below(256) as u8);
        hostile.truncate(64 + random.below(2 * bytes.len() as u64) as usize);
        fuzz_dead_file(&hostile);
    }
}
