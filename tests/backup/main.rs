//! Backups and restores: a copy of one moment, made beside writers, that opens as a store.

#[path = "../common/mod.rs"]
mod common;

mod a_backup_can_be_slowed_down_and_ended;
mod a_backup_is_one_moment_beside_writers;
mod a_checkpoint_shares_its_files;
mod a_crash_leaves_the_old_backup_or_the_new_one;
mod a_later_backup_copies_what_is_new;
mod a_purge_ends_a_running_backup;
mod a_restore_overwrites_nothing;
mod a_target_that_is_no_backup_of_the_store_is_refused;
mod copies_have_incarnations_of_their_own;
mod every_changed_byte_is_found_by_a_restore;
