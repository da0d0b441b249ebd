//! The manifest: the file that names all files of the store. A change of it makes a new value, the next generation.
//!
//! Reading order: the file here, `body` (its sections), `entry` (one segment), `spaces`, `settings`; `backup_record`
//! (what a backup knows beside its manifest).
//!
//! Invariants:
//! * A generation is written whole under a temporary name, synced, renamed to `manifest-{generation:016x}`, and the
//!   directory synced. Only then are obsolete files removed. The two newest generations are kept.
//! * Before a generation is written, the log is synced up to the newest LSN that the generation reflects.
//! * Shards partition the order of namespaces. The first shard has no lower bound. Each other shard begins where the
//!   previous one ends.
//!
//! # Format
//!
//! Little endian. `text` and `bytes` are a u32 length and that many bytes.
//!
//! | OFFSET | SIZE | MEANING |
//! |---|---|---|
//! | 0 | 8 | magic `VECMEMMF` |
//! | 8 | 4 | format version, 2 |
//! | 12 | 4 | oldest reader version that understands the file, 2 |
//! | 16 | 8 | store id |
//! | 24 | 8 | generation |
//! | 32 | 4 | CRC-32C of the previous generation's file, 0 for the first |
//! | 36 | 4 | length of the body |
//! | 40 | ... | body (`manifest/body.rs`) |
//! | 40 + length | 4 | CRC-32C of everything before, seeded with magic, store id and generation |

mod backup_record;
mod body;
mod entry;
mod file_kind;
mod settings;
mod spaces;

pub(crate) use backup_record::{BackupRecord, RecordedFile};
pub(crate) use entry::{EntryForm, SegmentEntry, SideEntry};
pub(crate) use file_kind::FileKind;
pub(crate) use settings::Settings;
pub(crate) use spaces::Spaces;
#[cfg(test)]
use spaces::{SpaceEntry, SpaceState};

use crate::codec::{Reader, Writer, salted_crc32c, seed};
use crate::error::{Error, ErrorKind, Result};
use crate::extensions::Extensions;
use crate::file_names::{TEMPORARY, manifest_name};
use crate::record::{Lsn, SpaceId};
use crate::storage::Storage;
use crate::types::{Interval, VectorSpace};
use body::{decode_body, decode_first_body, encode_body};

const MAGIC: &[u8; 8] = b"VECMEMMF";
const FORMAT_VERSION: u32 = 2;
/// The first version whose body is made of sections.
const FIRST_WITH_SECTIONS: u32 = 2;
const HEADER_BYTES: usize = 40;
/// Upper bound of file ids and LSNs in a manifest. It is far below the largest `u64`, so that later ids and LSNs never
/// overflow.
const NUMBERS_MAX: u64 = 1 << 62;
const FILE_BYTES_MAX: usize = 256 << 20;

/// One generation of the list of files that make up the store.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub store_id: u64,
    pub generation: u64,
    pub previous_crc: u32,
    /// The key of hashes of names and keys, so that an attacker cannot make them collide.
    pub secret: [u64; 2],
    /// A random number from the creation of the store. Each backup and each restored store gets another one, since LSNs
    /// of one copy have no meaning in another.
    pub incarnation: u64,
    pub spaces: Spaces,
    pub next_file_id: u64,
    /// The oldest log file that recovery needs.
    pub first_log: u64,
    /// The newest LSN of an operation that tombstones or segments may reflect. The log must reach it.
    pub reflected: Lsn,
    pub settings: Settings,
    /// Files of the store as a whole.
    pub side_files: Vec<SideEntry>,
    /// Unknown sections that may be ignored. The next generation writes them unchanged.
    pub others: Extensions,
    /// `None` until a generation is written after the first write of the store.
    pub clock: Option<ClockState>,
    pub shards: Vec<ShardEntry>,
}

/// The state of the clock, for the next open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockState {
    /// Log time: the newest trusted reading of the clock, in microseconds since 1970 UTC.
    pub log_time: i64,
    /// How long a wall clock far ahead of log time, or far behind it, has agreed with the monotonic clock, over all
    /// opens.
    pub agreed_micros: u64,
    /// The wall clock at the last observation.
    pub wall: i64,
}

/// One contiguous range of namespaces, up to the next shard's `low`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShardEntry {
    pub low: Vec<u8>,
    /// Operations up to this LSN are in the segments and their tombstones.
    pub checkpoint: Lsn,
    /// Oldest first.
    pub segments: Vec<SegmentEntry>,
}

/// The identity of a store, fixed at its creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub store_id: u64,
    pub secret: [u64; 2],
    pub incarnation: u64,
}

impl Manifest {
    /// The first generation of a new store: shards cut at `split_keys`, no segment.
    pub fn new(ids: Ids, space: Option<VectorSpace>, split_keys: &[Vec<u8>]) -> Self {
        let Ids { store_id, secret, incarnation } = ids;
        let lows = std::iter::once(Vec::new()).chain(split_keys.iter().cloned());
        let mut spaces = Spaces::default();
        space.into_iter().for_each(|space| spaces.add_current(space));
        let shards = lows.map(|low| ShardEntry { low, checkpoint: Lsn::ZERO, segments: Vec::new() }).collect();
        Self {
            store_id,
            generation: 1,
            previous_crc: 0,
            secret,
            incarnation,
            spaces,
            next_file_id: 1,
            first_log: 0,
            reflected: Lsn::ZERO,
            settings: Settings::default(),
            side_files: Vec::new(),
            others: Extensions::default(),
            clock: None,
            shards,
        }
    }

    /// The next generation: a copy with these numbers, to whose shards `change` is applied.
    pub fn with(
        &self,
        next_file_id: u64,
        first_log: u64,
        reflected: Lsn,
        change: impl FnOnce(&mut Vec<ShardEntry>),
    ) -> Self {
        let mut next = self.clone();
        next.previous_crc = crc_of(&self.encode());
        next.generation += 1;
        next.next_file_id = next_file_id;
        next.first_log = first_log;
        next.reflected = reflected;
        change(&mut next.shards);
        next
    }

    /// The next generation of a store that gets its first vector space.
    pub fn with_space(&self, space: VectorSpace) -> Self {
        let mut next = self.with(self.next_file_id, self.first_log, self.reflected, |_| {});
        next.spaces.add_current(space);
        next
    }

    /// The vector space that searches use, and its id.
    pub fn current_space(&self) -> Option<(SpaceId, VectorSpace)> {
        self.spaces.current().map(|entry| (entry.id, entry.space))
    }

    /// The interval of namespaces of shard `index`.
    pub fn interval(&self, index: usize) -> Interval {
        let high = self.shards.get(index + 1).map_or_else(|| vec![0xFF], |next| next.low.clone());
        Interval { low: self.shards[index].low.clone(), high }
    }

    /// The LSN up to which no shard needs the log: the lowest checkpoint.
    pub fn checkpoint(&self) -> Lsn {
        self.shards.iter().map(|shard| shard.checkpoint).min().unwrap_or_default()
    }

    /// All files that this generation names, without the log.
    pub fn files(&self) -> impl Iterator<Item = String> + '_ {
        let segments = self.shards.iter().flat_map(|shard| &shard.segments);
        segments.flat_map(SegmentEntry::file_names).chain(self.side_files.iter().map(SideEntry::name))
    }

    /// Writes this generation under a temporary name. It is the newest once it is published, and durable once the
    /// directory is synced. If that sync fails, the newest generation on disk is unknown: the caller must not go on.
    pub fn write(&self, storage: &dyn Storage) -> Result<()> {
        let bytes = self.encode();
        if storage.list()?.iter().any(|(name, _)| name == TEMPORARY) {
            storage.remove(TEMPORARY)?;
        }
        let file = storage.create(TEMPORARY)?;
        file.write_at(0, &bytes)?;
        file.sync_all()
    }

    /// Renames the written generation to its final name.
    pub fn publish(&self, storage: &dyn Storage) -> Result<()> {
        storage.rename(TEMPORARY, &manifest_name(self.generation))
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let body = encode_body(self);
        let mut out = Writer::new();
        out.bytes(MAGIC);
        out.u32(FORMAT_VERSION);
        out.u32(FORMAT_VERSION);
        out.u64(self.store_id);
        out.u64(self.generation);
        out.u32(self.previous_crc);
        out.prefixed(&body);
        let crc = salted_crc32c(seed(&[u64::from_le_bytes(*MAGIC), self.store_id, self.generation]), out.as_slice());
        out.u32(crc);
        out.into_vec()
    }

    /// Decodes the bytes of the file `name`, which must hold this `generation`.
    pub fn decode(name: &str, bytes: &[u8], generation: u64) -> Result<Self> {
        let malformed = |malformed: crate::codec::FormatError| malformed.in_file(name, 0);
        let mut reader = Reader::new(bytes);
        if reader.bytes(8).map_err(malformed)? != MAGIC {
            return Err(Error::corrupt(name, 0, "this is not a manifest"));
        }
        let version = reader.u32().map_err(malformed)?;
        if reader.u32().map_err(malformed)? > FORMAT_VERSION {
            let why = format!("{name} was written by a newer version of vecmem; upgrade to open this store");
            return Err(Error::new(ErrorKind::NewerFormat, why).at(name, None));
        }
        let (store_id, found) = (reader.u64().map_err(malformed)?, reader.u64().map_err(malformed)?);
        let previous_crc = reader.u32().map_err(malformed)?;
        let body = reader.prefixed(FILE_BYTES_MAX).map_err(malformed)?;
        let end = reader.position();
        let crc = reader.u32().map_err(malformed)?;
        reader.finish().map_err(malformed)?;
        let salt = seed(&[u64::from_le_bytes(*MAGIC), store_id, found]);
        if salted_crc32c(salt, &bytes[..end]) != crc {
            return Err(Error::corrupt(name, 0, "the checksum of the manifest does not match"));
        }
        if found != generation {
            return Err(Error::corrupt(
                name,
                24,
                format!("the file holds generation {found}; it was renamed or copied"),
            ));
        }
        let decoded =
            if version < FIRST_WITH_SECTIONS { decode_first_body(body).map(Ok) } else { decode_body(name, body) };
        let mut manifest = decoded.map_err(|malformed| malformed.in_file(name, HEADER_BYTES as u64))??;
        (manifest.store_id, manifest.generation, manifest.previous_crc) = (store_id, generation, previous_crc);
        Ok(manifest)
    }
}

fn crc_of(bytes: &[u8]) -> u32 {
    crate::codec::crc32c(0, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_names::{FileName, parse_name};
    use crate::ids::{Id, RowId};
    use crate::segment::blob::file::BlobFile;
    use crate::segment::derived::codes::DerivedFile;
    use crate::segment::derived::graph_scope::{GraphRange, GraphScope, Origin, ScopeKind};
    use crate::types::{Extent, Metric};

    fn side(kind: &str, must_understand: bool) -> SideEntry {
        let kind = FileKind::of(kind);
        SideEntry { kind, version: 1, must_understand, file_id: 77, length: 9, details: vec![7; 3] }
    }

    fn example() -> Manifest {
        let space = Some(VectorSpace { dims: 384, metric: Metric::Cosine });
        let file = |file_id| DerivedFile { file_id, length: 99 };
        let unknown = SideEntry { file_id: 10, length: 5, ..side("fields", false) };
        let wanted = |origin| GraphRange {
            rows: RowId::range(1..3),
            scope: GraphScope { kind: ScopeKind::Prefix, bytes: 2 },
            origin,
        };
        let graph = |file_id, origin| SideEntry::graph(file(file_id), &wanted(origin));
        let derived = vec![SideEntry::codes(file(7)), graph(8, Origin::Earned), graph(9, Origin::Requested), unknown];
        let segment = SegmentEntry {
            file_id: 7,
            length: 4096,
            header_crc: 5,
            rows: 3,
            vectors: 2,
            lsn_base: Lsn::ZERO,
            newest_lsn: Lsn::new(9),
            tombstone_generation: 2,
            extent: Extent { lower: b"a\0".to_vec(), upper: b"b\0".to_vec() },
            blobs: [5, 7]
                .map(|id| BlobFile { file_id: id, length: 4160, value_bytes: 30, header_crc: 6, reserved: 0 })
                .to_vec(),
            derived,
            missed: vec![file(12), file(13)],
        };
        let ids = Ids { store_id: 11, secret: [1, 2], incarnation: 5 };
        let mut manifest = Manifest::new(ids, space, &[b"m\0".to_vec()]).with(8, 3, Lsn::new(9), |shards| {
            shards[0].checkpoint = Lsn::new(9);
            shards[0].segments.push(segment);
        });
        manifest.settings = manifest.settings.with("index", Some("{}")).unwrap();
        manifest.clock = Some(ClockState { log_time: -5, agreed_micros: 7, wall: 9 });
        manifest
    }

    #[test]
    fn a_file_whose_name_no_store_would_give_is_refused() {
        let with = |change: &dyn Fn(&mut SegmentEntry)| {
            let mut manifest = example();
            change(&mut manifest.shards[0].segments[0]);
            Manifest::decode("m", &manifest.encode(), manifest.generation).err().map(|error| error.kind())
        };
        let corrupt = Some(ErrorKind::Corrupt);
        assert_eq!(with(&|entry| entry.file_id = NUMBERS_MAX - 1), None);
        assert_eq!(with(&|entry| entry.file_id = NUMBERS_MAX), corrupt);
        assert_eq!(with(&|entry| entry.tombstone_generation = u64::MAX), corrupt);
        assert_eq!(with(&|entry| entry.derived[0].file_id = NUMBERS_MAX), corrupt);
        assert_eq!(with(&|entry| entry.blobs[0].file_id = u64::MAX), corrupt);
    }

    #[test]
    fn a_manifest_round_trips() {
        let manifest = example();
        assert_eq!(Manifest::decode("m", &manifest.encode(), 2).unwrap(), manifest);
        let files: Vec<_> = manifest.files().map(|name| parse_name(&name)).collect();
        assert_eq!(files, [7, 5, 7, 7, 8, 9, 10, 7, 12, 13].map(|id| Some(FileName::Segment(id))));
        assert_eq!(parse_name("seg-0000000000000007.truth~"), None);
        assert_eq!(manifest.interval(0), Interval { low: vec![], high: b"m\0".to_vec() });
        assert_eq!(manifest.interval(1).high, vec![0xFF]);
    }

    #[test]
    fn the_terms_of_a_graph_are_read_back_and_no_others_are_taken() {
        let manifest = example();
        let entry = &manifest.shards[0].segments[0];
        let scope = GraphScope { kind: ScopeKind::Prefix, bytes: 2 };
        assert_eq!(entry.graph_terms(8), Some(GraphRange { rows: RowId::range(1..3), scope, origin: Origin::Earned }));
        assert_eq!(entry.graph_terms(9).map(|wanted| wanted.origin), Some(Origin::Requested));
        assert_eq!([7, 10, 11].map(|file_id| entry.graph_terms(file_id)), [None, None, None], "none of a graph");
        let mut shorter = entry.clone();
        shorter.rows = 2;
        assert_eq!(shorter.graph_terms(8), None, "rows that are not there");
        let golden = [2, 0, 2, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0];
        assert_eq!(entry.derived[1].details, golden);
        shorter.derived[2].details.truncate(15);
        assert_eq!(shorter.graph_terms(9), None);
    }

    #[test]
    fn the_bytes_of_a_manifest_are_fixed() {
        let space = Some(VectorSpace { dims: 3, metric: Metric::L2 });
        let ids = Ids { store_id: 11, secret: [1, 2], incarnation: 5 };
        let clock = Some(ClockState { log_time: -5, agreed_micros: 7, wall: 9 });
        let manifest = Manifest { settings: example().settings, clock, ..Manifest::new(ids, space, &[]) };
        let golden: String = manifest.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(golden, include_str!("golden.txt").split_whitespace().collect::<String>());
    }

    #[test]
    fn several_vector_spaces_are_kept_and_one_is_current() {
        let of = |id, state, dims| {
            let space = VectorSpace { dims, metric: Metric::Dot };
            SpaceEntry { id: SpaceId(id), state, space, name: format!("space {id}"), details: vec![id as u8; 3] }
        };
        let mut manifest = example();
        let entries =
            vec![of(0, SpaceState::Retired, 4), of(3, SpaceState::Current, 8), of(9, SpaceState::Building, 16_384)];
        manifest.spaces = Spaces { entries, next_id: 12 };
        assert_eq!(Manifest::decode("m", &manifest.encode(), 2).unwrap(), manifest);
        assert_eq!(manifest.current_space(), Some((SpaceId(3), VectorSpace { dims: 8, metric: Metric::Dot })));
        let next = manifest.with(9, 3, Lsn::new(9), |_| {});
        assert_eq!(next.spaces, manifest.spaces);
        let wrong = [
            vec![of(0, SpaceState::Current, 4), of(1, SpaceState::Current, 4)],
            vec![of(1, SpaceState::Current, 4), of(1, SpaceState::Retired, 4)],
            vec![of(0, SpaceState::Current, 0)],
            vec![of(20, SpaceState::Current, 4)],
            (0..17).map(|id| of(id, SpaceState::Retired, 4)).collect(),
        ];
        for entries in wrong {
            let refused = Manifest { spaces: Spaces { entries, next_id: 20 }, ..manifest.clone() };
            assert!(Manifest::decode("m", &refused.encode(), 2).is_err(), "{:?}", refused.spaces);
        }
    }

    #[test]
    fn what_is_unknown_is_kept_or_refused_as_it_says_itself() {
        let mut manifest = example();
        manifest.others = Extensions::default().with(77, false, b"from a later version");
        manifest.side_files = vec![side("operations", true), side("reservoir", false)];
        assert_eq!(Manifest::decode("m", &manifest.encode(), 2).unwrap(), manifest);
        assert!(manifest.files().any(|name| name == "seg-000000000000004d.reservoir"));
        let refused = |manifest: &Manifest| Manifest::decode("m", &manifest.encode(), 2).unwrap_err();
        let section = Manifest { others: Extensions::default().with(77, true, b""), ..manifest.clone() };
        let file = Manifest { side_files: vec![side("reservoir", true)], ..manifest.clone() };
        manifest.shards[0].segments[0].derived.push(side("vectors", true));
        for error in [refused(&section), refused(&file), refused(&manifest)] {
            assert_eq!(error.kind(), ErrorKind::NewerFormat, "{error}");
        }
    }

    #[test]
    fn every_changed_byte_and_every_length_is_refused() {
        let bytes = example().encode();
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1 << (index % 8);
            assert!(Manifest::decode("m", &damaged, 2).is_err(), "byte {index}");
            assert!(Manifest::decode("m", &bytes[..index], 2).is_err(), "length {index}");
        }
        assert!(Manifest::decode("m", &bytes, 3).is_err());
    }
}
