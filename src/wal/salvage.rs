//! Reading a damaged log: every whole frame, whatever lies between them.
//!
//! Invariants:
//! * A frame is read only if its checksums are right for this store, file and offset, and if it lies before the
//!   accepted end that a later file names: frames behind that end were void before any damage.
//! * Nothing is written. Memory holds the operations that were found.

use super::frame::FrameKind;
use super::header::{FileHeader, HeaderState};
use super::operations::decode_body;
use super::window::Window;
use super::{FRAME_ALIGNMENT, HEADERS_BYTES, file_id, file_name};
use crate::codec::seed;
use crate::error::Result;
use crate::record::{Lsn, Operation};
use crate::storage::Storage;

/// The readable contents of a log, and its damage.
#[derive(Default)]
pub(crate) struct LogRemains {
    /// In the order of their LSNs.
    pub operations: Vec<(Lsn, Operation)>,
    pub imports: Vec<LoggedImport>,
    /// Places that hold no whole frame, frames that do not decode or are unknown to this version, and files that could
    /// not be read.
    pub damage: Vec<String>,
}

/// The files that one frame of an import names.
pub(crate) struct LoggedImport {
    pub first_lsn: Lsn,
    /// Each segment as a manifest names it, encoded.
    pub files: Vec<Vec<u8>>,
    pub has_named_files: bool,
}

/// The id of the store that a log file belongs to, if a copy of its header is whole.
pub(crate) fn store_id_of(storage: &dyn Storage, id: u64) -> Option<u64> {
    let mut window = Window::open(storage, id).ok()?;
    let blocks = window.bytes(0, HEADERS_BYTES).ok()?;
    FileHeader::store_id_in(blocks)
}

/// Reads every whole frame of the log of `store_id`.
pub(crate) fn read_remains(storage: &dyn Storage, store_id: u64) -> Result<LogRemains> {
    let mut ids: Vec<u64> = storage.list()?.iter().filter_map(|(name, _)| file_id(name)).collect();
    ids.sort_unstable();
    let headers: Vec<FileHeader> = ids.iter().filter_map(|&id| header(storage, store_id, id)).collect();
    let mut remains = LogRemains::default();
    for id in ids {
        let successor = headers.iter().find(|header| header.predecessor.file == id);
        if let Err(error) =
            read_file(storage, store_id, id, successor.map(|header| header.predecessor.end), &mut remains)
        {
            remains.damage.push(error.to_string());
        }
    }
    remains.operations.sort_by_key(|(lsn, _)| *lsn);
    Ok(remains)
}

fn header(storage: &dyn Storage, store_id: u64, id: u64) -> Option<FileHeader> {
    let mut window = Window::open(storage, id).ok()?;
    let length = window.length;
    let blocks = window.bytes(0, HEADERS_BYTES).ok()?;
    match FileHeader::decode(blocks, store_id, id, length).ok()? {
        HeaderState::Valid(header) => Some(header),
        HeaderState::Absent | HeaderState::Wrong(_) => None,
    }
}

fn read_file(
    storage: &dyn Storage,
    store_id: u64,
    id: u64,
    accepted_end: Option<u64>,
    remains: &mut LogRemains,
) -> Result<()> {
    let mut window = Window::open(storage, id)?;
    let (salt, end) = (seed(&[store_id, id]), accepted_end.unwrap_or(window.length));
    let mut next = window.skip_zeros(HEADERS_BYTES)?;
    let mut in_damage = false;
    while let Some(offset) = next.filter(|&offset| offset < end) {
        let Some((header, body)) = window.frame(salt, offset)? else {
            if !in_damage {
                remains.damage.push(format!("{} at offset {offset}: no whole frame", file_name(id)));
            }
            in_damage = true;
            next = window.skip_zeros(offset + FRAME_ALIGNMENT)?;
            continue;
        };
        in_damage = false;
        let name = file_name(id);
        if let FrameKind::Unknown(kind) = header.kind {
            remains
                .damage
                .push(format!("{name} at offset {offset}: a frame of kind {kind}, which this version does not know"));
        }
        let decoded = decode_body(header.kind, header.flags, body, header.count);
        let decoded = decoded.map_err(|malformed| malformed.in_file(&name, offset));
        match decoded.and_then(|body| body.check_known(&name).map(|()| body)) {
            Ok(body) => {
                let first_operation = header.first_lsn + u64::from(body.rows);
                remains.operations.extend(first_operation.sequence().zip(body.operations));
                if header.kind == FrameKind::Ingest {
                    let (first_lsn, has_named_files) = (header.first_lsn, body.has_named_files);
                    remains.imports.push(LoggedImport { first_lsn, files: body.files, has_named_files });
                }
            }
            Err(error) => remains.damage.push(error.to_string()),
        }
        next = window.skip_zeros(offset + header.frame_bytes())?;
    }
    Ok(())
}
