//! What the behaviour tests share: small stores, seeded randomness, and a model that answers by brute force.
#![allow(dead_code, reason = "each test uses a part of it")]

pub mod canaries;
pub mod clusters;
pub mod directory;
pub mod faulty;
pub mod gate;
pub mod kinds;
pub mod model;
pub mod process;
pub mod recall;
pub mod tmpfs;
pub mod watched;
pub mod writer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use vecmem::testing::Random;
use vecmem::testing::{SimClock, SimStorage, open_with};
use vecmem::{Metric, Namespace, Options, Put, SearchResult, Store, Tuning};

/// Where simulated clocks begin: microseconds since 1970 UTC.
pub const START: i64 = 1_700_000_000_000_000;

/// Sets a flag when it goes, so that threads which wait for that end also where the test fails.
pub struct SetAtEnd<'a>(pub &'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

pub fn namespace<const N: usize>(labels: [&str; N]) -> Namespace {
    Namespace::new(labels).unwrap()
}

/// Options of a store of vectors whose parts fill after 24 rows, with the background on the writing thread.
pub fn tiny(dims: usize, metric: Metric) -> Options {
    Options::with_vectors(dims, metric).tuning(Tuning::tiny())
}

/// The same without vectors.
pub fn tiny_without_vectors() -> Options {
    Options::new().tuning(Tuning::tiny())
}

/// A store on a simulated disk with a clock that stands still.
pub fn simulated(options: Options) -> (Store, SimStorage, SimClock) {
    let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
    let store = reopened(&storage, &clock, options);
    (store, storage, clock)
}

/// The store that a simulated disk holds.
pub fn reopened(storage: &SimStorage, clock: &SimClock, options: Options) -> Store {
    open_with(Arc::new(storage.clone()), Arc::new(clock.clone()), options).unwrap()
}

/// A put of `{"n": number}`.
pub fn numbered(namespace: &Namespace, key: impl Into<String>, number: u64) -> Put {
    Put::new(namespace, key, format!("{{\"n\":{number}}}"))
}

/// The keys of an answer, in order.
pub fn keys(answer: &SearchResult) -> Vec<&str> {
    answer.iter().map(|hit| hit.item.key.as_str()).collect()
}

/// That the store is whole and holds exactly what `dump` says.
pub fn assert_unchanged(store: &Store, dump: &str) {
    assert_eq!(store.text_dump().unwrap(), dump);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
