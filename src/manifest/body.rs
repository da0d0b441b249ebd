//! The body of a manifest: sections, each an extension (`extensions.rs`), so that later versions can add their own.
//!
//! Invariants:
//! * A reader must understand every section that this version writes. An unknown section that may be ignored is kept,
//!   byte for byte.
//! * Decoding never panics. A body that this version has written is encoded to the same bytes after it is decoded.
//!
//! # Format
//!
//! Little endian. `text` and `bytes` are a u32 length and that many bytes.
//!
//! | KIND | SECTION |
//! |---|---|
//! | 1 | identity: hash secret 2 x u64, incarnation u64 |
//! | 2 | vector spaces (`manifest/spaces.rs`) |
//! | 3 | log: next file id u64, first log file u64, newest LSN that any file reflects u64 |
//! | 4 | settings (`manifest/settings.rs`) |
//! | 5 | shards: number u32, for each: low `bytes`, checkpoint LSN u64, number of segments u32, then these (`manifest/entry.rs`) |
//! | 6 | files of the store as a whole: number u32, then these, in the form of files beside a segment; absent if there is none |
//! | 7 | clock: log time i64 in microseconds since 1970 UTC, agreement so far u64 in microseconds, wall clock when it was saved i64 (`engine/clock/mod.rs`); absent before the first write |
//!
//! Format version 1 had one sequence without sections: secret; number of vector spaces u32 (0 or 1), for it id u16,
//! dimensions u32, metric u16, name `text`; next file id, first log file, newest LSN; settings `bytes` without
//! versions; shards as above, whose files beside a segment have their kind as a number.

use super::entry::{EntryForm, decode_segment, decode_sides, encode_segment, encode_sides};
use super::settings::Settings;
use super::spaces::{Spaces, decode_first_spaces, decode_spaces, encode_spaces};
use super::{ClockState, FILE_BYTES_MAX, Manifest, NUMBERS_MAX, ShardEntry};
use crate::codec::{Decoded, FormatError, Reader, Writer};
use crate::error::Result;
use crate::extensions::{ExtensionKind, Extensions, refuse_unknown};
use crate::record::Lsn;

const IDENTITY: ExtensionKind = 1;
const SPACES: ExtensionKind = 2;
const LOG: ExtensionKind = 3;
const SETTINGS: ExtensionKind = 4;
const SHARDS: ExtensionKind = 5;
const SIDE_FILES: ExtensionKind = 6;
const CLOCK: ExtensionKind = 7;

const KNOWN: [ExtensionKind; 7] = [IDENTITY, SPACES, LOG, SETTINGS, SHARDS, SIDE_FILES, CLOCK];

/// The body of `manifest`.
pub(super) fn encode_body(manifest: &Manifest) -> Vec<u8> {
    let mut sections = manifest.others.clone();
    let mut add = |kind, write: &dyn Fn(&mut Writer)| {
        let mut out = Writer::new();
        write(&mut out);
        sections = sections.with(kind, true, out.as_slice());
    };
    add(IDENTITY, &|out| manifest.secret.iter().chain([&manifest.incarnation]).for_each(|&number| out.u64(number)));
    add(SPACES, &|out| encode_spaces(out, &manifest.spaces));
    let numbers = [manifest.next_file_id, manifest.first_log, manifest.reflected.get()];
    add(LOG, &|out| numbers.iter().for_each(|&number| out.u64(number)));
    add(SETTINGS, &|out| out.bytes(&manifest.settings.encode()));
    add(SHARDS, &|out| encode_shards(out, &manifest.shards));
    if !manifest.side_files.is_empty() {
        add(SIDE_FILES, &|out| encode_sides(out, manifest.side_files.iter()));
    }
    if let Some(ClockState { log_time, agreed_micros, wall }) = manifest.clock {
        add(CLOCK, &|out| {
            out.i64(log_time);
            out.u64(agreed_micros);
            out.i64(wall);
        });
    }
    sections.encoded().to_vec()
}

/// Reads a body. `name` is the name of the file, for errors about newer versions.
pub(super) fn decode_body(name: &str, body: &[u8]) -> Decoded<Result<Manifest>> {
    let sections = Extensions::decode(body)?;
    if let Err(error) = refuse_unknown(name, sections.kinds(), &KNOWN) {
        return Ok(Err(error.at(name, None)));
    }
    let section = |kind| {
        let missing = FormatError { offset: 0, what: "a section of the manifest is missing" };
        sections.get(kind).map(Reader::new).ok_or(missing)
    };
    let mut identity = section(IDENTITY)?;
    let (secret, incarnation) = ([identity.u64()?, identity.u64()?], identity.u64()?);
    let (mut spaces, mut log, mut shards) = (section(SPACES)?, section(LOG)?, section(SHARDS)?);
    let mut sides = sections.get(SIDE_FILES).map(Reader::new);
    let mut clock = sections.get(CLOCK).map(Reader::new);
    let manifest = Manifest {
        secret,
        incarnation,
        spaces: decode_spaces(&mut spaces)?,
        settings: Settings::decode(sections.get(SETTINGS).unwrap_or_default())?,
        side_files: sides.as_mut().map_or(Ok(Vec::new()), decode_sides)?,
        clock: clock.as_mut().map(decode_clock).transpose()?,
        others: sections.filtered(|kind| !KNOWN.contains(&kind)),
        shards: decode_shards(&mut shards, EntryForm::Named)?,
        ..decode_numbers(&mut log)?
    };
    [&identity, &spaces, &log, &shards].into_iter().chain(&sides).chain(&clock).try_for_each(Reader::finish)?;
    Ok(refuse_files(name, &manifest).map(|()| manifest))
}

/// Fails if the manifest names a file of an unknown kind that a reader must understand.
fn refuse_files(name: &str, manifest: &Manifest) -> Result<()> {
    let mut segments = manifest.shards.iter().flat_map(|shard| &shard.segments);
    let mut of_store = manifest.side_files.iter().filter(|side| !side.is_operations());
    segments.try_for_each(|segment| segment.check_ignorable(name))?;
    of_store.try_for_each(|side| side.check_ignorable(name))
}

/// Reads a body of format version 1.
pub(super) fn decode_first_body(body: &[u8]) -> Decoded<Manifest> {
    let reader = &mut Reader::new(body);
    let secret = [reader.u64()?, reader.u64()?];
    let spaces = decode_first_spaces(reader)?;
    let numbers = decode_numbers(reader)?;
    let settings = Settings::decode_first(reader.prefixed(FILE_BYTES_MAX)?)?;
    let shards = decode_shards(reader, EntryForm::Numbered)?;
    reader.finish()?;
    Ok(Manifest { secret, spaces, settings, shards, ..numbers })
}

fn decode_clock(reader: &mut Reader<'_>) -> Decoded<ClockState> {
    Ok(ClockState { log_time: reader.i64()?, agreed_micros: reader.u64()?, wall: reader.i64()? })
}

/// Reads the numbers of the log section. Returns a manifest that is empty otherwise.
fn decode_numbers(reader: &mut Reader<'_>) -> Decoded<Manifest> {
    let (next_file_id, first_log, reflected) = (reader.u64()?, reader.u64()?, reader.u64()?);
    if next_file_id.max(first_log).max(reflected) >= NUMBERS_MAX {
        return Err(reader.malformed("a number is out of range"));
    }
    Ok(Manifest {
        store_id: 0,
        generation: 0,
        previous_crc: 0,
        secret: [0; 2],
        incarnation: 0,
        spaces: Spaces::default(),
        next_file_id,
        first_log,
        reflected: Lsn::new(reflected),
        settings: Settings::default(),
        side_files: Vec::new(),
        clock: None,
        others: Extensions::default(),
        shards: Vec::new(),
    })
}

fn encode_shards(out: &mut Writer, shards: &[ShardEntry]) {
    out.count(shards.len());
    for shard in shards {
        out.prefixed(&shard.low);
        out.u64(shard.checkpoint.get());
        out.count(shard.segments.len());
        shard.segments.iter().for_each(|segment| encode_segment(out, segment));
    }
}

fn decode_shards(reader: &mut Reader<'_>, form: EntryForm) -> Decoded<Vec<ShardEntry>> {
    let count = reader.count(16, FILE_BYTES_MAX)?;
    let mut shards: Vec<ShardEntry> = Vec::with_capacity(count);
    for _ in 0..count {
        let low = reader.prefixed(FILE_BYTES_MAX)?.to_vec();
        let in_order = shards.last().map_or(low.is_empty(), |before| before.low < low);
        if !in_order {
            return Err(reader.malformed("the shards do not partition the namespaces"));
        }
        let checkpoint = Lsn::new(reader.u64()?);
        let segments = reader.count(64, FILE_BYTES_MAX)?;
        let segments = (0..segments).map(|_| decode_segment(reader, form)).collect::<Decoded<_>>()?;
        shards.push(ShardEntry { low, checkpoint, segments });
    }
    if shards.is_empty() {
        return Err(reader.malformed("a store has at least one shard"));
    }
    Ok(shards)
}
