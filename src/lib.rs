//! vecmem: an embedded, durable vector memory engine.
mod check;
mod codec;
mod commit;
mod compact;
#[doc(hidden)]
pub mod distance;
mod error;
pub mod filter;
mod json;
mod manifest;
#[doc(hidden)]
pub mod quant;
mod query;
mod record;
mod segment;
mod shard;
mod storage;
mod store;
mod sync;
#[doc(hidden)]
pub mod testing;
mod topk;
mod tuning;
mod types;
mod wal;
mod worker;

pub use error::{Error, ErrorKind, Limit, Result};
pub use filter::Filter;
pub use query::{Address, Answer, LabelPattern, NamespaceQuery, PartExplain, Query, ReadOptions, ScanQuery};
pub use storage::ReadMode;
pub use store::{Batch, CheckReport, Cursor, Options, Put, ScanPage, Stats, Store, WriteResult};
pub use tuning::Tuning;
pub use types::{
    Condition, Durability, FieldVector, Hit, Item, Metric, Namespace, Scope, VectorSpace, Version, limits,
};
