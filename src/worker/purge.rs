//! Erasing: no file keeps a byte of what was deleted, in the whole store or in what concerns a scope.
//!
//! The log goes on in a new file first, so that what was logged before can go as soon as segments hold it. Then memory is written to
//! segments, segments that hold something dead are rewritten, and manifests are committed until nothing needs the old files.
//!
//! Invariants:
//! * What was deleted, replaced or swept before an erasure began is in no file of the store when it has returned without an error.
//! * Writes go on meanwhile; what they delete is the next erasure's.

use std::collections::BTreeSet;

use super::Worker;
use crate::compact::blobs::DeadAllowed;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::shard::graphs::Cores;
use crate::shard::install::checkpoint;
use crate::shard::part::SharedPart;
use crate::types::Interval;

/// Rounds of flushing and checkpoints after which other writers are too fast.
const ROUNDS_MAX: usize = 16;

/// The files that an erasure let go of, and what it wrote.
#[derive(Clone, Debug, Default)]
pub(crate) struct Erased {
    pub segments_rewritten: u64,
    pub bytes_written: u64,
    pub files_unlinked: Vec<String>,
}

impl Worker {
    /// Leaves no byte of what is dead in `interval` in any file.
    pub fn erase(&self, interval: &Interval) -> Result<Erased> {
        let before = self.file_names()?;
        let mut erased = Erased::default();
        self.leave_log_behind()?;
        let rewritten = self.rewrite_holders(interval, &mut erased);
        let settled = self.settle_log().and_then(|()| self.shorten_bounds());
        rewritten.and(settled)?;
        let after = self.file_names()?;
        erased.files_unlinked = before.difference(&after).cloned().collect();
        Ok(erased)
    }

    fn file_names(&self) -> Result<BTreeSet<String>> {
        Ok(self.engine.storage.list()?.into_iter().map(|(name, _)| name).collect())
    }

    /// Turns to a new log file, and writes what is in memory to segments, so that the files before can go.
    pub(super) fn leave_log_behind(&self) -> Result<()> {
        self.pipeline.rotate_log()?;
        self.seal_everything()
    }

    /// Commits manifests until neither of the two newest needs a log file from before the last rotation.
    pub(super) fn settle_log(&self) -> Result<()> {
        let rotated_at: Lsn = self.engine.log.lock().current_file_begins_after();
        for _ in 0..ROUNDS_MAX {
            if self.engine.installing.lock().manifest.checkpoint() >= rotated_at {
                checkpoint(&self.engine)?;
                return checkpoint(&self.engine);
            }
            // A writer has filled a memtable between the flush and the commit.
            self.seal_everything()?;
            checkpoint(&self.engine)?;
        }
        Err(Error::new(
            ErrorKind::Busy,
            "other writers were faster than the checkpoints, so old log files are still there; erase again",
        ))
    }

    /// Rewrites every segment that holds something dead of the interval, and no other.
    fn rewrite_holders(&self, interval: &Interval, erased: &mut Erased) -> Result<()> {
        let _one_at_a_time = self.merging.lock();
        for index in 0..self.engine.view.get().shards.len() {
            self.adopt(index)?;
            let view = self.engine.view.get();
            for part in &view.shards[index].segments {
                if !holds_dead(part, interval)? {
                    continue;
                }
                let inputs = std::slice::from_ref(part);
                let written = self.merge(index, inputs, view.visible, (Cores::All, DeadAllowed::Nothing))?;
                erased.segments_rewritten += 1;
                erased.bytes_written += written;
            }
            self.engine.view.get().shards[index].segments.iter().try_for_each(|part| part.check_stuck())?;
        }
        Ok(())
    }

    /// Gives shards bounds that name nothing that is gone.
    pub(super) fn shorten_bounds(&self) -> Result<()> {
        if self.engine.view.get().with_short_bounds().is_none() {
            return Ok(());
        }
        // An import has cut its files by the bounds that there are.
        let _imports = self.pipeline.pause_imports();
        let applying = self.engine.applying.lock();
        let Some(view) = self.engine.view.get().with_short_bounds() else { return Ok(()) };
        let crowded = self.engine.still_crowded(&view);
        self.engine.publish(view, crowded);
        drop(applying);
        checkpoint(&self.engine)?;
        checkpoint(&self.engine)
    }
}

/// Whether a part holds a dead row of the interval. Of values that died in a blob file nobody knows whose they were.
fn holds_dead(part: &SharedPart, interval: &Interval) -> Result<bool> {
    if part.blob_bytes().dead > 0 {
        return Ok(true);
    }
    let (rows, ..) = part.rows_in(interval)?;
    Ok(!rows.is_empty() && rows.into_iter().any(|row| part.deaths.is_dead_at(row, Lsn::MAX - 1)))
}
