//! Makes a finished seal or merge current: the same steps for both.
//!
//! Under the apply lock, collect which input rows died or were touched after the base and give them to the output; write
//! every changed tombstone file; commit the manifest without the lock; take the lock again, carry over what happened
//! meanwhile, and swap.
//!
//! Invariants:
//! * Installs run one at a time, from collect to swap (the `installing` lock); a shard's seals install in LSN order.
//! * Before a manifest is written, the log is synced through everything it reflects, in every mode.
//! * A manifest with checkpoint c for a shard names tombstones that hold every death and touch at or below c.
//! * Files go last: when neither of the two newest manifests names them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{FileName, manifest_name, parse_name};
use crate::manifest::{FileKind, Manifest, SegmentEntry, Settings};
use crate::record::{ALIVE, Lsn};
use crate::segment::active::Active;
use crate::segment::dead::Touch;
use crate::segment::dead_file::DeadFile;
use crate::segment::derived::DerivedFile;
use crate::segment::side_file::SideFile;
use crate::shard::engine::{Engine, Installed};
use crate::shard::lost::give;
use crate::shard::output_files::OutputFiles;
use crate::shard::part::SharedPart;
use crate::shard::{Shard, View};
use crate::sync::{MutexGuard, Ordering};

/// What goes out.
pub(crate) enum Input {
    /// The oldest sealing part of the shard, and the LSN through which the shard's older parts now hold everything.
    Sealing(Arc<Active>, Lsn),
    Sealed(SharedPart),
}

/// A finished job: `inputs` are replaced by `output`.
pub(crate) struct Finished {
    pub shard: usize,
    /// The LSN as of which the output holds what lived in the inputs.
    pub base: Lsn,
    pub inputs: Vec<Input>,
    /// For each input, the row of the output that each of its rows became; `u32::MAX` for none.
    pub rows: Vec<Vec<u32>>,
    /// `None` when nothing lived.
    pub output: Option<SharedPart>,
}

/// Installs a finished job.
pub(crate) fn install(engine: &Arc<Engine>, finished: &Finished) -> Result<()> {
    let mut installed = engine.installing.lock();
    let applying = engine.applying.lock();
    let view = engine.view.get();
    if !finished.inputs.iter().all(|input| is_there(&view.shards[finished.shard], input)) {
        let why = "a part was replaced by a repair while it was merged; the merge is done again later";
        return Err(Error::new(ErrorKind::Busy, why));
    }
    carry_over(finished);
    let after = swapped(&view, finished);
    let changed = changed_parts(&after);
    drop(applying);

    engine.with_reserve(|| write_and_commit(engine, &mut installed, &after, &changed, Some(finished)))?;

    let applying = engine.applying.lock();
    carry_over(finished);
    let view = swapped(&engine.view.get(), finished);
    let crowded = engine.still_crowded(&view);
    engine.publish(view, crowded);
    drop(applying);
    let retired = finished.inputs.iter().filter_map(|input| match input {
        Input::Sealed(part) => Some(Arc::clone(part)),
        Input::Sealing(..) => None,
    });
    engine.graveyard.lock().extend(retired);
    engine.signal.raise();
    drop(installed);
    Ok(())
}

/// Commits a manifest that reflects everything applied in shards whose active part is empty, so that old log can go.
pub(crate) fn checkpoint(engine: &Arc<Engine>) -> Result<()> {
    let mut installed = engine.installing.lock();
    engine.with_reserve(|| commit(engine, &mut installed))
}

/// The same for what is not worth the reserve, such as what the clock has learned.
pub(crate) fn checkpoint_without_reserve(engine: &Arc<Engine>) -> Result<()> {
    commit(engine, &mut engine.installing.lock())
}

/// Changes the settings; they survive a power loss when this returns.
pub(crate) fn change_settings(engine: &Arc<Engine>, change: impl FnOnce(&Settings) -> Result<Settings>) -> Result<()> {
    let mut installed = engine.installing.lock();
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
    // Should the newest generation be damaged one day, the one before has them too. They are durable without it.
    let _ = commit(engine, &mut installed);
    Ok(())
}

/// Commits a manifest of everything that is applied.
fn commit(engine: &Arc<Engine>, installed: &mut MutexGuard<'_, Installed>) -> Result<()> {
    let applying = engine.applying.lock();
    let view = engine.view.get();
    let changed = changed_parts(&view);
    drop(applying);
    write_and_commit(engine, installed, &view, &changed, None)
}

/// Gives the output what happened to its rows in the inputs since the base.
fn carry_over(finished: &Finished) {
    let Some(output) = &finished.output else { return };
    for (input, rows) in finished.inputs.iter().zip(&finished.rows) {
        let target = |row: u32| rows.get(row as usize).copied().filter(|&target| target != u32::MAX);
        let (deaths, touches): (Vec<(u32, Lsn)>, Vec<Touch>) = match input {
            Input::Sealing(active, _) => {
                let touches = active.touches_after(finished.base).into_iter();
                let touches = touches.map(|(row, expires_at, lsn)| Touch { row, expires_at, lsn });
                (active.deaths_after(finished.base), touches.collect())
            }
            Input::Sealed(part) => {
                let touches = part.deaths.touches().filter(|touch| touch.lsn > finished.base);
                (part.deaths.died_after(finished.base).collect(), touches.collect())
            }
        };
        if let Input::Sealed(part) = input {
            let missed = part.missed.operations().into_iter().filter(|(lsn, _)| *lsn > finished.base);
            // Nothing is damaged in what was just written, so nothing is hidden from these.
            missed.for_each(|(lsn, operation)| drop(give(output, lsn, &operation)));
        }
        for (row, lsn) in deaths.into_iter().filter(|&(_, lsn)| lsn != ALIVE) {
            if let Some(row) = target(row)
                && output.deaths.kill(row, lsn)
            {
                output.set_dirty();
            }
        }
        for touch in touches {
            if let Some(row) = target(touch.row)
                && output.deaths.touch(Touch { row, ..touch })
            {
                output.set_dirty();
            }
        }
    }
}

/// The view after the install.
fn swapped(view: &View, finished: &Finished) -> View {
    let mut shard = Shard::clone(&view.shards[finished.shard]);
    let position = shard.segments.iter().position(|part| is_input(finished, part)).unwrap_or(shard.segments.len());
    shard.segments.retain(|part| !is_input(finished, part));
    shard.sealing.retain(|sealing| {
        !finished
            .inputs
            .iter()
            .any(|input| matches!(input, Input::Sealing(active, _) if Arc::ptr_eq(active, &sealing.active)))
    });
    if let Some(output) = &finished.output {
        shard.segments.insert(position.min(shard.segments.len()), Arc::clone(output));
    }
    view.with_shard(finished.shard, shard)
}

fn is_there(shard: &Shard, input: &Input) -> bool {
    match input {
        Input::Sealing(active, _) => shard.sealing.iter().any(|sealing| Arc::ptr_eq(active, &sealing.active)),
        Input::Sealed(part) => shard.segments.iter().any(|other| Arc::ptr_eq(other, part)),
    }
}

fn is_input(finished: &Finished, part: &SharedPart) -> bool {
    finished.inputs.iter().any(|input| matches!(input, Input::Sealed(other) if Arc::ptr_eq(other, part)))
}

/// A part whose tombstones, or what it missed, changed since they were last written.
pub(super) struct Changed {
    part: SharedPart,
    has_tombstones: bool,
    /// The content of a new file of what it missed.
    missed: Option<Vec<u8>>,
}

/// The parts that changed. The caller holds the apply lock: what the files will hold is bounded by the LSN of the view, so it can be
/// written without it.
pub(super) fn changed_parts(view: &View) -> Vec<Changed> {
    let parts = view.shards.iter().flat_map(|shard| &shard.segments);
    let changed = parts.map(|part| Changed {
        part: Arc::clone(part),
        // What did not open does not know its deaths: what is on the disk of them stays.
        has_tombstones: part.opened().is_some() && part.take_dirty(),
        missed: part.missed.take_dirty().then(|| part.missed.encode()),
    });
    changed.filter(|changed| changed.has_tombstones || changed.missed.is_some()).collect()
}

impl Changed {
    /// It is still to be written.
    fn set_dirty(&self) {
        if self.has_tombstones {
            self.part.set_dirty();
        }
        if self.missed.is_some() {
            self.part.missed.set_dirty();
        }
    }
}

/// Writes tombstones and the next manifest, and removes what two generations no longer need. On a failure the tombstones
/// are still to be written, and no file of the attempt stays.
pub(super) fn write_and_commit(
    engine: &Arc<Engine>,
    installed: &mut MutexGuard<'_, Installed>,
    view: &View,
    changed: &[Changed],
    finished: Option<&Finished>,
) -> Result<()> {
    let mut outputs = OutputFiles::new(engine);
    let committed = try_commit(engine, installed, view, changed, finished, &mut outputs);
    if committed.is_ok() {
        outputs.installed();
    }
    if committed.is_err() {
        changed.iter().for_each(Changed::set_dirty);
    }
    committed
}

fn try_commit(
    engine: &Arc<Engine>,
    installed: &mut MutexGuard<'_, Installed>,
    view: &View,
    changed: &[Changed],
    finished: Option<&Finished>,
    outputs: &mut OutputFiles,
) -> Result<()> {
    let (storage, store_id) = (&*engine.storage, engine.identity.keys.store_id);
    let kind = FileKind::OPERATIONS;
    let saved = engine.operation_ids.save(storage, store_id, view.visible, || outputs.side(kind.as_str()))?;
    engine.sync_log(view.visible)?;
    let generation = installed.manifest.generation + 1;
    let mut written = Written { generation, ..Written::default() };
    for Changed { part, has_tombstones, missed } in changed {
        let (file_id, rows) = (part.entry.file_id, part.entry.rows);
        if *has_tombstones {
            let file = DeadFile { store_id, file_id, generation, rows };
            // Left over from an attempt at the same generation, if it could not be removed then.
            let _ = engine.storage.remove(&file.name());
            outputs.named(&file.name());
            file.write(&*engine.storage, &part.deaths, view.visible)?;
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
        .map(|(index, (shard, entry))| checkpoint_of(shard, view.visible, entry.checkpoint, index, finished))
        .collect();
    let reached = checkpoints.iter().copied().min().unwrap_or(0);
    let first_log = engine.log.lock().first_needed(reached);
    let next_file_id = engine.next_file_id.load(Ordering::Relaxed);
    let mut next = installed.manifest.with(next_file_id, first_log, view.visible, |entries| {
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

/// Commits a manifest that knows the end of the log, so that an open misses what somebody has cut off or overwritten.
/// It costs one small file: segments, tombstones and checkpoints stay as they are. Writes nothing where the newest manifest knows the
/// end already: of a store that was closed and only read since. What a killed process has left is recorded by whoever closes next.
pub(crate) fn record_end(engine: &Arc<Engine>) -> Result<()> {
    let mut installed = engine.installing.lock();
    let visible = engine.view.get().visible;
    let has_new_files = installed.manifest.first_log == 0 && engine.log.lock().is_started();
    if installed.manifest.reflected == visible && !has_new_files {
        return Ok(());
    }
    engine.sync_log(visible)?;
    let first_log = engine.log.lock().first_needed(installed.manifest.checkpoint());
    let next_file_id = engine.next_file_id.load(Ordering::Relaxed);
    let next = installed.manifest.with(next_file_id, first_log, visible, |_| {});
    make_newest(engine, &mut installed, next)
}

/// Writes a manifest and gives it its name; what it reflects is durable already.
fn make_newest(engine: &Arc<Engine>, installed: &mut MutexGuard<'_, Installed>, mut next: Manifest) -> Result<()> {
    let generation = next.generation;
    let clock = engine.clock.state();
    next.clock = clock;
    next.write(&*engine.storage)?;
    next.publish(&*engine.storage).map_err(|error| match error.kind() {
        ErrorKind::DiskFull => error,
        // Whether the name changed is as unknown as after a failed sync.
        _ => engine.fence(&error),
    })?;
    engine.sync_dir()?;
    let previous = std::mem::replace(&mut installed.manifest, next);
    engine.manifest_generation.store(generation, Ordering::Relaxed);
    engine.clock.note_saved(clock);
    remove_obsolete(engine, installed, &previous)
}

/// Everything of the shard at or below is in segments and tombstones once this view's manifest is written.
fn checkpoint_of(shard: &Shard, visible: Lsn, before: Lsn, index: usize, finished: Option<&Finished>) -> Lsn {
    if shard.active.is_empty() && shard.sealing.is_empty() {
        return visible;
    }
    let sealed = finished.filter(|finished| finished.shard == index).into_iter().flat_map(|finished| &finished.inputs);
    sealed
        .filter_map(|input| if let Input::Sealing(_, through) = input { Some(*through) } else { None })
        .fold(before, Lsn::max)
}

/// What one commit has written beside segments, by the segments' ids.
#[derive(Default)]
struct Written {
    generation: u64,
    tombstones: HashSet<u64>,
    missed: HashMap<u64, DerivedFile>,
}

fn entry_of(part: &SharedPart, before: &[SegmentEntry], written: &Written) -> SegmentEntry {
    let mut entry = part.entry.clone();
    let known = before.iter().find(|known| known.file_id == entry.file_id);
    entry.dead_generation = if written.tombstones.contains(&entry.file_id) {
        written.generation
    } else {
        known.map_or(entry.dead_generation, |known| known.dead_generation)
    };
    let before = known.map_or(&entry.missed, |known| &known.missed);
    entry.missed = part.missed.files(written.missed.get(&entry.file_id).copied(), before);
    entry
}

/// Removes files that neither of the two newest manifests names, and log files that neither needs.
fn remove_obsolete(engine: &Arc<Engine>, installed: &mut MutexGuard<'_, Installed>, previous: &Manifest) -> Result<()> {
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
        // What cannot be removed now is an orphan, and the next open removes it.
        let _ = engine.storage.remove(name);
    }
    Ok(())
}
