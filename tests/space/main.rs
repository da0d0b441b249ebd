//! Disk space, and jobs that fail for want of it.

#[path = "../common/mod.rs"]
mod common;

mod a_checkpoint_that_fails_waits_longer_each_time;
mod a_failed_commit_leaves_no_file;
mod a_job_that_fails_waits_longer_each_time;
mod a_merge_needs_room_for_what_lives;
mod deletes_beside_everything_else_on_a_full_disk_end;
mod deletes_work_on_a_full_disk;
mod small_stores_keep_small_logs;
mod space_that_was_granted_is_nobody_elses;
mod what_a_merge_freed_goes_while_a_flush_waits;
mod what_expires_leaves_the_reserve_to_deletes;
