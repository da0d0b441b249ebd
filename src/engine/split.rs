//! Splits a shard of the read view, and commits the new bounds.
//!
//! The read view comes first: a manifest with the old bounds is right too, since no segment lies in two of the new
//! shards. So a crash, or a commit that fails, leaves one shard, or gets the bounds with the next commit. An import
//! commits the bounds before it writes its frame (`commit_bounds` in `install.rs`).
//!
//! Invariants:
//! * The caller has claimed the shard and holds the lock of flushes: no job has computed an extent from the old bounds.
//! * Under the apply lock, only what was written since the copying of memtables began is copied.
//! * No generation is committed during the split, so each new shard begins with the checkpoint of the old one.

use std::sync::Arc;

use crate::engine::Engine;
use crate::engine::install::commit;
use crate::error::Result;
use crate::shard::ReadView;
use crate::sync::HookPoint;

/// Splits the shard with this lower bound at its planned cuts. Returns false if that must wait: a segment, or a file of
/// an import that is under way, lies on both sides of a cut. A commit that fails changes nothing about the split: the
/// next one has the new bounds.
pub(crate) fn split_shard(engine: &Arc<Engine>, low: &[u8]) -> Result<bool> {
    // Most rows are copied while writers go on.
    let view = engine.view.get();
    let begun = view.shards[view.shard_of(low)].copies(view.read_lsn)?;
    engine.hooks.reach(HookPoint::SplitCopied);
    let mut state = engine.manifest_state.lock();
    let apply_lock = engine.apply_lock.lock();
    let view = engine.view.get();
    let view = view.with_split(view.shard_of(low), &engine.import_files.lock(), begun)?;
    let Some(view) = view else { return Ok(false) };
    publish(engine, view);
    drop(apply_lock);
    engine.signal.raise();
    engine.hooks.reach(HookPoint::SplitPublished);
    if let Err(error) = engine.with_reserve(|| commit(engine, &mut state)) {
        engine.set_background_error(Some(&error));
    }
    Ok(true)
}

/// Plans the cuts of the shard with this lower bound, or drops the plan if there are none. New segments of the shard
/// are cut there.
pub(crate) fn plan_cuts(engine: &Engine, low: &[u8], cuts: Vec<Vec<u8>>) {
    let _apply_lock = engine.apply_lock.lock();
    let view = engine.view.get();
    publish(engine, view.with_cuts(view.shard_of(low), cuts));
}

fn publish(engine: &Engine, view: ReadView) {
    let stalled = engine.is_still_stalled(&view);
    engine.publish(view, stalled);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::clock::StoreClock;
    use crate::engine::facts::gather;
    use crate::engine::install::{checkpoint, commit_bounds};
    use crate::engine::recover::recover;
    use crate::storage::Storage;
    use crate::storage::sim::{SimClock, SimStorage};
    use crate::store::{Options, open_with};
    use crate::tuning::Tuning;
    use crate::types::Durability;

    /// An engine over what the disk holds, without background threads.
    fn engine(storage: &SimStorage) -> Arc<Engine> {
        let disk: Arc<dyn Storage> = Arc::new(storage.clone());
        let start = recover(&disk, gather(&*disk).unwrap(), None).unwrap();
        let clock = StoreClock::new(Arc::new(SimClock::new(1)), Duration::ZERO, start.clock);
        Arc::new(Engine::new(disk, clock, Tuning::tiny(), Durability::Sync, start))
    }

    #[test]
    fn bounds_count_as_committed_once_both_manifests_have_them() {
        let (storage, clock) = (SimStorage::new(1), SimClock::new(1));
        let options = Options::new().tuning(Tuning::tiny());
        open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options).unwrap().close().unwrap();
        let split = engine(&storage);
        checkpoint(&split).unwrap();
        assert!(split.bounds_are_committed());
        plan_cuts(&split, b"", vec![b"m\0".to_vec()]);
        assert!(split_shard(&split, b"").unwrap());
        assert_eq!(split.view.get().shards.len(), 2);
        assert!(!split.bounds_are_committed(), "the manifest before the newest has one shard");
        assert!(!engine(&storage).bounds_are_committed(), "which an open sees too");
        let generation = split.pause_installs().manifest.generation;
        commit_bounds(&split).unwrap();
        assert!(split.bounds_are_committed() && engine(&storage).bounds_are_committed());
        assert_eq!(split.pause_installs().manifest.generation, generation + 1);
        commit_bounds(&split).unwrap();
        assert_eq!(split.pause_installs().manifest.generation, generation + 1, "nothing is left to commit");
    }
}
