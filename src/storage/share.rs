//! What two directories have to do with each other: files of one that become files of the other without a copy of
//! their bytes (clones and hard links), and whether one lies in the other.
//!
//! Invariants:
//! * A clone has an inode of its own: later changes and damage of one inode do not reach the other. The file system
//!   lets both refer to the same blocks.
//! * A hard link is the same inode under a second name.
//! * Where the system cannot do either, the caller learns it, and nothing has changed.
#![allow(clippy::disallowed_methods, reason = "this is the door to the file system")]

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Component, Path, PathBuf};

use super::directory::{c_name, retry};
use super::disk::DiskStorage;
use super::role::DirectoryRole;
use super::{ReadMode, Storage, check_name};
use crate::error::{Error, Result};

impl DiskStorage {
    /// Opens the directory that a restore or a salvage reads. Its name is for messages: "backup", "store".
    pub(crate) fn open_source(path: &Path, name: &'static str) -> Result<Self> {
        Self::open_as(DirectoryRole::Source(name), path, false, ReadMode::Map)
    }

    /// Opens the directory that a backup, a restore or a salvage fills, and makes it if it is missing.
    pub(crate) fn open_target(path: &Path) -> Result<Self> {
        Self::open_as(DirectoryRole::Target, path, true, ReadMode::Map)
    }

    /// Fails if `path` is this directory or lies in it. `name` says what this directory is, for the message.
    pub(crate) fn refuse_inside(&self, path: &Path, name: &str) -> Result<()> {
        if !self.contains(path) {
            return Ok(());
        }
        let (path, own) = (path.display(), self.path().display());
        Err(Error::invalid(format!("{path} lies in the directory of the {name}, {own}; give another one")))
    }

    /// Whether `path` is this directory or would be created in it.
    fn contains(&self, path: &Path) -> bool {
        let Ok(path) = std::path::absolute(path) else { return false };
        let is_this = |part: &Path| std::fs::metadata(part).is_ok_and(|found| self.identity().is_of(&found));
        resolved(&path).ancestors().any(is_this)
    }

    /// Clones a file of `source` under the same name, which must be free. Returns false if the file system cannot.
    pub(crate) fn clone_from(&self, source: &DiskStorage, name: &str) -> Result<bool> {
        check_name(name)?;
        let failed = |what: &str, error| Error::io(format!("{}/{name}", self.describe()), what, error).at(name, None);
        let from = source
            .open_at(name, libc::O_RDONLY | libc::O_NONBLOCK)
            .map_err(|error| Error::io(format!("{}/{name}", source.describe()), "open", error).at(name, None))?;
        let into = self.open_at(name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL);
        let into = into.map_err(|error| failed("create", error))?;
        if clone_blocks(&from, &into) {
            return Ok(true);
        }
        drop(into);
        self.remove(name).map(|()| false)
    }

    /// Links a file of `source` under the same name, which must be free.
    pub(crate) fn link_from(&self, source: &DiskStorage, name: &str) -> Result<()> {
        check_name(name)?;
        let fail = |error: io::Error| {
            let both = format!("{}/{name} to {}", source.describe(), self.describe());
            let error = match error.raw_os_error() {
                Some(libc::EXDEV) => io::Error::other("it lies on another file system; make a backup without links"),
                Some(libc::EPERM | libc::EOPNOTSUPP) => {
                    io::Error::other("this file system has no hard links; make a backup without links")
                }
                _ => error,
            };
            Error::io(both, "link", error).at(name, None)
        };
        let c_name = c_name(name).map_err(fail)?;
        let (from, into) = (source.directory.as_raw_fd(), self.directory.as_raw_fd());
        // SAFETY: both directory descriptors are open for as long as the two storages live, and the name is a
        // NUL-terminated string that outlives the call.
        retry(|| unsafe { libc::linkat(from, c_name.as_ptr(), into, c_name.as_ptr(), 0) }).map(drop).map_err(fail)
    }

    /// Asks the system to forget its copy of a synced file in memory, so that the next read comes from the disk.
    pub(crate) fn forget_cached(&self, name: &str) {
        #[cfg(target_os = "linux")]
        if let Ok(file) = self.open_at(name, libc::O_RDONLY | libc::O_NONBLOCK) {
            // SAFETY: the descriptor is open during the call, which takes no pointer and changes no byte.
            unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
        }
        #[cfg(not(target_os = "linux"))]
        let _ = name;
    }
}

/// The absolute path as a creation of it would resolve it: links of what exists are followed, and `..` goes up also
/// from what does not exist yet.
fn resolved(path: &Path) -> PathBuf {
    let mut resolved = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(resolved.pop()),
            other => {
                resolved.push(other);
                if let Ok(found) = std::fs::canonicalize(&resolved) {
                    resolved = found;
                }
            }
        }
    }
    resolved
}

/// Makes `into` share the blocks of `from`, if the file system can.
#[cfg(target_os = "linux")]
fn clone_blocks(from: &std::fs::File, into: &std::fs::File) -> bool {
    // SAFETY: both descriptors are open during the call, and this request takes a descriptor as its argument.
    unsafe { libc::ioctl(into.as_raw_fd(), libc::FICLONE, from.as_raw_fd()) == 0 }
}

/// Other systems copy.
#[cfg(not(target_os = "linux"))]
fn clone_blocks(_from: &std::fs::File, _into: &std::fs::File) -> bool {
    false
}
