//! A copy of a part of a memtable, for the split of a shard.
//!
//! Invariants:
//! * The copy has the rows of the interval that are alive, with their LSNs, expiries and touches. Rows that are deleted
//!   are left out: the read views that show them keep the memtable that was copied.

use std::sync::Arc;

use super::Memtable;
use crate::error::Result;
use crate::ids::IdRange;
use crate::record::Lsn;
use crate::sync::Ordering;
use crate::types::Interval;

impl Memtable {
    /// A memtable of the rows of the interval that are alive at `base`. Writer only.
    pub fn copied(&self, interval: &Interval, base: Lsn) -> Result<Self> {
        let copy = Self::new(self.space);
        for row in self.all_rows().ids().map(|row| self.row(row)) {
            if row.is_visible(base) && interval.contains(row.record.namespace.encoded()) {
                let copied = copy.append(Arc::clone(&row.record), row.lsn)?;
                copy.touch(copied, row.expires_at(), row.touch_lsn.load(Ordering::Relaxed));
            }
        }
        Ok(copy)
    }
}
