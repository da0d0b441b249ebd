//! Descriptors and threads across `fork`: a child gives up the locks of its parent and starts its own threads.
//!
//! Invariants:
//! * A lock belongs to the open file, which a forked child shares. The child closes its copies before `fork` returns in
//!   the child. So it neither keeps the lock after the parent has ended nor releases it while the parent works.
//! * If a fork begins between the open of a file and the entry of its descriptor in the table, the file is closed and
//!   opened again, before it is locked. So no child has a copy of a locked descriptor that the table does not know.
//! * The fork handlers only touch atomics and call close(2), which is safe in the child of a process with threads.
//! * A child makes its own values that have threads. A child never waits for a thread of its parent.
//! * A child never closes a descriptor whose number may belong to another file by now.
#![allow(clippy::disallowed_methods, reason = "this is the door to the file system")]

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsRawFd;
use std::sync::OnceLock;
// Not those of `crate::sync`: the fork handlers need constant, lock-free statics under every configuration.
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering};

use crate::error::{Error, ErrorKind, Result};

/// Stores that one process can have open at a time.
const STORES: usize = 1024;
/// Each open store holds two descriptors: its directory and the file `LOCK` in it.
const SLOTS: usize = 2 * STORES;
const EMPTY: i32 = -1;

static FORK_GENERATION: AtomicU64 = AtomicU64::new(0);
static FORKS_BEGUN: AtomicU64 = AtomicU64::new(0);
static FORKS_DONE: AtomicU64 = AtomicU64::new(0);
static DESCRIPTORS: [AtomicI32; SLOTS] = [const { AtomicI32::new(EMPTY) }; SLOTS];

/// The number of forks from the process that first opened a store to this process. Each handle stores the number, and
/// a later call compares it.
#[inline]
pub fn fork_generation() -> u64 {
    FORK_GENERATION.load(Ordering::Relaxed)
}

/// A value of one process, made when it is first needed and never dropped. A forked child makes its own value, since it
/// has no thread of its parent. No lock is used: a child would wait for ever for a lock that was held during the fork.
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
        // SAFETY: the pointer is null or was leaked from a box by `get_or_set`, so it is aligned and valid for ever.
        // The value behind it is never changed, and the acquiring load sees all of it.
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
                // SAFETY: `mine` comes from a box and was not published, so it has no other user. `there` was published
                // by another thread of this process, so it is valid for ever.
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
        // SAFETY: the handlers are functions that live as long as the program, take nothing, and call only what is
        // allowed after a fork.
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
    // A fork that another thread of the parent had begun does not go on in the child.
    FORKS_DONE.store(FORKS_BEGUN.load(Ordering::SeqCst), Ordering::SeqCst);
    for slot in &DESCRIPTORS {
        let descriptor = slot.swap(EMPTY, Ordering::SeqCst);
        if descriptor != EMPTY {
            // SAFETY: the table holds only descriptors that a `DirectoryLock` of the parent owns; the child's copy has
            // no other user, because its guard sees the new generation and no longer touches the number.
            unsafe { libc::close(descriptor) };
        }
    }
}

/// An open file whose copy in a forked child is closed before the child goes on.
#[derive(Debug)]
pub(super) struct Held {
    pub file: ManuallyDrop<File>,
    slot: usize,
    generation: u64,
}

/// Opens a file and enters its descriptor in the table. If a fork begins between the two steps, both are repeated.
pub(super) fn hold(open: impl Fn() -> Result<File>) -> Result<Held> {
    loop {
        let generation = fork_generation();
        let forks = FORKS_BEGUN.load(Ordering::SeqCst);
        if FORKS_DONE.load(Ordering::SeqCst) == forks {
            let file = open()?;
            let descriptor = file.as_raw_fd();
            let take =
                |slot: &AtomicI32| slot.compare_exchange(EMPTY, descriptor, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            let Some(slot) = DESCRIPTORS.iter().position(take) else {
                let message = format!("this process has {STORES} stores open; close some");
                return Err(Error::new(ErrorKind::Locked, message));
            };
            let held = Held { file: ManuallyDrop::new(file), slot, generation };
            if FORKS_BEGUN.load(Ordering::SeqCst) == forks {
                return Ok(held);
            }
        }
        std::thread::yield_now();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // In a forked child the copy is closed already, and the descriptor's number may belong to another file by now.
        if self.generation != fork_generation() {
            return;
        }
        // The unlock releases the lock even if a child has a copy of the descriptor. A close alone would not.
        let _ = self.file.unlock();
        DESCRIPTORS[self.slot].store(EMPTY, Ordering::SeqCst);
        // SAFETY: the file is dropped only here, in the drop of its only owner.
        unsafe { ManuallyDrop::drop(&mut self.file) };
    }
}
