//! What an open finds in a directory before it changes anything, and the table that decides how the open goes on.
//!
//! Invariants:
//! * `gather` changes nothing. It reads the manifests, and the headers and checksums of the log.
//! * A log whose end may be damaged is never truncated: the open is refused, and the error names file and offset.

use crate::error::{Error, ErrorKind, Location, Result};
use crate::file_names::{FileName, manifest_generation, manifest_name, parse_name, record_name};
use crate::manifest::{BackupRecord, Manifest};
use crate::storage::Storage;
use crate::wal::{self, KnownTime, LogFacts, LogSpan, Tail};

/// The state of the manifest files.
#[derive(Debug)]
pub(crate) enum ManifestFact {
    /// The directory holds no manifest, no segment and no log file.
    None,
    /// The directory holds no manifest, but the file `remains` may hold acknowledged writes.
    Missing { remains: String },
    /// The newest manifest is valid.
    Newest(Manifest),
    /// The newest manifest is damaged; the previous one is valid.
    Fallback { manifest: Manifest, why: Error },
    /// Neither of the two newest manifests is valid.
    Damaged { why: Error },
}

/// The state of the log, as far as the decision depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogFact {
    /// No log file has a header yet.
    Empty,
    /// The last frame closes the log, or only zeros follow it.
    Whole,
    /// Bytes that are no valid frame, and that were never known to be durable, follow the last frame.
    Torn,
    /// A durable frame or a header is damaged or missing.
    Corrupt { file: String, offset: u64, why: String },
}

/// What an open does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OpenVerdict {
    /// There is no store yet: create one.
    Create,
    Open,
    /// Open, and ignore the torn end of the log.
    OpenWithoutTail,
    /// Refuse the store as corrupt, with the place and the reason.
    Refuse(Option<Location>, String),
}

/// Whether the log holds every operation after the oldest checkpoint of a shard, up to the LSN that the manifest
/// reflects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    Covers,
    /// Operations are missing at this place of the log.
    Misses {
        file: String,
        offset: u64,
    },
}

/// The advice for a user who has no copy of the directory.
const SALVAGE: &str = "or write what can be read into a new store (`vecmem salvage DIR TARGET`, `Store::salvage`)";

fn place(file: &str, offset: Option<u64>) -> Option<Location> {
    Some(Location { file: file.to_owned(), offset })
}

/// The table that decides what an open does.
pub(crate) fn verdict(manifest: &ManifestFact, log: &LogFact, reach: &Reach) -> OpenVerdict {
    use ManifestFact as M;
    match (manifest, log, reach) {
        (M::None, ..) => OpenVerdict::Create,
        (M::Missing { remains }, ..) => OpenVerdict::Refuse(
            place(remains, None),
            format!(
                "there is a log with writes but no manifest; restore the manifest from a copy of the directory, {SALVAGE}"
            ),
        ),
        (M::Damaged { why }, ..) => OpenVerdict::Refuse(
            why.location().cloned(),
            format!("no manifest is valid: {why}; restore one from a copy, {SALVAGE}"),
        ),
        (_, LogFact::Corrupt { file, offset, why }, _) => OpenVerdict::Refuse(
            place(file, Some(*offset)),
            format!(
                "{file} at offset {offset}: {why}; acknowledged writes may follow, so the log is not truncated. \
                 Restore the file, {SALVAGE}"
            ),
        ),
        (M::Fallback { why, .. }, _, Reach::Misses { .. }) => OpenVerdict::Refuse(
            why.location().cloned(),
            format!(
                "the newest manifest is damaged ({why}), and the log does not hold all writes that the previous \
                 manifest needs; restore the files, {SALVAGE}"
            ),
        ),
        (M::Newest(_), _, Reach::Misses { file, offset }) => OpenVerdict::Refuse(
            place(file, Some(*offset)),
            format!(
                "{file} at offset {offset}: writes that the manifest records are missing here: log files were removed, \
                 truncated or overwritten. Restore the files, {SALVAGE}"
            ),
        ),
        (_, LogFact::Torn, Reach::Covers) => OpenVerdict::OpenWithoutTail,
        (_, LogFact::Empty | LogFact::Whole, Reach::Covers) => OpenVerdict::Open,
    }
}

/// The state of the directory before the open changes anything.
pub(crate) struct StoreFacts {
    pub manifest: ManifestFact,
    pub log: Option<LogFacts>,
    pub log_fact: LogFact,
    /// The highest id of a segment file or log file; 0 if there is none.
    pub newest_file_id: u64,
}

impl StoreFacts {
    /// Reads the log of a manifest, up to the file `last` if that is known.
    pub fn of_manifest(
        storage: &dyn Storage,
        manifest: ManifestFact,
        last: Option<u64>,
        newest_file_id: u64,
    ) -> Result<Self> {
        let (log, log_fact) = match &manifest {
            ManifestFact::Newest(manifest) | ManifestFact::Fallback { manifest, .. } => {
                let span = LogSpan { first: manifest.first_log, last };
                let facts = wal::inspect_after(storage, manifest.store_id, span, known_time(manifest))?;
                let fact = log_fact(&facts);
                (Some(facts), fact)
            }
            ManifestFact::Damaged { .. } | ManifestFact::None | ManifestFact::Missing { .. } => (None, LogFact::Empty),
        };
        Ok(Self { manifest, log, log_fact, newest_file_id })
    }

    /// Looks the facts up in the table.
    pub fn verdict(&self) -> OpenVerdict {
        let reach = match (&self.manifest, &self.log) {
            (ManifestFact::Newest(manifest) | ManifestFact::Fallback { manifest, .. }, Some(log)) => {
                reach_of(manifest, log)
            }
            _ => Reach::Covers,
        };
        verdict(&self.manifest, &self.log_fact, &reach)
    }
}

fn reach_of(manifest: &Manifest, log: &LogFacts) -> Reach {
    let name = |id: Option<u64>| wal::file_name(id.unwrap_or(manifest.first_log));
    if log.base_lsn > manifest.checkpoint() {
        return Reach::Misses { file: name(log.files.first().map(|file| file.id)), offset: 0 };
    }
    if log.last_lsn < manifest.reflected {
        let last = log.files.last();
        return Reach::Misses { file: name(last.map(|file| file.id)), offset: last.map_or(0, |file| file.end) };
    }
    Reach::Covers
}

/// Reads the manifests, and the headers and checksums of the log. Changes nothing.
pub(crate) fn gather(storage: &dyn Storage) -> Result<StoreFacts> {
    let files = storage.list()?;
    let named = files.iter().filter_map(|(name, _)| parse_name(name));
    let newest_file_id = named
        .filter_map(|name| match name {
            FileName::Log(id) | FileName::Segment(id) => Some(id),
            _ => None,
        })
        .max()
        .unwrap_or(0);
    let manifest = manifest_fact(storage, &files)?;
    // After damage of a newer manifest the log goes beyond the record of a backup.
    let last = match &manifest {
        ManifestFact::Newest(manifest) => last_log(storage, &files, manifest)?,
        _ => None,
    };
    StoreFacts::of_manifest(storage, manifest, last, newest_file_id)
}

/// In a backup that no store has written to: the id of its last log file. Later files are left from a backup into the
/// same directory that was not finished.
fn last_log(storage: &dyn Storage, files: &[(String, u64)], manifest: &Manifest) -> Result<Option<u64>> {
    let name = record_name(manifest.incarnation, manifest.generation);
    if !files.iter().any(|(there, _)| *there == name) {
        return Ok(None);
    }
    BackupRecord::read(storage, &name).map(|record| Some(record.last_log()))
}

fn log_fact(facts: &LogFacts) -> LogFact {
    match &facts.tail {
        Tail::Closed | Tail::Clean if facts.files.is_empty() => LogFact::Empty,
        Tail::Closed | Tail::Clean => LogFact::Whole,
        Tail::Torn { .. } => LogFact::Torn,
        Tail::Corrupt { file, offset, why } => {
            LogFact::Corrupt { file: wal::file_name(*file), offset: *offset, why: why.clone() }
        }
    }
}

/// The fact for a directory without a manifest. `Missing` names the first segment file or log file, since it may hold
/// acknowledged writes.
fn without_manifest(files: &[(String, u64)]) -> ManifestFact {
    let could = |name: &&String| matches!(parse_name(name), Some(FileName::Segment(_) | FileName::Log(_)));
    let remains = files.iter().map(|(name, _)| name).filter(could).min();
    remains.map_or(ManifestFact::None, |name| ManifestFact::Missing { remains: name.clone() })
}

fn manifest_fact(storage: &dyn Storage, files: &[(String, u64)]) -> Result<ManifestFact> {
    let mut generations: Vec<u64> = files.iter().filter_map(|(name, _)| manifest_generation(name)).collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    let mut why = None;
    for &generation in generations.iter().take(2) {
        let name = manifest_name(generation);
        let decoded = storage.map(&name).and_then(|bytes| Manifest::decode(&name, &bytes, generation));
        match decoded {
            Ok(manifest) => {
                return Ok(match why {
                    None => ManifestFact::Newest(manifest),
                    Some(why) => ManifestFact::Fallback { manifest, why },
                });
            }
            // This manifest may be valid. An open with the previous manifest would remove the files that only it names.
            Err(error) if error.kind() == ErrorKind::NewerFormat || error.is_unread() => return Err(error),
            Err(error) => why = Some(error),
        }
    }
    Ok(why.map_or_else(|| without_manifest(files), |why| ManifestFact::Damaged { why }))
}

/// The log time that the manifest stores, and the LSN up to which it takes frames into account.
fn known_time(manifest: &Manifest) -> Option<KnownTime> {
    log_time_of(manifest).map(|log_time| KnownTime { log_time, through: manifest.reflected })
}

/// The log time that the manifest stores.
pub(crate) fn log_time_of(manifest: &Manifest) -> Option<i64> {
    manifest.clock.map(|clock| clock.log_time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Ids;

    #[test]
    fn every_combination_of_facts_has_one_verdict() {
        let manifest = || Manifest::new(Ids { store_id: 1, secret: [0, 0], incarnation: 2 }, None, &[]);
        let corrupt = || LogFact::Corrupt { file: "wal".into(), offset: 7, why: "bad".into() };
        let bad = || Error::corrupt("manifest", 3, "bad");
        let missing = || ManifestFact::Missing { remains: "wal".into() };
        let fallback = || ManifestFact::Fallback { manifest: manifest(), why: bad() };
        let misses = Reach::Misses { file: "wal".into(), offset: 7 };
        let refused = |verdict: OpenVerdict| matches!(verdict, OpenVerdict::Refuse(Some(_), _));
        assert_eq!(verdict(&ManifestFact::None, &LogFact::Empty, &Reach::Covers), OpenVerdict::Create);
        for log in [LogFact::Whole, LogFact::Torn, corrupt()] {
            assert!(refused(verdict(&missing(), &log, &Reach::Covers)), "{log:?}");
        }
        for log in [LogFact::Empty, LogFact::Whole, LogFact::Torn, corrupt()] {
            assert!(refused(verdict(&ManifestFact::Damaged { why: bad() }, &log, &Reach::Covers)), "{log:?}");
            assert!(refused(verdict(&fallback(), &log, &misses)), "{log:?}");
            assert!(refused(verdict(&ManifestFact::Newest(manifest()), &log, &misses)), "{log:?}");
        }
        for found in [fallback(), ManifestFact::Newest(manifest())] {
            assert_eq!(verdict(&found, &LogFact::Empty, &Reach::Covers), OpenVerdict::Open);
            assert_eq!(verdict(&found, &LogFact::Whole, &Reach::Covers), OpenVerdict::Open);
            assert_eq!(verdict(&found, &LogFact::Torn, &Reach::Covers), OpenVerdict::OpenWithoutTail);
            assert!(refused(verdict(&found, &corrupt(), &Reach::Covers)));
        }
    }
}
