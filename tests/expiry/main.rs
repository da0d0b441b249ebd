//! Expiry, sweeps and the clock.

#[path = "../common/mod.rs"]
mod common;

mod a_refresh_that_comes_too_late_revives_nothing;
mod a_wrong_clock_hides_but_removes_nothing;
mod every_sweep_removes_all_that_has_expired;
mod expired_items_are_gone_and_touches_keep_them;
mod jumps_of_the_clock_follow_a_model;
mod the_background_sweeps_when_asked_to;
