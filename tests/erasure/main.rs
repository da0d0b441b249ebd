//! Nothing deleted stays.

#[path = "../common/mod.rs"]
mod common;

mod a_purge_can_be_repeated_after_any_failure;
mod a_purge_ends_beside_other_writers;
mod a_purge_ends_older_snapshots;
mod a_purge_leaves_what_an_import_is_writing;
mod a_purge_rewrites_a_segment_for_one_small_value;
mod a_purge_says_what_it_did;
mod a_purge_takes_values_that_no_row_names_any_more;
mod a_purge_touches_only_what_holds_its_scope;
mod a_purge_waits_for_a_graph_that_is_being_built;
mod compact_leaves_no_byte_of_what_is_gone;
mod manifests_name_no_more_of_namespaces_than_they_must;
mod nothing_deleted_is_left_in_any_file;
mod what_an_import_wrote_just_now_is_erased;
