//! Sets of rows of one interval: what a filter lets through.
//!
//! Invariants:
//! * A set holds rows of its interval only. Two sets are combined only if they have the same interval.
//! * A set with few rows is a sorted list, any other set is one bit a row: the memory of a set is at most an eighth of
//!   a byte for each row of the interval, and at most four bytes for each row in it while these are few.
//! * Everything and nothing cost no memory, whatever the interval.

use std::ops::Range;

use crate::ids::{IdRange, RowId};

/// A list is used for at most one row of so many: from there on the bits are shorter.
const ROWS_PER_LISTED: usize = 32;

/// A set of rows of an interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowSet {
    interval: Range<RowId>,
    len: usize,
    form: Form,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    All,
    /// The rows, rising.
    List(Vec<RowId>),
    /// Bit i of word w stands for row `64 * w + i` of the interval. Bits past the interval are 0.
    Bits(Vec<u64>),
}

impl RowSet {
    pub fn none(interval: Range<RowId>) -> Self {
        Self { interval, len: 0, form: Form::List(Vec::new()) }
    }

    pub fn all(interval: Range<RowId>) -> Self {
        Self { len: interval.len(), interval, form: Form::All }
    }

    pub fn interval(&self) -> Range<RowId> {
        self.interval.clone()
    }

    /// The number of rows in the set.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the set holds every row of the interval.
    pub fn is_all(&self) -> bool {
        self.len == self.interval.len()
    }

    /// The bits of the set, if it has some: bit i of word w stands for row `64 * w + i` of the interval.
    pub fn words(&self) -> Option<&[u64]> {
        if let Form::Bits(words) = &self.form { Some(words) } else { None }
    }

    /// Bytes of memory beside the struct.
    pub fn bytes(&self) -> usize {
        match &self.form {
            Form::All => 0,
            Form::List(rows) => 4 * rows.capacity(),
            Form::Bits(words) => 8 * words.capacity(),
        }
    }

    /// Whether the set holds `row`, which may lie outside of the interval.
    #[inline]
    pub fn contains(&self, row: RowId) -> bool {
        if row < self.interval.start || row >= self.interval.end {
            return false;
        }
        match &self.form {
            Form::All => true,
            Form::List(rows) => rows.binary_search(&row).is_ok(),
            Form::Bits(words) => {
                let at = row - self.interval.start;
                words.get(at as usize / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
            }
        }
    }

    /// The rows of both sets.
    #[must_use]
    pub fn and(self, other: &Self) -> Self {
        debug_assert_eq!(self.interval, other.interval);
        match (self.form, &other.form) {
            (Form::All, _) => other.clone(),
            (form, Form::All) => Self { form, ..self },
            (Form::Bits(mut words), Form::Bits(others)) => {
                words.iter_mut().zip(others).for_each(|(word, other)| *word &= other);
                Self::of_words(self.interval, words)
            }
            (Form::Bits(_), Form::List(rows)) if rows.is_empty() => other.clone(),
            (Form::Bits(words), Form::List(rows)) => {
                let this = Self { form: Form::Bits(words), ..self };
                let kept = rows.iter().copied().filter(|&row| this.contains(row)).collect();
                Self::of_list(this.interval, kept)
            }
            (Form::List(mut rows), _) => {
                rows.retain(|&row| other.contains(row));
                Self::of_list(self.interval, rows)
            }
        }
    }

    /// The rows of at least one of the sets.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        debug_assert_eq!(self.interval, other.interval);
        if self.is_all() || other.is_empty() {
            return self;
        }
        if other.is_all() || self.is_empty() {
            return other.clone();
        }
        let mut builder = RowSetBuilder::new(self.interval.clone());
        builder.add_set(&self);
        builder.add_set(other);
        builder.finish()
    }

    /// The rows of the interval that are not in the set.
    #[must_use]
    pub fn complement(self) -> Self {
        if self.is_empty() {
            return Self::all(self.interval);
        }
        if self.is_all() {
            return Self::none(self.interval);
        }
        let mut words = self.into_words();
        words.1.iter_mut().for_each(|word| *word = !*word);
        clear_past_end(&mut words.1, words.0.len());
        Self::of_words(words.0, words.1)
    }

    /// The rows, rising.
    pub fn rows(&self) -> Rising<'_> {
        match &self.form {
            Form::All => Rising::Range(self.interval.numbers()),
            Form::List(rows) => Rising::List(rows.iter()),
            Form::Bits(words) => {
                Rising::Bits { words, at: 0, word: words.first().copied().unwrap_or(0), start: self.interval.start }
            }
        }
    }

    /// The rows of the set in `range`, rising.
    pub fn rows_in(&self, range: &Range<RowId>) -> impl Iterator<Item = RowId> {
        let (start, end) = (range.start.max(self.interval.start), range.end.min(self.interval.end).max(range.start));
        let from = match &self.form {
            Form::All => Rising::Range(start.0.min(end.0)..end.0),
            Form::List(rows) => Rising::List(rows[rows.partition_point(|&row| row < start)..].iter()),
            Form::Bits(words) => {
                let at = (start.0.saturating_sub(self.interval.start.0)) as usize;
                let word = words.get(at / 64).map_or(0, |word| word & u64::MAX << (at % 64));
                Rising::Bits { words, at: at / 64, word, start: self.interval.start }
            }
        };
        from.take_while(move |&row| row < end)
    }

    /// Appends the rows of the set that are among `rows`, rising. Of a small set each row is looked up in `rows`, if
    /// these rise; else each of `rows` is looked up in the set.
    pub fn append_among(&self, rows: &[RowId], to: &mut Vec<RowId>) {
        if self.len * ROWS_PER_LISTED < rows.len() && rows.is_sorted() {
            to.extend(self.rows().filter(|row| rows.binary_search(row).is_ok()));
        } else {
            let start = to.len();
            to.extend(rows.iter().copied().filter(|&row| self.contains(row)));
            to[start..].sort_unstable();
        }
    }

    fn into_words(self) -> (Range<RowId>, Vec<u64>) {
        let mut builder = RowSetBuilder::new(self.interval.clone());
        builder.use_bits();
        builder.add_set(&self);
        (self.interval, builder.words)
    }

    fn of_words(interval: Range<RowId>, words: Vec<u64>) -> Self {
        let len = words.iter().map(|word| word.count_ones() as usize).sum();
        let set = Self { interval, len, form: Form::Bits(words) };
        if len * ROWS_PER_LISTED > set.interval.len() {
            return set;
        }
        let rows = set.rows().collect();
        Self::of_list(set.interval, rows)
    }

    fn of_list(interval: Range<RowId>, rows: Vec<RowId>) -> Self {
        let len = rows.len();
        let form = if len == interval.len() { Form::All } else { Form::List(rows) };
        Self { interval, len, form }
    }
}

/// The rows of a set, rising.
#[derive(Clone, Debug)]
pub(crate) enum Rising<'a> {
    Range(Range<u32>),
    List(std::slice::Iter<'a, RowId>),
    Bits {
        words: &'a [u64],
        /// The index of the current word.
        at: usize,
        /// What is left of the current word.
        word: u64,
        start: RowId,
    },
}

impl Iterator for Rising<'_> {
    type Item = RowId;

    #[inline]
    fn next(&mut self) -> Option<RowId> {
        match self {
            Self::Range(numbers) => numbers.next().map(RowId),
            Self::List(rows) => rows.next().copied(),
            Self::Bits { words, at, word, start } => {
                while *word == 0 {
                    *at += 1;
                    *word = *words.get(*at)?;
                }
                let bit = word.trailing_zeros();
                *word &= *word - 1;
                Some(*start + (64 * *at as u32 + bit))
            }
        }
    }
}

/// Collects rows, in any order and as often as they come, into a set.
#[derive(Clone, Debug)]
pub(crate) struct RowSetBuilder {
    interval: Range<RowId>,
    /// The rows so far, in the order of their arrival, until there are too many for a list.
    listed: Vec<RowId>,
    is_sorted: bool,
    /// The bits, once they are used.
    words: Vec<u64>,
}

impl RowSetBuilder {
    pub fn new(interval: Range<RowId>) -> Self {
        Self { interval, listed: Vec::new(), is_sorted: true, words: Vec::new() }
    }

    /// Adds `row`, if it lies in the interval.
    #[inline]
    pub fn add(&mut self, row: RowId) {
        if row < self.interval.start || row >= self.interval.end {
            return;
        }
        if self.words.is_empty() {
            self.is_sorted &= self.listed.last().is_none_or(|&last| last < row);
            self.listed.push(row);
            if self.listed.len() * ROWS_PER_LISTED > self.interval.len() {
                self.use_bits();
            }
        } else {
            self.set(row);
        }
    }

    /// Adds the rows of `range` that lie in the interval.
    pub fn add_range(&mut self, range: Range<RowId>) {
        let (start, end) = (range.start.max(self.interval.start), range.end.min(self.interval.end));
        if start >= end {
            return;
        }
        if self.words.is_empty()
            && (self.listed.len() + (end - start) as usize) * ROWS_PER_LISTED <= self.interval.len()
        {
            (start..end).ids().for_each(|row| self.add(row));
            return;
        }
        self.use_bits();
        let (first, last) = (start - self.interval.start, end - self.interval.start - 1);
        let (low, high) = (u64::MAX << (first % 64), u64::MAX >> (63 - last % 64));
        let (from, to) = (first as usize / 64, last as usize / 64);
        if from == to {
            self.words[from] |= low & high;
            return;
        }
        self.words[from] |= low;
        self.words[from + 1..to].fill(u64::MAX);
        self.words[to] |= high;
    }

    /// Adds 64 rows from `first` on, each where its bit is set. Rows outside of the interval are left out.
    #[inline]
    pub fn add_word(&mut self, first: RowId, word: u64) {
        let (start, end) = (self.interval.start, self.interval.end);
        if word == 0 || first >= end || first.0.saturating_add(64) <= start.0 {
            return;
        }
        if self.words.is_empty() || first < start || end - first < 64 {
            let mut left = word;
            while left != 0 {
                self.add(RowId(first.0.saturating_add(left.trailing_zeros())));
                left &= left - 1;
            }
            return;
        }
        let at = first - start;
        let (index, shift) = (at as usize / 64, at % 64);
        self.words[index] |= word << shift;
        if shift > 0 && word >> (64 - shift) != 0 {
            self.words[index + 1] |= word >> (64 - shift);
        }
    }

    /// Adds the rows of `set`, which has the same interval.
    pub fn add_set(&mut self, set: &RowSet) {
        match &set.form {
            Form::All => self.add_range(set.interval.clone()),
            Form::List(rows) => rows.iter().for_each(|&row| self.add(row)),
            Form::Bits(others) => {
                self.use_bits();
                self.words.iter_mut().zip(others).for_each(|(word, other)| *word |= other);
            }
        }
    }

    pub fn finish(mut self) -> RowSet {
        if !self.words.is_empty() {
            return RowSet::of_words(self.interval, self.words);
        }
        if !self.is_sorted {
            self.listed.sort_unstable();
            self.listed.dedup();
        }
        RowSet::of_list(self.interval, self.listed)
    }

    /// Goes on with bits. An interval without rows has none.
    fn use_bits(&mut self) {
        if self.words.is_empty() {
            self.words = vec![0; self.interval.len().div_ceil(64)];
            for row in std::mem::take(&mut self.listed) {
                self.set(row);
            }
        }
    }

    #[inline]
    fn set(&mut self, row: RowId) {
        let at = row - self.interval.start;
        self.words[at as usize / 64] |= 1 << (at % 64);
    }
}

/// Clears the bits from `len` on.
fn clear_past_end(words: &mut [u64], len: usize) {
    if let (Some(last), 1..) = (words.last_mut(), len % 64) {
        *last &= u64::MAX >> (64 - len % 64);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ids::Id;
    use crate::random::Random;

    fn set_of(interval: Range<u32>, rows: &BTreeSet<u32>) -> RowSet {
        let mut builder = RowSetBuilder::new(RowId::range(interval));
        rows.iter().rev().for_each(|&row| builder.add(RowId(row)));
        builder.finish()
    }

    #[test]
    fn sets_agree_with_sets_of_numbers() {
        let mut random = Random::new(11);
        for round in 0..400 {
            let start = random.below(100) as u32;
            let interval = start..start + random.below(3_000) as u32;
            let mut draw =
                |share: u64| -> BTreeSet<u32> { interval.clone().filter(|_| random.below(1_000) < share).collect() };
            let (a, b) = (draw([0, 1, 5, 100, 900, 1_000][round % 6]), draw([0, 2, 40, 500, 1_000][round % 5]));
            let (set_a, set_b) = (set_of(interval.clone(), &a), set_of(interval.clone(), &b));
            let all: BTreeSet<u32> = interval.clone().collect();
            for (set, expected) in [
                (set_a.clone(), a.clone()),
                (set_a.clone().and(&set_b), a.intersection(&b).copied().collect()),
                (set_a.clone().or(&set_b), a.union(&b).copied().collect()),
                (set_a.clone().complement(), all.difference(&a).copied().collect()),
            ] {
                assert_eq!(set.len(), expected.len(), "round {round}");
                assert!(set.rows().map(|row| row.0).eq(expected.iter().copied()), "round {round}");
                assert!((0..3_200).all(|row| set.contains(RowId(row)) == expected.contains(&row)), "round {round}");
                let (from, to) = (random.below(3_200) as u32, random.below(3_200) as u32);
                let within = expected.iter().copied().filter(|row| (from..to).contains(row));
                assert!(
                    set.rows_in(&RowId::range(from..to)).map(|row| row.0).eq(within),
                    "round {round}: {from}..{to}"
                );
                let mut among: Vec<RowId> = (0..3_200).filter(|_| random.below(4) > 0).map(RowId).collect();
                let wanted = expected.iter().map(|&row| RowId(row)).filter(|row| among.binary_search(row).is_ok());
                let wanted: Vec<RowId> = std::iter::once(RowId(7)).chain(wanted).collect();
                if round % 2 == 0 {
                    among.reverse();
                }
                let mut found = vec![RowId(7)];
                set.append_among(&among, &mut found);
                assert_eq!(found, wanted, "round {round}");
                assert!(set.bytes() <= 4 * expected.len().max(2) * 2 || set.bytes() <= interval.len() / 8 + 8);
            }
        }
    }

    #[test]
    fn ranges_and_words_are_cut_to_the_interval() {
        let mut random = Random::new(12);
        for round in 0..400 {
            let start = random.below(200) as u32;
            let interval = start..start + 1 + random.below(900) as u32;
            let mut builder = RowSetBuilder::new(RowId::range(interval.clone()));
            let mut expected = BTreeSet::new();
            for _ in 0..random.below(6) {
                let first = random.below(1_200) as u32;
                let rows: Vec<u32> = if random.below(2) == 0 {
                    let range = first..first + random.below(300) as u32;
                    builder.add_range(RowId::range(range.clone()));
                    range.collect()
                } else {
                    let word = random.below(u64::MAX) & random.below(u64::MAX);
                    builder.add_word(RowId(first), word);
                    (0..64).filter(|bit| word >> bit & 1 == 1).map(|bit| first + bit).collect()
                };
                expected.extend(rows.into_iter().filter(|row| interval.contains(row)));
            }
            let set = builder.finish();
            assert!(set.rows().map(|row| row.0).eq(expected), "round {round}: {interval:?}");
        }
    }
}
