//! Every threshold of the engine in one place; tests shrink them so that 50 items flush, merge and rotate the log.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What steps of a search cost on a machine, as factors of what they cost where the planner's constants were fitted: an
/// AMD EPYC (Zen 4) with AVX-512.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineCosts {
    /// Codes that lie one after the other.
    pub flat: f64,
    /// Codes at random places in memory.
    pub scattered: f64,
    /// Scores in full precision.
    pub full: f64,
    /// Evaluations of a filter on a value.
    pub filter: f64,
}

impl Default for MachineCosts {
    fn default() -> Self {
        Self { flat: 1.0, scattered: 1.0, full: 1.0, filter: 1.0 }
    }
}

/// The thresholds. Production uses [`Tuning::default`].
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Vectors, or rows, at which the memtable is frozen and flushed.
    pub memtable_rows: usize,
    /// Bytes at which the memtable is frozen and flushed. A chunk of an import with as many becomes files.
    pub memtable_bytes: usize,
    /// Most frozen memtables of a shard. If there are as many and the memtable is full, writers wait.
    pub frozen_memtables: usize,
    /// How long writers wait before they fail with `Busy`.
    pub busy_timeout: Duration,
    /// Size of the first log file, and of one after a file that filled slowly. A file that fills fast doubles the next.
    pub log_file_min_bytes: u64,
    /// Largest ordinary log file. Above `log_file_min_bytes`, a log file takes at most a quarter of the store's size,
    /// so the log of a large idle store takes at most half.
    pub log_file_max_bytes: u64,
    /// Bytes of log beyond which the shards that hold it back are flushed.
    pub log_total_bytes: u64,
    /// As many segments of one shard as this merge, if their sizes are within this ratio.
    pub merge_ratio: u64,
    /// Segments of one shard beyond which a merge is due in any case.
    pub segments_max: usize,
    /// Rows, or vectors, of a shard in segments above which the shard is split. A merge in the background writes at
    /// most as many into one segment.
    pub shard_rows: u64,
    /// Bytes of a shard in segments above which the shard is split, without blob files and what can be rebuilt.
    pub shard_bytes: u64,
    /// Percentage of deleted rows, or of dead bytes in blob files, above which a segment is rewritten alone.
    pub dead_percent: u64,
    /// Bytes from which a flush or a merge writes a value to a blob file.
    pub blob_value_bytes: usize,
    /// Blob files of one segment beyond which a merge rewrites the smallest into one.
    pub blob_files: usize,
    /// Threads that merge segments in the background, each in another shard.
    pub merge_threads: usize,
    /// Idle time after which a checkpoint frees log files.
    pub idle_checkpoint: Duration,
    /// Items that one sweep batch deletes.
    pub sweep_batch: usize,
    /// Most touches that wait for the next group.
    pub touch_queue: usize,
    /// Longest time that a touch waits for a group of other writes.
    pub touch_every: Duration,
    /// Vectors of a namespace in one segment from which the namespace has a graph there.
    pub graph_rows: u32,
    /// Vectors of a scope in one segment from which flat searches of the scope can earn a graph.
    pub earn_rows: u32,
    /// Most scopes of segments whose flat searches are counted at a time.
    pub earn_accounts: usize,
    /// Roughly the most bytes of memory for graphs of filters of a store; 0 for none. They never take more than half as
    /// many bytes as its codes.
    pub filter_graph_bytes: u64,
    /// Rows that the planner samples to estimate a filter.
    pub filter_sample: usize,
    /// The factor by which the planner multiplies the estimated cost of a flat search. Above 1, it searches graphs even
    /// where a flat search is cheaper.
    pub flat_weight: u32,
    /// What steps of a search cost on this machine. `None`: as a store keeps it for the model of the processor, and
    /// else as measured.
    pub costs: Option<MachineCosts>,
    /// Rows of one unit of a parallel flat search.
    pub flat_unit_rows: u32,
    /// Rows from which a flat search is shared among threads.
    pub parallel_flat_rows: u64,
    /// Bytes reserved so that deletes work on a full disk.
    pub reserve_bytes: u64,
    /// Most rows of one chunk of an import.
    pub import_chunk_rows: usize,
    /// Bytes of items past which a chunk of an import ends.
    pub import_chunk_bytes: usize,
    /// Rows from which a chunk of an import becomes segment files, not a batch in the log.
    pub import_file_rows: usize,
    /// Most rows that a listing in pages keeps at a time.
    pub listing_chunk_rows: usize,
    /// About how many texts have embeddings that can be looked up.
    pub known_embeddings: usize,
    /// Background jobs run on the writing thread, at the end of a write. Simulations need this to be deterministic.
    pub inline_background: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            memtable_rows: 8_192,
            memtable_bytes: 32 << 20,
            frozen_memtables: 2,
            busy_timeout: Duration::from_secs(30),
            log_file_min_bytes: 256 << 10,
            log_file_max_bytes: 24 << 20,
            log_total_bytes: 256 << 20,
            merge_ratio: 4,
            segments_max: 8,
            shard_rows: 1_000_000,
            shard_bytes: 4 << 30,
            dead_percent: 20,
            blob_value_bytes: 64 << 10,
            blob_files: 64,
            merge_threads: 2,
            idle_checkpoint: Duration::from_secs(10),
            sweep_batch: 1_000,
            touch_queue: 4_096,
            touch_every: Duration::from_millis(50),
            graph_rows: 16_384,
            earn_rows: 4_096,
            earn_accounts: 1_024,
            filter_graph_bytes: 256 << 20,
            filter_sample: 256,
            flat_weight: 1,
            costs: None,
            flat_unit_rows: 16_384,
            parallel_flat_rows: 32_768,
            reserve_bytes: 16 << 20,
            import_chunk_rows: 131_072,
            import_chunk_bytes: 256 << 20,
            import_file_rows: 4_096,
            listing_chunk_rows: 16_384,
            known_embeddings: 65_536,
            inline_background: false,
        }
    }
}

impl Tuning {
    /// Small enough that a few dozen items flush, merge and rotate the log.
    pub fn tiny() -> Self {
        Self {
            memtable_rows: 24,
            memtable_bytes: 64 << 10,
            log_file_min_bytes: 16 << 10,
            log_file_max_bytes: 32 << 10,
            log_total_bytes: 256 << 10,
            segments_max: 4,
            blob_value_bytes: 150,
            blob_files: 3,
            sweep_batch: 10,
            graph_rows: 16,
            earn_rows: 8,
            earn_accounts: 4,
            filter_graph_bytes: 1 << 20,
            filter_sample: 16,
            flat_weight: 1_000,
            costs: Some(MachineCosts::default()),
            flat_unit_rows: 8,
            parallel_flat_rows: 16,
            reserve_bytes: 32 << 10,
            import_chunk_rows: 40,
            import_file_rows: 8,
            listing_chunk_rows: 20,
            inline_background: true,
            ..Self::default()
        }
    }
}
