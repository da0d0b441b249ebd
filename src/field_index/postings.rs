//! Postings: the rows that have one value, as bytes.
//!
//! Invariants:
//! * A reader decodes any bytes to rising rows, or fails. The caller gives the number of rows, which the bytes must
//!   have.
//! * Reading the rows of an interval costs what these rows cost, and not what the rows before them cost.
//!
//! # Format
//!
//! Numbers are varints (seven bits a byte, the lowest first, the high bit set where another byte follows) unless a size
//! is given. The first byte is the form.
//!
//! ```text
//! FORM  CONTENT
//! 0     run: the first row. All rows follow each other.
//! 1     deltas: the first row, then the distance of each row to the one before
//! 2     deltas with skips: the number of blocks, then for each block of 128 rows after the first its row u32 and where
//!       the distances after that row begin u32, counted from the first distance. Then as form 1, without the distances
//!       that lead to those rows.
//! 3     bits: the row of the first bit, then words u64 of 64 rows each, the lowest bit first
//! ```

use std::ops::Range;

use crate::codec::{Decoded, Reader, Writer};
use crate::ids::RowId;
use crate::row_set::RowSetBuilder;

const RUN: u8 = 0;
const DELTAS: u8 = 1;
const SKIPS: u8 = 2;
const BITS: u8 = 3;

/// Rows from one skip to the next.
const SKIPPED: usize = 128;
/// Postings with fewer rows have no skips.
const SKIPS_FROM: usize = 2 * SKIPPED;

pub(super) fn write_varint(out: &mut Writer, mut value: u64) {
    while value >= 0x80 {
        out.u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.u8(value as u8);
}

/// Reads a varint of at most 64 bits.
#[inline]
pub(super) fn read_varint(reader: &mut Reader<'_>) -> Decoded<u64> {
    let (mut value, mut shift) = (0, 0);
    loop {
        let byte = reader.u8()?;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
        shift += 7;
        if shift > 63 {
            return Err(reader.malformed("a number of a field index has too many bytes"));
        }
    }
}

/// Appends the postings of `rows`, which rise. There is at least one.
pub(super) fn encode(out: &mut Writer, rows: &[RowId]) {
    let (Some(&first), Some(&last)) = (rows.first(), rows.last()) else { return };
    let span = (last - first) as usize + 1;
    if span == rows.len() {
        out.u8(RUN);
        write_varint(out, u64::from(first.0));
    } else if span / 8 < rows.len() {
        out.u8(BITS);
        write_varint(out, u64::from(first.0));
        let mut words = vec![0_u64; span.div_ceil(64)];
        for &row in rows {
            let at = (row - first) as usize;
            words[at / 64] |= 1 << (at % 64);
        }
        words.iter().for_each(|&word| out.u64(word));
    } else if rows.len() < SKIPS_FROM {
        out.u8(DELTAS);
        write_varint(out, u64::from(first.0));
        encode_deltas(out, rows);
    } else {
        out.u8(SKIPS);
        let (mut skips, mut deltas) = (Writer::new(), Writer::new());
        for block in rows.chunks(SKIPPED) {
            if block[0] != first {
                skips.u32(block[0].0);
                skips.u32(deltas.len() as u32);
            }
            encode_deltas(&mut deltas, block);
        }
        write_varint(out, (skips.len() / 8) as u64);
        out.bytes(skips.as_slice());
        write_varint(out, u64::from(first.0));
        out.bytes(deltas.as_slice());
    }
}

fn encode_deltas(out: &mut Writer, rows: &[RowId]) {
    for pair in rows.windows(2) {
        write_varint(out, u64::from(pair[1] - pair[0]));
    }
}

/// Adds those of the rows in `bytes` that lie in `interval` to `into`. `count` is the number of rows.
pub(super) fn decode(bytes: &[u8], count: u32, interval: &Range<RowId>, into: &mut RowSetBuilder) -> Decoded<()> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        RUN => {
            let first = read_row(&mut reader)?;
            let Some(end) = first.0.checked_add(count) else {
                return Err(reader.malformed("a run of rows ends after the last row"));
            };
            into.add_range(first..RowId(end));
            Ok(())
        }
        DELTAS => {
            let first = read_row(&mut reader)?;
            decode_deltas(&mut reader, first, count, interval, into)
        }
        SKIPS => decode_skips(&mut reader, count, interval, into),
        BITS => decode_bits(&mut reader, interval, into),
        _ => Err(reader.malformed("postings have a form that does not exist")),
    }
}

fn read_row(reader: &mut Reader<'_>) -> Decoded<RowId> {
    let row = read_varint(reader)?;
    u32::try_from(row).map(RowId).map_err(|_| reader.malformed("the number of a row has more than 32 bits"))
}

/// Reads `count` rows, the first of which is known, up to the end of the interval.
fn decode_deltas(
    reader: &mut Reader<'_>,
    first: RowId,
    count: u32,
    interval: &Range<RowId>,
    into: &mut RowSetBuilder,
) -> Decoded<()> {
    let mut row = first;
    for left in (0..count).rev() {
        if row >= interval.end {
            return Ok(());
        }
        into.add(row);
        if left > 0 {
            let delta = read_row(reader)?;
            row = match row.0.checked_add(delta.0) {
                Some(next) if delta.0 > 0 => RowId(next),
                _ => return Err(reader.malformed("the rows of postings do not rise")),
            };
        }
    }
    Ok(())
}

fn decode_skips(reader: &mut Reader<'_>, count: u32, interval: &Range<RowId>, into: &mut RowSetBuilder) -> Decoded<()> {
    let blocks = read_varint(reader)?;
    if blocks != u64::from(count.saturating_sub(1)) / SKIPPED as u64 {
        return Err(reader.malformed("postings have another number of skips than their rows need"));
    }
    let skips = reader.bytes(8 * blocks as usize)?;
    let (skips, _) = skips.as_chunks::<8>();
    let read = |skip: &[u8; 8]| {
        let [row, at] =
            [0, 4].map(|from| u32::from_le_bytes([skip[from], skip[from + 1], skip[from + 2], skip[from + 3]]));
        (RowId(row), at as usize)
    };
    let first = read_row(reader)?;
    let deltas = reader.bytes(reader.remaining())?;
    // The last block that begins at or before the interval, and those up to its end.
    let begin = skips.partition_point(|skip| read(skip).0 <= interval.start);
    for block in begin..=skips.len() {
        let (row, at) = block.checked_sub(1).map_or((first, 0), |skip| read(&skips[skip]));
        if row >= interval.end {
            break;
        }
        let rows = (count as usize - block * SKIPPED).min(SKIPPED);
        let mut reader = Reader::new(deltas.get(at..).unwrap_or_default());
        decode_deltas(&mut reader, row, rows as u32, interval, into)?;
    }
    Ok(())
}

fn decode_bits(reader: &mut Reader<'_>, interval: &Range<RowId>, into: &mut RowSetBuilder) -> Decoded<()> {
    let first = read_row(reader)?;
    let (words, _) = reader.bytes(reader.remaining())?.as_chunks::<8>();
    if u64::from(first.0) + 64 * words.len() as u64 > u64::from(u32::MAX) + 64 {
        return Err(reader.malformed("the bits of postings stand for rows after the last one"));
    }
    let index = |row: RowId| row.0.saturating_sub(first.0) as usize / 64;
    let (from, to) = (index(interval.start), index(interval.end) + 1);
    for (at, word) in words.iter().enumerate().take(to.min(words.len())).skip(from) {
        into.add_word(RowId(first.0.saturating_add(64 * at as u32)), u64::from_le_bytes(*word));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Id;
    use crate::random::Random;

    fn decoded(bytes: &[u8], count: u32, interval: Range<u32>) -> Decoded<Vec<u32>> {
        let interval = RowId::range(interval);
        let mut builder = RowSetBuilder::new(interval.clone());
        decode(bytes, count, &interval, &mut builder)?;
        Ok(builder.finish().rows().map(|row| row.0).collect())
    }

    #[test]
    fn postings_give_back_the_rows_of_every_interval() {
        let mut random = Random::new(5);
        for round in 0..300 {
            let share = [1, 3, 20, 100, 300, 700, 1_000][round % 7];
            let (first, span) = (random.below(5_000) as u32, 1 + random.below(30_000) as u32);
            let rows: Vec<u32> = (first..first + span).filter(|_| random.below(1_000) < share).collect();
            if rows.is_empty() {
                continue;
            }
            let ids: Vec<RowId> = rows.iter().map(|&row| RowId(row)).collect();
            let mut out = Writer::new();
            encode(&mut out, &ids);
            let bytes = out.into_vec();
            assert!(bytes.len() <= rows.len() * 3 + 16, "{} bytes for {} rows", bytes.len(), rows.len());
            for _ in 0..20 {
                let start = random.below(40_000) as u32;
                let length = *random.pick(&[100, 40_000]);
                let end = start + random.below(length) as u32;
                let expected: Vec<u32> = rows.iter().copied().filter(|row| (start..end).contains(row)).collect();
                assert_eq!(decoded(&bytes, rows.len() as u32, start..end).unwrap(), expected, "round {round}");
            }
        }
    }

    #[test]
    fn no_bytes_make_it_fail_otherwise_than_by_an_error() {
        let mut random = Random::new(6);
        let ids: Vec<RowId> = (0..1_000).map(|row| RowId(row * 37)).collect();
        let mut out = Writer::new();
        encode(&mut out, &ids);
        let bytes = out.into_vec();
        for _ in 0..5_000 {
            let mut changed = bytes.clone();
            let at = random.below(changed.len());
            changed[at] = random.below(256_u64) as u8;
            changed.truncate(1 + random.below(changed.len()));
            let count = random.below(u64::from(u32::MAX)) as u32 >> random.below(32_u64);
            let _ = decoded(&changed, count, 100..20_000);
        }
    }
}
