//! The log against the disk that tears: what was synced is read back, and nothing that was not written.

use std::sync::Arc;

use super::frame::FRAME_HEADER_BYTES;
use super::fuzz::fuzz_replay;
use super::operations::decode_operations;
use super::*;
use crate::codec::seed;
use crate::error::{ErrorKind, Result};
use crate::extensions::Extensions;
use crate::random::Random;
use crate::record::{ItemContent, Lsn, Operation, Record, SpaceId};
use crate::storage::Storage;
use crate::storage::sim::{Fault, FaultKind, Loss, SimOperation, SimStorage};
use crate::types::{FieldVector, Interval, NEVER, Namespace, limits, system_namespace};

const STORE: u64 = 0x1234_5678_9ABC_DEF0;

fn namespace(labels: &[&str]) -> Namespace {
    Namespace::new(labels).unwrap()
}

fn delete(key: impl ToString) -> Operation {
    Operation::Delete { namespace: namespace(&["a"]), key: key.to_string().into() }
}

fn one_of_each() -> Vec<Operation> {
    let vector = |path: &str, values: &[f32]| FieldVector { path: path.into(), values: values.into() };
    let full = Record {
        content: Arc::new(ItemContent {
            namespace: namespace(&["users", "a\0b", "é/."]),
            key: "k\0\n".into(),
            value: r#"{"text":"ü"}"#.into(),
            ttl: 5,
            index_paths: vec!["text".into(), "notes.0".into()],
            vectors: vec![vector("text", &[1.0, -0.0, 1e-40]), vector("", &[0.5, f32::MAX, f32::MIN])],
            text_hashes: vec![0, 1 << 127 | 5],
            space: SpaceId(3),
            extensions: Extensions::default().with(1, false, b"context").with(900, false, b""),
        }),
        created_at: -1,
        updated_at: 1 << 50,
        expires_at: 77,
        flags: 0,
    };
    let namespace = system_namespace("cache");
    let bare = Record {
        content: Arc::new(ItemContent {
            namespace: namespace.clone(),
            key: "".into(),
            value: "{}".into(),
            index_paths: Vec::new(),
            vectors: Vec::new(),
            text_hashes: Vec::new(),
            space: SpaceId::default(),
            extensions: Extensions::default(),
            ..ItemContent::clone(&full.content)
        }),
        expires_at: NEVER,
        ..full.clone()
    };
    vec![
        Operation::Put(Arc::new(full)),
        Operation::Put(Arc::new(bare)),
        Operation::Delete { namespace: namespace.clone(), key: "k".into() },
        Operation::DeleteRange { interval: Interval::everything() },
        Operation::Touch { namespace, key: "t".into(), version: Lsn::new(9), expires_at: NEVER },
    ]
}

fn frame(first_lsn: u64, operations: &[Operation]) -> Frame {
    let mut body = Vec::new();
    operations.iter().for_each(|operation| encode_operation(&mut body, operation));
    let clock = 1000 + first_lsn as i64;
    Frame {
        kind: FrameKind::Batch,
        first_lsn: Lsn::new(first_lsn),
        count: operations.len() as u32,
        clock,
        flags: 0,
        body: body.into(),
    }
}

/// A prepared file whose name is durable, too.
fn prepare(storage: &dyn Storage, id: u64, bytes: u64) -> Result<PreparedFile> {
    let prepared = super::prepare(storage, id, bytes)?;
    storage.sync_dir().map(|()| prepared)
}

fn started(storage: &dyn Storage, id: u64, bytes: u64) -> LogWriter {
    LogWriter::create(storage, Arc::default(), STORE, prepare(storage, id, bytes).unwrap(), None, 1).unwrap()
}

/// Goes on with a log after whatever happened to it.
fn reopened(storage: &dyn Storage) -> Result<LogWriter> {
    let facts = inspect(storage, STORE, 0)?;
    assert!(!matches!(facts.tail, Tail::Corrupt { .. }), "{:?}", facts.tail);
    let first = prepare(storage, facts.next_file_id, 0)?;
    LogWriter::create(storage, Arc::default(), STORE, first, Some(&facts), 1)
}

/// Writes a batch of one delete after `writer`'s last LSN.
fn put_one(writer: &mut LogWriter, key: impl ToString, durable_lsn: u64) -> Result<()> {
    writer.write(&[frame(writer.last_lsn().next().get(), &[delete(key)])], Lsn::new(durable_lsn))
}

fn read(storage: &dyn Storage) -> Result<(LogFacts, Vec<Operation>)> {
    let facts = inspect(storage, STORE, 0)?;
    let mut operations = Vec::new();
    let mut next_lsn = facts.base_lsn.next();
    visit(storage, STORE, &facts, next_lsn, &mut |header, some| {
        assert_eq!(header.first_lsn, next_lsn);
        next_lsn = next_lsn + u64::from(header.count);
        operations.extend(some.operations);
        Ok(())
    })?;
    assert_eq!(next_lsn, facts.last_lsn + 1);
    Ok((facts, operations))
}

#[test]
fn the_bytes_of_a_put_with_everything_are_fixed() {
    let put = |extensions, vectors: Vec<FieldVector>, text_hashes| Record {
        content: Arc::new(ItemContent {
            namespace: namespace(&["n"]),
            key: "k".into(),
            value: "{}".into(),
            ttl: 4,
            index_paths: vec!["t".into()],
            vectors,
            text_hashes,
            space: SpaceId(7),
            extensions,
        }),
        created_at: 1,
        updated_at: 2,
        expires_at: 3,
        flags: 0,
    };
    let encoded = |record: Record| {
        let mut bytes = Vec::new();
        encode_operation(&mut bytes, &Operation::Put(Arc::new(record)));
        bytes
    };
    let head = |flags| {
        let number = |n: u8| [n, 0, 0, 0, 0, 0, 0, 0];
        let start = [1, 2, 0, 0, 0, b'n', 0, 1, 0, 0, 0, b'k', 2, 0, 0, 0, b'{', b'}'];
        let times = [1, 2, 3, 4].map(number).concat();
        [&start[..], &times, &[flags, 0, 0, 0], &[1, 0, 0, 0, 1, 0, 0, 0, b't']].concat()
    };
    let plain = [head(0), vec![0; 4]].concat();
    assert_eq!(encoded(put(Extensions::default(), Vec::new(), Vec::new())), plain, "as format version 1 has it");
    let vector = FieldVector { path: "p".into(), values: [1.0].into() };
    let extensions = Extensions::default().with(2, false, b"g");
    let body = [1, 0, 0, 0, 1, 0, 0, 0, b'p', 7, 0, 1, 0, 0, 0, 0, 0, 0x80, 0x3F];
    let (hash, extension) = ([&[9][..], &[0; 15]].concat(), [9, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, b'g']);
    let golden = [&head(3)[..], &body, &hash, &extension].concat();
    assert_eq!(encoded(put(extensions, vec![vector], vec![9])), golden);
}

#[test]
fn extensions_of_a_frame_come_first_and_unknown_ones_are_judged() {
    let mut body = Vec::new();
    encode_extensions(&mut body, &Extensions::default().with(OPERATION_ID, true, &[7; 24]).with(50, false, b"later"));
    encode_operation(&mut body, &delete("k"));
    assert_eq!(body[..4], [24 + 8 + 5 + 8, 0, 0, 0]);
    let decoded = decode_body(FrameKind::Batch, HAS_EXTENSIONS, &body, 1).unwrap();
    assert_eq!(
        (decoded.operations.as_slice(), decoded.extensions.get(OPERATION_ID)),
        (&[delete("k")][..], Some(&[7; 24][..]))
    );
    assert!(decoded.check_known("f").is_ok());
    assert!(decode_body(FrameKind::Batch, 0, &body, 1).is_err() && decode_body(FrameKind::Batch, 4, &body, 1).is_err());
    for length in 0..body.len() {
        assert!(decode_body(FrameKind::Batch, HAS_EXTENSIONS, &body[..length], 1).is_err(), "{length} bytes");
    }
    let mut unknown = Vec::new();
    encode_extensions(&mut unknown, &Extensions::default().with(50, true, b"later"));
    encode_operation(&mut unknown, &delete("k"));
    let decoded = decode_body(FrameKind::Batch, HAS_EXTENSIONS, &unknown, 1).unwrap();
    assert_eq!(decoded.check_known("f").unwrap_err().kind(), ErrorKind::NewerFormat);
}

#[test]
fn every_operation_round_trips() {
    let operations = one_of_each();
    let body = frame(1, &operations).body.to_vec();
    assert_eq!(decode_operations(&body, operations.len() as u32).unwrap(), operations);
    assert!(decode_operations(&body, operations.len() as u32 - 1).is_err());
    assert!(decode_operations(&body, u32::MAX).is_err());
    for length in 0..body.len() {
        assert!(decode_operations(&body[..length], operations.len() as u32).is_err());
    }
}

#[test]
fn operations_beyond_the_limits_are_refused() {
    let record = |change: &dyn Fn(&mut Record)| {
        let Operation::Put(record) = &one_of_each()[0] else { unreachable!() };
        let mut record = (**record).clone();
        change(&mut record);
        decode_operations(&frame(1, &[Operation::Put(Arc::new(record))]).body.to_vec(), 1).is_ok()
    };
    assert!(record(&|_| {}));
    assert!(record(&|record| record.key = "k".repeat(limits::KEY_BYTES).into()));
    assert!(!record(&|record| record.key = "k".repeat(limits::KEY_BYTES + 1).into()));
    assert!(!record(&|record| record.vectors[1].values[0] = f32::NAN));
    assert!(!record(&|record| record.vectors[1].values[2] = f32::NEG_INFINITY));
    assert!(!record(&|record| record.vectors[1].values = [1.0].into()));
    assert!(!record(&|record| record.vectors.iter_mut().for_each(|vector| vector.values = [].into())));
    assert!(!record(&|record| record.vectors = vec![record.vectors[0].clone(); limits::VECTORS_PER_ITEM + 1]));
    assert!(!record(&|record| record.namespace = Namespace::from_encoded(b"no end")));
    assert!(!record(&|record| record.namespace = Namespace::from_encoded(b"")));
}

#[test]
fn the_bytes_of_a_frame_are_the_documented_ones() {
    let storage = SimStorage::new(1);
    let mut writer = started(&storage, 1, 0);
    writer.write(&[frame(1, &[delete("key")])], Lsn::ZERO).unwrap();
    let file = storage.read_file("wal-0000000000000001.log").unwrap();
    assert_eq!(file.len(), 12_288);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(
        hex(&file[..48]),
        "7665636d57414c000200000002000000f0debc9a7856341201000000000000000030000000000000 0100000000000000"
            .replace(' ', "")
    );
    assert!(file[48..4092].iter().all(|&byte| byte == 0));
    assert_eq!(hex(&file[4092..4096]), "5f3cb574");
    assert_eq!(hex(&file[8188..8192]), "e387d974");
    let expected = [
        "0e000000 01 000000 0100000000000000 01000000 6e714d61 e903000000000000 0000000000000000 00000000 7e30d53d",
        "02 02000000 6100 03000000 6b6579",
    ];
    assert_eq!(hex(&file[8192..8192 + 48 + 14]), expected.concat().replace(' ', ""));
    assert!(file[8192 + 62..].iter().all(|&byte| byte == 0));
}

/// An import of 3 rows in two files, of which the log knows bytes, and one operation.
fn ingest(first_lsn: u64) -> (Frame, Body) {
    let body =
        Body { rows: 3, files: vec![vec![7, 8, 9], Vec::new()], operations: vec![delete("key")], ..Body::default() };
    let mut bytes = Vec::new();
    encode_files(&mut bytes, body.rows, &body.files);
    body.operations.iter().for_each(|operation| encode_operation(&mut bytes, operation));
    (
        Frame {
            kind: FrameKind::Ingest,
            first_lsn: Lsn::new(first_lsn),
            count: 4,
            clock: 5,
            flags: 0,
            body: bytes.into(),
        },
        body,
    )
}

#[test]
fn the_bytes_of_an_import_are_the_documented_ones_and_any_others_are_refused() {
    let (frame, body) = ingest(1);
    let hex: String = frame.body.to_vec().iter().map(|byte| format!("{byte:02x}")).collect();
    let expected = ["03000000 02000000 03000000 070809 00000000", "02 02000000 6100 03000000 6b6579"];
    assert_eq!(hex, expected.concat().replace(' ', ""));
    assert_eq!(decode_body(FrameKind::Ingest, 0, &frame.body.to_vec(), 4).unwrap(), body);
    for count in [0, 2, 3, 5, u32::MAX] {
        assert!(decode_body(FrameKind::Ingest, 0, &frame.body.to_vec(), count).is_err(), "{count} LSNs");
    }
    for length in 0..frame.body.len() {
        assert!(decode_body(FrameKind::Ingest, 0, &frame.body.to_vec()[..length], 4).is_err(), "{length} bytes");
    }
    let mut nothing = Vec::new();
    encode_files(&mut nothing, 0, &[]);
    assert!(decode_body(FrameKind::Ingest, 0, &nothing, 0).is_err());
    encode_files(&mut nothing, u32::MAX, &vec![Vec::new(); 9]);
    nothing[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(decode_body(FrameKind::Ingest, 0, &nothing, u32::MAX).is_err());
}

#[test]
fn the_rows_of_an_import_take_log_sequence_numbers_of_their_own() {
    let storage = SimStorage::new(3);
    let mut writer = started(&storage, 1, 0);
    let (import, body) = ingest(2);
    writer.write(&[frame(1, &[delete("x")]), import, frame(6, &[delete("y")])], Lsn::ZERO).unwrap();
    let facts = inspect(&storage, STORE, 0).unwrap();
    assert_eq!((facts.last_lsn.get(), facts.tail.clone()), (6, Tail::Clean));
    let mut seen = Vec::new();
    visit(&storage, STORE, &facts, Lsn::new(3), &mut |header, body| {
        seen.push((header.first_lsn.get(), header.last_lsn().get(), body));
        Ok(())
    })
    .unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], (2, 5, body));
    assert_eq!((seen[1].0, seen[1].1), (6, 6));
}

#[test]
fn a_frame_cut_anywhere_leaves_what_came_before() {
    let storage = SimStorage::new(2);
    let mut writer = started(&storage, 1, 0);
    writer.write(&[frame(1, &one_of_each()), frame(6, &[delete("x")])], Lsn::ZERO).unwrap();
    let start = writer.position() as usize;
    writer.write(&[frame(7, &one_of_each())], Lsn::new(6)).unwrap();
    let end = writer.position() as usize;
    let name = file_name(1);
    let whole = storage.read_file(&name).unwrap();
    let (_, all) = read(&storage).unwrap();
    assert_eq!(all.len(), 11);
    for cut in start..end {
        let mut torn = whole.clone();
        torn[cut..end].fill(0);
        storage.write_file(&name, &torn);
        let (facts, operations) = read(&storage).unwrap();
        let complete = torn == whole;
        assert_eq!(operations, all[..if complete { 11 } else { 6 }], "cut at {cut}");
        assert_eq!(matches!(facts.tail, Tail::Clean), complete || cut == start, "cut at {cut}: {:?}", facts.tail);
    }
}

/// Two files, one left by rotation and one by `close`; each frame was synced before the next was written.
fn closed_log(storage: &SimStorage) -> Vec<Operation> {
    let mut writer = started(storage, 1, 0);
    writer.add_spare(prepare(storage, 2, 0).unwrap());
    for number in 0..40 {
        put_one(&mut writer, format!("{number:080}"), number).unwrap();
        writer.sync().unwrap();
    }
    assert_eq!(writer.files().len(), 2);
    assert!(writer.close(5, false).unwrap().is_empty());
    let (facts, operations) = read(storage).unwrap();
    assert_eq!((facts.tail, operations.len()), (Tail::Closed, 40));
    operations
}

#[test]
fn every_flipped_byte_of_a_closed_log_is_named_or_harmless() {
    let storage = SimStorage::new(3);
    let all = closed_log(&storage);
    let mut random = Random::new(3);
    let (mut named, mut harmless) = (0, 0);
    for id in [1, 2] {
        let name = file_name(id);
        let whole = storage.read_file(&name).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << random.below(8);
            storage.write_file(&name, &damaged);
            match read(&storage) {
                Ok((facts, _)) if matches!(facts.tail, Tail::Corrupt { file, .. } if file == id) => named += 1,
                Ok((_, operations)) => {
                    assert!(operations == all, "byte {at} of {name} made it another history");
                    harmless += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error}");
                    named += 1;
                }
            }
        }
        storage.write_file(&name, &whole);
    }
    assert!(named > 5_000 && harmless > 10_000, "{named} named, {harmless} harmless");
}

#[test]
fn damage_below_a_durable_lsn_is_corruption_and_above_it_a_torn_tail() {
    let storage = SimStorage::new(4);
    let mut writer = started(&storage, 1, 0);
    let mut offsets = Vec::new();
    for number in 0..6 {
        offsets.push(writer.position());
        put_one(&mut writer, number, number.min(3)).unwrap();
    }
    let name = file_name(1);
    let whole = storage.read_file(&name).unwrap();
    for (number, &offset) in offsets.iter().enumerate() {
        for at in [0, 50] {
            storage.write_file(&name, &whole);
            storage.flip_bit(&name, 8 * (offset + at));
            let (facts, operations) = read(&storage).unwrap();
            assert_eq!((operations.len(), facts.last_lsn.get()), (number, number as u64));
            match facts.tail {
                Tail::Corrupt { file: 1, offset: named, .. } => assert!(number < 3 && named == offset),
                Tail::Torn { file: 1, offset: named, lost_bytes } => {
                    assert!(number >= 3 && named == offset && lost_bytes == writer.position() - offset);
                }
                other => panic!("frame {number}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_missing_swapped_foreign_or_cut_file_is_refused() {
    let build = || {
        let storage = SimStorage::new(5);
        closed_log(&storage);
        let mut writer = reopened(&storage).unwrap();
        put_one(&mut writer, "last", 40).unwrap();
        writer.sync().unwrap();
        storage
    };
    let corrupt_in = |storage: &SimStorage| match read(storage).unwrap().0.tail {
        Tail::Corrupt { file, .. } => file,
        other => panic!("accepted: {other:?}"),
    };
    for id in [1, 2] {
        let storage = build();
        storage.remove_file(&file_name(id));
        assert_eq!(corrupt_in(&storage), id);
    }
    let storage = SimStorage::new(6);
    closed_log(&storage);
    storage.write_file(&file_name(2), &[0; 12_288]);
    assert_eq!(corrupt_in(&storage), 2);
    storage.remove_file(&file_name(2));
    assert_eq!(corrupt_in(&storage), 2);

    let storage = build();
    let (one, two) = (storage.read_file(&file_name(1)).unwrap(), storage.read_file(&file_name(2)).unwrap());
    storage.write_file(&file_name(1), &two);
    storage.write_file(&file_name(2), &one);
    assert_eq!(corrupt_in(&storage), 1);
    assert!(matches!(inspect(&build(), STORE + 1, 1).unwrap().tail, Tail::Corrupt { .. }));
    for length in (0..12_288).step_by(64) {
        let storage = build();
        storage.truncate(&file_name(2), length);
        assert_eq!(corrupt_in(&storage), 2);
    }
    // The same operations written at another time: another chain.
    let storage = build();
    let other = SimStorage::new(7);
    let mut writer = started(&other, 1, 0);
    writer.add_spare(prepare(&other, 2, 0).unwrap());
    for number in 0..40 {
        put_one(&mut writer, format!("{number:081}"), number).unwrap();
    }
    storage.write_file(&file_name(1), &other.read_file(&file_name(1)).unwrap());
    assert_eq!(corrupt_in(&storage), 1);
}

#[test]
fn unused_files_are_told_from_used_ones() {
    let storage = SimStorage::new(8);
    assert_eq!(inspect(&storage, STORE, 0).unwrap().tail, Tail::Clean);
    assert!(matches!(inspect(&storage, STORE, 1).unwrap().tail, Tail::Corrupt { file: 1, .. }));
    let mut writer = started(&storage, 1, 0);
    put_one(&mut writer, "a", 0).unwrap();
    storage.write_file(&file_name(2), &[]);
    storage.write_file(&file_name(3), &[0; 9_000]);
    storage.write_file(&file_name(4), &[&[1; 100][..], &[0; 9_000]].concat());
    storage.write_file("wal-000000000000000A.log", b"a stranger");
    let (facts, operations) = read(&storage).unwrap();
    assert_eq!((facts.unused, facts.next_file_id, facts.tail), (vec![2, 3, 4], 5, Tail::Clean));
    assert_eq!(operations, [delete("a")]);
    // A power loss may leave anything in a file that was being prepared, but no frame.
    storage.write_file(&file_name(3), &[&[0; 9_000][..], &[1; 3_000]].concat());
    assert_eq!(read(&storage).unwrap().0.unused, [2, 3, 4]);
    let other = SimStorage::new(8);
    put_one(&mut started(&other, 3, 0), "b", 0).unwrap();
    let mut headless = other.read_file(&file_name(3)).unwrap();
    headless[..HEADERS_BYTES as usize].fill(1);
    storage.write_file(&file_name(3), &headless);
    assert!(matches!(inspect(&storage, STORE, 0).unwrap().tail, Tail::Corrupt { file: 3, offset: HEADERS_BYTES, .. }));
}

#[test]
fn the_writer_places_frames_as_the_model_says() {
    for round in 0..20 {
        println!("seed {round}");
        let mut random = Random::new(round * 1_000);
        let storage = SimStorage::new(round);
        let mut writer = started(&storage, 1, 0);
        let mut door = writer.space().clone();
        let (mut lsn, mut next_id) = (1, 2);
        let mut waiting = Vec::new();
        for _ in 0..80 {
            let length = [40, 400, 4_000, 40_000][random.below(4) as usize];
            let operation = delete("k".repeat(random.below(length) as usize));
            let frame = frame(lsn, &[operation]);
            lsn += 1;
            while let Claim::NeedsFile(bytes) = door.claim(frame_bytes(frame.body.len())) {
                let spare = prepare(&storage, next_id, bytes.max(random.below(60_000))).unwrap();
                next_id += 1;
                door.add_spare(spare.bytes());
                writer.add_spare(spare);
                // A small one that may be skipped.
                let spare = prepare(&storage, next_id, 0).unwrap();
                next_id += 1;
                door.add_spare(spare.bytes());
                writer.add_spare(spare);
            }
            waiting.push(frame);
            if random.below(3) == 0 {
                writer.write(&std::mem::take(&mut waiting), Lsn::ZERO).unwrap();
                assert_eq!(*writer.space(), door);
            }
        }
        writer.write(&waiting, Lsn::ZERO).unwrap();
        assert_eq!(*writer.space(), door);
        let (facts, operations) = read(&storage).unwrap();
        assert_eq!((operations.len(), facts.files.len()), (80, writer.files().len()));
        let files: Vec<LogFile> = facts.files.iter().map(|file| file.log_file()).collect();
        assert_eq!(files, writer.files());
        // Released from the front, the rest is still a log.
        let kept = facts.files[facts.files.len() / 2].id;
        for id in writer.release_before(kept) {
            storage.remove(&file_name(id)).unwrap();
        }
        let rest = inspect(&storage, STORE, kept).unwrap();
        assert_eq!((rest.tail, rest.last_lsn.get()), (Tail::Clean, 80));
        assert_eq!(rest.files, facts.files[facts.files.len() / 2..]);
        let mut seen = Vec::new();
        let from = rest_from(&facts, kept);
        visit(&storage, STORE, &inspect(&storage, STORE, kept).unwrap(), from, &mut |_, some| {
            seen.extend(some.operations);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, operations[from.get() as usize - 1..]);
    }
}

/// Some LSN in the files from `kept` on.
fn rest_from(facts: &LogFacts, kept: u64) -> Lsn {
    let before = facts.files.iter().take_while(|file| file.id < kept).last().map_or(0, |file| file.last_lsn.get());
    Lsn::new(before + 1 + (facts.last_lsn.get() - before) / 2)
}

#[test]
fn a_large_body_is_written_from_where_it_is() {
    let storage = SimStorage::new(9);
    let value: Box<str> = "v".repeat(3 << 20).into();
    let Operation::Put(record) = one_of_each().remove(1) else { unreachable!() };
    let large = Operation::Put(Arc::new(Record {
        content: Arc::new(ItemContent { value, ..ItemContent::clone(&record.content) }),
        ..(*record).clone()
    }));
    let frames = [frame(1, &[delete(1)]), frame(2, &[large]), frame(3, &[delete(2)])];
    let mut writer = started(&storage, 1, 4 << 20);
    writer.write(&frames, Lsn::ZERO).unwrap();
    let (facts, operations) = read(&storage).unwrap();
    assert_eq!((facts.tail, facts.newest_clock, operations.len()), (Tail::Clean, 1003, 3));
    assert_eq!(frame(2, &operations[1..2]), frames[1]);
}

#[test]
fn a_frame_that_leaps_does_not_raise_log_time() {
    const HOUR: i64 = 3_600 * 1_000_000;
    let read = |clocks: &[i64], before: Option<(i64, u64)>| {
        let storage = SimStorage::new(10);
        let mut writer = started(&storage, 1, 1 << 20);
        for &hour in clocks {
            let frame = Frame { clock: hour * HOUR, ..frame(writer.last_lsn().next().get(), &[delete(1)]) };
            writer.write(&[frame], Lsn::ZERO).unwrap();
        }
        let known = before.map(|(hour, through)| KnownTime { log_time: hour * HOUR, through: Lsn::new(through) });
        let facts = inspect_after(&storage, STORE, LogSpan::from(0), known).unwrap();
        facts.log_time.map(|micros| micros / HOUR)
    };
    for (clocks, before, log_time) in [
        (&[][..], None, None),
        (&[], Some((7, 0)), Some(7)),
        (&[100, 101], None, Some(101)),
        (&[100, 9_000, 101], None, Some(101)),
        (&[9_000, 101], Some((100, 0)), Some(101)),
        (&[124], Some((100, 0)), Some(124)),
        (&[125], Some((100, 0)), Some(100)),
        (&[124, 148, 1], Some((100, 0)), Some(148)),
        // Log time was set back after the first two, which say nothing new.
        (&[110, 120], Some((100, 2)), Some(100)),
        (&[110, 120, 101], Some((100, 2)), Some(101)),
        (&[110, 120, 101], Some((100, 1)), Some(120)),
    ] {
        assert_eq!(read(clocks, before), log_time, "{clocks:?} after {before:?}");
    }
}

#[test]
fn log_time_begins_with_the_file_before_unless_the_first_frame_belies_it() {
    const HOUR: i64 = 3_600 * 1_000_000;
    for (before, then, log_time) in [(100, 99, 100), (100, 110, 110), (100, 900, 100), (9_000, 100, 100)] {
        let storage = SimStorage::new(11);
        let mut writer = started(&storage, 1, 1 << 20);
        writer.write(&[Frame { clock: before * HOUR, ..frame(1, &[delete(1)]) }], Lsn::ZERO).unwrap();
        writer.close(before * HOUR, false).unwrap();
        let mut writer = reopened(&storage).unwrap();
        writer.write(&[Frame { clock: then * HOUR, ..frame(2, &[delete(1)]) }], Lsn::new(1)).unwrap();
        let second = inspect(&storage, STORE, 0).unwrap().files[1].id;
        let facts = inspect(&storage, STORE, second).unwrap();
        assert_eq!(facts.log_time, Some(log_time * HOUR), "{before} {then}");
    }
}

/// Writes, syncs, rotates and closes; `set_tag` counts what was synced.
fn run(storage: &SimStorage, random: &mut Random) -> Result<()> {
    let mut writer = reopened(storage)?;
    let mut durable = writer.last_lsn();
    let mut next_id = inspect(storage, STORE, 0)?.next_file_id;
    storage.set_tag(durable.get());
    for _ in 0..12 {
        let count = 1 + random.below(4);
        let first = writer.last_lsn().next().get();
        let frames: Vec<Frame> = (first..first + count)
            .map(|lsn| frame(lsn, &[delete(format!("{lsn:0width$}", width = random.below(900) as usize))]))
            .collect();
        let mut door = writer.space().clone();
        for frame in &frames {
            while let Claim::NeedsFile(bytes) = door.claim(frame_bytes(frame.body.len())) {
                let spare = prepare(storage, next_id, bytes)?;
                next_id += 1;
                door.add_spare(spare.bytes());
                writer.add_spare(spare);
            }
        }
        writer.write(&frames, durable)?;
        if random.below(3) > 0 {
            writer.sync()?;
            durable = writer.last_lsn();
            storage.set_tag(durable.get());
        }
    }
    if random.below(2) == 0 { writer.close(1, false).map(|_| ()) } else { Ok(()) }
}

/// What the `lsn`-th operation was is told by its key.
fn check_prefix(storage: &SimStorage, durable: u64) {
    let (facts, operations) = read(storage).unwrap();
    assert!(!matches!(facts.tail, Tail::Corrupt { .. }), "{:?}", facts.tail);
    assert!(
        facts.last_lsn >= Lsn::new(durable) && facts.durable_lsn <= facts.last_lsn,
        "{facts:?}, {durable} were durable"
    );
    for (index, operation) in operations.iter().enumerate() {
        let Operation::Delete { key, .. } = operation else { panic!("{operation:?}") };
        assert_eq!(key.parse::<usize>().unwrap(), index + 1);
    }
}

#[test]
fn a_power_loss_at_any_sync_keeps_what_was_synced() {
    for round in 0..6 {
        println!("seed {round}");
        let storage = SimStorage::new(round);
        storage.record_sync_points();
        run(&storage, &mut Random::new(round)).unwrap();
        let images = storage.take_images();
        assert!(images.len() > 12);
        for (number, image) in images.iter().enumerate() {
            for (loss, salt) in
                [(Loss::None, 0), (Loss::AllUnsynced, 0), (Loss::Torn, 1), (Loss::Torn, 2), (Loss::Torn, 3)]
            {
                let survivor = image.survivor(loss, salt + number as u64 * 8);
                check_prefix(&survivor, image.tag);
                if number % 4 == 0 {
                    survivor.record_sync_points();
                    run(&survivor, &mut Random::new(number as u64)).unwrap();
                    for image in survivor.take_images() {
                        check_prefix(&image.survivor(Loss::Torn, number as u64), image.tag);
                    }
                }
            }
        }
    }
}

#[test]
fn after_any_failed_operation_the_log_can_be_read_and_gone_on_with() {
    for round in 0..3 {
        for after in 0..150 {
            let storage = SimStorage::new(after);
            let kind = [FaultKind::Io, FaultKind::Full, FaultKind::Short][round as usize];
            storage.fail_after(after, Fault::once(kind, SimOperation::CHANGES));
            if run(&storage, &mut Random::new(round)).is_err() {
                mark_doubt(&storage);
            }
            if !storage.fault_struck() {
                break;
            }
            storage.clear_faults();
            let durable = storage.image().tag;
            check_prefix(&storage, durable);
            // Reopened without a restart of the system, and believed: now it must outlive a power loss.
            let accepted = inspect(&storage, STORE, 0).unwrap().last_lsn;
            run(&storage, &mut Random::new(after)).unwrap();
            let durable = storage.image().tag;
            assert!(durable >= accepted.get());
            check_prefix(&storage.crash(Loss::AllUnsynced, 0), durable);
            assert!(!storage.names().contains(&DOUBT_NAME.to_owned()));
        }
    }
}

#[test]
fn a_writer_that_failed_writes_no_more() {
    let storage = SimStorage::new(10);
    let mut writer = started(&storage, 1, 0);
    put_one(&mut writer, "a", 0).unwrap();
    storage.fail_after(0, Fault::once(FaultKind::Io, SimOperation::SYNCS));
    assert_eq!(writer.sync().unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(writer.sync().unwrap_err().kind(), ErrorKind::Poisoned);
    assert_eq!(put_one(&mut writer, "b", 0).unwrap_err().kind(), ErrorKind::Poisoned);
}

#[test]
fn a_full_disk_leaves_no_half_prepared_file() {
    let storage = SimStorage::new(11);
    storage.set_capacity(10_000);
    assert_eq!(prepare(&storage, 1, 1 << 20).err().map(|error| error.kind()), Some(ErrorKind::DiskFull));
    assert!(storage.names().is_empty());
    assert!(prepare(&storage, 1, FILE_BYTES_MAX + 1).is_err());
}

#[test]
fn a_newer_format_is_said_to_be_one() {
    let storage = SimStorage::new(12);
    started(&storage, 1, 0);
    let name = file_name(1);
    let mut file = storage.read_file(&name).unwrap();
    for (copy, block) in file[..8192].chunks_exact_mut(4096).enumerate() {
        block[12] = 3;
        let crc = crate::codec::salted_crc32c(seed(&[u64::from_le_bytes(*b"vecmWAL\0"), copy as u64]), &block[..4092]);
        block[4092..].copy_from_slice(&crc.to_le_bytes());
    }
    storage.write_file(&name, &file);
    assert_eq!(inspect(&storage, STORE, 1).unwrap_err().kind(), ErrorKind::NewerFormat);
}

#[test]
fn arbitrary_bytes_are_read_without_a_panic() {
    let mut random = Random::new(13);
    let good = {
        let storage = SimStorage::new(13);
        closed_log(&storage);
        storage.read_file(&file_name(1)).unwrap()
    };
    for round in 0..4_000_u64 {
        let mut bytes = vec![round as u8];
        match random.below(4) {
            0 => bytes.extend_from_slice(&good[..random.below(good.len() as u64) as usize]),
            1 => bytes.extend(frame(1, &one_of_each()).body.to_vec()),
            _ => bytes.extend((0..random.below(600)).map(|_| random.below(256) as u8)),
        }
        for _ in 0..random.below(6) {
            let at = random.below(bytes.len() as u64) as usize + 1;
            if let Some(byte) = bytes.get_mut(at) {
                *byte = random.below(256) as u8;
            }
        }
        fuzz_replay(&bytes);
    }
    assert_eq!(FRAME_HEADER_BYTES, 48);
}

#[test]
fn a_closed_frame_that_was_not_synced_takes_nothing_with_it() {
    for is_lost in [false, true] {
        let storage = SimStorage::new(11);
        let mut writer = started(&storage, 1, 1 << 20);
        put_one(&mut writer, 1, 0).unwrap();
        writer.sync().unwrap();
        if is_lost {
            storage.fail_after(0, Fault::once(FaultKind::Io, &[SimOperation::SyncData]));
        }
        assert_eq!(writer.close(2_000, true).is_err(), is_lost);
        assert_eq!(inspect(&storage, STORE, 0).unwrap().tail, Tail::Closed, "as another process sees it");
        let before = storage.syncs();
        let mut writer = reopened(&storage).unwrap();
        assert_eq!(storage.syncs() - before, 3, "the new file, its name, and its header");
        put_one(&mut writer, 2, 1).unwrap();
        writer.sync().unwrap();
        let left = storage.crash(Loss::AllUnsynced, 1);
        let (facts, operations) = read(&left).unwrap();
        assert_eq!((facts.tail, facts.files.len()), (Tail::Clean, 2));
        assert_eq!(operations, [delete(1), delete(2)]);
    }
}
