//! What a store holds and does, in numbers.

use serde::Serialize;

use crate::engine::Engine;
use crate::error::Result;
use crate::ids::IdRange;
use crate::shard::part::BlobBytes;
use crate::store::holders::Holders;
use crate::store::iterate::count_items;
use crate::store::query::ReadOptions;
use crate::store::read::ReadContext;
use crate::store::seconds_since;
use crate::sync::Ordering;
use crate::types::Scope;

/// A moment of a store's life. Bytes are of files; counts are as of one read view.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// Items visible and unexpired.
    pub items: u64,
    /// Contiguous ranges of namespaces.
    pub shards: u64,
    /// Segments of all shards.
    pub segments: u64,
    /// Parts on their way to a segment.
    pub frozen_memtables: u64,
    /// Rows in memory, dead ones included.
    pub memtable_rows: u64,
    /// Rows in segments, dead ones included.
    pub segment_rows: u64,
    /// Rows in segments that a merge will drop.
    pub dead_rows: u64,
    /// Vectors in segments.
    pub segment_vectors: u64,
    /// Truth files: names, keys, vectors, small values.
    pub segment_bytes: u64,
    /// Files of large values that segments refer to.
    pub blob_files: u64,
    /// The values in them, compressed where that pays, dead ones included.
    pub blob_bytes: u64,
    /// Of that what no living item needs; a merge frees it once it is more than half of a file.
    pub dead_blob_bytes: u64,
    /// Graphs over rows of segments; those that are damaged, or not verified yet, among them.
    pub graphs: u64,
    /// Vectors in graphs.
    pub graph_nodes: u64,
    /// Their files.
    pub graph_bytes: u64,
    /// Files that could be rebuilt: codes and graphs.
    pub derived_bytes: u64,
    /// Log files, prepared ones included, and the reserve.
    pub log_bytes: u64,
    /// Every file of the store.
    pub disk_bytes: u64,
    /// The last LSN that readers see.
    pub visible_lsn: u64,
    /// Every shard can do without the log up to here.
    pub checkpoint_lsn: u64,
    /// Generation of the manifest.
    pub manifest_generation: u64,
    /// Snapshots, listings and cursors that are held, without those that a purge has ended.
    pub open_cursors: u64,
    /// Age of the oldest one, in seconds.
    pub oldest_cursor_seconds: Option<f64>,
    /// Flushes and merges done, log files prepared, items swept, touches dropped since the open.
    pub flushes: u64,
    /// Merges since the open.
    pub merges: u64,
    /// Graphs built since the open.
    pub graph_builds: u64,
    /// Log files prepared since the open.
    pub log_files: u64,
    /// Expired items removed since the open.
    pub swept: u64,
    /// Expiry refreshes dropped since the open, because the queue was full or the store took no writes.
    pub touches_dropped: u64,
    /// Bytes that can still be written to the disk.
    pub free_bytes: u64,
    /// Of the disk, bytes set aside so that deletes go on when it is full.
    pub reserve_bytes: u64,
    /// Background jobs that wait, each with the reason: mostly that there is no room for them.
    pub waiting: Vec<String>,
    /// Why background work last failed; it is tried again.
    pub background_error: Option<String>,
    /// What the store makes of the wall clock: `ok`, or how far it is ahead of the last write and the time that has
    /// passed since, and for how long it has agreed with the monotonic clock; or how far log time is ahead of it.
    /// Nothing is removed while that is so.
    pub clock: String,
    /// By how much, if it is ahead; less than nothing where log time is ahead of it.
    pub clock_ahead_seconds: Option<f64>,
    /// Segments that cannot be read, and derived files that are scanned around.
    pub damage: Vec<String>,
}

/// Gathers the numbers.
pub(super) fn stats(engine: &Engine, holders: &Holders) -> Result<Stats> {
    let view = engine.view.get();
    let options = ReadOptions { partial: true, ..ReadOptions::default() };
    let reader = ReadContext::new(engine, &view, engine.clock.query_time(), &options);
    let (open_cursors, oldest) = holders.summary();
    let counters = &engine.counters;
    let now = engine.clock.reading();
    let mut stats = Stats {
        items: count_items(&reader, &Scope::Store.interval(), &mut false)?,
        shards: view.shards.len() as u64,
        visible_lsn: view.read_lsn.get(),
        open_cursors: open_cursors as u64,
        oldest_cursor_seconds: oldest.map(seconds_since),
        flushes: counters.flushes.load(Ordering::Relaxed),
        merges: counters.merges.load(Ordering::Relaxed),
        graph_builds: counters.graph_builds.load(Ordering::Relaxed),
        log_files: counters.log_files.load(Ordering::Relaxed),
        swept: counters.swept.load(Ordering::Relaxed),
        touches_dropped: counters.touches_dropped.load(Ordering::Relaxed),
        free_bytes: engine.free_bytes(),
        reserve_bytes: engine.reserve_bytes(),
        waiting: engine.space.waiting(),
        background_error: engine.background_error(),
        clock: now.describe(),
        clock_ahead_seconds: now.verdict.ahead_seconds(),
        manifest_generation: engine.manifest_generation.load(Ordering::Relaxed),
        damage: engine.operation_ids.damage().into_iter().collect(),
        checkpoint_lsn: engine.oldest_checkpoint().get(),
        ..Stats::default()
    };
    for shard in view.shards.iter() {
        stats.frozen_memtables += shard.frozen.len() as u64;
        stats.memtable_rows += shard.memtable.len() as u64;
        stats.memtable_rows += shard.frozen.iter().map(|frozen| frozen.memtable.len() as u64).sum::<u64>();
        for part in &shard.segments {
            stats.segments += 1;
            stats.segment_rows += u64::from(part.entry.rows);
            stats.segment_vectors += u64::from(part.entry.vectors);
            stats.dead_rows += part.tombstones.dead_rows();
            let BlobBytes { all, dead, .. } = part.blob_bytes();
            stats.blob_files += part.entry.blobs.len() as u64;
            stats.blob_bytes += all;
            stats.dead_blob_bytes += dead;
            match part.segment() {
                Ok(segment) => {
                    stats.damage.extend(segment.blob_problems());
                    stats.damage.extend(segment.codes_problem().map(str::to_owned));
                    stats.damage.extend(segment.graph_problems());
                    for graph in segment.graphs() {
                        stats.graphs += 1;
                        stats.graph_nodes += graph.vectors().len() as u64;
                        stats.graph_bytes += graph.bytes();
                    }
                }
                Err(error) => stats.damage.push(error.to_string()),
            }
        }
    }
    for (name, bytes) in engine.storage.list()? {
        stats.disk_bytes += bytes;
        match name.rsplit('.').next() {
            Some("truth") => stats.segment_bytes += bytes,
            Some("codes" | "graph") => stats.derived_bytes += bytes,
            Some("log" | "reserve") => stats.log_bytes += bytes,
            _ => {}
        }
    }
    Ok(stats)
}
