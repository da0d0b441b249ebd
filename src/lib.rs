//! vecmem: an embedded, durable vector memory engine.
//!
//! One directory holds JSON memories and their embeddings. A program opens it and gets filtered top-k similarity search
//! inside a namespace, or a prefix of namespaces, and loses nothing when it is killed or the power goes.
//!
//! ```
//! use vecmem::{Filter, Metric, Namespace, Options, Put, Query, Scope, Store};
//!
//! # fn main() -> vecmem::Result<()> {
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("memories");
//! let store = Store::open(&path, Options::with_vectors(3, Metric::Cosine))?;
//! let facts = Namespace::new(["users", "ada", "facts"])?;
//! store.put(Put::new(&facts, "tea", r#"{"text": "drinks green tea", "kind": "taste"}"#).vector([0.9, 0.1, 0.0]))?;
//! store.put(Put::new(&facts, "cat", r#"{"text": "has a cat called Bit", "kind": "fact"}"#).vector([0.0, 0.8, 0.6]))?;
//!
//! let query = Query::new(&facts).vector([1.0, 0.0, 0.0]).limit(1);
//! assert_eq!(store.search(&query)?[0].item.key, "tea");
//!
//! let of_all_users = Query::new(Scope::prefix(["users"])?).filter(Filter::eq("kind", "fact"));
//! assert_eq!(store.search(&of_all_users)?.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! When [`Store::put`] returns, the item survives a power loss ([`Durability::Sync`], the default) and every later read
//! of the process sees it. A [`Batch`] is atomic, for crashes and for readers. A search returns exactly `limit` items
//! if that many match its scope and filter: the best ones, or, where a graph is searched (automatic from 16,384 vectors
//! of a namespace on), as many of the best as [`Query::recall`] asks for. Damage is detected and named, never silent.
//!
//! A [`Snapshot`] serves reads that belong together, since no later write changes it. Its [`Listing`] returns the items
//! of a scope in pages, newest first. A setting ([`Store::set_setting`]) belongs to the store as a whole. A text that
//! an item embeds need not be embedded again ([`Put::embedded`], [`Store::known_embeddings`]).
//!
//! `examples/` in the repository has programs to begin with. With the feature `tracing`, opens, flushes, merges, graph
//! builds, stalls, slow searches ([`Options::slow_search`]) and errors are events of the target `vecmem`. The feature
//! `testing` is for the crate's own tests and benches; its additions may change in any release.
//!
//! Scores are larger for more similar items in every [`Metric`]; times are microseconds since 1970 UTC (items have them
//! as [`SystemTime`](std::time::SystemTime) too: [`Item::created`]); sizes have [`limits`]. `ARCHITECTURE.md` in the
//! repository explains the engine.
#![deny(unsafe_op_in_unsafe_fn)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

#[cfg(not(unix))]
compile_error!("vecmem runs on Linux (tested) and other Unix systems; Windows is not supported");

mod codec;
mod error;
mod events;
mod extensions;
mod ids;
mod interrupt;
mod json;
mod random;
mod record;
mod row_set;
mod sync;
mod topk;
mod tuning;
mod types;
mod words;

#[cfg(feature = "testing")]
pub mod distance;
#[cfg(not(feature = "testing"))]
mod distance;
mod fields;
pub mod filter;
#[cfg(feature = "testing")]
pub mod quant;
#[cfg(not(feature = "testing"))]
mod quant;
mod storage;

mod field_index;
mod graph;
mod memtable;
mod wal;

mod file_names;
mod manifest;
mod segment;

mod compact;
mod search;

mod shard;

mod engine;

mod commit;

mod check;
mod worker;

mod store;
#[cfg(feature = "testing")]
pub mod testing;

pub use distance::instruction_set;
pub use error::{Error, ErrorKind, Limit, Location, OptionMismatch, QuotaExcess, Result};
pub use field_index::FieldRules;
pub use fields::{FieldPath, GroupBy, Order, OrderCursor, Projection, Select};
pub use filter::Filter;
pub use interrupt::{Interrupt, Progress, Stage};
pub use storage::{CodeResidency, ReadMode};
pub use store::query::{
    Address, HitGroup, IterateQuery, LabelPattern, NamespaceQuery, PartExplain, Query, ReadOptions, SearchResult,
};
pub use store::{
    BackupOptions, BackupReport, Batch, CallLatency, CheckReport, CompactReport, Cursor, DistinctQuery, DistinctValue,
    DistinctValues, EndedHolder, FieldStats, GainingScope, GraphBuild, GraphStats, HealthStats, HolderKind,
    HoldersReport, ImportOptions, ImportProgress, ImportReport, InternalStats, IntoJson, ItemExtension, Items,
    IteratePage, LatencyStats, Listing, LogStats, LossReport, LostItem, MeasuredGraph, MemoryStats, Options, PathStats,
    PruneOptions, PruneReceipt, PurgeOptions, PurgeReceipt, Put, Reads, RenameOptions, RenameReceipt, SalvageReport,
    ScopeStats, ShardStats, SizeStats, Snapshot, Stats, StillHeld, Store, StoredItem, StoredPage, WriteResult,
};
pub use tuning::Tuning;
pub use types::{
    Condition, Durability, FieldVector, Hit, Item, Metric, Namespace, Quota, QuotaUse, Scope, VectorSpace, Version,
    limits,
};

/// The README's example compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
