//! One writer process per directory: kernel locks on the directory itself and on the file `LOCK` in it.
//!
//! The lock of the directory decides: a directory with files cannot be removed, and a renamed one keeps its lock.
//! `LOCK` is locked too, because earlier builds lock only that file. The file holds the process id of its last holder
//! in decimal, for messages only. The kernel holds the locks, so a lock ends with its process and is never stale.
//!
//! Invariants:
//! * The directory's lock has a descriptor of its own. Files are opened through another one, which a child may keep.
//! * A forked child has neither lock (`forks.rs`).
//! * If the system refuses the lock of the directory, the open fails and names the file system.
//! * The engine never unlinks `LOCK`.
#![allow(clippy::disallowed_methods, reason = "this is the door to the file system")]

use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use super::Storage;
use super::directory::{file_system, reopen};
use super::disk::DiskStorage;
use super::forks::{Held, hold};
use crate::error::{Error, ErrorKind, Result};

/// The name of the lock file.
pub const LOCK: &str = "LOCK";
const POLL: Duration = Duration::from_millis(5);

/// The right to write to a directory, until dropped.
///
/// Fields drop in this order, so the lock of the directory is released last.
#[derive(Debug)]
#[allow(dead_code, reason = "the fields are there to be dropped")]
pub struct DirectoryLock {
    file: Held,
    directory: Held,
}

/// The wait for both locks of a directory.
struct LockWait {
    begun: Instant,
    /// The longest wait for both locks together.
    timeout: Duration,
}

impl DiskStorage {
    /// Takes both locks of the directory, and waits at most `timeout` for another process to release them.
    ///
    /// Every process locks the directory first. So a process that holds this lock waits for `LOCK` only if an earlier
    /// build holds `LOCK` alone.
    pub fn lock(&self, timeout: Duration) -> Result<DirectoryLock> {
        self.check_writable()?;
        let wait = LockWait { begun: Instant::now(), timeout };
        let directory = hold(|| reopen(&self.directory).map_err(|error| self.lock_error(".", error)))?;
        self.wait_for(&directory, &wait, |error| self.unlockable(&error))?;
        let file = hold(|| self.open_lock())?;
        self.wait_for(&file, &wait, |error| self.lock_error(LOCK, error))?;
        let pid = format!("{}\n", std::process::id());
        // The process id is only for messages, so a failure to write it, as on a full disk, is ignored.
        let _ = file.file.set_len(0).and_then(|()| file.file.write_all_at(pid.as_bytes(), 0));
        Ok(DirectoryLock { file, directory })
    }

    /// Waits until no other process has the open file locked, and locks it. Fails after the timeout.
    fn wait_for(&self, held: &Held, wait: &LockWait, fail: impl Fn(io::Error) -> Error) -> Result<()> {
        loop {
            match held.file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) => return Err(fail(error)),
            }
            let left = wait.timeout.saturating_sub(wait.begun.elapsed());
            if left.is_zero() {
                return Err(self.locked());
            }
            std::thread::sleep(left.min(POLL));
        }
    }

    fn open_lock(&self) -> Result<File> {
        match self.open_at(LOCK, libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK) {
            Ok(file) if file.metadata().map_err(|error| self.lock_error(LOCK, error))?.is_file() => Ok(file),
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR | libc::ENXIO)) => {
                Err(self.lock_error(LOCK, error))
            }
            _ => {
                let message = format!("{}/{LOCK} is not a regular file; remove it", self.describe());
                Err(Error::new(ErrorKind::Corrupt, message).at(LOCK, None))
            }
        }
    }

    fn lock_error(&self, name: &str, error: io::Error) -> Error {
        Error::io(format_args!("{}/{name}", self.describe()), "lock", error).at(name, None)
    }

    /// The error if the directory cannot be locked. `LOCK` alone is not enough: once that file is removed, a second
    /// process could open the store.
    fn unlockable(&self, error: &io::Error) -> Error {
        unlockable(&self.describe(), &file_system(&self.directory), error)
    }

    fn locked(&self) -> Error {
        // `LOCK` may be missing, or may not be the engine's file. No file is created for a message.
        let file = self.open_at(LOCK, libc::O_RDONLY | libc::O_NONBLOCK);
        let mut bytes = [0; 16];
        let length = file.and_then(|file| file.read_at(&mut bytes, 0)).unwrap_or(0);
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or("");
        let holder = match text.trim().parse::<u32>() {
            Ok(pid) => format!("process {pid}"),
            Err(_) => "another process".to_owned(),
        };
        let message = format!("{} is open in {holder}; close it there or wait for it to end", self.describe());
        Error::new(ErrorKind::Locked, message).at(LOCK, None)
    }
}

/// The message if the system cannot lock the directory itself.
fn unlockable(path: &str, file_system: &str, error: &io::Error) -> Error {
    let message = format!(
        "cannot lock the directory {path}: {error}. It lies on {file_system}; without that lock nothing would keep a second \
         process out. Move the store to a local file system that locks directories (ext4, xfs, btrfs, ...)"
    );
    Error::new(ErrorKind::Io, message)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::super::forks::{PerProcess, fork_generation, watch_forks};
    use super::*;

    #[test]
    fn a_process_has_one_value_and_a_child_its_own() {
        static VALUE: PerProcess<u32> = PerProcess::new();
        assert!(VALUE.get().is_none());
        assert_eq!((*VALUE.get_or_set(1), *VALUE.get_or_set(2), VALUE.get()), (1, 1, Some(&1)));
        watch_forks().unwrap();
        // SAFETY: the child calls only the allocator, which the C library keeps usable, and `_exit`.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let forgotten = VALUE.get().is_none();
                let own = *VALUE.get_or_set(3) == 3 && VALUE.get() == Some(&3);
                libc::_exit(i32::from(forgotten) | i32::from(own) << 1);
            }
            assert_eq!(status_of(child), 0b11, "bits: forgotten, own");
        }
        assert_eq!(VALUE.get(), Some(&1));
    }
    use crate::storage::ReadMode;

    /// Waits for a forked child and returns the status it left with.
    fn status_of(child: libc::pid_t) -> i32 {
        let mut status = 0;
        // SAFETY: `status` is writable memory of the right type.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { -1 }
    }

    #[test]
    fn a_child_has_no_lock_and_spares_foreign_descriptors() {
        let root = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
        let lock = storage.lock(Duration::ZERO).unwrap();
        let other = File::open(root.path()).unwrap();
        let numbers = [lock.file.file.as_raw_fd(), lock.directory.file.as_raw_fd()];
        let generation = fork_generation();
        // SAFETY: the child allocates nothing, takes no lock and leaves by `_exit`; the parent goes on as before.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let closed = numbers.iter().all(|&number| libc::fcntl(number, libc::F_GETFD) == -1);
                let counted = fork_generation() == generation + 1;
                // The numbers get a new meaning, which dropping the guard must leave alone.
                let reused = numbers.iter().all(|&number| libc::dup2(other.as_raw_fd(), number) == number);
                drop(lock);
                let spared = numbers.iter().all(|&number| libc::fcntl(number, libc::F_GETFD) != -1);
                libc::_exit(
                    i32::from(closed) | i32::from(counted) << 1 | i32::from(reused) << 2 | i32::from(spared) << 3,
                );
            }
            assert_eq!(status_of(child), 0b1111, "bits: closed, counted, reused, spared");
        }
        assert_eq!(fork_generation(), generation);
        let second = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
        assert_eq!(second.lock(Duration::ZERO).unwrap_err().kind(), ErrorKind::Locked, "the child must not unlock");
        // As in a child that was made without `fork`.
        let stray = [&lock.file, &lock.directory].map(|held| held.file.try_clone().unwrap());
        drop(lock);
        second.lock(Duration::ZERO).unwrap();
        drop(stray);
    }

    #[test]
    fn what_cannot_be_locked_is_refused_and_names_the_file_system() {
        let error = unlockable("a/store", "the file system nfs", &io::Error::from_raw_os_error(libc::EBADF));
        assert_eq!(error.kind(), ErrorKind::Io);
        assert!(error.to_string().contains("a/store") && error.to_string().contains("nfs"), "{error}");
        assert!(error.to_string().contains("Move the store"), "{error}");
    }

    #[test]
    fn each_of_the_two_locks_keeps_others_out() {
        let root = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
        let refused = || storage.lock(Duration::ZERO).map(drop).map_err(|error| error.kind());
        // An earlier build locks the file alone.
        let file = hold(|| storage.open_lock()).unwrap();
        file.file.try_lock().unwrap();
        assert_eq!(refused(), Err(ErrorKind::Locked));
        drop(file);
        let lock = storage.lock(Duration::ZERO).unwrap();
        std::fs::remove_file(root.path().join(LOCK)).unwrap();
        assert_eq!(refused(), Err(ErrorKind::Locked));
        assert!(!root.path().join(LOCK).exists(), "who is refused leaves nothing behind");
        drop(lock);
        assert_eq!(refused(), Ok(()));
    }

    #[test]
    fn a_child_that_outlives_the_holder_does_not_hold_on() {
        let root = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
        let (mut ready, mut end) = ([0; 2], [0; 2]);
        // SAFETY: the forked processes call only `lock` (which needs no lock of another thread but the allocator's,
        // which the C library keeps usable), system calls and `_exit`.
        unsafe {
            assert_eq!(libc::pipe(ready.as_mut_ptr()) | libc::pipe(end.as_mut_ptr()), 0);
            let holder = libc::fork();
            if holder == 0 {
                let held = storage.lock(Duration::ZERO);
                if libc::fork() == 0 {
                    libc::write(ready[1], [1u8].as_ptr().cast(), 1);
                    // Lives until the test closes the last writing end.
                    libc::close(end[1]);
                    libc::read(end[0], [0u8].as_mut_ptr().cast(), 1);
                    libc::_exit(0);
                }
                libc::_exit(i32::from(held.is_ok()));
            }
            assert_eq!(status_of(holder), 1);
            libc::close(ready[1]);
            assert_eq!(libc::read(ready[0], [0u8].as_mut_ptr().cast(), 1), 1);
        }
        let result = storage.lock(Duration::ZERO);
        for descriptor in [ready[0], end[0], end[1]] {
            // SAFETY: these ends are open and owned by this test.
            unsafe { libc::close(descriptor) };
        }
        result.unwrap();
    }
}
