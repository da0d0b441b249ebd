//! Every crash state of small workloads: what a crash may leave of each prefix of their disk operations is opened, and
//! must hold what was promised.
//!
//! Reading order: `workloads` (what is done), `run` (how it is recorded), `classes` (what a crash makes of the changes
//! that no sync covered), `verify` (what must hold), `explore` (all states of one run), `tally` (the table, and what
//! earlier runs have counted).

#[path = "../crash/mod.rs"]
mod crash;

mod classes;
mod explore;
mod no_crash_state_breaks_a_promise;
mod run;
mod tally;
mod verify;
mod workloads;
