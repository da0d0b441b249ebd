//! What a simulated disk knows: for every file the bytes that are visible and those that are durable, for the directory
//! the same.
//!
//! Invariants:
//! * `visible` = `durable` with the unsynced changes applied in order, except after a failed sync, which forgets the
//!   changes and keeps what is visible: exactly what a page cache does.
//! * Everything is shared by reference count until it is written, so keeping thousands of images of a disk is cheap.

use std::collections::BTreeMap;
use std::sync::Arc;

const PAGE: usize = 4096;
pub(super) type FileId = u64;
type FileNames = BTreeMap<String, FileId>;

/// The bytes of a file, in pages that copies share; absent pages are zeros.
#[derive(Clone, Default)]
pub(super) struct Bytes {
    pages: BTreeMap<u64, Arc<[u8; PAGE]>>,
    length: u64,
}

impl Bytes {
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` from `offset`; bytes past the end are zeros.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) {
        for (page, within, range) in spans(offset, buffer.len()) {
            let length = range.len();
            match self.pages.get(&page) {
                Some(bytes) => buffer[range].copy_from_slice(&bytes[within..within + length]),
                None => buffer[range].fill(0),
            }
        }
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (page, within, range) in spans(offset, bytes.len()) {
            let target = Arc::make_mut(self.pages.entry(page).or_insert_with(|| Arc::new([0; PAGE])));
            target[within..within + range.len()].copy_from_slice(&bytes[range]);
        }
        if !bytes.is_empty() {
            self.length = self.length.max(offset + bytes.len() as u64);
        }
    }

    pub fn resize(&mut self, length: u64) {
        if length < self.length {
            let (page, within) = (length / PAGE as u64, (length % PAGE as u64) as usize);
            self.pages.split_off(&length.div_ceil(PAGE as u64));
            if within > 0
                && let Some(bytes) = self.pages.get_mut(&page)
            {
                Arc::make_mut(bytes)[within..].fill(0);
            }
        }
        self.length = length;
    }

    /// Whatever is not zero: (page, its bytes), in order.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &[u8; PAGE])> {
        self.pages.iter().map(|(page, bytes)| (*page, &**bytes)).filter(|(_, bytes)| **bytes != [0; PAGE])
    }

    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.length as usize];
        self.read(0, &mut bytes);
        bytes
    }
}

/// Cuts `length` bytes from `offset` at page borders: (page, offset in it, range of the buffer).
fn spans(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let position = offset + done as u64;
        let within = (position % PAGE as u64) as usize;
        let next = length.min(done + PAGE - within);
        let range = std::mem::replace(&mut done, next)..next;
        (!range.is_empty()).then_some((position / PAGE as u64, within, range))
    })
}

/// A change of a file that no sync has covered yet.
#[derive(Clone)]
pub(super) enum Change {
    Write { offset: u64, bytes: Arc<[u8]> },
    Resize(u64),
}

impl Change {
    pub fn apply(&self, target: &mut Bytes) {
        match self {
            Self::Write { offset, bytes } => target.write(*offset, bytes),
            Self::Resize(length) => target.resize(*length),
        }
    }
}

/// A change that no sync has covered yet, and its place in the order of all operations.
#[derive(Clone)]
pub(super) struct Unsynced<T> {
    pub order: u64,
    pub change: T,
}

#[derive(Clone, Default)]
pub(super) struct FileState {
    pub visible: Bytes,
    pub durable: Bytes,
    pub unsynced: Vec<Unsynced<Change>>,
    pub mapped: bool,
}

impl FileState {
    /// A file that has always been there.
    pub fn settled(bytes: Bytes) -> Self {
        Self { visible: bytes.clone(), durable: bytes, unsynced: Vec::new(), mapped: false }
    }

    pub fn change(&mut self, order: u64, change: Change) {
        change.apply(&mut self.visible);
        self.unsynced.push(Unsynced { order, change });
    }

    pub fn sync_all(&mut self) {
        for unsynced in self.unsynced.drain(..) {
            unsynced.change.apply(&mut self.durable);
        }
    }

    /// Makes durable what lies within the durable length, and no new length, as the contract promises no more.
    pub fn sync_data(&mut self) {
        let end = self.durable.len();
        // A pending cut below that length does not commute with the writes around it, so it goes with them.
        if self.unsynced.iter().any(|unsynced| matches!(unsynced.change, Change::Resize(length) if length < end)) {
            return self.sync_all();
        }
        for Unsynced { order, change } in std::mem::take(&mut self.unsynced) {
            match change {
                Change::Write { offset, bytes } => {
                    let within = (end.saturating_sub(offset) as usize).min(bytes.len());
                    self.durable.write(offset, &bytes[..within]);
                    if within < bytes.len() {
                        let rest = Change::Write { offset: offset + within as u64, bytes: bytes[within..].into() };
                        self.unsynced.push(Unsynced { order, change: rest });
                    }
                }
                resize => self.unsynced.push(Unsynced { order, change: resize }),
            }
        }
    }
}

/// A change of the directory that no sync has covered yet.
#[derive(Clone)]
pub(super) enum DirectoryEntry {
    Create { name: String, file: FileId },
    Rename { to: String, file: FileId },
    Remove { name: String, file: FileId },
}

impl DirectoryEntry {
    /// The file that the change is about.
    pub fn file(&self) -> FileId {
        let (Self::Create { file, .. } | Self::Rename { file, .. } | Self::Remove { file, .. }) = self;
        *file
    }

    /// Applies the change to names that may lack some of the changes before it.
    pub fn apply(&self, names: &mut FileNames) {
        match self {
            // A name that is still taken shows that what freed it was lost; then this came too late to survive.
            Self::Create { name, file } => {
                names.entry(name.clone()).or_insert(*file);
            }
            // Atomic: whatever became of earlier renames, the file has one name.
            Self::Rename { to, file, .. } => {
                names.retain(|_, other| other != file);
                names.insert(to.clone(), *file);
            }
            Self::Remove { name, file } => {
                if names.get(name) == Some(file) {
                    names.remove(name);
                }
            }
        }
    }
}

/// Files and names, cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub files: BTreeMap<FileId, Arc<FileState>>,
    pub names: Arc<FileNames>,
    pub durable_names: Arc<FileNames>,
    pub pending: Vec<Unsynced<DirectoryEntry>>,
    pub next_file: FileId,
}

impl Disk {
    /// Takes a file away with every change of its name that is not durable yet.
    pub fn take_away(&mut self, name: &str) {
        if let Some(file) = Arc::make_mut(&mut self.names).remove(name) {
            Arc::make_mut(&mut self.durable_names).retain(|_, other| *other != file);
            self.pending.retain(|pending| pending.change.file() != file);
        }
    }

    /// The same disk under another process: nothing is mapped, what was unsynced still is.
    pub fn for_next_process(&self) -> Self {
        let mut disk = self.clone();
        for file in disk.files.values_mut().filter(|file| file.mapped) {
            Arc::make_mut(file).mapped = false;
        }
        disk
    }

    /// A disk of which everything is durable.
    pub fn settled(names: FileNames, mut contents: impl FnMut(FileId) -> Bytes) -> Self {
        let files = names.values().map(|&file| (file, Arc::new(FileState::settled(contents(file))))).collect();
        let next_file = names.values().max().map_or(0, |last| last + 1);
        let names = Arc::new(names);
        Self { files, durable_names: Arc::clone(&names), names, pending: Vec::new(), next_file }
    }

    pub fn change(&mut self, order: u64, entry: DirectoryEntry) {
        entry.apply(Arc::make_mut(&mut self.names));
        self.pending.push(Unsynced { order, change: entry });
    }

    pub fn sync_dir(&mut self) {
        let names = Arc::make_mut(&mut self.durable_names);
        for Unsynced { change: entry, .. } in self.pending.drain(..) {
            // Only one file has the name by now, even if the removal of another one was lost in a failed sync.
            if let DirectoryEntry::Create { name, .. } = &entry {
                names.remove(name);
            }
            entry.apply(names);
        }
    }

    pub fn file(&mut self, id: FileId) -> &mut FileState {
        Arc::make_mut(self.files.entry(id).or_default())
    }

    /// Forgets files that no name leads to or may lead to after a crash, unless `kept`.
    pub fn forget_unreachable(&mut self, kept: impl Fn(FileId) -> bool) {
        let mut reachable: std::collections::BTreeSet<FileId> = self.names.values().copied().collect();
        reachable.extend(self.durable_names.values());
        reachable.extend(self.pending.iter().map(|unsynced| match &unsynced.change {
            DirectoryEntry::Create { file, .. }
            | DirectoryEntry::Rename { file, .. }
            | DirectoryEntry::Remove { file, .. } => file,
        }));
        self.files.retain(|id, _| reachable.contains(id) || kept(*id));
    }

    /// Bytes of all files, as if none were sparse.
    pub fn used(&self) -> u64 {
        self.files.values().map(|file| file.visible.len()).fold(0, u64::saturating_add)
    }
}
