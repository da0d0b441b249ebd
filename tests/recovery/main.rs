//! Opening again after a close, a kill, a power loss or an error.

#[path = "../common/mod.rs"]
mod common;
#[path = "../crash/mod.rs"]
mod crash;

mod a_closed_store_knows_its_end;
mod a_crash_in_recovery;
mod a_failed_sync_is_everybodys;
mod a_log_is_believed_as_far_as_it_is_proven;
mod a_lost_manifest_takes_nothing_with_it_unsaid;
mod a_power_loss_at_every_sync;
mod a_short_history_survives_a_power_loss_at_every_sync;
mod a_store_of_the_first_format_opens;
mod a_store_of_the_second_format_opens;
mod an_error_in_recovery_loses_nothing;
mod io_errors;
mod reopening_keeps_everything;
mod syncs_go_on_while_a_log_file_is_prepared;
mod the_first_write_after_a_close_syncs_little;
mod the_manifest_before_the_newest_is_enough;
mod what_died_is_written_down_after_a_failure;
mod what_was_left_of_a_prepared_log_file_is_no_damage;
