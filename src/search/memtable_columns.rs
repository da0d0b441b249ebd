//! The columns of a memtable.
//!
//! Invariant: a memtable lies in memory and its rows are whole, so nothing has to be checked before a loop.

use std::ops::Range;

use crate::error::Result;
use crate::filter::{AskedOfItem, ItemFacts};
use crate::ids::{RowId, VectorId};
use crate::memtable::Memtable;
use crate::quant::CodeMeta;
use crate::record::Lsn;
use crate::search::part::{PartColumns, Rows, Run};
use crate::segment::blob::values::UnreadValue;
use crate::types::KeyPosition;

impl PartColumns for Memtable {
    fn ensure_rows(&self, _: &Rows) -> Result<()> {
        Ok(())
    }

    fn ensure_times(&self, _: &Rows) -> Result<()> {
        Ok(())
    }

    fn ensure_vectors(&self, _: &Rows) -> Result<()> {
        Ok(())
    }

    fn ensure_codes(&self, _: &Rows) -> bool {
        true
    }

    fn sees_all(&self, _: &Rows, _: Lsn, _: i64) -> bool {
        false
    }

    #[inline]
    fn sees(&self, row: RowId, read_lsn: Lsn, now: i64) -> bool {
        let row = self.row(row);
        row.is_visible(read_lsn) && now < row.expires_at()
    }

    #[inline]
    fn lsn(&self, row: RowId) -> Lsn {
        self.row(row).lsn
    }

    #[inline]
    fn updated_at(&self, row: RowId) -> i64 {
        self.row(row).updated_at
    }

    fn item_facts(&self, row: RowId, _: AskedOfItem) -> Result<ItemFacts<'_>> {
        let row = self.row(row);
        let (created_at, updated_at) = (row.record.created_at, row.updated_at);
        Ok(ItemFacts { created_at, updated_at, expires_at: row.expires_at(), key: &row.record.key })
    }

    fn address(&self, row: RowId) -> Result<KeyPosition<'_>> {
        let record = &self.row(row).record;
        Ok(KeyPosition { namespace: record.namespace.encoded(), key: &record.key })
    }

    #[inline]
    fn value(&self, row: RowId) -> Result<UnreadValue<'_>> {
        Ok(UnreadValue::Small(self.row(row).record.value.as_bytes()))
    }

    #[inline]
    fn row_vectors(&self, row: RowId) -> Range<VectorId> {
        self.row(row).vectors()
    }

    fn vector_path(&self, row: RowId, vector: VectorId) -> Result<&str> {
        let row = self.row(row);
        let number = vector.index() - row.vectors().start.index();
        Ok(row.record.vectors.get(number).map_or("", |vector| &vector.path))
    }

    fn run_of_codes(&self, _: &Rows) -> Option<Run<'_>> {
        None
    }

    fn prefetch_code(&self, _: VectorId) {}

    #[inline]
    fn code(&self, vector: VectorId) -> &[i8] {
        Memtable::code(self, vector)
    }

    #[inline]
    fn meta(&self, vector: VectorId) -> CodeMeta {
        *Memtable::meta(self, vector)
    }

    #[inline]
    fn vector(&self, vector: VectorId) -> Result<&[f32]> {
        Ok(Memtable::vector(self, vector))
    }

    #[inline]
    fn inverse_norm(&self, vector: VectorId) -> f32 {
        Memtable::inverse_norm(self, vector)
    }
}
