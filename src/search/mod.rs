//! How one part of a shard answers a read: a memtable and a segment alike.
//!
//! Reading order:
//! * `part`: the columns that a read needs of a part. `memtable_columns`: those of a memtable.
//! * `conditions`: which rows can be results: visible, not expired, passing the filter.
//! * `passing`: what the field index says of a filter.
//! * `context`: the query and the threshold that all parts of one search share.
//! * `plan`: filter before scoring, or after (pure). `sampling`: the sample that it may need. `measure`: what its steps
//!   cost here.
//! * `flat`: exact search by codes, bounds and full vectors.
//! * `graph_plan`: which graphs to search and how far (pure). `graph`: searching them, `admitted`: only over nodes that
//!   may pass the filter. `admitted_shares`: how far then (pure). `searched_graph`: one of a file, or one of the
//!   filter. `seen_rows`: which rows a search has looked at.
//! * `listing`: the newest rows, and rows in key order. `ordered`: the first rows in an order of values. `visit`: every
//!   row that satisfies conditions, and counts.

mod admitted;
mod admitted_shares;
pub(crate) mod conditions;
pub(crate) mod context;
pub(crate) mod flat;
pub(crate) mod graph;
pub(crate) mod graph_plan;
pub(crate) mod listing;
pub(crate) mod measure;
mod memtable_columns;
pub(crate) mod namespaces;
pub(crate) mod ordered;
pub(crate) mod part;
pub(crate) mod passing;
pub(crate) mod plan;
pub(crate) mod sampling;
pub(crate) mod searched_graph;
mod seen_rows;
pub(crate) mod visit;

#[cfg(test)]
mod tests;
