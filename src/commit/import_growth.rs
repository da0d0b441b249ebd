//! What an import adds to scopes with a quota, added up before the commit lock is taken.
//!
//! Invariants:
//! * The growth of a row is that of the look-up before the files were written. A row whose key others have written
//!   since is put again, and the put is counted in its place.
//! * It is the growth by one value of the store's quotas. With another value the rows are added up again, without a
//!   lock: sizes may not have been looked up before.

use std::sync::Arc;

use crate::commit::tally::{Counted, QuotaTally};
use crate::engine::quotas::Quotas;
use crate::error::Result;
use crate::ids::RowId;
use crate::record::CheckedPut;
use crate::shard::part_ref::Part;
use crate::shard::usage::{ItemSize, record_size};
use crate::types::{Growth, Namespace};

/// The growth by each row of an import.
pub(super) struct ImportGrowth {
    /// In the order of the rows; empty in a store without quotas.
    rows: Vec<Growth>,
    total: QuotaTally,
}

impl ImportGrowth {
    /// The growth by `rows`, of which some replace versions, each named by the place of its row, in their order.
    pub fn of<'a>(
        rows: impl Iterator<Item = &'a CheckedPut>,
        replaced: impl Iterator<Item = (usize, &'a Part, RowId)>,
        quotas: &Arc<Quotas>,
    ) -> Result<Self> {
        let mut growth = Self { rows: Vec::new(), total: QuotaTally::new(quotas) };
        if quotas.is_empty() {
            return Ok(growth);
        }
        let mut replaced = replaced.peekable();
        for (place, row) in rows.enumerate() {
            let old = replaced.next_if(|(at, ..)| *at == place);
            let size_of = |(_, part, at): (usize, &Part, RowId)| {
                if quotas.counts_bytes() { part.part().size(at) } else { Ok(ItemSize::of(0)) }
            };
            let (old, new) = (old.map(size_of).transpose()?, Some(record_size(row)));
            if growth.total.enter(&row.namespace) != Counted::Nothing {
                growth.total.add_write(old, new);
            }
            growth.rows.push(Growth::between(old.map(|old| old.bytes), new));
        }
        growth.total.changes();
        Ok(growth)
    }

    /// Whether it was added up for this value of the quotas.
    pub fn is_of(&self, quotas: &Arc<Quotas>) -> bool {
        self.total.is_of(quotas)
    }

    /// What all rows do to scopes with a quota, but for those that are put again.
    pub fn tally<'a>(&self, put_again: impl Iterator<Item = (usize, &'a Namespace)>) -> QuotaTally {
        let mut tally = self.total.clone();
        for (place, namespace) in put_again {
            let growth = self.rows.get(place).copied().unwrap_or_default();
            if tally.enter(namespace) != Counted::Nothing {
                tally.add(Growth::default().without(growth));
            }
        }
        tally
    }
}
