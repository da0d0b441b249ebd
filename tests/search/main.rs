//! Flat searches.

#[path = "../common/mod.rs"]
mod common;

mod exact_search_equals_brute_force;
mod search_by_item_uses_the_items_own_vectors;
