//! What it costs to purge one namespace of 1,000 items among 1,000,000: bytes written, segments rewritten, and seconds.
//! Seeded data; run with `cargo bench --bench purge`. Each store is filled by import and left to its background until
//! it is quiet.
//!
//! `VECMEM_PURGE_ROWS` sets the number of items; without `--bench` it is small.

mod common;
#[path = "common/report.rs"]
mod report;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Clusters, DIMS, directory, is_test, json, open, options, timed, user};
use report::load;
use vecmem::{ImportOptions, Put, ReadOptions, Scope, Store};

const EACH: usize = 1_000;
/// How long nothing may change until the background counts as quiet.
const QUIET: Duration = Duration::from_secs(15);

fn rows() -> usize {
    let is_full = std::env::args().any(|argument| argument == "--bench") && !is_test();
    let given = std::env::var("VECMEM_PURGE_ROWS").ok().and_then(|rows| rows.parse().ok());
    given.unwrap_or(if is_full { 1_000_000 } else { 12 * EACH })
}

fn filled(path: &Path, rows: usize, in_order: bool) -> Store {
    let store = open(path, options());
    let mut clusters = Clusters::new(3);
    let put = |number: usize| {
        let namespace = if in_order { number / EACH } else { number % rows.div_ceil(EACH) };
        Ok(Put::new(&user(namespace), format!("{number:07}"), json(number)).vector(clusters.vector()))
    };
    store.import((0..rows).map(put), ImportOptions::new()).expect("the items are imported");
    let (mut since, mut before) = (Instant::now(), store.stats().expect("stats"));
    while since.elapsed() < if rows > 100_000 { QUIET } else { Duration::ZERO } {
        std::thread::sleep(Duration::from_secs(1));
        let now = store.stats().expect("stats");
        if (now.internals.merges, now.internals.segments) != (before.internals.merges, before.internals.segments) {
            (since, before) = (Instant::now(), now);
        }
    }
    store
}

fn purge(store: &Store, number: usize, what: &str) {
    let before = store.stats().expect("stats");
    let (time, receipt) = timed(|| store.purge(&Scope::Namespace(user(number))).expect("the namespace is purged"));
    let left = store.count(&Scope::Namespace(user(number)), &ReadOptions::default()).expect("a count");
    assert_eq!((left, receipt.items), (0, EACH as u64));
    println!(
        "| {what:<44} | {} of {} | {:.1} of {:.1} MB | {:.2} s | {} | {} |",
        receipt.segments_rewritten,
        before.internals.segments,
        receipt.bytes_written as f64 / 1e6,
        before.size.segment_bytes as f64 / 1e6,
        time.as_secs_f64(),
        vecmem::instruction_set(),
        load(),
    );
}

fn main() {
    let rows = rows();
    println!("{EACH} of {rows} items, {DIMS}-d, values of about 300 bytes");
    println!("| how the namespace lies | segments rewritten | bytes written | time | instruction set | load |");
    println!("|---|---|---|---|---|---|");
    for in_order in [true, false] {
        let directory = directory();
        let (import, store) = timed(|| filled(directory.path(), rows, in_order));
        let how = if in_order { "imported at once" } else { "spread over all imports" };
        println!("(imported and quiet after {:.0} s)", import.as_secs_f64());
        purge(&store, 5, &format!("{how}, the first purge"));
        purge(&store, 6, &format!("{how}, its neighbour"));
        store.put(Put::new(&user(999_999), "one", "{}").vector(vec![1.0; DIMS])).expect("a put");
        for number in 0..EACH - 1 {
            let put = Put::new(&user(999_999), number.to_string(), "{}").vector(vec![1.0; DIMS]);
            store.put(put).expect("a put");
        }
        purge(&store, 999_999, "in memory only");
    }
}
