//! Commits one generation: writes changed tombstones and missed operations, then the manifest, and removes the files
//! that neither of the two newest manifests names.
//!
//! Invariants:
//! * The caller holds `manifest_state`, so generations are written one at a time.
//! * Before a manifest is written, the log is synced up to the LSN that the manifest reflects, whatever the durability.
//! * If a manifest has checkpoint c for a shard, its tombstone files hold every delete and touch at or below c.
//! * A file is removed only after the commit, when neither of the two newest manifests names it, and no running backup
//!   copies it (`pins.rs`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::manifest_state::ManifestState;
use crate::engine::space::output_files::OutputFiles;
use crate::error::{ErrorKind, Result};
use crate::file_names::{FileName, manifest_name, parse_name};
use crate::manifest::{FileKind, Manifest, SegmentEntry, ShardEntry};
use crate::record::Lsn;
use crate::segment::derived::codes::DerivedFile;
use crate::segment::side_file::SideFile;
use crate::segment::tombstones::file::TombstoneFile;
use crate::shard::part::SharedSegment;
use crate::shard::{ReadView, Shard};
use crate::sync::{HookPoint, Ordering};

/// The part of a finished job's outcome that changes the manifest.
#[derive(Clone, Copy, Debug)]
pub(super) struct JobResult {
    /// The shard that the job flushed, and the LSN up to which the segments of the shard hold all its operations.
    pub flushed: Option<(usize, Lsn)>,
}

/// A part whose tombstones or missed operations changed since they were last written.
pub(super) struct ChangedPart {
    part: SharedSegment,
    /// Whether the tombstones changed.
    has_tombstones: bool,
    /// If the missed operations changed: the content of their new file.
    missed: Option<Vec<u8>>,
}

/// Collects the changed parts of the view, and marks them as written. The caller holds the apply lock. The files can be
/// written after the lock is released: deletions above the `read_lsn` of the view are left out.
pub(super) fn changed_parts(view: &ReadView) -> Vec<ChangedPart> {
    let parts = view.shards.iter().flat_map(|shard| &shard.segments);
    let changed = parts.map(|part| ChangedPart {
        part: Arc::clone(part),
        // A segment that did not open does not know its tombstones, so their file stays as it is.
        has_tombstones: part.opened().is_some() && part.take_dirty(),
        missed: part.missed.take_dirty().then(|| part.missed.encode()),
    });
    changed.filter(|changed| changed.has_tombstones || changed.missed.is_some()).collect()
}

impl ChangedPart {
    /// Marks the part as changed again, after a failure to write it.
    fn set_dirty(&self) {
        if self.has_tombstones {
            self.part.set_dirty();
        }
        if self.missed.is_some() {
            self.part.missed.set_dirty();
        }
    }
}

/// Writes the changed files and the next manifest, and removes obsolete files. If that fails, the parts are marked as
/// changed again, and the files of the attempt are removed, unless the store is poisoned.
pub(super) fn write_and_commit(
    engine: &Arc<Engine>,
    state: &mut ManifestState,
    view: &ReadView,
    changed: &[ChangedPart],
    job: Option<JobResult>,
) -> Result<()> {
    let mut outputs = OutputFiles::new(engine);
    let committed = try_commit(engine, state, view, changed, job, &mut outputs);
    match &committed {
        Ok(()) => outputs.installed(),
        Err(_) => changed.iter().for_each(ChangedPart::set_dirty),
    }
    committed
}

fn try_commit(
    engine: &Arc<Engine>,
    state: &mut ManifestState,
    view: &ReadView,
    changed: &[ChangedPart],
    job: Option<JobResult>,
    outputs: &mut OutputFiles,
) -> Result<()> {
    let (storage, store_id) = (&*engine.storage, engine.identity.keys.store_id);
    let kind = FileKind::OPERATIONS;
    let saved = engine.operation_ids.save(storage, store_id, view.read_lsn, || outputs.side(kind.as_str()))?;
    engine.sync_log(view.read_lsn)?;
    engine.hooks.reach(HookPoint::GenerationCollected);
    let generation = state.manifest.generation + 1;
    let mut written = WrittenFiles { generation, ..WrittenFiles::default() };
    for ChangedPart { part, has_tombstones, missed } in changed {
        let (file_id, rows) = (part.entry.file_id, part.entry.rows);
        if *has_tombstones {
            let file = TombstoneFile { store_id, file_id, generation, rows };
            // An earlier attempt at this generation may have left the file behind.
            let _ = engine.storage.remove(&file.name());
            outputs.named(&file.name());
            file.write(&*engine.storage, &part.tombstones, view.read_lsn)?;
            written.tombstones.insert(file_id);
        }
        if let Some(content) = missed {
            let kind = FileKind::MISSED;
            let new_id = outputs.side(kind.as_str());
            let length =
                SideFile { store_id, file_id: new_id, kind: kind.as_str() }.write(&*engine.storage, content)?;
            written.missed.insert(file_id, DerivedFile { file_id: new_id, length });
        }
    }
    if !changed.is_empty() || job.is_some() || saved.is_new() {
        engine.sync_dir()?;
    }
    let checkpoints: Vec<Lsn> = view
        .shards
        .iter()
        .enumerate()
        .map(|(index, shard)| {
            let flushed = job.and_then(|job| job.flushed).filter(|&(flushed, _)| flushed == index);
            checkpoint_of(shard, view.read_lsn, flushed.map(|(_, through)| through))
        })
        .collect();
    let reached = checkpoints.iter().copied().min().unwrap_or_default();
    let first_log = engine.log.lock().first_needed(reached);
    let next_file_id = engine.next_file_id.load(Ordering::Relaxed);
    let mut next = state.manifest.with(next_file_id, first_log, view.read_lsn, |entries| {
        let before: Vec<SegmentEntry> = entries.drain(..).flat_map(|entry| entry.segments).collect();
        let known: HashMap<u64, &SegmentEntry> = before.iter().map(|entry| (entry.file_id, entry)).collect();
        entries.extend(view.shards.iter().zip(&checkpoints).map(|(shard, &checkpoint)| ShardEntry {
            low: shard.interval.low.clone(),
            checkpoint,
            segments: shard.segments.iter().map(|part| entry_of(part, &known, &written)).collect(),
        }));
    });
    next.settings = state.settings.clone();
    next.side_files.retain(|side| !side.is_operations());
    next.side_files.extend(saved.files.iter().cloned());
    make_newest(engine, state, next)?;
    for (shard, checkpoint) in view.shards.iter().zip(checkpoints) {
        shard.committed.store(checkpoint, Ordering::Release);
    }
    engine.operation_ids.set_saved(&saved);
    Ok(())
}

/// Writes and publishes the next manifest, then removes obsolete files. The caller has synced the log up to the LSN
/// that the manifest reflects.
pub(super) fn make_newest(engine: &Arc<Engine>, state: &mut ManifestState, mut next: Manifest) -> Result<()> {
    let generation = next.generation;
    let clock = engine.clock.state();
    next.clock = clock;
    next.write(&*engine.storage)?;
    next.publish(&*engine.storage).map_err(|error| match error.kind() {
        ErrorKind::DiskFull => error,
        // After a failed rename, as after a failed sync, it is unknown which manifest is on disk.
        _ => engine.poison(&error),
    })?;
    engine.sync_dir()?;
    let previous = std::mem::replace(&mut state.manifest, next);
    engine.manifest_generation.store(generation, Ordering::Relaxed);
    engine.clock.note_saved(clock);
    remove_obsolete(engine, state, &previous)
}

/// The shard's checkpoint in the next manifest: its segments and tombstones hold every operation at or below this LSN.
/// `flushed` is the LSN that a flush of the shard has reached.
fn checkpoint_of(shard: &Shard, read_lsn: Lsn, flushed: Option<Lsn>) -> Lsn {
    if shard.memtable.is_empty() && shard.frozen.is_empty() {
        return read_lsn;
    }
    flushed.map_or(shard.checkpoint(), |through| shard.checkpoint().max(through))
}

/// The files that one commit has written, by the id of the segment that each belongs to.
#[derive(Default)]
struct WrittenFiles {
    generation: u64,
    tombstones: HashSet<u64>,
    missed: HashMap<u64, DerivedFile>,
}

fn entry_of(part: &SharedSegment, known: &HashMap<u64, &SegmentEntry>, written: &WrittenFiles) -> SegmentEntry {
    let mut entry = part.entry.clone();
    let known = known.get(&entry.file_id);
    entry.tombstone_generation = if written.tombstones.contains(&entry.file_id) {
        written.generation
    } else {
        known.map_or(entry.tombstone_generation, |known| known.tombstone_generation)
    };
    let before = known.map_or(&entry.missed, |known| &known.missed);
    entry.missed = part.missed.files(written.missed.get(&entry.file_id).copied(), before);
    entry
}

/// Removes files and log files that neither of the two newest manifests needs, and the manifest before `previous`.
fn remove_obsolete(engine: &Arc<Engine>, state: &mut ManifestState, previous: &Manifest) -> Result<()> {
    let needed: HashSet<String> = state.manifest.files().chain(previous.files()).collect();
    let oldest_log = state.manifest.first_log.min(previous.first_log);
    let mut obsolete: Vec<String> = std::mem::take(&mut state.previous_files);
    obsolete.retain(|name| !needed.contains(name));
    state.previous_files = previous.files().collect();
    state.previous_lows = Some(previous.shards.iter().map(|shard| shard.low.clone()).collect());
    if previous.generation > 1 {
        obsolete.push(manifest_name(previous.generation - 1));
    }
    let logs = engine.log.lock().forget_before(oldest_log);
    obsolete.extend(logs.into_iter().map(crate::wal::file_name));
    for name in &obsolete {
        debug_assert!(matches!(
            parse_name(name),
            Some(FileName::Segment(_) | FileName::Manifest(_) | FileName::Log(_))
        ));
        // A file that a backup copies goes when the backup ends.
        if !engine.pins.keep(name) {
            // A file that cannot be removed now is an orphan, and the next open removes it.
            let _ = engine.storage.remove(name);
        }
    }
    Ok(())
}
