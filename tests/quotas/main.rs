//! Quotas of scopes: what is refused, and what is counted.

#[path = "../common/mod.rs"]
mod common;

mod a_refused_write_names_its_quota;
mod concurrent_writers_never_exceed_a_quota;
mod damage_that_hides_a_size_stops_no_write;
mod quotas_are_part_of_the_store;
mod quotas_follow_a_plain_model;

mod counted;
