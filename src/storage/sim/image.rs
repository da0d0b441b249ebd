//! What a simulated disk looks like to whoever comes after a crash.
//!
//! Invariants:
//! * What a completed sync covered is in every survivor; of the rest, each change on its own may be there, gone or in
//!   pieces.
//! * The same image, loss and seed give the same survivor.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SimStorage;
use super::state::{Bytes, Change, Disk, FileId, FileState};
use crate::random::Random;

const SECTOR: usize = 512;

/// What a crash takes away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The process was killed: everything written is there, and what was unsynced still is.
    None,
    /// Power was lost, and with it all that no sync covered.
    AllUnsynced,
    /// Power was lost in the middle: every unsynced change of bytes, lengths and names survives on its own, whole, in
    /// part or not at all.
    Torn,
}

/// A disk at one moment.
#[derive(Clone)]
pub struct Image {
    /// What the test had set with [`SimStorage::set_tag`].
    pub tag: u64,
    /// Operations done before.
    pub operations: u64,
    pub(super) disk: Disk,
}

impl Image {
    /// The disk that `loss` leaves; `seed` chooses among the possible ones.
    pub fn survivor(&self, loss: Loss, seed: u64) -> SimStorage {
        let disk = match loss {
            Loss::None => self.disk.for_next_process(),
            Loss::AllUnsynced => {
                let names = (*self.disk.durable_names).clone();
                Disk::settled(names, |id| self.disk.files.get(&id).map(|file| file.durable.clone()).unwrap_or_default())
            }
            Loss::Torn => {
                let mut random = random(seed);
                let names = self.torn_names(&mut random);
                let mut torn = |file: &Arc<FileState>| torn_bytes(file, &mut random);
                Disk::settled(names, |id| self.disk.files.get(&id).map(&mut torn).unwrap_or_default())
            }
        };
        SimStorage::with_disk(disk, seed)
    }

    fn torn_names(&self, random: &mut Random) -> BTreeMap<String, FileId> {
        // Of some crashes nearly everything survives, of others nearly nothing.
        let kept_percent = [0, 15, 50, 85, 100][random.below(5) as usize];
        let mut names = (*self.disk.durable_names).clone();
        for pending in &self.disk.pending {
            if random.below(100) < kept_percent {
                pending.change.apply(&mut names);
            }
        }
        names
    }
}

fn torn_bytes(file: &FileState, random: &mut Random) -> Bytes {
    let mut bytes = file.durable.clone();
    let whole_percent = [0, 25, 75, 100][random.below(4) as usize];
    for unsynced in &file.unsynced {
        match &unsynced.change {
            Change::Resize(_) if random.below(2) == 0 => {}
            Change::Write { offset, bytes: written } if random.below(100) >= whole_percent => {
                tear(&mut bytes, *offset, written, random);
            }
            whole => whole.apply(&mut bytes),
        }
    }
    bytes
}

/// Applies one write in part.
fn tear(target: &mut Bytes, offset: u64, written: &[u8], random: &mut Random) {
    let cut = random.below(written.len() as u64 + 1) as usize;
    let end = offset + written.len() as u64;
    match random.below(6) {
        // Nothing of it; but the longer length may have been there first, with zeros.
        0 => {}
        1 => target.resize(target.len().max(end)),
        2 => target.write(offset, &written[..cut]),
        3 => target.write(offset + cut as u64, &written[cut..]),
        4 => target.write(offset, &vec![0; written.len()]),
        _ => {
            // Sectors of the disk, not of the write.
            let mut start = 0;
            while start < written.len() {
                let next = written.len().min(start + SECTOR - ((offset as usize + start) % SECTOR));
                if random.below(2) == 0 {
                    target.write(offset + start as u64, &written[start..next]);
                }
                start = next;
            }
        }
    }
}

/// The numbers of a disk, others than those of a test that uses the same seed.
pub(super) fn random(seed: u64) -> Random {
    Random::new(seed ^ 0x5851_f42d_4c95_7f2d)
}
