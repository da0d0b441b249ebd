//! Reads other than searches: gets, listings, iterations, snapshots.

#[path = "../common/mod.rs"]
mod common;

mod a_count_is_what_a_listing_holds;
mod a_filter_reads_no_more_of_large_values_than_it_needs;
mod a_listing_goes_in_the_order_of_a_field;
mod a_listing_is_one_list_in_pages;
mod a_snapshot_never_changes;
mod a_store_and_a_snapshot_have_the_same_reads;
mod a_text_is_embedded_once;
mod an_iteration_is_stable_under_writes;
mod answers_are_written_by_serde_as_they_are;
mod items_are_iterated_as_of_one_moment;
mod many_reads_see_one_moment;
mod namespaces_are_listed_by_pattern;
mod pages_of_namespaces_equal_a_plain_listing;
mod selected_fields_are_what_is_left_of_a_value;
mod stats_tell_how_long_calls_took;
mod times_are_instants_for_people;
