//! The engine under a scheduler that decides, at every lock, atomic and operation of the disk, which thread goes on.
//!
//! The crate `shuttle` runs all threads of a model on one thread of the system, so a schedule is a list of choices that
//! can be repeated. Half of the schedules are random; the other half change the thread rarely, at random places, which
//! finds what needs few but exact changes (Burckhardt et al., "A Randomized Scheduler with Probabilistic Guarantees of
//! Finding Bugs", 2010). Background work runs on threads of the model. `make models` runs this binary; under any other
//! configuration it is empty. A failure prints the schedule that leads to it.
#![cfg(shuttle)]

mod a_batch_is_published_whole;
mod a_close_waits_for_calls;
mod a_counter_loses_no_increment;
mod a_failed_sync_fails_whoever_waits_for_it;
mod a_flush_and_a_merge_lose_no_delete;
mod a_purge_beside_writers_leaves_what_they_wrote;
mod a_retired_segment_serves_its_snapshot;
mod an_import_ends_with_the_newest_versions;
mod world;
mod writers_that_wait_for_a_flush_are_woken;
