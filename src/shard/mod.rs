//! What a reader sees: read views, shards and their parts, and `apply`, the one function that live writes and replay
//! share.
//!
//! Reading order:
//! * `view`: read views and shards.
//! * `part`: one segment with its tombstones. `part_ref`: a memtable or a segment, under one interface.
//! * `apply`: what an operation does to a read view. `ingest`: what the files of an import do.
//! * `lost`: parts that serve nothing because of damage. `missed`: the operations that they missed.
//! * `open`: opens the parts that a manifest names.
//! * `weight`, `upkeep`: what a merge would free, and what the background still has to do.
//! * `bounds`: where shards meet. `embeddings`: texts that vectors embed.

pub(crate) mod apply;
pub(crate) mod bounds;
pub(crate) mod embeddings;
pub(crate) mod ingest;
pub(crate) mod lost;
pub(crate) mod missed;
pub(crate) mod open;
pub(crate) mod part;
pub(crate) mod part_ref;
pub(crate) mod upkeep;
pub(crate) mod view;
pub(crate) mod weight;

pub(crate) use apply::{apply, apply_operation};
pub(crate) use part_ref::PartRef;
pub(crate) use view::{Lost, ReadView, Shard};
