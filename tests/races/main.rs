//! What happens between two steps of the engine: another thread comes exactly there, held at a hook point.

#[path = "../common/mod.rs"]
mod common;

mod a_checkpoint_covers_only_what_segments_hold;
mod a_close_waits_for_running_calls;
mod a_condition_is_answered_from_what_readers_will_see;
mod a_delete_by_filter_is_decided_on_the_state_that_it_commits_to;
mod a_merge_of_one_shard_holds_up_no_other;
mod a_repair_holds_up_one_shard_at_a_time;
mod a_rule_ends_beside_constant_writes;
mod a_split_is_noticed_by_nobody;
mod a_sweep_looks_again_before_it_deletes;
mod an_import_replaces_what_others_write_and_move_meanwhile;
mod quotas_hold_for_what_is_under_way_when_they_change;
mod tombstone_files_hold_nothing_above_their_base;
mod what_happens_while_a_job_is_installed_is_carried_over;

use vecmem::testing::{SimClock, SimStorage};
use vecmem::{Durability, Metric, Options, Tuning};

/// Options of a store of tiny parts with background threads. Only the caller sweeps, and no graph is built.
fn options() -> Options {
    let tuning = Tuning { graph_rows: u32::MAX, earn_rows: u32::MAX, inline_background: false, ..Tuning::tiny() };
    common::tiny(1, Metric::Dot).tuning(tuning).sweep_every(None)
}

/// A store with these options.
fn store(durability: Durability) -> (vecmem::Store, SimStorage, SimClock) {
    common::simulated(options().durability(durability))
}

/// The number in the value of an item.
fn number(store: &vecmem::Store, namespace: &vecmem::Namespace, key: &str) -> Option<u64> {
    let item = store.get(namespace, key).unwrap()?;
    item.value_as::<serde_json::Value>().unwrap()["n"].as_u64()
}
