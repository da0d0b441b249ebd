//! Every figure the design promises, measured in one run: goal, measured value, data. `cargo bench --bench figures [--
//! NAME..]`.
//!
//! Invariants:
//! * Nothing is asserted: a figure is reported, with the load of the machine beside it, and a person judges.
//! * A ratio compares what ran alternately in the same minute on the same disk.
//! * With `--test` every figure runs on a tiny store, to show that it runs.
//!
//! `VECMEM_DIALOGUES` and `VECMEM_BENCH_DIR`: see `benches/common`.

mod common;
#[path = "figures/disk.rs"]
mod disk;
#[path = "figures/reads.rs"]
mod reads;
#[path = "figures/writes.rs"]
mod writes;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Counts the bytes that are allocated.
struct Counting;

static HEAP_BYTES: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; counting has no effect on memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HEAP_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: the caller keeps the promises of `alloc`, which are the same there.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HEAP_BYTES.fetch_sub(layout.size() as i64, Ordering::Relaxed);
        // SAFETY: `pointer` came from `alloc` above, so from the system's allocator, with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes on the heap now.
pub fn heap_bytes() -> i64 {
    HEAP_BYTES.load(Ordering::Relaxed)
}

/// The table, printed line by line as figures arrive.
pub struct Table;

impl Table {
    /// One figure: what, its goal, what was measured, and on what.
    pub fn row(&mut self, what: &str, goal: &str, measured: &str, data: &str) {
        println!("| {what:<58} | {goal:<12} | {measured:<28} | {:<5} | {data} |", load());
    }
}

/// Processes that want to run, over the last minute: more than the machine has cores, and the figures are too slow.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

/// A time in the unit in which it is easy to read.
pub fn show(time: Duration) -> String {
    match time.as_secs_f64() {
        seconds if seconds >= 1.0 => format!("{seconds:.2} s"),
        seconds if seconds >= 1e-3 => format!("{:.2} ms", seconds * 1e3),
        seconds if seconds >= 1e-6 => format!("{:.2} us", seconds * 1e6),
        seconds => format!("{:.0} ns", seconds * 1e9),
    }
}

type Figure = fn(&mut Table);

const FIGURES: &[(&str, Figure)] = &[
    ("put", writes::put),
    ("merging", writes::put_while_merging),
    ("namespaces", reads::namespaces),
    ("segments", reads::segments),
    ("scan", reads::scan),
    ("filter", reads::filter),
    ("listing", reads::listing),
    ("import", disk::import),
    ("reopen", disk::reopen),
    ("replay", disk::replay),
    ("delete-range", disk::delete_range),
];

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let unknown = names.iter().find(|name| FIGURES.iter().all(|(known, _)| known != name));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
        println!("there is no figure {unknown:?}; there are {}", known.join(", "));
        return;
    }
    println!("| {:<58} | {:<12} | {:<28} | load  | data |", "figure", "goal", "measured");
    println!("|{}|{}|{}|-------|------|", "-".repeat(60), "-".repeat(14), "-".repeat(30));
    let mut table = Table;
    for (name, figure) in FIGURES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            figure(&mut table);
        }
    }
}
