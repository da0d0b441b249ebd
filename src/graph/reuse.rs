//! Placeholder.
use super::build::Links;
use super::{Graph, Parameters, Points};
use crate::error::Result;
/// Old graphs.
pub(crate) struct Reuse<'a> {
    pub graph: Graph<'a>,
    pub became: Vec<u32>,
}
pub(super) fn adopt(
    _points: &Points<'_>,
    _parameters: &Parameters,
    _reuse: &[Reuse<'_>],
    _links: &mut Links,
) -> Result<()> {
    Ok(())
}
