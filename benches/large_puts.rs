//! Puts of 1 MiB by two threads, and small puts beside them by a third: how long the commit lock is held for what is
//! large shows in the small ones. Run with `cargo bench --bench large_puts`.
//!
//! Durability is `Manual`, so that the disk has little part in it; items are deleted as the bench goes on, so that the
//! store stays small.

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use vecmem::{Durability, Namespace, Options, Put, Store};

use common::{directory, size};

const LARGE_BYTES: usize = 1 << 20;
const WRITERS: usize = 2;

fn json(bytes: usize) -> String {
    format!("{{\"text\":\"{}\"}}", "incompressible ".repeat(bytes / 15))
}

/// Puts values of one size until told to stop; how long each put took.
fn put_until(store: &Store, name: &str, bytes: usize, stop: &AtomicBool) -> Vec<Duration> {
    let (home, text) = (Namespace::new([name]).expect("a label is a namespace"), json(bytes));
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        // A few keys, so that what is written is replaced soon.
        let put = Put::new(&home, (took.len() % 16).to_string(), text.as_str());
        let started = Instant::now();
        store.put(put).expect("the put is written");
        took.push(started.elapsed());
    }
    took.sort();
    took
}

fn main() {
    let directory = directory();
    let store = Store::open(directory.path().join("store"), Options::new().durability(Durability::Manual))
        .expect("the store opens");
    let (stop, seconds) = (AtomicBool::new(false), size(8, 1) as u64);
    let (large, small) = std::thread::scope(|scope| {
        let stop = &stop;
        let store = &store;
        let writers: Vec<_> = (0..WRITERS)
            .map(|number| scope.spawn(move || put_until(store, &format!("large {number}"), LARGE_BYTES, stop)))
            .collect();
        let small = scope.spawn(|| put_until(store, "small", 100, stop));
        std::thread::sleep(Duration::from_secs(seconds));
        stop.store(true, Ordering::Relaxed);
        let large: Vec<Duration> =
            writers.into_iter().flat_map(|writer| writer.join().expect("a writer ends")).collect();
        (large, small.join().expect("a writer ends"))
    });
    let at = |sorted: &[Duration], share: usize| sorted[(sorted.len() - 1) * share / 100].as_secs_f64() * 1e6;
    println!(
        "{} puts of 1 MiB by {WRITERS} threads in {seconds} s; {} small puts beside them: p50 {:.1} us, p90 {:.1} us, p99 {:.1} us",
        large.len(),
        small.len(),
        at(&small, 50),
        at(&small, 90),
        at(&small, 99)
    );
}
