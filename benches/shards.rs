//! What the merges of a large store take, and what they do to writers: the peaks of heap and of disk space, and the
//! pauses of single puts, while a store of a few huge and many small namespaces is imported and split, while its
//! background comes to rest, and while it is compacted. Seeded data; run with `cargo bench --bench shards`.
//!
//! `VECMEM_SHARDS_ROWS` sets the number of items, `VECMEM_SHARDS_DIMS` the dimensions and `VECMEM_SHARDS_CAP` the rows
//! above which a shard is split. Without `--bench` all are small.
//!
//! The bounds, printed beside the figures: a heap of at most 0.3 GB and 1.5 times the codes and the graph of one
//! output, of at most the cap, beside the heap before; disk space of at most 1.2 times the inputs of the merges that
//! run at a time, beside what the store takes before or after, whichever is more. A merge has at most twice the cap as
//! inputs. The heap (`RssAnon`) counts what an import holds too, so its line is for information. The largest output is
//! at most the cap, but where `compact` makes each shard one segment: the largest namespace is above the cap.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{directory, is_test, open, random};
use vecmem::{Durability, ImportOptions, Metric, Namespace, Options, Put, Store, Tuning};

/// Half of the items lie in so many namespaces, of decreasing size; the others in namespaces of 40 items.
const HUGE: usize = 4;
/// How long nothing may change, or run, until the background counts as quiet.
const QUIET: Duration = Duration::from_secs(10);

fn number(name: &str, full: usize, tiny: usize) -> usize {
    let is_full = std::env::args().any(|argument| argument == "--bench") && !is_test();
    let given = std::env::var(name).ok().and_then(|number| number.parse().ok());
    given.unwrap_or(if is_full { full } else { tiny })
}

/// The highest figures of a stretch of time.
#[derive(Default)]
struct Peaks {
    heap: AtomicU64,
    disk: AtomicU64,
    /// Bytes of the largest truth file that was begun.
    truth: AtomicU64,
    ends: AtomicBool,
}

impl Peaks {
    fn watch(&self, path: &Path) {
        let (_, before) = disk(path);
        while !self.ends.load(Ordering::Relaxed) {
            self.heap.fetch_max(heap(), Ordering::Relaxed);
            let (all, truths) = disk(path);
            self.disk.fetch_max(all, Ordering::Relaxed);
            let new = truths.iter().filter(|truth| !before.contains(truth)).map(|(_, bytes)| *bytes);
            self.truth.fetch_max(new.max().unwrap_or_default(), Ordering::Relaxed);
            sleep(Duration::from_millis(10));
        }
    }
}

/// Bytes of anonymous memory of the process.
fn heap() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or_default() * 1024
}

/// Bytes of all files of a directory, and its truth files with their bytes.
fn disk(path: &Path) -> (u64, Vec<(std::ffi::OsString, u64)>) {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    let files: Vec<_> = entries.filter_map(|entry| Some((entry.file_name(), entry.metadata().ok()?.len()))).collect();
    let all = files.iter().map(|(_, bytes)| bytes).sum();
    (all, files.into_iter().filter(|(name, _)| name.to_string_lossy().ends_with(".truth")).collect())
}

/// Whether a thread beside this one wants to run, or waits for the disk.
fn is_busy() -> bool {
    let state = |task: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    tasks.filter_map(state).filter(|state| matches!(state, 'R' | 'D')).count() > 2
}

fn namespace(item: usize, rows: usize) -> Namespace {
    let huge = rows / 2;
    let labels = if item.is_multiple_of(2) {
        // Sizes of 8 : 4 : 2 : 1.
        let place = (item / 2) * 15 / huge.max(1);
        let which = [8, 12, 14, 15].iter().position(|&end| place < end).unwrap_or(HUGE - 1);
        [format!("huge {which}"), "all".to_owned()]
    } else {
        ["users".to_owned(), format!("{:07}", item / 2 / 40)]
    };
    Namespace::new(labels).expect("two short labels are a namespace")
}

/// How long each put of a writer took, one put after the other with a short pause between, until `ends`.
fn pauses(store: &Store, ends: &AtomicBool, first: usize, dims: usize) -> Vec<Duration> {
    let (mut random, mut took) = (random(first as u64), Vec::new());
    while !ends.load(Ordering::Relaxed) {
        let number = first + took.len();
        let home = namespace(number * 7_368_787 % first, first);
        let put = Put::new(&home, format!("late {number}"), format!("{{\"n\":{number}}}")).vector(random.vector(dims));
        let started = Instant::now();
        store.put(put).expect("a put");
        took.push(started.elapsed());
        sleep(Duration::from_micros(500));
    }
    took.sort_unstable();
    took
}

/// The terms of a run.
struct Run<'a> {
    store: &'a Store,
    path: &'a Path,
    dims: usize,
    rows: usize,
    cap: usize,
}

impl Run<'_> {
    /// Does something beside a writer, or without one, and prints its peaks and their bounds.
    fn watched(&self, what: &str, is_written_to: bool, act: impl FnOnce()) {
        let Self { store, path, dims, rows, cap } = *self;
        let peaks = Arc::new(Peaks::default());
        let (heap_before, disk_before, started) = (heap(), disk(path).0, Instant::now());
        let splits = store.stats().expect("stats").internals.shards;
        let took = std::thread::scope(|scope| {
            let watching = Arc::clone(&peaks);
            scope.spawn(move || watching.watch(path));
            let writing = is_written_to.then(|| {
                let ends = Arc::clone(&peaks);
                scope.spawn(move || pauses(store, &ends.ends, rows, dims))
            });
            act();
            peaks.ends.store(true, Ordering::Relaxed);
            writing.map(|writing| writing.join().expect("the writer")).unwrap_or_default()
        });
        let stats = store.stats().expect("stats");
        let sizes = &stats.internals.shard_sizes;
        let largest = sizes.iter().map(|shard| shard.rows).max().unwrap_or_default();
        let row_bytes = sizes.iter().map(|shard| shard.bytes).sum::<u64>() / stats.internals.segment_rows.max(1);
        let node_bytes = stats.graphs.bytes / stats.graphs.nodes.max(1);
        let heap_bound = 300_000_000 + cap as u64 * (dims as u64 + node_bytes) * 3 / 2;
        let inputs = 2 * Tuning::default().merge_threads as u64 * cap as u64 * row_bytes;
        let heap_taken = peaks.heap.load(Ordering::Relaxed).saturating_sub(heap_before);
        let disk_taken = peaks.disk.load(Ordering::Relaxed).saturating_sub(disk_before.max(disk(path).0));
        let mb = |bytes: u64| format!("{:.0} MB", bytes as f64 / 1e6);
        let percentile = |share: usize| took.get(took.len() * share / 100).copied().unwrap_or_default();
        let puts = match took.last() {
            Some(max) => format!("{:.1?} / {:.1?} / {max:.1?} of {}", percentile(50), percentile(99), took.len()),
            None => "-".to_owned(),
        };
        println!(
            "| {what} | {:.0} s | {splits} to {} of at most {largest} rows | about {} rows | {} of {} | {} of {} | {} | {puts} |",
            started.elapsed().as_secs_f64(),
            sizes.len(),
            peaks.truth.load(Ordering::Relaxed) / row_bytes.max(1),
            mb(heap_taken),
            mb(heap_bound),
            mb(disk_taken),
            mb(inputs * 6 / 5),
            mb(disk(path).0),
        );
    }
}

/// Waits until the number of shards stays for a while.
fn splits_end(store: &Store, quiet: Duration) {
    let shards = || store.stats().expect("stats").internals.shards;
    let (mut since, mut before) = (Instant::now(), shards());
    while since.elapsed() < quiet {
        sleep(Duration::from_millis(200));
        let now = shards();
        if now != before {
            (since, before) = (Instant::now(), now);
        }
    }
}

/// Waits until no merge, graph or segment has come or gone for a while, and no thread of the store wants to run.
fn rest(store: &Store, quiet: Duration) {
    let facts = |store: &Store| {
        let stats = store.stats().expect("stats");
        (stats.internals.merges, stats.internals.segments, stats.graphs.builds, stats.internals.shards)
    };
    let (mut since, mut before) = (Instant::now(), facts(store));
    while since.elapsed() < quiet {
        sleep(Duration::from_millis(500));
        let now = facts(store);
        if now != before || is_busy() {
            (since, before) = (Instant::now(), now);
        }
    }
}

fn main() {
    let rows = number("VECMEM_SHARDS_ROWS", 1_000_000, 3_000);
    let dims = number("VECMEM_SHARDS_DIMS", 64, 8);
    let cap = number("VECMEM_SHARDS_CAP", 200_000, 500);
    let tuning = Tuning { shard_rows: cap as u64, ..Tuning::default() };
    let options = Options::with_vectors(dims, Metric::Cosine).tuning(tuning).durability(Durability::Periodic);
    let directory = directory();
    let path = directory.path();
    let store = open(path, options);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!(
        "{rows} items, {dims}-d, {HUGE} huge namespaces and small ones of 40 items, shards of {cap} rows; load {}",
        load.trim()
    );
    println!(
        "| what | time | shards | largest output | heap, of bound | disk, of bound | store | a put: p50 / p99 / most |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut random = random(9);
    // A permutation, so that each chunk of the import has rows of all namespaces.
    let step = 7_368_787;
    let put = |number: usize| {
        let item = number * step % rows;
        Ok(Put::new(&namespace(item, rows), format!("{item:08}"), format!("{{\"n\":{item}}}"))
            .vector(random.vector(dims)))
    };
    let run = Run { store: &store, path, dims, rows, cap };
    run.watched("import, beside a writer", true, || {
        store.import((0..rows).map(put), ImportOptions::new()).expect("the items are imported");
    });
    let quiet = if rows > 100_000 { QUIET } else { Duration::ZERO };
    run.watched("splits, beside a writer", true, || splits_end(&store, quiet));
    run.watched("background, until it rests", false, || rest(&store, quiet));
    run.watched("compact", false, || drop(store.compact().expect("the store is compacted")));
    assert!(store.stats().expect("stats").internals.shards > 1, "the store has several shards");
}
