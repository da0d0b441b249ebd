//! Opening, closing, and one directory for all.

#[path = "../common/mod.rs"]
mod common;

mod a_closed_store_says_so;
mod a_locked_directory_keeps_nobody_from_others;
mod a_refused_open_names_the_option_or_the_file;
mod a_second_close_waits_for_the_first;
mod a_temporary_store_leaves_nothing;
mod an_interrupt_ends_long_calls;
mod errors_become_those_of_std_io;
mod one_directory_is_one_store;
