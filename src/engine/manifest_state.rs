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
    /// The checkpoint of a shard, as the newest manifest has it.
    pub fn checkpoint_of(&self, shard: usize) -> Lsn {
        self.manifest_state.lock().manifest.shards[shard].checkpoint
    }

    /// The oldest checkpoint of all shards. A replay skips the log before it.
    pub fn oldest_checkpoint(&self) -> Lsn {
        self.manifest_state.lock().manifest.checkpoint()
    }

    /// For each shard, whether its checkpoint is the oldest one, so that it holds back the log.
    pub fn holds_back_log(&self) -> Vec<bool> {
        let state = self.manifest_state.lock();
        let oldest = state.manifest.checkpoint();
        state.manifest.shards.iter().map(|shard| shard.checkpoint == oldest).collect()
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
