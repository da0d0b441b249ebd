//! How one part of a shard answers a read: a memtable and a segment alike.
//!
//! Reading order: `part` (the columns of a part), `conditions` (which rows count), `context` (what is asked), `plan` (flat search or graph search), `flat`, `graph_plan`
//! and `graph`, `listing` (rows in key order).

pub(crate) mod conditions;
pub(crate) mod context;
pub(crate) mod flat;
pub(crate) mod graph;
pub(crate) mod graph_plan;
pub(crate) mod listing;
pub(crate) mod part;
pub(crate) mod plan;

#[cfg(test)]
mod tests;
