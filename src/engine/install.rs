//! Makes a finished flush or merge current: the same steps for both.
//!
//! 1. Under the apply lock: give the output the deletes and touches of input rows since the base.
//! 2. Without the lock: write every changed tombstone file, and commit the manifest.
//! 3. Under the apply lock again: give the output what happened meanwhile, and swap the read view.
//!
//! Invariants:
//! * Installs run one at a time, under the `manifest_state` lock. Flushes of a shard install in LSN order.
//! * Before a manifest is written, the log is synced through every LSN that it reflects, in every durability.
//! * A manifest with checkpoint c for a shard names tombstones that hold every delete and touch at or below c.
//! * A file is removed last, when neither of the two newest manifests names it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::engine::space::output_files::OutputFiles;
use crate::engine::{Engine, ManifestState};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, manifest_name, parse_name};
use crate::manifest::{FileKind, Manifest, SegmentEntry, Settings};
use crate::memtable::Memtable;
use crate::record::{ALIVE, Lsn};
use crate::segment::derived::codes::DerivedFile;
use crate::segment::side_file::SideFile;
use crate::segment::tombstones::Touch;
use crate::segment::tombstones::file::TombstoneFile;
use crate::shard::lost::give;
use crate::shard::part::SharedSegment;
use crate::shard::{ReadView, Shard};
use crate::sync::Ordering;

/// A part that a finished job replaces.
pub(crate) enum Input {
    /// The oldest frozen memtable of the shard, and its last LSN: the shard's segments hold everything through it
    /// afterwards.
    Memtable(Arc<Memtable>, Lsn),
    Segment(SharedSegment),
}

/// A finished job: `inputs` are replaced by `output`.
pub(crate) struct CompletedJob {
    pub shard: usize,
    /// The output holds the rows of the inputs that were alive at this LSN.
    pub base: Lsn,
    pub inputs: Vec<Input>,
    /// For each input, the row of the output that each of its rows became; `u32::MAX` for none.
    pub rows: Vec<Vec<u32>>,
    /// `None` if no row was alive.
    pub output: Option<SharedSegment>,
}

/// Installs a finished job.
pub(crate) fn install(engine: &Arc<Engine>, finished: &CompletedJob) -> Result<()> {
    let mut installed = engine.manifest_state.lock();
    let apply_lock = engine.apply_lock.lock();
    let view = engine.view.get();
    if !finished.inputs.iter().all(|input| is_there(&view.shards[finished.shard], input)) {
        let why = "a part was replaced by a repair while it was merged; the merge is done again later";
        return Err(Error::new(ErrorKind::Busy, why));
    }
    carry_over(finished);
    let after = swapped(&view, finished);
    let changed = changed_parts(&after);
    drop(apply_lock);

    engine.with_reserve(|| write_and_commit(engine, &mut installed, &after, &changed, Some(finished)))?;

    let apply_lock = engine.apply_lock.lock();
    carry_over(finished);
    let view = swapped(&engine.view.get(), finished);
    let stalled = engine.is_still_stalled(&view);
    engine.publish(view, stalled);
    drop(apply_lock);
    let retired = finished.inputs.iter().filter_map(|input| match input {
        Input::Segment(part) => Some(Arc::clone(part)),
        Input::Memtable(..) => None,
    });
    engine.retired.lock().extend(retired);
    engine.signal.raise();
    drop(installed);
    Ok(())
}

/// Commits a manifest that reflects everything applied in shards whose memtable is empty, so that old log can go.
pub(crate) fn checkpoint(engine: &Arc<Engine>) -> Result<()> {
    let mut installed = engine.manifest_state.lock();
    engine.with_reserve(|| commit(engine, &mut installed))
}

/// The same without the reserve, for what is not worth it, such as the state of the clock.
pub(crate) fn checkpoint_without_reserve(engine: &Arc<Engine>) -> Result<()> {
    commit(engine, &mut engine.manifest_state.lock())
}

/// Changes the settings; they survive a power loss when this returns.
pub(crate) fn change_settings(engine: &Arc<Engine>, change: impl FnOnce(&Settings) -> Result<Settings>) -> Result<()> {
    let mut installed = engine.manifest_state.lock();
    let changed = change(&installed.settings)?;
    if changed == installed.settings {
        return Ok(());
    }
    let before = std::mem::replace(&mut installed.settings, changed);
    if let Err(error) = commit(engine, &mut installed) {
        installed.settings = before;
        return Err(error);
    }
    drop(engine.settings.set(Arc::new(installed.settings.clone())));
    // A second generation, so that the settings survive damage of the newest one. They are durable without it.
    let _ = commit(engine, &mut installed);
    Ok(())
}

/// Commits a manifest of everything that is applied.
fn commit(engine: &Arc<Engine>, installed: &mut ManifestState) -> Result<()> {
    let apply_lock = engine.apply_lock.lock();
    let view = engine.view.get();
    let changed = changed_parts(&view);
    drop(apply_lock);
    write_and_commit(engine, installed, &view, &changed, None)
}

/// Gives the output the deletes and touches of its rows in the inputs since the base.
fn carry_over(finished: &CompletedJob) {
    let Some(output) = &finished.output else { return };
    for (input, rows) in finished.inputs.iter().zip(&finished.rows) {
        let target = |row: u32| rows.get(row as usize).copied().filter(|&target| target != u32::MAX);
        let (tombstones, touches): (Vec<(u32, Lsn)>, Vec<Touch>) = match input {
            Input::Memtable(memtable, _) => {
                let touches = memtable.touches_after(finished.base).into_iter();
                let touches = touches.map(|(row, expires_at, lsn)| Touch { row, expires_at, lsn });
                (memtable.deletions_after(finished.base), touches.collect())
            }
            Input::Segment(part) => {
                let touches = part.tombstones.touches().filter(|touch| touch.lsn > finished.base);
                (part.tombstones.died_after(finished.base).collect(), touches.collect())
            }
        };
        if let Input::Segment(part) = input {
            let missed = part.missed.operations().into_iter().filter(|(lsn, _)| *lsn > finished.base);
            // Nothing is damaged in what was just written, so nothing is hidden from these.
            missed.for_each(|(lsn, operation)| drop(give(output, lsn, &operation)));
        }
        for (row, lsn) in tombstones.into_iter().filter(|&(_, lsn)| lsn != ALIVE) {
            if let Some(row) = target(row)
                && output.tombstones.delete(row, lsn)
            {
                output.set_dirty();
            }
        }
        for touch in touches {
            if let Some(row) = target(touch.row)
                && output.tombstones.touch(Touch { row, ..touch })
            {
                output.set_dirty();
            }
        }
    }
}

/// The read view after the install.
fn swapped(view: &ReadView, finished: &CompletedJob) -> ReadView {
    let mut shard = Shard::clone(&view.shards[finished.shard]);
    let position = shard.segments.iter().position(|part| is_input(finished, part)).unwrap_or(shard.segments.len());
    shard.segments.retain(|part| !is_input(finished, part));
    shard.frozen.retain(|frozen| {
        !finished
            .inputs
            .iter()
            .any(|input| matches!(input, Input::Memtable(memtable, _) if Arc::ptr_eq(memtable, &frozen.memtable)))
    });
    if let Some(output) = &finished.output {
        shard.segments.insert(position.min(shard.segments.len()), Arc::clone(output));
    }
    view.with_shard(finished.shard, shard)
}

fn is_there(shard: &Shard, input: &Input) -> bool {
    match input {
        Input::Memtable(memtable, _) => shard.frozen.iter().any(|frozen| Arc::ptr_eq(memtable, &frozen.memtable)),
        Input::Segment(part) => shard.segments.iter().any(|other| Arc::ptr_eq(other, part)),
    }
}

fn is_input(finished: &CompletedJob, part: &SharedSegment) -> bool {
    finished.inputs.iter().any(|input| matches!(input, Input::Segment(other) if Arc::ptr_eq(other, part)))
}

/// A part whose tombstones or missed operations changed since they were last written.
pub(crate) struct ChangedPart {
    part: SharedSegment,
    has_tombstones: bool,
    /// The content of a new file of missed operations.
    missed: Option<Vec<u8>>,
}

/// The parts that changed. The caller holds the apply lock: what the files will hold is bounded by the LSN of the view,
/// so it can be written without it.
pub(crate) fn changed_parts(view: &ReadView) -> Vec<ChangedPart> {
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

/// Writes tombstones and the next manifest, and removes what two generations no longer need. On a failure the
/// tombstones are still to be written, and no file of the attempt stays.
pub(crate) fn write_and_commit(
    engine: &Arc<Engine>,
    installed: &mut ManifestState,
    view: &ReadView,
    changed: &[ChangedPart],
    finished: Option<&CompletedJob>,
) -> Result<()> {
    let mut outputs = OutputFiles::new(engine);
    let committed = try_commit(engine, installed, view, changed, finished, &mut outputs);
    if committed.is_ok() {
        outputs.installed();
    }
    if committed.is_err() {
        changed.iter().for_each(ChangedPart::set_dirty);
    }
    committed
}

fn try_commit(
    engine: &Arc<Engine>,
    installed: &mut ManifestState,
    view: &ReadView,
    changed: &[ChangedPart],
    finished: Option<&CompletedJob>,
    outputs: &mut OutputFiles,
) -> Result<()> {
    let (storage, store_id) = (&*engine.storage, engine.identity.keys.store_id);
    let kind = FileKind::OPERATIONS;
    let saved = engine.operation_ids.save(storage, store_id, view.read_lsn, || outputs.side(kind.as_str()))?;
    engine.sync_log(view.read_lsn)?;
    let generation = installed.manifest.generation + 1;
    let mut written = WrittenFiles { generation, ..WrittenFiles::default() };
    for ChangedPart { part, has_tombstones, missed } in changed {
        let (file_id, rows) = (part.entry.file_id, part.entry.rows);
        if *has_tombstones {
            let file = TombstoneFile { store_id, file_id, generation, rows };
            // Left over from an attempt at the same generation, if it could not be removed then.
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
    if !changed.is_empty() || finished.is_some() || saved.is_new() {
        engine.sync_dir()?;
    }
    let checkpoints: Vec<Lsn> = view
        .shards
        .iter()
        .zip(&installed.manifest.shards)
        .enumerate()
        .map(|(index, (shard, entry))| checkpoint_of(shard, view.read_lsn, entry.checkpoint, index, finished))
        .collect();
    let reached = checkpoints.iter().copied().min().unwrap_or(0);
    let first_log = engine.log.lock().first_needed(reached);
    let next_file_id = engine.next_file_id.load(Ordering::Relaxed);
    let mut next = installed.manifest.with(next_file_id, first_log, view.read_lsn, |entries| {
        for ((entry, shard), checkpoint) in entries.iter_mut().zip(view.shards.iter()).zip(checkpoints) {
            let before = std::mem::take(&mut entry.segments);
            entry.checkpoint = checkpoint;
            entry.low.clone_from(&shard.interval.low);
            entry.segments = shard.segments.iter().map(|part| entry_of(part, &before, &written)).collect();
        }
    });
    next.settings = installed.settings.clone();
    next.side_files.retain(|side| !side.is_operations());
    next.side_files.extend(saved.files.iter().cloned());
    make_newest(engine, installed, next)?;
    engine.operation_ids.set_saved(&saved);
    Ok(())
}

/// Commits a manifest that knows the end of the log, so that the next open misses what was cut off or overwritten.
/// It costs one small file: segments, tombstones and checkpoints stay as they are. Writes nothing where the newest
/// manifest knows the end already: of a store that was closed and only read since. What a killed process has left is
/// recorded by whoever closes next.
pub(crate) fn record_end(engine: &Arc<Engine>) -> Result<()> {
    let mut installed = engine.manifest_state.lock();
    let read_lsn = engine.view.get().read_lsn;
    let has_new_files = installed.manifest.first_log == 0 && engine.log.lock().is_started();
    if installed.manifest.reflected == read_lsn && !has_new_files {
        return Ok(());
    }
    engine.sync_log(read_lsn)?;
    let first_log = engine.log.lock().first_needed(installed.manifest.checkpoint());
    let next_file_id = engine.next_file_id.load(Ordering::Relaxed);
    let next = installed.manifest.with(next_file_id, first_log, read_lsn, |_| {});
    make_newest(engine, &mut installed, next)
}

/// Writes a manifest and renames it. The log that it reflects is durable already.
fn make_newest(engine: &Arc<Engine>, installed: &mut ManifestState, mut next: Manifest) -> Result<()> {
    let generation = next.generation;
    let clock = engine.clock.state();
    next.clock = clock;
    next.write(&*engine.storage)?;
    next.publish(&*engine.storage).map_err(|error| match error.kind() {
        ErrorKind::DiskFull => error,
        // After a failed rename nobody knows which name the disk has, as after a failed sync.
        _ => engine.poison(&error),
    })?;
    engine.sync_dir()?;
    let previous = std::mem::replace(&mut installed.manifest, next);
    engine.manifest_generation.store(generation, Ordering::Relaxed);
    engine.clock.note_saved(clock);
    remove_obsolete(engine, installed, &previous)
}

/// Everything of the shard at or below is in segments and tombstones once this view's manifest is written.
fn checkpoint_of(shard: &Shard, read_lsn: Lsn, before: Lsn, index: usize, finished: Option<&CompletedJob>) -> Lsn {
    if shard.memtable.is_empty() && shard.frozen.is_empty() {
        return read_lsn;
    }
    let sealed = finished.filter(|finished| finished.shard == index).into_iter().flat_map(|finished| &finished.inputs);
    sealed
        .filter_map(|input| if let Input::Memtable(_, through) = input { Some(*through) } else { None })
        .fold(before, Lsn::max)
}

/// The files that one commit has written for segments, by the segments' ids.
#[derive(Default)]
struct WrittenFiles {
    generation: u64,
    tombstones: HashSet<u64>,
    missed: HashMap<u64, DerivedFile>,
}

fn entry_of(part: &SharedSegment, before: &[SegmentEntry], written: &WrittenFiles) -> SegmentEntry {
    let mut entry = part.entry.clone();
    let known = before.iter().find(|known| known.file_id == entry.file_id);
    entry.tombstone_generation = if written.tombstones.contains(&entry.file_id) {
        written.generation
    } else {
        known.map_or(entry.tombstone_generation, |known| known.tombstone_generation)
    };
    let before = known.map_or(&entry.missed, |known| &known.missed);
    entry.missed = part.missed.files(written.missed.get(&entry.file_id).copied(), before);
    entry
}

/// Removes files that neither of the two newest manifests names, and log files that neither needs.
fn remove_obsolete(engine: &Arc<Engine>, installed: &mut ManifestState, previous: &Manifest) -> Result<()> {
    let needed: HashSet<String> = installed.manifest.files().chain(previous.files()).collect();
    let oldest_log = installed.manifest.first_log.min(previous.first_log);
    let mut obsolete: Vec<String> = std::mem::take(&mut installed.previous_files);
    obsolete.retain(|name| !needed.contains(name));
    installed.previous_files = previous.files().collect();
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
        // A file that cannot be removed now is an orphan, and the next open removes it.
        let _ = engine.storage.remove(name);
    }
    Ok(())
}

/// Commits the bounds of the read view if the newest manifest has others: a commit that failed left them behind, or is
/// under way.
pub(crate) fn commit_bounds(engine: &Arc<Engine>) -> Result<()> {
    let view = engine.view.get();
    let lows = view.shards.iter().map(|shard| &shard.interval.low);
    let is_committed = lows.eq(engine.manifest_state.lock().manifest.shards.iter().map(|entry| &entry.low));
    if is_committed { Ok(()) } else { checkpoint(engine) }
}
