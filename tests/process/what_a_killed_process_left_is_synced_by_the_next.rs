//! Under `Periodic` a write is synced a while after it was acknowledged. If its process dies before, the next one that
//! opens the store does it, though nobody writes or closes; and whoever writes does it before anything of his own is
//! logged.

#[path = "../common/mod.rs"]
mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::canaries::files_of;
use common::faulty::{Begun, Faulty};
use common::{START, namespace, numbered, process, reopened, tiny_without_vectors};
use tempfile::TempDir;
use vecmem::testing::{Clock, DiskStorage, Loss, SimClock, SimOperation, SimStorage, SystemClock, open_with};
use vecmem::{Durability, Options, ReadMode, Store, Tuning};

#[test]
fn without_a_write_and_without_a_close() {
    let options = || -> Options { tiny_without_vectors().durability(Durability::Periodic) };
    let threaded = options().tuning(Tuning { inline_background: false, ..Tuning::tiny() });
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let home = namespace(["a"]);
    // Nobody syncs in the background of this one, and it never closes.
    let killed = reopened(&storage, &clock, options());
    for number in 0..10 {
        killed.put(numbered(&home, number.to_string(), number)).unwrap();
    }
    std::mem::forget(killed);
    let survivors = || {
        let store = reopened(&storage.crash(Loss::AllUnsynced, 0), &clock, options());
        (0..10).filter(|number| store.get(&home, &number.to_string()).unwrap().is_some()).count()
    };
    assert_eq!(survivors(), 0, "the test needs writes that were not synced");
    let next = open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), threaded).unwrap();
    let since = Instant::now();
    while survivors() < 10 {
        assert!(since.elapsed() < Duration::from_secs(30), "{} of 10 writes would survive a power loss", survivors());
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(next.get(&home, "7").unwrap().is_some());
}

/// Writes under `Periodic`, and waits to be killed before anything is synced.
fn write_and_wait(place: &Path) -> ! {
    let never = Duration::from_secs(24 * 3_600);
    let store = Store::open(place, Options::new().durability(Durability::Periodic).sync_every(never)).unwrap();
    for number in 0..1_000 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number)).unwrap();
    }
    process::say("written");
    process::wait_to_go_on();
    panic!("the process was to be killed");
}

/// The log file that these bytes are in.
fn log_with(directory: &Path, text: &str) -> String {
    let files = files_of(directory).into_iter().filter(|(name, _)| name.starts_with("wal-"));
    let mut holders = files.filter(|(_, bytes)| bytes.windows(text.len()).any(|window| window == text.as_bytes()));
    holders.next().expect("a log file with what was written").0
}

/// A directory with the writes of a process that was killed, a storage that records what is done to it, and the log
/// file that the last of the writes is in.
fn killed(test: &str) -> (TempDir, Faulty, String) {
    let directory = tempfile::tempdir().unwrap();
    let mut child = process::start(test, directory.path());
    process::wait_for(&mut child, "written");
    child.kill().unwrap();
    child.wait().unwrap();
    let log = log_with(directory.path(), "{\"n\":999}");
    let storage = Faulty::new(Arc::new(DiskStorage::open(directory.path(), false, ReadMode::Map).unwrap()));
    (directory, storage, log)
}

/// Where the file and the names of all files were synced by then; the file is older than the trace.
fn synced(trace: &[Begun], file: &str) -> Option<usize> {
    let syncs = [SimOperation::SyncData, SimOperation::SyncAll];
    let of_file = trace.iter().position(|begun| begun.name == file && syncs.contains(&begun.operation))?;
    let of_names = trace.iter().position(|begun| begun.operation == SimOperation::SyncDir)?;
    Some(of_file.max(of_names))
}

#[test]
fn of_a_real_process_without_a_write_and_without_a_close() {
    if let Some(place) = process::place() {
        write_and_wait(Path::new(&place));
    }
    let (_directory, storage, log) = killed("of_a_real_process_without_a_write_and_without_a_close");
    let options = Options::new().durability(Durability::Periodic);
    // The clock stands still: the checkpoint of an idle store would sync the log as well.
    let clock = SimClock::new(SystemClock.now());
    let next = open_with(Arc::new(storage.clone()), Arc::new(clock), options).unwrap();
    let since = Instant::now();
    while synced(&storage.trace(), &log).is_none() {
        assert!(since.elapsed() < Duration::from_secs(30), "nobody syncs {log}: {:?}", storage.trace());
        std::thread::sleep(Duration::from_millis(10));
    }
    let writes = |begun: &&Begun| begun.operation == SimOperation::Write && begun.name.starts_with("wal-");
    assert_eq!(storage.trace().iter().filter(writes).count(), 0, "nobody wrote");
    assert!(next.get(&namespace(["a"]), "999").unwrap().is_some());
}

#[test]
fn of_a_real_process_before_another_write_is_logged() {
    if let Some(place) = process::place() {
        write_and_wait(Path::new(&place));
    }
    for durability in [Durability::Sync, Durability::Periodic, Durability::Manual] {
        let (directory, storage, log) = killed("of_a_real_process_before_another_write_is_logged");
        let options = Options::new().durability(durability);
        let next = open_with(Arc::new(storage.clone()), Arc::new(SystemClock), options).unwrap();
        next.put(numbered(&namespace(["b"]), "own", 123_456_789)).unwrap();
        let (trace, file) = (storage.trace(), log_with(directory.path(), "{\"n\":123456789}"));
        assert_ne!(file, log, "the log goes on in another file");
        let writes = |begun: &Begun| begun.operation == SimOperation::Write && begun.name == file;
        let own = trace.iter().rposition(writes).unwrap();
        let synced = synced(&trace, &log);
        assert!(synced.is_some_and(|synced| synced < own), "{durability:?}: {log} at {synced:?}, the put at {own}");
        assert!(next.get(&namespace(["a"]), "999").unwrap().is_some());
    }
}
