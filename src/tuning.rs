//! Every threshold of the engine in one place; tests shrink them so that 50 items flush, merge and rotate the log.

use std::time::Duration;

/// The thresholds; [`Tuning::default`] is what production runs with.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Vectors (or rows) at which the memtable is frozen and flushed.
    pub memtable_rows: usize,
    /// Bytes at which the memtable is frozen and flushed.
    pub memtable_bytes: usize,
    /// Frozen memtables of a shard beyond which writers wait.
    pub frozen_memtables: usize,
    /// How long they wait before `Busy`.
    pub busy_timeout: Duration,
    /// Size of the first log files; they double while they fill quickly and the store grows.
    pub log_file_min_bytes: u64,
    /// Largest ordinary log file. None is larger than a quarter of the store, so an idle store holds at most half its
    /// size as log.
    pub log_file_max_bytes: u64,
    /// Bytes of log past which the shard that holds it back is flushed.
    pub log_total_bytes: u64,
    /// Sizes within this ratio merge together.
    pub merge_ratio: u64,
    /// Segments of one shard beyond which a merge is due in any case.
    pub segments_max: usize,
    /// Share of dead rows past which a segment is rewritten alone, in percent.
    pub dead_percent: u64,
    /// Bytes from which a value lies in a blob file, once it leaves memory.
    pub blob_value_bytes: usize,
    /// Blob files of one segment beyond which a merge gathers the smallest.
    pub blob_files: usize,
    /// Idle time after which a checkpoint frees log files.
    pub idle_checkpoint: Duration,
    /// Items that one sweep batch deletes.
    pub sweep_batch: usize,
    /// Touches that may wait for the next group.
    pub touch_queue: usize,
    /// Longest time a touch waits for a group to take it along.
    pub touch_every: Duration,
    /// Vectors of a namespace in one segment from which it has a graph.
    pub graph_rows: u32,
    /// Vectors of a scope in one segment from which flat searches of it can earn a graph.
    pub earn_rows: u32,
    /// Scopes whose flat searches are counted at a time.
    pub earn_accounts: usize,
    /// Rows that the planner samples to estimate a filter.
    pub filter_sample: usize,
    /// How many times its estimated cost a flat search counts for beside a graph search: above 1, graphs are searched
    /// where it does not pay.
    pub flat_weight: u32,
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
    /// Rows from which a chunk of an import becomes files, not a batch in the log.
    pub import_file_rows: usize,
    /// Places that a listing keeps at a time, to cut pages from.
    pub listing_chunk_rows: usize,
    /// Texts whose embeddings can be found at a time, about.
    pub known_embeddings: usize,
    /// Background jobs run on the writing thread, at the end of a write: deterministic, for simulations.
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
            dead_percent: 20,
            blob_value_bytes: 64 << 10,
            blob_files: 64,
            idle_checkpoint: Duration::from_secs(10),
            sweep_batch: 1_000,
            touch_queue: 4_096,
            touch_every: Duration::from_millis(50),
            graph_rows: 16_384,
            earn_rows: 4_096,
            earn_accounts: 1_024,
            filter_sample: 256,
            flat_weight: 1,
            flat_unit_rows: 16_384,
            parallel_flat_rows: 32_768,
            reserve_bytes: 16 << 20,
            import_chunk_rows: 262_144,
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
            filter_sample: 16,
            flat_weight: 1_000,
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
