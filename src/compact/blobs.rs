//! Large values in a merge: the output refers to blob files of the inputs, or gets copies in its own blob file. The
//! bytes of a value are dead once its row is deleted.
//!
//! Invariants:
//! * `decide` is pure: the same numbers give the same fates.
//! * A readable blob file that is kept is at most half dead. So once merges have caught up, blob files take at most
//!   twice the bytes of their living values. A living value is copied only if more than half of its file is dead, or to
//!   gather small files.
//! * Under `DeadLimit::Nothing` a readable file with a dead byte is never kept, as `compact` promises.
//! * Values are copied in their stored form.
//! * A file with a living value that cannot be read is kept, so that damage stops no merge, and a restored file brings
//!   the value back. A file without a living value is dropped unread.
//! * If the living values of a file go to several outputs, each copies its own. So no two segments refer to one file,
//!   unless it is kept because it cannot be read. If both are inputs of a later merge, the file has one fate, from what
//!   lives in it over all inputs, and the output names it once: a segment that names a file twice counts as damaged.

use std::collections::HashMap;
use std::sync::Arc;

use crate::compact::source::MergeSource;
use crate::error::Result;
use crate::ids::RowId;
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::blob::file::{Blob, ValuePlace};
use crate::segment::truth::input::ValueInput;

/// The numbers of a blob file for `decide`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BlobStats {
    /// Bytes of all values in the file.
    pub bytes: u64,
    pub live_bytes: u64,
    /// A living value in the file cannot be read.
    pub unreadable: bool,
    /// Another output of the merge has living values of the file too.
    pub is_shared: bool,
}

/// How much of a blob file may be dead before it is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeadLimit {
    /// For background merges: a copy frees more bytes than it writes.
    Half,
    /// For calls that erase.
    Nothing,
}

impl DeadLimit {
    fn keeps(self, live_bytes: u64, dead_bytes: u64) -> bool {
        match self {
            Self::Half => dead_bytes <= live_bytes,
            Self::Nothing => dead_bytes == 0,
        }
    }
}

/// The fate of a blob file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlobFate {
    /// The file has no living value.
    Dropped,
    /// The living values of the file are copied to the output's own file.
    Rewritten,
    /// The output refers to the file.
    Kept,
}

/// The fates of the blob files of a merge's inputs.
///
/// A file with more dead bytes than `allowed` is rewritten. If more than `files_max` others remain, the smallest are
/// gathered into one file. Each next file is gathered too, while it is smaller than the sum of those before it. So a
/// copied value usually ends in a file of twice the size, and is copied only a few times.
pub(crate) fn decide(files: &[BlobStats], allowed: DeadLimit, files_max: usize) -> Vec<BlobFate> {
    let fate = |file: &BlobStats| match file.live_bytes {
        0 => BlobFate::Dropped,
        _ if file.unreadable => BlobFate::Kept,
        _ if file.is_shared => BlobFate::Rewritten,
        live if allowed.keeps(live, file.bytes.saturating_sub(live)) => BlobFate::Kept,
        _ => BlobFate::Rewritten,
    };
    let mut fates: Vec<BlobFate> = files.iter().map(fate).collect();
    let movable = |&index: &usize| fates[index] == BlobFate::Kept && !files[index].unreadable;
    let mut kept: Vec<usize> = (0..files.len()).filter(movable).collect();
    if kept.len() <= files_max.max(1) {
        return fates;
    }
    kept.sort_by_key(|&index| (files[index].live_bytes, index));
    // The gathered values become one more file.
    let too_many = kept.len() + 1 - files_max;
    let mut gathered: u64 = 0;
    for (position, index) in kept.into_iter().enumerate() {
        if position >= too_many && files[index].live_bytes >= gathered {
            break;
        }
        gathered = gathered.saturating_add(files[index].live_bytes);
        fates[index] = BlobFate::Rewritten;
    }
    fates
}

/// A blob file of the inputs.
struct BlobCandidate<'a> {
    blob: &'a Arc<Blob>,
    /// The inputs that refer to the file, each with the number of the file in its list, from 1.
    references: Vec<(usize, u32)>,
}

/// How the values of one merge lie in blob files.
#[derive(Default)]
pub(crate) struct BlobPlan {
    /// For each blob file of each input, its number in the output; `None` if the file is not kept.
    numbers: Vec<Vec<Option<u32>>>,
    kept: Vec<Arc<Blob>>,
    /// Bytes that are copied.
    pub rewritten_bytes: u64,
}

impl BlobPlan {
    /// The plan for the values that are alive at `base`. Values that would be copied are read first, to find files with
    /// unreadable ones. `go_on` is called for each row of such a file.
    pub fn new(
        inputs: &[MergeSource<'_>],
        base: Lsn,
        allowed: DeadLimit,
        files_max: usize,
        go_on: &dyn Fn() -> Result<()>,
    ) -> Result<Self> {
        let (files, mut stats) = candidates(inputs, base)?;
        let fates = loop {
            let fates = decide(&stats, allowed, files_max);
            let mut all_readable = true;
            for (index, file) in files.iter().enumerate().filter(|(index, _)| fates[*index] == BlobFate::Rewritten) {
                for &(input, number) in &file.references {
                    let source = &inputs[input];
                    let lives = |row| go_on().map(|()| source.is_copied(row, base));
                    stats[index].unreadable |= !source.segment.can_read_blob(number, lives)?;
                }
                all_readable &= !stats[index].unreadable;
            }
            if all_readable {
                break fates;
            }
        };
        let mut plan = Self { numbers: vec![Vec::new(); inputs.len()], ..Self::default() };
        for ((file, stats), fate) in files.into_iter().zip(stats).zip(fates) {
            if fate == BlobFate::Kept {
                plan.kept.push(Arc::clone(file.blob));
            } else {
                plan.rewritten_bytes = plan.rewritten_bytes.saturating_add(stats.live_bytes);
            }
            let place = (fate == BlobFate::Kept).then_some(plan.kept.len() as u32);
            for (input, number) in file.references {
                let (numbers, index) = (&mut plan.numbers[input], number as usize - 1);
                numbers.resize(numbers.len().max(number as usize), None);
                numbers[index] = place;
            }
        }
        Ok(plan)
    }

    /// The blob files that the output keeps, beginning with number 1.
    pub fn files(&self) -> &[Arc<Blob>] {
        &self.kept
    }

    /// The place in the output of a value in a blob file of input `input`, if the file is kept.
    pub fn kept(&self, input: usize, place: &ValuePlace) -> Option<ValuePlace> {
        let number = (place.file as usize).checked_sub(1)?;
        let file = (*self.numbers.get(input)?.get(number)?)?;
        Some(ValuePlace { file, ..*place })
    }

    /// The value that the output gets for a row of input `input`.
    pub fn value<'a>(&self, input: usize, segment: &'a Segment, row: RowId) -> Result<ValueInput<'a>> {
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

/// The blob files of the inputs, each once, with its numbers over all inputs.
fn candidates<'a>(inputs: &[MergeSource<'a>], base: Lsn) -> Result<(Vec<BlobCandidate<'a>>, Vec<BlobStats>)> {
    let (mut files, mut stats) = (Vec::<BlobCandidate<'a>>::new(), Vec::<BlobStats>::new());
    let mut known: HashMap<u64, usize> = HashMap::new();
    for (input, source) in inputs.iter().enumerate() {
        let segment = source.segment;
        let live = segment.live_blob_bytes(|row| source.is_copied(row, base))?;
        let everywhere = match source.rows == segment.all_rows() {
            true => live.clone(),
            false => segment.live_blob_bytes(|row| source.is_alive(row, base))?,
        };
        for (place, all_live) in everywhere.into_iter().enumerate() {
            let Some(blob) = segment.blobs()?.get(place) else { continue };
            let live_bytes = live.get(place).copied().unwrap_or_default();
            let index = *known.entry(blob.file.file_id).or_insert(files.len());
            if index == files.len() {
                let bytes = blob.file.value_bytes;
                stats.push(BlobStats { bytes, live_bytes: 0, unreadable: false, is_shared: false });
                files.push(BlobCandidate { blob, references: Vec::new() });
            }
            let sum = &mut stats[index];
            sum.live_bytes = sum.live_bytes.saturating_add(live_bytes);
            sum.is_shared |= all_live > live_bytes;
            files[index].references.push((input, place as u32 + 1));
        }
    }
    Ok((files, stats))
}

#[cfg(test)]
mod tests {
    use super::*;
    use BlobFate::{Dropped, Kept, Rewritten};

    fn fates(files: &[(u64, u64)], files_max: usize) -> Vec<BlobFate> {
        let stats = |&(bytes, live_bytes)| BlobStats { bytes, live_bytes, unreadable: false, is_shared: false };
        decide(&files.iter().map(stats).collect::<Vec<_>>(), DeadLimit::Half, files_max)
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
        let files = [(100, 100), (100, 99), (100, 0)].map(|(bytes, live_bytes)| BlobStats {
            bytes,
            live_bytes,
            unreadable: false,
            is_shared: false,
        });
        assert_eq!(decide(&files, DeadLimit::Nothing, 4), [Kept, Rewritten, Dropped]);
        let shared = files.map(|file| BlobStats { is_shared: true, ..file });
        assert_eq!(decide(&shared, DeadLimit::Half, 4), [Rewritten, Rewritten, Dropped]);
        let unreadable = files.map(|file| BlobStats { unreadable: true, ..file });
        assert_eq!(decide(&unreadable, DeadLimit::Nothing, 1), [Kept, Kept, Dropped]);
        let both = unreadable.map(|file| BlobStats { is_shared: true, ..file });
        assert_eq!(decide(&both, DeadLimit::Nothing, 1), [Kept, Kept, Dropped]);
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
