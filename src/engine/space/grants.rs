//! Grants: space that jobs may write and have not written yet. Merges, imports and puts do not get that space; flushes
//! and logs of deletes do (`requests.rs`).
//!
//! Invariants:
//! * A grant ends when its files are written, at the latest with its job ([`Grant`] is dropped).
//! * Bytes that a job has written are no longer free, so only the rest of its grant counts. [`outstanding`] is pure.
//! * A request is decided and its grant noted under one lock, so two merges cannot get the same bytes.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::sync::Mutex;

/// All grants of a store, under their lock.
#[derive(Default)]
pub(crate) struct Grants {
    pub(crate) given: Mutex<GrantTable>,
}

#[derive(Default)]
pub(crate) struct GrantTable {
    next: u64,
    grants: BTreeMap<u64, GrantedBytes>,
}

/// The granted bytes, and the files that they are for.
struct GrantedBytes {
    bytes: u64,
    names: Vec<String>,
}

/// One grant, which ends when this is dropped.
pub(crate) struct Grant {
    grants: Arc<Grants>,
    number: u64,
}

impl GrantTable {
    /// Granted bytes that the jobs have not written yet. `files` lists the files of the directory with their sizes.
    pub fn outstanding(&self, files: impl FnOnce() -> Vec<(String, u64)>) -> u64 {
        if self.grants.is_empty() {
            return 0;
        }
        let sizes: HashMap<String, u64> = files().into_iter().collect();
        self.grants.values().map(|granted| outstanding(granted.bytes, &granted.names, &sizes)).sum()
    }

    pub fn note(&mut self, grants: &Arc<Grants>, bytes: u64, names: &[String]) -> Grant {
        self.next += 1;
        self.grants.insert(self.next, GrantedBytes { bytes, names: names.to_vec() });
        Grant { grants: Arc::clone(grants), number: self.next }
    }
}

impl Grant {
    /// Adds files that the job writes under this grant.
    pub fn add_names(&self, names: &[String]) {
        let mut given = self.grants.given.lock();
        if let Some(granted) = given.grants.get_mut(&self.number) {
            granted.names.extend_from_slice(names);
        }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.grants.given.lock().grants.remove(&self.number);
    }
}

/// The bytes of a grant that are not written yet.
fn outstanding(bytes: u64, names: &[String], sizes: &HashMap<String, u64>) -> u64 {
    let written = names.iter().filter_map(|name| sizes.get(name)).fold(0, |sum: u64, &size| sum.saturating_add(size));
    bytes.saturating_sub(written)
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::time::Duration;

    use super::*;
    use crate::engine::Engine;
    use crate::engine::clock::StoreClock;
    use crate::engine::facts::gather;
    use crate::engine::recover::recover;
    use crate::engine::space::Purpose;
    use crate::engine::space::output_files::OutputFiles;
    use crate::error::{ErrorKind, Result};
    use crate::storage::Storage;
    use crate::storage::sim::{SimClock, SimStorage};
    use crate::store::{Options, open_with};
    use crate::tuning::Tuning;
    use crate::types::Durability;

    /// An engine without background threads, over an empty store.
    fn engine() -> (Arc<Engine>, SimStorage) {
        let (simulated, clock) = (SimStorage::new(1), SimClock::new(1));
        let options = Options::new().tuning(Tuning::tiny());
        open_with(Arc::new(simulated.clone()), Arc::new(clock.clone()), options).unwrap().close().unwrap();
        let storage: Arc<dyn Storage> = Arc::new(simulated.clone());
        let start = recover(&storage, gather(&*storage).unwrap(), None).unwrap();
        let clock = StoreClock::new(Arc::new(clock), Duration::ZERO, start.clock);
        (Arc::new(Engine::new(storage, clock, Tuning::tiny(), Durability::Sync, start)), simulated)
    }

    /// Asks for `bytes` in the name of a new job.
    fn ask(engine: &Arc<Engine>, bytes: u64) -> Result<OutputFiles> {
        let mut outputs = OutputFiles::new(engine);
        outputs.ask_for_space(Purpose::Merge, bytes, "a job of the test").map(|()| outputs)
    }

    fn assert_refused(asked: Result<OutputFiles>, context: &str) {
        assert_eq!(asked.err().map(|error| error.kind()), Some(ErrorKind::DiskFull), "{context}");
    }

    /// Sets the capacity so that a merge can get exactly `bytes`.
    fn leave(engine: &Arc<Engine>, storage: &SimStorage, bytes: u64) {
        storage.set_capacity(u64::MAX);
        let used = storage.used_bytes();
        let fits = |spare: u64| {
            storage.set_capacity(used + spare);
            ask(engine, 1).is_ok()
        };
        let kept = (0..1 << 20).collect::<Vec<u64>>().partition_point(|&spare| !fits(spare)) as u64;
        storage.set_capacity(used + kept - 1 + bytes);
    }

    #[test]
    fn jobs_that_ask_at_once_get_no_more_than_is_free() {
        let (engine, storage) = engine();
        leave(&engine, &storage, 1_000);
        for round in 0..200 {
            let barrier = Barrier::new(4);
            let granted = std::thread::scope(|scope| {
                let asking = [(); 4].map(|()| {
                    scope.spawn(|| {
                        barrier.wait();
                        ask(&engine, 400)
                    })
                });
                // All grants are kept until the last request is decided.
                asking.map(|thread| thread.join().unwrap()).into_iter().filter(Result::is_ok).count()
            });
            assert_eq!(granted, 2, "round {round}: of 1,000 bytes each asked for 400");
        }
    }

    #[test]
    fn a_grant_ends_with_its_job_and_shrinks_with_what_the_job_writes() {
        let (engine, storage) = engine();
        leave(&engine, &storage, 1_000);
        let mut job = ask(&engine, 700).unwrap();
        assert_refused(ask(&engine, 301), "300 are left");
        assert!(ask(&engine, 300).is_ok());
        // One of the job's files is written in part.
        let file_id = job.segment();
        let file = storage.create(&crate::segment::truth::layout::truth_name(file_id)).unwrap();
        file.write_at(0, &[1; 600]).unwrap();
        assert_refused(ask(&engine, 301), "what is written is no longer free, and no longer granted");
        assert!(ask(&engine, 300).is_ok());
        file.write_at(600, &[1; 100]).unwrap();
        assert!(ask(&engine, 300).is_ok() && ask(&engine, 301).is_err(), "all of it is written");
        storage.create("seg-00000000000000ff.other").unwrap().write_at(0, &[1; 100]).unwrap();
        assert!(ask(&engine, 200).is_ok() && ask(&engine, 201).is_err(), "what others write is theirs");
        job.written();
        assert!(ask(&engine, 200).is_ok() && ask(&engine, 201).is_err(), "which its end does not change");
        drop((file, job));
        engine.sync_dir().unwrap();
        assert!(ask(&engine, 900).is_ok() && ask(&engine, 901).is_err(), "its files are gone with it");
    }

    #[test]
    fn a_job_that_fails_gives_back_what_it_was_granted() {
        let (engine, storage) = engine();
        leave(&engine, &storage, 1_000);
        let failing = |engine: &Arc<Engine>| -> Result<()> {
            let mut outputs = ask(engine, 900)?;
            assert_refused(ask(engine, 101), "100 are left");
            // The next grant of a job replaces its previous one.
            outputs.ask_for_space(Purpose::Merge, 950, "more")?;
            assert_refused(ask(engine, 51), "50 are left");
            outputs.ask_for_space(Purpose::Merge, 1_001, "too much")
        };
        for round in 0..3 {
            let error = failing(&engine).unwrap_err();
            assert!(error.to_string().contains("too much"), "round {round}: {error}");
            assert!(ask(&engine, 1_000).is_ok(), "round {round}");
        }
    }

    #[test]
    fn what_a_job_has_written_is_no_longer_granted() {
        let sizes = HashMap::from([("a".to_owned(), 30), ("b".to_owned(), 50), ("other".to_owned(), 1_000)]);
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(outstanding(100, &names(&[]), &sizes), 100);
        assert_eq!(outstanding(100, &names(&["a", "not yet there"]), &sizes), 70);
        assert_eq!(outstanding(100, &names(&["a", "b"]), &sizes), 20);
        assert_eq!(outstanding(60, &names(&["a", "b"]), &sizes), 0, "it took more than it asked for");
    }
}
