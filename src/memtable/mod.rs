//! The memtable: the newest rows of a shard, in memory. It has one writer and any number of readers. An open rebuilds
//! it from the log.
//!
//! Reading order: `append_only` (arrays that grow while others read them), the memtable, `copy`, `field_chunks`.
//!
//! Invariants:
//! * Rows are appended in LSN order and never move. A row changes only when it is deleted or touched. The writer is the
//!   thread that holds the apply lock.
//! * A row is complete before the map of namespaces names it. Readers lock the map only to copy row numbers.
//! * The versions of a key form a chain from the newest to the oldest, with the deleted ones, so that every read view
//!   finds the version that it shows.
//! * The code of a vector and its metadata are computed when the row is appended. The flush writes them unchanged.

pub(crate) mod append_only;
mod copy;
mod field_chunks;

pub(crate) use copy::MemtableCopies;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::{Bound, Range};
use std::sync::Arc;

use crate::distance::{Kernels, inverse_norm};
use crate::error::{Error, ErrorKind, Result};
use crate::filter::OutcomeCache;
use crate::ids::{Id, IdRange, RowId, VectorId};
use crate::memtable::{append_only::AppendOnly, field_chunks::FieldChunks};
use crate::quant::{CodeMeta, encode, stride};
use crate::record::{ALIVE, AtomicLsn, Lsn, Record};
use crate::sync::{AtomicI64, AtomicUsize, Ordering, RwLock};
use crate::types::{Interval, KeyPosition, Namespace, VectorSpace};
use crate::words::counted;

/// "No older version".
const NONE: RowId = RowId(u32::MAX);
/// Estimated bytes of a row beside its record and its vectors: the [`MemtableRow`], and its entries in the map.
const ROW_BYTES: usize = 160;

/// A row: one version of one item.
pub(crate) struct MemtableRow {
    pub record: Arc<Record>,
    pub lsn: Lsn,
    deleted_lsn: AtomicLsn,
    /// The expiry of the record, or that of the last touch.
    expires_at: AtomicI64,
    /// The LSN of the last touch; `Lsn::ZERO` for none.
    touch_lsn: AtomicLsn,
    /// A copy of the record's `updated_at`, since listings compare it for every row.
    pub updated_at: i64,
    /// The first of the row's vectors, which have consecutive numbers.
    first_vector: VectorId,
    vectors: u32,
    /// The previous version of the same key, or `NONE`.
    previous: RowId,
}

impl MemtableRow {
    /// The LSN of the operation that deleted the row; `ALIVE` if the row is not deleted.
    #[inline]
    pub fn deleted_lsn(&self) -> Lsn {
        self.deleted_lsn.load(Ordering::Relaxed)
    }

    /// Microseconds since 1970 UTC, touches included; `NEVER` for a row that stays.
    #[inline]
    pub fn expires_at(&self) -> i64 {
        self.expires_at.load(Ordering::Relaxed)
    }

    /// The numbers of the row's vectors.
    #[inline]
    pub fn vectors(&self) -> Range<VectorId> {
        self.first_vector..self.first_vector + self.vectors
    }

    /// Whether a view of `read_lsn` sees the row.
    #[inline]
    pub fn is_visible(&self, read_lsn: Lsn) -> bool {
        self.lsn <= read_lsn && read_lsn < self.deleted_lsn()
    }

    fn delete(&self, lsn: Lsn) -> bool {
        let kills = self.lsn < lsn && self.deleted_lsn() == ALIVE;
        if kills {
            self.deleted_lsn.store(lsn, Ordering::Relaxed);
        }
        kills
    }
}

/// The rows of one namespace.
struct NamespaceRows {
    namespace: Namespace,
    /// All rows of the namespace, in LSN order.
    rows: Vec<RowId>,
    /// The newest version of each key.
    newest: BTreeMap<Arc<str>, RowId>,
}

/// A part in memory; see the module.
pub(crate) struct Memtable {
    /// The vector space of the store, whose dimensions every vector must have; `None` if items have no vectors.
    space: Option<VectorSpace>,
    rows: AppendOnly<MemtableRow>,
    namespaces: RwLock<BTreeMap<Box<[u8]>, NamespaceRows>>,
    codes: AppendOnly<i8>,
    metas: AppendOnly<CodeMeta>,
    vectors: AppendOnly<f32>,
    bytes: AtomicUsize,
    /// What filters said of the values.
    pub outcomes: OutcomeCache,
    pub field_chunks: FieldChunks,
}

/// Roughly the bytes of a row in memory. On disk it takes about as many.
fn bytes_of(record: &Record, dims: usize) -> usize {
    ROW_BYTES + record.bytes() + record.vectors.len() * (stride(dims) + 4 * dims + size_of::<CodeMeta>())
}

impl Memtable {
    /// An empty memtable. Without a `space` its items have no vectors.
    pub fn new(space: Option<VectorSpace>) -> Self {
        let dims = space.map_or(0, |space| space.dims);
        Self {
            space,
            rows: AppendOnly::new(),
            namespaces: RwLock::new(BTreeMap::new()),
            codes: AppendOnly::with_width(stride(dims)),
            metas: AppendOnly::new(),
            vectors: AppendOnly::with_width(dims),
            bytes: AtomicUsize::new(0),
            outcomes: OutcomeCache::default(),
            field_chunks: FieldChunks::default(),
        }
    }

    /// The number of rows, deleted ones included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers of all rows, deleted ones included.
    pub fn all_rows(&self) -> Range<RowId> {
        RowId::range(0..self.len() as u32)
    }

    /// The number of vectors, those of deleted rows included.
    pub fn vectors(&self) -> usize {
        self.vectors.len()
    }

    /// Roughly the bytes of memory that the rows take.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Roughly the bytes of memory that one row takes.
    pub fn row_bytes(&self, row: RowId) -> usize {
        bytes_of(&self.row(row).record, self.space.map_or(0, |space| space.dims))
    }

    /// Appends a version, which becomes the newest of its key. Older versions stay alive until they are
    /// [deleted](Self::delete). Writer only.
    pub fn append(&self, record: Arc<Record>, lsn: Lsn) -> Result<RowId> {
        let dims = self.space.map_or(0, |space| space.dims);
        if let Some(vector) = record.vectors.iter().find(|vector| dims == 0 || vector.values.len() != dims) {
            let found = counted(vector.values.len(), "dimension");
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("{}: a vector of {found} in a store of {dims}", record.namespace),
            ));
        }
        let first_vector = VectorId::from_index(self.vectors());
        let mut code = vec![0; if record.vectors.is_empty() { 0 } else { stride(dims) }];
        for vector in &record.vectors {
            let meta = encode(Kernels::get(), &vector.values, &mut code);
            self.codes.push_row(&code).ok_or_else(full)?;
            self.metas.push(meta).ok_or_else(full)?;
            self.vectors.push_row(&vector.values).ok_or_else(full)?;
        }
        self.bytes.fetch_add(bytes_of(&record, dims), Ordering::Relaxed);
        let mut namespaces = self.namespaces.write();
        let encoded = record.namespace.encoded();
        if !namespaces.contains_key(encoded) {
            let namespace = record.namespace.clone();
            namespaces.insert(encoded.into(), NamespaceRows { namespace, rows: Vec::new(), newest: BTreeMap::new() });
        }
        let listed = namespaces.get_mut(encoded).ok_or_else(full)?;
        let previous = listed.newest.get(&*record.key).copied();
        let row = MemtableRow {
            lsn,
            deleted_lsn: AtomicLsn::new(ALIVE),
            expires_at: AtomicI64::new(record.expires_at),
            touch_lsn: AtomicLsn::new(Lsn::ZERO),
            updated_at: record.updated_at,
            first_vector,
            vectors: record.vectors.len() as u32,
            previous: previous.unwrap_or(NONE),
            record: Arc::clone(&record),
        };
        let row = RowId(self.rows.push(row).ok_or_else(full)?);
        listed.rows.push(row);
        match listed.newest.get_mut(&*record.key) {
            Some(newest) => *newest = row,
            None => drop(listed.newest.insert(Arc::clone(&record.key), row)),
        }
        Ok(row)
    }

    /// Deletes a row as of `lsn`, if it is alive and older than `lsn`. Returns whether it did. Writer only.
    pub fn delete(&self, row: RowId, lsn: Lsn) -> bool {
        self.row(row).delete(lsn)
    }

    /// Deletes the living rows of `interval` that are older than `lsn`. Returns their number. Writer only.
    pub fn delete_range(&self, interval: &Interval, lsn: Lsn) -> usize {
        let mut rows = Vec::new();
        self.rows_in(interval, &mut rows);
        rows.into_iter().filter(|&row| self.delete(row, lsn)).count()
    }

    /// Changes the expiry of a row, unless a later touch has changed it. Returns whether it did. Writer only.
    pub fn touch(&self, row: RowId, expires_at: i64, lsn: Lsn) -> bool {
        let row = self.row(row);
        let moves = lsn > row.touch_lsn.load(Ordering::Relaxed);
        if moves {
            row.expires_at.store(expires_at, Ordering::Relaxed);
            row.touch_lsn.store(lsn, Ordering::Relaxed);
        }
        moves
    }

    /// The row with this number, which must be of this memtable.
    #[inline]
    pub fn row(&self, row: RowId) -> &MemtableRow {
        self.rows.get(row.0)
    }

    /// The newest version of a key, deleted or alive.
    pub fn newest(&self, namespace: &[u8], key: &str) -> Option<RowId> {
        self.namespaces.read().get(namespace)?.newest.get(key).copied()
    }

    /// The version of a key that a view of `read_lsn` sees.
    pub fn find(&self, namespace: &[u8], key: &str, read_lsn: Lsn) -> Option<RowId> {
        self.version(self.newest(namespace, key)?, read_lsn)
    }

    /// Appends all versions in the interval to `rows`: one namespace after the other, the rows of each in LSN order.
    pub fn rows_in(&self, interval: &Interval, rows: &mut Vec<RowId>) {
        self.each_namespace(interval.bounds(), |listed| {
            rows.extend_from_slice(&listed.rows);
            true
        });
    }

    /// The namespaces of the interval in order, each with its rows.
    pub fn namespaces_in(&self, interval: &Interval) -> Vec<(Namespace, Vec<RowId>)> {
        let mut found = Vec::new();
        self.each_namespace(interval.bounds(), |listed| {
            found.push((listed.namespace.clone(), listed.rows.clone()));
            true
        });
        found
    }

    /// The first namespace from `low` on and below `high` that `is_sought`, given its encoding and all its rows in LSN
    /// order, says yes to.
    pub fn find_namespace(
        &self,
        low: &[u8],
        high: &[u8],
        mut is_sought: impl FnMut(&[u8], &[RowId]) -> bool,
    ) -> Option<Namespace> {
        let mut found = None;
        self.each_namespace(low..high, |listed| {
            let is_sought = is_sought(listed.namespace.encoded(), &listed.rows);
            found = is_sought.then(|| listed.namespace.clone());
            !is_sought
        });
        found
    }

    /// The rows of the interval that a view of `read_lsn` sees and whose keys start with `key_prefix`, in the order of
    /// (namespace, key): the first `limit` of those after the position `after`.
    pub fn rows_by_key(
        &self,
        interval: &Interval,
        key_prefix: &str,
        after: Option<KeyPosition<'_>>,
        read_lsn: Lsn,
        limit: usize,
    ) -> Vec<RowId> {
        let mut found = Vec::new();
        self.each_namespace(interval.bounds(), |listed| {
            let encoded = listed.namespace.encoded();
            let start = match after {
                Some(after) if encoded < after.namespace => return true,
                Some(KeyPosition { namespace, key }) if encoded == namespace && key >= key_prefix => {
                    Bound::Excluded(key)
                }
                _ => Bound::Included(key_prefix),
            };
            let keys = listed.newest.range::<str, _>((start, Bound::Unbounded));
            let rows = keys.take_while(|(key, _)| key.starts_with(key_prefix));
            let left = limit - found.len();
            found.extend(rows.filter_map(|(_, &newest)| self.version(newest, read_lsn)).take(left));
            found.len() < limit
        });
        found
    }

    /// The rows of the interval that are alive at `base`, in (namespace, key) order, for the flush.
    pub fn ordered_rows(&self, interval: &Interval, base: Lsn) -> Vec<RowId> {
        self.rows_by_key(interval, "", None, base, usize::MAX)
    }

    /// The rows written at or below `base` and deleted after it, each with its `deleted_lsn`. Writer only.
    pub fn deletions_after(&self, base: Lsn) -> Vec<(RowId, Lsn)> {
        let all = self.all_rows().ids().map(|row| (row, self.row(row)));
        let died = all.filter(|(_, row)| row.lsn <= base && row.deleted_lsn() > base && row.deleted_lsn() != ALIVE);
        died.map(|(number, row)| (number, row.deleted_lsn())).collect()
    }

    /// The rows written at or below `base` and touched after it, each with its expiry and the LSN of its last touch.
    /// Writer only.
    pub fn touches_after(&self, base: Lsn) -> Vec<(RowId, i64, Lsn)> {
        let all =
            self.all_rows().ids().map(|row| (row, self.row(row), self.row(row).touch_lsn.load(Ordering::Relaxed)));
        let touched = all.filter(|&(_, row, touched)| row.lsn <= base && touched > base);
        touched.map(|(number, row, touched)| (number, row.expires_at(), touched)).collect()
    }

    /// The code of vector `vector`, padded to the stride.
    #[inline]
    pub fn code(&self, vector: VectorId) -> &[i8] {
        self.codes.row(vector.0)
    }

    /// The metadata of the code of vector `vector`.
    #[inline]
    pub fn meta(&self, vector: VectorId) -> &CodeMeta {
        self.metas.get(vector.0)
    }

    /// The components of vector `vector`, as the caller gave them.
    #[inline]
    pub fn vector(&self, vector: VectorId) -> &[f32] {
        self.vectors.row(vector.0)
    }

    /// One over the norm of vector `vector`.
    #[inline]
    pub fn inverse_norm(&self, vector: VectorId) -> f32 {
        inverse_norm(self.meta(vector).norm)
    }

    /// Follows the chain of versions from `row` to the version that a view of `read_lsn` sees, if there is one.
    fn version(&self, mut row: RowId, read_lsn: Lsn) -> Option<RowId> {
        while row != NONE {
            let version = self.row(row);
            if version.lsn <= read_lsn {
                return version.is_visible(read_lsn).then_some(row);
            }
            row = version.previous;
        }
        None
    }

    /// Calls `each` for the namespaces in these bounds in order, under the lock of the map, until `each` returns false.
    fn each_namespace(&self, bounds: Range<&[u8]>, mut each: impl FnMut(&NamespaceRows) -> bool) {
        if bounds.is_empty() {
            return;
        }
        let bounds = (Bound::Included(bounds.start), Bound::Excluded(bounds.end));
        for (_, listed) in self.namespaces.read().range::<[u8], _>(bounds) {
            if !each(listed) {
                return;
            }
        }
    }
}

impl fmt::Debug for Memtable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memtable").field("rows", &self.len()).finish_non_exhaustive()
    }
}

/// The error for 2^32 rows or vectors. A memtable is frozen long before that.
fn full() -> Error {
    Error::new(ErrorKind::Busy, "the memtable is full; try again when it has been flushed")
}

#[cfg(test)]
mod tests;
