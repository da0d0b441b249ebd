//! The bodies of the fuzz targets, on seeded input.

#[path = "../common/mod.rs"]
mod common;

mod bodies;
mod seeds;
