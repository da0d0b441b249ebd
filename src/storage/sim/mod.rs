//! A disk in memory that loses, tears and refuses exactly what the contract of [`Storage`] allows, from a seed.
//!
//! Reading order: `state` (files and names), `file`, `fault` (which operation fails), `image` (what a crash leaves),
//! `fates` (the same, chosen change by change), `clock`.
//!
//! For tests. It is as strict as the contract and so stricter than a real disk: `sync_data` makes no length durable,
//! and writing to a file that was mapped panics, because maps must never change.
//!
//! Invariants:
//! * The same calls on the same seed have the same results.
//! * A handle, an image and a survivor are independent of each other: a crash is observed without stopping the store.
//! * An operation that fails has no effect, except those that [`FaultKind`] and [`SimStorage::set_capacity`] name.
//! * Only [`SimStorage::lie_about_syncs`] makes the disk weaker than the contract.

mod clock;
mod fates;
mod fault;
mod file;
mod image;
mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use super::{AlignedBytes, Map, Storage, StorageFile, check_name};
use crate::error::{Error, Result};
use crate::random::Random;
use crate::sync::Mutex;

pub use clock::SimClock;
pub use fates::{ChangeFate, UnsyncedChange};
use fault::Faults;
pub use fault::{Fault, FaultKind, SimOperation};
use file::SimFile;
pub use image::{Image, Loss};
use state::{Bytes, DirectoryEntry, Disk, FileId, FileState};

/// A simulated directory; clones are the same one.
#[derive(Clone)]
pub struct SimStorage {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    seed: u64,
    disk: Disk,
    handles: BTreeMap<FileId, usize>,
    random: Random,
    faults: Faults,
    capacity: u64,
    operations: u64,
    syncs: u64,
    tag: u64,
    images: Vec<Image>,
    /// An image is kept before each of these.
    images_before: &'static [SimOperation],
    /// Syncs succeed and make nothing durable.
    lies: bool,
    trace: Option<Vec<String>>,
}

impl Inner {
    fn image(&self) -> Image {
        Image { tag: self.tag, operations: self.operations, disk: self.disk.clone() }
    }

    /// Counts an operation and says which fault strikes it, if any.
    fn begin(&mut self, operation: SimOperation, name: &str) -> Option<FaultKind> {
        if operation.is_sync() {
            self.syncs += 1;
        }
        if self.images_before.contains(&operation) {
            let image = self.image();
            self.images.push(image);
        }
        self.operations += 1;
        let struck = self.faults.strike(operation);
        if let Some(trace) = &mut self.trace {
            let outcome = if struck.is_some() { " fails" } else { "" };
            trace.push(format!("{operation} {name}{outcome}"));
        }
        struck
    }

    /// As [`Inner::begin`], for operations that a fault can only stop.
    fn begin_whole(&mut self, operation: SimOperation, name: &str) -> Result<()> {
        match self.begin(operation, name) {
            None => Ok(()),
            Some(kind) => Err(Error::io(name, operation, kind.error()).at(name, None)),
        }
    }

    fn find(&self, name: &str, what: SimOperation) -> Result<FileId> {
        let found = self.disk.names.get(name).copied();
        found.ok_or_else(|| Error::io(name, what, io::Error::from(io::ErrorKind::NotFound)).at(name, None))
    }

    fn free(&self) -> u64 {
        self.capacity.saturating_sub(self.disk.used())
    }
}

impl SimStorage {
    /// An empty directory.
    pub fn new(seed: u64) -> Self {
        Self::with_disk(Disk::default(), seed)
    }

    fn with_disk(disk: Disk, seed: u64) -> Self {
        let inner = Inner {
            seed,
            disk,
            handles: BTreeMap::new(),
            random: image::random(seed),
            faults: Faults::default(),
            capacity: u64::MAX,
            operations: 0,
            syncs: 0,
            tag: 0,
            images: Vec::new(),
            images_before: &[],
            lies: false,
            trace: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    /// From now on keeps an image of the disk just before each sync takes effect.
    pub fn record_sync_points(&self) {
        self.record_before(SimOperation::SYNCS);
    }

    /// From now on keeps an image of the disk just before each of `operations` takes effect.
    pub fn record_before(&self, operations: &'static [SimOperation]) {
        let mut inner = self.inner.lock();
        inner.images.clear();
        inner.images_before = operations;
    }

    /// The images so far; recording goes on.
    pub fn take_images(&self) -> Vec<Image> {
        std::mem::take(&mut self.inner.lock().images)
    }

    /// From now on syncs succeed and make nothing durable, as a disk does whose cache ignores flushes.
    pub fn lie_about_syncs(&self) {
        self.inner.lock().lies = true;
    }

    /// A number that the following images carry, such as the operations acknowledged by now.
    pub fn set_tag(&self, tag: u64) {
        self.inner.lock().tag = tag;
    }

    /// The disk as it is now.
    pub fn image(&self) -> Image {
        self.inner.lock().image()
    }

    /// What a crash now would leave; this disk goes on.
    pub fn crash(&self, loss: Loss, seed: u64) -> Self {
        self.image().survivor(loss, seed)
    }

    /// Lets the `n` next operations that `fault` concerns pass, then strikes. Faults add up.
    pub fn fail_after(&self, n: u64, fault: Fault) {
        self.inner.lock().faults.add(n, fault);
    }

    /// Ends all faults.
    pub fn clear_faults(&self) {
        self.inner.lock().faults = Faults::default();
    }

    /// Whether some fault has struck since the last [`SimStorage::clear_faults`].
    pub fn fault_struck(&self) -> bool {
        self.inner.lock().faults.struck()
    }

    /// The sum of file lengths beyond which the disk is full; a write that crosses it is done in part.
    pub fn set_capacity(&self, bytes: u64) {
        self.inner.lock().capacity = bytes;
    }

    /// Bytes of all files.
    pub fn used_bytes(&self) -> u64 {
        self.inner.lock().disk.used()
    }

    /// Operations of every kind so far, failed ones included.
    pub fn operations(&self) -> u64 {
        self.inner.lock().operations
    }

    /// Syncs of every kind so far, failed ones included.
    pub fn syncs(&self) -> u64 {
        self.inner.lock().syncs
    }

    /// From now on keeps a line for each operation.
    pub fn record_trace(&self) {
        self.inner.lock().trace = Some(Vec::new());
    }

    /// The operations since [`SimStorage::record_trace`], each as its verb and the names, for tests of order.
    pub fn trace(&self) -> Vec<String> {
        self.inner.lock().trace.clone().unwrap_or_default()
    }

    /// The names in the directory, sorted.
    pub fn names(&self) -> Vec<String> {
        self.inner.lock().disk.names.keys().cloned().collect()
    }

    /// The bytes of a file, if it is there.
    pub fn read_file(&self, name: &str) -> Option<Vec<u8>> {
        let inner = self.inner.lock();
        let id = inner.disk.names.get(name)?;
        inner.disk.files.get(id).map(|file| file.visible.to_vec())
    }

    /// Puts a file there behind the engine's back, durably, replacing one of that name.
    pub fn write_file(&self, name: &str, bytes: &[u8]) {
        let mut inner = self.inner.lock();
        let id = inner.disk.next_file;
        inner.disk.next_file += 1;
        let mut content = Bytes::default();
        content.write(0, bytes);
        inner.disk.take_away(name);
        inner.disk.files.insert(id, Arc::new(FileState::settled(content)));
        Arc::make_mut(&mut inner.disk.names).insert(name.to_owned(), id);
        Arc::make_mut(&mut inner.disk.durable_names).insert(name.to_owned(), id);
    }

    /// Takes a file away behind the engine's back, durably: no later sync of the directory brings it back.
    pub fn remove_file(&self, name: &str) {
        self.inner.lock().disk.take_away(name);
    }

    /// Flips one bit of a file behind the engine's back, durably. Panics when the file has no such bit.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let mut bytes = self.read_file(name).unwrap_or_default();
        assert!(bit / 8 < bytes.len() as u64, "{name} has {} bytes and so no bit {bit}", bytes.len());
        bytes[(bit / 8) as usize] ^= 1 << (bit % 8);
        self.write_file(name, &bytes);
    }

    /// Sets the length of a file behind the engine's back, durably; what is added is zero.
    pub fn truncate(&self, name: &str, length: u64) {
        let mut bytes = self.read_file(name).unwrap_or_default();
        bytes.resize(length as usize, 0);
        self.write_file(name, &bytes);
    }

    fn handle(&self, inner: &mut Inner, name: &str, id: FileId) -> Box<dyn StorageFile> {
        *inner.handles.entry(id).or_default() += 1;
        Box::new(SimFile::new(self.clone(), id, name))
    }
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner.lock();
        write!(f, "SimStorage(seed {}, {} operations, {:?})", inner.seed, inner.operations, inner.disk.names)
    }
}

impl Storage for SimStorage {
    fn describe(&self) -> String {
        format!("simulated disk {}", self.inner.lock().seed)
    }

    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        check_name(name)?;
        let mut inner = self.inner.lock();
        inner.begin_whole(SimOperation::Create, name)?;
        if inner.disk.names.contains_key(name) {
            return Err(Error::io(name, SimOperation::Create, io::Error::from(io::ErrorKind::AlreadyExists)));
        }
        if inner.free() == 0 {
            return Err(Error::io(name, SimOperation::Create, FaultKind::Full.error()));
        }
        let id = inner.disk.next_file;
        inner.disk.next_file += 1;
        inner.disk.files.insert(id, Arc::default());
        let order = inner.operations;
        inner.disk.change(order, DirectoryEntry::Create { name: name.to_owned(), file: id });
        Ok(self.handle(&mut inner, name, id))
    }

    fn open(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        check_name(name)?;
        let mut inner = self.inner.lock();
        inner.begin_whole(SimOperation::Open, name)?;
        let id = inner.find(name, SimOperation::Open)?;
        Ok(self.handle(&mut inner, name, id))
    }

    fn map(&self, name: &str) -> Result<Map> {
        check_name(name)?;
        let mut inner = self.inner.lock();
        inner.begin_whole(SimOperation::Map, name)?;
        let id = inner.find(name, SimOperation::Map)?;
        let file = inner.disk.file(id);
        file.mapped = true;
        let mut bytes = AlignedBytes::zeroed(file.visible.len() as usize);
        file.visible.read(0, bytes.as_mut_slice());
        Ok(Map::Heap(bytes))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut inner = self.inner.lock();
        inner.begin_whole(SimOperation::Rename, &format!("{from} {to}"))?;
        let file = inner.find(from, SimOperation::Rename)?;
        let order = inner.operations;
        inner.disk.change(order, DirectoryEntry::Rename { to: to.to_owned(), file });
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        check_name(name)?;
        let mut inner = self.inner.lock();
        inner.begin_whole(SimOperation::Remove, name)?;
        let file = inner.find(name, SimOperation::Remove)?;
        let order = inner.operations;
        inner.disk.change(order, DirectoryEntry::Remove { name: name.to_owned(), file });
        Ok(())
    }

    fn list(&self) -> Result<Vec<(String, u64)>> {
        let mut inner = self.inner.lock();
        inner.begin_whole(SimOperation::List, ".")?;
        let disk = &inner.disk;
        let length = |id| disk.files.get(id).map_or(0, |file| file.visible.len());
        Ok(disk.names.iter().map(|(name, id)| (name.clone(), length(id))).collect())
    }

    fn sync_dir(&self) -> Result<()> {
        let mut inner = self.inner.lock();
        let begun = inner.begin_whole(SimOperation::SyncDir, ".");
        if begun.is_err() {
            // As for bytes: what a failed sync covered is taken for written and never will be.
            inner.disk.pending.clear();
        } else if !inner.lies {
            inner.disk.sync_dir();
        }
        let Inner { disk, handles, .. } = &mut *inner;
        disk.forget_unreachable(|id| handles.contains_key(&id));
        begun
    }

    fn free_bytes(&self) -> Result<u64> {
        Ok(self.inner.lock().free())
    }

    fn random(&self) -> u64 {
        self.inner.lock().random.draw()
    }
}
