//! The outcome of a write, decided from its arguments alone: the write, the newest version of its key, and the times.
//!
//! Invariants:
//! * A condition is tested against the state before the batch. A failed condition fails the whole batch.
//! * An expired item counts as absent: it satisfies `IfAbsent`, has no version, and its `created_at` is not kept.
//! * An `updated_at` that the store gives is later than that of the version it replaces, and later than the last one
//!   that the clock gave, unless that one is more than a day ahead of the clock. An `updated_at` of the caller is kept.

use std::sync::Arc;

use crate::engine::clock::Reading;
use crate::error::{Error, ErrorKind, Result, shortened};
use crate::record::{CheckedPut, Lsn, Operation, Record, VersionTimes, Write, WriteOutcome};
use crate::types::{Condition, NEVER, Namespace, Version};

/// The operation to log, if any, and the writer's result.
#[derive(Debug)]
pub(crate) struct Decision {
    pub operation: Option<Operation>,
    pub result: WriteOutcome,
}

const MINUTE: i64 = 60 * 1_000_000;
const DAY: i64 = 24 * 3_600 * 1_000_000;

/// Whether moving the expiry of an item by `gained` microseconds is worth a write. It must gain a hundredth of the time
/// to live, so that frequent reads cost few writes. For a time to live below a minute any gain is enough.
pub(crate) fn worth_a_touch(ttl: i64, gained: i64) -> bool {
    let least = if ttl < MINUTE { 1 } else { ttl / 100 };
    gained >= least
}

/// The clock of the current batch, and the last `updated_at` that the clock gave.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Times {
    clock: i64,
    query_time: i64,
    removal_time: Option<i64>,
    last: i64,
}

impl Times {
    /// Begins a batch: all its writes happen at `now`. Forgets a last time that is more than a day ahead of the clock.
    pub fn begin(&mut self, now: &Reading) {
        self.clock = now.wall;
        self.query_time = now.query_time;
        self.removal_time = now.removal_time();
        if self.last > now.wall.saturating_add(DAY) {
            self.last = 0;
        }
    }

    /// Sets aside the next `count` times for an import, which takes them from a copy made before this call.
    pub fn skip(&mut self, count: usize) {
        if count > 0 {
            self.last = self.clock.max(self.last.saturating_add(1)).saturating_add(count as i64 - 1);
        }
    }

    fn next_update(&mut self, replaced: Option<i64>) -> i64 {
        let mine = self.clock.max(self.last.saturating_add(1));
        self.last = mine;
        replaced.map_or(mine, |replaced| mine.max(replaced.saturating_add(1)))
    }
}

/// Decides the outcome of `write`. `newest` is the newest version of the key that is not deleted, even if it has
/// expired. `lsn` is the LSN that a put would get.
pub(crate) fn decide(write: &Write, newest: Option<&VersionTimes>, times: &mut Times, lsn: Lsn) -> Result<Decision> {
    let current = newest.filter(|current| current.expires_at > times.query_time);
    let nothing = |result| Ok(Decision { operation: None, result });
    match write {
        Write::Put(put) | Write::Checkpoint { put, .. } => {
            check(put.condition, current, &put.namespace, &put.key)?;
            let record = complete(put, times_of(put, newest, times));
            let result = WriteOutcome::Put(Version(lsn.get()));
            Ok(Decision { operation: Some(Operation::Put(Arc::new(record))), result })
        }
        Write::Delete { namespace, key, condition } => {
            check(*condition, current, namespace, key)?;
            if newest.is_none() {
                return nothing(WriteOutcome::Deleted(false));
            }
            let operation = Some(Operation::Delete { namespace: namespace.clone(), key: key.clone() });
            Ok(Decision { operation, result: WriteOutcome::Deleted(current.is_some()) })
        }
        Write::DeleteRange(interval) => {
            let operation = Some(Operation::DeleteRange { interval: interval.clone() });
            Ok(Decision { operation, result: WriteOutcome::Other })
        }
        Write::Touch { namespace, key, version } => {
            let Some(current) = current.filter(|current| current.lsn == *version && current.ttl > 0) else {
                return nothing(WriteOutcome::Other);
            };
            let expires_at = times.query_time.saturating_add(current.ttl);
            if !worth_a_touch(current.ttl, expires_at.saturating_sub(current.expires_at)) {
                return nothing(WriteOutcome::Other);
            }
            let (namespace, key, version) = (namespace.clone(), key.clone(), *version);
            let operation = Some(Operation::Touch { namespace, key, version, expires_at });
            Ok(Decision { operation, result: WriteOutcome::Other })
        }
        Write::Expire { namespace, key } => {
            let has_expired = |newest: &VersionTimes| times.removal_time.is_some_and(|time| newest.expires_at <= time);
            if !newest.is_some_and(has_expired) {
                return nothing(WriteOutcome::Deleted(false));
            }
            let operation = Some(Operation::Delete { namespace: namespace.clone(), key: key.clone() });
            Ok(Decision { operation, result: WriteOutcome::Deleted(true) })
        }
        Write::Check { namespace, key, condition } => {
            check(*condition, current, namespace, key)?;
            nothing(WriteOutcome::Other)
        }
    }
}

fn check(condition: Condition, current: Option<&VersionTimes>, namespace: &Namespace, key: &str) -> Result<()> {
    let found = match (condition, current) {
        (Condition::Always, _) | (Condition::IfAbsent, None) => return Ok(()),
        (Condition::IfVersion(version), Some(current)) if current.lsn.get() == version.0 => return Ok(()),
        (Condition::IfAbsent, Some(_)) => "it exists",
        (Condition::IfVersion(_), None) => "it does not exist",
        (Condition::IfVersion(_), Some(_)) => "its version is another one",
    };
    let key = shortened(key);
    let message = format!("the condition on {key:?} in {namespace} does not hold: {found}; read it again and decide");
    Err(Error::new(ErrorKind::ConditionFailed, message))
}

/// When an item was created, when it was last written, and when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ItemTimes {
    pub created_at: i64,
    pub updated_at: i64,
    pub expires_at: i64,
}

/// The times of a put. `newest` is as for [`decide`].
pub(crate) fn times_of(put: &CheckedPut, newest: Option<&VersionTimes>, times: &mut Times) -> ItemTimes {
    let current = newest.filter(|current| current.expires_at > times.query_time);
    let clock_given = put.updated_at.is_none().then(|| times.next_update(newest.map(|replaced| replaced.updated_at)));
    let updated_at = clock_given.or(put.updated_at).unwrap_or(times.clock);
    let kept = current.map(|replaced| replaced.created_at);
    let created_at = put.created_at.or(kept).unwrap_or(updated_at);
    let by_ttl = if put.ttl > 0 { times.query_time.saturating_add(put.ttl) } else { NEVER };
    let expires_at = put.expires_at.unwrap_or(by_ttl);
    ItemTimes { created_at, updated_at, expires_at }
}

fn complete(put: &CheckedPut, times: ItemTimes) -> Record {
    let ItemTimes { created_at, updated_at, expires_at } = times;
    Record { content: Arc::clone(&put.content), created_at, updated_at, expires_at, flags: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::clock::ClockVerdict;
    use crate::extensions::Extensions;
    use crate::record::{ItemContent, SpaceId};
    use std::time::Duration;

    fn at(now: i64) -> Reading {
        let (monotonic, verdict) = (Duration::ZERO, ClockVerdict::Trusted);
        Reading { wall: now, monotonic, query_time: now, frame_clock: now, verdict }
    }

    #[test]
    fn an_item_is_removed_only_if_it_has_expired_by_a_clock_that_is_trusted() {
        let expire = Write::Expire { namespace: Namespace::new(["a"]).unwrap(), key: "k".into() };
        let current = VersionTimes { lsn: Lsn::new(3), created_at: 1, updated_at: 2, expires_at: 50, ttl: 10 };
        let ahead = ClockVerdict::Ahead { by: 1, agreed: 2, grace: 3 };
        for (now, newest, removed) in [
            (at(49), Some(&current), false),
            (at(50), Some(&current), true),
            (at(50), None, false),
            (Reading { verdict: ahead, ..at(50) }, Some(&current), false),
        ] {
            let mut times = Times::default();
            times.begin(&now);
            let decision = decide(&expire, newest, &mut times, Lsn::new(9)).unwrap();
            assert_eq!(decision.result, WriteOutcome::Deleted(removed), "{now:?}");
            assert_eq!(decision.operation.is_some(), removed, "{now:?}");
        }
    }

    fn put(condition: Condition) -> Write {
        let namespace = Namespace::new(["a"]).unwrap();
        let (key, value) = ("k".into(), "{}".into());
        let (vectors, index_paths) = (Vec::new(), Vec::new());
        let times = (None, None);
        Write::Put(CheckedPut {
            content: Arc::new(ItemContent {
                namespace,
                key,
                value,
                vectors,
                index_paths,
                ttl: 10,
                text_hashes: Vec::new(),
                space: SpaceId::default(),
                extensions: Extensions::default(),
            }),
            expires_at: None,
            condition,
            created_at: times.0,
            updated_at: times.1,
        })
    }

    fn decided(write: &Write, newest: Option<&VersionTimes>, times: &mut Times) -> Record {
        match decide(write, newest, times, Lsn::new(7)).unwrap().operation {
            Some(Operation::Put(record)) => (*record).clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn conditions_hold_or_fail_as_the_table_says() {
        let living = VersionTimes { lsn: Lsn::new(3), created_at: 1, updated_at: 2, expires_at: NEVER, ttl: 0 };
        let expired = VersionTimes { expires_at: 50, ..living };
        let (right, wrong) = (Condition::IfVersion(Version(3)), Condition::IfVersion(Version(4)));
        let table = [
            (Condition::Always, None, true),
            (Condition::Always, Some(&living), true),
            (Condition::IfAbsent, None, true),
            (Condition::IfAbsent, Some(&living), false),
            (Condition::IfAbsent, Some(&expired), true),
            (right, None, false),
            (right, Some(&living), true),
            (right, Some(&expired), false),
            (wrong, Some(&living), false),
        ];
        for (condition, newest, holds) in table {
            let mut times = Times::default();
            times.begin(&at(100));
            let outcome = decide(&put(condition), newest, &mut times, Lsn::new(9)).map(|decision| decision.result);
            match outcome {
                Ok(result) => assert!(holds && result == WriteOutcome::Put(Version(9)), "{condition:?} {newest:?}"),
                Err(error) => assert!(!holds && error.kind() == ErrorKind::ConditionFailed, "{condition:?}"),
            }
        }
    }

    #[test]
    fn timestamps_rise_and_creation_is_kept_unless_expired() {
        let mut times = Times::default();
        times.begin(&at(100));
        let first = decided(&put(Condition::Always), None, &mut times);
        assert_eq!((first.created_at, first.updated_at, first.expires_at), (100, 100, 110));
        let replaced = VersionTimes::of_record(&first, Lsn::new(1));
        times.begin(&Reading { query_time: 100, ..at(90) });
        let second = decided(&put(Condition::Always), Some(&replaced), &mut times);
        assert_eq!((second.created_at, second.updated_at), (100, 101));
        times.begin(&at(500));
        let third = decided(&put(Condition::Always), Some(&replaced), &mut times);
        assert_eq!((third.created_at, third.updated_at), (500, 500));
    }

    #[test]
    fn a_touch_moves_only_its_own_living_version_and_not_for_less_than_a_hundredth() {
        let namespace = Namespace::new(["a"]).unwrap();
        let touch =
            |version| Write::Touch { namespace: namespace.clone(), key: "k".into(), version: Lsn::new(version) };
        let moved = |ttl: i64, write: &Write, now: i64| {
            let current = VersionTimes { lsn: Lsn::new(3), created_at: 1, updated_at: 2, expires_at: ttl, ttl };
            let mut times = Times::default();
            times.begin(&at(now));
            decide(write, Some(&current), &mut times, Lsn::new(9)).unwrap().operation.is_some()
        };
        let long = 100 * MINUTE;
        assert!(moved(long, &touch(3), MINUTE) && moved(long, &touch(3), long - 1));
        assert!(!moved(long, &touch(3), MINUTE - 1), "less than a hundredth");
        assert!(!moved(long, &touch(4), long / 2), "another version");
        assert!(!moved(long, &touch(3), long), "expired");
        assert!(moved(MINUTE - 1, &touch(3), 1), "below a minute every read counts");
        assert!(!moved(MINUTE - 1, &touch(3), 0), "nothing gained");
    }
}
