//! Listings in an order of values: the first rows of one part in that order.
//!
//! Invariants:
//! * The order is (value, namespace, key), the values in either direction. No two items that a read shows are equal in
//!   it, so it does not depend on parts or on the order in which rows are visited.
//! * The result holds at most as many rows as were asked for, each with its key and the bytes of its value that count.
//!   The caller's limit allocates nothing.
//! * A field index changes the time of an answer, never the answer: it says which rows come first, and whatever it is
//!   not sure of is asked of the values.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::error::{Error, ErrorKind, Result};
use crate::field_index::{OrderedRows, ValueBucket};
use crate::fields::order::{NULL, ORDERED_BYTES, OrderBy, push_text, push_value};
use crate::fields::{Order, OrderCursor};
use crate::filter::AskedOfItem;
use crate::ids::{PartIndex, RowId};
use crate::search::conditions::Conditions;
use crate::search::part::{PartColumns, Rows, SegmentView};
use crate::topk::RowAddress;
use crate::types::KeyPosition;

/// Rows between two checks of the deadline.
const BLOCK_ROWS: usize = 1_024;
/// Where fewer rows may be in the result, their values are read: to ask the index costs as much.
const INDEXED_ROWS_MIN: usize = 64;

/// A row with its place in the order.
#[derive(Clone, Debug)]
pub(crate) struct OrderedRow {
    /// As `fields/order.rs` writes it; of a long string the beginning.
    pub value: Vec<u8>,
    namespace: Vec<u8>,
    key: String,
    pub place: RowAddress,
    is_descending: bool,
}

impl OrderedRow {
    /// Namespace and key.
    pub fn address(&self) -> KeyPosition<'_> {
        KeyPosition { namespace: &self.namespace, key: &self.key }
    }
}

impl Ord for OrderedRow {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.value, &other.value, self.is_descending).then_with(|| self.address().cmp(&other.address()))
    }
}

impl PartialOrd for OrderedRow {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for OrderedRow {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for OrderedRow {}

fn compare(a: &[u8], b: &[u8], is_descending: bool) -> Ordering {
    if is_descending { b.cmp(a) } else { a.cmp(b) }
}

/// The first rows of an order, after a place in it.
pub(crate) struct FirstRows<'q> {
    order: &'q Order,
    after: Option<&'q OrderCursor>,
    limit: usize,
    /// The last kept row is at the top.
    heap: BinaryHeap<OrderedRow>,
}

impl<'q> FirstRows<'q> {
    pub fn new(order: &'q Order, after: Option<&'q OrderCursor>, limit: usize) -> Self {
        Self { order, after, limit, heap: BinaryHeap::new() }
    }

    /// The rows, in order.
    pub fn into_sorted(self) -> Vec<OrderedRow> {
        self.heap.into_sorted_vec()
    }

    fn compare(&self, a: &[u8], b: &[u8]) -> Ordering {
        compare(a, b, self.order.is_descending)
    }

    /// The last kept row, which the next earlier one replaces; `None` until `limit` rows are kept.
    fn last(&self) -> Option<&OrderedRow> {
        if self.heap.len() < self.limit { None } else { self.heap.peek() }
    }

    /// Whether a row of this value may be kept, by its value alone.
    fn may_keep(&self, value: &[u8]) -> bool {
        self.limit > 0
            && self.after.is_none_or(|after| self.compare(value, &after.value).is_ge())
            && self.last().is_none_or(|last| self.compare(value, &last.value).is_le())
    }

    /// Whether no row that comes after all rows with this beginning of a value can be kept.
    fn is_complete_before(&self, beginning: &[u8]) -> bool {
        let Some(last) = self.last() else { return self.limit == 0 };
        !last.value.starts_with(beginning) && self.compare(beginning, &last.value).is_gt()
    }

    /// Keeps the row if it is among the first so far.
    fn offer(&mut self, value: &[u8], address: KeyPosition<'_>, place: RowAddress) -> bool {
        let is_after = self
            .after
            .is_none_or(|after| self.compare(value, &after.value).then_with(|| address.cmp(&after.address())).is_gt());
        let is_early = self
            .last()
            .is_none_or(|last| self.compare(value, &last.value).then_with(|| address.cmp(&last.address())).is_lt());
        if self.limit == 0 || !is_after || !is_early {
            return false;
        }
        if self.heap.len() == self.limit {
            self.heap.pop();
        }
        self.heap.push(OrderedRow {
            value: value.to_vec(),
            namespace: address.namespace.to_vec(),
            key: address.key.to_owned(),
            place,
            is_descending: self.order.is_descending,
        });
        true
    }
}

/// A listing of one part in an order.
pub(crate) struct OrderedListing<'a, P> {
    pub part: &'a P,
    /// The caller's number of the part.
    pub number: PartIndex,
    pub conditions: &'a Conditions<'a>,
}

impl<P: PartColumns> OrderedListing<'_, P> {
    /// Adds the first of `rows` to `first`.
    pub fn add(&self, rows: &Rows<'_>, first: &mut FirstRows<'_>) -> Result<()> {
        let mut value = Vec::new();
        for start in (0..rows.len()).step_by(BLOCK_ROWS) {
            self.conditions.check_deadline()?;
            let block = rows.slice(start, rows.len().min(start + BLOCK_ROWS));
            self.part.ensure_rows(&block)?;
            for row in (0..block.len()).map(|index| block.at(index)) {
                if self.conditions.may_want(row) && self.conditions.sees(self.part, row) {
                    self.add_row(row, None, &mut value, first)?;
                }
            }
        }
        Ok(())
    }

    /// Adds a visible row, whose value in the order may be known. Returns whether it is among the first so far.
    fn add_row(
        &self,
        row: RowId,
        known: Option<&[u8]>,
        scratch: &mut Vec<u8>,
        first: &mut FirstRows<'_>,
    ) -> Result<bool> {
        if !self.conditions.wants(self.part, row)? {
            return Ok(false);
        }
        let value = match known {
            Some(value) => value,
            None => {
                scratch.clear();
                let read = self.push_value(row, &first.order.by, scratch);
                if self.conditions.readable(read)?.is_none() {
                    return Ok(false);
                }
                scratch
            }
        };
        if !first.may_keep(value) {
            return Ok(false);
        }
        let Some(address) = self.conditions.readable(self.part.address(row))? else { return Ok(false) };
        Ok(first.offer(value, address, RowAddress { part: self.number, row }))
    }

    /// Appends the value by which the row is ordered.
    fn push_value(&self, row: RowId, by: &OrderBy, value: &mut Vec<u8>) -> Result<()> {
        let asked = AskedOfItem::default();
        match by {
            OrderBy::Field(path) => {
                let unread = self.part.value(row)?;
                if unread.is_large() {
                    self.conditions.check_deadline()?;
                }
                match path.find(&unread.bytes()?) {
                    Some(found) => push_value(value, found).ok_or_else(not_json)?,
                    None => value.push(NULL),
                }
                value.truncate(ORDERED_BYTES);
            }
            OrderBy::CreatedAt => {
                push_time(value, self.part.item_facts(row, AskedOfItem { created_at: true, ..asked })?.created_at);
            }
            OrderBy::UpdatedAt => {
                push_time(value, self.part.item_facts(row, AskedOfItem { updated_at: true, ..asked })?.updated_at);
            }
            OrderBy::Key => push_text(value, self.part.address(row)?.key.as_bytes()),
        }
        Ok(())
    }
}

fn not_json() -> Error {
    Error::new(ErrorKind::Damaged, "a value is not JSON; `check` says what helps")
}

/// Appends a time, so that the order of the bytes is that of the times.
fn push_time(value: &mut Vec<u8>, micros: i64) {
    value.extend_from_slice(&(micros as u64 ^ 1 << 63).to_be_bytes());
}

impl<'a> OrderedListing<'a, SegmentView<'a>> {
    /// As [`add`](Self::add), for consecutive rows of a segment, in the order of its field index if there is one.
    pub fn add_by_index(&self, rows: &Rows<'_>, first: &mut FirstRows<'_>) -> Result<()> {
        let segment = self.part.segment();
        let possible = self.conditions.passing.map_or(rows.len(), |passing| passing.possible.len());
        let (OrderBy::Field(path), Some(fields), Rows::Range(interval)) = (&first.order.by, segment.fields(), rows)
        else {
            return self.add_possible(rows, first);
        };
        if possible < INDEXED_ROWS_MIN || possible <= first.limit {
            return self.add_possible(rows, first);
        }
        let index = fields.index();
        let walk = index.as_ref().map_err(Error::duplicate).and_then(|index| {
            let Some(mut walk) = index.in_order(path, interval, first.order.is_descending)? else { return Ok(None) };
            first.after.map_or(Ok(()), |after| walk.seek(&after.value))?;
            Ok((walk.keys() <= possible).then_some(walk))
        });
        let walk = match walk {
            Ok(walk) => walk,
            Err(error) => {
                segment.set_fields_problem(&fields.in_file(&error));
                None
            }
        };
        let Some(walk) = walk else { return self.add_possible(rows, first) };
        if self.add_in_order(walk, possible, first)? {
            return Ok(());
        }
        first.heap.retain(|kept| kept.place.part != self.number);
        self.add_possible(rows, first)
    }

    /// Adds rows that the field index lets through.
    fn add_possible(&self, rows: &Rows<'_>, first: &mut FirstRows<'_>) -> Result<()> {
        match self.conditions.passing {
            Some(passing) if !passing.possible.is_all() => {
                let listed: Vec<RowId> = passing.possible.rows_in(&rows.span()).collect();
                self.add(&Rows::Rising(&listed), first)
            }
            _ => self.add(rows, first),
        }
    }

    /// Adds rows in the order of the index until no later one can be kept. Returns false if that costs as much as to
    /// read all `possible` rows, or if the index cannot be read: rows may then be missing.
    fn add_in_order(&self, mut walk: OrderedRows<'_>, possible: usize, first: &mut FirstRows<'_>) -> Result<bool> {
        let unsure: Vec<RowId> = walk.partial().rows().collect();
        self.add(&Rows::Rising(&unsure), first)?;
        let (mut spent, mut value) = (unsure.len(), Vec::new());
        loop {
            self.conditions.check_deadline()?;
            let bucket = match walk.next() {
                Ok(Some(bucket)) => bucket,
                Ok(None) => return Ok(true),
                Err(error) => {
                    let segment = self.part.segment();
                    segment.fields().into_iter().for_each(|fields| segment.set_fields_problem(&fields.in_file(&error)));
                    return Ok(false);
                }
            };
            if first.is_complete_before(&bucket.value) {
                return Ok(true);
            }
            spent += bucket.keys + self.add_bucket(&bucket, &mut value, first)?;
            if spent > 2 * possible {
                return Ok(false);
            }
        }
    }

    /// Adds the rows of a bucket. Returns how many were asked.
    fn add_bucket(&self, bucket: &ValueBucket, value: &mut Vec<u8>, first: &mut FirstRows<'_>) -> Result<usize> {
        let known = bucket.is_one_value.then_some(bucket.value.as_slice());
        if known.is_some_and(|value| !first.may_keep(value)) {
            return Ok(0);
        }
        let mut asked = 0;
        for row in bucket.rows.rows() {
            if !self.conditions.may_want(row) {
                continue;
            }
            self.part.ensure_rows(&Rows::Range(row..row + 1))?;
            if !self.conditions.sees(self.part, row) {
                continue;
            }
            asked += 1;
            let is_kept = self.add_row(row, known, value, first)?;
            // Rows rise with namespace and key. So once the result is full, no later row of the same value is kept.
            let is_tied = first.last().is_some_and(|last| known == Some(last.value.as_slice()));
            if !is_kept && is_tied && self.is_past_last(row, first)? {
                break;
            }
        }
        Ok(asked)
    }

    /// Whether the row comes after the last kept one by namespace and key.
    fn is_past_last(&self, row: RowId, first: &FirstRows<'_>) -> Result<bool> {
        let address = self.conditions.readable(self.part.address(row))?;
        Ok(address.is_some_and(|address| first.last().is_some_and(|last| address > last.address())))
    }
}
