//! Reading the log: first the facts, then, once the caller has judged them, the operations. Nothing here writes.
//!
//! Invariants:
//! * The facts come from headers and checksums alone, and are complete before the caller acts on any of them.
//! * For any bytes, memory is one window (a megabyte, or the largest frame) and time is linear in the bytes.

use std::collections::VecDeque;

use super::frame::{FRAME_HEADER_BYTES, FrameHeader, FrameKind};
use super::header::{FileHeader, HeaderState};
use super::operations::{Body, decode_body};
use super::window::Window;
use super::{
    CLOCK_LEAP_MAX, DOUBT_NAME, FILE_BYTES_MAX, HEADERS_BYTES, LogFile, Predecessor, file_id, file_name, log_time_after,
};
use crate::codec::seed;
use crate::error::{Error, ErrorKind, Result};
use crate::record::Lsn;
use crate::storage::Storage;

/// How a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// The store was closed.
    Closed,
    /// Zeros follow the last frame.
    Clean,
    /// The bytes after the last frame are no whole frame, and nothing proves that they were durable. They are void.
    Torn { file: u64, offset: u64, lost_bytes: u64 },
    /// A durable frame is damaged or missing. The facts cover the frames before it.
    Corrupt { file: u64, offset: u64, why: String },
}

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FileFacts {
    pub id: u64,
    pub bytes: u64,
    /// End of the last accepted frame.
    pub end: u64,
    /// The last LSN in the file; if the file has none, the last LSN before it.
    pub last_lsn: Lsn,
    /// The generation of the newest durable manifest when the file was started.
    pub manifest_generation: u64,
}

impl FileFacts {
    /// The file as the log of an open store has it.
    pub fn log_file(&self) -> LogFile {
        LogFile { id: self.id, bytes: self.bytes, last_lsn: self.last_lsn, end: self.end }
    }
}

/// The facts about the log, from its headers and checksums.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFacts {
    /// The log holds every operation after this one, up to `last_lsn`.
    pub base_lsn: Lsn,
    pub last_lsn: Lsn,
    /// The clock of the newest frame, unchecked, in microseconds since 1970 UTC; 0 for none.
    pub newest_clock: i64,
    /// Log time: the newest clock that is no leap; `None` if there is no frame and the caller knows no log time.
    pub log_time: Option<i64>,
    /// Everything up to this LSN is proven to have been durable.
    pub durable_lsn: Lsn,
    /// The used files, oldest first.
    pub files: Vec<FileFacts>,
    /// The ids of files that nothing was written to. These files can be removed.
    pub unused: Vec<u64>,
    pub tail: Tail,
    /// Higher than the id of every existing log file.
    pub next_file_id: u64,
    pub(super) chain: u64,
    /// The offset in the last file from which frames are not known to be durable.
    pub(super) doubtful_from: u64,
    /// The end before the Closed frame of a log that was closed. The frame says that all before it is durable, and may
    /// itself not be.
    pub(super) closed_at: Option<Predecessor>,
    /// Whether the file `wal-doubt` exists.
    pub(super) doubt: bool,
    /// Whether the caller knows the last file, so that later ones do not count.
    pub(super) is_bounded: bool,
}

impl LogFacts {
    /// Whether a write or sync has failed, and no writer has made the log durable since.
    pub fn is_in_doubt(&self) -> bool {
        self.doubt
    }

    /// Whether later log files in the directory do not belong to this log.
    pub fn is_bounded(&self) -> bool {
        self.is_bounded
    }

    /// The predecessor that the header of the next file names.
    pub(super) fn predecessor(&self) -> Predecessor {
        let (file, end) = self.files.last().map_or((0, 0), |last| (last.id, last.end));
        Predecessor { file, end, last_lsn: self.last_lsn, chain: self.chain, clock: self.newest_clock }
    }
}

/// Gathers the facts from the file `first_file_id` on. 0 means the first file of the store, which need not exist yet.
#[cfg(feature = "testing")]
pub(crate) fn inspect(storage: &dyn Storage, store_id: u64, first_file_id: u64) -> Result<LogFacts> {
    inspect_after(storage, store_id, LogSpan::from(first_file_id), None)
}

/// Log time after all frames up to the LSN `through`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownTime {
    pub log_time: i64,
    pub through: Lsn,
}

/// The files of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LogSpan {
    /// The id of the first one; 0 means the first file of the store, which need not exist yet.
    pub first: u64,
    /// The id of the last one, if it is known: in a backup.
    pub last: Option<u64>,
}

impl From<u64> for LogSpan {
    /// Every file from this one on.
    fn from(first: u64) -> Self {
        Self { first, last: None }
    }
}

/// Gathers the facts; if log time is `known` as of an LSN, only later frames raise it. Earlier ones do not, since log
/// time may have been set back after them.
pub(crate) fn inspect_after(
    storage: &dyn Storage,
    store_id: u64,
    span: LogSpan,
    known: Option<KnownTime>,
) -> Result<LogFacts> {
    let first_file_id = span.first;
    let (log_time, timed) = (known.map(|known| known.log_time), known.map_or(Lsn::ZERO, |known| known.through));
    let listed = storage.list()?;
    let doubt = listed.iter().any(|(name, _)| name == DOUBT_NAME);
    let mut ids: Vec<u64> = listed.iter().filter_map(|(name, _)| file_id(name)).collect();
    ids.sort_unstable();
    let next_file_id = ids.last().map_or(1, |last| last + 1).max(first_file_id);
    let facts = LogFacts {
        base_lsn: Lsn::ZERO,
        last_lsn: Lsn::ZERO,
        newest_clock: 0,
        log_time,
        durable_lsn: Lsn::ZERO,
        files: Vec::new(),
        unused: Vec::new(),
        tail: Tail::Clean,
        next_file_id,
        chain: 0,
        doubtful_from: 0,
        closed_at: None,
        doubt,
        is_bounded: span.last.is_some(),
    };
    ids.retain(|&id| id >= first_file_id && span.last.is_none_or(|last| id <= last));
    let mut inspection = Inspection { storage, store_id, facts, timed, log_time_is_vague: false };
    inspection.facts.tail = match inspection.read_headers(&ids, first_file_id)? {
        Ok(used) => inspection.read_files(&used)?,
        Err(tail) => tail,
    };
    Ok(inspection.facts)
}

/// Calls `visitor` with every frame that has an LSN at or after `from_lsn`.
pub(crate) fn visit(
    storage: &dyn Storage,
    store_id: u64,
    facts: &LogFacts,
    from_lsn: Lsn,
    visitor: &mut dyn FnMut(&FrameHeader, Body) -> Result<()>,
) -> Result<()> {
    for file in facts.files.iter().filter(|file| file.last_lsn >= from_lsn) {
        let name = file_name(file.id);
        let mut window = Window::open(storage, file.id)?;
        let salt = seed(&[store_id, file.id]);
        let mut offset = HEADERS_BYTES;
        while offset < file.end {
            let Some((header, body)) = window.frame(salt, offset)? else {
                return Err(Error::corrupt(name, offset, "a frame has changed since it was checked"));
            };
            if header.kind != FrameKind::Closed && header.last_lsn() >= from_lsn {
                let body = decode_body(header.kind, header.flags, body, header.count)
                    .map_err(|malformed| malformed.in_file(&name, offset + FRAME_HEADER_BYTES as u64))?;
                body.check_known(&name)
                    .and_then(|()| visitor(&header, body))
                    .map_err(|error| if error.location().is_some() { error } else { error.at(&name, Some(offset)) })?;
            }
            offset += header.frame_bytes();
        }
    }
    Ok(())
}

fn corrupt(file: u64, offset: u64, why: impl Into<String>) -> Tail {
    Tail::Corrupt { file, offset, why: why.into() }
}

struct Inspection<'a> {
    storage: &'a dyn Storage,
    store_id: u64,
    facts: LogFacts,
    /// Frames up to this LSN do not change log time.
    timed: Lsn,
    /// Log time comes only from the predecessor of the first file, whose clock may have leapt.
    log_time_is_vague: bool,
}

impl Inspection<'_> {
    /// Sorts the files into used and unused. Each used file must name the used file before it.
    fn read_headers(&mut self, ids: &[u64], first_file_id: u64) -> Result<Result<Vec<FileHeader>, Tail>> {
        let mut used: Vec<FileHeader> = Vec::new();
        for &id in ids {
            match self.read_header(id)? {
                Err(tail) => return Ok(Err(tail)),
                Ok(None) => self.facts.unused.push(id),
                Ok(Some(header)) => {
                    let expected = header.predecessor.file;
                    let fits = match used.last() {
                        Some(last) => last.file_id == expected,
                        None if first_file_id == 0 => expected == 0,
                        None => id == first_file_id,
                    };
                    if !fits {
                        let missing = if used.is_empty() && first_file_id != 0 { first_file_id } else { expected };
                        let why = format!("the file is missing, or {} does not follow it alone", file_name(id));
                        return Ok(Err(corrupt(missing, 0, why)));
                    }
                    used.push(header);
                }
            }
        }
        if used.is_empty() && first_file_id != 0 {
            return Ok(Err(corrupt(first_file_id, 0, "the file is missing or empty, and the log begins with it")));
        }
        Ok(Ok(used))
    }

    fn read_header(&mut self, id: u64) -> Result<Result<Option<FileHeader>, Tail>> {
        let mut window = Window::open(self.storage, id)?;
        if window.length > FILE_BYTES_MAX {
            return Ok(Err(corrupt(id, 0, "the file is longer than any log file")));
        }
        let length = window.length;
        if length >= HEADERS_BYTES {
            match FileHeader::decode(window.bytes(0, HEADERS_BYTES)?, self.store_id, id, length)? {
                HeaderState::Valid(header) => return Ok(Ok(Some(header))),
                HeaderState::Wrong(why) => return Ok(Err(corrupt(id, 0, why))),
                HeaderState::Absent => {}
            }
        }
        // A power loss may leave anything in a file that was being prepared. Only a file in use has frames.
        let Some(offset) = window.skip_zeros(HEADERS_BYTES)? else { return Ok(Ok(None)) };
        let remains = window.search_frames(seed(&[self.store_id, id]), offset)?;
        Ok(match remains.first {
            None => Ok(None),
            Some(offset) => Err(corrupt(id, offset, "a frame was written here, but the file has no valid header")),
        })
    }

    fn read_files(&mut self, used: &[FileHeader]) -> Result<Tail> {
        if let Some(first) = used.first() {
            self.accept_base(first.predecessor);
        }
        for (index, header) in used.iter().enumerate() {
            self.facts.files.push(FileFacts {
                id: header.file_id,
                bytes: header.file_bytes,
                end: HEADERS_BYTES,
                last_lsn: self.facts.last_lsn,
                manifest_generation: header.manifest_generation,
            });
            let accepted = used.get(index + 1).map(|successor| successor.predecessor);
            let mut window = Window::open(self.storage, header.file_id)?;
            let frames = match self.read_frames(&mut window, header.file_id, accepted.map(|accepted| accepted.end))? {
                Ok(frames) => frames,
                Err(tail) => return Ok(tail),
            };
            match accepted {
                None => return self.judge_tail(&mut window, header.file_id, frames),
                Some(accepted) if accepted == self.facts.predecessor() => self.facts.durable_lsn = self.facts.last_lsn,
                Some(_) => {
                    return Ok(corrupt(
                        header.file_id,
                        frames.end,
                        "the file ends before or unlike its successor says",
                    ));
                }
            }
        }
        Ok(self.facts.tail.clone())
    }

    fn accept_base(&mut self, base: Predecessor) {
        self.facts.base_lsn = base.last_lsn;
        self.facts.last_lsn = base.last_lsn;
        self.facts.durable_lsn = base.last_lsn;
        self.facts.newest_clock = base.clock;
        let is_timed = self.facts.log_time.is_some() && base.last_lsn <= self.timed;
        if base.file != 0 && !is_timed {
            self.log_time_is_vague = self.facts.log_time.is_none();
            self.facts.log_time = Some(log_time_after(self.facts.log_time, base.clock));
        }
        self.facts.chain = base.chain;
    }

    /// Accepts frames up to `limit`, or up to the first offset that has no whole frame.
    fn read_frames(&mut self, window: &mut Window, file: u64, limit: Option<u64>) -> Result<Result<Frames, Tail>> {
        let salt = seed(&[self.store_id, file]);
        let mut frames = Frames { end: HEADERS_BYTES, closed: None, closed_at: None };
        let mut doubtful = VecDeque::new();
        self.facts.doubtful_from = 0;
        while limit.is_none_or(|limit| frames.end < limit) {
            let Some((header, body)) = window.frame(salt, frames.end)? else { break };
            if frames.closed.is_some() || header.first_lsn != self.facts.last_lsn.next() {
                return Ok(Err(corrupt(file, frames.end, "the frame is not the one that follows")));
            }
            match header.kind {
                FrameKind::Batch | FrameKind::Ingest => {}
                FrameKind::Closed => {
                    frames.closed = Some(body.try_into().map(u64::from_le_bytes).unwrap_or_default());
                    let is_durable = header.durable_lsn >= self.facts.last_lsn;
                    frames.closed_at = is_durable.then(|| self.facts.predecessor());
                }
                FrameKind::Unknown(kind) => {
                    let name = file_name(file);
                    let message = format!("{name} holds a frame of kind {kind}; upgrade vecmem to open the store");
                    return Err(Error::new(ErrorKind::NewerFormat, message).at(name, Some(frames.end)));
                }
            }
            while doubtful.front().is_some_and(|&(_, last_lsn)| last_lsn <= header.durable_lsn) {
                doubtful.pop_front();
            }
            doubtful.push_back((frames.end, header.last_lsn()));
            self.facts.doubtful_from = doubtful.front().map_or(0, |&(offset, _)| offset);
            frames.end += header.frame_bytes();
            self.accept(&header, frames.end);
        }
        Ok(Ok(frames))
    }

    fn accept(&mut self, header: &FrameHeader, end: u64) {
        self.facts.last_lsn = header.last_lsn();
        self.facts.newest_clock = header.clock;
        if header.last_lsn() > self.timed {
            self.raise_log_time(header);
        }
        self.facts.durable_lsn = self.facts.durable_lsn.max(header.durable_lsn);
        self.facts.chain = header.extend(self.facts.chain);
        if let Some(file) = self.facts.files.last_mut() {
            (file.end, file.last_lsn) = (end, header.last_lsn());
        }
    }

    fn raise_log_time(&mut self, header: &FrameHeader) {
        let vague = std::mem::take(&mut self.log_time_is_vague);
        // A frame that is more than a day behind a vague log time shows that this time was wrong.
        let before =
            self.facts.log_time.filter(|&before| !vague || before.saturating_sub(header.clock) <= CLOCK_LEAP_MAX);
        self.facts.log_time = Some(log_time_after(before, header.clock));
    }

    /// Judges the bytes behind the last frame of the last file.
    fn judge_tail(&mut self, window: &mut Window, file: u64, frames: Frames) -> Result<Tail> {
        if let Some(successor) = frames.closed.filter(|&successor| successor != 0) {
            return Ok(corrupt(
                successor,
                0,
                format!("the file is missing or empty, and {} goes on in it", file_name(file)),
            ));
        }
        let Some(offset) = window.skip_zeros(frames.end)? else {
            self.facts.closed_at = frames.closed_at;
            return Ok(if frames.closed.is_some() { Tail::Closed } else { Tail::Clean });
        };
        let remains = window.search_frames(seed(&[self.store_id, file]), offset)?;
        if remains.durable_lsn > self.facts.last_lsn {
            let why = format!("the frame is damaged; a later one says that LSN {} was durable", remains.durable_lsn);
            return Ok(corrupt(file, frames.end, why));
        }
        Ok(Tail::Torn { file, offset: frames.end, lost_bytes: remains.end - frames.end })
    }
}

/// The accepted part of a file.
struct Frames {
    end: u64,
    /// The body of a Closed frame at the end: the id of the next file, or 0 if the store was closed.
    closed: Option<u64>,
    /// The end before that frame, if the frame says that everything before it is durable.
    closed_at: Option<Predecessor>,
}
