//! What an import adds to scopes with a quota, added up before the commit lock is taken.
//!
//! Invariants:
//! * The growth of a row is that of the look-up before the files were written. A row whose key others have written
//!   since is put again, and the put is counted in its place.

use std::sync::Arc;

use crate::commit::tally::{Counted, QuotaTally};
use crate::engine::quotas::Quotas;
use crate::error::Result;
use crate::ids::RowId;
use crate::record::CheckedPut;
use crate::shard::part_ref::Part;
use crate::shard::usage::record_size;
use crate::types::{Growth, Namespace};

/// The growth by each row of an import.
pub(super) struct ImportGrowth {
    /// In the order of the rows.
    rows: Vec<Growth>,
    total: QuotaTally,
}

impl ImportGrowth {
    /// The growth by `rows`, of which some replace versions, each named by the place of its row. `None` in a store
    /// without quotas.
    pub fn of<'a>(
        rows: impl Iterator<Item = &'a CheckedPut>,
        replaced: &[(usize, Part, RowId)],
        quotas: Arc<Quotas>,
    ) -> Result<Option<Self>> {
        if quotas.is_empty() {
            return Ok(None);
        }
        let mut growth = Self { rows: Vec::new(), total: QuotaTally::new(&quotas) };
        let mut replaced = replaced.iter().peekable();
        for (place, row) in rows.enumerate() {
            let old = replaced.next_if(|(at, ..)| *at == place);
            let of_row = if quotas.counts_bytes() {
                let old = old.map(|(_, part, at)| part.part().size(*at)).transpose()?;
                Growth::between(old, Some(record_size(row)))
            } else {
                Growth::between(old.map(|_| 0), Some(0))
            };
            add(&mut growth.total, &row.namespace, of_row);
            growth.rows.push(of_row);
        }
        growth.total.changes();
        Ok(Some(growth))
    }

    /// What all rows do to scopes with a quota, but for those that are put again.
    pub fn tally<'a>(
        &self,
        rows: impl Iterator<Item = &'a CheckedPut>,
        quotas: &Arc<Quotas>,
        put_again: impl Iterator<Item = (usize, &'a Namespace)>,
    ) -> QuotaTally {
        let mut tally = match () {
            () if self.total.is_of(quotas) => self.total.clone(),
            // Others have changed the quotas since. Bytes may not have been counted before.
            () if quotas.counts_bytes() => return QuotaTally::unknown(quotas),
            () => {
                let mut tally = QuotaTally::new(quotas);
                rows.zip(&self.rows).for_each(|(row, growth)| add(&mut tally, &row.namespace, *growth));
                tally
            }
        };
        for (place, namespace) in put_again {
            add(&mut tally, namespace, Growth::default().without(self.rows[place]));
        }
        tally
    }
}

fn add(tally: &mut QuotaTally, namespace: &Namespace, growth: Growth) {
    if tally.enter(namespace) != Counted::Nothing {
        tally.add(growth);
    }
}
