//! The only access to the disk, the clock and randomness: small traits that tests reimplement.
//!
//! Reading order: the traits here; `disk` and `directory` (the real disk), `lock` (one process), `forks`; `sim` (the
//! disk of tests).
//!
//! Durability contract. The simulator enforces it, and the engine relies on nothing more:
//! * Written bytes are readable at once by this process. They survive a power loss only once `sync_data` (for bytes
//!   within the durable length) or `sync_all` (the length too) of that file has returned. Unsynced bytes may survive in
//!   part and in any order.
//! * A created, renamed or removed *name* survives only after `sync_dir`; a file's bytes and its name are independent.
//! * A failed sync is final: the bytes that it covered may be lost even if a later sync succeeds. No code retries it.
//! * A mapped file is never written again, so a map never changes under its reader.
//! * If `is_undone` is true of an error, the operation has changed nothing. Only an operation that needs a new
//!   descriptor, map or memory fails this way, at a limit of the system.
//! * Names are flat: no separators, no `..`; a store owns one directory and knows no other.

mod directory;
pub mod disk;
pub mod forks;
pub mod lock;
mod role;
mod share;
#[cfg(feature = "testing")]
pub mod sim;
#[cfg(test)]
mod tests;

use std::io;
use std::ops::{Deref, Range};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};

/// How segment files are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ReadMode {
    /// Memory-mapped. If another program truncates a mapped file, a read of it raises SIGBUS.
    #[default]
    Map,
    /// Read into memory: for untrusted directories and network file systems.
    Heap,
}

/// Where codes and graphs lie in memory: searches read these files at random positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum CodeResidency {
    /// In the page cache, like all other files: a page is read when it is needed, and processes share it.
    #[default]
    PageCache,
    /// Copied into memory of this process when their segment is opened, in huge pages where the system has them. A file
    /// below 2 MiB, or without memory for the copy, stays in the page cache.
    HugePages,
}

/// Refuses a name with a separator, `.` and `..`, so that no name leads out of the directory.
fn check_name(name: &str) -> Result<()> {
    let flat = !matches!(name, "" | "." | "..") && name.len() <= 255 && !name.contains(['/', '\0']);
    if flat { Ok(()) } else { Err(Error::invalid(format!("{name:?} is not the name of a file in a store"))) }
}

/// The error of an operation that needs no new descriptor or map. If the error is a limit of the system, the operation
/// may have been done in part, so the kind becomes `Io`.
fn done_in_part(error: Error) -> Error {
    if error.is_undone() { error.with_kind(ErrorKind::Io) } else { error }
}

/// One directory of files.
pub trait Storage: Send + Sync + 'static {
    /// The path of the directory, for messages.
    fn describe(&self) -> String;
    /// Creates an empty file. A file of this name is an error.
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>>;
    /// Opens an existing regular file for reading and writing, or for reading only if the file may not be written.
    fn open(&self, name: &str) -> Result<Box<dyn StorageFile>>;
    /// The whole file, unchanging, 64-byte aligned.
    fn map(&self, name: &str) -> Result<Map>;
    /// Like [`map`](Self::map), for codes and graphs: [`CodeResidency`] decides whether they are copied into memory.
    fn map_hot(&self, name: &str) -> Result<Map> {
        self.map(name)
    }
    /// Renames, replacing the target.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Removes a file. A missing file is an error.
    fn remove(&self, name: &str) -> Result<()>;
    /// Regular files with their lengths, sorted by name. Other things in the directory are not listed.
    fn list(&self) -> Result<Vec<(String, u64)>>;
    /// Makes creations, renames and removals so far durable.
    fn sync_dir(&self) -> Result<()>;
    /// Free bytes of the file system, as it reports them.
    fn free_bytes(&self) -> Result<u64>;
    /// A fresh unpredictable number.
    fn random(&self) -> u64;
    /// The directory of a real disk, if this is one: its files may be shared with another directory.
    fn as_disk(&self) -> Option<&disk::DiskStorage> {
        None
    }
}

/// One open file. All methods take `&self`: the caller orders its own writes.
#[allow(clippy::len_without_is_empty, reason = "the length is asked of the system and can fail")]
pub trait StorageFile: Send + Sync {
    /// Current length in bytes.
    fn len(&self) -> Result<u64>;
    /// Reads exactly `buffer.len()` bytes at `offset`. A file that ends before is an error.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()>;
    /// Writes all of `bytes` at `offset`, extending the file if needed.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;
    /// Cuts the file to `length`, or extends it with zeros.
    fn set_len(&self, length: u64) -> Result<()>;
    /// Makes written bytes durable, up to the length that is durable already.
    fn sync_data(&self) -> Result<()>;
    /// Makes the written bytes and the length durable.
    fn sync_all(&self) -> Result<()>;
}

/// The machine's clocks, for times to live and timestamps. The order of writes never depends on them.
pub trait Clock: Send + Sync + 'static {
    /// Microseconds since 1970 UTC, as the machine believes.
    fn now(&self) -> i64;
    /// Time since a fixed moment. It never goes back.
    fn monotonic(&self) -> Duration;
}

/// The bytes of a file: 64-byte aligned, unchanging.
pub enum Map {
    /// Mapped from the file.
    Mapped(memmap2::Mmap),
    /// Read into memory.
    Heap(AlignedBytes),
    /// Copied into pages of this process. The copy begins at the boundary of a huge page.
    Pages {
        /// The pages, one huge page longer than the copy.
        pages: memmap2::Mmap,
        /// Offset of the copy in the pages.
        start: usize,
        /// Bytes of the copy.
        length: usize,
    },
}

impl Deref for Map {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Heap(bytes) => bytes,
            Self::Pages { pages, start, length } => &pages[*start..*start + *length],
        }
    }
}

/// Size and alignment of a huge page in bytes.
pub(crate) const HUGE_PAGE: usize = 2 << 20;

impl Map {
    /// Asks the system to read these bytes of a mapped file, and does not wait for them. The system may ignore it.
    pub fn read_ahead(&self, range: Range<usize>) {
        if let Self::Mapped(map) = self {
            let _ = map.advise_range(memmap2::Advice::WillNeed, range.start, range.len());
        }
    }

    /// Allocates `length` bytes, in huge pages where the system has them, and lets `fill` write them.
    fn in_huge_pages(length: u64, fill: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Self> {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut pages = memmap2::MmapMut::map_anon(length.saturating_add(HUGE_PAGE))?;
        #[cfg(target_os = "linux")]
        let _ = pages.advise(memmap2::Advice::HugePage);
        let start = pages.as_ptr().align_offset(HUGE_PAGE);
        fill(&mut pages[start..start + length])?;
        Ok(Self::Pages { pages: pages.make_read_only()?, start, length })
    }
}

#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(C, align(64))]
struct Line([u8; 64]);

/// Bytes on the heap, aligned to 64.
#[derive(Default)]
pub struct AlignedBytes {
    lines: Vec<Line>,
    length: usize,
}

impl AlignedBytes {
    /// `length` zeros.
    #[cfg(feature = "testing")]
    pub fn zeroed(length: usize) -> Self {
        Self { lines: vec![Line([0; 64]); length.div_ceil(64)], length }
    }

    /// `length` zeros, or an error if the system has not so much memory.
    pub fn try_zeroed(length: usize) -> Result<Self> {
        let mut lines = Vec::new();
        let count = length.div_ceil(64);
        lines.try_reserve_exact(count).map_err(|_| {
            Error::system_limit(format!("no memory for {length} bytes; free some or read files with ReadMode::Map"))
        })?;
        lines.resize(count, Line([0; 64]));
        Ok(Self { lines, length })
    }

    /// The bytes, for writing.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.lines)[..self.length]
    }
}

impl Deref for AlignedBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.lines)[..self.length]
    }
}
