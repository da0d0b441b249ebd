//! The fuzz body of field indexes: the input is a filter, values, and edits of the index.

use std::ops::Range;
use std::sync::Arc;

use crate::field_index::{FieldIndex, FieldIndexBuilder, FieldRules, PreparedRules, select};
use crate::filter::{Filter, PreparedFilter};
use crate::ids::{Id, IdRange, RowId};
use crate::json::validate_object;
use crate::testing::fuzz::edits::edited;
use crate::testing::fuzz::reads::{assert_in_order, walk_in_order};
use crate::types::limits;

/// Parses the first line as a filter and each further line, up to an empty one, as a value. The index of the values,
/// by no rules and by some, must agree with the filter on every interval that begins or ends with the values. The bytes
/// after the empty line edit the index: then whatever it says, it must say it. Returns whether the filter and every
/// value were parsed.
pub(super) fn fuzz_field_index(bytes: &[u8]) -> bool {
    let (lines, script) = match bytes.windows(2).position(|pair| pair == b"\n\n") {
        Some(at) => (&bytes[..at], &bytes[at + 2..]),
        None => (bytes, &b""[..]),
    };
    let mut lines = lines.split(|&byte| byte == b'\n');
    let filter = lines.next().and_then(|line| Filter::from_json_str(std::str::from_utf8(line).ok()?).ok());
    let Some(Ok(filter)) = filter.map(|filter| filter.prepare()) else { return false };
    let values: Vec<&[u8]> = lines.collect();
    let is_value = |value: &[u8]| validate_object(value, limits::DEPTH).is_ok();
    let rules = [FieldRules::new([""; 0], [""; 0]), FieldRules::new(["a"], ["b"]), FieldRules::new(["*"], ["a.*"])];
    for rules in rules.into_iter().flatten() {
        let mut builder = FieldIndexBuilder::new(Arc::new(PreparedRules::new(rules)));
        values.iter().for_each(|value| builder.push(is_value(value).then_some(*value)));
        let (index, rows) = (builder.finish(), values.len() as u32);
        for start in 0..=rows {
            assert_agrees(&index, &filter, &values, RowId::range(start..rows));
            assert_agrees(&index, &filter, &values, RowId::range(0..start));
        }
        let damaged = edited(&index, 0, script);
        if let Ok(index) = FieldIndex::open(&damaged, rows) {
            walk_in_order(&index, &RowId::range(0..rows));
            let _ = (select(filter.expression(), &index, &RowId::range(0..rows)), index.verify(), index.paths());
        }
    }
    values.into_iter().all(is_value)
}

/// Asserts that the index of the values says nothing of the rows that the filter contradicts.
fn assert_agrees(index: &Vec<u8>, filter: &PreparedFilter, values: &[&[u8]], interval: Range<RowId>) {
    let Ok(whole) = FieldIndex::open(index, values.len() as u32) else {
        panic!("an index that was built does not open")
    };
    let Ok(passing) = select(filter.expression(), &whole, &interval) else { panic!("it cannot be read") };
    assert_in_order(&whole, values, &interval);
    for row in interval.ids() {
        let value = values[row.index()];
        let (certain, possible) = (passing.certain.contains(row), passing.possible.contains(row));
        if validate_object(value, limits::DEPTH).is_ok() {
            let holds = filter.matches(value);
            assert!(certain <= holds && holds <= possible, "row {row}: {certain} {holds} {possible}");
        } else {
            assert!(!certain && possible, "nothing is known of row {row}");
        }
    }
}
