//! Files of one directory that become files of another one without a copy of their bytes: clones and hard links.
//!
//! Invariants:
//! * A clone has an inode of its own: later changes and damage of one inode do not reach the other. The file system
//!   lets both refer to the same blocks.
//! * A hard link is the same inode under a second name.
//! * Where the system cannot do either, the caller learns it, and nothing has changed.
#![allow(clippy::disallowed_methods, reason = "this is the door to the file system")]

use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

use super::directory::{c_name, retry};
use super::disk::DiskStorage;
use super::{Storage, check_name};
use crate::error::{Error, Result};

impl DiskStorage {
    /// Whether `path`, or the nearest part of it that exists, is this directory or lies in it.
    pub(crate) fn contains(&self, path: &Path) -> bool {
        let Ok(path) = std::path::absolute(path) else { return false };
        let found = path.ancestors().find_map(|part| std::fs::canonicalize(part).ok());
        found.is_some_and(|found| found.starts_with(self.path()))
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
            let into = self.describe();
            let error = match error.raw_os_error() {
                Some(libc::EXDEV) => io::Error::other("it lies on another file system; make a backup without links"),
                Some(libc::EPERM | libc::EOPNOTSUPP) => {
                    io::Error::other("this file system has no hard links; make a backup without links")
                }
                _ => error,
            };
            Error::io(format!("{}/{name}", source.describe()), format_args!("link to {into}"), error).at(name, None)
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
