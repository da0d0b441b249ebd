//! The commit pipeline: puts, deletes, batches, range deletes, touches, sweeps and imports all pass through here.
//!
//! A writer resolves its operations under the commit lock and joins the open group. The writer that opened the group
//! leads it: it writes and syncs the group while the next one fills, applies it, and publishes the read view.
//! Reading order: `pending`, `decide` (pure), `log_room` (prepared log files), `ingest` (imports). Invariants:
//! * A writer waits for room before it takes a lock. Under the commit lock no thread touches the disk.
//! * Space in prepared log files is claimed before LSNs are taken; after that a group succeeds or poisons the store.
//! * Groups are applied in LSN order: a leader takes the apply lock before it lets go of the log.
//! * A pending entry leaves only after its group's read view is published, and only if no later write replaced it.
//! * An import writes and syncs its files before it takes a lock; a key written meanwhile is looked up again.
//! * If a leader unwinds, the store is poisoned and every member of its group gets the error.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

pub(crate) mod decide;
mod ingest;
mod log_room;
pub(crate) mod pending;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::commit::pending::PendingWrites;
use crate::engine::Engine;
use crate::engine::operation_ids::{AppliedBatch, OperationId};
use crate::engine::space::{JobKind, Purpose};
use crate::error::{Error, ErrorKind, Result};
use crate::extensions::Extensions;
use crate::record::{Lsn, Operation, VersionTimes, Write, WriteOutcome};
use crate::shard::ingest::LoggedFrame;
use crate::sync::{Condvar, Mutex, Ordering};
use crate::types::{Durability, Namespace, Version};
use crate::wal::{
    Claim, Frame, FrameBody, FrameKind, HAS_EXTENSIONS, HAS_NAMED_FILES, OPERATION_ID, Space, encode_extensions,
    encode_files, encode_shared, frame_bytes,
};

use ingest::Files;

/// The one way in for writes.
pub(crate) struct Pipeline {
    engine: Arc<Engine>,
    state: Mutex<CommitState>,
    log_file_lock: Mutex<()>,
    /// One import at a time, from the read view that it starts from to the one that shows it.
    import_lock: Mutex<()>,
    touches: crossbeam_channel::Receiver<Write>,
    touch_sender: crossbeam_channel::Sender<Write>,
}

struct CommitState {
    unpublished: PendingWrites,
    /// Room in the log; none before the first write.
    space: Option<Space>,
    open: Option<OpenGroup>,
    /// The newest group. A writer whose answer depends on pending writes waits for it.
    newest_group: Option<Arc<Group>>,
}

struct OpenGroup {
    members: Arc<Group>,
    frames: Vec<Frame>,
    logged: Vec<LoggedFrame>,
    /// The newest clock of its frames, and the monotonic clock then.
    newest: (i64, Duration),
}

/// What the members of a group wait for.
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

/// A writer's membership in a group: whether it leads, and the outcome of its writes.
struct Joined {
    group: Arc<Group>,
    leads: bool,
    written: Vec<WriteOutcome>,
}

/// The writes of one caller.
struct Intent<'a> {
    writes: &'a [Write],
    /// Of an import, ahead of the writes.
    files: Option<&'a mut Files>,
    /// The client's name for it: a second batch of this name is not written.
    id: Option<OperationId>,
}

/// The outcome of joining a group.
enum Joining {
    /// No frame is needed: nothing to write, or a condition failed. The decision may rest on pending writes, so the
    /// caller waits for this group before it answers.
    Nothing(Result<Vec<WriteOutcome>>, Option<Arc<Group>>),
    Joined(Joined),
    /// The log needs a file with room for this many more bytes first.
    NeedsFile(u64),
}

impl Pipeline {
    /// A pipeline that goes on after `last_lsn`, with the log space that is ready.
    pub fn new(engine: Arc<Engine>, last_lsn: Lsn) -> Self {
        let (touch_sender, touches) = crossbeam_channel::bounded(engine.tuning.touch_queue);
        let state =
            CommitState { unpublished: PendingWrites::after(last_lsn), space: None, open: None, newest_group: None };
        let (log_file_lock, import_lock) = (Mutex::new(()), Mutex::new(()));
        Self { engine, state: Mutex::new(state), log_file_lock, import_lock, touches, touch_sender }
    }

    /// Writes all or nothing, and returns when it is as durable as the store's mode says and every reader sees it.
    pub fn write(&self, writes: &[Write]) -> Result<Vec<WriteOutcome>> {
        self.write_once(writes, None)
    }

    /// The same, unless a batch with this id was written already.
    pub fn write_once(&self, writes: &[Write], id: Option<OperationId>) -> Result<Vec<WriteOutcome>> {
        self.engine.check_writable()?;
        self.wait_for_capacity(writes)?;
        self.engine.prefetch_keys(writes);
        self.commit(Intent { writes, files: None, id }, log_purpose(writes))
    }

    /// Joins a group, whatever files that takes, and waits for it.
    fn commit(&self, mut intent: Intent<'_>, purpose: Purpose) -> Result<Vec<WriteOutcome>> {
        let is_empty = intent.writes.is_empty() && intent.files.is_none();
        let mut may_wait = !is_empty && purpose == Purpose::Log && !self.engine.tuning.inline_background;
        loop {
            let seen = self.engine.counters.log_files.load(Ordering::Relaxed);
            match self.join(&mut intent)? {
                Joining::Nothing(answer, group) => {
                    group.map_or(Ok(()), |group| group.wait())?;
                    return answer;
                }
                Joining::NeedsFile(bytes) => {
                    match self.prepare_file(bytes, purpose, seen) {
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
                    }
                }
                Joining::Joined(joined) => {
                    if joined.leads {
                        self.lead();
                    }
                    joined.group.wait()?;
                    return Ok(joined.written);
                }
            }
        }
    }

    /// Asks that an item's expiry be pushed back with the next group; a full queue drops and counts it.
    pub fn touch_later(&self, namespace: &Namespace, key: &str, version: Lsn) {
        let touch = Write::Touch { namespace: namespace.clone(), key: key.into(), version };
        if self.engine.check_writable().is_err() || self.touch_sender.try_send(touch).is_err() {
            self.engine.counters.touches_dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes the touches that no group has taken along yet.
    pub fn flush_touches(&self) -> Result<()> {
        // Touches that a failed group left behind wait in the state, not in the queue.
        let waiting = !self.touches.is_empty() || !self.state.lock().unpublished.touches.is_empty();
        if waiting { self.write(&[]).map(drop) } else { Ok(()) }
    }

    /// Drops the waiting touches, since there is no room for them in the log.
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
            if let Some(why) = self.engine.space.blocked(JobKind::Flush) {
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

    /// Resolves the writes against the newest state and puts their frame into the open group; the touches that wait go
    /// along, in a frame of their own.
    fn join(&self, intent: &mut Intent<'_>) -> Result<Joining> {
        let state = &mut *self.state.lock();
        if let Some(repeated) = self.repeated(intent)? {
            return Ok(Joining::Nothing(Ok(repeated), state.undecided()));
        }
        let Intent { writes, ref mut files, id } = *intent;
        let mut files = files.as_deref_mut();
        let mut times = state.unpublished.times.clone();
        let now = self.engine.clock.reading();
        times.begin(&now);
        if state.open.is_none() {
            let room = self.engine.tuning.touch_queue.saturating_sub(state.unpublished.touches.len());
            state.unpublished.touches.extend(self.touches.try_iter().take(room));
        }
        let touches = state.unpublished.resolve_touches(&self.engine, &mut times);
        let first_lsn = state.unpublished.next_lsn + touches.len() as Lsn;
        let again = files.as_deref_mut().map(|files| files.look_again(state.unpublished.watch()));
        let (writes, rows) = (again.as_deref().unwrap_or(writes), files.as_ref().map_or(0, |files| files.rows()));
        let first_operation = first_lsn + Lsn::from(rows);
        let (operations, written) = match state.unpublished.resolve(&self.engine, writes, &mut times, first_operation) {
            Ok(resolved) => resolved,
            Err(error) => return Ok(Joining::Nothing(Err(error), state.undecided())),
        };
        if operations.is_empty() && touches.is_empty() && files.is_none() {
            return Ok(Joining::Nothing(Ok(written), state.undecided()));
        }
        let (touches, moved): (Vec<Operation>, Vec<VersionTimes>) = touches.into_iter().unzip();
        let frames = [
            frame_of(state.unpublished.next_lsn, now.frame_clock, &touches, None, None),
            frame_of(first_lsn, now.frame_clock, &operations, files.as_deref(), id),
        ];
        let mut space = state.space.clone();
        for frame in frames.iter().flatten() {
            let needed = frame_bytes(frame.body.len());
            match space.as_mut().map(|space| space.claim(needed)) {
                Some(Claim::Fits) => {}
                Some(Claim::NeedsFile(_)) | None => return Ok(Joining::NeedsFile(needed)),
            }
        }
        (state.space, state.unpublished.times) = (space, times);
        state.unpublished.touches.clear();
        state.unpublished.note(&touches, moved.into_iter().map(Some));
        let ingested = files.map(|files| files.take(first_lsn));
        ingested.iter().for_each(|ingested| state.unpublished.note_ingested(ingested));
        let newest = operations.iter().zip(first_operation..).map(|(operation, lsn)| match operation {
            Operation::Put(record) => Some(VersionTimes::of_record(record, lsn)),
            _ => None,
        });
        state.unpublished.note(&operations, newest);
        if let Some(id) = id.filter(|_| !operations.is_empty()) {
            let lsn = state.unpublished.next_lsn - 1;
            self.engine.operation_ids.note(AppliedBatch { id, lsn, time: now.frame_clock });
        }
        let leads = state.open.is_none();
        let open = state.open.get_or_insert_with(|| OpenGroup {
            members: Group::new(),
            frames: Vec::new(),
            logged: Vec::new(),
            newest: (now.frame_clock, now.monotonic),
        });
        open.newest = open.newest.max((now.frame_clock, now.monotonic));
        for (frame, (ingested, operations)) in frames.into_iter().zip([(None, touches), (ingested, operations)]) {
            let Some(frame) = frame else { continue };
            open.logged.push(LoggedFrame { first_lsn: frame.first_lsn, ingested, operations });
            open.frames.push(frame);
        }
        let group = Arc::clone(&open.members);
        state.newest_group = Some(Arc::clone(&group));
        Ok(Joining::Joined(Joined { group, leads, written }))
    }

    /// The answer to an intent with an operation id that was applied before. The caller holds the commit lock.
    fn repeated(&self, intent: &Intent<'_>) -> Result<Option<Vec<WriteOutcome>>> {
        let Some(id) = intent.id else { return Ok(None) };
        let lsn = self.engine.operation_ids.find(id)?;
        // A failed group has noted its ids as well, but it has poisoned the engine first.
        self.engine.check_poisoned()?;
        Ok(lsn.map(|lsn| vec![WriteOutcome::Repeated(Version(lsn)); intent.writes.len()]))
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
                // Noted before a manifest can reflect the frames, since the log time in a manifest counts them.
                let (clock, monotonic) = group.newest;
                self.engine.clock.note_frame(clock, monotonic);
                let apply_lock = self.engine.apply_lock.lock();
                drop(log);
                let applied = self.engine.apply_group(&apply_lock, &group.logged);
                drop(apply_lock);
                applied.map_err(|error| self.engine.poison(&error))
            }
        };
        self.state.lock().unpublished.forget(&group.logged);
        guard.finished = true;
        group.members.decide(result);
    }
}

/// The purpose of the log of these writes.
fn log_purpose(writes: &[Write]) -> Purpose {
    match () {
        () if writes.is_empty() || !writes.iter().all(Write::frees_space) => Purpose::Log,
        () if writes.iter().any(|write| matches!(write, Write::Expire { .. })) => Purpose::ExpiringLog,
        () => Purpose::FreeingLog,
    }
}

/// The frame of a batch, or of an import's files and what goes with them; none for nothing.
fn frame_of(
    first_lsn: Lsn,
    clock: i64,
    operations: &[Operation],
    files: Option<&Files>,
    id: Option<OperationId>,
) -> Option<Frame> {
    let (mut body, mut flags) = (FrameBody::default(), 0);
    if let Some(id) = id {
        let applied = AppliedBatch { id, lsn: 0, time: clock };
        encode_extensions(body.bytes(), &Extensions::default().with(OPERATION_ID, true, &applied.encode()));
        flags |= HAS_EXTENSIONS;
    }
    if let Some(files) = files {
        encode_files(body.bytes(), files.rows(), &files.entries(first_lsn));
    }
    operations.iter().for_each(|operation| encode_shared(&mut body, operation));
    let kind = if files.is_some() { FrameKind::Ingest } else { FrameKind::Batch };
    flags |= if files.is_some() { HAS_NAMED_FILES } else { 0 };
    let count = operations.len() as u32 + files.map_or(0, |files| files.rows());
    (count > 0).then_some(Frame { kind, first_lsn, count, clock, flags, body })
}

impl CommitState {
    /// The group after which everything that is pending now is published; none if nothing is.
    fn undecided(&self) -> Option<Arc<Group>> {
        if self.unpublished.is_empty() { None } else { self.newest_group.clone() }
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
