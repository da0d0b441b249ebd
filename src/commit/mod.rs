//! The commit pipeline: puts, deletes, batches, range deletes, touches, sweeps and imports all pass through here.
//!
//! A writer resolves its operations under the commit lock and joins the open group. The writer that opened the group
//! leads it: it writes and syncs the group while the next one fills, applies it, and publishes the read view.
//! Reading order: `join` (resolve, reserve, enlist), `pending`, `decide` (pure), `log_room` (prepared log files),
//! `resolved` (deletes by filter) with `watches` and `gate`, `ingest`, `import_growth`, `under_way` and `checkpoints`
//! (imports), `tally`, `quotas` and `counting` (quotas), `cut` (backups). Invariants:
//! * A writer waits for room in memory before it takes a lock of the engine. Under the commit lock no thread writes to
//!   the disk.
//! * Space in prepared log files is claimed before LSNs are taken; after that a group succeeds or poisons the store.
//! * Groups are applied in LSN order: a leader takes the apply lock before it releases the lock of the log.
//! * A pending entry is removed after its group's read view is published or the group has failed, and only if no later
//!   write has replaced it.
//! * An import writes and syncs its files before it takes a lock; a key written meanwhile is looked up again.
//! * If a leader unwinds, the store is poisoned and every member of its group gets the error.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

mod checkpoints;
mod counting;
pub(crate) mod cut;
pub(crate) mod decide;
mod gate;
mod import_growth;
mod ingest;
mod join;
mod log_room;
pub(crate) mod pending;
mod quotas;
pub(crate) mod resolved;
mod tally;
mod under_way;
mod watches;

use std::sync::Arc;
use std::time::Instant;

use crate::commit::checkpoints::FoundCheckpoints;
use crate::commit::pending::PendingWrites;
use crate::commit::quotas::ScopeCounts;
use crate::engine::Engine;
use crate::engine::clock::FrameTime;
use crate::engine::operation_ids::OperationId;
use crate::engine::space::{JobKind, Purpose};
use crate::error::{Error, ErrorKind, Result};
use crate::record::{Lsn, Write, WriteOutcome};
use crate::shard::ingest::LoggedFrame;
use crate::sync::{Condvar, HookPoint, Mutex, Ordering};
use crate::types::{Durability, Namespace};
use crate::wal::Frame;

use counting::{COUNT_STRIPES, COUNTS_MAX, CountRoom};
use gate::Gate;
use ingest::ImportSegments;
use join::JoinOutcome;
use log_room::LogRoom;
use resolved::ResolvedWrites;

/// The commit pipeline, through which all writes go.
pub(crate) struct Pipeline {
    engine: Arc<Engine>,
    state: Mutex<CommitState>,
    log_file_lock: Mutex<()>,
    /// One import at a time, from before its look-ups until its read view is published.
    import_lock: Mutex<()>,
    /// Held while a scope is counted for its quota: scopes of one stripe one at a time.
    count_locks: [Mutex<()>; COUNT_STRIPES],
    /// Held by the rule that has closed the gate.
    gate_lock: Mutex<()>,
    touches: crossbeam_channel::Receiver<Write>,
    touch_sender: crossbeam_channel::Sender<Write>,
}

struct CommitState {
    unpublished: PendingWrites,
    counters: ScopeCounts,
    gate: Option<Gate>,
    room: LogRoom,
    open: Option<OpenGroup>,
    /// The newest group. A writer whose outcome depends on pending writes waits for it.
    newest_group: Option<Arc<Group>>,
}

struct OpenGroup {
    members: Arc<Group>,
    frames: Vec<Frame>,
    logged: Vec<LoggedFrame>,
    /// The newest time of the group's frames.
    newest: FrameTime,
}

/// The outcome of a group, for which its members wait.
struct Group {
    outcome: Mutex<Option<Result<()>>>,
    decided: Condvar,
}

impl Group {
    fn new() -> Arc<Self> {
        Arc::new(Self { outcome: Mutex::new(None), decided: Condvar::new() })
    }

    fn decide(&self, outcome: Result<()>) {
        self.outcome.lock().get_or_insert(outcome);
        self.decided.notify_all();
    }

    fn wait(&self) -> Result<()> {
        let mut outcome = self.outcome.lock();
        loop {
            match outcome.as_ref() {
                Some(Ok(())) => return Ok(()),
                Some(Err(error)) => return Err(error.duplicate()),
                None => outcome = self.decided.wait(outcome),
            }
        }
    }
}

/// The writes of one caller.
enum Intent<'a> {
    Batch {
        writes: &'a [Write],
        /// The operation id that the client gave: a second batch with this id is not written.
        id: Option<OperationId>,
    },
    Import(&'a mut ImportSegments),
    /// Deletes and puts that were decided on a read view.
    Resolved(&'a ResolvedWrites<'a>),
}

impl OpenGroup {
    /// A group without frames yet.
    fn at(newest: FrameTime) -> Self {
        Self { members: Group::new(), frames: Vec::new(), logged: Vec::new(), newest }
    }
}

impl Pipeline {
    /// A pipeline that continues after `last_lsn`. It has no room in the log before the first write.
    pub fn new(engine: Arc<Engine>, last_lsn: Lsn) -> Self {
        let (touch_sender, touches) = crossbeam_channel::bounded(engine.tuning.touch_queue);
        let (unpublished, room) = (PendingWrites::after(last_lsn), LogRoom::default());
        let counters = ScopeCounts::default();
        let state = CommitState { unpublished, counters, gate: None, room, open: None, newest_group: None };
        let (log_file_lock, import_lock, gate_lock) = (Mutex::new(()), Mutex::new(()), Mutex::new(()));
        let (state, count_locks) = (Mutex::new(state), Default::default());
        Self { engine, state, log_file_lock, import_lock, count_locks, gate_lock, touches, touch_sender }
    }

    /// Writes all or nothing. Returns when the writes are as durable as [`Durability`] says, and every new read view
    /// shows them.
    pub fn write(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>> {
        self.write_once(writes, None)
    }

    /// As [`Pipeline::write`], but a batch whose id was written before is not written again.
    pub fn write_once(&self, writes: &[Write], id: Option<OperationId>) -> Result<Vec<WriteOutcome>> {
        self.engine.check_writable()?;
        self.wait_for_capacity(writes)?;
        self.engine.prefetch_keys(writes);
        if writes.iter().any(|write| matches!(write, Write::DeleteRange(_))) {
            self.load_checkpoints()?;
        }
        self.commit(Intent::Batch { writes, id }, log_purpose(writes))
    }

    /// Reads the checkpoints from before the open, once, before the first range delete takes the commit lock.
    fn load_checkpoints(&self) -> Result<()> {
        if !self.state.lock().unpublished.checkpoints.is_loaded() {
            let found = FoundCheckpoints::read(&self.engine.view.get())?;
            self.state.lock().unpublished.checkpoints.load(found);
        }
        Ok(())
    }

    /// Joins a group and waits for it. Prepares log files if the group needs them.
    fn commit(&self, mut intent: Intent<'_>, purpose: Purpose) -> Result<Vec<WriteOutcome>> {
        let is_empty = matches!(intent, Intent::Batch { writes: [], .. });
        let (mut counts, mut room) = (0, CountRoom::new(self));
        let mut may_wait = !is_empty && purpose == Purpose::Log && !self.engine.tuning.inline_background;
        loop {
            match self.join(&mut intent)? {
                JoinOutcome::Nothing(answer, group) => {
                    self.engine.hooks.reach(HookPoint::WriteJoined);
                    if let Some(group) = group {
                        self.engine.hooks.reach(HookPoint::GroupAwaited);
                        group.wait()?;
                    }
                    return answer;
                }
                JoinOutcome::NeedsFile(need) => match self.prepare_file(need, purpose) {
                    // A flush may free log. After it there is room, or the write fails.
                    Err(error) if may_wait && error.kind() == ErrorKind::DiskFull => {
                        may_wait = false;
                        self.wait_for_relief()?;
                    }
                    Err(error) => {
                        self.drop_touches();
                        return Err(error);
                    }
                    Ok(()) => {}
                },
                JoinOutcome::HeldBack(gate) => {
                    self.engine.hooks.reach(HookPoint::WriteHeldBack);
                    gate.wait()?;
                }
                JoinOutcome::NeedsCount(needed) => {
                    counts += 1;
                    if counts > COUNTS_MAX {
                        return Err(needed.uncountable());
                    }
                    self.engine.hooks.reach(HookPoint::CountNeeded);
                    self.count(&needed, &mut room)?;
                }
                JoinOutcome::NeedsGrowth(quotas) => {
                    if let Intent::Import(segments) = &mut intent {
                        segments.add_up(&quotas)?;
                    }
                }
                JoinOutcome::Member(ticket) => {
                    self.engine.hooks.reach(HookPoint::WriteJoined);
                    if ticket.leads {
                        self.lead();
                    }
                    ticket.group.wait()?;
                    return Ok(ticket.outcomes);
                }
            }
        }
    }

    /// Queues a touch of an item for the next group. A full queue drops the touch and counts it.
    pub fn touch_later(&self, namespace: &Namespace, key: &str, version: Lsn) {
        let touch = Write::Touch { namespace: namespace.clone(), key: key.into(), version };
        if self.engine.check_writable().is_err() || self.touch_sender.try_send(touch).is_err() {
            self.engine.counters.touches_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the touches that wait for a group.
    pub fn flush_touches(&self) -> Result<()> {
        // A join that added no frames may have moved touches from the queue to the state.
        let waiting = !self.touches.is_empty() || !self.state.lock().unpublished.touches.is_empty();
        if waiting { self.write(&[]).map(drop) } else { Ok(()) }
    }

    /// Drops the waiting touches, since the log has no room for them. Counts all of them, even those that would not
    /// apply any more.
    fn drop_touches(&self) {
        let dropped = std::mem::take(&mut self.state.lock().unpublished.touches).len();
        self.engine.counters.touches_dropped.fetch_add(dropped as u64, Ordering::Relaxed);
    }

    /// Makes everything acknowledged so far survive a power loss.
    pub fn sync(&self) -> Result<()> {
        self.engine.check_writable()?;
        self.engine.sync_log(Lsn::MAX)
    }

    /// Waits while the store is stalled. Operations that free space do not wait.
    fn wait_for_capacity(&self, writes: &[Write]) -> Result<()> {
        if writes.iter().all(Write::frees_space) { Ok(()) } else { self.wait_for_room() }
    }

    fn wait_for_room(&self) -> Result<()> {
        let deadline = Instant::now() + self.engine.tuning.busy_timeout;
        while self.engine.is_stalled() {
            if self.engine.tuning.inline_background {
                return Ok(());
            }
            self.engine.check_writable()?;
            if let Some(why) = self.engine.space.blocked(&JobKind::Flush) {
                return Err(why.context("what is in memory cannot be flushed, so nothing was written"));
            }
            if !self.engine.wait_for_install(deadline) {
                let last = self.engine.background_error().map_or_else(String::new, |error| format!(" ({error})"));
                return Err(Error::new(
                    ErrorKind::Busy,
                    format!("flushes cannot keep up with writes; nothing was written, try again later{last}"),
                ));
            }
        }
        Ok(())
    }

    /// Writes, syncs, applies and publishes the open group, and tells its members.
    fn lead(&self) {
        let mut log = self.engine.log.lock();
        let Some(group) = self.state.lock().open.take() else { return };
        let mut guard = LeaderGuard { engine: &self.engine, group: &group.members, finished: false };
        let sync = self.engine.durability == Durability::Sync;
        let generation = self.engine.manifest_generation.load(Ordering::Relaxed);
        let logged = self
            .engine
            .check_poisoned()
            .and_then(|()| log.write(&*self.engine.storage, &group.frames, sync, generation));
        let result = match logged {
            Err(error) => Err(self.engine.poison(&error)),
            Ok(()) => {
                // Before a manifest can reflect the frames: the log time of the manifest includes them.
                self.engine.clock.note_frame(group.newest);
                let apply_lock = self.engine.apply_lock.lock();
                drop(log);
                let applied = self.engine.apply_group(&apply_lock, &group.logged);
                drop(apply_lock);
                self.engine.hooks.reach(HookPoint::GroupPublished);
                applied.map_err(|error| self.engine.poison(&error))
            }
        };
        self.state.lock().unpublished.forget(&group.logged);
        guard.finished = true;
        group.members.decide(result);
    }
}

/// The purpose for which these writes need room in the log.
fn log_purpose(writes: &[Write]) -> Purpose {
    match () {
        () if writes.is_empty() || !writes.iter().all(Write::frees_space) => Purpose::Log,
        () if writes.iter().any(|write| matches!(write, Write::Expire { .. })) => Purpose::ExpiringLog,
        () => Purpose::FreeingLog,
    }
}

/// Poisons the store and releases the group if its leader unwinds.
struct LeaderGuard<'a> {
    engine: &'a Engine,
    group: &'a Group,
    finished: bool,
}

impl Drop for LeaderGuard<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let cause = Error::new(ErrorKind::Poisoned, "the thread that led the commit panicked");
            self.group.decide(Err(self.engine.poison(&cause)));
        }
    }
}
