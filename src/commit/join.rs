//! How a caller's writes join the open group: `resolve` decides their operations and builds the frames, `reserve` finds
//! room in the log for the frames, `enlist` takes the room, adds the frames to the group and returns a ticket.
//!
//! Invariants:
//! * The caller holds the commit lock from the first step to the last. The first two steps change nothing, so a caller
//!   that first has to prepare a log file simply starts again.
//! * Room in the log is claimed in the order in which the frames are written.
//! * Waiting touches join the next group in a frame of their own, before the frame of the writes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::counting::NeededCounts;
use super::ingest::{ImportConflicts, ImportSegments};
use super::log_room::{Reservation, RoomNeed};
use super::resolved::EncodedDeletes;
use super::{CommitState, Group, Intent, OpenGroup, Pipeline};
use crate::commit::decide::Times;
use crate::commit::pending::ResolvedTouches;
use crate::commit::quotas::QuotaVerdict;
use crate::commit::tally::QuotaTally;
use crate::engine::Engine;
use crate::engine::clock::FrameTime;
use crate::engine::operation_ids::{AppliedBatch, OperationId};
use crate::engine::quotas::Quotas;
use crate::error::{Error, Result};
use crate::extensions::Extensions;
use crate::ids::RowId;
use crate::record::{Lsn, Operation, VersionTimes, WriteOutcome};
use crate::shard::ingest::LoggedFrame;
use crate::shard::logged_deletes::LoggedDeletes;
use crate::types::Version;
use crate::wal::{
    Frame, FrameBody, FrameKind, HAS_EXTENSIONS, HAS_NAMED_FILES, OPERATION_ID, Space, encode_extensions, encode_files,
    encode_shared,
};

/// The outcome of joining a group.
pub(super) enum JoinOutcome {
    /// No frame is needed: there is nothing to write, the batch was applied before, or the writes failed. The outcome
    /// may depend on pending writes, so the caller waits for this group before it returns.
    Nothing(Result<Vec<WriteOutcome>>, Option<Arc<Group>>),
    Member(Ticket),
    /// The log has no room for the frames: a file must be prepared first. Nothing has changed.
    NeedsFile(RoomNeed),
    /// A gate holds the writes back until the rule behind it is decided. Nothing has changed.
    HeldBack(Arc<Group>),
    /// The writes add to scopes with a quota that must be counted first. Nothing has changed.
    NeedsCount(NeededCounts),
    /// What an import adds to scopes must be added up for these quotas, which are new. Nothing has changed.
    NeedsGrowth(Arc<Quotas>),
}

/// A writer's membership in a group: whether the writer leads it, and the outcomes of the writes if the group succeeds.
pub(super) struct Ticket {
    pub group: Arc<Group>,
    pub leads: bool,
    pub outcomes: Vec<WriteOutcome>,
}

/// The operations and frames of a caller's writes, and those of the waiting touches.
struct Resolution {
    /// The write clock after these operations.
    times: Times,
    /// The time that the frames record.
    frame_time: FrameTime,
    touches: ResolvedTouches,
    /// The keys that were listed before the lock was taken.
    deleted: Option<EncodedDeletes>,
    operations: Vec<Operation>,
    outcomes: Vec<WriteOutcome>,
    /// The first LSN after the touches: that of an import's first row, else that of the first operation.
    first_lsn: Lsn,
    /// For an import, for each file: the rows whose keys others have written since the look-ups.
    unsure: Vec<BTreeSet<RowId>>,
    /// How many items a resolved write deletes; `None` if it must be resolved again.
    count: Option<u64>,
    /// What the writes do to scopes with a quota.
    tally: QuotaTally,
    /// The frame of the touches, and that of the writes.
    frames: [Option<Frame>; 2],
}

impl Resolution {
    fn is_empty(&self) -> bool {
        self.frames.iter().all(Option::is_none)
    }
}

impl Pipeline {
    /// Resolves the writes against the newest state and puts their frame into the open group.
    pub(super) fn join(&self, intent: &mut Intent<'_>) -> Result<JoinOutcome> {
        let (engine, state) = (&*self.engine, &mut *self.state.lock());
        if let Some(repeated) = self.repeated(intent)? {
            return Ok(JoinOutcome::Nothing(Ok(repeated), state.undecided()));
        }
        if let Some(gate) = state.held_back(intent) {
            return Ok(JoinOutcome::HeldBack(gate));
        }
        self.take_touches(state);
        state.counters.keep_for(engine.quotas.get());
        let mut resolution = match state.resolve(engine, intent) {
            Ok(Some(resolution)) => resolution,
            Ok(None) => return Ok(JoinOutcome::NeedsGrowth(Arc::clone(state.counters.quotas()))),
            Err(error) => return Ok(JoinOutcome::Nothing(Err(error), state.undecided())),
        };
        if let Intent::Resolved(writes) = intent {
            writes.outcome.set(resolution.count);
        }
        if resolution.is_empty() {
            state.settle_touches(engine, &resolution.touches);
            return Ok(JoinOutcome::Nothing(Ok(resolution.outcomes), state.undecided()));
        }
        match state.counters.verdict(resolution.tally.changes()) {
            QuotaVerdict::Fits => {}
            QuotaVerdict::Uncounted(scopes) => {
                let (quotas, room) = (Arc::clone(state.counters.quotas()), resolution.tally.changes().len());
                return Ok(JoinOutcome::NeedsCount(NeededCounts { quotas, scopes, room }));
            }
            QuotaVerdict::Exceeds(excess) => {
                return Ok(JoinOutcome::Nothing(Err(Error::quota_exceeded(excess)), state.undecided()));
            }
        }
        Ok(match state.reserve(&resolution) {
            Reservation::Claimed(space) => JoinOutcome::Member(state.enlist(engine, intent, resolution, space)),
            Reservation::NeedsFile(need) => JoinOutcome::NeedsFile(need),
        })
    }

    /// The outcomes of a batch whose operation id was applied before; `None` for any other batch. The caller holds the
    /// commit lock.
    fn repeated(&self, intent: &Intent<'_>) -> Result<Option<Vec<WriteOutcome>>> {
        let Intent::Batch { writes, id: Some(id) } = intent else { return Ok(None) };
        let lsn = self.engine.operation_ids.find(*id)?;
        // The table holds the ids of a failed group too, but a failed group has poisoned the engine.
        self.engine.check_poisoned()?;
        Ok(lsn.map(|lsn| vec![WriteOutcome::Repeated(Version(lsn.get())); writes.len()]))
    }

    /// Takes touches off the queue for a group that is about to open.
    fn take_touches(&self, state: &mut CommitState) {
        if state.open.is_none() && state.gate.is_none() {
            let waiting = &mut state.unpublished.touches;
            let room = self.engine.tuning.touch_queue.saturating_sub(waiting.len());
            waiting.extend(self.touches.try_iter().take(room));
        }
    }
}

impl CommitState {
    /// Decides the writes against the newest state, and builds their frames; `None` for an import that was added up for
    /// other quotas. Changes nothing.
    fn resolve(&self, engine: &Engine, intent: &Intent<'_>) -> Result<Option<Resolution>> {
        let (pending, now) = (&self.unpublished, engine.clock.reading());
        let mut times = pending.times.clone();
        times.begin(&now);
        let touches = match self.gate {
            Some(_) => ResolvedTouches::default(),
            None => pending.resolve_touches(engine, &mut times),
        };
        let first_lsn = pending.next_lsn + touches.operations.len() as u64;
        let clock = now.frame_clock;
        let (mut deleted, mut count) = (None, None);
        let quotas = self.counters.quotas();
        let mut tally = QuotaTally::new(quotas);
        let (operations, outcomes, unsure, frame) = match intent {
            Intent::Batch { writes, id } => {
                let (operations, outcomes) = pending.resolve(engine, writes, &mut times, first_lsn, &mut tally)?;
                let frame = batch_frame(first_lsn, clock, &operations, *id);
                (operations, outcomes, Vec::new(), frame)
            }
            Intent::Resolved(writes) => {
                let settled = writes.settle(pending, engine, quotas)?;
                count = settled.as_ref().map(|settled| settled.count);
                let operations = settled.map_or_else(Vec::new, |settled| {
                    deleted = (!settled.deleted.keys.is_empty()).then_some(settled.deleted);
                    tally = settled.tally;
                    settled.operations
                });
                let frame = resolved_frame(first_lsn, clock, deleted.as_ref(), &operations);
                (operations, Vec::new(), Vec::new(), frame)
            }
            Intent::Import(segments) => {
                let ImportConflicts { writes, unsure } = segments.conflicts(pending);
                let first_operation = first_lsn + u64::from(segments.rows());
                let (operations, outcomes) =
                    pending.resolve(engine, &writes, &mut times, first_operation, &mut tally)?;
                let Some(rows) = segments.tally(quotas, &unsure) else { return Ok(None) };
                tally.merge(rows);
                let frame = import_frame(first_lsn, clock, segments, &operations);
                (operations, outcomes, unsure, Some(frame))
            }
        };
        let touch_frame = batch_frame(pending.next_lsn, clock, &touches.operations, None);
        let (frame_time, frames) = (now.frame_time(), [touch_frame, frame]);
        Ok(Some(Resolution {
            times,
            frame_time,
            touches,
            deleted,
            operations,
            outcomes,
            first_lsn,
            unsure,
            count,
            tally,
            frames,
        }))
    }

    /// Finds room in the log for the frames, or says which room is lacking. Changes nothing.
    fn reserve(&self, resolution: &Resolution) -> Reservation {
        self.room.reserve(resolution.frames.iter().flatten())
    }

    /// Takes the room and the LSNs, notes the pending writes, and adds the frames to the open group.
    fn enlist(&mut self, engine: &Engine, intent: &mut Intent<'_>, resolution: Resolution, space: Space) -> Ticket {
        let Resolution {
            times, frame_time, touches, operations, outcomes, first_lsn, unsure, mut tally, frames, ..
        } = resolution;
        let deleted = resolution.deleted.map(|deleted| LoggedDeletes { keys: deleted.keys, places: deleted.places });
        self.settle_touches(engine, &touches);
        let pending = &mut self.unpublished;
        self.room.take(space);
        pending.times = times;
        pending.note(&touches.operations, touches.newest.into_iter().map(Some));
        let ingested = match intent {
            Intent::Batch { .. } | Intent::Resolved(_) => None,
            Intent::Import(segments) => Some(segments.take(first_lsn, unsure)),
        };
        if let Some(ingested) = &ingested {
            engine.import_files.lock().note_logged(ingested, &engine.view.get());
            pending.note_ingested(ingested);
        }
        deleted.iter().for_each(|deleted| pending.note_deleted(&deleted.keys));
        let newest = operations.iter().zip(pending.next_lsn.sequence()).map(|(operation, lsn)| match operation {
            Operation::Put(record) => Some(VersionTimes::of_record(record, lsn)),
            _ => None,
        });
        let ranges =
            operations.iter().zip(pending.next_lsn.sequence()).filter_map(|(operation, lsn)| match operation {
                Operation::DeleteRange { interval } => Some((lsn, interval)),
                _ => None,
            });
        ranges.for_each(|(lsn, interval)| self.counters.note_range(lsn, interval));
        self.counters.note(first_lsn, &mut tally);
        pending.note(&operations, newest);
        if let Intent::Batch { id: Some(id), .. } = *intent
            && !operations.is_empty()
        {
            engine.operation_ids.note(AppliedBatch { id, lsn: pending.next_lsn.previous(), time: frame_time.clock });
        }
        let leads = self.open.is_none();
        let open = self.open.get_or_insert_with(|| OpenGroup::at(frame_time));
        open.newest = open.newest.max(frame_time);
        let [touch_frame, frame] = frames;
        for (frame, ingested, deleted, operations) in
            [(touch_frame, None, None, touches.operations), (frame, ingested, deleted, operations)]
        {
            let Some(frame) = frame else { continue };
            open.logged.push(LoggedFrame { first_lsn: frame.first_lsn, ingested, deleted, operations });
            open.frames.push(frame);
        }
        let group = Arc::clone(&open.members);
        self.newest_group = Some(Arc::clone(&group));
        Ticket { group, leads, outcomes }
    }

    /// Clears the waiting touches once they are resolved. While a gate is closed they are not, and go on waiting.
    fn settle_touches(&mut self, engine: &Engine, touches: &ResolvedTouches) {
        if self.gate.is_none() {
            self.unpublished.settle_touches(engine, touches.unreadable);
        }
    }

    /// The newest group, if writes are pending: once it is published, so are all of them.
    pub(super) fn undecided(&self) -> Option<Arc<Group>> {
        if self.unpublished.is_empty() { None } else { self.newest_group.clone() }
    }
}

/// The frame of a batch; `None` if the batch has no operations.
fn batch_frame(first_lsn: Lsn, clock: i64, operations: &[Operation], id: Option<OperationId>) -> Option<Frame> {
    if operations.is_empty() {
        return None;
    }
    let (mut body, mut flags) = (FrameBody::default(), 0);
    if let Some(id) = id {
        let applied = AppliedBatch { id, lsn: Lsn::ZERO, time: clock };
        encode_extensions(body.bytes(), &Extensions::default().with(OPERATION_ID, true, &applied.encode()));
        flags |= HAS_EXTENSIONS;
    }
    operations.iter().for_each(|operation| encode_shared(&mut body, operation));
    Some(Frame { kind: FrameKind::Batch, first_lsn, count: operations.len() as u32, clock, flags, body })
}

/// The frame of a resolved write: the deletes that were encoded before, then the other operations. `None` if there are
/// none.
fn resolved_frame(
    first_lsn: Lsn,
    clock: i64,
    deleted: Option<&EncodedDeletes>,
    operations: &[Operation],
) -> Option<Frame> {
    let count = (deleted.map_or(0, |deleted| deleted.keys.len()) + operations.len()) as u32;
    let mut body = FrameBody::default();
    deleted.iter().for_each(|deleted| body.push_operations(&deleted.bytes));
    operations.iter().for_each(|operation| encode_shared(&mut body, operation));
    (count > 0).then_some(Frame { kind: FrameKind::Batch, first_lsn, count, clock, flags: 0, body })
}

/// The frame of an import: the entries of its files, then a put of each key that others have written meanwhile.
fn import_frame(first_lsn: Lsn, clock: i64, segments: &ImportSegments, operations: &[Operation]) -> Frame {
    let mut body = FrameBody::default();
    encode_files(body.bytes(), segments.rows(), &segments.entries(first_lsn));
    operations.iter().for_each(|operation| encode_shared(&mut body, operation));
    let count = operations.len() as u32 + segments.rows();
    Frame { kind: FrameKind::Ingest, first_lsn, count, clock, flags: HAS_NAMED_FILES, body }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::commit::gate::ClosedGate;
    use crate::engine::clock::StoreClock;
    use crate::engine::facts::gather;
    use crate::engine::recover::recover;
    use crate::engine::space::Purpose;
    use crate::record::Write;
    use crate::storage::Storage;
    use crate::storage::sim::{SimClock, SimStorage};
    use crate::store::{Options, Put, open_with};
    use crate::sync::Ordering;
    use crate::tuning::Tuning;
    use crate::types::{Durability, Namespace, Scope};

    /// A pipeline on a store that holds one item with a time to live, half of which has passed, and its version.
    fn pipeline(home: &Namespace) -> (Pipeline, Version) {
        let (storage, clock) = (SimStorage::new(1), SimClock::new(1));
        let options = Options::new().tuning(Tuning::tiny());
        let store = open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options).unwrap();
        let kept = store.put(Put::new(home, "kept", "{}").ttl(Duration::from_secs(100))).unwrap();
        store.close().unwrap();
        clock.advance(Duration::from_secs(50));
        let storage: Arc<dyn Storage> = Arc::new(storage);
        let start = recover(&storage, gather(&*storage).unwrap(), None).unwrap();
        let last_lsn = start.view.read_lsn;
        let clock = StoreClock::new(Arc::new(clock), Duration::ZERO, start.clock);
        let engine = Engine::new(storage, clock, Tuning::tiny(), Durability::Sync, start);
        (Pipeline::new(Arc::new(engine), last_lsn), kept)
    }

    fn need_of(outcome: JoinOutcome) -> RoomNeed {
        match outcome {
            JoinOutcome::NeedsFile(need) => need,
            _ => panic!("a log without a file has no room"),
        }
    }

    #[test]
    fn what_finds_no_room_in_the_log_has_changed_nothing() {
        let home = Namespace::new(["a"]).unwrap();
        let (pipeline, kept) = pipeline(&home);
        pipeline.touch_later(&home, "kept", Lsn::new(kept.0));
        let writes = [Write::DeleteRange(Scope::prefix(["b"]).unwrap().interval())];
        let mut intent = Intent::Batch { writes: &writes, id: None };
        let state = || {
            let state = pipeline.state.lock();
            let pending = &state.unpublished;
            let times = pending.times.clone();
            (pending.next_lsn, pending.touches.len(), times, pending.is_empty(), state.open.is_some())
        };
        let need = need_of(pipeline.join(&mut intent).unwrap());
        let before = state();
        assert_eq!((before.1, before.3, before.4), (1, true, false), "the touch waits, nothing is pending");
        assert_eq!(need_of(pipeline.join(&mut intent).unwrap()), need);
        assert_eq!(state(), before);

        pipeline.prepare_file(need, Purpose::Log).unwrap();
        let JoinOutcome::Member(ticket) = pipeline.join(&mut intent).unwrap() else { panic!("there is room") };
        assert!(ticket.leads);
        assert_eq!(ticket.outcomes.len(), 1);
        let after = state();
        assert_eq!((after.0, after.1, after.3), (before.0 + 2, 0, false), "the touch and the delete have LSNs");
        let first: Vec<Lsn> =
            pipeline.state.lock().open.iter().flat_map(|open| &open.frames).map(|frame| frame.first_lsn).collect();
        assert_eq!(first, [before.0, before.0 + 1], "the touch goes ahead, in a frame of its own");
    }

    #[test]
    fn touches_wait_while_a_gate_is_closed() {
        let home = Namespace::new(["a"]).unwrap();
        let (pipeline, kept) = pipeline(&home);
        let waiting = || pipeline.state.lock().unpublished.touches.len();
        pipeline.touch_later(&home, "kept", Lsn::new(kept.0));
        let elsewhere = [Write::DeleteRange(Scope::prefix(["b"]).unwrap().interval())];
        let mut intent = Intent::Batch { writes: &elsewhere, id: None };
        let need = need_of(pipeline.join(&mut intent).unwrap());
        assert_eq!(waiting(), 1, "the touch is off the queue");
        pipeline.prepare_file(need, Purpose::Log).unwrap();
        let gate = ClosedGate::close(&pipeline, vec![Scope::prefix(["a"]).unwrap().interval()]);
        assert!(matches!(
            pipeline.join(&mut Intent::Batch { writes: &[], id: None }).unwrap(),
            JoinOutcome::Nothing(Ok(_), _)
        ));
        assert_eq!(waiting(), 1);
        assert!(matches!(pipeline.join(&mut intent).unwrap(), JoinOutcome::Member(_)));
        assert_eq!(waiting(), 1);
        drop(gate);
        let joined = pipeline.join(&mut Intent::Batch { writes: &[], id: None }).unwrap();
        assert!(matches!(joined, JoinOutcome::Member(_)), "the touch has a frame");
        assert_eq!(waiting(), 0);
        assert_eq!(pipeline.engine.counters.touches_dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn room_that_another_file_has_made_is_not_made_twice() {
        let (pipeline, _) = pipeline(&Namespace::new(["a"]).unwrap());
        let writes = [Write::DeleteRange(Scope::prefix(["b"]).unwrap().interval())];
        let mut intent = Intent::Batch { writes: &writes, id: None };
        let needs = [(); 2].map(|()| need_of(pipeline.join(&mut intent).unwrap()));
        for need in needs {
            pipeline.prepare_file(need, Purpose::Log).unwrap();
        }
        assert_eq!(pipeline.engine.counters.log_files.load(Ordering::Relaxed), 1);
        assert!(matches!(pipeline.join(&mut intent).unwrap(), JoinOutcome::Member(_)));
    }
}
