//! How the output of a merge is cut into several segments: each piece is a range of rows of each input.
//!
//! Invariants:
//! * The pieces of one merge hold each row of the inputs once, in the order of (namespace, key).
//! * All versions of a key are in one piece.
//! * Deleted rows do not count: the pieces have about as many living rows each, wherever the deleted ones lie.

use std::ops::Range;

use crate::compact::source::MergeSource;
use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::record::Lsn;
use crate::types::{Interval, KeyPosition};

/// Living rows are counted beforehand up to each place that is a multiple of this.
const STEP: u32 = 1_024;

/// The rows of each input that lie in `interval`.
pub(crate) fn inside<'a>(sources: &[MergeSource<'a>], interval: &Interval) -> Result<Vec<MergeSource<'a>>> {
    sources.iter().map(|source| Ok(source.with_rows(source.segment.interval(interval)?))).collect()
}

/// Cuts the inputs, between any two keys, into `count` pieces with about as many rows each that are alive at `base`.
pub(crate) fn by_living_rows<'a>(
    sources: Vec<MergeSource<'a>>,
    base: Lsn,
    count: u64,
) -> Result<Vec<Vec<MergeSource<'a>>>> {
    if count <= 1 {
        return Ok(vec![sources]);
    }
    let counted: Vec<CountedSource<'a>> = sources.iter().map(|source| CountedSource::new(source, base)).collect();
    let all: u64 = counted.iter().map(CountedSource::living).sum();
    let (mut pieces, mut rest) = (Vec::new(), sources);
    for number in 1..count {
        let wanted = (u128::from(all) * u128::from(number) / u128::from(count)) as u64;
        let Some(place) = nearest_place(&counted, wanted)? else { break };
        let ends = rest.iter().map(|source| source.row_at(place)).collect::<Result<Vec<RowId>>>()?;
        let cut = rest.iter().zip(ends).map(|(source, end)| {
            let Range { start, end: last } = source.rows;
            let middle = end.clamp(start, last);
            (source.with_rows(start..middle), source.with_rows(middle..last))
        });
        let (piece, after) = cut.unzip();
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    Ok(pieces)
}

/// An input that knows how many living rows lie before each of its rows.
struct CountedSource<'a> {
    source: MergeSource<'a>,
    base: Lsn,
    /// The living rows before each `STEP`th row of the input, and at the end those of all rows.
    counts: Vec<u64>,
}

impl<'a> CountedSource<'a> {
    fn new(source: &MergeSource<'a>, base: Lsn) -> Self {
        let (mut counts, mut living) = (Vec::new(), 0);
        for row in source.rows.clone().ids() {
            if (row - source.rows.start).is_multiple_of(STEP) {
                counts.push(living);
            }
            living += u64::from(source.is_alive(row, base));
        }
        counts.push(living);
        Self { source: source.clone(), base, counts }
    }

    fn living(&self) -> u64 {
        self.counts.last().copied().unwrap_or_default()
    }

    /// The living rows before a place.
    fn living_before(&self, place: KeyPosition<'_>) -> Result<u64> {
        let Range { start, end } = self.source.rows;
        let row = self.source.row_at(place)?.clamp(start, end);
        let step = (row - start) / STEP;
        let known = self.counts.get(step as usize).copied().unwrap_or_else(|| self.living());
        let rest = (start + step * STEP..row).ids().filter(|&row| self.source.is_alive(row, self.base));
        Ok(known + rest.count() as u64)
    }
}

/// The place before which nearest to `wanted` living rows lie. It is the place of a row; `None` if there are no rows.
fn nearest_place<'a>(sources: &[CountedSource<'a>], wanted: u64) -> Result<Option<KeyPosition<'a>>> {
    let before = |place: KeyPosition<'_>| sources.iter().map(|source| source.living_before(place)).sum::<Result<u64>>();
    let mut nearest: Option<(u64, KeyPosition<'a>)> = None;
    for source in sources.iter().map(|counted| &counted.source).filter(|source| !source.rows.is_empty()) {
        // The first row of this input before which at least `wanted` rows lie, and the row before it.
        let (mut low, mut high) = (source.rows.start.0, source.rows.end.0 - 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if before(source.place_of(RowId(middle))?)? < wanted {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        for row in [low.saturating_sub(1).max(source.rows.start.0), low] {
            let place = source.place_of(RowId(row))?;
            let off = before(place)?.abs_diff(wanted);
            if nearest.is_none_or(|(least, _)| off < least) {
                nearest = Some((off, place));
            }
        }
    }
    Ok(nearest.map(|(_, place)| place))
}
