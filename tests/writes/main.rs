//! What a write does, and what it refuses.

#[path = "../common/mod.rs"]
mod common;
#[path = "../crash/mod.rs"]
mod crash;

mod a_batch_is_all_or_nothing;
mod a_failed_condition_writes_nothing;
mod a_put_takes_whatever_becomes_json;
mod a_range_delete_reaches_what_is_flushed_and_merged;
mod a_repeated_operation_is_applied_once;
mod a_vector_space_can_come_later;
mod bad_input_is_refused;
mod batches_are_never_seen_half;
mod extensions_of_items_survive_everything;
mod large_values_live_in_blob_files;
mod model;
mod namespaces_and_metrics_are_read_back_from_their_text;
mod prefixes_are_tuples_not_strings;
mod settings_belong_to_the_store;
mod the_engines_own_area_is_invisible;
mod timestamps_rise_and_creation_is_kept;
mod what_is_put_is_got_until_it_is_deleted;
