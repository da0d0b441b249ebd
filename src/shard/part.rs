//! One part of a shard, active or sealed, under one interface for lookups, deaths and reads of single rows.
//!
//! Invariants:
//! * A sealed part whose file is damaged stays in its shard: what it held must fail as `Damaged`, never read as absent.
//! * A part that missed a death (its key table was damaged when the log was replayed) serves nothing any more.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::error::{Error, ErrorKind, Result};
use crate::extensions::Extensions;
use crate::manifest::SegmentEntry;
use crate::record::{ALIVE, Lsn};
use crate::segment::dead::{Deaths, Touch};
use crate::segment::graph_scope::Wanted;
use crate::segment::layout::Section;
use crate::segment::listing::{Keyed, Page, page_of_active, page_of_sealed};
use crate::segment::part::{Conditions, Part, Rows, Sealed};
use crate::segment::sealed::Segment;
use crate::shard::AnyPart;
use crate::shard::decide::{Current, Write};
use crate::shard::missed::Missed;
use crate::shard::weight::BlobCount;
use crate::sync::{AtomicBool, Ordering};
use crate::types::{FieldVector, Interval, Item, NEVER, Namespace, Version};

/// A segment with its tombstones, as long as any View needs it.
pub(crate) struct SealedPart {
    pub entry: SegmentEntry,
    /// Shared with the part that this one becomes when its derived files change.
    pub deaths: Arc<Deaths>,
    segment: Result<Segment>,
    /// Why the part serves nothing although its file opened; shared like the deaths, whose lack it is.
    pub(super) lost: Arc<OnceLock<String>>,
    /// What it missed since it was lost; shared like that.
    pub(super) missed: Arc<Missed>,
    /// Deaths and touches since the tombstones were last written down.
    dirty: AtomicBool,
    /// A merge met damage in it.
    pub(super) unmergeable: AtomicBool,
    /// The background has tried to rebuild its derived files.
    pub(super) rebuilt: AtomicBool,
    /// The background has looked for graphs that it lacks.
    pub(super) looked: AtomicBool,
    /// Graphs that the merge which wrote it found no room for.
    put_off: OnceLock<Vec<Wanted>>,
    pub(super) blob_count: BlobCount,
}

impl SealedPart {
    pub fn new(entry: SegmentEntry, segment: Result<Segment>, deaths: Deaths) -> Self {
        Self::of(entry, segment, Arc::new(deaths))
    }

    pub(super) fn of(entry: SegmentEntry, segment: Result<Segment>, deaths: Arc<Deaths>) -> Self {
        Self {
            entry,
            deaths,
            segment,
            lost: Arc::new(OnceLock::new()),
            missed: Arc::default(),
            dirty: AtomicBool::new(false),
            unmergeable: AtomicBool::new(false),
            rebuilt: AtomicBool::new(false),
            looked: AtomicBool::new(false),
            put_off: OnceLock::new(),
            blob_count: BlobCount::default(),
        }
    }

    /// The segment, or why it cannot be read.
    #[inline]
    pub fn segment(&self) -> Result<&Segment> {
        match (&self.segment, self.lost.get()) {
            (Ok(segment), None) => Ok(segment),
            (Err(error), _) => Err(error.duplicate().with_kind(ErrorKind::Damaged)),
            (_, Some(why)) => Err(Error::new(ErrorKind::Damaged, why.clone())),
        }
    }

    /// The segment if its file opened, even where the part serves nothing: for whoever saves what can be read.
    pub fn opened(&self) -> Option<&Segment> {
        self.segment.as_ref().ok()
    }

    /// Graphs that the merge which wrote the part found no room for, and that are built as soon as there is.
    pub fn put_off(&self) -> &[Wanted] {
        self.put_off.get().map_or(&[], Vec::as_slice)
    }

    /// Keeps them in mind.
    pub fn put_off_graphs(&self, wanted: Vec<Wanted>) {
        let _ = self.put_off.set(wanted);
    }

    /// The rows of the part in an interval, with what their LSNs are counted from and these.
    pub fn rows_in(&self, interval: &Interval) -> Result<(Range<u32>, Lsn, &[Lsn])> {
        if !self.covers(interval) {
            return Ok((0..0, 0, &[]));
        }
        let segment = self.segment()?;
        let rows = segment.interval(interval)?;
        Ok((rows.clone(), segment.lsn_base(), segment.lsns(rows)?))
    }

    /// Whether a namespace of the interval may lie in the part.
    pub fn covers(&self, interval: &Interval) -> bool {
        self.entry.extent.overlaps(interval)
    }

    pub(super) fn may_hold(&self, namespace: &[u8]) -> bool {
        self.entry.extent.contains(namespace)
    }

    /// A merge that met damage does not try the damaged input again.
    pub fn refuse_merges_if_damaged(&self) {
        if self.segment().map_or(true, |segment| !segment.verify_truth().is_empty()) {
            self.unmergeable.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a merge met damage in it.
    pub fn is_unmergeable(&self) -> bool {
        self.unmergeable.load(Ordering::Relaxed)
    }

    /// Whether tombstones changed since this was last asked; asking forgets.
    pub fn take_dirty(&self) -> bool {
        self.dirty.swap(false, Ordering::Relaxed)
    }

    pub fn set_dirty(&self) {
        self.dirty.store(true, Ordering::Relaxed);
    }
}

impl AnyPart<'_> {
    /// Whether the part serves nothing any more.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Sealed(part) if part.is_lost())
    }

    /// The newest row of a key, dead or alive.
    pub fn find(&self, namespace: &[u8], key: &str) -> Result<Option<u32>> {
        match self {
            Self::Active(active) | Self::Sealing(active) => Ok(active.newest(namespace, key)),
            Self::Sealed(part) if part.may_hold(namespace) => part.segment()?.find(namespace, key),
            Self::Sealed(_) => Ok(None),
        }
    }

    pub fn lsn(&self, row: u32) -> Result<Lsn> {
        match self {
            Self::Active(active) | Self::Sealing(active) => Ok(active.row(row).lsn),
            Self::Sealed(part) => part.segment()?.lsn(row),
        }
    }

    pub fn dead_lsn(&self, row: u32) -> Result<Lsn> {
        match self {
            Self::Active(active) | Self::Sealing(active) => Ok(active.row(row).dead_lsn()),
            Self::Sealed(part) => Ok(part.deaths.dead_lsn(row)),
        }
    }

    /// What a write of the key needs to know of the row.
    pub fn current(&self, row: u32) -> Result<Current> {
        match self {
            Self::Active(active) | Self::Sealing(active) => {
                let row = active.row(row);
                Ok(Current { expires_at: row.expires_at(), ..Current::of_record(&row.record, row.lsn) })
            }
            Self::Sealed(part) => {
                let row_times = part.segment()?.times(row)?;
                Ok(Current {
                    lsn: row_times.lsn,
                    created_at: row_times.created_at,
                    updated_at: row_times.updated_at,
                    expires_at: part.deaths.expires_at(row, row_times.expires_at),
                    ttl: row_times.ttl,
                })
            }
        }
    }

    pub fn kill(&self, row: u32, lsn: Lsn) {
        match self {
            Self::Active(active) | Self::Sealing(active) => {
                active.kill(row, lsn);
            }
            Self::Sealed(part) => {
                part.deaths.kill(row, lsn);
                part.set_dirty();
            }
        }
    }

    pub fn kill_range(&self, interval: &Interval, lsn: Lsn) -> Result<()> {
        match self {
            Self::Active(active) | Self::Sealing(active) => {
                active.kill_range(interval, lsn);
            }
            Self::Sealed(part) => {
                let (rows, base, lsns) = part.rows_in(interval)?;
                let lsn_of = |row: u32| lsns[(row - rows.start) as usize].saturating_add(base);
                if part.deaths.kill_range(rows.clone(), lsn, lsn_of) > 0 {
                    part.set_dirty();
                }
            }
        }
        Ok(())
    }

    pub fn touch(&self, touch: Touch) {
        match self {
            Self::Active(active) | Self::Sealing(active) => {
                active.touch(touch.row, touch.expires_at, touch.lsn);
            }
            Self::Sealed(part) => {
                part.deaths.touch(touch);
                part.set_dirty();
            }
        }
    }

    /// The version of a key that a reader at `visible` sees.
    pub fn find_visible(&self, namespace: &[u8], key: &str, visible: Lsn) -> Result<Option<u32>> {
        match self {
            Self::Active(active) | Self::Sealing(active) => Ok(active.find(namespace, key, visible)),
            Self::Sealed(part) => {
                let Some(row) = self.find(namespace, key)? else { return Ok(None) };
                let sees = part.segment()?.lsn(row)? <= visible && !part.deaths.is_dead_at(row, visible);
                Ok(sees.then_some(row))
            }
        }
    }

    /// What the row carries beside its fixed fields.
    pub fn extensions(&self, row: u32) -> Result<Extensions> {
        match self {
            Self::Active(active) | Self::Sealing(active) => Ok(active.row(row).record.extensions.clone()),
            Self::Sealed(part) => part.segment()?.extensions(row),
        }
    }

    /// The row as an item, for the caller of a read; `namespace` is its namespace, if that is known.
    pub fn item(&self, row: u32, namespace: Option<&Namespace>, include_vectors: bool) -> Result<Item> {
        match self {
            Self::Active(active) | Self::Sealing(active) => {
                let row = active.row(row);
                let record = &row.record;
                let vectors = if include_vectors { record.vectors.to_vec() } else { Vec::new() };
                Ok(item(
                    record.namespace.clone(),
                    record.key.as_ref(),
                    record.value.clone(),
                    (record.created_at, record.updated_at, record.ttl, row.expires_at(), row.lsn),
                    vectors,
                ))
            }
            Self::Sealed(part) => {
                let segment = part.segment()?;
                let times = segment.times(row)?;
                let namespace = match namespace {
                    Some(namespace) => namespace.clone(),
                    None => Namespace::from_encoded(segment.namespace(segment.namespace_of(row)?)?),
                };
                let expires_at = part.deaths.expires_at(row, times.expires_at);
                let vectors = if include_vectors { segment.field_vectors(row)? } else { Vec::new() };
                Ok(item(
                    namespace,
                    segment.key(row)?,
                    segment.value(row)?.into(),
                    (times.created_at, times.updated_at, times.ttl, expires_at, times.lsn),
                    vectors,
                ))
            }
        }
    }
}

fn item(
    namespace: Namespace,
    key: &str,
    value: Box<str>,
    (created_at, updated_at, ttl, expires_at, lsn): (i64, i64, i64, i64, Lsn),
    vectors: Vec<FieldVector>,
) -> Item {
    debug_assert!(lsn < ALIVE);
    Item {
        namespace,
        key: key.to_owned(),
        value,
        created_at,
        updated_at,
        ttl: (ttl > 0).then_some(ttl),
        expires_at: (expires_at != NEVER).then_some(expires_at),
        version: Version(lsn),
        vectors,
    }
}

impl SealedPart {
    /// The part as a read sees it.
    pub fn readable(&self) -> Result<Sealed<'_>> {
        Ok(Sealed::new(self.segment()?, &self.deaths))
    }
}

impl<'a> AnyPart<'a> {
    /// The segment behind the part, if it is one that can be read: for prefetches.
    pub fn segment(&self) -> Option<&'a Segment> {
        if let Self::Sealed(part) = self { part.segment().ok() } else { None }
    }

    /// A page of key order.
    pub fn page(&self, page: &Page<'_>, conditions: &Conditions<'_>) -> Result<Vec<Keyed<'a>>> {
        match *self {
            Self::Active(active) | Self::Sealing(active) => page_of_active(active, page, conditions),
            Self::Sealed(part) if part.covers(page.interval) => page_of_sealed(&part.readable()?, page, conditions),
            Self::Sealed(_) => Ok(Vec::new()),
        }
    }

    /// Encoded namespaces of the interval that hold a row which satisfies the conditions, and are not `known` yet.
    pub fn live_namespaces(
        &self,
        interval: &Interval,
        conditions: &Conditions<'_>,
        known: &BTreeSet<Vec<u8>>,
    ) -> Result<Vec<Vec<u8>>> {
        let mut live = Vec::new();
        match *self {
            Self::Active(active) | Self::Sealing(active) => {
                for (namespace, rows) in active.namespaces_in(interval) {
                    if !known.contains(namespace.encoded()) && rows.iter().any(|&row| conditions.sees(&**active, row)) {
                        live.push(namespace.encoded().to_vec());
                    }
                }
            }
            Self::Sealed(part) if part.covers(interval) => {
                let readable = part.readable()?;
                let segment = readable.segment();
                for number in segment.namespaces_in(interval)? {
                    conditions.check_deadline()?;
                    let (namespace, rows) = (segment.namespace(number)?, segment.namespace_rows(number)?);
                    if known.contains(namespace) {
                        continue;
                    }
                    readable.ensure_rows(&Rows::Range(rows.clone()))?;
                    if { rows }.any(|row| conditions.sees(&readable, row)) {
                        live.push(namespace.to_vec());
                    }
                }
            }
            Self::Sealed(_) => {}
        }
        Ok(live)
    }

    /// Adds deletes of up to `limit` items that a view of `visible` shows but that have expired by `now`.
    pub fn expired(&self, visible: Lsn, now: i64, limit: usize, writes: &mut Vec<Write>) -> Result<()> {
        let expire = |namespace: &Namespace, key: &str| Write::Expire { namespace: namespace.clone(), key: key.into() };
        match *self {
            Self::Active(active) | Self::Sealing(active) => {
                let rows = (0..active.len() as u32).map(|row| active.row(row));
                let expired = rows.filter(|row| row.is_visible(visible) && row.expires_at() <= now);
                writes.extend(expired.take(limit).map(|row| expire(&row.record.namespace, &row.record.key)));
            }
            Self::Sealed(part) => {
                let Ok(segment) = part.segment() else { return Ok(()) };
                if segment.header().earliest_expiry > now && part.deaths.touched_rows() == 0 {
                    return Ok(());
                }
                segment.ensure_rows(0..segment.rows(), &[Section::ExpiresAt])?;
                let stored = segment.expires_at_column();
                let expired = (0..segment.rows()).filter(|&row| {
                    !part.deaths.is_dead_at(row, visible) && part.deaths.expires_at(row, stored[row as usize]) <= now
                });
                for row in expired.take(limit) {
                    let row = segment.row(row)?;
                    writes.push(expire(&Namespace::from_encoded(row.namespace), row.key));
                }
            }
        }
        Ok(())
    }
}

/// A shared sealed part.
pub(crate) type SharedPart = Arc<SealedPart>;
