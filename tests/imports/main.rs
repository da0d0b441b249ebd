//! Bulk imports.

#[path = "../common/mod.rs"]
mod common;

mod a_bad_item_ends_an_import_or_is_left_out;
mod a_delete_of_all_that_an_import_has_written_forgets_it;
mod a_lost_file_of_an_import_is_named;
mod an_import_beside_bounds_that_were_not_committed_is_replayed;
mod an_import_equals_puts;
mod an_import_is_not_replayed;
mod an_import_is_whole_beside_other_writers;
mod an_import_resumes_at_its_mark;
