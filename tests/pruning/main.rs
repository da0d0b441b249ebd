//! Counting, deleting, keeping and moving items by a rule.

#[path = "../common/mod.rs"]
mod common;

mod a_count_of_a_filter_is_what_a_listing_holds;
mod a_renamed_item_is_the_same_item;
mod a_scope_has_the_sizes_of_its_items;
mod bad_rules_are_refused;
mod distinct_values_are_those_of_the_listing;
mod rules_follow_a_plain_model;

mod drawn;
