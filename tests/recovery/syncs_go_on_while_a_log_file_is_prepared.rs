//! Under `Durability::Periodic` the syncs of the log wait for nothing but each other: while the next log file is filled
//! and synced, or a large write is under way, however long that takes, what is acknowledged is synced.

use std::sync::Arc;
use std::time::Duration;

use crate::common::watched::{Event, LIMIT, Point, on_both_disks, watched};
use crate::common::{namespace, numbered};
use vecmem::testing::{SystemClock, open_with};
use vecmem::{Durability, Options, Tuning};

/// Whether a sync began and ended after the last write of a frame.
fn is_synced(events: &[Event]) -> bool {
    let written = events.iter().rposition(|event| *event == Event::Done(Point::Write)).unwrap_or(0);
    let later = &events[written..];
    let begun = later.iter().position(|event| *event == Event::Begun(Point::Sync));
    begun.is_some_and(|begun| later[begun..].contains(&Event::Done(Point::Sync)))
}

#[test]
fn syncs_go_on_while_a_log_file_is_prepared() {
    on_both_disks(|disk, storage| {
        let (storage, watch) = watched(storage);
        // A checkpoint of an idle store would sync the log as well. In files of one size two hold all that is written
        // here, so nobody but the background prepares the third.
        let sizes = Tuning { log_file_min_bytes: 1 << 20, log_file_max_bytes: 1 << 20, ..Tuning::default() };
        let tuning = Tuning { idle_checkpoint: 60 * LIMIT, ..sizes };
        let options =
            Options::new().durability(Durability::Periodic).sync_every(Duration::from_millis(5)).tuning(tuning);
        let store = open_with(storage, Arc::new(SystemClock), options).unwrap();
        let home = namespace(["a"]);
        // The first put prepares a file itself; the one that is kept ahead of writers is prepared in the background.
        store.put(numbered(&home, "first", 0)).unwrap();
        let two_files =
            |events: &[Event]| events.iter().filter(|event| **event == Event::Done(Point::Prepare)).count() > 1;
        assert!(watch.wait_for_events(LIMIT, two_files), "{disk}: no file is prepared ahead");
        watch.hold_next(Point::Prepare);
        std::thread::scope(|scope| {
            // Fills the files there are, until one more is prepared.
            let filled = scope.spawn(|| {
                let value = format!("{{\"text\":\"{}\"}}", "x".repeat(100 << 10));
                let put = |key: u64| vecmem::Put::new(&home, key.to_string(), value.clone());
                (0..12).try_for_each(|key| store.put(put(key)).map(drop)).unwrap();
            });
            watch.wait_until_held();
            filled.join().unwrap();
            let synced = (0..5).all(|number| {
                store.put(numbered(&home, "during", number)).unwrap();
                watch.wait_for_events(LIMIT / 3, is_synced)
            });
            let prepared = watch.events().iter().filter(|event| **event == Event::Done(Point::Prepare)).count();
            // Before anything is asserted: a store whose background is held up could not be closed.
            watch.release(false);
            assert!(synced, "{disk}: no sync beside the preparation");
            assert_eq!(prepared, 2, "{disk}: the preparation was held up all the time");
        });
        store.close().unwrap();
    });
}

#[test]
fn a_write_that_takes_long_holds_up_no_sync() {
    on_both_disks(|disk, storage| {
        let (storage, watch) = watched(storage);
        let tuning = Tuning { idle_checkpoint: 60 * LIMIT, ..Tuning::default() };
        // Long enough for a second write to begin before the first one is synced.
        let options = Options::new().durability(Durability::Periodic).sync_every(Duration::from_secs(1)).tuning(tuning);
        let store = open_with(storage, Arc::new(SystemClock), options).unwrap();
        let home = namespace(["a"]);
        store.put(numbered(&home, "first", 0)).unwrap();
        let two_files =
            |events: &[Event]| events.iter().filter(|event| **event == Event::Done(Point::Prepare)).count() > 1;
        assert!(watch.wait_for_events(LIMIT, two_files), "{disk}: no file is prepared ahead");
        store.sync().unwrap();
        store.put(numbered(&home, "acknowledged", 1)).unwrap();
        watch.hold_next(Point::Write);
        std::thread::scope(|scope| {
            let under_way = scope.spawn(|| store.put(numbered(&home, "under way", 2)));
            watch.wait_until_held();
            let synced = watch.wait_for_events(LIMIT / 3, is_synced);
            watch.release(false);
            under_way.join().unwrap().unwrap();
            assert!(synced, "{disk}: no sync beside the write");
        });
        store.close().unwrap();
    });
}
