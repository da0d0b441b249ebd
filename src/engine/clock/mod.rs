//! The one clock of a store: which items are hidden as expired, which may be removed, and the time that frames record.
//!
//! There are four times. The *wall clock* is the machine's time of day. The *monotonic clock* only measures spans. *Log
//! time* is the newest trusted time of a frame. The *expected time* is log time plus the monotonic time since log time
//! was noted.
//!
//! | wall clock | reads hide by | a frame says | a sweep removes by |
//! |---|---|---|---|
//! | at most a day ahead of the expected time | the later of wall clock and log time | the wall clock | what reads hide by |
//! | further ahead | the same, so a correction shows everything again | the expected time | nothing |
//! | more than a day behind the expected time | log time, which may be the wrong one | the wall clock | nothing |
//!
//! A wall clock that is ahead or behind is trusted once it has agreed with the monotonic clock for the grace, or when a
//! caller confirms it. Log time is then set to the wall clock, even to an earlier time. Agreement adds up over opens. A
//! store without a frame has no log time and trusts every clock.
//!
//! Reading order: the table here, then `Course`, a value that makes the decisions, then `StoreClock`, which holds the
//! current `Course`.
//!
//! Invariants:
//! * No other module asks the machine for the time of day. A batch and a round of a sweep take one [`Reading`] each. A
//!   read takes one query time.
//! * An open trusts no jumped clock at its first observation. It discards the agreement of earlier opens if the wall
//!   clock has gone back since.
//! * No frame raises log time by more than a day over the expected time. Log time that is too low only delays removal.
//! * All decisions are made by [`Course`], a value without a lock or a clock in it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::manifest::ClockState;
use crate::storage::Clock;
use crate::sync::{AtomicI64, Mutex, Ordering};
use crate::wal::CLOCK_LEAP_MAX;

/// Wall clock and monotonic clock agree if they drift apart by at most this much in the grace.
const AGREEMENT: i64 = 60 * 1_000_000;

/// Into how many parts the grace is divided. After each part of agreement a manifest saves the agreement, so that the
/// agreement of several opens adds up.
const SAVED_PARTS: u64 = 32;

/// One observation of the clocks, and the times that follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The machine's wall clock.
    pub wall: i64,
    pub monotonic: Duration,
    /// Items that have expired by then are hidden.
    pub query_time: i64,
    /// The time that frames record.
    pub frame_clock: i64,
    pub verdict: ClockVerdict,
}

impl Reading {
    pub fn frame_time(&self) -> FrameTime {
        FrameTime { clock: self.frame_clock, monotonic: self.monotonic }
    }
}

/// The time that a frame records, and the monotonic clock at that moment. The greater of two frame times is the newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FrameTime {
    pub clock: i64,
    pub monotonic: Duration,
}

/// The verdict about the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClockVerdict {
    Trusted,
    /// The wall clock is ahead of the expected time by `by` microseconds, and has agreed with the monotonic clock for
    /// `agreed` of `grace` microseconds.
    Ahead {
        by: i64,
        agreed: u64,
        grace: u64,
    },
    /// The wall clock is behind the expected time by `by` microseconds.
    Behind {
        by: i64,
        agreed: u64,
        grace: u64,
    },
}

impl ClockVerdict {
    /// Lead of the wall clock, negative if it is behind, for stats.
    pub fn ahead_seconds(&self) -> Option<f64> {
        match *self {
            Self::Trusted => None,
            Self::Ahead { by, .. } => Some(by as f64 / 1e6),
            Self::Behind { by, .. } => Some(-(by as f64 / 1e6)),
        }
    }
}

impl Reading {
    /// Items that have expired by then may be removed. `None`: no item may.
    pub fn removal_time(&self) -> Option<i64> {
        match self.verdict {
            ClockVerdict::Trusted => Some(self.query_time),
            ClockVerdict::Ahead { .. } | ClockVerdict::Behind { .. } => None,
        }
    }

    /// The same as [`Reading::removal_time`], but the error says why no item may be removed, and what helps.
    pub fn check_removal(&self) -> Result<i64> {
        let (what, by, agreed, grace) = match self.verdict {
            ClockVerdict::Trusted => return Ok(self.query_time),
            ClockVerdict::Ahead { by, agreed, grace } => ("ahead of", by, agreed, grace),
            ClockVerdict::Behind { by, agreed, grace } => ("behind", by, agreed, grace),
        };
        let (by, agreed, grace) = (span(by.unsigned_abs()), span(agreed), span(grace));
        Err(Error::new(
            ErrorKind::ClockSkew,
            format!(
                "the wall clock is {by} {what} the last write and the time that has passed since; expired items are hidden, but \
                 none is removed. Set the clock; if it is right, accept it (accept_clock), or wait: it is believed once it has \
                 agreed with the monotonic clock for {grace} ({agreed} so far)"
            ),
        ))
    }

    /// The verdict in a few words, for stats.
    pub fn describe(&self) -> String {
        match self.verdict {
            ClockVerdict::Trusted => "ok".to_owned(),
            ClockVerdict::Ahead { by, agreed, grace } => {
                format!("{} ahead, agreed for {} of {}", span(by.unsigned_abs()), span(agreed), span(grace))
            }
            ClockVerdict::Behind { by, agreed, grace } => format!(
                "log time is {} ahead of the wall clock, which has agreed for {} of {}; accept_clock sets it right",
                span(by.unsigned_abs()),
                span(agreed),
                span(grace)
            ),
        }
    }
}

/// A span of time for messages.
fn span(micros: u64) -> String {
    let seconds = micros as f64 / 1e6;
    match seconds {
        s if s < 120.0 => format!("{s:.0} s"),
        s if s < 7_200.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3_600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}

/// Log time and the state of a jump, by which the next observation is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    log_time: Option<i64>,
    /// The monotonic clock when log time was noted.
    noted_at: Duration,
    jump: Option<Jump>,
    /// Agreement of earlier opens, until the first observation of this open.
    carried: u64,
    /// The wall clock at the last observation, of this open or an earlier one.
    seen_wall: i64,
}

/// A wall clock that is more than a day ahead of the expected time, or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Jump {
    /// Wall clock minus monotonic clock when the jump was first observed.
    offset: i64,
    /// The monotonic clock at the last observation that agreed.
    seen_at: Duration,
    agreed: u64,
}

impl Course {
    /// The course of a store at its open, from the clock state that recovery found.
    pub fn begin(recovered: Option<ClockState>, monotonic: Duration) -> Self {
        let (log_time, carried) =
            (recovered.map(|state| state.log_time), recovered.map_or(0, |state| state.agreed_micros));
        let seen_wall = recovered.map_or(i64::MIN, |state| state.wall);
        Self { log_time, noted_at: monotonic, jump: None, carried, seen_wall }
    }

    /// The state that a manifest keeps.
    pub fn state(&self) -> Option<ClockState> {
        self.log_time.map(|log_time| ClockState { log_time, agreed_micros: self.agreed(), wall: self.seen_wall })
    }

    fn agreed(&self) -> u64 {
        self.jump.map_or(self.carried, |jump| jump.agreed)
    }

    /// The expected time, if there is one, and by how much the wall clock is ahead of it.
    fn deviation(&self, wall: i64, monotonic: Duration) -> Option<(i64, i64)> {
        let expected = self.log_time?.saturating_add(micros(monotonic.saturating_sub(self.noted_at)));
        Some((expected, wall.saturating_sub(expected)))
    }

    /// [`Course::deviation`] if the wall clock is more than a day ahead or behind.
    fn far_off(&self, wall: i64, monotonic: Duration) -> Option<(i64, i64)> {
        self.deviation(wall, monotonic).filter(|(_, by)| by.unsigned_abs() > CLOCK_LEAP_MAX.unsigned_abs())
    }

    /// The share of earlier opens' agreement that counts at the first observation. How long the store was closed is
    /// unknown, so the wall clock may be later by any amount, but not earlier. The last part of the grace is always
    /// left to this open.
    fn taken_over(&self, wall: i64, by: i64, grace: Duration) -> u64 {
        let was_behind = self.log_time.is_some_and(|log_time| self.seen_wall < log_time);
        if wall < self.seen_wall || was_behind != (by < 0) {
            return 0;
        }
        let grace = micros(grace) as u64;
        self.carried.min(grace - grace.div_ceil(SAVED_PARTS))
    }

    /// The course after an observation of both clocks: a jump begins, goes on, begins anew, ends, or is trusted.
    pub fn observed(&self, wall: i64, monotonic: Duration, grace: Duration) -> Self {
        let Some((_, by)) = self.far_off(wall, monotonic) else {
            return Self { jump: None, carried: 0, seen_wall: wall, ..*self };
        };
        let offset = wall.saturating_sub(micros(monotonic));
        let jump = match self.jump {
            None => Jump { offset, seen_at: monotonic, agreed: self.taken_over(wall, by, grace) },
            Some(jump) if offset.abs_diff(jump.offset) <= AGREEMENT as u64 => {
                let agreed = jump.agreed.saturating_add(micros(monotonic.saturating_sub(jump.seen_at)) as u64);
                Jump { seen_at: monotonic.max(jump.seen_at), agreed, ..jump }
            }
            Some(_) => Jump { offset, seen_at: monotonic, agreed: 0 },
        };
        if jump.agreed >= micros(grace) as u64 {
            return self.accepted(wall, monotonic);
        }
        Self { jump: Some(jump), carried: 0, seen_wall: wall, ..*self }
    }

    /// Trusts the wall clock: sets log time to it, even to an earlier time.
    pub fn accepted(&self, wall: i64, monotonic: Duration) -> Self {
        Self { log_time: Some(wall), noted_at: monotonic, jump: None, carried: 0, seen_wall: wall }
    }

    /// Takes note of a frame with this clock, which a reading gave at `monotonic`.
    pub fn with_frame(&self, clock: i64, monotonic: Duration) -> Self {
        match self.log_time {
            Some(log_time) if clock <= log_time => *self,
            _ => Self { log_time: Some(clock), noted_at: monotonic, ..*self },
        }
    }

    /// The reading of an observation.
    pub fn reading(&self, wall: i64, monotonic: Duration, grace: Duration) -> Reading {
        let query_time = wall.max(self.log_time.unwrap_or(i64::MIN));
        let (agreed, grace) = (self.agreed(), micros(grace) as u64);
        let (frame_clock, verdict) = match self.far_off(wall, monotonic) {
            None => (wall, ClockVerdict::Trusted),
            Some((_, by)) if by < 0 => (wall, ClockVerdict::Behind { by: by.saturating_neg(), agreed, grace }),
            Some((expected, by)) => (expected, ClockVerdict::Ahead { by, agreed, grace }),
        };
        Reading { wall, monotonic, query_time, frame_clock, verdict }
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// The clock of one open store.
pub(crate) struct StoreClock {
    machine: Arc<dyn Clock>,
    grace: Duration,
    /// Log time of the course, `i64::MIN` if there is none. Reads need only this, and take no lock.
    log_time: AtomicI64,
    kept: Mutex<KeptClock>,
}

struct KeptClock {
    course: Course,
    /// The agreement in the newest manifest.
    saved_agreement: u64,
    /// Log time was set without a frame, and no manifest has it yet.
    unsaved_log_time: bool,
}

impl StoreClock {
    pub fn new(machine: Arc<dyn Clock>, grace: Duration, recovered: Option<ClockState>) -> Self {
        let course = Course::begin(recovered, machine.monotonic());
        let (saved_agreement, log_time) = (course.agreed(), AtomicI64::new(i64::MIN));
        let kept = Mutex::new(KeptClock { course, saved_agreement, unsaved_log_time: false });
        let clock = Self { machine, grace, log_time, kept };
        clock.reading();
        clock
    }

    /// Observes the clocks.
    pub fn reading(&self) -> Reading {
        let mut kept = self.kept.lock();
        let (wall, monotonic) = (self.machine.now(), self.machine.monotonic());
        let before = kept.course;
        kept.course = before.observed(wall, monotonic, self.grace);
        kept.unsaved_log_time |= kept.course.log_time != before.log_time;
        self.show(&kept);
        kept.course.reading(wall, monotonic, self.grace)
    }

    /// The query time of [`StoreClock::reading`] alone, for reads.
    pub fn query_time(&self) -> i64 {
        self.machine.now().max(self.log_time.load(Ordering::Relaxed))
    }

    /// A frame of this time was written.
    pub fn note_frame(&self, time: FrameTime) {
        let mut kept = self.kept.lock();
        kept.course = kept.course.with_frame(time.clock, time.monotonic);
        self.show(&kept);
    }

    fn show(&self, kept: &KeptClock) {
        self.log_time.store(kept.course.log_time.unwrap_or(i64::MIN), Ordering::Relaxed);
    }

    /// A caller has confirmed the wall clock.
    pub fn accept(&self) {
        let mut kept = self.kept.lock();
        kept.course = kept.course.accepted(self.machine.now(), self.machine.monotonic());
        kept.unsaved_log_time = true;
        self.show(&kept);
    }

    /// The state for the next manifest.
    pub fn state(&self) -> Option<ClockState> {
        self.kept.lock().course.state()
    }

    /// A manifest with this state is durable.
    pub fn note_saved(&self, state: Option<ClockState>) {
        let mut kept = self.kept.lock();
        kept.saved_agreement = state.map_or(0, |state| state.agreed_micros);
        // Observations since then that left log time as it was need no manifest.
        if state.map(|state| state.log_time) == kept.course.log_time {
            kept.unsaved_log_time = false;
        }
    }

    /// Whether a manifest should be written for the state of the clock.
    pub fn is_unsaved(&self) -> bool {
        let kept = self.kept.lock();
        let (saved, now) = (kept.saved_agreement, kept.course.agreed());
        let part = (micros(self.grace) as u64 / SAVED_PARTS).max(1);
        kept.unsaved_log_time || now < saved || now - saved >= part
    }

    /// Whether the newest manifest lacks a change of log time, or has another agreement than now. A close then writes a
    /// manifest, so that the agreement of short opens adds up.
    pub fn has_unsaved_agreement(&self) -> bool {
        let kept = self.kept.lock();
        kept.unsaved_log_time || kept.course.agreed() != kept.saved_agreement
    }

    /// Time since some fixed moment, never going back.
    pub fn monotonic(&self) -> Duration {
        self.machine.monotonic()
    }

    /// The machine's clocks, for measuring spans only.
    pub fn machine(&self) -> &dyn Clock {
        &*self.machine
    }
}

#[cfg(test)]
mod tests;
