//! Sustained puts, one by one, from several threads: how many a second, at what cost of processor and disk.
//!
//! Invariants:
//! * Vectors are made before the clock starts.
//! * Processor time and bytes are those of the whole process up to the close: log, flushes, merges and graphs included.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use serde::Serialize;
use vecmem::{Durability, Metric, Namespace, Options, Put, Store};

use super::generate::Generator;
use super::process::{processor_seconds, written};
use super::store::{key, value};
use super::timing::percentile;
use crate::output;

/// What to put.
pub struct Plan {
    pub directory: PathBuf,
    pub items: usize,
    pub dims: usize,
    pub seed: u64,
    pub metric: Metric,
    pub namespaces: usize,
    pub threads: usize,
}

/// What came out.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
    pub items: usize,
    pub dims: usize,
    pub namespaces: usize,
    pub threads: usize,
    pub release: bool,
    /// Until the last put has returned and the log is synced.
    pub seconds: f64,
    pub items_per_second: f64,
    pub p50_us: f64,
    pub p99_us: f64,
    pub max_us: f64,
    /// Until the store is closed, which ends the merge or build under way.
    pub seconds_to_close: f64,
    pub processor_us_per_item: f64,
    /// Of namespaces, keys, values and vectors, as given.
    pub bytes_given: u64,
    /// To the disk; where the kernel counts none (in memory), to write calls.
    pub bytes_written: u64,
    pub written_per_given: f64,
    pub segments: u64,
    pub disk_bytes: u64,
}

impl Plan {
    /// Puts everything.
    pub fn run(self) -> Result<Figures> {
        let vectors = Generator::new(self.dims, self.seed).vectors(0..self.items as u64, super::data::threads());
        let namespaces: Vec<Namespace> =
            (0..self.namespaces).map(|at| Namespace::new(["users", &format!("{at:07}")])).collect::<Result<_, _>>()?;
        let options = Options::with_vectors(self.dims, self.metric).durability(Durability::Periodic);
        let store = Store::open(&self.directory, options)?;
        let (processor, io, start) = (processor_seconds(), written(), Instant::now());
        let each = self.items.div_ceil(self.threads);
        let part = |thread: usize| -> Result<(u64, Vec<Duration>)> {
            let (mut bytes, mut times) = (0, Vec::new());
            for item in thread * each..self.items.min((thread + 1) * each) {
                let (namespace, key, value) = (&namespaces[item % namespaces.len()], key(item), value(item));
                bytes += namespace.labels().iter().map(String::len).sum::<usize>() + key.len() + value.len();
                let before = Instant::now();
                store.put(Put::new(namespace, key, value).vector(vectors.row(item)))?;
                times.push(before.elapsed());
            }
            Ok((bytes as u64, times))
        };
        let done: Vec<(u64, Vec<Duration>)> = thread::scope(|scope| {
            let running: Vec<_> = (0..self.threads).map(|thread| scope.spawn(move || part(thread))).collect();
            let ended =
                running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(anyhow!("a thread panicked"))));
            ended.collect::<Result<_>>()
        })?;
        store.sync()?;
        let seconds = start.elapsed().as_secs_f64();
        let stats = store.stats()?;
        store.close()?;
        let mut times: Vec<Duration> = done.iter().flat_map(|(_, times)| times.iter().copied()).collect();
        times.sort_unstable();
        let at = |percent| percentile(&times, percent).as_secs_f64() * 1e6;
        let bytes_given = done.iter().map(|(bytes, _)| bytes).sum::<u64>() + 4 * vectors.numbers.len() as u64;
        let (to_disk, to_calls) = written();
        let bytes_written = if to_disk > io.0 { to_disk - io.0 } else { to_calls - io.1 };
        Ok(Figures {
            items: self.items,
            dims: self.dims,
            namespaces: self.namespaces,
            threads: self.threads,
            release: !cfg!(debug_assertions),
            seconds,
            items_per_second: self.items as f64 / seconds,
            p50_us: at(50.0),
            p99_us: at(99.0),
            max_us: at(100.0),
            seconds_to_close: start.elapsed().as_secs_f64(),
            processor_us_per_item: (processor_seconds() - processor) * 1e6 / self.items as f64,
            bytes_given,
            bytes_written,
            written_per_given: bytes_written as f64 / bytes_given as f64,
            segments: stats.internals.segments,
            disk_bytes: stats.size.disk_bytes,
        })
    }
}

impl Figures {
    /// The figures in words.
    pub fn for_people(&self) -> String {
        let Self { items, dims, namespaces, threads, .. } = self;
        let mut text = format!(
            "{} of {}, one by one, {}, into {}, durability periodic\n",
            output::counted(*items as u64, "put"),
            output::counted(*dims as u64, "dimension"),
            output::counted(*threads as u64, "thread"),
            output::counted(*namespaces as u64, "namespace")
        );
        let _ = writeln!(
            text,
            "{:.0} items/s ({:.1} s, {:.1} s until closed); a put p50 {:.1} us, p99 {:.1} us, max {:.0} us",
            self.items_per_second, self.seconds, self.seconds_to_close, self.p50_us, self.p99_us, self.max_us
        );
        let _ = write!(
            text,
            "{:.1} us of processor time per item; {} given, {} written: {:.2} bytes written per byte; {} on disk in {}",
            self.processor_us_per_item,
            output::bytes(self.bytes_given),
            output::bytes(self.bytes_written),
            self.written_per_given,
            output::bytes(self.disk_bytes),
            output::counted(self.segments, "segment")
        );
        text
    }
}
