//! Statistics of a store, grouped by the questions of an operator. The internals of the engine come last.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::Engine;
use crate::engine::field_rules::{field_rules, has_other_rules};
use crate::engine::graph_credit::GraphSaving;
use crate::error::Result;
use crate::field_index::FieldRules;
use crate::ids::IdRange;
use crate::manifest::SegmentEntry;
use crate::segment::derived::graph_scope::ScopeKind;
use crate::shard::ReadView;
use crate::shard::Shard;
use crate::shard::part::{BlobBytes, SegmentPart};
use crate::store::Handle;
use crate::store::latency::LatencyStats;
use crate::store::passing_items::count_items;
use crate::store::query::ReadOptions;
use crate::store::read::ReadContext;
use crate::store::recall_stats::{MeasuredGraph, measured_graphs};
use crate::store::seconds_since;
use crate::sync::Ordering;
use crate::types::{Scope, decode_labels};

/// Paths of indexes that statistics show.
const PATHS_SHOWN_MAX: usize = 64;
/// Scopes without a graph that statistics show.
const SCOPES_SHOWN_MAX: usize = 64;

/// Statistics of a store. Bytes are of files unless memory is named. Counts are as of now, or since the open.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Stats {
    /// The number of items, and the disk space of the store.
    pub size: SizeStats,
    /// The rows in memory, and the snapshots, listings and cursors.
    pub memory: MemoryStats,
    /// The graphs of the segments.
    pub graphs: GraphStats,
    /// The field indexes of the segments, which answer filters.
    pub fields: FieldStats,
    /// The log: its size, the last visible LSN and the checkpoint.
    pub log: LogStats,
    /// Damage, failures and waiting jobs.
    pub health: HealthStats,
    /// The latency of calls.
    pub latency: LatencyStats,
    /// Shards, segments and manifest; flushes, merges and sweeps since the open.
    pub internals: InternalStats,
}

/// The number of items in a store, and the disk space that it takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SizeStats {
    /// Items visible and unexpired.
    pub items: u64,
    /// All regular files in the directory.
    pub disk_bytes: u64,
    /// Truth files: namespaces, keys, vectors, small values.
    pub segment_bytes: u64,
    /// Large values in blob files, as stored (compressed where that pays), those of deleted rows included.
    pub blob_bytes: u64,
    /// Derived files, which can be rebuilt: codes, field indexes and graphs.
    pub derived_bytes: u64,
    /// Deleted rows in segments, which a merge will drop.
    pub dead_rows: u64,
    /// The bytes of `blob_bytes` that no live item needs. A merge frees those of a file once they are more than half.
    pub dead_blob_bytes: u64,
    /// Bytes that can still be written to the disk.
    pub free_bytes: u64,
    /// Bytes of the disk set aside for deletes on a full disk.
    pub reserve_bytes: u64,
}

/// The rows of a store in memory, and its snapshots, listings and cursors.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct MemoryStats {
    /// Rows in memtables and frozen memtables, deleted ones included.
    pub memtable_rows: u64,
    /// Roughly the bytes of memory that these rows take.
    pub memtable_bytes: u64,
    /// Memtables that wait for their flush.
    pub frozen_memtables: u64,
    /// Open snapshots, listings and cursors, without those that a purge has ended.
    pub open_cursors: u64,
    /// The age of the oldest of these, in seconds.
    pub oldest_cursor_seconds: Option<f64>,
}

/// The graphs of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GraphStats {
    /// Graphs whose files were opened, those that are not verified yet or found damaged included.
    pub count: u64,
    /// Nodes of these graphs. A vector is a node in each of its graphs.
    pub nodes: u64,
    /// The files of these graphs.
    pub bytes: u64,
    /// Graphs built since the open.
    pub builds: u64,
    /// Graphs of filters: in memory, over the rows that pass a filter that searches repeat.
    pub of_filters: u64,
    /// Bytes of memory that the graphs of filters take.
    pub filter_bytes: u64,
    /// The graphs of which queries were repeated exactly, those that fall short most first; at most 64.
    pub measured: Vec<MeasuredGraph>,
    /// Bytes of memory that queries take which graphs keep or the background repeats; at most 16 MiB.
    pub kept_query_bytes: u64,
    /// The scopes that would gain from a graph, the nearest to one first; at most 64.
    pub gaining: Vec<GainingScope>,
}

/// A scope whose searches would be faster with a graph. The background builds the graph once the scope has earned it;
/// [`Store::build_graph`](crate::Store::build_graph) builds it at once.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GainingScope {
    /// The labels of the namespace, or of the prefix; none for the store.
    pub labels: Vec<String>,
    /// Whether the scope is a prefix, or the store, and not a single namespace.
    pub is_prefix: bool,
    /// Its rows in one segment.
    pub rows: u64,
    /// How much of its graph the scope has earned: with 1 the graph is due.
    pub earned: f64,
}

/// The field indexes of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FieldStats {
    /// Bytes of the indexes.
    pub bytes: u64,
    /// The number of indexed paths.
    pub path_count: u64,
    /// Those that take the most bytes, at most 64, the largest first.
    pub paths: Vec<PathStats>,
    /// The rules of the store: which paths are left out, and which are kept before all others.
    pub rules: FieldRules,
    /// Segments whose index was built by other rules; [`Store::rebuild_fields`](crate::Store::rebuild_fields) builds
    /// it again.
    pub other_rules: u64,
}

/// An indexed path.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PathStats {
    /// The keys of the path with dots between; `[]` at the end stands for the elements of arrays.
    pub path: String,
    /// Distinct values, at most, in one segment.
    pub distinct: u64,
    /// Pairs of a row and a value that it has there, deleted rows included.
    pub values: u64,
    /// Bytes of the indexes that the path takes.
    pub bytes: u64,
}

/// The log of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LogStats {
    /// Log files, prepared ones included, and the reserve.
    pub bytes: u64,
    /// The last LSN that reads see.
    pub visible_lsn: u64,
    /// The oldest checkpoint of a shard: no shard needs the log up to this LSN.
    pub checkpoint_lsn: u64,
    /// Log files prepared since the open.
    pub files_prepared: u64,
}

/// Damage, failures and waiting jobs of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HealthStats {
    /// Damage known so far: segments, blob files, codes, field indexes, graphs, and files of operation ids.
    pub damage: Vec<String>,
    /// Why background work last failed. The work is tried again.
    pub background_error: Option<String>,
    /// Background jobs that wait, each with the reason, mostly a lack of disk space.
    pub waiting: Vec<String>,
    /// The verdict on the wall clock: `ok`, or how far it is ahead of, or behind, the time of the last write plus the
    /// time since, and for how long it has agreed with the monotonic clock. No expired item is removed unless the
    /// verdict is `ok`.
    pub clock: String,
    /// The lead of the wall clock, negative if it is behind; `None` if the verdict is `ok`.
    pub clock_ahead_seconds: Option<f64>,
    /// Touches dropped since the open: the queue or the log was full, the store took no writes, or damage.
    pub touches_dropped: u64,
}

/// The shards, segments and manifest of a store, and its flushes, merges and sweeps since the open.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InternalStats {
    /// Shards: contiguous ranges of namespaces.
    pub shards: u64,
    /// What each shard has in segments, in the order of namespaces.
    pub shard_sizes: Vec<ShardStats>,
    /// Segments of all shards.
    pub segments: u64,
    /// Rows in segments, deleted ones included.
    pub segment_rows: u64,
    /// Vectors in segments.
    pub segment_vectors: u64,
    /// Blob files that segments refer to.
    pub blob_files: u64,
    /// The generation of the newest manifest.
    pub manifest_generation: u64,
    /// Flushes since the open.
    pub flushes: u64,
    /// Merges since the open.
    pub merges: u64,
    /// Expired items removed since the open.
    pub swept: u64,
}

/// What one shard has in segments, deleted rows included.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ShardStats {
    /// Its segments.
    pub segments: u64,
    /// Their rows.
    pub rows: u64,
    /// Their vectors.
    pub vectors: u64,
    /// The bytes of their files, without blob files.
    pub bytes: u64,
}

impl ShardStats {
    fn of(shard: &Shard) -> Self {
        let sum = |number: fn(&SegmentEntry) -> u64| shard.segments.iter().map(|part| number(&part.entry)).sum();
        Self {
            segments: shard.segments.len() as u64,
            rows: sum(|entry| entry.rows.into()),
            vectors: sum(|entry| entry.vectors.into()),
            bytes: sum(SegmentEntry::bytes),
        }
    }
}

/// Gathers the statistics.
pub(super) fn stats(handle: &Handle) -> Result<Stats> {
    let Handle { engine, holders, latencies, .. } = handle;
    let view = engine.view.get();
    let options = ReadOptions { partial: true, ..ReadOptions::default() };
    let reader = ReadContext::new(engine, &view, engine.clock.query_time(), &options);
    let items = count_items(&reader, &Scope::Store.interval(), None, &mut false)?;
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
    stats.internals.shard_sizes = view.shards.iter().map(|shard| ShardStats::of(shard)).collect();
    for shard in view.shards.iter() {
        stats.memory.frozen_memtables += shard.frozen.len() as u64;
        for memtable in shard.frozen.iter().map(|frozen| &frozen.memtable).chain([&shard.memtable]) {
            stats.memory.memtable_rows += memtable.len() as u64;
            stats.memory.memtable_bytes += memtable.bytes() as u64;
        }
        shard.segments.iter().for_each(|part| stats.add_segment(part));
    }
    stats.graphs.gaining = gaining_scopes(engine, &view);
    stats.graphs.measured = measured_graphs(&view);
    stats.graphs.kept_query_bytes = handle.worker.kept_query_bytes() as u64;
    let segments = || view.shards.iter().flat_map(|shard| &shard.segments);
    let rules = field_rules(&engine.settings.get());
    let other_rules = segments().filter(|part| has_other_rules(part, &rules)).count() as u64;
    stats.fields = FieldStats { rules, other_rules, ..field_stats(segments().map(|part| &**part)) };
    for (name, bytes) in engine.storage.list()? {
        stats.size.disk_bytes += bytes;
        match name.rsplit('.').next() {
            Some("truth") => stats.size.segment_bytes += bytes,
            Some("codes" | "fields" | "graph") => stats.size.derived_bytes += bytes,
            Some("log" | "reserve") => stats.log.bytes += bytes,
            _ => {}
        }
    }
    Ok(stats)
}

/// The health of the engine, without the damage of segments, which `add_segment` adds.
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

/// The scopes with an account of searches that a graph would have made faster.
fn gaining_scopes(engine: &Engine, view: &ReadView) -> Vec<GainingScope> {
    let gaining = |(saving, earned): (GraphSaving, f64)| {
        let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
        let segment = parts.find(|part| part.entry.file_id == saving.file_id)?.segment().ok()?;
        if segment.graphs().iter().any(|graph| graph.rows() == saving.rows) {
            return None;
        }
        let first = segment.namespace(segment.namespace_of(saving.rows.start).ok()?).ok()?;
        let labels = decode_labels(&saving.scope.interval(first).low);
        let is_prefix = saving.scope.kind != ScopeKind::Namespace;
        Some(GainingScope { labels, is_prefix, rows: saving.rows.len() as u64, earned })
    };
    engine.accounts.all().into_iter().filter_map(gaining).take(SCOPES_SHOWN_MAX).collect()
}

/// The paths of the indexes of all segments, as far as these can be read.
fn field_stats<'a>(parts: impl Iterator<Item = &'a SegmentPart>) -> FieldStats {
    let (mut stats, mut paths) = (FieldStats::default(), BTreeMap::<String, PathStats>::new());
    for fields in parts.filter_map(|part| part.segment().ok()?.fields()) {
        stats.bytes += fields.bytes();
        for facts in fields.index().and_then(|index| index.paths()).unwrap_or_default() {
            let path = paths.entry(facts.path).or_default();
            path.distinct = path.distinct.max(u64::from(facts.keys));
            path.values += u64::from(facts.values);
            path.bytes += facts.bytes;
        }
    }
    stats.path_count = paths.len() as u64;
    stats.paths = paths.into_iter().map(|(path, stats)| PathStats { path, ..stats }).collect();
    stats.paths.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.path.cmp(&b.path)));
    stats.paths.truncate(PATHS_SHOWN_MAX);
    stats
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
                damage.extend(segment.fields_problem().map(str::to_owned));
                damage.extend(segment.graph_problems());
                let (count, bytes) = segment.filter_graphs.size();
                self.graphs.of_filters += count as u64;
                self.graphs.filter_bytes += bytes as u64;
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
