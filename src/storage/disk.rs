//! The real disk: one directory, held by its descriptor, so that a rename does not change which directory is used.
//!
//! Invariants:
//! * Every name is resolved relative to the directory's descriptor and never through a symbolic link. An open refuses
//!   anything but a regular file.
//! * The directory is created with mode 0700 and files with mode 0600 at most. No descriptor survives an `exec`.
//! * This module continues interrupted and short reads and writes, so callers never see them. It reports a failed sync
//!   once and never repeats it.
#![allow(clippy::disallowed_methods, reason = "this is the door to the file system")]

use std::ffi::CStr;
use std::fs::{DirBuilder, File};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime};

use super::directory::{c_name, retry};
use super::role::DirectoryRole;
use super::{
    AlignedBytes, Clock, CodeResidency, Map, ReadMode, Storage, StorageFile, check_name, directory, done_in_part, forks,
};
use crate::error::{Error, ErrorKind, Result};

/// Identity of a directory: equal for all paths to one directory, and different for any other directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DirectoryId {
    device: u64,
    inode: u64,
}

/// One directory of a file system.
#[derive(Debug)]
pub struct DiskStorage {
    path: PathBuf,
    pub(super) directory: File,
    identity: DirectoryId,
    read_mode: ReadMode,
    hot: CodeResidency,
    /// False for a private, temporary directory: no process opens it after a crash.
    syncs: bool,
}

impl DirectoryId {
    /// Whether the facts are those of this directory.
    pub(super) fn is_of(self, found: &std::fs::Metadata) -> bool {
        (self.device, self.inode) == (found.dev(), found.ino())
    }
}

impl DiskStorage {
    /// Opens the directory at `path`. With `create`, missing directories of the path are made durably first.
    pub fn open(path: &Path, create: bool, read_mode: ReadMode) -> Result<Self> {
        Self::open_as(DirectoryRole::Store, path, create, read_mode)
    }

    /// The same for a directory with another role.
    pub(super) fn open_as(role: DirectoryRole, path: &Path, create: bool, read_mode: ReadMode) -> Result<Self> {
        let refused = |error| role.refused(path, error);
        if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
            return Err(Error::invalid("the path of a directory must not be empty or contain NUL"));
        }
        forks::watch_forks()?;
        let directory = match open_directory(path) {
            Err(error) if create && error.kind() == io::ErrorKind::NotFound => {
                create_directory(path).map_err(refused)?;
                open_directory(path)
            }
            other => other,
        };
        let directory = directory.map_err(refused)?;
        let about = directory.metadata().map_err(refused)?;
        let path = std::fs::canonicalize(path).map_err(refused)?;
        Ok(Self {
            path,
            directory,
            identity: DirectoryId { device: about.dev(), inode: about.ino() },
            read_mode,
            hot: CodeResidency::PageCache,
            syncs: true,
        })
    }

    /// The same directory. `hot` says where codes and graphs lie in memory.
    #[must_use]
    pub fn with_hot(self, hot: CodeResidency) -> Self {
        Self { hot, ..self }
    }

    /// The same directory, never synced: its files do not survive a power loss.
    #[must_use]
    pub fn without_syncs(self) -> Self {
        Self { syncs: false, ..self }
    }

    /// The identity of the directory, to recognise two paths to one directory.
    pub fn identity(&self) -> DirectoryId {
        self.identity
    }

    /// The path of the directory when it was opened, with symbolic links resolved.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn open_at(&self, name: &str, flags: libc::c_int) -> io::Result<File> {
        let name = c_name(name)?;
        let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        let mode: libc::c_uint = 0o600;
        // SAFETY: the directory descriptor is open for as long as `self` lives, and `name` is a NUL-terminated string
        // that outlives the call.
        let fd = retry(|| unsafe { libc::openat(self.directory.as_raw_fd(), name.as_ptr(), flags, mode) })?;
        // SAFETY: `openat` has just returned this descriptor, so it is open and has no other owner.
        Ok(File::from(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Fails when the directory's permissions or its file system allow no new files.
    pub(super) fn check_writable(&self) -> Result<()> {
        let this: &CStr = c".";
        // SAFETY: the directory descriptor is open for as long as `self` lives, and `this` is a NUL-terminated
        // constant.
        let result = retry(|| unsafe { libc::faccessat(self.directory.as_raw_fd(), this.as_ptr(), libc::W_OK, 0) });
        result.map(drop).map_err(|error| Error::io(self.describe(), "write to the directory", error))
    }

    fn full_name(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn failed(&self, name: &str, what: &str, error: io::Error) -> Error {
        Error::io(self.full_name(name), what, error).at(name, None)
    }

    /// Opens a regular file. If the file system or the file's mode refuses writes, the file is opened for reading only.
    fn open_regular(&self, name: &str, access: libc::c_int) -> Result<(File, u64)> {
        check_name(name)?;
        // With O_NONBLOCK, the open of a FIFO does not wait for its other end.
        let opened = match self.open_at(name, access | libc::O_NONBLOCK) {
            Err(error)
                if access == libc::O_RDWR
                    && matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) =>
            {
                self.open_at(name, libc::O_RDONLY | libc::O_NONBLOCK)
            }
            other => other,
        };
        let not_regular = || {
            let message = format!("{} is not a regular file; put the store's own file back", self.full_name(name));
            Error::new(ErrorKind::Corrupt, message).at(name, None)
        };
        let file = opened.map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP | libc::EISDIR | libc::ENXIO) => not_regular(),
            _ => self.failed(name, "open", error),
        })?;
        let about = file.metadata().map_err(|error| self.failed(name, "inspect", error))?;
        if about.is_file() { Ok((file, about.len())) } else { Err(not_regular()) }
    }

    fn read_whole(&self, name: &str, file: &File, length: usize) -> Result<AlignedBytes> {
        let mut bytes = AlignedBytes::try_zeroed(length).map_err(|error| error.context(self.full_name(name)))?;
        file.read_exact_at(bytes.as_mut_slice(), 0).map_err(|error| self.failed(name, "read", error))?;
        Ok(bytes)
    }
}

impl Storage for DiskStorage {
    fn describe(&self) -> String {
        self.path.display().to_string()
    }

    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        check_name(name)?;
        let file = self
            .open_at(name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)
            .map_err(|error| self.failed(name, "create", error))?;
        Ok(Box::new(DiskFile { file, name: self.full_name(name), syncs: self.syncs }))
    }

    fn open(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        let (file, _) = self.open_regular(name, libc::O_RDWR)?;
        Ok(Box::new(DiskFile { file, name: self.full_name(name), syncs: self.syncs }))
    }

    fn map(&self, name: &str) -> Result<Map> {
        let (file, length) = self.open_regular(name, libc::O_RDONLY)?;
        let length = usize::try_from(length).map_err(|_| {
            Error::corrupt(self.full_name(name), 0, "the file is larger than the address space").at(name, Some(0))
        })?;
        // The kernel maps no empty range.
        if length == 0 || self.read_mode == ReadMode::Heap {
            return Ok(Map::Heap(self.read_whole(name, &file, length)?));
        }
        // SAFETY: the engine never writes to a file once it is mapped (contract of `Storage`), and files are 0600 in a
        // 0700 directory. A user who expects truncation by another program opens with `ReadMode::Heap`. So the bytes
        // do not change under the map.
        let map = unsafe { memmap2::MmapOptions::new().len(length).map(&file) };
        Ok(Map::Mapped(map.map_err(|error| self.failed(name, "map", error))?))
    }

    fn map_hot(&self, name: &str) -> Result<Map> {
        if self.hot == CodeResidency::HugePages {
            let (file, length) = self.open_regular(name, libc::O_RDONLY)?;
            // A copy of a smaller file would waste most of its huge page.
            if length < crate::storage::HUGE_PAGE as u64 {
                return self.map(name);
            }
            // If the copy fails, for lack of memory or otherwise, the file is mapped.
            if let Ok(copy) = Map::in_huge_pages(length, |bytes| file.read_exact_at(bytes, 0)) {
                return Ok(copy);
            }
        }
        self.map(name)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        let fail = |error| Error::io(self.full_name(from), format_args!("rename to {to}"), error);
        let (old, new) = (c_name(from).map_err(fail)?, c_name(to).map_err(fail)?);
        let fd = self.directory.as_raw_fd();
        // SAFETY: the directory descriptor is open for as long as `self` lives, and both names are NUL-terminated
        // strings that outlive the call.
        retry(|| unsafe { libc::renameat(fd, old.as_ptr(), fd, new.as_ptr()) }).map(drop).map_err(fail)
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let fail = |error| self.failed(name, "remove", error);
        let old = c_name(name).map_err(fail)?;
        // SAFETY: the directory descriptor is open for as long as `self` lives, and `old` is a NUL-terminated string
        // that outlives the call.
        retry(|| unsafe { libc::unlinkat(self.directory.as_raw_fd(), old.as_ptr(), 0) }).map(drop).map_err(fail)
    }

    fn list(&self) -> Result<Vec<(String, u64)>> {
        let files = directory::regular_files(&self.directory);
        let mut files = files.map_err(|error| Error::io(self.describe(), "list", error))?;
        files.sort_unstable();
        Ok(files)
    }

    fn sync_dir(&self) -> Result<()> {
        if !self.syncs {
            return Ok(());
        }
        let synced = self.directory.sync_all();
        synced.map_err(|error| done_in_part(Error::io(self.describe(), "sync the directory", error)))
    }

    fn free_bytes(&self) -> Result<u64> {
        let mut about = std::mem::MaybeUninit::<libc::statvfs>::uninit();
        // SAFETY: the directory descriptor is open for as long as `self` lives, and `about` is writable memory of the
        // right type.
        retry(|| unsafe { libc::fstatvfs(self.directory.as_raw_fd(), about.as_mut_ptr()) })
            .map_err(|error| Error::io(self.describe(), "ask for the free space of", error))?;
        // SAFETY: `fstatvfs` has returned success, so it has filled the structure.
        let about = unsafe { about.assume_init() };
        #[allow(clippy::useless_conversion, reason = "the widths of these fields differ between systems")]
        Ok(u64::from(about.f_bavail).saturating_mul(u64::from(about.f_frsize)))
    }

    fn random(&self) -> u64 {
        random()
    }

    fn as_disk(&self) -> Option<&DiskStorage> {
        Some(self)
    }
}

struct DiskFile {
    file: File,
    name: String,
    syncs: bool,
}

impl DiskFile {
    fn fail<'a>(&'a self, what: &'a str) -> impl FnOnce(io::Error) -> Error + 'a {
        move |error| match error.raw_os_error() {
            // The descriptor was opened for reading only.
            Some(libc::EBADF) => Error::io(&self.name, what, error).with_kind(ErrorKind::ReadOnly),
            _ => done_in_part(Error::io(&self.name, what, error)),
        }
    }
}

impl StorageFile for DiskFile {
    fn len(&self) -> Result<u64> {
        self.file.metadata().map(|about| about.len()).map_err(self.fail("inspect"))
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, offset).map_err(self.fail("read"))
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.file.write_all_at(bytes, offset).map_err(self.fail("write"))
    }

    fn set_len(&self, length: u64) -> Result<()> {
        self.file.set_len(length).map_err(self.fail("set the length of"))
    }

    fn sync_data(&self) -> Result<()> {
        if self.syncs { self.file.sync_data().map_err(self.fail("sync")) } else { Ok(()) }
    }

    fn sync_all(&self) -> Result<()> {
        if self.syncs { self.file.sync_all().map_err(self.fail("sync")) } else { Ok(()) }
    }
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    fn now(&self) -> i64 {
        let micros = |span: Duration| i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => micros(after),
            Err(before) => -micros(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        START.elapsed()
    }
}

fn open_directory(path: &Path) -> io::Result<File> {
    File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_CLOEXEC).open(path)
}

/// Creates the directory after its missing parents. The name of each is made durable before the next is created.
fn create_directory(path: &Path) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) => Path::new("."),
        None => return Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let make = || DirBuilder::new().mode(0o700).create(path);
    let made = match make() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => create_directory(parent).and_then(|()| make()),
        other => other,
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        // The name is made durable even if another process has just made the directory.
        _ => open_directory(parent)?.sync_all(),
    }
}

fn random() -> u64 {
    let mut bytes = [0; 8];
    // SAFETY: `bytes` is writable memory of the stated length, and at most 256 bytes are asked for.
    if unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), bytes.len()) } == 0 {
        return u64::from_ne_bytes(bytes);
    }
    // The kernel lacks that call. The standard library takes the keys of its hasher from another source.
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one((std::process::id(), SystemTime::now()))
}

/// A new, empty, private directory under the system's directory for temporary files.
pub fn temporary_directory() -> Result<PathBuf> {
    let parent = std::env::temp_dir();
    for _ in 0..16 {
        let path = parent.join(format!("vecmem-{:016x}", random()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Error::io(path.display(), "create the temporary directory", error)),
        }
    }
    Err(Error::new(ErrorKind::Io, format!("cannot find a free name in {}", parent.display())))
}

/// Removes a temporary directory and its files, as far as the system lets it.
pub fn remove_tree(path: &Path) {
    let _ = std::fs::remove_dir_all(path);
}

/// Lowers the priority of the calling thread, if the system can.
pub fn lower_priority() {
    #[cfg(target_os = "linux")]
    // SAFETY: setpriority reads three integers and touches no memory; 0 is the calling thread on Linux.
    unsafe {
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}
