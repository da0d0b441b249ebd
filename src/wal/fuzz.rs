//! The fuzz bodies of the log: the input is a file, frames with right checksums, operations, or damage to a good log.
//!
//! Invariant: a fuzz body panics only if reading panics, if a decoded body is not encoded as it was, if the log reads
//! as a history that is not a prefix of the one written, if salvage finds an operation that was never written, or if
//! the end of the log is judged otherwise than the rule in `wal/mod.rs` says.

use std::sync::Arc;

use super::frame::{FRAME_HEADER_BYTES, Frame, FrameHeader, FrameKind, body_crc};
use super::header::FileHeader;
use super::{Body, HAS_EXTENSIONS, HAS_NAMED_FILES, HEADERS_BYTES, LogWriter, OPERATION_ID, Predecessor, Tail};
use super::{decode_body, encode_extensions, encode_files, encode_operation, file_name};
use super::{inspect, prepare, read_remains, visit};
use crate::codec::{Reader, seed};
use crate::error::Result;
use crate::extensions::Extensions;
use crate::record::{ItemContent, Lsn, Operation, Record, SpaceId};
use crate::storage::sim::SimStorage;
use crate::types::{FieldVector, Interval, NEVER, Namespace};

const STORE: u64 = 77;

/// Reads a log made from `bytes`, whose first byte chooses how. Returns whether anything was decoded.
pub fn fuzz_replay(bytes: &[u8]) -> bool {
    let Some((&how, rest)) = bytes.split_first() else { return false };
    let storage = SimStorage::new(0);
    match how % 4 {
        0 => {
            storage.write_file(&file_name(1), rest);
            history(&storage).is_ok_and(|read| read.is_some())
        }
        1 => {
            storage.write_file(&file_name(1), &framed(rest).unwrap_or_default());
            history(&storage).is_ok_and(|read| read.is_some())
        }
        2 => {
            let Some((&count, body)) = rest.split_first() else { return false };
            let decodes = |kind| is_decoded(kind, 0, u32::from(count), body);
            decodes(FrameKind::Batch) | decodes(FrameKind::Ingest)
        }
        _ => damaged(rest),
    }
}

/// Whether a body decodes. If it does, it is encoded as it was, or in another form of the same: a put without vectors
/// may have the flag for hashes of texts, which no writer sets then.
fn is_decoded(kind: FrameKind, flags: u8, count: u32, body: &[u8]) -> bool {
    let Ok(decoded) = decode_body(kind, flags, body, count) else { return false };
    if matches!(kind, FrameKind::Batch | FrameKind::Ingest) {
        let again = encoded(kind, flags, &decoded);
        assert_eq!(again.len(), body.len(), "what was read is written as it was");
        let second = decode_body(kind, flags, &again, count).map(|second| encoded(kind, flags, &second));
        assert!(again == body || second.as_ref() == Ok(&again), "{body:?} is written as {again:?}");
    }
    true
}

fn encoded(kind: FrameKind, flags: u8, body: &Body) -> Vec<u8> {
    let mut out = Vec::new();
    if flags & HAS_EXTENSIONS != 0 {
        encode_extensions(&mut out, &body.extensions);
    }
    if kind == FrameKind::Ingest {
        encode_files(&mut out, body.rows, &body.files);
    }
    body.operations.iter().for_each(|operation| encode_operation(&mut out, operation));
    out
}

/// The place of the frame of `fuzz_frame`, and the salt of its file.
const FRAME_AT: u64 = HEADERS_BYTES;

fn frame_salt() -> u64 {
    seed(&[STORE, 1])
}

/// A frame with every kind of operation, and with extensions.
pub fn good_frame() -> Vec<u8> {
    let namespace = Namespace::from_encoded(b"fuzz\0");
    let put = Record {
        content: Arc::new(ItemContent {
            namespace: namespace.clone(),
            key: "key".into(),
            value: "{\"n\":1}".into(),
            ttl: 5,
            index_paths: vec!["n".into()],
            vectors: vec![FieldVector { path: "n".into(), values: [1.0, -2.0].into() }],
            text_hashes: vec![7],
            space: SpaceId(1),
            extensions: Extensions::default().with(300, false, b"row"),
        }),
        created_at: 1,
        updated_at: 2,
        expires_at: NEVER,
        flags: 0,
    };
    let operations = [
        Operation::Put(put.into()),
        Operation::Delete { namespace: namespace.clone(), key: "key".into() },
        Operation::DeleteRange { interval: Interval::of_namespace(namespace.encoded()) },
        Operation::Touch { namespace, key: "key".into(), version: Lsn::new(1), expires_at: 9 },
    ];
    let mut body = Vec::new();
    encode_extensions(&mut body, &Extensions::default().with(OPERATION_ID, true, &[3; 24]));
    operations.iter().for_each(|operation| encode_operation(&mut body, operation));
    let flags = HAS_EXTENSIONS | HAS_NAMED_FILES;
    let (first_lsn, count) = (Lsn::new(8), operations.len() as u32);
    let frame = Frame { kind: FrameKind::Batch, first_lsn, count, clock: 5, flags, body: body.into() };
    let mut bytes = Vec::new();
    FrameHeader::encode(&frame, frame_salt(), FRAME_AT, Lsn::new(4), &mut bytes);
    frame.body.pieces().for_each(|piece| bytes.extend_from_slice(piece));
    bytes
}

/// The frame with right checksums.
pub fn forge_frame(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().max(FRAME_HEADER_BYTES), 0);
    FrameHeader::forge(&mut bytes, frame_salt(), FRAME_AT);
    bytes
}

/// Reads a frame. Returns whether it was decoded.
pub fn fuzz_frame(bytes: &[u8]) -> bool {
    let left = (bytes.len() as u64).next_multiple_of(super::FRAME_ALIGNMENT);
    let Some(header) = FrameHeader::decode(bytes, frame_salt(), FRAME_AT, left) else { return false };
    let body = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + header.body_bytes as usize);
    let Some(body) = body.filter(|body| body_crc(frame_salt(), header.first_lsn, body) == header.body_crc) else {
        return false;
    };
    let FrameHeader { kind, flags, first_lsn, count, clock, durable_lsn, .. } = header;
    let frame = Frame { kind, flags, first_lsn, count, clock, body: body.to_vec().into() };
    let mut again = Vec::new();
    let encoded = FrameHeader::encode(&frame, frame_salt(), FRAME_AT, durable_lsn, &mut again);
    assert_eq!((encoded, &again[..]), (header, &bytes[..FRAME_HEADER_BYTES]), "a header is written as it was");
    is_decoded(kind, flags, count, body)
}

/// The two files of a good log.
pub fn good_log() -> Vec<Vec<u8>> {
    let storage = SimStorage::new(0);
    if write_two_files(&storage).is_err() {
        unreachable!("nothing fails on this disk");
    }
    (1..=2).filter_map(|id| storage.read_file(&file_name(id))).collect()
}

/// Log file `id` with right checksums, as far as its bytes are frames.
pub fn forge_log(mut bytes: Vec<u8>, id: u64) -> Vec<u8> {
    let (length, salt) = (bytes.len() as u64, seed(&[STORE, id]));
    if length < HEADERS_BYTES {
        return bytes;
    }
    FileHeader::forge(&mut bytes, length);
    let mut offset = HEADERS_BYTES;
    while offset + FRAME_HEADER_BYTES as u64 <= length && bytes[offset as usize..][..4] != [0; 4] {
        offset += FrameHeader::forge(&mut bytes[offset as usize..], salt, offset);
    }
    bytes
}

/// Replays and salvages the files of a log. If nothing `is_forged`, both must find only what was written.
pub fn fuzz_log(files: &[Vec<u8>], is_forged: bool) -> bool {
    let good = SimStorage::new(0);
    let Ok(written) = write_two_files(&good) else { unreachable!("nothing fails on this disk") };
    let storage = SimStorage::new(0);
    (1..).zip(files).for_each(|(id, bytes)| storage.write_file(&file_name(id), bytes));
    let read = history(&storage);
    let Ok(remains) = read_remains(&storage, STORE) else { return false };
    if !is_forged {
        if let Ok(Some(read)) = &read {
            assert!(written.starts_with(read), "a history that was never written");
        }
        for (lsn, operation) in &remains.operations {
            assert_eq!(written.get(lsn.get() as usize - 1), Some(operation), "salvage finds what was never written");
        }
    }
    assert!(remains.operations.is_sorted_by_key(|(lsn, _)| *lsn));
    matches!(read, Ok(Some(_)))
}

/// Writes frames that `bytes` choose, damages some of them, and compares the verdict about the end of the log with the
/// rule: if a header that is whole says that the first damaged frame was durable, the log is corrupt; else it is torn.
pub fn fuzz_tail_rule(bytes: &[u8]) -> bool {
    let Some((&count, rest)) = bytes.split_first() else { return false };
    let (sizes, damage) = rest.split_at(usize::from(count % 16).min(rest.len()));
    let (frames, good) = lagging_frames(sizes);
    let mut file = good.clone();
    let mut reader = Reader::new(damage);
    while let (Ok([frame, at, bit]), false) = (reader.array(), frames.is_empty()) {
        let LaggingFrame { start, end, .. } = frames[usize::from(frame) % frames.len()];
        file[start + usize::from(at) % (end - start)] ^= 1 << (bit % 8);
    }
    let storage = SimStorage::new(0);
    storage.write_file(&file_name(1), &file);
    let Ok(facts) = inspect(&storage, STORE, 1) else { unreachable!("the disk does not fail") };
    let is_whole = |start: usize, end: usize| file[start..end] == good[start..end];
    let Some(first) = frames.iter().position(|frame| !is_whole(frame.start, frame.end)) else {
        assert_eq!((facts.tail, facts.last_lsn), (Tail::Clean, Lsn::new(frames.len() as u64)));
        return true;
    };
    let proofs = frames[first + 1..].iter().filter(|frame| is_whole(frame.start, frame.start + FRAME_HEADER_BYTES));
    let durable = proofs.map(|frame| frame.durable).max().unwrap_or_default();
    let expected = (Lsn::new(first as u64), durable > first as u64, frames[first].start as u64);
    let (is_corrupt, offset) = match facts.tail {
        Tail::Corrupt { offset, .. } => (true, offset),
        Tail::Torn { offset, .. } => (false, offset),
        tail => unreachable!("the log is damaged, and its end is {tail:?}"),
    };
    assert_eq!((facts.last_lsn, is_corrupt, offset), expected, "the last LSN, whether corrupt, the bad frame");
    true
}

/// A frame of one operation: its bytes in the file, and the number of frames that it says are durable.
struct LaggingFrame {
    start: usize,
    end: usize,
    durable: u64,
}

/// A log file of one frame for each of `sizes`, which also say how far the durable LSN lags behind.
fn lagging_frames(sizes: &[u8]) -> (Vec<LaggingFrame>, Vec<u8>) {
    let (file_bytes, predecessor) = (HEADERS_BYTES + 16 * 512, Predecessor::default());
    let header = FileHeader { store_id: STORE, file_id: 1, file_bytes, manifest_generation: 0, predecessor };
    let (mut file, mut frames, mut durable) = (header.encode(), Vec::new(), 0);
    for (number, &size) in (1_u64..).zip(sizes) {
        durable = durable.max((number - 1).saturating_sub(u64::from(size % 5)));
        let key = "k".repeat(usize::from(size)).into();
        let operation = Operation::Delete { namespace: Namespace::from_encoded(b"fuzz\0"), key };
        let mut body = Vec::new();
        encode_operation(&mut body, &operation);
        let first_lsn = Lsn::new(number);
        let frame = Frame { kind: FrameKind::Batch, first_lsn, count: 1, clock: 5, flags: 0, body: body.into() };
        let start = file.len();
        FrameHeader::encode(&frame, seed(&[STORE, 1]), start as u64, Lsn::new(durable), &mut file);
        frame.body.pieces().for_each(|piece| file.extend_from_slice(piece));
        frames.push(LaggingFrame { start, end: file.len(), durable });
        file.resize(file.len().next_multiple_of(64), 0);
    }
    file.resize(file_bytes as usize, 0);
    (frames, file)
}

/// The operations of the log; `None` if the log is corrupt.
fn history(storage: &SimStorage) -> Result<Option<Vec<Operation>>> {
    let facts = inspect(storage, STORE, 1)?;
    let mut operations = Vec::new();
    visit(storage, STORE, &facts, Lsn::new(1), &mut |_, some| {
        operations.extend(some.operations);
        Ok(())
    })?;
    Ok((!matches!(facts.tail, Tail::Corrupt { .. })).then_some(operations))
}

/// A log file of frames with right checksums. `bytes` choose the frames.
fn framed(bytes: &[u8]) -> Option<Vec<u8>> {
    let file_bytes = HEADERS_BYTES + 4096;
    let predecessor = Predecessor::default();
    let header = FileHeader { store_id: STORE, file_id: 1, file_bytes, manifest_generation: 0, predecessor };
    let mut file = header.encode();
    let mut reader = Reader::new(bytes);
    let mut next_lsn = Lsn::new(1);
    while let (Ok([kind, count, lsn_step, length]), true) = (reader.array(), file.len() < file_bytes as usize) {
        let kind = match kind % 8 {
            7 => FrameKind::Closed,
            6 => FrameKind::Ingest,
            _ => FrameKind::Batch,
        };
        let body = reader.bytes((length as usize).min(reader.remaining())).ok()?.to_vec();
        let first_lsn = next_lsn + u64::from(lsn_step / 250);
        next_lsn = first_lsn + u64::from(count);
        let frame =
            Frame { kind, first_lsn, count: u32::from(count), clock: 5, flags: lsn_step % 4, body: body.into() };
        let offset = file.len() as u64;
        FrameHeader::encode(&frame, seed(&[STORE, 1]), offset, first_lsn.previous(), &mut file);
        frame.body.pieces().for_each(|piece| file.extend_from_slice(piece));
        file.resize(file.len().next_multiple_of(64), 0);
    }
    file.resize(file_bytes as usize, 0);
    Some(file)
}

/// Replaces some bytes of a good log. The log must read as a prefix of what was written, or be refused.
fn damaged(bytes: &[u8]) -> bool {
    let storage = SimStorage::new(0);
    let Ok(written) = write_two_files(&storage) else { unreachable!("nothing fails on this disk") };
    let mut reader = Reader::new(bytes);
    while let Ok([file, low, high, byte]) = reader.array() {
        let name = file_name(1 + u64::from(file % 2));
        let Some(mut content) = storage.read_file(&name) else { return false };
        let at = usize::from(u16::from_le_bytes([low, high])) % content.len();
        content[at] = byte;
        storage.write_file(&name, &content);
    }
    let Ok(Some(read)) = history(&storage) else { return false };
    assert!(written.starts_with(&read), "a history that was never written");
    true
}

fn write_two_files(storage: &SimStorage) -> Result<Vec<Operation>> {
    let namespace = Namespace::new(["fuzz"])?;
    let mut writer = LogWriter::create(storage, Arc::default(), STORE, prepare(storage, 1, 0)?, None, 1)?;
    writer.add_spare(prepare(storage, 2, 0)?);
    let mut written = Vec::new();
    for number in 0..40_u64 {
        let key = format!("{number:0100}").into();
        let operation = Operation::Delete { namespace: namespace.clone(), key };
        let (last, mut body) = (Lsn::new(number), Vec::new());
        encode_operation(&mut body, &operation);
        let frame =
            Frame { kind: FrameKind::Batch, first_lsn: last.next(), count: 1, clock: 9, flags: 0, body: body.into() };
        writer.write(&[frame], last)?;
        writer.sync()?;
        written.push(operation);
    }
    writer.close(10, true)?;
    Ok(written)
}
