//! The fuzz bodies of cursors, of selections of fields, and of orders by a field index.

use std::ops::Range;

use crate::field_index::FieldIndex;
use crate::fields::order::{NULL, push_value};
use crate::fields::{FieldPath, OrderCursor, Select};
use crate::ids::{IdRange, RowId};
use crate::json::validate_object;
use crate::types::limits;

/// The text of a cursor: it is refused, or is read back from what it is written as.
pub(super) fn fuzz_order_cursor(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(cursor) = text.parse::<OrderCursor>() else { return false };
    assert_eq!(cursor.to_string(), text.to_lowercase());
    assert!(cursor.to_string().parse::<OrderCursor>().is_ok_and(|again| again == cursor));
    true
}

/// Paths, one a line, up to an empty line, then a value. What is left of a value is an object with the same selected
/// fields, and selecting again changes nothing.
pub(super) fn fuzz_selection(bytes: &[u8]) -> bool {
    let Some(at) = bytes.windows(2).position(|pair| pair == b"\n\n") else { return false };
    let (Ok(paths), value) = (std::str::from_utf8(&bytes[..at]), &bytes[at + 2..]) else { return false };
    let Ok(Select::Fields(fields)) = Select::fields(paths.split('\n')) else { return false };
    let is_value = validate_object(value, limits::DEPTH).is_ok();
    let selected = fields.of(value);
    if !is_value {
        return false;
    }
    let Some(selected) = selected else { panic!("nothing is left of a value") };
    assert!(validate_object(selected.as_bytes(), limits::DEPTH).is_ok(), "{selected}");
    for path in paths.split('\n').filter_map(|path| FieldPath::new(path).ok()) {
        let bytes_of = |value: &[u8]| {
            let mut bytes = Vec::new();
            path.find(value).and_then(|found| push_value(&mut bytes, found)).map(|()| bytes)
        };
        assert_eq!(bytes_of(selected.as_bytes()), bytes_of(value), "{path} of {selected}");
    }
    assert_eq!(fields.of(selected.as_bytes()), Some(selected));
    true
}

/// The index gives the rows in the order of the values, each once, and a seek leaves out none that comes after.
pub(super) fn assert_in_order(index: &FieldIndex<'_>, values: &[&[u8]], interval: &Range<RowId>) {
    let paths = ["a", "b", "a.b"].into_iter().filter_map(|path| FieldPath::new(path).ok());
    for (path, is_descending) in paths.flat_map(|path| [(path.clone(), false), (path, true)]) {
        let Ok(walk) = index.in_order(&path, interval, is_descending) else { panic!("it cannot be read") };
        let Some(mut walk) = walk else { continue };
        let value = |row: RowId| {
            let mut bytes = Vec::new();
            match path.find(values[row.index()]) {
                Some(found) => push_value(&mut bytes, found).unwrap_or_default(),
                None => bytes.push(NULL),
            }
            bytes
        };
        let is_before = |a: &[u8], b: &[u8]| if is_descending { a > b } else { a < b };
        let (mut met, mut last) = (walk.partial().rows().collect::<Vec<_>>(), None::<Vec<u8>>);
        while let Ok(Some(bucket)) = walk.next() {
            let rows: Vec<RowId> = bucket.rows.rows().collect();
            let mut own: Vec<Vec<u8>> = rows.iter().map(|&row| value(row)).collect();
            own.sort();
            assert!(own.iter().all(|value| value.starts_with(&bucket.value)), "{path}");
            assert!(!bucket.is_one_value || own.iter().all(|value| *value == bucket.value), "{path}");
            let (first, end) = (own.first().cloned(), own.last().cloned());
            let (first, end) = if is_descending { (end, first) } else { (first, end) };
            if let (Some(last), Some(first)) = (&last, &first) {
                assert!(is_before(last, first), "{path}: buckets overlap");
            }
            last = end.or(last);
            met.extend(rows);
        }
        met.sort();
        assert!(met.iter().copied().eq(interval.ids()), "{path}: {met:?}");
        for from in interval.ids().take(4).map(value) {
            let Ok(Some(mut walk)) = index.in_order(&path, interval, is_descending) else { continue };
            let (mut left, _) = (walk.partial().rows().collect::<Vec<_>>(), walk.seek(&from));
            while let Ok(Some(bucket)) = walk.next() {
                left.extend(bucket.rows.rows());
            }
            let after = interval.ids().filter(|&row| !is_before(&value(row), &from));
            after.for_each(|row| assert!(left.contains(&row), "{path}: row {row} comes after"));
        }
    }
}

/// Walks an index that may be damaged to its end.
pub(super) fn walk_in_order(index: &FieldIndex<'_>, interval: &Range<RowId>) {
    for (path, is_descending) in [("a", false), ("a", true), ("b", false), ("a.b", true)] {
        let Ok(path) = FieldPath::new(path) else { continue };
        if let Ok(Some(mut walk)) = index.in_order(&path, interval, is_descending) {
            let _ = walk.seek(b"\x05aaaaaaaa");
            while let Ok(Some(bucket)) = walk.next() {
                assert!(bucket.rows.len() <= interval.len());
            }
        }
    }
}
