//! What becomes of large values in a merge: the output refers to blob files of the inputs, or gets values of its own.
//!
//! Invariants:
//! * `decide` is pure: the same numbers give the same fates.
//! * A blob file that stays is at least half alive, so blob files take at most twice what lives in them once merges have caught
//!   up, and a value that lives is rewritten only when as many bytes beside it have died, or to gather small files.
//! * Values that are rewritten are copied as they are stored.

use crate::error::Result;
use crate::record::Lsn;
use crate::segment::blob::{BlobFile, ValuePlace};
use crate::segment::dead::Deaths;
use crate::segment::sealed::Segment;
use crate::segment::writer::ValueInput;

/// What `decide` knows of a blob file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobStats {
    /// Of the values in it.
    pub bytes: u64,
    pub live_bytes: u64,
}

/// What becomes of a blob file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing in it lives.
    Dropped,
    /// What lives in it moves to the output's own file.
    Rewritten,
    /// The output refers to it.
    Kept,
}

/// The fates of the blob files of a merge's inputs.
///
/// What is more than half dead is rewritten. Of more than `files_max` others the smallest are gathered, and with them each next
/// one that is smaller than what is gathered so far: what a value lies in mostly doubles when it is copied, so that this happens
/// a few times only.
pub(crate) fn decide(files: &[BlobStats], files_max: usize) -> Vec<Fate> {
    let fate = |file: &BlobStats| match file.live_bytes {
        0 => Fate::Dropped,
        live if live < file.bytes.saturating_sub(live) => Fate::Rewritten,
        _ => Fate::Kept,
    };
    let mut fates: Vec<Fate> = files.iter().map(fate).collect();
    let mut kept: Vec<usize> = (0..files.len()).filter(|&index| fates[index] == Fate::Kept).collect();
    if kept.len() <= files_max.max(1) {
        return fates;
    }
    kept.sort_by_key(|&index| (files[index].live_bytes, index));
    // What is gathered is a file again.
    let too_many = kept.len() + 1 - files_max;
    let mut gathered: u64 = 0;
    for (position, index) in kept.into_iter().enumerate() {
        if position >= too_many && files[index].live_bytes >= gathered {
            break;
        }
        gathered = gathered.saturating_add(files[index].live_bytes);
        fates[index] = Fate::Rewritten;
    }
    fates
}

/// How the values of one merge lie in blob files.
#[derive(Default)]
pub(crate) struct BlobPlan {
    /// For each blob file of each input, its number in the output.
    numbers: Vec<Vec<Option<u32>>>,
    kept: Vec<BlobFile>,
    /// Bytes that are copied.
    pub rewritten_bytes: u64,
}

impl BlobPlan {
    /// The plan for what lives at `base`.
    pub fn new(inputs: &[(&Segment, &Deaths)], base: Lsn, files_max: usize) -> Result<Self> {
        let (mut files, mut stats, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (segment, deaths) in inputs {
            let listed = segment.blob_files()?;
            let live = segment.live_blob_bytes(|row| !deaths.is_dead_at(row, base))?;
            counts.push(listed.len());
            let both = listed.iter().zip(live);
            stats.extend(both.map(|(file, live_bytes)| BlobStats { bytes: file.value_bytes, live_bytes }));
            files.extend(listed);
        }
        let fates = decide(&stats, files_max);
        let mut plan = Self::default();
        let mut decided = files.into_iter().zip(stats).zip(fates);
        for count in counts {
            let numbers = decided.by_ref().take(count).map(|((file, stats), fate)| match fate {
                Fate::Kept => {
                    plan.kept.push(file);
                    Some(plan.kept.len() as u32)
                }
                _ => {
                    plan.rewritten_bytes = plan.rewritten_bytes.saturating_add(stats.live_bytes);
                    None
                }
            });
            let numbers = numbers.collect();
            plan.numbers.push(numbers);
        }
        Ok(plan)
    }

    /// The blob files that the output keeps; number 1 comes first.
    pub fn files(&self) -> &[BlobFile] {
        &self.kept
    }

    /// Where a value that lies in a blob file of input `input` lies as seen from the output, if it stays.
    pub fn kept(&self, input: usize, place: &ValuePlace) -> Option<ValuePlace> {
        let number = (place.file as usize).checked_sub(1)?;
        let file = (*self.numbers.get(input)?.get(number)?)?;
        Some(ValuePlace { file, ..*place })
    }

    /// What the output gets as the value of a row of input `input`.
    pub fn value<'a>(&self, input: usize, segment: &'a Segment, row: u32) -> Result<ValueInput<'a>> {
        let place = segment.value_place(row)?;
        if place.is_inline() {
            return segment.text_value(&place).map(ValueInput::Text);
        }
        match self.kept(input, &place) {
            Some(place) => Ok(ValueInput::Kept(place)),
            None => Ok(ValueInput::Stored { bytes: segment.stored_value(row, &place)?, codec: place.codec }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Fate::{Dropped, Kept, Rewritten};

    fn fates(files: &[(u64, u64)], files_max: usize) -> Vec<Fate> {
        let stats = |&(bytes, live_bytes)| BlobStats { bytes, live_bytes };
        decide(&files.iter().map(stats).collect::<Vec<_>>(), files_max)
    }

    #[test]
    fn the_table_of_fates() {
        assert_eq!(fates(&[], 4), []);
        assert_eq!(
            fates(&[(100, 0), (100, 1), (100, 49), (100, 50), (100, 100)], 4),
            [Dropped, Rewritten, Rewritten, Kept, Kept]
        );
        assert_eq!(
            fates(&[(0, 0), (1, 1), (3, 1), (u64::MAX, u64::MAX / 2)], 4),
            [Dropped, Kept, Rewritten, Rewritten]
        );
        assert_eq!(fates(&[(10, 20)], 4), [Kept], "more references than bytes, as only a forged file has");
        assert_eq!(fates(&[(9, 9), (7, 7), (8, 8)], 3), [Kept; 3]);
        assert_eq!(fates(&[(9, 9), (7, 7), (8, 8), (7, 7)], 3), [Rewritten; 4], "14 gathered, then 22");
        assert_eq!(fates(&[(90, 90), (7, 7), (80, 80), (7, 7)], 3), [Kept, Rewritten, Kept, Rewritten]);
        assert_eq!(fates(&[(9, 9), (90, 7), (8, 0), (7, 7), (6, 6)], 3), [Kept, Rewritten, Dropped, Kept, Kept]);
        assert_eq!(fates(&[(1, 1), (2, 2)], 0), [Rewritten, Rewritten]);
    }

    #[test]
    fn gathering_is_rare() {
        let (files_max, mut files, mut written) = (64, Vec::<(u64, u64)>::new(), 0);
        for _ in 0..10_000 {
            files.push((1, 1));
            written += 1;
            let fates = fates(&files, files_max);
            let gathered: u64 =
                files.iter().zip(&fates).filter(|(_, fate)| **fate == Rewritten).map(|(file, _)| file.1).sum();
            files = files.into_iter().zip(fates).filter(|(_, fate)| *fate == Kept).map(|(file, _)| file).collect();
            if gathered > 0 {
                files.push((gathered, gathered));
            }
            written += gathered;
            assert!(files.len() <= files_max);
        }
        assert!(written <= 3 * 10_000, "each byte was written {} times", written as f64 / 10_000.0);
    }
}
