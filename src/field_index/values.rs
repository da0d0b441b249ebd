//! The values at a path, each with its rows, as far as an index tells them.
//!
//! Invariants:
//! * A row outside of `unsure` has exactly the scalars under whose rows it is listed, and an array counts as its
//!   elements. What a row of `unsure` has, only its value tells.

use std::ops::Range;

use crate::error::Result;
use crate::field_index::key::{ARRAY, OBJECT, write_json};
use crate::field_index::path;
use crate::field_index::reader::{FieldIndex, FoundPath};
use crate::ids::{IdRange, RowId};
use crate::row_set::{RowSet, RowSetBuilder};

/// The scalars at a path.
pub(crate) struct PathValues {
    /// Each scalar as JSON, and the rows of the interval that have it or an array with it. A scalar may come twice.
    pub values: Vec<(Vec<u8>, RowSet)>,
    /// Rows of which the index does not know everything.
    pub unsure: RowSet,
}

/// The scalars at `path` of the rows of `interval`. `None` if it is no dearer to ask the values.
pub(crate) fn values_at(index: &FieldIndex<'_>, path: &str, interval: &Range<RowId>) -> Result<Option<PathValues>> {
    let keys: Vec<&[u8]> = path.split('.').map(str::as_bytes).collect();
    if keys.len() > 1 {
        // A field of exactly that name hides the path.
        let Some(whole) = path::of_keys([path.as_bytes()].into_iter(), false) else { return Ok(None) };
        let FoundPath::Absent = index.find(&whole)? else { return Ok(None) };
    }
    let mut unsure = RowSetBuilder::new(interval.clone());
    unsure.add_set(&index.partial(interval, index.is_forced(path.split('.')))?);
    let mut values = Vec::new();
    for elements in [false, true] {
        let Some(path) = path::of_keys(keys.iter().copied(), elements) else { return Ok(None) };
        let place = match index.find(&path)? {
            FoundPath::Unknown => return Ok(None),
            FoundPath::Absent => continue,
            FoundPath::Found(place) if place.keys() as usize > interval.len() => return Ok(None),
            FoundPath::Found(place) => place,
        };
        let mut entries = place.entries(0..place.keys())?;
        while let Some(entry) = entries.next()? {
            let mut json = Vec::new();
            match (entries.key(), write_json(entries.key(), &mut json)) {
                (_, Some(())) => {
                    let mut rows = RowSetBuilder::new(interval.clone());
                    place.decode(&entry, interval, &mut rows)?;
                    values.push((json, rows.finish()));
                }
                ([ARRAY | OBJECT, ..], None) => {}
                (_, None) => place.decode(&entry, interval, &mut unsure)?,
            }
        }
    }
    Ok(Some(PathValues { values, unsure: unsure.finish() }))
}
