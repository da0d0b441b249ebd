//! Real disk.
