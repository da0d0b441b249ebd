//! vecmem: an embedded, durable vector memory engine.
pub mod error;
mod record;
mod storage;
mod sync;
mod tuning;
mod types;
