//! Whatever the wall clock does before an open, between writes, inside a batch and during a sweep: a model says what is
//! shown, what is hidden and what is removed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::common::{Random, START, namespace, numbered, tiny_without_vectors};
use vecmem::testing::{Clock, SimClock, SimStorage, open_with};
use vecmem::{Batch, ErrorKind, IterateQuery, Options, ReadOptions, Store};

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// A wall clock no later than any log time: what expiry is measured with is log time then.
const LONG_AGO: i64 = START - HOUR;

fn span(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

/// A clock whose wall time changes when it is looked at for the n-th time.
#[derive(Clone)]
struct Trap {
    clock: SimClock,
    looks_left: Arc<AtomicI64>,
    target: Arc<AtomicI64>,
}

impl Trap {
    fn new() -> Self {
        Self { clock: SimClock::new(START), looks_left: Arc::new(AtomicI64::new(-1)), target: Arc::default() }
    }

    fn arm(&self, looks: i64, target: i64) {
        self.target.store(target, Ordering::SeqCst);
        self.looks_left.store(looks, Ordering::SeqCst);
    }

    fn disarm(&self) {
        self.looks_left.store(-1, Ordering::SeqCst);
    }
}

impl Clock for Trap {
    fn now(&self) -> i64 {
        if self.looks_left.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.clock.set(self.target.load(Ordering::SeqCst));
        }
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

/// When each item expires, and what the store should make of its clock.
#[derive(Clone, Debug)]
struct Model {
    items: BTreeMap<String, Option<i64>>,
    log_time: i64,
    noted_at: i64,
    /// Of a wall clock that is ahead or behind: its distance from the monotonic clock, when it was last seen, for how
    /// long it has agreed.
    ahead: Option<(i64, i64, i64)>,
    grace: i64,
}

impl Model {
    fn expected(&self, monotonic: i64) -> i64 {
        self.log_time + monotonic - self.noted_at
    }

    fn trusts(&self, (wall, monotonic): (i64, i64)) -> bool {
        (wall - self.expected(monotonic)).abs() <= DAY
    }

    fn observe(&mut self, now: (i64, i64)) {
        let (wall, monotonic) = now;
        let offset = wall - monotonic;
        self.ahead = match self.ahead {
            _ if self.trusts(now) => None,
            Some((first, seen, agreed)) if (offset - first).abs() <= MINUTE => {
                Some((first, monotonic, agreed + monotonic - seen))
            }
            _ => Some((offset, monotonic, 0)),
        };
        if self.ahead.is_some_and(|(_, _, agreed)| agreed >= self.grace) {
            self.accept(now);
        }
    }

    fn accept(&mut self, (wall, monotonic): (i64, i64)) {
        (self.log_time, self.noted_at, self.ahead) = (wall, monotonic, None);
    }

    fn query_time(&self, wall: i64) -> i64 {
        wall.max(self.log_time)
    }

    fn frame_clock(&self, now: (i64, i64)) -> i64 {
        if self.trusts(now) { now.0 } else { now.0.min(self.expected(now.1)) }
    }

    fn frame(&mut self, now: (i64, i64)) {
        let clock = self.frame_clock(now);
        if clock > self.log_time {
            (self.log_time, self.noted_at) = (clock, now.1);
        }
    }

    fn expired(&self, time: i64) -> Vec<String> {
        let expired = self.items.iter().filter(|(_, expires_at)| expires_at.is_some_and(|at| at <= time));
        expired.map(|(key, _)| key.clone()).collect()
    }
}

/// How wild the clock is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Jumps {
    /// Anything, and clocks are believed after a while or by decree.
    Wild,
    /// A day ahead or more, or behind; nobody ever believes a wrong clock.
    Far,
}

struct Run {
    jumps: Jumps,
    storage: SimStorage,
    trap: Trap,
    store: Store,
    model: Model,
    random: Random,
    /// How far the right clock has got.
    passed: i64,
    keys: u64,
    removed: u64,
}

impl Run {
    fn new(seed: u64, jumps: Jumps) -> Self {
        let (storage, trap) = (SimStorage::new(seed), Trap::new());
        let grace = if jumps == Jumps::Wild { 2 * HOUR } else { 100_000 * DAY };
        let store = open(&storage, &trap, grace);
        // The first frame is where log time begins.
        store.put(numbered(&namespace(["first"]), "k", 1)).unwrap();
        let model = Model { items: BTreeMap::new(), log_time: START, noted_at: 0, ahead: None, grace };
        Self { jumps, storage, trap, store, model, random: Random::new(seed), passed: 0, keys: 0, removed: 0 }
    }

    fn now(&self) -> (i64, i64) {
        (self.trap.clock.now(), self.trap.clock.monotonic().as_micros() as i64)
    }

    fn some_wall(&mut self) -> i64 {
        let right = START + self.passed;
        let near = [0, HOUR, 23 * HOUR, 25 * HOUR, -HOUR, -20 * HOUR];
        let far = [0, 0, 30 * DAY, 365 * DAY, 366 * DAY, -2 * DAY, -300 * DAY];
        let by = if self.jumps == Jumps::Wild && self.random.chance(50) {
            near[self.random.below(near.len() as u64) as usize]
        } else {
            far[self.random.below(far.len() as u64) as usize]
        };
        (right + by).max(LONG_AGO)
    }

    /// Arms the trap for the next call; returns the clocks before and after.
    fn arm(&mut self) -> [(i64, i64); 2] {
        // Both have looked at the clock as it is before the jump.
        self.store.stats().unwrap();
        self.model.observe(self.now());
        let (target, looks) = (self.some_wall(), self.random.below(5) as i64);
        let before = self.now();
        self.trap.arm(looks, target);
        [before, (target, before.1)]
    }

    fn put(&mut self, count: u64, jumps_inside: bool) {
        let moments = if jumps_inside { self.arm().to_vec() } else { vec![self.now()] };
        let home = namespace(["a"]);
        let (mut batch, mut puts) = (Batch::new(), Vec::new());
        for _ in 0..count {
            self.keys += 1;
            let ttl = [0, HOUR, 12 * HOUR, 10 * DAY, 40 * DAY][self.random.below(5) as usize];
            let put = numbered(&home, format!("{:05}", self.keys), self.keys);
            batch.put(if ttl > 0 { put.ttl(span(ttl)) } else { put });
            puts.push((format!("{:05}", self.keys), ttl));
        }
        self.store.batch(batch).unwrap();
        self.trap.disarm();
        let expired_too = ReadOptions { include_expired: true, ..ReadOptions::default() };
        let mut written_at = Vec::new();
        for (key, ttl) in puts {
            let item = self.store.get_with(&home, &key, &expired_too).unwrap().unwrap();
            written_at.extend(item.expires_at.map(|at| at - ttl));
            self.model.items.insert(key, item.expires_at);
        }
        let query_time = written_at.first().copied();
        assert!(written_at.iter().all(|&at| Some(at) == query_time), "a batch is one moment: {written_at:?}");
        // Where no time to live tells which, the frame does.
        let mut outcomes = Vec::new();
        for &moment in &moments {
            let mut model = self.model.clone();
            model.observe(moment);
            if query_time.is_none_or(|time| time == model.query_time(moment.0)) {
                model.frame(moment);
                outcomes.push(model);
            }
        }
        assert!(!outcomes.is_empty(), "written at {query_time:?}, not at {moments:?}: {:?}", self.model);
        self.model = outcomes.remove(0);
        if outcomes.iter().any(|other| other.log_time != self.model.log_time) {
            let others = outcomes.iter().map(|model| model.log_time).collect::<Vec<_>>();
            self.find_log_time(&others);
            self.store.stats().unwrap();
        }
        self.model.observe(self.now());
    }

    /// Log time, from what an item that is put long ago expires by. A jump is over then.
    fn probe(&self) -> i64 {
        let wall = self.now().0;
        self.trap.clock.set(LONG_AGO);
        let home = namespace(["probe"]);
        self.store.put(numbered(&home, "k", 1).ttl(span(HOUR))).unwrap();
        let expired_too = ReadOptions { include_expired: true, ..ReadOptions::default() };
        let found = self.store.get_with(&home, "k", &expired_too).unwrap().unwrap().expires_at.unwrap() - HOUR;
        self.store.delete(&home, "k").unwrap();
        self.trap.clock.set(wall);
        found
    }

    /// Sets the model's log time to the store's, which must be the model's or one of `others`.
    fn find_log_time(&mut self, others: &[i64]) {
        let found = self.probe();
        self.model.ahead = None;
        if found != self.model.log_time {
            assert!(others.contains(&found), "log time is {found}, none of {others:?}: {:?}", self.model);
            (self.model.log_time, self.model.noted_at) = (found, self.now().1);
        }
    }

    /// A sweep, or a compaction, which says by itself whether it was allowed to sweep.
    fn sweep(&mut self, compacts: bool) {
        self.model.observe(self.now());
        let (now, allowed) = (self.now(), self.model.trusts(self.now()));
        let expired = self.model.expired(self.model.query_time(now.0));
        let wanted = if allowed { expired.len() as u64 } else { 0 };
        if compacts {
            let report = self.store.compact().unwrap();
            assert_eq!((report.swept, report.expired_left_why.is_none()), (wanted, allowed), "{report:?}");
            assert_eq!(report.expired_left, if allowed { 0 } else { expired.len() as u64 });
        } else {
            match self.store.sweep() {
                Ok(swept) => assert_eq!((swept, allowed), (wanted, true)),
                Err(error) => assert_eq!((error.kind(), allowed), (ErrorKind::ClockSkew, false), "{error}"),
            }
        }
        if allowed {
            self.remove(&expired);
            if !expired.is_empty() {
                self.model.frame(now);
            }
        }
        self.model.observe(self.now());
    }

    fn remove(&mut self, keys: &[String]) {
        for key in keys {
            let expires_at = self.model.items.remove(key).flatten().unwrap();
            self.removed += 1;
            let right = START + self.passed;
            assert!(self.jumps == Jumps::Wild || expires_at <= right, "{key} lives until {expires_at}, it is {right}");
        }
    }

    fn sweep_in_a_jump(&mut self) {
        let moments = self.arm();
        let outcome = self.store.sweep();
        self.trap.disarm();
        let there = self.keys(true);
        let gone: Vec<String> = self.model.items.keys().filter(|key| !there.contains(key)).cloned().collect();
        let trusted = moments.iter().filter(|moment| self.model.trusts(**moment));
        let latest = trusted.map(|moment| self.model.query_time(moment.0)).max();
        for key in &gone {
            let expires_at = self.model.items[key].unwrap();
            assert!(latest.is_some_and(|latest| expires_at <= latest), "{key} was removed, by {latest:?} at most");
        }
        if let Ok(swept) = outcome {
            assert_eq!(swept, gone.len() as u64);
        }
        self.remove(&gone);
        let others = moments.map(|moment| self.model.frame_clock(moment));
        self.find_log_time(&others);
        self.store.stats().unwrap();
        self.model.observe(self.now());
    }

    fn reopen(&mut self) {
        // A close looks at the clock, so that agreement adds up over opens.
        self.model.observe(self.now());
        self.store.close().unwrap();
        let wall = self.some_wall();
        self.trap.clock.set(wall);
        self.store = open(&self.storage, &self.trap, self.model.grace);
        // What frames alone tell of log time may be earlier: that only delays removal.
        let found = self.probe();
        assert!(found <= self.model.log_time, "an open raised log time to {found}: {:?}", self.model);
        (self.model.log_time, self.model.noted_at, self.model.ahead) = (found, self.now().1, None);
        self.store.stats().unwrap();
        self.model.observe(self.now());
    }

    fn keys(&self, include_expired: bool) -> Vec<String> {
        let options = ReadOptions { include_expired, ..ReadOptions::default() };
        let query = IterateQuery::new(&namespace(["a"])).limit(usize::MAX).options(options);
        self.store.iterate(&query, None).unwrap().items.into_iter().map(|item| item.key).collect()
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0..=3 => {
                let by = [MINUTE, HOUR, 2 * HOUR, 10 * HOUR, 5 * DAY][self.random.below(5) as usize];
                self.passed += by;
                self.trap.clock.advance(span(by));
            }
            4..=6 => {
                let wall = self.some_wall();
                self.trap.clock.set(wall);
            }
            7..=9 => self.put(1, false),
            10 | 11 => self.put(4, false),
            12 | 13 => self.put(4, true),
            14 | 15 => self.sweep(false),
            16 => self.sweep_in_a_jump(),
            17 => self.sweep(true),
            18 => self.reopen(),
            _ if self.jumps == Jumps::Wild => {
                self.store.accept_clock().unwrap();
                self.model.accept(self.now());
            }
            _ => {}
        }
    }

    fn check(&self) {
        let hidden = self.model.expired(self.model.query_time(self.now().0));
        let shown: Vec<String> = self.model.items.keys().filter(|key| !hidden.contains(key)).cloned().collect();
        assert_eq!(self.keys(false), shown, "shown");
        assert_eq!(self.keys(true), self.model.items.keys().cloned().collect::<Vec<_>>(), "there");
    }
}

fn open(storage: &SimStorage, trap: &Trap, grace: i64) -> Store {
    let options: Options = tiny_without_vectors().clock_grace(span(grace));
    open_with(Arc::new(storage.clone()), Arc::new(trap.clone()), options).unwrap()
}

fn run(seeds: std::ops::Range<u64>, jumps: Jumps) {
    let (mut removed, mut keys) = (0, 0);
    for seed in seeds {
        let mut run = Run::new(seed, jumps);
        for step in 0..120 {
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                run.step();
                run.check();
            }));
            assert!(outcome.is_ok(), "{jumps:?}, seed {seed}, step {step}");
        }
        (removed, keys) = (removed + run.removed, keys + run.keys);
    }
    println!("{jumps:?}: {removed} of {keys} items removed by sweeps");
    assert!(removed * 20 > keys, "sweeps removed {removed} of {keys} items: the test has become too tame");
}

#[test]
fn jumps_of_every_size_show_hide_and_remove_what_the_model_says() {
    run(0..150, Jumps::Wild);
}

#[test]
fn nothing_is_removed_before_its_time_by_a_clock_that_is_not_believed() {
    run(1_000..1_150, Jumps::Far);
}
