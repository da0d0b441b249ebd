//! The newest manifests on disk, and what the rest of the program asks about them.
//!
//! Invariants:
//! * The state changes only in `generation.rs`, with a manifest that is durable.
//! * Whoever holds the lock of the state keeps generations, and so installs, from being written.

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
    /// What the next generation holds.
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

    /// The oldest checkpoint of all shards: no log before it is replayed.
    pub fn oldest_checkpoint(&self) -> Lsn {
        self.manifest_state.lock().manifest.checkpoint()
    }

    /// For each shard, whether its checkpoint is the oldest one, so that it holds back the log.
    pub fn holds_back_log(&self) -> Vec<bool> {
        let state = self.manifest_state.lock();
        let oldest = state.manifest.checkpoint();
        state.manifest.shards.iter().map(|shard| shard.checkpoint == oldest).collect()
    }

    /// Whether a commit would let go of files that only the generation before the newest names.
    pub fn keeps_old_files(&self) -> bool {
        self.manifest_state.lock().keeps_old_files()
    }

    /// While the guard lives, no generation is written and nothing is state.
    pub fn pause_installs(&self) -> MutexGuard<'_, ManifestState> {
        self.manifest_state.lock()
    }
}
