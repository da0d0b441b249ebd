//! What a store holds and does, in numbers, grouped by what a person asks; what the engine keeps for itself comes last.

use serde::Serialize;

use crate::engine::Engine;
use crate::error::Result;
use crate::ids::IdRange;
use crate::shard::part::{BlobBytes, SegmentPart};
use crate::store::Handle;
use crate::store::iterate::count_items;
use crate::store::latency::LatencyStats;
use crate::store::query::ReadOptions;
use crate::store::read::ReadContext;
use crate::store::seconds_since;
use crate::sync::Ordering;
use crate::types::Scope;

/// A moment of a store's life. Bytes are of files unless they are said to be of memory; counts are as of one read view.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// How much it holds, and how much of the disk that takes.
    pub size: SizeStats,
    /// What is kept in memory, and what readers keep alive.
    pub memory: MemoryStats,
    /// What graph searches search.
    pub graphs: GraphStats,
    /// What is acknowledged, and what of it only the log holds.
    pub log: LogStats,
    /// Whether all is well.
    pub health: HealthStats,
    /// How long calls took.
    pub latency: LatencyStats,
    /// How the engine has laid it all out, and what it has done since the open.
    pub internals: InternalStats,
}

/// How much a store holds, and how much of the disk that takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SizeStats {
    /// Items visible and unexpired.
    pub items: u64,
    /// Every file of the store.
    pub disk_bytes: u64,
    /// Truth files: names, keys, vectors, small values.
    pub segment_bytes: u64,
    /// Large values in files of their own, compressed where that pays, dead ones included.
    pub blob_bytes: u64,
    /// Files that could be rebuilt: codes and graphs.
    pub derived_bytes: u64,
    /// Rows in segments that a merge will drop.
    pub dead_rows: u64,
    /// Of `blob_bytes` what no living item needs; a merge frees it once it is more than half of a file.
    pub dead_blob_bytes: u64,
    /// Bytes that can still be written to the disk.
    pub free_bytes: u64,
    /// Of the disk, bytes set aside so that deletes go on when it is full.
    pub reserve_bytes: u64,
}

/// What a store keeps in memory, and what readers keep alive.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryStats {
    /// Rows in memory, dead ones included.
    pub memtable_rows: u64,
    /// Bytes of memory that these rows take, about.
    pub memtable_bytes: u64,
    /// Parts on their way to a segment.
    pub frozen_memtables: u64,
    /// Snapshots, listings and cursors that are held, without those that a purge has ended.
    pub open_cursors: u64,
    /// Age of the oldest one, in seconds.
    pub oldest_cursor_seconds: Option<f64>,
}

/// The graphs of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GraphStats {
    /// Graphs over rows of segments; those that are damaged, or not verified yet, among them.
    pub count: u64,
    /// Vectors in graphs.
    pub nodes: u64,
    /// Their files.
    pub bytes: u64,
    /// Graphs built since the open.
    pub builds: u64,
}

/// The log of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LogStats {
    /// Log files, prepared ones included, and the reserve.
    pub bytes: u64,
    /// The last LSN that readers see.
    pub visible_lsn: u64,
    /// Every shard can do without the log up to here.
    pub checkpoint_lsn: u64,
    /// Log files prepared since the open.
    pub files_prepared: u64,
}

/// Whether all is well with a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HealthStats {
    /// Segments that cannot be read, and derived files that are scanned around.
    pub damage: Vec<String>,
    /// Why background work last failed; it is tried again.
    pub background_error: Option<String>,
    /// Background jobs that wait, each with the reason: mostly that there is no room for them.
    pub waiting: Vec<String>,
    /// What the store makes of the wall clock: `ok`, or how far it is ahead of the last write and the time that has
    /// passed since, and for how long it has agreed with the monotonic clock; or how far log time is ahead of it.
    /// Nothing is removed while that is so.
    pub clock: String,
    /// By how much, if it is ahead; less than nothing where log time is ahead of it.
    pub clock_ahead_seconds: Option<f64>,
    /// Expiry refreshes dropped since the open, because the queue was full or the store took no writes.
    pub touches_dropped: u64,
}

/// How the engine has laid out a store, and what it has done since the open.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InternalStats {
    /// Contiguous ranges of namespaces.
    pub shards: u64,
    /// Segments of all shards.
    pub segments: u64,
    /// Rows in segments, dead ones included.
    pub segment_rows: u64,
    /// Vectors in segments.
    pub segment_vectors: u64,
    /// Files of large values that segments refer to.
    pub blob_files: u64,
    /// Generation of the manifest.
    pub manifest_generation: u64,
    /// Flushes since the open.
    pub flushes: u64,
    /// Merges since the open.
    pub merges: u64,
    /// Expired items removed since the open.
    pub swept: u64,
}

/// Gathers the numbers.
pub(super) fn stats(handle: &Handle) -> Result<Stats> {
    let Handle { engine, holders, latencies, .. } = handle;
    let view = engine.view.get();
    let options = ReadOptions { partial: true, ..ReadOptions::default() };
    let reader = ReadContext::new(engine, &view, engine.clock.query_time(), &options);
    let items = count_items(&reader, &Scope::Store.interval(), &mut false)?;
    let (open_cursors, oldest) = holders.summary();
    let counters = &engine.counters;
    let mut stats = Stats { latency: latencies.stats(), health: health(engine), ..Stats::default() };
    stats.size.items = items;
    stats.size.free_bytes = engine.free_bytes();
    stats.size.reserve_bytes = engine.reserve_bytes();
    stats.memory.open_cursors = open_cursors as u64;
    stats.memory.oldest_cursor_seconds = oldest.map(seconds_since);
    stats.graphs.builds = counters.graph_builds.load(Ordering::Relaxed);
    stats.log.visible_lsn = view.read_lsn.get();
    stats.log.checkpoint_lsn = engine.oldest_checkpoint().get();
    stats.log.files_prepared = counters.log_files.load(Ordering::Relaxed);
    stats.internals.shards = view.shards.len() as u64;
    stats.internals.manifest_generation = engine.manifest_generation.load(Ordering::Relaxed);
    stats.internals.flushes = counters.flushes.load(Ordering::Relaxed);
    stats.internals.merges = counters.merges.load(Ordering::Relaxed);
    stats.internals.swept = counters.swept.load(Ordering::Relaxed);
    for shard in view.shards.iter() {
        stats.memory.frozen_memtables += shard.frozen.len() as u64;
        for memtable in shard.frozen.iter().map(|frozen| &frozen.memtable).chain([&shard.memtable]) {
            stats.memory.memtable_rows += memtable.len() as u64;
            stats.memory.memtable_bytes += memtable.bytes() as u64;
        }
        shard.segments.iter().for_each(|part| stats.add_segment(part));
    }
    for (name, bytes) in engine.storage.list()? {
        stats.size.disk_bytes += bytes;
        match name.rsplit('.').next() {
            Some("truth") => stats.size.segment_bytes += bytes,
            Some("codes" | "graph") => stats.size.derived_bytes += bytes,
            Some("log" | "reserve") => stats.log.bytes += bytes,
            _ => {}
        }
    }
    Ok(stats)
}

/// What the engine says of itself; damage of segments comes with them.
fn health(engine: &Engine) -> HealthStats {
    let now = engine.clock.reading();
    HealthStats {
        damage: engine.operation_ids.damage().into_iter().collect(),
        background_error: engine.background_error(),
        waiting: engine.space.waiting(),
        clock: now.describe(),
        clock_ahead_seconds: now.verdict.ahead_seconds(),
        touches_dropped: engine.counters.touches_dropped.load(Ordering::Relaxed),
    }
}

impl Stats {
    fn add_segment(&mut self, part: &SegmentPart) {
        self.internals.segments += 1;
        self.internals.segment_rows += u64::from(part.entry.rows);
        self.internals.segment_vectors += u64::from(part.entry.vectors);
        self.internals.blob_files += part.entry.blobs.len() as u64;
        let BlobBytes { all, dead, .. } = part.blob_bytes();
        self.size.dead_rows += part.tombstones.dead_rows();
        self.size.blob_bytes += all;
        self.size.dead_blob_bytes += dead;
        let damage = &mut self.health.damage;
        match part.segment() {
            Ok(segment) => {
                damage.extend(segment.blob_problems());
                damage.extend(segment.codes_problem().map(str::to_owned));
                damage.extend(segment.graph_problems());
                for graph in segment.graphs() {
                    self.graphs.count += 1;
                    self.graphs.nodes += graph.vectors().len() as u64;
                    self.graphs.bytes += graph.bytes();
                }
            }
            Err(error) => damage.push(error.to_string()),
        }
    }
}
