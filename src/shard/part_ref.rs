//! One part of a shard, a memtable or a segment, under one interface for lookups, tombstones and reads of single rows.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::extensions::Extensions;
use crate::fields::Select;
use crate::ids::{IdRange, RowId};
use crate::memtable::Memtable;
use crate::record::{ALIVE, Lsn, Record, TextHash, VersionTimes, Write};
use crate::search::conditions::Conditions;
use crate::search::listing::{KeyedRow, ListPage, page_of_memtable, page_of_segment};
use crate::search::namespaces::{SegmentNamespaces, SoughtNamespaces, next_of_memtable};
use crate::segment::Segment;
use crate::segment::tombstones::Touch;
use crate::segment::truth::layout::Section;
use crate::types::{FieldVector, Interval, Item, NEVER, Namespace, Version};

use crate::shard::part::{SegmentPart, SharedSegment};

/// One part of a shard.
#[derive(Clone, Copy)]
pub(crate) enum PartRef<'a> {
    /// A memtable, taking writes or frozen.
    Memtable(&'a Arc<Memtable>),
    Segment(&'a Arc<SegmentPart>),
}

/// What a read returns of an item, beside its key and its times.
#[derive(Clone, Copy)]
pub(crate) struct ItemParts<'a> {
    pub select: &'a Select,
    pub vectors: bool,
}

impl ItemParts<'_> {
    pub const ALL: ItemParts<'static> = ItemParts { select: &Select::All, vectors: true };
    /// Neither the value nor vectors.
    pub const KEY: ItemParts<'static> = ItemParts { select: &Select::None, vectors: false };

    /// What is selected of the value that `read` reads.
    fn value<'v>(&self, read: impl FnOnce() -> Result<Cow<'v, str>>) -> Result<Box<str>> {
        match self.select {
            Select::All => Ok(read()?.into()),
            Select::None => Ok("{}".into()),
            Select::Fields(fields) => match fields.of(read()?.as_bytes()) {
                Some(selected) => Ok(selected.into()),
                None => Err(Error::new(ErrorKind::Damaged, "a value is not a JSON object; `check` says what helps")),
            },
        }
    }
}

impl PartRef<'_> {
    /// Whether the part is lost, so that every read of it fails.
    pub fn is_lost(&self) -> bool {
        matches!(self, Self::Segment(part) if part.is_lost())
    }

    /// The newest row of a key, deleted or alive.
    pub fn find(&self, namespace: &[u8], key: &str) -> Result<Option<RowId>> {
        match self {
            Self::Memtable(memtable) => Ok(memtable.newest(namespace, key)),
            Self::Segment(part) if part.may_hold(namespace) => part.segment()?.find(namespace, key),
            Self::Segment(_) => Ok(None),
        }
    }

    pub fn lsn(&self, row: RowId) -> Result<Lsn> {
        match self {
            Self::Memtable(memtable) => Ok(memtable.row(row).lsn),
            Self::Segment(part) => part.segment()?.lsn(row),
        }
    }

    pub fn deleted_lsn(&self, row: RowId) -> Result<Lsn> {
        match self {
            Self::Memtable(memtable) => Ok(memtable.row(row).deleted_lsn()),
            Self::Segment(part) => Ok(part.tombstones.deleted_lsn(row)),
        }
    }

    /// The LSN and the times of the row, with its present expiry: a write of its key needs them.
    pub fn current(&self, row: RowId) -> Result<VersionTimes> {
        match self {
            Self::Memtable(memtable) => {
                let row = memtable.row(row);
                Ok(VersionTimes { expires_at: row.expires_at(), ..VersionTimes::of_record(&row.record, row.lsn) })
            }
            Self::Segment(part) => {
                let row_times = part.segment()?.times(row)?;
                Ok(VersionTimes {
                    lsn: row_times.lsn,
                    created_at: row_times.created_at,
                    updated_at: row_times.updated_at,
                    expires_at: part.tombstones.expires_at(row, row_times.expires_at),
                    ttl: row_times.ttl,
                })
            }
        }
    }

    pub fn delete(&self, row: RowId, lsn: Lsn) {
        match self {
            Self::Memtable(memtable) => {
                memtable.delete(row, lsn);
            }
            Self::Segment(part) => {
                part.tombstones.delete(row, lsn);
                part.set_dirty();
            }
        }
    }

    pub fn delete_range(&self, interval: &Interval, lsn: Lsn) -> Result<()> {
        match self {
            Self::Memtable(memtable) => {
                memtable.delete_range(interval, lsn);
            }
            Self::Segment(part) => {
                let (rows, base, lsns) = part.rows_in(interval)?;
                let lsn_of = |row: RowId| base.saturating_add(lsns[(row - rows.start) as usize]);
                if part.tombstones.delete_range(rows.clone(), lsn, lsn_of) > 0 {
                    part.set_dirty();
                }
            }
        }
        Ok(())
    }

    pub fn touch(&self, touch: Touch) {
        match self {
            Self::Memtable(memtable) => {
                memtable.touch(touch.row, touch.expires_at, touch.lsn);
            }
            Self::Segment(part) => {
                part.tombstones.touch(touch);
                part.set_dirty();
            }
        }
    }

    /// The version of a key that a reader at `read_lsn` sees.
    pub fn find_visible(&self, namespace: &[u8], key: &str, read_lsn: Lsn) -> Result<Option<RowId>> {
        match self {
            Self::Memtable(memtable) => Ok(memtable.find(namespace, key, read_lsn)),
            Self::Segment(part) => {
                let Some(row) = self.find(namespace, key)? else { return Ok(None) };
                let sees = part.segment()?.lsn(row)? <= read_lsn && !part.tombstones.is_deleted_at(row, read_lsn);
                Ok(sees.then_some(row))
            }
        }
    }

    /// The field paths that the put of the row named for embedding.
    pub fn index_paths(&self, row: RowId) -> Result<Vec<Arc<str>>> {
        match self {
            Self::Memtable(memtable) => Ok(memtable.row(row).record.index_paths.clone()),
            Self::Segment(part) => part.segment()?.index_paths(row),
        }
    }

    /// The hash of the text that each vector of the row embeds; empty if none is known.
    pub fn text_hashes(&self, row: RowId) -> Result<Vec<TextHash>> {
        match self {
            Self::Memtable(memtable) => Ok(memtable.row(row).record.text_hashes.clone()),
            Self::Segment(part) => part.segment()?.row_text_hashes(row),
        }
    }

    /// The extensions of the row.
    pub fn extensions(&self, row: RowId) -> Result<Extensions> {
        match self {
            Self::Memtable(memtable) => Ok(memtable.row(row).record.extensions.clone()),
            Self::Segment(part) => part.segment()?.extensions(row),
        }
    }

    /// The row as an item, for the caller of a read; `namespace` is its namespace, if that is known.
    pub fn item(&self, row: RowId, namespace: Option<&Namespace>, parts: ItemParts<'_>) -> Result<Item> {
        match self {
            Self::Memtable(memtable) => {
                let row = memtable.row(row);
                let record = &row.record;
                let vectors = if parts.vectors { record.vectors.to_vec() } else { Vec::new() };
                Ok(item(
                    record.namespace.clone(),
                    record.key.as_ref(),
                    parts.value(|| Ok(Cow::Borrowed(&*record.value)))?,
                    VersionTimes { expires_at: row.expires_at(), ..VersionTimes::of_record(record, row.lsn) },
                    vectors,
                ))
            }
            Self::Segment(part) => {
                let segment = part.segment()?;
                let times = segment.times(row)?;
                let namespace = match namespace {
                    Some(namespace) => namespace.clone(),
                    None => Namespace::from_encoded(segment.namespace(segment.namespace_of(row)?)?),
                };
                let expires_at = part.tombstones.expires_at(row, times.expires_at);
                let vectors = if parts.vectors { segment.field_vectors(row)? } else { Vec::new() };
                Ok(item(
                    namespace,
                    segment.key(row)?,
                    parts.value(|| segment.value(row))?,
                    VersionTimes { expires_at, ..times },
                    vectors,
                ))
            }
        }
    }
}

fn item(namespace: Namespace, key: &str, value: Box<str>, times: VersionTimes, vectors: Vec<FieldVector>) -> Item {
    let VersionTimes { lsn, created_at, updated_at, expires_at, ttl } = times;
    debug_assert!(lsn < ALIVE);
    Item {
        namespace,
        key: key.to_owned(),
        value,
        created_at,
        updated_at,
        ttl: (ttl > 0).then_some(ttl),
        expires_at: (expires_at != NEVER).then_some(expires_at),
        version: Version(lsn.get()),
        vectors,
    }
}

/// A part, shared.
#[derive(Clone)]
pub(crate) enum Part {
    Memtable(Arc<Memtable>),
    Segment(SharedSegment),
}

impl Part {
    pub fn of(part: PartRef<'_>) -> Self {
        match part {
            PartRef::Memtable(memtable) => Self::Memtable(Arc::clone(memtable)),
            PartRef::Segment(part) => Self::Segment(Arc::clone(part)),
        }
    }

    pub fn part(&self) -> PartRef<'_> {
        match self {
            Self::Memtable(memtable) => PartRef::Memtable(memtable),
            Self::Segment(part) => PartRef::Segment(part),
        }
    }
}

/// The identity of a part. A part that differs only in its derived files has the same one: it shares the tombstones.
pub(super) fn address(part: PartRef<'_>) -> usize {
    match part {
        PartRef::Memtable(memtable) => Arc::as_ptr(memtable) as usize,
        PartRef::Segment(part) => Arc::as_ptr(&part.tombstones) as usize,
    }
}

/// The namespaces of one part in order, those that a read sees. Each seek goes on from the last one.
pub(crate) enum PartNamespaces<'a> {
    Memtable(&'a Memtable),
    Segment(SegmentNamespaces<'a>),
}

impl<'a> PartNamespaces<'a> {
    /// The first namespace at or above `low` that is sought, encoded.
    pub fn seek(&mut self, low: &[u8], sought: &SoughtNamespaces<'_>) -> Result<Option<Cow<'a, [u8]>>> {
        match self {
            Self::Memtable(memtable) => next_of_memtable(memtable, low, sought),
            Self::Segment(namespaces) => Ok(namespaces.seek(low, sought)?.map(Cow::Borrowed)),
        }
    }
}

impl<'a> PartRef<'a> {
    /// Whether both are the same part.
    pub fn is(&self, other: &PartRef<'_>) -> bool {
        match (*self, *other) {
            (Self::Memtable(one), PartRef::Memtable(other)) => Arc::ptr_eq(one, other),
            (Self::Segment(one), PartRef::Segment(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The encoded namespace and the key of a row.
    pub fn address(&self, row: RowId) -> Result<(&'a [u8], &'a str)> {
        match *self {
            Self::Memtable(memtable) => {
                let record = &memtable.row(row).record;
                Ok((record.namespace.encoded(), &record.key))
            }
            Self::Segment(part) => {
                let segment = part.segment()?;
                Ok((segment.namespace(segment.namespace_of(row)?)?, segment.key(row)?))
            }
        }
    }

    /// The complete record of a row, with the expiry of its last touch.
    pub fn record(&self, row: RowId) -> Result<Record> {
        let expires_at = self.current(row)?.expires_at;
        let record = match *self {
            Self::Memtable(memtable) => Record::clone(&memtable.row(row).record),
            Self::Segment(part) => part.segment()?.record(row)?,
        };
        Ok(Record { expires_at, ..record })
    }

    /// The segment of the part, if the part is a segment and can be read: for prefetches.
    pub fn segment(&self) -> Option<&'a Segment> {
        if let Self::Segment(part) = self { part.segment().ok() } else { None }
    }

    /// A page of key order.
    pub fn page(&self, page: &ListPage<'_>, conditions: &Conditions<'_>) -> Result<Vec<KeyedRow<'a>>> {
        match *self {
            Self::Memtable(memtable) => page_of_memtable(memtable, page, conditions),
            Self::Segment(part) if part.covers(page.interval) => page_of_segment(&part.readable()?, page, conditions),
            Self::Segment(_) => Ok(Vec::new()),
        }
    }

    /// The namespaces of the part from one place to the next; `None` if the interval lies outside of the part.
    pub fn namespaces(&self, interval: &Interval) -> Result<Option<PartNamespaces<'a>>> {
        match *self {
            Self::Memtable(memtable) => Ok(Some(PartNamespaces::Memtable(memtable))),
            Self::Segment(part) if part.covers(interval) => {
                Ok(Some(PartNamespaces::Segment(SegmentNamespaces::new(part.readable()?))))
            }
            Self::Segment(_) => Ok(None),
        }
    }

    /// Adds deletes of up to `limit` items that are visible at `read_lsn` and have expired by `now`. A part that cannot
    /// be read adds none.
    pub fn expired(&self, read_lsn: Lsn, now: i64, limit: usize, writes: &mut Vec<Write>) -> Result<()> {
        let expire = |namespace: &Namespace, key: &str| Write::Expire { namespace: namespace.clone(), key: key.into() };
        match *self {
            Self::Memtable(memtable) => {
                let rows = memtable.all_rows().ids().map(|row| memtable.row(row));
                let expired = rows.filter(|row| row.is_visible(read_lsn) && row.expires_at() <= now);
                writes.extend(expired.take(limit).map(|row| expire(&row.record.namespace, &row.record.key)));
            }
            Self::Segment(part) => {
                let Ok(segment) = part.segment() else { return Ok(()) };
                let tombstones = &part.tombstones;
                let (earliest, touches) = tombstones.earliest_expiry();
                let stays = segment.header().earliest_expiry > now && tombstones.touched_rows() == 0;
                if stays || earliest > now {
                    return Ok(());
                }
                segment.ensure_rows(segment.all_rows(), &[Section::ExpiresAt])?;
                let stored = segment.expires_at_column();
                let (mut earliest, mut found) = (NEVER, 0);
                for row in segment.all_rows().ids().filter(|&row| !tombstones.is_deleted_at(row, read_lsn)) {
                    let expires_at = tombstones.expires_at(row, stored[row.index()]);
                    earliest = earliest.min(expires_at);
                    if expires_at <= now {
                        if found == limit {
                            return Ok(());
                        }
                        found += 1;
                        let row = segment.row(row)?;
                        writes.push(expire(&Namespace::from_encoded(row.namespace), row.key));
                    }
                }
                tombstones.note_earliest_expiry(earliest, touches);
            }
        }
        Ok(())
    }
}
