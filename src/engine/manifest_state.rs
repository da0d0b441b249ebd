//! The two newest manifests on disk, and the questions of other modules about them.
//!
//! Invariants:
//! * The manifest changes only in `generation.rs`, once the new one is durable. `change_settings` in `install.rs` sets
//!   the settings just before.
//! * While a thread holds the lock of the state, no other thread commits a generation or installs a job.

use std::collections::HashSet;

use crate::engine::Engine;
use crate::manifest::{Manifest, Settings};
use crate::record::Lsn;
use crate::sync::MutexGuard;

/// The newest manifests on disk.
pub(crate) struct ManifestState {
    pub manifest: Manifest,
    /// Files of the previous generation, which stay until the next commit.
    pub previous_files: Vec<String>,
    /// The lower bounds of the shards in the previous generation; `None` if there is none that can be read.
    pub previous_lows: Option<Vec<Vec<u8>>>,
    /// The settings for the next generation.
    pub settings: Settings,
}

impl ManifestState {
    /// The files that the two newest manifests name.
    pub fn files(&self) -> impl Iterator<Item = String> {
        self.manifest.files().chain(self.previous_files.iter().cloned())
    }

    /// Whether the generation before names files that the newest one does not.
    pub fn keeps_old_files(&self) -> bool {
        let named: HashSet<String> = self.manifest.files().collect();
        self.previous_files.iter().any(|file| !named.contains(file))
    }
}

impl Engine {
    /// Whether both newest manifests have the shard bounds of the read view. Until then an open may find older bounds.
    pub fn bounds_are_committed(&self) -> bool {
        let state = self.manifest_state.lock();
        let view = self.view.get();
        let lows = || view.shards.iter().map(|shard| &shard.interval.low);
        let is_newest = lows().eq(state.manifest.shards.iter().map(|entry| &entry.low));
        is_newest && state.previous_lows.as_ref().is_none_or(|previous| lows().eq(previous))
    }

    /// The oldest checkpoint of all shards. A replay skips the log before it.
    pub fn oldest_checkpoint(&self) -> Lsn {
        self.manifest_state.lock().manifest.checkpoint()
    }

    /// Whether the next commit frees files, those that only the generation before the newest names.
    pub fn keeps_old_files(&self) -> bool {
        self.manifest_state.lock().keeps_old_files()
    }

    /// While the guard lives, no generation is written and no job is installed.
    pub fn pause_installs(&self) -> MutexGuard<'_, ManifestState> {
        self.manifest_state.lock()
    }
}
