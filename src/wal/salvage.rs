//! Reading a damaged log: every whole frame, whatever lies between them.
//!
//! Invariants:
//! * A frame is read only if its checksums are right for this store, file and offset, and if it lies before the
//!   accepted end that a later file names: frames behind that end were void before any damage.
//! * Nothing is written. Memory holds the operations that were found.
//! * [`LogRemains::missing`] is pure. A file is missed if the manifest, the record of a backup or a file beside it
//!   names it. The newest file is missed too, since the file before it ends with its id.

use std::collections::BTreeSet;

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
    files: Vec<FoundFile>,
}

/// What other files say of the log.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExpectedLog {
    /// The lowest id that counts, since files with lower ids may have been removed; `None` for that of the first file
    /// that was found.
    pub first: Option<u64>,
    /// The highest id that counts, in a backup.
    pub last: Option<u64>,
    /// Ids of files that must be there.
    pub files: Vec<u64>,
    /// Operations up to this LSN are in segments.
    pub checkpoint: Lsn,
    /// The log must reach this LSN.
    pub reflected: Lsn,
}

/// A log file with a header, or without one and with frames.
struct FoundFile {
    id: u64,
    header: Option<FileHeader>,
    /// The last LSN in the file or before it, if either is known.
    last_lsn: Lsn,
    /// The id in a Closed frame, if the file that it names was not found, else 0.
    successor: u64,
}

impl LogRemains {
    /// Describes every expected file that was not found, and a log that ends too early without one.
    pub fn missing(&self, expected: &ExpectedLog) -> Vec<String> {
        let first = expected.first.or(self.files.first().map(|file| file.id)).unwrap_or(0).max(1);
        let predecessors = self.files.iter().filter_map(|file| file.header.map(|header| header.predecessor.file));
        let successors = self.files.iter().map(|file| file.successor);
        let named = predecessors.chain(successors).chain(expected.files.iter().copied());
        let counts = |id: &u64| *id >= first && expected.last.is_none_or(|last| *id <= last);
        let found: BTreeSet<u64> = self.files.iter().map(|file| file.id).collect();
        let named: BTreeSet<u64> = named.filter(counts).collect();
        let reached = |below: u64| {
            let before = self.files.iter().filter(|file| file.id < below).map(|file| file.last_lsn);
            before.max().unwrap_or_default().max(expected.checkpoint)
        };
        let lost = "may be lost, and items that they deleted may be back";
        let mut missing: Vec<String> = (named.difference(&found))
            .map(|&id| {
                let name = file_name(id);
                format!("{name}: the file is missing or empty; acknowledged writes after LSN {} {lost}", reached(id))
            })
            .collect();
        let end = reached(u64::MAX);
        if missing.is_empty() && end < expected.reflected {
            let wanted = expected.reflected;
            missing
                .push(format!("the log ends at LSN {end}; acknowledged writes after it, up to LSN {wanted}, {lost}"));
        }
        missing
    }
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
        let accepted_end = successor.map(|header| header.predecessor.end);
        let header = headers.iter().find(|header| header.file_id == id).copied();
        let before = header.map_or(Lsn::ZERO, |header| header.predecessor.last_lsn);
        let mut file = FoundFile { id, header, last_lsn: before, successor: 0 };
        let read = read_file(storage, store_id, accepted_end, &mut file, &mut remains);
        remains.damage.extend(read.err().map(|error| error.to_string()));
        if file.header.is_some() || file.last_lsn > Lsn::ZERO {
            remains.files.push(file);
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

/// Reads the frames of a file up to its accepted end, or up to its length.
fn read_file(
    storage: &dyn Storage,
    store_id: u64,
    accepted_end: Option<u64>,
    file: &mut FoundFile,
    remains: &mut LogRemains,
) -> Result<()> {
    let name = file_name(file.id);
    let mut window = Window::open(storage, file.id)?;
    let (salt, end) = (seed(&[store_id, file.id]), accepted_end.unwrap_or(window.length));
    let mut next = window.skip_zeros(HEADERS_BYTES)?;
    let mut in_damage = false;
    while let Some(offset) = next.filter(|&offset| offset < end) {
        let Some((header, body)) = window.frame(salt, offset)? else {
            if !in_damage {
                remains.damage.push(format!("{name} at offset {offset}: no whole frame"));
            }
            in_damage = true;
            next = window.skip_zeros(offset + FRAME_ALIGNMENT)?;
            continue;
        };
        in_damage = false;
        file.last_lsn = file.last_lsn.max(header.last_lsn());
        if let FrameKind::Unknown(kind) = header.kind {
            remains
                .damage
                .push(format!("{name} at offset {offset}: a frame of kind {kind}, which this version does not know"));
        }
        if header.kind == FrameKind::Closed {
            file.successor = body.try_into().map(u64::from_le_bytes).unwrap_or_default();
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
