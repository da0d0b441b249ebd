//! The place of each frame: one rule, by which the commit pipeline claims space and the writer places frames.
//!
//! Invariants:
//! * The same frames in the same order with the same spares get the same places, however claims and new spares
//!   interleave: a spare that is added later never changes the place of an earlier claim. So frames must be claimed in
//!   the order in which they are written.
//! * After every claim the 64 bytes of a Closed frame are still free in every file.

use std::collections::VecDeque;

use super::{CLOSED_BYTES, HEADER_BYTES, HEADERS_BYTES};

/// Length of the smallest file in which a frame of `frame_bytes` fits.
pub(crate) fn file_bytes_for(frame_bytes: u64) -> u64 {
    frame_bytes.saturating_add(HEADERS_BYTES + CLOSED_BYTES).checked_next_multiple_of(HEADER_BYTES).unwrap_or(u64::MAX)
}

/// The answer to a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The frame has its place.
    Fits,
    /// Nothing was claimed: the frame needs one more file, of at least this many bytes.
    NeedsFile(u64),
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FilePlace {
    /// Into the current file.
    Current,
    /// Into a spare, which becomes the current file. The `skipped` spares before it are too small and are given up.
    Spare { skipped: usize },
}

/// Free space in the current file and in the prepared ones after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Space {
    free: u64,
    spares: VecDeque<u64>,
}

impl Space {
    /// A current file of `file_bytes`, written up to `position`, and no spares.
    pub fn new(file_bytes: u64, position: u64) -> Self {
        Self { free: file_bytes.saturating_sub(position + CLOSED_BYTES), spares: VecDeque::new() }
    }

    /// A current file that holds only its header, and no spares.
    pub fn of_new_file(file_bytes: u64) -> Self {
        Self::new(file_bytes, HEADERS_BYTES)
    }

    /// Adds a prepared file, which is used after all others.
    pub fn add_spare(&mut self, file_bytes: u64) {
        self.spares.push_back(file_bytes.saturating_sub(HEADERS_BYTES + CLOSED_BYTES));
    }

    /// The number of spares.
    pub fn spares(&self) -> usize {
        self.spares.len()
    }

    /// Bytes that frames can still take, in all files.
    pub fn free(&self) -> u64 {
        self.free + self.spares.iter().sum::<u64>()
    }

    /// Claims the place of the next frame.
    pub fn claim(&mut self, frame_bytes: u64) -> Claim {
        self.place(frame_bytes).map_or(Claim::NeedsFile(file_bytes_for(frame_bytes)), |_| Claim::Fits)
    }

    /// Claims the place of the next frame and returns the place; `None` if the frame fits in no file.
    pub(super) fn place(&mut self, frame_bytes: u64) -> Option<FilePlace> {
        if frame_bytes <= self.free {
            self.free -= frame_bytes;
            return Some(FilePlace::Current);
        }
        let skipped = self.spares.iter().position(|&capacity| frame_bytes <= capacity)?;
        self.free = self.spares[skipped] - frame_bytes;
        self.spares.drain(..=skipped);
        Some(FilePlace::Spare { skipped })
    }
}
