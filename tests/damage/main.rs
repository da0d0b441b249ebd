//! Damaged files.

#[path = "../common/mod.rs"]
mod common;
#[path = "../crash/mod.rs"]
mod crash;

mod a_damaged_blob_fails_only_its_rows;
mod a_damaged_segment_holds_up_no_log;
mod a_derived_file_that_could_not_be_made_is_tried_again;
mod a_flipped_bit_in_a_file_of_many_blocks_changes_no_answer;
mod a_salvage_brings_back_what_can_be_read;
mod damage_is_named;
mod errors_say_where_the_damage_is;
mod flips_in_files_of_many_blocks_are_named_or_harmless;
mod groups_are_found_behind_values_that_cannot_be_read;
mod lost_rows_are_listed_when_they_are_given_up;
mod repair_beside_merges;
mod what_a_damaged_segment_missed_is_erased;
