//! What benches of whole stores share: a table of figures with the load of the machine, and the heap of the process.
#![allow(dead_code, reason = "each bench uses a part of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

/// Counts the bytes that are allocated.
struct Counting;

static HEAP_BYTES: AtomicI64 = AtomicI64::new(0);
static HEAP_PEAK: AtomicI64 = AtomicI64::new(0);

// SAFETY: every call is passed on to the system's allocator as it came; counting has no effect on memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let bytes = HEAP_BYTES.fetch_add(layout.size() as i64, Ordering::Relaxed) + layout.size() as i64;
        if bytes > HEAP_PEAK.load(Ordering::Relaxed) {
            HEAP_PEAK.fetch_max(bytes, Ordering::Relaxed);
        }
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

/// The most bytes that were on the heap since the last call, and starts over from now.
pub fn take_heap_peak() -> i64 {
    HEAP_PEAK.swap(heap_bytes(), Ordering::Relaxed)
}

/// The table, printed line by line as figures arrive.
pub struct Table;

impl Table {
    /// Prints the head of the table.
    pub fn begin() -> Self {
        println!("| {:<58} | {:<12} | {:<28} | load  | data |", "figure", "goal", "measured");
        println!("|{}|{}|{}|-------|------|", "-".repeat(60), "-".repeat(14), "-".repeat(30));
        Self
    }

    /// One figure: what, its goal, what was measured, and on what.
    pub fn row(&mut self, what: &str, goal: &str, measured: &str, data: &str) {
        println!("| {what:<58} | {goal:<12} | {measured:<28} | {:<5} | {data} |", load());
    }
}

/// Processes that want to run, over the last minute: more than the machine has cores, and the figures are too slow.
pub fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("?").to_owned()
}

/// The model of the processor, and how many cores there are.
pub fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {}, {}", model.map_or("unknown processor", |(_, name)| name), vecmem::instruction_set())
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
