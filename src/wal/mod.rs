//! The write-ahead log: a write is acknowledged, and readers see it, only after it is in the log.
//!
//! Reading order: `frame`, `header`, `body`, `operations` (bytes); `space`, `writer`, `syncer` (writing); `window`,
//! `replay`, `salvage` (reading).
//!
//! Invariants:
//! * Files are filled with real zeros, written from front to back, and never used again, so every byte that is not zero
//!   was written by the file's one writer.
//! * A frame is all or nothing. LSNs are contiguous from frame to frame and file to file.
//! * A bad frame is a torn tail, without loss of a durable write, unless later bytes prove that the frame was durable.
//!   Then it is corruption, and never cut off silently.
//! * Reading changes nothing. After every open, the log continues in a new file.
//!
//! # A log file, `wal-{id: 16 hexadecimal digits}.log`
//!
//! Little endian. Ids rise along the log, with gaps. The length is fixed at preparation, a multiple of 4,096.
//!
//! ```text
//! OFFSET  SIZE  MEANING
//! 0       4096  header
//! 4096    4096  header, second copy; both are synced before the first frame is written
//! 8192          frames, each at a multiple of 64; then zeros to the end of the file
//!
//! HEADER (magic, versions and checksum stay where they are in every version)
//! 0       8     magic "vecmWAL\0"
//! 8       4     format version, 2
//! 12      4     oldest reader that understands the file, 2
//! 16      8     store id
//! 24      8     file id
//! 32      8     length of the file in bytes
//! 40      8     generation of the newest durable manifest when the file was started
//! 48      8     predecessor: file id, 0 for the first file of a store
//! 56      8     predecessor: accepted end; what lies behind it in that file is void
//! 64      8     predecessor: last LSN, 0 for none
//! 72      8     predecessor: chain after its last accepted frame
//! 80      8     predecessor: clock of its newest frame
//! 88      4004  zero
//! 4092    4     CRC-32C of the bytes before, seeded with (magic, number of the copy)
//!
//! FRAME
//! 0       4     length of the body
//! 4       1     kind: 1 Batch, 2 Closed, 3 Ingest
//! 5       1     flags: 1 extensions lie ahead of the rest of the body, 2 files of an Ingest have their kinds by name
//! 6       2     zero
//! 8       8     first LSN; of Closed, the LSN that the next operation will have
//! 16      4     LSNs that the frame takes: one for each row of its files, then one for each operation; 0 for Closed
//! 20      4     CRC-32C of the body, seeded with (salt, first LSN)
//! 24      8     clock: the writer's wall clock, microseconds since 1970 UTC; where that is ahead, the time it expects
//! 32      8     durable LSN: everything up to it was known to be synced when the frame was written
//! 40      4     zero
//! 44      4     CRC-32C of the bytes before, seeded with (salt, offset of the frame in the file)
//! 48            body, then zeros (never read) up to a multiple of 64
//! ```
//!
//! salt = seed(store id, file id); chain = seed(chain so far, header CRC << 32 | body CRC), starting at 0. So a frame
//! does not verify in another store, file or place, and a file does not follow another predecessor.
//!
//! Files of format version 1 have no flags. All frames of a file have one format, since every open begins a new file.
//! So a version of vecmem that does not know the format refuses the file, and never takes its frames for a torn tail.
//!
//! A Batch holds operations. An Ingest holds segment files, then operations (see `operations.rs`); its files are
//! durable before the frame is written. The body of Closed is a u64: 0 if the store was closed, else the id of the next
//! file. 64 bytes at the end of every file are kept for Closed. A Closed that names a next file is written once the
//! header of that file is durable, behind the accepted end that this header names. So a reader meets it only if the
//! next file is lost, and reports the loss. A Closed of a close says that all frames before it are durable, and may not
//! be durable itself: the next file names the end before it, and nothing has to be synced again.
//!
//! # Reading
//!
//! * If no copy of the header is valid and no frame header follows, the file is unused: a power loss may leave anything
//!   of a file that was being prepared. A file with frames and without a valid header, a file of another store, or of
//!   another length than its header names is corrupt.
//! * A file with a successor is read to the accepted end that the successor names. LSN, chain and clock there must be
//!   those that the successor names. The last file is read to a bad frame, or to zeros up to its end (clean or closed).
//! * A reader uses the length of a body only if the CRC of the header is right and the body fits in the file.
//! * After a bad frame, a reader looks for frame headers at every multiple of 64 up to the end of the file. If the
//!   durable LSN of one covers the bad frame, the log is corrupt. Otherwise the tail is torn: the log ends before it.
//!
//! # After a failed sync
//!
//! The bytes that the sync covered may be only in the page cache, and a later sync would not write them. A reader of
//! the log would accept them until a power loss takes them away. So a store that sees a sync fail creates the empty
//! file `wal-doubt`. The next writer first writes those frames again, at the same offsets and with the same bytes.

mod body;
mod frame;
#[cfg(feature = "testing")]
pub mod fuzz;
mod header;
mod operations;
mod replay;
mod salvage;
mod space;
mod syncer;
mod window;
mod writer;

#[cfg(test)]
mod tests;

#[cfg(feature = "testing")]
pub(crate) use self::{operations::decode_body, replay::inspect};
pub(crate) use body::FrameBody;
pub(crate) use frame::{Frame, FrameKind, frame_bytes};
pub(crate) use operations::{
    Body, HAS_EXTENSIONS, HAS_NAMED_FILES, OPERATION_ID, decode_operations, encode_extensions, encode_files,
    encode_operation, encode_shared,
};
pub(crate) use replay::{FileFacts, KnownTime, LogFacts, LogSpan, Tail, inspect_after, visit};
pub(crate) use salvage::{ExpectedLog, LogRemains, read_remains, store_id_of};
pub(crate) use space::{Claim, Space, file_bytes_for};
pub(crate) use syncer::Syncer;
pub(crate) use writer::{LogFile, LogWriter, PreparedFile, make_durable, mark_doubt, prepare};

use crate::record::Lsn;

/// The two copies of the header.
const HEADERS_BYTES: u64 = 2 * HEADER_BYTES;
const HEADER_BYTES: u64 = 4096;
/// The offset of every frame is a multiple of this.
const FRAME_ALIGNMENT: u64 = 64;
/// Kept at the end of every file for a Closed frame.
const CLOSED_BYTES: u64 = 64;
/// No log file is longer: twice the largest batch and then some.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// The name of an empty file that exists from a failed write or sync until the next writer of the log. The file need
/// not survive a power loss, which empties the page cache too.
const DOUBT_NAME: &str = "wal-doubt";

/// In microseconds: a frame clock that is further ahead of log time does not raise log time.
pub(crate) const CLOCK_LEAP_MAX: i64 = 24 * 3_600 * 1_000_000;

/// Log time after a frame with this clock. A leap is ignored: versions before log time wrote the wall clock unchecked.
fn log_time_after(log_time: Option<i64>, clock: i64) -> i64 {
    let Some(log_time) = log_time else { return clock };
    let leaps = clock.saturating_sub(log_time) > CLOCK_LEAP_MAX;
    if leaps { log_time } else { log_time.max(clock) }
}

/// The name of a log file.
pub(crate) fn file_name(id: u64) -> String {
    format!("wal-{id:016x}.log")
}

/// The id in a log file's name; `None` for any other file.
pub(crate) fn file_id(name: &str) -> Option<u64> {
    let id = u64::from_str_radix(name.strip_prefix("wal-")?.strip_suffix(".log")?, 16).ok()?;
    (id != 0 && file_name(id) == name).then_some(id)
}

/// The point of the log after which a log file begins. The default is the start of a store's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Predecessor {
    /// The id of the previous file; 0 for none.
    pub file: u64,
    /// The accepted end of the previous file. All bytes behind it are void.
    pub end: u64,
    pub last_lsn: Lsn,
    /// A hash of the checksums of all accepted frames so far.
    pub chain: u64,
    /// Clock of the newest frame, microseconds since 1970 UTC; 0 for none.
    pub clock: i64,
}
