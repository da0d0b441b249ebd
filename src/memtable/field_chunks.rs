//! The field indexes of a memtable: each of some rows ([`CHUNK_ROWS`]), made by searches with a filter that need it.
//!
//! A put costs nothing for it. A search with a filter makes at most one index, of rows that have none yet; the values
//! of the last rows are asked. The background makes none: without such searches there is no use for one.
//!
//! Invariants:
//! * The value of a row never changes, so an index never gets old. Its rows have the numbers that they have in the
//!   memtable.
//! * An index changes how long a search takes, and nothing else. It is built by the field rules of that moment, and
//!   stays as it is when they change.
//! * The indexes take about as much memory as those of a segment of the same rows, and their kept answers at most
//!   twice as many bytes as the answers of one.

use std::ops::Range;
use std::sync::Arc;

use crate::error::Result;
use crate::field_index::{FieldIndex, FieldIndexBuilder, Passing, PassingCache, PreparedRules, select};
use crate::filter::PreparedFilter;
use crate::ids::{Id, IdRange, RowId};
use crate::row_set::{RowSet, RowSetBuilder};
use crate::sync::{AtomicBool, Mutex, Ordering};

/// Rows of one index: of many where so many have come, of few for the rows after these, until they are many.
const CHUNK_ROWS: [u32; 4] = [1_024, 256, 64, 32];
/// Fewer rows are filtered by their values.
const INDEXED_ROWS_MIN: usize = 128;
/// So many rows cost as much by their values as it costs to ask one index.
const ROWS_PER_CHUNK: usize = 16;
/// The answer of the index of fewer rows is quicker asked than kept.
const KEPT_ROWS_MIN: usize = 1_024;
/// Longer values are asked: to read one for an index would hold the search up.
const VALUE_BYTES_MAX: usize = 64 << 10;
/// Once an index has read so many bytes of values, the others of its rows are asked too.
const CHUNK_BYTES_MAX: usize = 1 << 20;

/// The indexes of a memtable, one after the other from its first row on.
#[derive(Default)]
pub(crate) struct FieldChunks {
    chunks: Mutex<Vec<Arc<FieldChunk>>>,
    /// What all of them say together.
    answers: PassingCache,
    /// Whether a search makes the next one.
    is_growing: AtomicBool,
}

struct FieldChunk {
    bytes: Vec<u8>,
    rows: Range<RowId>,
    answers: PassingCache,
}

impl FieldChunk {
    fn new<'m>(rows: Range<RowId>, rules: Arc<PreparedRules>, value: impl Fn(RowId) -> &'m [u8]) -> Self {
        let (mut builder, mut left) = (FieldIndexBuilder::from_row(rules, rows.start), CHUNK_BYTES_MAX);
        for value in rows.clone().ids().map(value) {
            let is_read = value.len() <= VALUE_BYTES_MAX.min(left);
            left -= if is_read { value.len() } else { 0 };
            builder.push(is_read.then_some(value));
        }
        Self { bytes: builder.finish(), rows, answers: PassingCache::default() }
    }

    /// What the index says of the filter.
    fn passing(&self, filter: &PreparedFilter) -> Result<Arc<Passing>> {
        let select = || -> Result<_> {
            let index = FieldIndex::open(&self.bytes, self.rows.end.0)?;
            select(filter.expression(), &index, &self.rows).map(Arc::new)
        };
        if self.rows.len() < KEPT_ROWS_MIN {
            select()
        } else {
            self.answers.get_or_keep(filter, &self.rows, self.rows.len() as u32, select)
        }
    }
}

/// What all indexes together say of the filter for their rows. Of rows without an index nothing is known, and so of
/// those whose index cannot be read.
fn passing_of_all(chunks: &[Arc<FieldChunk>], filter: &PreparedFilter, rows: &Range<RowId>) -> Passing {
    let (mut certain, mut possible) = (RowSetBuilder::new(rows.clone()), RowSetBuilder::new(rows.clone()));
    for chunk in chunks {
        match chunk.passing(filter) {
            Ok(passing) => {
                add(&passing.certain, &mut certain);
                add(&passing.possible, &mut possible);
            }
            Err(_) => possible.add_range(chunk.rows.clone()),
        }
    }
    Passing::between(certain.finish(), possible.finish())
}

/// Adds a set of rows of a part of the interval.
fn add(set: &RowSet, to: &mut RowSetBuilder) {
    match set.words() {
        Some(words) => {
            let first = (0..).step_by(64).map(|bit| set.interval().start + bit);
            first.zip(words).for_each(|(first, &word)| to.add_word(first, word));
        }
        None if set.is_all() => to.add_range(set.interval()),
        None => set.rows().for_each(|row| to.add(row)),
    }
}

/// The rows of the next index of a memtable with `count` rows, if it needs one: those of the indexes that it replaces,
/// and rows that have none.
fn next_rows(chunks: &[Arc<FieldChunk>], count: usize) -> Option<Range<RowId>> {
    CHUNK_ROWS.into_iter().find_map(|rows| {
        // The larger indexes come first.
        let larger = chunks.iter().take_while(|chunk| chunk.rows.len() >= rows as usize);
        let start = larger.last().map_or(RowId(0), |chunk| chunk.rows.end);
        let end = start.0.checked_add(rows)?;
        (end as usize <= count).then_some(start..RowId(end))
    })
}

impl FieldChunks {
    /// What the indexes say of `filter` for `rows`. `None` if they exclude no row. The memtable has `count` rows, whose
    /// values are those that `value` gives; a new index is built by the `rules`.
    pub fn passing<'m>(
        &self,
        filter: &PreparedFilter,
        rows: &[RowId],
        count: usize,
        value: impl Fn(RowId) -> &'m [u8],
        rules: impl Fn() -> Arc<PreparedRules>,
    ) -> Option<Arc<Passing>> {
        if filter.constant().is_some() || rows.len() < INDEXED_ROWS_MIN {
            return None;
        }
        if rows.len() < ROWS_PER_CHUNK.saturating_mul(self.chunks.lock().len()) {
            return None;
        }
        // As plain numbers, of which several are compared at once.
        let last = RowId(rows.iter().map(|row| row.0).fold(0, u32::max));
        let chunks = self.grown(count, value, rules);
        let interval = RowId(0)..last.saturating_next();
        let indexed = RowId(0)..chunks.last().map_or(RowId(0), |chunk| chunk.rows.end);
        let of_all = || Ok(Arc::new(passing_of_all(&chunks, filter, &indexed)));
        let passing = self.answers.get_or_keep(filter, &indexed, indexed.end.0, of_all).ok()?;
        let (mut certain, mut possible) = (RowSetBuilder::new(interval.clone()), RowSetBuilder::new(interval.clone()));
        add(&passing.certain, &mut certain);
        add(&passing.possible, &mut possible);
        possible.add_range(indexed.end..interval.end);
        let (mut certain, mut possible) = (certain.finish(), possible.finish());
        if rows.len() < interval.len() {
            let mut asked = RowSetBuilder::new(interval);
            rows.iter().for_each(|&row| asked.add(row));
            let asked: RowSet = asked.finish();
            (certain, possible) = (certain.and(&asked), possible.and(&asked));
        }
        let excludes = possible.len() < rows.len() || certain.len() == possible.len();
        excludes.then(|| Arc::new(Passing::between(certain, possible)))
    }

    /// The indexes, after making the next one if there is one to make.
    fn grown<'m>(
        &self,
        count: usize,
        value: impl Fn(RowId) -> &'m [u8],
        rules: impl Fn() -> Arc<PreparedRules>,
    ) -> Vec<Arc<FieldChunk>> {
        let chunks = self.chunks.lock().clone();
        // Another search that makes it is not waited for.
        if next_rows(&chunks, count).is_none() || self.is_growing.swap(true, Ordering::Acquire) {
            return chunks;
        }
        let _growing = Growing(&self.is_growing);
        // That search may have made it just now.
        let mut chunks = self.chunks.lock().clone();
        if let Some(rows) = next_rows(&chunks, count) {
            chunks.retain(|chunk| chunk.rows.start < rows.start);
            chunks.push(Arc::new(FieldChunk::new(rows, rules(), value)));
            self.chunks.lock().clone_from(&chunks);
        }
        chunks
    }
}

/// A search that makes an index; others make none meanwhile.
struct Growing<'a>(&'a AtomicBool);

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use crate::random::Random;

    #[test]
    fn indexes_cover_what_there_is_of_rows_and_never_contradict_the_values() {
        let mut random = Random::new(61);
        let (chunks, mut values) = (FieldChunks::default(), Vec::<String>::new());
        for round in 0..400 {
            for _ in 0..random.below(40) {
                let large = if random.below(300) == 0 { "x".repeat(VALUE_BYTES_MAX) } else { String::new() };
                values.push(format!(r#"{{"n": {}, "large": "{large}"}}"#, random.below(5)));
            }
            let filter = Filter::eq("n", random.below(6_i64)).prepare().unwrap();
            let share = 1 + random.below(3);
            let rows: Vec<RowId> = (0..values.len() as u32).filter(|_| random.below(share) == 0).map(RowId).collect();
            let value = |row: RowId| values[row.index()].as_bytes();
            let Some(passing) = chunks.passing(&filter, &rows, values.len(), value, Arc::default) else { continue };
            for row in (0..values.len() as u32).map(RowId) {
                let expected = filter.matches(value(row)) && rows.contains(&row);
                let (certain, possible) = (passing.certain.contains(row), passing.possible.contains(row));
                assert!(certain <= expected && expected <= possible, "round {round}, row {row}");
            }
        }
        let all: Vec<RowId> = (0..values.len() as u32).map(RowId).collect();
        for _ in 0..100 {
            let filter = Filter::eq("n", 3).prepare().unwrap();
            chunks.passing(&filter, &all, values.len(), |row| values[row.index()].as_bytes(), Arc::default);
        }
        let sizes: Vec<u32> = chunks.chunks.lock().iter().map(|chunk| chunk.rows.len() as u32).collect();
        let mut left = values.len();
        let expected = CHUNK_ROWS.iter().flat_map(|&rows| {
            let chunks = left / rows as usize;
            left %= rows as usize;
            vec![rows; chunks]
        });
        assert_eq!(sizes, expected.collect::<Vec<_>>());
        assert!(sizes.len() > 4 && left < 32, "{} rows", values.len());
    }
}
