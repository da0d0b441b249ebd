//! One writer process per directory: a kernel lock on the file `LOCK`, and what a forked child must do about it.
//!
//! The file holds the decimal process id of the last holder, for messages only; the lock is the kernel's, so it ends with
//! its process and is never stale.
//!
//! Invariants:
//! * The lock belongs to the open file, which a forked child shares. The child closes its copy before `fork` returns in it,
//!   so a child neither keeps the lock when the parent is gone nor gives it up while the parent works.
//! * Between opening the file and entering its descriptor in the table no fork has begun: otherwise the file is closed and
//!   opened again, before it is locked. So no child has a copy that the table does not know.
//! * The fork handlers touch atomics and call close(2), nothing else: in the child of a process with threads no more is allowed.
//! * What has threads is made anew in a child, which waits for nothing that a thread of the parent was doing when it forked.
//! * Nobody unlinks the file, and a child never closes a descriptor by a number that may have a new meaning.
#![allow(clippy::disallowed_methods, reason = "this is the door to the file system")]

use std::fs::{File, TryLockError};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use super::Storage;
use super::disk::DiskStorage;
use crate::error::{Error, ErrorKind, Result};
// Not those of `crate::sync`: the fork handlers need constant, lock-free statics under every configuration.
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

/// The name of the lock file.
pub const LOCK: &str = "LOCK";
/// Locks that one process can hold at a time.
const SLOTS: usize = 1024;
const POLL: Duration = Duration::from_millis(5);
const EMPTY: i32 = -1;

static FORK_GENERATION: AtomicU64 = AtomicU64::new(0);
static FORKS_BEGUN: AtomicU64 = AtomicU64::new(0);
static FORKS_DONE: AtomicU64 = AtomicU64::new(0);
static DESCRIPTORS: [AtomicI32; SLOTS] = [const { AtomicI32::new(EMPTY) }; SLOTS];

/// How many forks lie between this process and the one that first opened a store. Handles remember it and compare.
#[inline]
pub fn fork_generation() -> u64 {
    FORK_GENERATION.load(Ordering::Relaxed)
}

/// A value that a forked child must not share with its parent, whose threads it does not have: one for each process, made when
/// it is first needed and never dropped. No lock, since a child would wait for ever for one that was held during the fork.
pub(crate) struct PerProcess<T: 'static> {
    newest: AtomicPtr<Made<T>>,
}

struct Made<T> {
    generation: u64,
    value: T,
}

impl<T: Send + Sync> PerProcess<T> {
    pub const fn new() -> Self {
        Self { newest: AtomicPtr::new(std::ptr::null_mut()) }
    }

    /// The value of this process, if there is one yet.
    pub fn get(&'static self) -> Option<&'static T> {
        // SAFETY: the pointer is null or was leaked from a box by `get_or_set`, so it is aligned and valid for ever; nobody
        // changes what it points to, and the acquiring load sees it whole.
        let made = unsafe { self.newest.load(Ordering::Acquire).as_ref() }?;
        (made.generation == fork_generation()).then_some(&made.value)
    }

    /// The value of this process, which is `value` if there is none yet.
    pub fn get_or_set(&'static self, value: T) -> &'static T {
        let before = self.newest.load(Ordering::Acquire);
        if let Some(there) = self.get() {
            return there;
        }
        let mine = Box::into_raw(Box::new(Made { generation: fork_generation(), value }));
        match self.newest.compare_exchange(before, mine, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: `mine` comes from a box that is never freed from here on, so it is valid for ever.
            Ok(_) => unsafe { &(*mine).value },
            Err(there) => {
                // SAFETY: `mine` comes from a box and was not published, so it is ours alone; `there` was published by another
                // thread of this process, so it is valid for ever.
                unsafe {
                    drop(Box::from_raw(mine));
                    &(*there).value
                }
            }
        }
    }
}

/// Registers the fork handlers, once per process and its descendants.
pub(super) fn watch_forks() -> Result<()> {
    static REGISTERED: OnceLock<i32> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        // SAFETY: the handlers are functions that live as long as the program, take nothing, and call only what is allowed after a fork.
        unsafe { libc::pthread_atfork(Some(before_fork), Some(after_fork_in_parent), Some(after_fork_in_child)) }
    });
    if code == 0 { Ok(()) } else { Err(Error::io("the process", "watch forks of", io::Error::from_raw_os_error(code))) }
}

extern "C" fn before_fork() {
    FORKS_BEGUN.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn after_fork_in_parent() {
    FORKS_DONE.fetch_add(1, Ordering::SeqCst);
}

extern "C" fn after_fork_in_child() {
    FORK_GENERATION.fetch_add(1, Ordering::SeqCst);
    // Forks that other threads of the parent had begun are not going on here.
    FORKS_DONE.store(FORKS_BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
    for slot in &DESCRIPTORS {
        let descriptor = slot.swap(EMPTY, Ordering::SeqCst);
        if descriptor != EMPTY {
            // SAFETY: the table holds only descriptors that a `DirectoryLock` of the parent owns; the child's copy has no other
            // user, because its guard sees the new generation and no longer touches the number.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// The right to write to a directory, until dropped.
#[derive(Debug)]
pub struct DirectoryLock {
    file: ManuallyDrop<File>,
    slot: usize,
    generation: u64,
}

impl DiskStorage {
    /// Takes the lock of the directory, waiting at most `timeout` for another process to give it up.
    pub fn lock(&self, timeout: Duration) -> Result<DirectoryLock> {
        self.check_writable()?;
        let begun = Instant::now();
        let lock = loop {
            if let Some(lock) = self.open_lock()? {
                break lock;
            }
            std::thread::yield_now();
        };
        loop {
            match lock.file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(TryLockError::Error(error)) => return Err(self.lock_error(error)),
            }
            let left = timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(self.locked(&lock.file));
            }
            std::thread::sleep(left.min(POLL));
        }
        let pid = format!("{}\n", std::process::id());
        // Only for messages: on a full disk the lock holds without it.
        let _ = lock.file.set_len(0).and_then(|()| lock.file.write_all_at(pid.as_bytes(), 0));
        Ok(lock)
    }

    /// Opens the file and enters it in the table, or nothing if a fork came between.
    fn open_lock(&self) -> Result<Option<DirectoryLock>> {
        let generation = fork_generation();
        let forks = FORKS_BEGUN.load(Ordering::SeqCst);
        if FORKS_DONE.load(Ordering::SeqCst) != forks {
            return Ok(None);
        }
        let file = match self.open_at(LOCK, libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK) {
            Ok(file) if file.metadata().map_err(|error| self.lock_error(error))?.is_file() => file,
            Err(error) if !matches!(error.raw_os_error(), Some(libc::ELOOP | libc::EISDIR | libc::ENXIO)) => {
                return Err(self.lock_error(error));
            }
            _ => {
                let message = format!("{}/{LOCK} is not a regular file; remove it", self.describe());
                return Err(Error::new(ErrorKind::Corrupt, message));
            }
        };
        let descriptor = file.as_raw_fd();
        let take =
            |slot: &AtomicI32| slot.compare_exchange(EMPTY, descriptor, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        let Some(slot) = DESCRIPTORS.iter().position(take) else {
            let message = format!("this process has {SLOTS} stores open; close some");
            return Err(Error::new(ErrorKind::Locked, message));
        };
        let lock = DirectoryLock { file: ManuallyDrop::new(file), slot, generation };
        Ok((FORKS_BEGUN.load(Ordering::SeqCst) == forks).then_some(lock))
    }

    fn lock_error(&self, error: io::Error) -> Error {
        Error::io(format_args!("{}/{LOCK}", self.describe()), "lock", error)
    }

    fn locked(&self, file: &File) -> Error {
        let mut bytes = [0; 16];
        let length = file.read_at(&mut bytes, 0).unwrap_or(0);
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or("");
        let holder = match text.trim().parse::<u32>() {
            Ok(pid) => format!("process {pid}"),
            Err(_) => "another process".to_owned(),
        };
        let message = format!("{} is open in {holder}; close it there or wait for it to end", self.describe());
        Error::new(ErrorKind::Locked, message)
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        // In a forked child the copy is closed already, and its number may belong to another file by now.
        if self.generation != fork_generation() {
            return;
        }
        // Unlocking comes first: it frees the directory even while a child has a copy that it could not know of.
        let _ = self.file.unlock();
        DESCRIPTORS[self.slot].store(EMPTY, Ordering::SeqCst);
        // SAFETY: the file is dropped only here, in the drop of its only owner.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}

#[cfg(test)]
mod tests {
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
        let (number, generation) = (lock.file.as_raw_fd(), fork_generation());
        // SAFETY: the child allocates nothing, takes no lock and leaves by `_exit`; the parent goes on as before.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                let closed = libc::fcntl(number, libc::F_GETFD) == -1;
                let counted = fork_generation() == generation + 1;
                // The number gets a new meaning, which dropping the guard must leave alone.
                let reused = libc::dup2(other.as_raw_fd(), number) == number;
                drop(lock);
                let spared = libc::fcntl(number, libc::F_GETFD) != -1;
                libc::_exit(
                    i32::from(closed) | i32::from(counted) << 1 | i32::from(reused) << 2 | i32::from(spared) << 3,
                );
            }
            assert_eq!(status_of(child), 0b1111, "bits: closed, counted, reused, spared");
        }
        assert_eq!(fork_generation(), generation);
        let second = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
        assert_eq!(second.lock(Duration::ZERO).unwrap_err().kind(), ErrorKind::Locked, "the child must not unlock");
        // As a child that came to be without `fork` would have it.
        let stray = lock.file.try_clone().unwrap();
        drop(lock);
        second.lock(Duration::ZERO).unwrap();
        drop(stray);
    }

    #[test]
    fn a_child_that_outlives_the_holder_does_not_hold_on() {
        let root = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
        let (mut ready, mut end) = ([0; 2], [0; 2]);
        // SAFETY: the forked processes call only `lock` (which needs no lock of another thread but the allocator's, which
        // the C library keeps usable), system calls and `_exit`.
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
