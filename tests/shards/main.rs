//! Shards: when a store has several, and that nobody notices.

#[path = "../common/mod.rs"]
mod common;

mod a_blob_file_of_several_segments_has_one_fate;
mod a_shard_above_its_cap_is_split;
mod a_split_moves_no_other_bound;
mod damage_in_one_shard_leaves_the_others_readable;
mod damage_stops_the_split_and_no_merge;
mod deleted_rows_make_no_split;
mod segments_do_not_pile_up_while_a_split_waits;

use vecmem::{Metric, Options, Tuning};

/// Options of a store whose shards hold 100 rows.
fn options(dims: usize) -> Options {
    let tuning = Tuning { shard_rows: 100, graph_rows: u32::MAX, earn_rows: u32::MAX, ..Tuning::tiny() };
    common::tiny(dims, Metric::Dot).tuning(tuning)
}
