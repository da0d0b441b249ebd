//! A wall clock that is far ahead hides what has expired by it, and shows it again when it is corrected; nothing is
//! removed by it until it has agreed with the time that passes for the grace, or was accepted. What is written under it
//! moves no expiry of others.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::{START, namespace, numbered, tiny};
use vecmem::testing::{Clock, SimClock, SimStorage, open_directory_with, open_with};
use vecmem::{ErrorKind, Metric, Options, ReadOptions, Scope, Store};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: i64 = 24 * 3_600 * 1_000_000;
const YEAR: i64 = 365 * DAY;

/// Where a store lies: on a simulated disk with tiny thresholds, or in a directory with the default ones.
enum Place {
    Simulated(SimStorage),
    Directory(tempfile::TempDir),
}

impl Place {
    fn open(&self, clock: &SimClock) -> Store {
        self.open_as(clock, |options| options)
    }

    fn open_as(&self, clock: &SimClock, change: impl FnOnce(Options) -> Options) -> Store {
        let clock = Arc::new(clock.clone());
        let opened = match self {
            Self::Simulated(storage) => {
                open_with(Arc::new(storage.clone()), clock, change(tiny(1, Metric::Dot).sweep_every(None)))
            }
            Self::Directory(directory) => {
                let path: &Path = directory.path();
                open_directory_with(path, clock, change(Options::with_vectors(1, Metric::Dot).sweep_every(None)))
            }
        };
        opened.unwrap()
    }
}

/// Runs a test in both kinds of place, with a clock of its own.
fn everywhere(test: impl Fn(&Place, &SimClock)) {
    test(&Place::Simulated(SimStorage::new(1)), &SimClock::new(START));
    test(&Place::Directory(tempfile::tempdir().unwrap()), &SimClock::new(START));
}

fn put(store: &Store, key: &str, hours: u32) {
    let put = numbered(&namespace(["a"]), key, 1);
    store.put(if hours > 0 { put.ttl(hours * HOUR) } else { put }).unwrap();
}

fn put_for_30_days(store: &Store) {
    (0..20).for_each(|number| put(store, &number.to_string(), 30 * 24));
}

fn is_shown(store: &Store, key: &str) -> bool {
    store.get(&namespace(["a"]), key).unwrap().is_some()
}

/// Items that are shown, and items that are there.
fn counts(store: &Store) -> (u64, u64) {
    let count = |include_expired| {
        store.count(&Scope::Store, &ReadOptions { include_expired, ..ReadOptions::default() }).unwrap()
    };
    (count(false), count(true))
}

fn assert_refused(outcome: vecmem::Result<u64>) {
    let error = outcome.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ClockSkew, "{error}");
    for word in ["wall clock", "ahead", "accept_clock"] {
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[test]
fn one_write_under_a_wrong_clock_lets_no_sweep_remove_what_lives() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put_for_30_days(&store);
        clock.set(START + YEAR);
        assert_refused(store.sweep());
        put(&store, "wrong", 0);
        assert_refused(store.sweep());
        assert_eq!(counts(&store), (1, 21), "hidden, and all there");
        clock.set(START + 1_000_000);
        assert_eq!(store.sweep().unwrap(), 0);
        assert_eq!(counts(&store), (21, 21));
        store.close().unwrap();
        let store = place.open(clock);
        assert_eq!((store.sweep().unwrap(), counts(&store)), (0, (21, 21)), "nor after a reopen");
        clock.advance(31 * 24 * HOUR);
        put(&store, "right", 0);
        assert_eq!((store.sweep().unwrap(), counts(&store)), (20, (2, 2)), "what has expired is removed in the end");
    });
}

#[test]
fn one_write_under_a_wrong_clock_changes_no_time_to_live() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put(&store, "before", 10);
        clock.set(START + YEAR);
        put(&store, "wrong", 0);
        clock.set(START + 1_000_000);
        assert!(is_shown(&store, "before"), "it has ten hours to live");
        put(&store, "after", 1);
        clock.advance(HOUR);
        assert!(!is_shown(&store, "after"), "its hour is over");
        assert!(is_shown(&store, "before"));
        clock.advance(9 * HOUR);
        assert!(!is_shown(&store, "before"));
        store.close().unwrap();
        let store = place.open(clock);
        assert!(!is_shown(&store, "before") && !is_shown(&store, "after"), "a reopen revives nothing");
        assert_eq!(store.sweep().unwrap(), 2);
    });
}

#[test]
fn an_open_under_a_wrong_clock_removes_nothing() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put_for_30_days(&store);
        store.close().unwrap();
        clock.set(START + YEAR);
        let store = place.open(clock);
        assert_refused(store.sweep());
        put(&store, "wrong", 0);
        assert_refused(store.sweep());
        store.close().unwrap();
        let store = place.open(clock);
        assert_refused(store.sweep());
        store.close().unwrap();
        clock.set(START + 2_000_000);
        let store = place.open(clock);
        assert_eq!((store.sweep().unwrap(), counts(&store)), (0, (21, 21)));
    });
}

#[test]
fn a_store_that_was_closed_for_a_month_sweeps_after_the_grace() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put_for_30_days(&store);
        store.close().unwrap();
        clock.set(START + 31 * DAY);
        let store = place.open(clock);
        assert_refused(store.sweep());
        clock.advance(HOUR - Duration::from_micros(1));
        assert_refused(store.sweep());
        let stats = store.stats().unwrap();
        assert_eq!(stats.health.clock, "31.0 days ahead, agreed for 60 min of 60 min");
        assert!((stats.health.clock_ahead_seconds.unwrap() - 31.0 * 86_400.0).abs() < 1.0);
        clock.advance(Duration::from_micros(1));
        assert_eq!((store.sweep().unwrap(), counts(&store)), (20, (0, 0)));
        let stats = store.stats().unwrap();
        assert_eq!((stats.health.clock.as_str(), stats.health.clock_ahead_seconds), ("ok", None));
    });
}

#[test]
fn the_grace_is_an_option_and_a_further_jump_begins_it_anew() {
    everywhere(|place, clock| {
        let store = place.open_as(clock, |options| options.clock_grace(10 * HOUR));
        put_for_30_days(&store);
        clock.set(START + YEAR);
        for _ in 0..9 {
            assert_refused(store.sweep());
            clock.advance(HOUR);
        }
        clock.set(START + 2 * YEAR);
        for _ in 0..10 {
            assert_refused(store.sweep());
            clock.advance(HOUR);
        }
        assert_eq!(store.sweep().unwrap(), 20);
    });
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::new()).unwrap();
    let open = |span| Store::open(directory.path(), Options::new().clock_grace(span));
    assert_eq!(open(2 * HOUR).unwrap_err().kind(), ErrorKind::OptionsDiffer);
    assert!(open(HOUR).is_ok(), "an hour is the default");
    drop(store);
}

#[test]
fn an_accepted_clock_removes_at_once_in_both_directions() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put_for_30_days(&store);
        clock.set(START + YEAR);
        let before = store.stats().unwrap().internals.manifest_generation;
        store.accept_clock().unwrap();
        assert!(store.stats().unwrap().internals.manifest_generation > before, "it is durable");
        assert_eq!((store.sweep().unwrap(), counts(&store)), (20, (0, 0)));
        // The store took a wrong clock for right: time to live follows the corrected one only if that is accepted.
        clock.set(START);
        put(&store, "frozen", 1);
        clock.advance(2 * HOUR);
        assert!(is_shown(&store, "frozen"));
        store.accept_clock().unwrap();
        put(&store, "brief", 1);
        clock.advance(2 * HOUR);
        assert!(!is_shown(&store, "brief"));
        assert_eq!(store.sweep().unwrap(), 1);
    });
}

#[test]
fn a_clock_that_was_set_back_stays_accepted_after_a_reopen() {
    everywhere(|place, clock| {
        clock.set(START + 20 * DAY / 24);
        let store = place.open(clock);
        (0..40).for_each(|number| put(&store, &number.to_string(), 0));
        clock.set(START);
        store.accept_clock().unwrap();
        let mut store = store;
        for _ in 0..2 {
            put(&store, "before", 1);
            clock.advance(HOUR / 2);
            store.close().unwrap();
            store = place.open(clock);
            put(&store, "brief", 1);
            clock.advance(HOUR);
            assert!(!is_shown(&store, "before") && !is_shown(&store, "brief"), "log time is what was accepted");
            assert_eq!(store.sweep().unwrap(), 2);
        }
    });
}

#[test]
fn a_compaction_sweeps_first_and_says_what_it_left_and_why() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put_for_30_days(&store);
        put(&store, "brief", 1);
        put(&store, "stays", 0);
        clock.advance(2 * HOUR);
        let report = store.compact().unwrap();
        assert_eq!((report.swept, report.expired_left, report.expired_left_why), (1, 0, None));
        assert_eq!(counts(&store), (21, 21));
        clock.set(START + YEAR);
        let report = store.compact().unwrap();
        assert_eq!((report.swept, report.expired_left), (0, 20));
        let why = report.expired_left_why.unwrap();
        assert!(why.contains("wall clock") && why.contains("accept_clock"), "{why}");
        assert_eq!(counts(&store), (1, 21));
        store.accept_clock().unwrap();
        let report = store.compact().unwrap();
        assert_eq!((report.swept, report.expired_left, report.expired_left_why), (20, 0, None));
        assert_eq!(store.stats().unwrap().internals.segment_rows, 1);
    });
}

/// Counts how often it is looked at.
#[derive(Clone)]
struct Watched {
    clock: SimClock,
    looks: Arc<AtomicU64>,
}

impl Clock for Watched {
    fn now(&self) -> i64 {
        self.looks.fetch_add(1, Ordering::SeqCst);
        self.clock.now()
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

#[test]
fn the_background_notices_a_further_jump_though_nobody_asks() {
    let (directory, clock) = (tempfile::tempdir().unwrap(), SimClock::new(START));
    let watched = Watched { clock: clock.clone(), looks: Arc::default() };
    let open = || {
        let options = Options::new().sweep_every(None);
        open_directory_with(directory.path(), Arc::new(watched.clone()), options).unwrap()
    };
    let store = open();
    put_for_30_days(&store);
    store.close().unwrap();
    let wait_for_a_look = || {
        let (before, started) = (watched.looks.load(Ordering::SeqCst), Instant::now());
        // The second look began after this call did.
        while watched.looks.load(Ordering::SeqCst) < before + 2 {
            assert!(started.elapsed() < 120 * Duration::from_secs(1), "nobody looks at the clock");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    clock.set(START + YEAR);
    let store = open();
    clock.advance(HOUR - HOUR / 6);
    wait_for_a_look();
    let first_jump = clock.now();
    clock.set(START + 2 * YEAR);
    wait_for_a_look();
    clock.set(first_jump);
    wait_for_a_look();
    clock.advance(HOUR / 3);
    assert_refused(store.sweep());
    clock.advance(HOUR);
    assert_eq!(store.sweep().unwrap(), 20);
}

#[test]
fn the_background_waits_for_a_wrong_clock_and_sweeps_once_it_is_believed() {
    let minute = Duration::from_secs(60);
    let (directory, clock) = (tempfile::tempdir().unwrap(), SimClock::new(START));
    let options = Options::new().sweep_every(Some(minute));
    let store = open_directory_with(directory.path(), Arc::new(clock.clone()), options).unwrap();
    put_for_30_days(&store);
    let wait_until = |what: &str, holds: &dyn Fn() -> bool| {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < 2 * minute, "{what}: {:?}", store.stats().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    clock.set(START + YEAR);
    clock.advance(2 * minute);
    let error = || store.stats().unwrap().health.background_error.unwrap_or_default();
    wait_until("the refusal is told", &|| error().contains("wall clock"));
    assert!(store.stats().unwrap().health.clock.contains("365.0 days ahead"));
    put(&store, "goes on", 0);
    clock.advance(HOUR);
    wait_until("the clock is believed", &|| store.stats().unwrap().health.clock == "ok");
    clock.advance(2 * minute);
    wait_until("the sweep", &|| store.stats().unwrap().internals.swept == 20);
    wait_until("the refusal is no longer told", &|| store.stats().unwrap().health.background_error.is_none());
}

fn text(minutes: u32) -> String {
    if minutes < 2 { format!("{} s", minutes * 60) } else { format!("{minutes} min") }
}

#[test]
fn an_open_whose_clock_has_gone_back_begins_the_grace_anew() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put_for_30_days(&store);
        store.close().unwrap();
        clock.set(START + YEAR);
        let store = place.open(clock);
        clock.advance(HOUR / 2);
        store.close().unwrap();
        clock.set(START + YEAR / 2);
        let store = place.open(clock);
        assert!(
            store.stats().unwrap().health.clock.ends_with("agreed for 0 s of 60 min"),
            "{:?}",
            store.stats().unwrap()
        );
        clock.advance(HOUR / 2);
        assert_refused(store.sweep());
        clock.advance(HOUR / 2);
        assert_eq!(store.sweep().unwrap(), 20);
    });
}

#[test]
fn a_log_time_that_is_too_high_is_shown_and_removes_nothing_until_the_clock_is_believed() {
    everywhere(|place, clock| {
        clock.set(START + YEAR);
        let store = place.open(clock);
        put(&store, "first", 0);
        store.close().unwrap();
        clock.set(START);
        let store = place.open(clock);
        put_for_30_days(&store);
        put(&store, "brief", 1);
        let stats = store.stats().unwrap();
        assert!(
            stats.health.clock.starts_with("log time is 365.0 days ahead of the wall clock"),
            "{}",
            stats.health.clock
        );
        assert!(stats.health.clock_ahead_seconds.unwrap() < -364.0 * 86_400.0);
        let error = store.sweep().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ClockSkew);
        assert!(error.to_string().contains("behind") && error.to_string().contains("accept_clock"), "{error}");
        clock.advance(HOUR);
        assert_eq!((store.sweep().unwrap(), counts(&store)), (0, (22, 22)), "believed: log time is the wall clock");
        assert_eq!(store.stats().unwrap().health.clock, "ok");
        clock.advance(HOUR);
        put(&store, "brief too", 1);
        clock.advance(HOUR);
        assert_eq!(store.sweep().unwrap(), 1);
        store.close().unwrap();
        let store = place.open(clock);
        assert_eq!(store.stats().unwrap().health.clock, "ok", "that lasts");
    });
}

#[test]
fn the_grace_adds_up_over_opens_however_short() {
    everywhere(|place, clock| {
        let store = place.open(clock);
        put_for_30_days(&store);
        store.close().unwrap();
        clock.set(START + YEAR);
        for opened in 0..60 {
            let store = place.open(clock);
            assert_refused(store.sweep());
            clock.advance(HOUR / 60);
            assert_refused(store.sweep());
            let seen = store.stats().unwrap().health.clock;
            // The last part of the grace, two minutes, is for one open to see.
            let minutes = if opened < 59 { opened + 1 } else { 59 };
            assert!(seen.ends_with(&format!("agreed for {} of 60 min", text(minutes))), "{opened}: {seen}");
            store.close().unwrap();
            // Closed: nobody counts that.
            clock.set(clock.now() + DAY);
        }
        let store = place.open(clock);
        assert_refused(store.sweep());
        clock.advance(HOUR / 30);
        assert_eq!(store.sweep().unwrap(), 20);
        store.close().unwrap();
        // What was believed lasts.
        let store = place.open(clock);
        assert_eq!(store.stats().unwrap().health.clock, "ok");
    });
}
