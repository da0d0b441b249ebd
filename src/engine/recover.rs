//! Recovers a store. `facts.rs` has gathered the facts before, and its table has decided to open the store.
//!
//! Invariants:
//! * Nothing is written before the decision. After a crash during recovery the next open recovers the same state.
//! * The time of an open depends on the log after the checkpoints, not on the data: segments are mapped, not read.
//! * Orphans with file names of the engine are removed last. All other files are left alone.

use std::collections::HashSet;
use std::sync::Arc;

use crate::engine::facts::{ManifestFact, StoreFacts, log_time_of};
use crate::engine::log::Log;
use crate::engine::operation_ids::{AppliedBatch, OperationIds};
use crate::engine::{EngineIdentity, EngineStart, ManifestState};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, manifest_name, parse_name, record_name};
use crate::manifest::{ClockState, Ids, Manifest};
use crate::memtable::Memtable;
use crate::record::{Lsn, Operation};
use crate::segment::truth::layout::StoreIdentity;
use crate::shard::bounds::ImportFiles;
use crate::shard::ingest::{IngestedFiles, LoggedFrame};
use crate::shard::open::{open_part, read};
use crate::shard::{ReadView, Shard, apply, apply_operation};
use crate::storage::Storage;
use crate::types::VectorSpace;
use crate::wal::{self, LogFacts, OPERATION_ID};

/// Recovers a store whose verdict was to open it. Returns the initial state of the engine.
pub(crate) fn recover(
    storage: &Arc<dyn Storage>,
    facts: StoreFacts,
    path: Option<std::path::PathBuf>,
) -> Result<EngineStart> {
    let (ManifestFact::Newest(manifest) | ManifestFact::Fallback { manifest, .. }) = facts.manifest else {
        return Err(Error::new(ErrorKind::Corrupt, "there is no whole manifest to recover from"));
    };
    let (space_id, space) = manifest.current_space().unzip();
    let (store_id, secret) = (manifest.store_id, manifest.secret);
    let keys = StoreIdentity { store_id, secret, space, space_id: space_id.unwrap_or_default() };
    let identity = EngineIdentity { keys, incarnation: manifest.incarnation, path };
    let next_file_id = manifest.next_file_id.max(facts.newest_file_id + 1);
    let shards: Vec<Arc<Shard>> = (0..manifest.shards.len())
        .map(|index| {
            let segments = &manifest.shards[index].segments;
            let segments = segments.iter().map(|entry| open_part(&**storage, entry, &keys));
            let segments = segments.collect::<Result<_>>()?;
            let (interval, checkpoint) = (manifest.interval(index), manifest.shards[index].checkpoint);
            Ok(Arc::new(Shard::new(interval, checkpoint, Memtable::new(keys.space), segments)))
        })
        .collect::<Result<_>>()?;
    let mut view = ReadView { number: 0, read_lsn: manifest.reflected, shards: shards.into() };
    let of_operations: Vec<_> = manifest.side_files.iter().filter(|side| side.is_operations()).cloned().collect();
    let operation_ids = OperationIds::open(&**storage, keys.store_id, &of_operations)?;
    let mut import_files = ImportFiles::default();
    if let Some(log) = &facts.log {
        import_files = replay(&**storage, log, &manifest, &keys, &mut view, &operation_ids)?;
        view.read_lsn = view.read_lsn.max(log.last_lsn);
    }
    let clock = clock_of(&manifest, facts.log.as_ref());
    let previous = previous_manifest(&**storage, &manifest)?;
    let previous_files = files_of_previous(&**storage, &manifest, previous.as_ref())?;
    let previous_lows = previous.map(|previous| previous.shards.into_iter().map(|shard| shard.low).collect());
    // Until the next checkpoint only the log names the segments of an import.
    let in_view = view.shards.iter().flat_map(|shard| &shard.segments).flat_map(|part| part.entry.file_names());
    let named = manifest.files().chain(previous_files.iter().cloned()).chain(in_view).collect();
    remove_orphans(&**storage, &manifest, &named, facts.log.as_ref())?;
    let log = Log::new(manifest.store_id, facts.log);
    let manifest_state = ManifestState { previous_files, previous_lows, settings: manifest.settings.clone(), manifest };
    Ok(EngineStart { identity, view, log, manifest_state, next_file_id, clock, operation_ids, import_files })
}

/// The state of the clock: that of the manifest, advanced by the log.
fn clock_of(manifest: &Manifest, log: Option<&LogFacts>) -> Option<ClockState> {
    let log_time = log.and_then(|log| log.log_time).or(log_time_of(manifest))?;
    let (agreed_micros, wall) = manifest.clock.map_or((0, i64::MIN), |clock| (clock.agreed_micros, clock.wall));
    Some(ClockState { log_time, agreed_micros, wall })
}

/// Applies the operations of the log that are beyond each shard's checkpoint. Returns the imports that it names.
fn replay(
    storage: &dyn Storage,
    log: &LogFacts,
    manifest: &Manifest,
    keys: &StoreIdentity,
    view: &mut ReadView,
    operation_ids: &OperationIds,
) -> Result<ImportFiles> {
    let mut import_files = ImportFiles::default();
    let covered = |index: usize| manifest.shards[index].checkpoint;
    let from = manifest.checkpoint().next();
    wal::visit(storage, manifest.store_id, log, from, &mut |header, body| {
        let first_lsn: Lsn = header.first_lsn;
        let ingested = IngestedFiles::open(storage, keys, first_lsn, &body)?;
        check_spaces(&body.operations, keys)?;
        if let Some(bytes) = body.extensions.get(OPERATION_ID) {
            let applied = AppliedBatch::decode(bytes, header.last_lsn());
            operation_ids.note(applied.map_err(|malformed| malformed.in_part("an operation id in the log"))?);
        }
        if let Some(ingested) = &ingested {
            import_files.note_logged(ingested, view);
        }
        let logged = LoggedFrame { first_lsn, ingested, deleted: None, operations: body.operations };
        match apply(view, &logged, covered) {
            Err(error) if error.kind() == ErrorKind::Damaged => apply_around_damage(view, &logged, covered),
            other => other,
        }
    })?;
    Ok(import_files)
}

/// Fails if a vector belongs to another vector space than the current one. This version does not support several
/// spaces.
fn check_spaces(operations: &[Operation], keys: &StoreIdentity) -> Result<()> {
    let is_other = |operation: &Operation| match operation {
        Operation::Put(record) => !record.vectors.is_empty() && record.space != keys.space_id,
        _ => false,
    };
    if !operations.iter().any(is_other) {
        return Ok(());
    }
    let why = "the log has vectors of a vector space that is not the current one; upgrade vecmem to open this store";
    Err(Error::new(ErrorKind::NewerFormat, why))
}

/// Applies the operations of a frame in spite of damage. A segment whose damage hides rows that an operation may
/// delete becomes lost, and the operation is repeated without it. Any other error ends the replay.
fn apply_around_damage(view: &ReadView, logged: &LoggedFrame, covered: impl Fn(usize) -> Lsn + Copy) -> Result<()> {
    for (lsn, operation) in logged.first_operation().sequence().zip(&logged.operations) {
        while let Err(error) = apply_operation(view, lsn, operation, covered) {
            let lost = view.shards.iter().flat_map(|shard| &shard.segments).find(|part| part.hides(operation));
            match lost {
                Some(part) if error.kind() == ErrorKind::Damaged => part.lose(&error),
                _ => return Err(error),
            }
        }
    }
    Ok(())
}

/// The generation before, if it can be read. An open falls back on it if the newest manifest is damaged, or was lost in
/// a power loss.
fn previous_manifest(storage: &dyn Storage, manifest: &Manifest) -> Result<Option<Manifest>> {
    let generation = manifest.generation.saturating_sub(1);
    let name = manifest_name(generation);
    let previous = storage.map(&name).and_then(|bytes| Manifest::decode(&name, &bytes, generation));
    Ok(read(previous)?.ok())
}

/// The files that the generation before needs, with its log files before the first one of the newest generation.
fn files_of_previous(storage: &dyn Storage, manifest: &Manifest, previous: Option<&Manifest>) -> Result<Vec<String>> {
    let Some(previous) = previous else { return Ok(Vec::new()) };
    let listed = storage.list()?.into_iter().map(|(name, _)| name);
    let logs = listed.filter(|name| {
        matches!(parse_name(name), Some(FileName::Log(id)) if (previous.first_log..manifest.first_log).contains(&id))
    });
    Ok(previous.files().chain(logs).collect())
}

/// Removes the engine's files that no manifest and no frame names. They are left from jobs that a crash has ended.
fn remove_orphans(
    storage: &dyn Storage,
    manifest: &Manifest,
    named: &HashSet<String>,
    log: Option<&LogFacts>,
) -> Result<()> {
    let in_log: HashSet<u64> = log.iter().flat_map(|log| &log.files).map(|file| file.id).collect();
    let record = record_name(manifest.incarnation, manifest.generation);
    for (name, _) in storage.list()? {
        let orphan = match parse_name(&name) {
            Some(FileName::Segment(_)) => !named.contains(&name),
            Some(FileName::Log(id)) => !in_log.contains(&id) && !named.contains(&name),
            Some(FileName::Manifest(generation)) => generation + 1 < manifest.generation,
            Some(FileName::Record) => name != record,
            Some(FileName::Temporary | FileName::Unfinished) => true,
            Some(FileName::Lock | FileName::Reserve | FileName::Doubt) | None => false,
        };
        if !orphan {
            continue;
        }
        match (storage.remove(&name), log) {
            // The next manifest makes the record count no more, so a log file that does not belong must be gone first.
            (Err(error), Some(log)) if log.is_bounded() && error.kind() != ErrorKind::ReadOnly => return Err(error),
            // In a directory without write permission orphans stay, and do no harm.
            _ => {}
        }
    }
    Ok(())
}

/// Writes the first manifest of a new store.
pub(crate) fn create(
    storage: &dyn Storage,
    incarnation: u64,
    space: Option<VectorSpace>,
    split_keys: &[Vec<u8>],
) -> Result<()> {
    let mut store_id = storage.random();
    while store_id == 0 {
        store_id = storage.random();
    }
    let secret = [storage.random(), storage.random()];
    let manifest = Manifest::new(Ids { store_id, secret, incarnation }, space, split_keys);
    manifest.write(storage).and_then(|()| manifest.publish(storage))?;
    storage.sync_dir().inspect_err(|_| wal::mark_doubt(storage))
}

/// Gives a vector space to a store that has none. Returns false if the store has one, or has no whole manifest.
///
/// Only the manifest changes, since existing rows have no vectors. Two generations are written, so that the fall back
/// has the space too: otherwise it could not replay a log with vectors.
pub(crate) fn add_space(storage: &dyn Storage, facts: &StoreFacts, space: VectorSpace) -> Result<bool> {
    let (ManifestFact::Newest(manifest) | ManifestFact::Fallback { manifest, .. }) = &facts.manifest else {
        return Ok(false);
    };
    if manifest.current_space().is_some() {
        return Ok(false);
    }
    let mut manifest = manifest.with_space(space);
    for round in 0..2 {
        if round > 0 {
            manifest = manifest.with(manifest.next_file_id, manifest.first_log, manifest.reflected, |_| {});
        }
        manifest.write(storage).and_then(|()| manifest.publish(storage))?;
        storage.sync_dir().inspect_err(|_| wal::mark_doubt(storage))?;
    }
    Ok(true)
}
