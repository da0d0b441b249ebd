//! A cut: the files that make up the store at one LSN, none of which changes any more.
//!
//! 1. Under the lock of the manifest's state, the log turns to a new file. So the log files before it are complete:
//!    they hold every operation up to the LSN of the cut, and no later one.
//! 2. Under the same lock, the newest manifest is copied, and its files and those log files are pinned.
//!
//! Invariants:
//! * The newest manifest reflects nothing after the cut: no manifest is committed between the turn and the copy.
//! * The state that manifest and log files give is the one that a crash at the cut would have left.
//! * A log that was not written to since the open is not turned, since nothing writes to the files that the open found.

use std::collections::HashSet;

use super::Pipeline;
use crate::engine::log::Log;
use crate::engine::manifest_state::ManifestState;
use crate::engine::pinned::Pin;
use crate::engine::space::Purpose;
use crate::error::Result;
use crate::manifest::Manifest;
use crate::record::Lsn;
use crate::wal::{self, LogFile};

/// The files of one moment.
pub(crate) struct StoreCut {
    /// The newest manifest, with the LSN and the clock of the cut.
    pub manifest: Manifest,
    /// The log files that a replay of the manifest needs, oldest first.
    pub logs: Vec<LogFile>,
    pub lsn: Lsn,
    /// Keeps the files, those of imports that only the log names included.
    pub pin: Pin,
}

impl Pipeline {
    /// Cuts the store now. Writers go on: they wait at most for a turn of the log.
    pub fn cut(&self) -> Result<StoreCut> {
        let _one_at_a_time = self.log_file_lock.lock();
        self.engine.sync_found()?;
        let as_it_is = {
            let installed = self.engine.pause_installs();
            let log = self.engine.log.lock();
            self.engine.check_poisoned()?;
            let ended = log.ended_files(installed.manifest.first_log);
            ended.map(|logs| self.pinned(&installed, &log, logs))
        };
        if let Some(cut) = as_it_is {
            return Ok(cut);
        }
        self.turn_log_holding(
            Purpose::Log,
            || self.engine.pause_installs(),
            |installed, log| {
                // After a turn the current file is empty, and the files before it have ended.
                let logs = log.ended_files(installed.manifest.first_log).unwrap_or_default();
                self.pinned(installed, log, logs)
            },
        )
    }

    fn pinned(&self, installed: &ManifestState, log: &Log, logs: Vec<LogFile>) -> StoreCut {
        let mut names: HashSet<String> = logs.iter().map(|file| wal::file_name(file.id)).collect();
        names.extend(installed.manifest.files());
        // A frame of the log may name files of an import that no manifest names yet. They pass from the import to the
        // read view, so they are looked for in this order.
        names.extend(self.engine.import_files.lock().names.iter().cloned());
        let view = self.engine.view.get();
        let parts = view.shards.iter().flat_map(|shard| &shard.segments);
        names.extend(parts.flat_map(|part| part.entry.file_names().collect::<Vec<_>>()));
        let lsn = log.written().max(installed.manifest.reflected);
        // The log reaches the LSN of the cut. A manifest that says so tells a copy whose log was cut off.
        let manifest = Manifest { reflected: lsn, clock: self.engine.clock.state(), ..installed.manifest.clone() };
        StoreCut { pin: self.engine.pin(names, lsn), manifest, logs, lsn }
    }
}
