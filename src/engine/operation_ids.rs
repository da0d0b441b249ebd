//! Operation ids: a table of the applied batches that clients named. A client whose acknowledgement was lost can send
//! its batch again.
//!
//! Invariants:
//! * The id of a batch is in the log before the batch is visible, and in a side file before a checkpoint frees that
//!   log. So an id is known until it expires: after [`IDS_MAX`] later ids, or after a day.
//! * An id is kept as a hash under the store's secret. The hash reveals nothing about the batch.
//! * New ids are noted under the commit lock (or by a replay), in LSN order. A side file of ids is never changed. One
//!   new file may replace all of them.
//!
//! # Format
//!
//! The content of a side file of kind `operations` (`segment/side_file.rs`), form 1: number u32, then for each, by LSN:
//! id 16 bytes, last LSN of the batch u64, time i64 microseconds since 1970 UTC.

use std::collections::{HashMap, VecDeque};

use crate::codec::{Decoded, Reader, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::manifest::{FileKind, SideEntry};
use crate::record::Lsn;
use crate::segment::side_file::SideFile;
use crate::storage::Storage;
use crate::sync::Mutex;

/// The largest number of ids in the table.
const IDS_MAX: usize = 1_000_000;
/// Microseconds after which an id is forgotten.
const REMEMBERED_MICROS: i64 = 24 * 3_600 * 1_000_000;
/// If the manifest names this many files of ids, the next file replaces all of them.
const FILES_MAX: usize = 8;
const ENTRY_BYTES: usize = 32;

/// The hash of a client's operation id.
pub(crate) type OperationId = u128;

/// A batch that was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppliedBatch {
    pub id: OperationId,
    /// The last LSN of the batch.
    pub lsn: Lsn,
    /// The time of the batch's frame in the log, in microseconds since 1970 UTC.
    pub time: i64,
}

impl AppliedBatch {
    /// Encodes the id as an extension of its frame. The LSN is left out, since the frame has it.
    pub fn encode(&self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(&self.id.to_le_bytes());
        bytes[16..].copy_from_slice(&self.time.to_le_bytes());
        bytes
    }

    /// Decodes the extension of a frame whose last LSN is `lsn`.
    pub fn decode(bytes: &[u8], lsn: Lsn) -> Decoded<Self> {
        let mut reader = Reader::new(bytes);
        let (id, time) = (OperationId::from_le_bytes(reader.array()?), reader.i64()?);
        reader.finish()?;
        Ok(Self { id, lsn, time })
    }
}

/// The recently applied batches that clients named.
#[derive(Default)]
pub(crate) struct OperationIds {
    table: Mutex<IdTable>,
}

#[derive(Default)]
struct IdTable {
    by_id: HashMap<OperationId, Lsn>,
    /// The batches in LSN order.
    order: VecDeque<AppliedBatch>,
    /// The files of ids that the newest manifest names. They hold the batches up to LSN `saved`.
    files: Vec<SideEntry>,
    saved: Lsn,
    /// The error of a damaged file. With one, no id can be looked up.
    damage: Option<String>,
}

/// The files of ids that the next manifest will name.
pub(crate) struct OperationIdFiles {
    pub files: Vec<SideEntry>,
    through: Lsn,
    /// Whether the last of the files was written for that manifest.
    is_new: bool,
}

impl OperationIdFiles {
    /// Whether a file was written for the next manifest.
    pub fn is_new(&self) -> bool {
        self.is_new
    }
}

impl OperationIds {
    /// Reads the files that a manifest names. If a file is damaged, batches with an id are refused from now on, since
    /// a repeated batch could not be told from a new one.
    pub fn open(storage: &dyn Storage, store_id: u64, files: &[SideEntry]) -> Result<Self> {
        let mut table = IdTable { files: files.to_vec(), ..IdTable::default() };
        for entry in files {
            let file = SideFile { store_id, file_id: entry.file_id, kind: entry.kind.as_str() };
            let content = file.read(storage);
            let entries =
                content.and_then(|content| decode(&content).map_err(|malformed| malformed.in_file(file.name(), 0)));
            match entries {
                Ok(entries) => entries.into_iter().for_each(|applied| table.note(applied)),
                Err(error) if error.is_unread() || error.kind() == ErrorKind::NewerFormat => return Err(error),
                Err(error) => table.damage = Some(error.to_string()),
            }
        }
        table.saved = table.order.back().map_or(Lsn::ZERO, |last| last.lsn);
        Ok(Self { table: Mutex::new(table) })
    }

    /// The last LSN of the batch with this id, if it was applied.
    pub fn find(&self, id: OperationId) -> Result<Option<Lsn>> {
        let table = self.table.lock();
        match &table.damage {
            None => Ok(table.by_id.get(&id).copied()),
            Some(why) => {
                let remedy = "restore the file, or give the ids up (`vecmem check --accept-loss`)";
                Err(Error::new(ErrorKind::Damaged, format!("operation ids cannot be read ({why}); {remedy}")))
            }
        }
    }

    /// The reason why ids cannot be looked up; `None` if they can.
    pub fn damage(&self) -> Option<String> {
        self.table.lock().damage.clone()
    }

    /// Gives up the ids of damaged files. Returns whether a file was damaged.
    pub fn give_up(&self) -> bool {
        let mut table = self.table.lock();
        let given_up = table.damage.take().is_some();
        if given_up {
            // The next commit writes the remaining ids to one file.
            (table.files, table.saved) = (Vec::new(), Lsn::ZERO);
        }
        given_up
    }

    /// Adds a batch to the table. A known id keeps its entry: a replay repeats ids that a file has, too.
    pub fn note(&self, applied: AppliedBatch) {
        self.table.lock().note(applied);
    }

    /// Writes the batches through `read_lsn` that no file holds yet. The caller calls [`OperationIds::set_saved`] once
    /// it has committed a manifest that names the files.
    pub fn save(
        &self,
        storage: &dyn Storage,
        store_id: u64,
        read_lsn: Lsn,
        new_file_id: impl FnOnce() -> u64,
    ) -> Result<OperationIdFiles> {
        let table = self.table.lock();
        // A damaged file stays in the manifest until `give_up`.
        let is_gathering = table.files.len() >= FILES_MAX && table.damage.is_none();
        let first = table.order.partition_point(|applied| applied.lsn <= table.saved);
        let end = table.order.partition_point(|applied| applied.lsn <= read_lsn);
        if first >= end {
            return Ok(OperationIdFiles { files: table.files.clone(), through: table.saved, is_new: false });
        }
        let entries: Vec<AppliedBatch> =
            table.order.range(if is_gathering { 0 } else { first }..end).copied().collect();
        let mut files = if is_gathering { Vec::new() } else { table.files.clone() };
        // Writers may note ids during the write.
        drop(table);
        let content = encode(entries.iter());
        let file_id = new_file_id();
        let kind = FileKind::OPERATIONS;
        let length = SideFile { store_id, file_id, kind: kind.as_str() }.write(storage, &content)?;
        files.push(SideEntry::operations(file_id, length));
        Ok(OperationIdFiles { files, through: read_lsn, is_new: true })
    }

    /// Records that a manifest with these files was committed.
    pub fn set_saved(&self, saved: &OperationIdFiles) {
        let mut table = self.table.lock();
        table.files.clone_from(&saved.files);
        table.saved = saved.through;
    }
}

impl IdTable {
    fn note(&mut self, applied: AppliedBatch) {
        if self.by_id.contains_key(&applied.id) {
            return;
        }
        self.by_id.insert(applied.id, applied.lsn);
        self.order.push_back(applied);
        let is_old = |oldest: &AppliedBatch| oldest.time < applied.time.saturating_sub(REMEMBERED_MICROS);
        while self.order.len() > IDS_MAX || self.order.front().is_some_and(is_old) {
            if let Some(forgotten) = self.order.pop_front() {
                self.by_id.remove(&forgotten.id);
            }
        }
    }
}

fn encode<'a>(entries: impl Iterator<Item = &'a AppliedBatch> + Clone) -> Vec<u8> {
    let mut out = Writer::new();
    out.count(entries.clone().count());
    for applied in entries {
        out.bytes(&applied.id.to_le_bytes());
        out.u64(applied.lsn.get());
        out.i64(applied.time);
    }
    out.into_vec()
}

fn decode(content: &[u8]) -> Decoded<Vec<AppliedBatch>> {
    let mut reader = Reader::new(content);
    let count = reader.count(ENTRY_BYTES, IDS_MAX)?;
    let entry = |_| {
        let id = OperationId::from_le_bytes(reader.array()?);
        Ok(AppliedBatch { id, lsn: Lsn::new(reader.u64()?), time: reader.i64()? })
    };
    let entries = (0..count).map(entry).collect::<Decoded<Vec<AppliedBatch>>>()?;
    reader.finish()?;
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::sim::SimStorage;

    fn applied(number: u64, time: i64) -> AppliedBatch {
        AppliedBatch { id: u128::from(number) << 70 | 1, lsn: Lsn::new(number), time }
    }

    #[test]
    fn ids_survive_in_files_and_many_files_become_one() {
        let storage = SimStorage::new(1);
        let ids = OperationIds::default();
        let next = std::cell::Cell::new(1);
        let new_file_id = || next.replace(next.get() + 1);
        for number in 1..=40 {
            ids.note(applied(number, 5));
            let saved = ids.save(&storage, 7, Lsn::new(number), new_file_id).unwrap();
            assert!(saved.files.len() <= FILES_MAX);
            // What another commit writes before this one is known to have succeeded is written again.
            if number % 3 != 0 {
                ids.set_saved(&saved);
            }
        }
        let saved = ids.save(&storage, 7, Lsn::new(100), new_file_id).unwrap();
        let again = OperationIds::open(&storage, 7, &saved.files).unwrap();
        assert!((1..=40).all(|number| again.find(applied(number, 0).id).unwrap() == Some(Lsn::new(number))));
        assert_eq!(again.find(77).unwrap(), None);
        let name = segment_file(&saved);
        storage.flip_bit(&name, 8 * 70);
        let damaged = OperationIds::open(&storage, 7, &saved.files).unwrap();
        assert_eq!(damaged.find(77).unwrap_err().kind(), ErrorKind::Damaged);
        assert!(damaged.damage().unwrap().contains(&name) && damaged.give_up() && !damaged.give_up());
        assert_eq!(damaged.find(77).unwrap(), None);
    }

    fn found(ids: &OperationIds, number: u64) -> Option<u64> {
        ids.find(applied(number, 0).id).unwrap().map(Lsn::get)
    }

    fn segment_file(saved: &OperationIdFiles) -> String {
        saved.files[0].name()
    }

    #[test]
    fn ids_are_forgotten_after_a_day_and_a_million() {
        let ids = OperationIds::default();
        ids.note(applied(1, 0));
        ids.note(applied(2, REMEMBERED_MICROS));
        assert_eq!((found(&ids, 1), found(&ids, 2)), (Some(1), Some(2)));
        ids.note(applied(3, REMEMBERED_MICROS + 1));
        assert_eq!(found(&ids, 1), None);
        (4..IDS_MAX as u64 + 4).for_each(|number| ids.note(applied(number, REMEMBERED_MICROS)));
        assert_eq!(found(&ids, 3), None);
        assert_eq!(found(&ids, 4), Some(4));
    }

    #[test]
    fn the_bytes_of_an_entry_are_fixed() {
        let one = AppliedBatch { id: 0x0102, lsn: Lsn::new(3), time: -1 };
        assert_eq!(
            encode([&one].into_iter())[4..],
            [&[2, 1], &[0; 14][..], &[3, 0, 0, 0, 0, 0, 0, 0], &[0xFF; 8]].concat()
        );
        assert_eq!(decode(&encode([&one].into_iter())).unwrap(), [one]);
        assert_eq!(AppliedBatch::decode(&one.encode(), Lsn::new(3)), Ok(one));
        assert!(AppliedBatch::decode(&one.encode()[..23], Lsn::new(3)).is_err());
    }
}
