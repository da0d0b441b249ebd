//! Flat searches.

#[path = "../common/mod.rs"]
mod common;

mod a_search_is_as_long_and_ordered_as_it_says;
mod a_vector_field_scores_only_its_vectors;
mod a_wrong_filter_never_means_everything;
mod an_explanation_tells_what_was_expected_beside_what_was_done;
mod conditions_on_items_are_leaves_of_filters;
mod exact_search_equals_brute_force;
mod filters_answer_alike_with_and_without_a_field_index;
mod filters_are_built_with_the_names_of_the_operators;
mod groups_equal_a_grouped_exact_scan;
mod search_by_item_uses_the_items_own_vectors;
