//! Adds the segment files of an import to their shards, for a live import and in a replay.
//!
//! Invariants:
//! * The rows have the first LSNs of their frame. Each row deletes the older version of its key, in any part.
//! * A live import looks up older versions before its frame, as hints. If a merge has replaced the part since, or the
//!   key was written since, the key is looked up again. A replay looks up every key. Both give the same result.
//! * Applying a frame again changes nothing: a file that a manifest names already is not added twice.
//! * If damage in another part hides the version that a row would delete, that part becomes lost and keeps the delete
//!   as missed. The other parts are not affected. A file that the log names must be undamaged: without its rows, the
//!   versions that they replace would be visible again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::ids::{IdRange, RowId};
use crate::manifest::{EntryForm, SegmentEntry};
use crate::record::{ALIVE, Lsn, Operation, VersionTimes};
use crate::segment::truth::layout::{StoreIdentity, truth_name};
use crate::shard::logged_deletes::LoggedDeletes;
use crate::shard::open::open_part;
use crate::shard::part::SharedSegment;
use crate::shard::part_ref::{Part, PartRef, address};
use crate::shard::view::{Lost, ReadView, Shard};
use crate::storage::Storage;
use crate::types::{Extent, Namespace};
use crate::wal::Body;
use crate::words::counted;

/// The content of one frame: rows of files or deleted keys first, then operations.
pub(crate) struct LoggedFrame {
    pub first_lsn: Lsn,
    pub ingested: Option<Arc<IngestedFiles>>,
    /// Keys that the frame deletes, when they were listed before the commit lock was taken. A replay has operations.
    pub deleted: Option<LoggedDeletes>,
    pub operations: Vec<Operation>,
}

impl LoggedFrame {
    /// LSN of the first operation.
    pub fn first_operation(&self) -> Lsn {
        let rows = self.ingested.as_ref().map_or(0, |ingested| u64::from(ingested.rows));
        self.first_lsn + rows + self.deleted.as_ref().map_or(0, |deleted| deleted.keys.len() as u64)
    }

    /// The frame's last LSN.
    pub fn last_lsn(&self) -> Lsn {
        (self.first_operation() + self.operations.len() as u64).previous()
    }
}

/// The files of one frame.
pub(crate) struct IngestedFiles {
    pub rows: u32,
    pub files: Vec<IngestedFile>,
}

/// One file.
pub(crate) struct IngestedFile {
    pub part: SharedSegment,
    pub older: Older,
}

/// The hints about older versions of a file's keys.
pub(crate) enum Older {
    /// There are no hints: every key is looked up.
    Unknown,
    Known {
        /// In the order of their rows.
        replaced: Vec<ReplacedVersion>,
        /// Rows whose keys were written after the lookup, in order.
        unsure: Vec<RowId>,
    },
}

/// The version that a row of a file replaces.
pub(crate) struct ReplacedVersion {
    pub row: RowId,
    pub part: Part,
    pub at: RowId,
}

/// The parts of a shard by their identity.
fn by_address(shard: &Shard) -> HashMap<usize, PartRef<'_>> {
    shard.parts().map(|part| (address(part), part)).collect()
}

/// Looks up again, outside all locks, the versions whose part is no longer in the shard. The results are hints too. A
/// key that was written meanwhile is looked up again in any case. A version that is not found here is looked up when
/// the frame is applied.
pub(crate) fn follow<'a>(
    replaced: &mut [ReplacedVersion],
    shard: &Shard,
    address_of: impl Fn(RowId) -> (&'a [u8], &'a str),
) {
    let there = by_address(shard);
    for replaced in replaced.iter_mut().filter(|replaced| !there.contains_key(&address(replaced.part.part()))) {
        let (namespace, key) = address_of(replaced.row);
        let Ok(Some((part, at))) = shard.newest(namespace, key, Lost::Fails) else { continue };
        if part.deleted_lsn(at).is_ok_and(|deleted_lsn| deleted_lsn == ALIVE) {
            (replaced.part, replaced.at) = (Part::of(part), at);
        }
    }
}

impl IngestedFiles {
    /// Opens the files that a frame of the log names; `None` if the frame names no file.
    pub fn open(storage: &dyn Storage, keys: &StoreIdentity, first_lsn: Lsn, body: &Body) -> Result<Option<Arc<Self>>> {
        if body.files.is_empty() {
            return Ok(None);
        }
        let mut files = Vec::with_capacity(body.files.len());
        for entry in Self::entries(first_lsn, body)? {
            let part = open_part(storage, &entry, keys)?;
            files.push(IngestedFile { part, older: Older::Unknown });
        }
        let rows: u64 = files.iter().map(|file| u64::from(file.part.entry.rows)).sum();
        if rows != u64::from(body.rows) {
            return Err(Error::new(
                ErrorKind::Corrupt,
                format!("the import at LSN {first_lsn} has {}, its files have {rows}", counted(body.rows, "row")),
            ));
        }
        Ok(Some(Arc::new(Self { rows: body.rows, files })))
    }

    /// The entries of the segments that a frame of the log names.
    pub fn entries(first_lsn: Lsn, body: &Body) -> Result<Vec<SegmentEntry>> {
        let form = if body.has_named_files { EntryForm::Named } else { EntryForm::Numbered };
        let decode = |bytes| {
            let entry: SegmentEntry =
                SegmentEntry::decode(bytes, form).map_err(|malformed| malformed.in_part("an import in the log"))?;
            entry.check_ignorable("an import in the log")?;
            if entry.lsn_base != first_lsn || entry.tombstone_generation != 0 {
                let why = format!("segment {:016x} is not one of the import at LSN {first_lsn}", entry.file_id);
                return Err(Error::new(ErrorKind::Corrupt, why).at(truth_name(entry.file_id), None));
            }
            Ok(entry)
        };
        body.files.iter().map(|bytes| decode(bytes)).collect()
    }

    /// Where the rows of each file lie.
    pub fn extents(&self) -> impl Iterator<Item = &Extent> + Clone {
        self.files.iter().map(|file| &file.part.entry.extent)
    }

    /// The state of the row with this key, if the files have one.
    pub fn find(&self, namespace: &Namespace, key: &str) -> Result<Option<VersionTimes>> {
        self.find_row(namespace, key)?.map(|(part, row)| part.current(row)).transpose()
    }

    /// The row with this key, if the files have one.
    pub fn find_row(&self, namespace: &Namespace, key: &str) -> Result<Option<(PartRef<'_>, RowId)>> {
        for file in &self.files {
            let part = PartRef::Segment(&file.part);
            if let Some(row) = part.find(namespace.encoded(), key)? {
                return Ok(Some((part, row)));
            }
        }
        Ok(None)
    }

    /// Adds the files to the shards that do not hold them yet; see [`apply`](crate::shard::apply()).
    pub fn apply(&self, view: &mut ReadView, covered: impl Fn(usize) -> Lsn) -> Result<()> {
        for file in &self.files {
            let entry = &file.part.entry;
            let index = view.shard_of(&entry.extent.lower);
            if covered(index) >= entry.lsn_base {
                continue;
            }
            let shard = &view.shards[index];
            if entry.extent.upper >= shard.interval.high {
                let why = format!("segment {:016x} of an import lies in several shards", entry.file_id);
                return Err(Error::new(ErrorKind::Corrupt, why).at(truth_name(entry.file_id), None));
            }
            let known = shard.segments.iter().find(|part| part.entry.file_id == entry.file_id).cloned();
            let part = known.clone().unwrap_or_else(|| Arc::clone(&file.part));
            delete_older(shard, &part, &file.older).map_err(|error| {
                let remedy = "an import that is not checkpointed yet needs all of its files; restore the file";
                error.with_kind(ErrorKind::Corrupt).context(remedy)
            })?;
            if known.is_none() {
                let mut shard = Shard::clone(shard);
                shard.segments.push(part);
                *view = view.with_shard(index, shard);
            }
        }
        Ok(())
    }
}

/// Deletes the versions that the rows of `part` replace in the shard.
fn delete_older(shard: &Shard, part: &SharedSegment, older: &Older) -> Result<()> {
    let segment = part.segment()?;
    match older {
        Older::Unknown => (0..segment.namespaces()).try_for_each(|number| {
            let namespace = segment.namespace(number)?;
            let rows = segment.namespace_rows(number)?;
            rows.ids().try_for_each(|row| delete_other_version(shard, part, row, namespace, segment.key(row)?))
        }),
        Older::Known { replaced, unsure } => {
            let there = by_address(shard);
            let unsure_rows: HashSet<RowId> = unsure.iter().copied().collect();
            let mut rows = unsure_rows.clone();
            for replaced in replaced.iter().filter(|replaced| !unsure_rows.contains(&replaced.row)) {
                match there.get(&address(replaced.part.part())) {
                    // The delete marks the part in the view as dirty, so that its tombstones are saved.
                    Some(part) => part.delete(replaced.at, segment.lsn(replaced.row)?),
                    None => drop(rows.insert(replaced.row)),
                }
            }
            rows.into_iter().try_for_each(|row| {
                let namespace = segment.namespace(segment.namespace_of(row)?)?;
                delete_other_version(shard, part, row, namespace, segment.key(row)?)
            })
        }
    }
}

/// Deletes the version of a key that a row of `part` replaces. If a newer version exists, the row itself is deleted.
fn delete_other_version(shard: &Shard, part: &SharedSegment, row: RowId, namespace: &[u8], key: &str) -> Result<()> {
    let lsn = part.segment()?.lsn(row)?;
    let replaces = shard.segments.iter().filter(|other| other.is_lost() && other.may_hold(namespace));
    replaces.for_each(|lost| lost.missed.keep(lsn, &deletion(namespace, key)));
    for other in shard.parts().filter(|other| !other.is_lost() && address(*other) != address(PartRef::Segment(part))) {
        let met = (|| -> Result<()> {
            let Some(found) = other.find(namespace, key)? else { return Ok(()) };
            let theirs = other.lsn(found)?;
            if theirs > lsn {
                PartRef::Segment(part).delete(row, theirs);
            } else if other.deleted_lsn(found)? == ALIVE {
                other.delete(found, lsn);
            }
            Ok(())
        })();
        match (met, other) {
            (Err(error), PartRef::Segment(other)) if error.kind() == ErrorKind::Damaged => {
                other.lose(&error);
                other.missed.keep(lsn, &deletion(namespace, key));
            }
            (met, _) => met?,
        }
    }
    Ok(())
}

/// The effect of a row of a file on the older versions of its key.
fn deletion(namespace: &[u8], key: &str) -> Operation {
    Operation::Delete { namespace: Namespace::from_encoded(namespace), key: key.into() }
}
