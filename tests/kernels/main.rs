//! Distance kernels.

#[path = "../common/mod.rs"]
mod common;

mod bounds;
