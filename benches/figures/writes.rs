//! Figures of durable puts: against a bare log, with many threads, and while a merge runs.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use vecmem::{Durability, Namespace, Put, Store};

use crate::common::{
    BareLog, Clusters, Times, compacted, directory, fill, json, made_up, median, open, options, size, timed, unmerged,
    user,
};
use crate::{Table, show};

/// The frame of one put: 384 numbers, 300 bytes of JSON, names, header.
const FRAME_BYTES: usize = 2_048;
const THREADS: usize = 16;
/// Calls of one kind before the others have their turn.
const TURN: usize = 10;

/// What the puts of a round are made of, so that only the put is timed.
struct Supply {
    vectors: Vec<Vec<f32>>,
    next: AtomicUsize,
}

impl Supply {
    fn new() -> Self {
        let mut clusters = Clusters::new(2);
        Self { vectors: (0..1_000).map(|_| clusters.vector()).collect(), next: AtomicUsize::new(0) }
    }

    fn put(&self) -> Put {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let vector = self.vectors[number % self.vectors.len()].as_slice();
        Put::new(&user(number % 1_000), format!("key{number}"), json(number)).vector(vector)
    }
}

/// How long a round lasts.
fn round() -> Duration {
    Duration::from_millis(size(1_000, 20) as u64)
}

/// Calls a second of `call`, on `threads` threads for one round.
fn rate(threads: usize, call: impl Fn() + Sync) -> f64 {
    let done = AtomicUsize::new(0);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while start.elapsed() < round() {
                    call();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.load(Ordering::Relaxed) as f64 / start.elapsed().as_secs_f64()
}

/// Durable puts of one thread against bare logs, in turns of a few calls, so that a busy disk is busy for all.
pub fn put(table: &mut Table) {
    let directory = directory();
    let store = open(&directory.path().join("store"), options());
    let mut growing = BareLog::growing(directory.path(), FRAME_BYTES);
    let mut prepared = BareLog::prepared(directory.path(), FRAME_BYTES);
    let supply = Supply::new();
    let mut times: [Vec<Duration>; 3] = Default::default();
    for _ in 0..size(600, 2) {
        times[0].extend((0..TURN).map(|_| timed(|| growing.append()).0));
        times[1].extend((0..TURN).map(|_| timed(|| prepared.append()).0));
        for _ in 0..TURN {
            let put = supply.put();
            times[2].push(timed(|| store.put(put).expect("the put is written")).0);
        }
    }
    let total = |index: usize| times[index].iter().sum::<Duration>().as_secs_f64();
    let ratio_of_totals = [total(0) / total(2), total(1) / total(2)];
    let [growing, prepared, puts] = times.map(Times::of);
    let data = format!("384-d, 300-byte JSON, Sync; turns of {TURN} calls each");
    let mut row = |what: &str, goal: &str, bare: &Times, of_totals: f64| {
        let of_medians = bare.median().as_secs_f64() / puts.median().as_secs_f64();
        let measured =
            format!("{of_totals:.2}x (medians {of_medians:.2}x: {} / {})", show(bare.median()), show(puts.median()));
        table.row(what, goal, &measured, &data);
    };
    row("durable puts, 1 thread, against a bare append + fdatasync", ">= 1.0x", &growing, ratio_of_totals[0]);
    row("the same, the bare log in a prepared file too", "", &prepared, ratio_of_totals[1]);
    let put = || {
        store.put(supply.put()).expect("the put is written");
    };
    let rounds: Vec<[f64; 3]> = (0..size(9, 1)).map(|_| [1, 4, THREADS].map(|threads| rate(threads, put))).collect();
    for (index, (threads, goal)) in [(1, ""), (4, ""), (THREADS, ">= 5x")].into_iter().enumerate() {
        let rate = median(rounds.iter().map(|round| round[index]).collect());
        let ratio = median(rounds.iter().map(|round| round[index] / round[0]).collect());
        let data = format!("as above; medians of {} rounds of {}", rounds.len(), show(round()));
        table.row(
            &format!("durable puts, threads: {threads}, against 1"),
            goal,
            &format!("{ratio:.2}x ({rate:.0}/s)"),
            &data,
        );
    }
}

/// Times of puts, and of a bare log in turns with them.
struct Latencies {
    puts: Times,
    bare: Times,
}

/// Latency of one thread's durable puts, first in peace, then while a segment is rewritten over and over.
pub fn put_while_merging(table: &mut Table) {
    let directory = directory();
    let path = directory.path().join("store");
    let mut bare = BareLog::prepared(directory.path(), FRAME_BYTES);
    let rows = made_up(size(100_000, 500), 50);
    drop(compacted(&path, &rows.rows));
    let supply = Supply::new();
    let store = open(&path, options());
    let peace = latencies(&store, &supply, &mut bare);
    drop(store);
    let (merged, merging) = while_merging(&path, &supply, &mut bare);
    let ratio = |times: &Times| times.percentile(99.0).as_secs_f64() / times.median().as_secs_f64();
    let mut row = |what: &str, goal: &str, found: &Latencies, data: &str| {
        let measured = format!(
            "{:.1}x ({} / {})",
            ratio(&found.puts),
            show(found.puts.percentile(99.0)),
            show(found.puts.median())
        );
        let data =
            format!("{data}; a bare log in turns with it: {:.1}x ({})", ratio(&found.bare), show(found.bare.median()));
        table.row(what, goal, &measured, &data);
    };
    row("durable put, p99 / p50, no merge", "", &peace, &rows.what);
    let data = format!("{}, rewritten {merged} times meanwhile", rows.what);
    row("durable put, p99 / p50, while a merge runs", "<= 5x", &merging, &data);
}

/// One dead row makes the engine rewrite a segment, so another one is deleted whenever a merge has ended.
fn while_merging(path: &Path, supply: &Supply, bare: &mut BareLog) -> (u64, Latencies) {
    let tuning = vecmem::Tuning { dead_percent: 0, ..unmerged(1 << 20) };
    let store = open(path, options().tuning(tuning));
    let ended = AtomicBool::new(false);
    let merges = || store.stats().map_or(0, |stats| stats.internals.merges);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                store.delete(&user(number / 50), &format!("{:04}", number % 50)).expect("the delete is written");
                let before = merges();
                while merges() == before {
                    if ended.load(Ordering::Relaxed) {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        });
        let found = latencies(&store, supply, bare);
        ended.store(true, Ordering::Relaxed);
        (merges(), found)
    })
}

fn latencies(store: &Store, supply: &Supply, bare: &mut BareLog) -> Latencies {
    let (start, least) = (Instant::now(), Duration::from_millis(size(15_000, 50) as u64));
    let (mut puts, mut bares) = (Vec::new(), Vec::new());
    while start.elapsed() < least {
        for _ in 0..TURN {
            let put = supply.put();
            puts.push(timed(|| store.put(put).expect("the put is written")).0);
        }
        bares.extend((0..TURN).map(|_| timed(|| bare.append()).0));
    }
    Latencies { puts: Times::of(puts), bare: Times::of(bares) }
}

/// A namespace of its own for `number` items, for stores that others also fill.
pub fn alone(store: &Store, name: &str, number: usize) -> Namespace {
    let namespace = Namespace::new([name]).expect("a short label is a namespace");
    let mut rows = made_up(number, number).rows;
    rows.iter_mut().for_each(|row| row.namespace = namespace.clone());
    fill(store, &rows, 4_096);
    namespace
}

/// Not synced: for stores whose writes are not what is measured.
pub fn bulk() -> vecmem::Options {
    options().durability(Durability::Manual)
}
