//! Crash states chosen change by change: whoever explores them decides what becomes of each unsynced change.
//!
//! Invariants:
//! * What a completed sync covered is in every state. Changes of one file survive in their order, and so do changes of
//!   names.
//! * Two states with the same [`SimStorage::content_hash`] are the same disk: the same names with the same bytes.

use std::collections::BTreeMap;

use super::SimStorage;
use super::image::{Image, random};
use super::state::{Bytes, Change, DirectoryEntry, Disk, FileId};
use crate::codec::mix;

/// What a crash makes of one unsynced change. A change of a length or of a name is only done or lost: all fates but
/// [`ChangeFate::Lost`] do it, unless they say otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeFate {
    /// It survives.
    Done,
    /// Nothing of it survives.
    Lost,
    /// Of a write, so many bytes from its beginning.
    First(usize),
    /// Of a write, what follows so many bytes.
    Last(usize),
    /// Of a write, every second block of so many bytes of the file: those with an odd number, or with an even one.
    Blocks {
        /// Bytes of a block.
        size: usize,
        /// Whether the blocks with odd numbers survive.
        odd: bool,
    },
    /// The extent of a write holds zeros.
    Zeros,
    /// The extent of a write holds other bytes, made from this seed.
    Garbage(u64),
    /// The length that a write or a change of the length gives the file survives, and no byte of the write.
    LengthOnly,
    /// The bytes of a write survive as far as the file already reaches; a change of the length is lost.
    WithinLength,
}

/// An unsynced change, for whoever chooses its fate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnsyncedChange {
    /// Bytes of a file.
    Write {
        /// Where they begin.
        offset: u64,
        /// How many.
        length: usize,
    },
    /// A new length of a file.
    Length(u64),
    /// A created, renamed or removed name.
    Name(String),
}

/// Where a change waits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum ChangePlace {
    File(FileId, usize),
    Name(usize),
}

impl Image {
    /// The order of the unsynced changes. A write of which a sync has covered a part has the place of the whole.
    fn places(&self) -> Vec<(u64, ChangePlace)> {
        let of_files = self.disk.files.iter().flat_map(|(id, file)| {
            let changes = file.unsynced.iter().enumerate();
            changes.map(|(number, unsynced)| (unsynced.order, ChangePlace::File(*id, number)))
        });
        let of_names =
            self.disk.pending.iter().enumerate().map(|(number, unsynced)| (unsynced.order, ChangePlace::Name(number)));
        let mut places: Vec<(u64, ChangePlace)> = of_files.chain(of_names).collect();
        places.sort_unstable();
        places
    }

    /// All changes that no sync has covered, in the order in which they were made.
    pub fn unsynced(&self) -> Vec<UnsyncedChange> {
        let described = |place| match place {
            ChangePlace::File(id, number) => match &self.disk.files[&id].unsynced[number].change {
                Change::Write { offset, bytes } => UnsyncedChange::Write { offset: *offset, length: bytes.len() },
                Change::Resize(length) => UnsyncedChange::Length(*length),
            },
            ChangePlace::Name(number) => match &self.disk.pending[number].change {
                DirectoryEntry::Create { name, .. }
                | DirectoryEntry::Rename { to: name, .. }
                | DirectoryEntry::Remove { name, .. } => UnsyncedChange::Name(name.clone()),
            },
        };
        self.places().into_iter().map(|(_, place)| described(place)).collect()
    }

    /// The disk on which each unsynced change met its fate, in the order of [`Image::unsynced`]. A change without one
    /// is lost.
    pub fn survivor_of(&self, fates: &[ChangeFate]) -> SimStorage {
        let mut of_files: BTreeMap<FileId, Vec<ChangeFate>> = BTreeMap::new();
        let mut names = (*self.disk.durable_names).clone();
        for (place, (_, at)) in self.places().into_iter().enumerate() {
            let fate = fates.get(place).copied().unwrap_or(ChangeFate::Lost);
            match at {
                ChangePlace::File(id, _) => of_files.entry(id).or_default().push(fate),
                ChangePlace::Name(number) if fate != ChangeFate::Lost => {
                    self.disk.pending[number].change.apply(&mut names)
                }
                ChangePlace::Name(_) => {}
            }
        }
        let bytes = |id: FileId| {
            let Some(file) = self.disk.files.get(&id) else { return Bytes::default() };
            let mut bytes = file.durable.clone();
            for (unsynced, fate) in file.unsynced.iter().zip(of_files.get(&id).into_iter().flatten()) {
                survive(&mut bytes, &unsynced.change, *fate);
            }
            bytes
        };
        SimStorage::with_disk(Disk::settled(names, bytes), self.operations)
    }
}

/// Applies what is left of a change of a file.
fn survive(target: &mut Bytes, change: &Change, fate: ChangeFate) {
    let (offset, bytes) = match change {
        Change::Resize(_) if matches!(fate, ChangeFate::Lost | ChangeFate::WithinLength) => return,
        Change::Resize(length) => return target.resize(*length),
        Change::Write { offset, bytes } => (*offset, bytes),
    };
    let cut = |length: usize| length.min(bytes.len());
    match fate {
        ChangeFate::Done => target.write(offset, bytes),
        ChangeFate::Lost => {}
        ChangeFate::First(length) => target.write(offset, &bytes[..cut(length)]),
        ChangeFate::Last(from) => target.write(offset + cut(from) as u64, &bytes[cut(from)..]),
        ChangeFate::Blocks { size, odd } => {
            let mut start = 0;
            while start < bytes.len() {
                let position = offset as usize + start;
                let next = cut(start + size - position % size);
                if (position / size % 2 == 1) == odd {
                    target.write(position as u64, &bytes[start..next]);
                }
                start = next;
            }
        }
        ChangeFate::Zeros => target.write(offset, &vec![0; bytes.len()]),
        ChangeFate::Garbage(seed) => {
            let mut random = random(seed);
            let garbage: Vec<u8> = (0..bytes.len()).map(|_| random.draw() as u8).collect();
            target.write(offset, &garbage);
        }
        ChangeFate::LengthOnly => target.resize(target.len().max(offset + bytes.len() as u64)),
        ChangeFate::WithinLength => {
            let within = cut(target.len().saturating_sub(offset) as usize);
            target.write(offset, &bytes[..within]);
        }
    }
}

impl SimStorage {
    /// A hash of all that a process can see: the names, and of each file the length and the bytes.
    pub fn content_hash(&self) -> u64 {
        let inner = self.inner.lock();
        let mut hash = 0;
        for (name, id) in inner.disk.names.iter() {
            hash = hash_of_bytes(hash, name.as_bytes());
            let Some(file) = inner.disk.files.get(id) else { continue };
            hash = mix(hash ^ file.visible.len());
            for (page, bytes) in file.visible.pages() {
                hash = hash_of_bytes(mix(hash ^ page), bytes);
            }
        }
        hash
    }
}

fn hash_of_bytes(start: u64, bytes: &[u8]) -> u64 {
    // Two lanes, so that the multiplications of one do not wait for the other's.
    let (mut left, mut right) = (mix(start), start ^ bytes.len() as u64);
    for pair in bytes.chunks(16) {
        let mut words = [0; 16];
        words[..pair.len()].copy_from_slice(pair);
        let [first, second] = bytemuck::cast::<[u8; 16], [u64; 2]>(words);
        left = (left ^ first).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        right = (right ^ second).wrapping_mul(0xBF58_476D_1CE4_E5B9).rotate_left(31);
    }
    mix(left ^ mix(right))
}
