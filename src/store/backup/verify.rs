//! The check of a whole copy before it is committed, with the readers of an open.
//!
//! Invariants:
//! * Nothing is written. A copy passes only if an open would find every segment undamaged, and a log that reaches
//!   exactly the LSN of the copy.
//! * Blocks of segment files are compared with their own checksums. So damage of the source is not copied on in
//!   silence.

use crate::engine::facts::{ManifestFact, OpenVerdict, StoreFacts};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, parse_name};
use crate::interrupt::GoOn;
use crate::manifest::{BackupRecord, Manifest, SegmentEntry, SideEntry};
use crate::segment::blocks::CheckedMap;
use crate::segment::side_file::SideFile;
use crate::segment::truth::layout::StoreIdentity;
use crate::shard::ingest::IngestedFiles;
use crate::shard::open::open_part;
use crate::storage::Storage;
use crate::wal::{self, LogSpan};

use super::files::CopySteps;

/// The kinds of files that are made of checked blocks.
const IN_BLOCKS: [&str; 4] = ["truth", "codes", "graph", "blob"];

/// The files that frames of the log name, beyond the checkpoints of the shards that they belong to.
pub(super) struct ImportedFiles {
    pub needed: Vec<String>,
    /// Files that may have been replaced since the frame.
    pub derived: Vec<String>,
}

pub(super) fn imported_files(storage: &dyn Storage, manifest: &Manifest, span: LogSpan) -> Result<ImportedFiles> {
    let entries = imported_segments(storage, manifest, span)?;
    let derived: Vec<String> = entries.iter().flat_map(|entry| &entry.derived).map(SideEntry::name).collect();
    let needed = entries.iter().flat_map(SegmentEntry::file_names).filter(|name| !derived.contains(name)).collect();
    Ok(ImportedFiles { needed, derived })
}

/// The segments of these frames. A segment within the checkpoint of its shard may have been merged and removed, while
/// another shard still holds back the log that names it.
fn imported_segments(storage: &dyn Storage, manifest: &Manifest, span: LogSpan) -> Result<Vec<SegmentEntry>> {
    let is_covered = |entry: &SegmentEntry| {
        let above = manifest.shards.partition_point(|shard| shard.low <= entry.extent.lower);
        let shard = above.checked_sub(1).and_then(|index| manifest.shards.get(index));
        shard.is_some_and(|shard| shard.checkpoint >= entry.lsn_base)
    };
    let facts = wal::inspect_after(storage, manifest.store_id, span, None)?;
    let mut entries = Vec::new();
    wal::visit(storage, manifest.store_id, &facts, manifest.checkpoint().next(), &mut |header, body| {
        entries.extend(IngestedFiles::entries(header.first_lsn, &body)?);
        Ok(())
    })?;
    entries.retain(|entry| !is_covered(entry));
    Ok(entries)
}

/// Checks the copy that this manifest and the files of this record make.
pub(super) fn check_copy(
    storage: &dyn Storage,
    manifest: &Manifest,
    record: &BackupRecord,
    steps: &CopySteps<'_>,
) -> Result<()> {
    let go_on: &GoOn<'_> = &|| steps.next();
    for file in &record.files {
        check_blocks(storage, manifest.store_id, &file.name, go_on)?;
    }
    check_log(storage, manifest, record)?;
    let (space_id, space) = manifest.current_space().unzip();
    let (store_id, secret) = (manifest.store_id, manifest.secret);
    let keys = StoreIdentity { store_id, secret, space, space_id: space_id.unwrap_or_default() };
    let span = LogSpan { first: manifest.first_log, last: Some(record.last_log()) };
    let named = manifest.shards.iter().flat_map(|shard| shard.segments.iter().cloned());
    for entry in named.chain(imported_segments(storage, manifest, span)?) {
        steps.check()?;
        open_part(storage, &entry, &keys)?.segment()?;
    }
    for side in manifest.side_files.iter().filter(|side| side.is_operations()) {
        SideFile { store_id, file_id: side.file_id, kind: side.kind.as_str() }.read(storage)?;
    }
    Ok(())
}

/// Compares every block of a segment file with its checksum.
pub(super) fn check_blocks(storage: &dyn Storage, store_id: u64, name: &str, go_on: &GoOn<'_>) -> Result<()> {
    let Some(FileName::Segment(file_id)) = parse_name(name) else { return Ok(()) };
    if !IN_BLOCKS.iter().any(|kind| name.rsplit_once('.').is_some_and(|(_, ending)| ending == *kind)) {
        return Ok(());
    }
    let damaged = CheckedMap::open_any(storage, name.to_owned(), store_id, file_id)?.check_all(go_on);
    // An interrupt cuts the list short.
    go_on()?;
    damaged.into_iter().next().map_or(Ok(()), Err)
}

/// Fails unless an open would accept the log, and find the last LSN there.
fn check_log(storage: &dyn Storage, manifest: &Manifest, record: &BackupRecord) -> Result<()> {
    let found = ManifestFact::Newest(manifest.clone());
    let facts = StoreFacts::of_manifest(storage, found, Some(record.last_log()), 0)?;
    if let OpenVerdict::Refuse(place, why) = facts.verdict() {
        let error = Error::new(ErrorKind::Corrupt, why);
        return Err(place.into_iter().fold(error, |error, place| error.at(place.file, place.offset)));
    }
    let last = facts.log.map_or(manifest.reflected, |log| log.last_lsn.max(manifest.reflected));
    if last == record.lsn {
        return Ok(());
    }
    let why = format!("the log of the copy ends at LSN {last}, and not at LSN {}", record.lsn);
    Err(Error::new(ErrorKind::Corrupt, why))
}
