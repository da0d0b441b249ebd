//! What a reader sees: read views, shards and their parts, and `apply`, the one function that live writes and replay share.
//!
//! Reading order: `view` (read views and shards), `part` (one segment with its tombstones), `part_ref` (a memtable or a segment under one
//! interface), `apply`, `ingest` (files of imports), `lost` and `missed` (parts that serve nothing any more), `weight`, `upkeep`,
//! `bounds`, `embeddings`.

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
