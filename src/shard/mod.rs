//! Read views, shards and their parts, and `apply`, the one function through which live writes and replay change them.
//!
//! Reading order:
//! * `view`: read views and shards.
//! * `part`: one segment with its tombstones. `part_ref`: a memtable or a segment, under one interface.
//! * `apply`: applies operations to a read view. `ingest`: adds the files of an import to it. `logged_deletes`: deletes
//!   the keys of a prune in it.
//! * `lost`: parts that serve no read because of damage. `missed`: the operations that they missed.
//! * `open`: opens the parts that a manifest names.
//! * `weight`: the numbers for the choice of merges. `upkeep`: the background work that a segment still needs.
//! * `bounds`: the bounds between shards. `cuts`: the split of a shard. `embeddings`: the texts that vectors embed.
//! * `usage`: what an interval holds, for quotas.

pub(crate) mod apply;
pub(crate) mod bounds;
pub(crate) mod cuts;
pub(crate) mod embeddings;
pub(crate) mod ingest;
pub(crate) mod logged_deletes;
pub(crate) mod lost;
pub(crate) mod missed;
pub(crate) mod open;
pub(crate) mod part;
pub(crate) mod part_ref;
pub(crate) mod upkeep;
pub(crate) mod usage;
pub(crate) mod view;
pub(crate) mod weight;

pub(crate) use apply::{apply, apply_operation};
pub(crate) use part_ref::{ItemParts, PartNamespaces, PartRef};
pub(crate) use view::{Lost, ReadView, Shard};
