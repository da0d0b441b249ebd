//! What the field index of a segment says of a filter, kept from search to search.
//!
//! Invariants:
//! * An index that cannot be read is not asked again. The filter is then answered from the values, and the background
//!   rebuilds the index.
//! * An answer depends on the filter and the segment alone: not on deletes, not on times of expiry, and not on earlier
//!   searches. So what one namespace asks changes no search of another one.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::field_index::{Passing, select};
use crate::filter::PreparedFilter;
use crate::ids::{IdRange, RowId};
use crate::segment::Segment;

/// Fewer rows are filtered by their values: to ask the index costs as much.
const INDEXED_ROWS_MIN: usize = 16;
/// The answer of the index for fewer rows is quicker asked than kept.
const KEPT_ROWS_MIN: usize = 256;

/// What the field index says of `filter` for `rows`. `None` if there is no index, if it is damaged, or if it excludes
/// no row.
pub(crate) fn passing(segment: &Segment, filter: &PreparedFilter, rows: &Range<RowId>) -> Option<Arc<Passing>> {
    if filter.constant().is_some() || rows.len() < INDEXED_ROWS_MIN {
        return None;
    }
    let passing = match kept_or_new(segment, filter, rows) {
        Ok(passing) => passing?,
        Err(error) => {
            segment.set_fields_problem(&segment.fields()?.in_file(&error));
            return None;
        }
    };
    (passing.is_exact() || !passing.possible.is_all()).then_some(passing)
}

fn kept_or_new(segment: &Segment, filter: &PreparedFilter, rows: &Range<RowId>) -> Result<Option<Arc<Passing>>> {
    let Some(fields) = segment.fields() else { return Ok(None) };
    let find = || Ok(Arc::new(select(filter.expression(), &fields.index()?, rows)?));
    if rows.len() < KEPT_ROWS_MIN {
        return find().map(Some);
    }
    fields.answers().get_or_keep(filter, rows, segment.rows(), find).map(Some)
}
