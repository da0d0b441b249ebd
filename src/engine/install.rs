//! Makes a change of the read view current and durable: one protocol for every finished job.
//!
//! 1. Under the apply lock: carry over to the new parts what has happened to the old ones, and note what changed.
//! 2. Without the apply lock: write every changed tombstone file, and commit the manifest (`generation.rs`).
//! 3. Under the apply lock again: carry over what happened meanwhile, and swap the read view.
//! 4. The old parts retire: they are unmapped after their last reader.
//!
//! Invariants:
//! * Installs run one at a time, under the `manifest_state` lock.
//! * The manifest names the new parts before a reader sees them. What is carried over by step 3 is in the log, and in
//!   the tombstones that the next generation writes.
//! * If anything fails, the read view has not changed and the old parts are as they were. The caller owns the new
//!   files.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::generation::{JobResult, changed_parts, make_newest, write_and_commit};
use crate::engine::manifest_state::ManifestState;
use crate::error::Result;
use crate::manifest::Settings;
use crate::record::Lsn;
use crate::shard::ReadView;
use crate::shard::part::SharedSegment;
use crate::sync::Ordering;

/// A change of the read view: new parts in the place of old ones.
pub(crate) trait ViewChange {
    /// Whether every part that goes is still in the read view, so that the change can be made. The caller holds the
    /// apply lock.
    fn applies_to(&self, view: &ReadView) -> bool;

    /// Gives the new parts what has happened to the old ones. The caller holds the apply lock; a second call adds what
    /// happened since the first.
    fn carry_over(&self);

    /// The read view with the change.
    fn apply(&self, view: &ReadView) -> ReadView;

    /// After a failed commit: gives the old parts back what `carry_over` took from them.
    fn undo(&self) {}

    /// The segments that go.
    fn retired(&self) -> Vec<SharedSegment>;

    /// The shard that a flush has emptied of a memtable, and the last LSN of that memtable.
    fn flushed(&self) -> Option<(usize, Lsn)> {
        None
    }

    /// Whether the manifest may take the space of the reserve.
    fn may_use_reserve(&self) -> bool;
}

/// The outcome of an install.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum InstallOutcome {
    Installed,
    /// Another job has replaced an input meanwhile, so nothing has changed.
    Superseded,
}

/// Installs a change. Does nothing if another job has replaced a part that goes.
pub(crate) fn install_change(engine: &Arc<Engine>, change: &dyn ViewChange) -> Result<InstallOutcome> {
    let mut state = engine.manifest_state.lock();
    let apply_lock = engine.apply_lock.lock();
    let view = engine.view.get();
    if !change.applies_to(&view) {
        return Ok(InstallOutcome::Superseded);
    }
    change.carry_over();
    let after = change.apply(&view);
    let changed = changed_parts(&after);
    drop(apply_lock);

    let job = Some(JobResult { flushed: change.flushed() });
    let mut commit = || write_and_commit(engine, &mut state, &after, &changed, job);
    let committed = if change.may_use_reserve() { engine.with_reserve(commit) } else { commit() };
    if let Err(error) = committed {
        change.undo();
        return Err(error);
    }

    let apply_lock = engine.apply_lock.lock();
    change.carry_over();
    let view = change.apply(&engine.view.get());
    let stalled = engine.is_still_stalled(&view);
    engine.publish(view, stalled);
    drop(apply_lock);
    engine.retired.lock().extend(change.retired());
    engine.signal.raise();
    drop(state);
    Ok(InstallOutcome::Installed)
}

/// Commits a manifest that reflects everything applied in shards whose memtable is empty, so that old log can go.
pub(crate) fn checkpoint(engine: &Arc<Engine>) -> Result<()> {
    let mut state = engine.manifest_state.lock();
    engine.with_reserve(|| commit(engine, &mut state))
}

/// The same without the reserve, for what is not worth it, such as the state of the clock.
pub(crate) fn checkpoint_without_reserve(engine: &Arc<Engine>) -> Result<()> {
    commit(engine, &mut engine.manifest_state.lock())
}

/// Changes the settings; they survive a power loss when this returns.
pub(crate) fn change_settings(engine: &Arc<Engine>, change: impl FnOnce(&Settings) -> Result<Settings>) -> Result<()> {
    let mut state = engine.manifest_state.lock();
    let changed = change(&state.settings)?;
    if changed == state.settings {
        return Ok(());
    }
    let before = std::mem::replace(&mut state.settings, changed);
    if let Err(error) = commit(engine, &mut state) {
        state.settings = before;
        return Err(error);
    }
    drop(engine.settings.set(Arc::new(state.settings.clone())));
    // A second generation, so that the settings survive damage of the newest one. They are durable without it.
    let _ = commit(engine, &mut state);
    Ok(())
}

/// Commits a manifest of everything that is applied.
fn commit(engine: &Arc<Engine>, state: &mut ManifestState) -> Result<()> {
    let apply_lock = engine.apply_lock.lock();
    let view = engine.view.get();
    let changed = changed_parts(&view);
    drop(apply_lock);
    write_and_commit(engine, state, &view, &changed, None)
}

/// Commits a manifest that knows the end of the log, so that the next open misses what was cut off or overwritten.
/// It costs one small file: segments, tombstones and checkpoints stay as they are. Writes nothing where the newest
/// manifest knows the end already: of a store that was closed and only read since. What a killed process has left is
/// recorded by whoever closes next.
pub(crate) fn record_end(engine: &Arc<Engine>) -> Result<()> {
    let mut state = engine.manifest_state.lock();
    let read_lsn = engine.view.get().read_lsn;
    let has_new_files = state.manifest.first_log == 0 && engine.log.lock().is_started();
    if state.manifest.reflected == read_lsn && !has_new_files {
        return Ok(());
    }
    engine.sync_log(read_lsn)?;
    let first_log = engine.log.lock().first_needed(state.manifest.checkpoint());
    let next_file_id = engine.next_file_id.load(Ordering::Relaxed);
    let next = state.manifest.with(next_file_id, first_log, read_lsn, |_| {});
    make_newest(engine, &mut state, next)
}

/// Commits the bounds of the read view if the newest manifest has others: a commit that failed left them behind, or is
/// under way.
pub(crate) fn commit_bounds(engine: &Arc<Engine>) -> Result<()> {
    let view = engine.view.get();
    let lows = view.shards.iter().map(|shard| &shard.interval.low);
    let is_committed = lows.eq(engine.manifest_state.lock().manifest.shards.iter().map(|entry| &entry.low));
    if is_committed { Ok(()) } else { checkpoint(engine) }
}
