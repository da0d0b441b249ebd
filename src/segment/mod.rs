//! Parts of a shard: the active one in memory, sealed ones on disk, and the reads of one part.

pub(crate) mod active;
pub(crate) mod append_only;
pub(crate) mod blob;
pub(crate) mod blocks;
pub(crate) mod calibrate;
pub(crate) mod calibration;
pub(crate) mod columns;
pub(crate) mod conditions;
pub(crate) mod dead;
pub(crate) mod dead_file;
pub(crate) mod derived;
pub(crate) mod derived_set;
pub(crate) mod fuzz;
pub(crate) mod graph_file;
pub(crate) mod graph_scope;
pub(crate) mod key_table;
pub(crate) mod layout;
pub(crate) mod listing;
mod packed;
pub(crate) mod part;
pub(crate) mod plan;
pub(crate) mod rows;
pub(crate) mod sealed;
pub(crate) mod search;
pub(crate) mod side_file;
pub(crate) mod values;
pub(crate) mod verify;
pub(crate) mod walk;
pub(crate) mod walk_plan;
pub(crate) mod writer;

#[cfg(test)]
mod tests;
