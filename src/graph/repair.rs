//! Placeholder.
use super::{Parameters, Points};
pub(super) fn repair(_points: &Points<'_>, _parameters: &Parameters, _first: &[u32], _links: &mut [u32]) {}
