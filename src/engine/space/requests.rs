//! Requests of jobs for space, and the delays of failed jobs.
#![allow(clippy::disallowed_methods, reason = "jobs wait in real time, whatever the clock of the store says")]

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::engine::Engine;
use crate::engine::space::decide::{
    Admission, DELETES_BYTES, MANIFEST_BYTES, MANIFEST_SEGMENT_BYTES, MERGES_BYTES, MergeBytes, Outlook, Purpose,
    TOMBSTONE_BYTES, admit, delay, has_grown, memory_bytes, segment_bytes, written_bytes,
};
use crate::engine::space::grants::{Grant, GrantTable};
use crate::engine::space::jobs::{JobKind, Wait};
use crate::error::{Error, ErrorKind, Result};

impl Engine {
    /// Free bytes on the disk. If the system does not report them, `u64::MAX`, so that no request is refused.
    pub fn free_bytes(&self) -> u64 {
        self.storage.free_bytes().unwrap_or(u64::MAX)
    }

    /// Bytes of all segments and of all rows in memory.
    pub fn store_bytes(&self) -> u64 {
        let view = self.view.get();
        segment_bytes(&view).saturating_add(memory_bytes(&view))
    }

    pub(crate) fn outlook(&self) -> Outlook {
        let view = self.view.get();
        let segments = || view.shards.iter().flat_map(|shard| &shard.segments);
        let dead_rows: u64 = segments().map(|part| part.tombstones.dead_rows()).sum();
        let manifest =
            MANIFEST_BYTES + MANIFEST_SEGMENT_BYTES * segments().count() as u64 + TOMBSTONE_BYTES * dead_rows;
        let parts = view.shards.iter().map(|shard| shard.frozen.len() + usize::from(!shard.memtable.is_empty()));
        let memory = memory_bytes(&view);
        let flush = written_bytes(memory, parts.sum());
        let deletes = (segment_bytes(&view) / 10).min(self.tuning.log_file_min_bytes).max(DELETES_BYTES);
        let deletes = deletes.saturating_sub(self.reserve_bytes());
        let merges = (segment_bytes(&view) / 20).min(MERGES_BYTES);
        Outlook { manifest, flush, deletes, merges }
    }

    /// Fails with `DiskFull` if `what` may not have `needed` bytes for `purpose` now.
    pub fn ask_for_space(&self, purpose: Purpose, needed: u64, what: impl fmt::Display) -> Result<()> {
        self.admit_beside(&self.space.grants.given.lock(), purpose, needed, what)
    }

    /// The same for a job that writes files, `names` among them. Until the grant ends, requests of a merge's priority
    /// or a lower one do not get these bytes.
    pub(crate) fn grant_space(
        self: &Arc<Self>,
        purpose: Purpose,
        needed: u64,
        names: &[String],
        what: impl fmt::Display,
    ) -> Result<Grant> {
        let mut given = self.space.grants.given.lock();
        self.admit_beside(&given, purpose, needed, what)?;
        Ok(given.note(&self.space.grants, needed, names))
    }

    fn admit_beside(&self, given: &GrantTable, purpose: Purpose, needed: u64, what: impl fmt::Display) -> Result<()> {
        let mut free = self.free_bytes();
        // Requests of higher priority ignore grants, since the granted jobs have left room for them.
        if purpose >= Purpose::Merge && needed > 0 {
            free = free.saturating_sub(given.outstanding(|| self.storage.list().unwrap_or_default()));
        }
        match admit(purpose, needed, free, &self.outlook()) {
            Admission::Granted => Ok(()),
            Admission::Refused { kept_free } => Err(Error::new(
                ErrorKind::DiskFull,
                format!(
                    "{what} needs up to {needed} bytes, {free} are free, and {kept_free} of these are kept for flushes and \
                     deletes; free some space and try again"
                ),
            )),
        }
    }

    /// The same for the rest of a merge. A merge that frees at least as much as it takes may use the reserve, since
    /// only merges free the space of deleted rows. A merge that `has_reserve` by an earlier call goes on in its space.
    pub(crate) fn grant_merge(self: &Arc<Self>, bytes: MergeBytes, has_reserve: &mut bool) -> Result<Option<Grant>> {
        let needed = bytes.left;
        let refused = match self.grant_space(Purpose::Merge, needed, &[], "a merge") {
            Err(error) if error.kind() == ErrorKind::DiskFull && bytes.frees_what_it_takes() => error,
            outcome => return outcome.map(Some),
        };
        let free = self.free_bytes().saturating_add(self.reserve_bytes());
        let fits = admit(Purpose::Flush, needed, free, &self.outlook()) == Admission::Granted;
        // The grant is noted before the reserve is released, so that no put takes the space of the reserve.
        let grant = fits.then(|| self.space.grants.given.lock().note(&self.space.grants, needed, &[]));
        if fits && (*has_reserve || self.release_reserve()?) {
            *has_reserve = true;
            Ok(grant)
        } else {
            Err(refused)
        }
    }

    /// Runs a background job and notes its outcome. Returns the default if the job may not be tried yet.
    pub fn attempt<T: Default>(&self, job: JobKind, act: impl FnOnce() -> Result<T>) -> Result<T> {
        if !self.may_try(&job) {
            return Ok(T::default());
        }
        let outcome = act();
        let mut waits = self.space.waits.lock();
        match &outcome {
            Ok(_) => drop(waits.remove(&job)),
            Err(error) => {
                let failures = waits.get(&job).map_or(0, |wait| wait.failures) + 1;
                let lacks_space = error.kind() == ErrorKind::DiskFull;
                let until = Instant::now() + delay(failures, lacks_space);
                let free = lacks_space.then(|| self.free_bytes());
                waits.insert(job, Wait { failures, until, free, why: error.duplicate() });
            }
        }
        outcome
    }

    /// Whether a job may be tried: its last run did not fail, its delay is over, it lacked space and there is
    /// noticeably more now, or the background is inline.
    pub fn may_try(&self, job: &JobKind) -> bool {
        let waits = self.space.waits.lock();
        waits.get(job).is_none_or(|wait| {
            self.tuning.inline_background || Instant::now() >= wait.until || has_grown(wait.free, self.free_bytes())
        })
    }
}
