//! The fuzz body of the log: the input is a file, frames with right checksums, operations, or damage to a good log.
//!
//! Invariant: the fuzz body panics only if reading panics, if a decoded body is not encoded as it was, or if the log
//! reads as a history that is not a prefix of the one written.

use std::sync::Arc;

use super::frame::{Frame, FrameHeader, FrameKind};
use super::header::FileHeader;
use super::{HEADERS_BYTES, LogWriter, Predecessor, Tail, decode_body, encode_files, encode_operation, file_name};
use super::{inspect, prepare, visit};
use crate::codec::{Reader, seed};
use crate::error::Result;
use crate::record::{Lsn, Operation};
use crate::storage::sim::SimStorage;
use crate::types::Namespace;

const STORE: u64 = 77;

/// Reads a log made from `bytes`, whose first byte chooses how.
pub fn fuzz_replay(bytes: &[u8]) {
    let Some((&how, rest)) = bytes.split_first() else { return };
    let storage = SimStorage::new(0);
    match how % 4 {
        0 => {
            storage.write_file(&file_name(1), rest);
            let _ = history(&storage);
        }
        1 => {
            storage.write_file(&file_name(1), &framed(rest).unwrap_or_default());
            let _ = history(&storage);
        }
        2 => {
            let Some((&count, body)) = rest.split_first() else { return };
            for kind in [FrameKind::Batch, FrameKind::Ingest] {
                let Ok(decoded) = decode_body(kind, 0, body, u32::from(count)) else { continue };
                let mut again = Vec::new();
                if kind == FrameKind::Ingest {
                    encode_files(&mut again, decoded.rows, &decoded.files);
                }
                decoded.operations.iter().for_each(|operation| encode_operation(&mut again, operation));
                assert_eq!(again, body);
            }
        }
        _ => damaged(rest),
    }
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
fn damaged(bytes: &[u8]) {
    let storage = SimStorage::new(0);
    let Ok(written) = write_two_files(&storage) else { unreachable!("nothing fails on this disk") };
    let mut reader = Reader::new(bytes);
    while let Ok([file, low, high, byte]) = reader.array() {
        let name = file_name(1 + u64::from(file % 2));
        let Some(mut content) = storage.read_file(&name) else { return };
        let at = usize::from(u16::from_le_bytes([low, high])) % content.len();
        content[at] = byte;
        storage.write_file(&name, &content);
    }
    if let Ok(Some(read)) = history(&storage) {
        assert!(written.starts_with(&read), "a history that was never written");
    }
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
