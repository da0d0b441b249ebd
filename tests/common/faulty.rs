//! A storage over another one that records what is done to it, and fails when a test orders it, in the words of the
//! simulated disk.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use vecmem::testing::{Fault, FaultKind, Map, SimOperation, Storage, StorageFile};
use vecmem::{Error, Result};

/// One operation that was begun.
#[derive(Clone, Debug)]
pub struct Begun {
    pub at: Instant,
    pub operation: SimOperation,
    pub name: String,
}

#[derive(Default)]
struct Orders {
    waiting: Vec<(u64, Fault)>,
    trace: Vec<Begun>,
}

/// The storage; clones are the same one.
#[derive(Clone)]
pub struct Faulty {
    inner: Arc<dyn Storage>,
    orders: Arc<Mutex<Orders>>,
}

struct FaultyFile {
    inner: Box<dyn StorageFile>,
    name: String,
    storage: Faulty,
}

fn error(kind: FaultKind) -> io::Error {
    match kind {
        FaultKind::Io => io::Error::other("an error of the test"),
        FaultKind::Full | FaultKind::Short => io::Error::from_raw_os_error(libc::ENOSPC),
        FaultKind::OpenFiles => io::Error::from_raw_os_error(libc::EMFILE),
        FaultKind::Memory => io::Error::from_raw_os_error(libc::ENOMEM),
    }
}

impl Faulty {
    pub fn new(inner: Arc<dyn Storage>) -> Self {
        Self { inner, orders: Arc::default() }
    }

    /// Lets the `n` next operations that `fault` concerns pass, then strikes. Faults add up.
    pub fn fail_after(&self, n: u64, fault: Fault) {
        self.orders().waiting.push((n, fault));
    }

    pub fn clear_faults(&self) {
        self.orders().waiting.clear();
    }

    /// Everything so far, failed operations included.
    pub fn trace(&self) -> Vec<Begun> {
        self.orders().trace.clone()
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.orders.lock().unwrap()
    }

    /// Records an operation, and tells how it fails.
    fn begin(&self, operation: SimOperation, name: &str) -> Option<FaultKind> {
        let mut orders = self.orders();
        orders.trace.push(Begun { at: Instant::now(), operation, name: name.to_owned() });
        let mut struck = None;
        orders.waiting.retain_mut(|(left, fault)| {
            if !fault.on.is_empty() && !fault.on.contains(&operation) {
                return true;
            }
            if *left > 0 {
                *left -= 1;
                return true;
            }
            struck = struck.or(Some(fault.kind));
            fault.sticky
        });
        struck
    }

    /// An operation that a fault stops before anything is done.
    fn act<T>(&self, operation: SimOperation, name: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.begin(operation, name) {
            None => act(),
            Some(kind) => Err(Error::io(name, operation, error(kind))),
        }
    }

    fn file(&self, name: &str, inner: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(FaultyFile { inner, name: name.to_owned(), storage: self.clone() })
    }
}

impl Storage for Faulty {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        Ok(self.file(name, self.act(SimOperation::Create, name, || self.inner.create(name))?))
    }
    fn open(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        Ok(self.file(name, self.act(SimOperation::Open, name, || self.inner.open(name))?))
    }
    fn map(&self, name: &str) -> Result<Map> {
        self.act(SimOperation::Map, name, || self.inner.map(name))
    }
    fn map_hot(&self, name: &str) -> Result<Map> {
        self.act(SimOperation::Map, name, || self.inner.map_hot(name))
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.act(SimOperation::Rename, from, || self.inner.rename(from, to))
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.act(SimOperation::Remove, name, || self.inner.remove(name))
    }
    fn list(&self) -> Result<Vec<(String, u64)>> {
        self.act(SimOperation::List, "the directory", || self.inner.list())
    }
    fn sync_dir(&self) -> Result<()> {
        self.act(SimOperation::SyncDir, "the directory", || self.inner.sync_dir())
    }
    fn free_bytes(&self) -> Result<u64> {
        self.inner.free_bytes()
    }
    fn random(&self) -> u64 {
        self.inner.random()
    }
}

impl FaultyFile {
    fn act<T>(&self, operation: SimOperation, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.storage.act(operation, &self.name, act)
    }
}

impl StorageFile for FaultyFile {
    fn len(&self) -> Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.act(SimOperation::Read, || self.inner.read_at(offset, buffer))
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let struck = self.storage.begin(SimOperation::Write, &self.name);
        match struck {
            None => return self.inner.write_at(offset, bytes),
            Some(FaultKind::Short) => self.inner.write_at(offset, &bytes[..bytes.len() / 2])?,
            Some(_) => {}
        }
        Err(Error::io(&self.name, SimOperation::Write, error(struck.unwrap())))
    }
    fn set_len(&self, length: u64) -> Result<()> {
        self.act(SimOperation::SetLength, || self.inner.set_len(length))
    }
    fn sync_data(&self) -> Result<()> {
        self.act(SimOperation::SyncData, || self.inner.sync_data())
    }
    fn sync_all(&self) -> Result<()> {
        self.act(SimOperation::SyncAll, || self.inner.sync_all())
    }
}
