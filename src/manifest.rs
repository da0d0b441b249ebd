//! The manifest: the one file that says which files make up the store. A value with pure `with_*` transitions.
//!
//! Invariants:
//! * A generation is written whole under a temporary name, synced, renamed to `manifest-{generation:016x}`, and the
//!   directory synced; only then does anything it made obsolete go. The two newest generations are kept.
//! * The log is synced through every LSN that a generation reflects before that generation is written.
//! * Shards partition the order of namespaces: the first begins at nothing, each next one where the last one ended.
//!
//! # Format
//!
//! Little endian. `text` and `bytes` are a u32 length and that many bytes.
//!
//! | OFFSET | SIZE | MEANING |
//! |---|---|---|
//! | 0 | 8 | magic `VECMEMMF` |
//! | 8 | 4 | format version, 1 |
//! | 12 | 4 | oldest reader version that understands the file, 1 |
//! | 16 | 8 | store id |
//! | 24 | 8 | generation |
//! | 32 | 4 | CRC-32C of the previous generation's file, 0 for the first |
//! | 36 | 4 | length of the body |
//! | 40 | ... | body |
//! | 40 + length | 4 | CRC-32C of everything before, seeded with magic, store id and generation |
//!
//! Body: hash secret 2 x u64; number of vector spaces u32 (0 or 1 today), for each id u16, dims u32, metric u16 (0
//! cosine, 1 dot, 2 L2), name text; next file id u64; first log file u64; newest LSN that any file reflects u64; settings `bytes`
//! (`manifest/settings.rs`); number of shards u32, for each: low `bytes`, checkpoint LSN u64, number of segments u32, for each segment:
//! file id u64, file length u64, header CRC u32, rows u32, vectors u32, base that the LSNs in the file are counted from u64 (0
//! for absolute ones; else the first LSN of the frame of the import that wrote the file),
//! newest LSN u64, generation of its tombstones u64 (0 for none), first namespace `bytes`, last namespace `bytes`, number of
//! files beside it u32, for each: kind u16 (1 codes, 2 graph, both derived; 3 blob, which is truth), version u16, file id u64,
//! length u64, details `bytes`: what there is to say of that kind (`manifest/entry.rs`).

mod entry;
mod settings;

pub(crate) use entry::{DerivedEntry, SegmentEntry};
pub(crate) use settings::Settings;

use crate::codec::{Decoded, Reader, Writer, salted_crc32c, seed};
use crate::error::{Error, ErrorKind, Result};
use crate::file_names::{TEMPORARY, manifest_name};
use crate::record::Lsn;
use crate::storage::Storage;
use crate::types::{Interval, Metric, VectorSpace};
use entry::{decode_segment, encode_segment};

const MAGIC: &[u8; 8] = b"VECMEMMF";
const FORMAT_VERSION: u32 = 1;
const HEADER_BYTES: usize = 40;
/// File ids and LSNs stay far below it, so that counting on from one that was read never overflows.
const NUMBERS_MAX: u64 = 1 << 62;
const FILE_BYTES_MAX: usize = 256 << 20;

/// Which files make up the store, as of one generation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Manifest {
    pub store_id: u64,
    pub generation: u64,
    pub previous_crc: u32,
    /// Keys the hashes of names and keys, so that nobody outside can make them collide.
    pub secret: [u64; 2],
    pub space: Option<VectorSpace>,
    pub next_file_id: u64,
    /// The oldest log file that a replay needs.
    pub first_log: u64,
    /// Tombstones and segments may know of operations up to here: the log must reach it.
    pub reflected: Lsn,
    pub settings: Settings,
    /// None in a store whose clock no manifest has kept yet.
    pub clock: Option<ClockState>,
    pub shards: Vec<ShardEntry>,
}

/// What a store knows of the time, for its next open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClockState {
    /// The newest clock that was believed, microseconds since 1970 UTC.
    pub log_time: i64,
    /// How long a wall clock that is far ahead of it has agreed with the monotonic clock, over all opens.
    pub agreed_micros: u64,
}

/// One contiguous range of namespaces, up to the next shard's `low`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ShardEntry {
    pub low: Vec<u8>,
    /// Everything at or below is in the segments and their tombstones.
    pub checkpoint: Lsn,
    /// Oldest first.
    pub segments: Vec<SegmentEntry>,
}

impl Manifest {
    /// The first generation of a new store: shards cut at `cuts`, no segment.
    pub fn new(store_id: u64, secret: [u64; 2], space: Option<VectorSpace>, cuts: &[Vec<u8>]) -> Self {
        let lows = std::iter::once(Vec::new()).chain(cuts.iter().cloned());
        let shards = lows.map(|low| ShardEntry { low, checkpoint: 0, segments: Vec::new() }).collect();
        Self {
            store_id,
            generation: 1,
            previous_crc: 0,
            secret,
            space,
            next_file_id: 1,
            first_log: 0,
            reflected: 0,
            settings: Settings::default(),
            clock: None,
            shards,
        }
    }

    /// The next generation: `change` is applied to a copy, and the file ids handed out so far are recorded.
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

    /// The interval of namespaces of shard `index`.
    pub fn interval(&self, index: usize) -> Interval {
        let high = self.shards.get(index + 1).map_or_else(|| vec![0xFF], |next| next.low.clone());
        Interval { low: self.shards[index].low.clone(), high }
    }

    /// The LSN through which every shard can do without the log.
    pub fn checkpoint(&self) -> Lsn {
        self.shards.iter().map(|shard| shard.checkpoint).min().unwrap_or(0)
    }

    /// Every file this generation names, apart from the log.
    pub fn files(&self) -> impl Iterator<Item = String> + '_ {
        self.shards.iter().flat_map(|shard| &shard.segments).flat_map(SegmentEntry::file_names)
    }

    /// Writes this generation under a temporary name. It is the newest one once it is published, and survives a power loss
    /// once the directory is synced; a failure of that sync is final like any other, for nobody knows which generation is the
    /// newest then.
    pub fn write(&self, storage: &dyn Storage) -> Result<()> {
        let bytes = self.encode();
        if storage.list()?.iter().any(|(name, _)| name == TEMPORARY) {
            storage.remove(TEMPORARY)?;
        }
        let file = storage.create(TEMPORARY)?;
        file.write_at(0, &bytes)?;
        file.sync_all()
    }

    /// Gives the written generation its name.
    pub fn publish(&self, storage: &dyn Storage) -> Result<()> {
        storage.rename(TEMPORARY, &manifest_name(self.generation))
    }

    /// The file's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let body = self.encode_body();
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

    fn encode_body(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.secret.iter().for_each(|&half| out.u64(half));
        out.count(usize::from(self.space.is_some()));
        if let Some(space) = self.space {
            out.u16(0);
            out.count(space.dims);
            out.u16(space.metric.code());
            out.prefixed(b"default");
        }
        out.u64(self.next_file_id);
        out.u64(self.first_log);
        out.u64(self.reflected);
        out.prefixed(&self.settings.encode());
        out.count(self.shards.len());
        for shard in &self.shards {
            out.prefixed(&shard.low);
            out.u64(shard.checkpoint);
            out.count(shard.segments.len());
            shard.segments.iter().for_each(|segment| encode_segment(&mut out, segment));
        }
        out.into_vec()
    }

    /// Reads a file of the name that `generation` has.
    pub fn decode(name: &str, bytes: &[u8], generation: u64) -> Result<Self> {
        let malformed = |malformed: crate::codec::Malformed| malformed.in_file(name, 0);
        let mut reader = Reader::new(bytes);
        if reader.bytes(8).map_err(malformed)? != MAGIC {
            return Err(Error::corrupt(name, 0, "this is not a manifest"));
        }
        let _writer_version = reader.u32().map_err(malformed)?;
        if reader.u32().map_err(malformed)? > FORMAT_VERSION {
            return Err(Error::new(
                ErrorKind::NewerFormat,
                format!("{name} was written by a newer version of vecmem; upgrade to open this store"),
            ));
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
        let mut manifest =
            decode_body(&mut Reader::new(body)).map_err(|malformed| malformed.in_file(name, HEADER_BYTES as u64))?;
        (manifest.store_id, manifest.generation, manifest.previous_crc) = (store_id, generation, previous_crc);
        Ok(manifest)
    }
}

fn decode_body(reader: &mut Reader<'_>) -> Decoded<Manifest> {
    let secret = [reader.u64()?, reader.u64()?];
    let space = match reader.count(12, 1)? {
        0 => None,
        _ => Some(decode_space(reader)?),
    };
    let (next_file_id, first_log, reflected) = (reader.u64()?, reader.u64()?, reader.u64()?);
    if next_file_id.max(first_log).max(reflected) >= NUMBERS_MAX {
        return Err(reader.malformed("a number is out of range"));
    }
    let settings = Settings::decode(reader.prefixed(FILE_BYTES_MAX)?)?;
    let count = reader.count(16, FILE_BYTES_MAX)?;
    let mut shards: Vec<ShardEntry> = Vec::with_capacity(count);
    for _ in 0..count {
        let low = reader.prefixed(FILE_BYTES_MAX)?.to_vec();
        let in_order = shards.last().map_or(low.is_empty(), |before| before.low < low);
        if !in_order {
            return Err(reader.malformed("the shards do not partition the namespaces"));
        }
        let checkpoint = reader.u64()?;
        let segments = reader.count(64, FILE_BYTES_MAX)?;
        let segments = (0..segments).map(|_| decode_segment(reader)).collect::<Decoded<_>>()?;
        shards.push(ShardEntry { low, checkpoint, segments });
    }
    if shards.is_empty() {
        return Err(reader.malformed("a store has at least one shard"));
    }
    reader.finish()?;
    Ok(Manifest {
        store_id: 0,
        generation: 0,
        previous_crc: 0,
        secret,
        space,
        next_file_id,
        first_log,
        reflected,
        settings,
        clock: None,
        shards,
    })
}

fn decode_space(reader: &mut Reader<'_>) -> Decoded<VectorSpace> {
    let _id = reader.u16()?;
    let dims = reader.u32()? as usize;
    if !(1..=crate::types::limits::DIMENSIONS).contains(&dims) {
        return Err(reader.malformed("the dimensions exceed their limit"));
    }
    let metric = Metric::of_code(reader.u16()?).ok_or(reader.malformed("unknown metric"))?;
    reader.text(1 << 10)?;
    Ok(VectorSpace { dims, metric })
}

fn crc_of(bytes: &[u8]) -> u32 {
    crate::codec::crc32c(0, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_names::{FileName, parse_name};
    use crate::segment::blob::BlobFile;
    use crate::segment::derived::DerivedFile;
    use crate::segment::graph_scope::{GraphScope, Origin, ScopeKind, Wanted};

    fn example() -> Manifest {
        let space = Some(VectorSpace { dims: 384, metric: Metric::Cosine });
        let file = |file_id| DerivedFile { file_id, length: 99 };
        let unknown = DerivedEntry { kind: 9, version: 1, file_id: 10, length: 5, details: vec![7; 3] };
        let wanted = |origin| Wanted { rows: 1..3, scope: GraphScope { kind: ScopeKind::Prefix, bytes: 2 }, origin };
        let graph = |file_id, origin| DerivedEntry::graph(file(file_id), &wanted(origin));
        let derived =
            vec![DerivedEntry::codes(file(7)), graph(8, Origin::Earned), graph(9, Origin::Requested), unknown];
        let segment = SegmentEntry {
            file_id: 7,
            length: 4096,
            header_crc: 5,
            rows: 3,
            vectors: 2,
            lsn_base: 0,
            newest_lsn: 9,
            dead_generation: 2,
            first_namespace: b"a\0".to_vec(),
            last_namespace: b"b\0".to_vec(),
            blobs: [5, 7]
                .map(|id| BlobFile { file_id: id, length: 4160, value_bytes: 30, header_crc: 6, reserved: 0 })
                .to_vec(),
            derived,
        };
        let mut manifest = Manifest::new(11, [1, 2], space, &[b"m\0".to_vec()]).with(8, 3, 9, |shards| {
            shards[0].checkpoint = 9;
            shards[0].segments.push(segment);
        });
        manifest.settings = manifest.settings.with("index", Some("{}")).unwrap();
        manifest
    }

    #[test]
    fn a_manifest_round_trips() {
        let manifest = example();
        assert_eq!(Manifest::decode("m", &manifest.encode(), 2).unwrap(), manifest);
        let files: Vec<_> = manifest.files().map(|name| parse_name(&name)).collect();
        assert_eq!(files, [7, 5, 7, 7, 8, 9, 7].map(|id| Some(FileName::Segment(id))));
        assert_eq!(parse_name("seg-0000000000000007.truth~"), None);
        assert_eq!(manifest.interval(0), Interval { low: vec![], high: b"m\0".to_vec() });
        assert_eq!(manifest.interval(1).high, vec![0xFF]);
    }

    #[test]
    fn the_terms_of_a_graph_are_read_back_and_no_others_are_taken() {
        let manifest = example();
        let entry = &manifest.shards[0].segments[0];
        let scope = GraphScope { kind: ScopeKind::Prefix, bytes: 2 };
        assert_eq!(entry.graph_terms(8), Some(Wanted { rows: 1..3, scope, origin: Origin::Earned }));
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
