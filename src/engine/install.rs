//! Installs a change of the read view: one protocol, for every finished job, that makes new parts durable and visible.
//!
//! 1. Under the apply lock: carry over the deletes and touches of the old parts to the new ones. Collect changed parts.
//! 2. Without the apply lock: write every changed tombstone file, and commit the manifest (`generation.rs`).
//! 3. Under the apply lock again: carry over the deletes and touches since step 1, and swap the read view.
//! 4. Retire the old parts: they are unmapped after their last reader. Their graphs let the queries go that they keep.
//!
//! Invariants:
//! * Installs run one at a time, under the `manifest_state` lock.
//! * The manifest names the new parts before a reader sees them. The deletes and touches of step 3 are in the log, and
//!   the next generation writes them to tombstone files.
//! * If an install fails, the read view and the old parts are unchanged. The caller owns the new files.

use std::collections::HashSet;
use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::generation::{JobResult, changed_parts, make_newest, write_and_commit};
use crate::engine::manifest_state::ManifestState;
use crate::engine::quotas::{self, Quotas};
use crate::error::Result;
use crate::manifest::Settings;
use crate::record::Lsn;
use crate::segment::Segment;
use crate::shard::ReadView;
use crate::shard::part::SharedSegment;
use crate::sync::{HookPoint, Ordering};

/// A change of the read view: new parts in the place of old ones.
pub(crate) trait ViewChange {
    /// Whether every part that the change replaces is still in the read view. The caller holds the apply lock.
    fn applies_to(&self, view: &ReadView) -> bool;

    /// Copies the deletes and touches of the old parts to the new ones. The caller holds the apply lock. A second call
    /// adds those since the first.
    fn carry_over(&self);

    /// The read view with the change.
    fn apply(&self, view: &ReadView) -> ReadView;

    /// Called after a failed commit: returns to the old parts the state that `carry_over` took from them.
    fn undo(&self) {}

    /// The segments that the change removes from the read view.
    fn retired(&self) -> Vec<SharedSegment>;

    /// For a flush: the shard, and the LSN up to which its segments now hold all operations. `view` is the read view
    /// without the change.
    fn flushed(&self, _view: &ReadView) -> Option<(usize, Lsn)> {
        None
    }

    /// Whether the commit of the manifest may use the space of the reserve.
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

/// Installs a change. Does nothing if another job has replaced one of the old parts.
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
    engine.hooks.reach(HookPoint::InstallCollected);

    let job = Some(JobResult { flushed: change.flushed(&view) });
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
    let retired = change.retired();
    end_queries(engine, &retired);
    engine.retired.lock().extend(retired);
    engine.signal.raise();
    drop(state);
    Ok(InstallOutcome::Installed)
}

/// Lets all queries go that were asked of graphs of `retired`, and keeps none of reads of older moments, unless the
/// read view has the graphs in another part.
fn end_queries(engine: &Engine, retired: &[SharedSegment]) {
    let view = engine.view.get();
    let graphs = |part: &SharedSegment| part.opened().map_or(&[][..], Segment::graphs).to_vec();
    let there: HashSet<u64> = (view.shards.iter().flat_map(|shard| &shard.segments))
        .flat_map(|part| graphs(part).into_iter().map(|graph| graph.file_id()))
        .collect();
    for graph in retired.iter().flat_map(graphs).filter(|graph| !there.contains(&graph.file_id())) {
        graph.live.end();
    }
}

/// Commits a manifest of the read view. The checkpoint of every shard without rows in memory moves up to the
/// `read_lsn`, so that older log files can be removed.
pub(crate) fn checkpoint(engine: &Arc<Engine>) -> Result<()> {
    let mut state = engine.manifest_state.lock();
    engine.with_reserve(|| commit(engine, &mut state))
}

/// As [`checkpoint`], but never uses the reserve: for changes that can wait, such as the state of the clock.
pub(crate) fn checkpoint_without_reserve(engine: &Arc<Engine>) -> Result<()> {
    commit(engine, &mut engine.manifest_state.lock())
}

/// Changes the settings. The new settings survive a power loss once this returns.
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
    if before.get(quotas::SETTING) != state.settings.get(quotas::SETTING) {
        drop(engine.quotas.set(Arc::new(Quotas::new(&state.settings))));
    }
    // The settings are durable already. A second generation makes them survive damage of the newest manifest.
    let _ = commit(engine, &mut state);
    Ok(())
}

/// Drops what was counted for quotas, since items are gone that no write has deleted.
pub(crate) fn count_anew(engine: &Engine) {
    let _no_other_change = engine.pause_installs();
    drop(engine.quotas.set(Arc::new(Quotas::clone(&engine.quotas.get()))));
}

/// Commits a manifest of the published read view.
pub(super) fn commit(engine: &Arc<Engine>, state: &mut ManifestState) -> Result<()> {
    let apply_lock = engine.apply_lock.lock();
    let view = engine.view.get();
    let changed = changed_parts(&view);
    drop(apply_lock);
    write_and_commit(engine, state, &view, &changed, None)
}

/// Commits a manifest that records the last LSN, so that the next open notices if the end of the log was truncated or
/// overwritten. It writes one small file: segments, tombstones and checkpoints stay as they are. It writes nothing if
/// the newest manifest records this LSN already, as after an open without writes. After a process was killed, the next
/// close records the end.
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

/// Commits manifests until both newest ones have the shard bounds of the read view. An earlier commit of the bounds
/// may have failed, or is still under way.
pub(crate) fn commit_bounds(engine: &Arc<Engine>) -> Result<()> {
    while !engine.bounds_are_committed() {
        checkpoint(engine)?;
    }
    Ok(())
}
