//! Tombstones: the rows of a segment that were deleted after it was written, and the expiries that touches changed.
//!
//! Reading order: the columns in memory here, then `file` (the format on disk).
//!
//! Invariants:
//! * There is one writer at a time, the thread that holds the apply lock. Readers take no lock. A reader whose
//!   `read_lsn` comes from a published view sees every deletion at or below it. It may see later deletions, and ignores
//!   them.
//! * A row is deleted at most once: its `deleted_lsn` never changes afterwards.
//! * An unchanged row costs 3/16 byte: 32 bytes for each page of 512 rows in each of three columns. A page is allocated
//!   when one of its rows changes. A range delete of the whole page allocates nothing.

pub(crate) mod file;

use std::ops::Range;
use std::sync::OnceLock;

use crate::ids::{Id, IdRange, RowId};
use crate::record::{ALIVE, Lsn};
use crate::sync::{AtomicU64, Mutex, Ordering};

const PAGE_ROWS: u32 = 512;

/// The value of a row that was not touched. [`Tombstones::touch`] never stores it as an expiry.
const UNTOUCHED: u64 = i64::MIN as u64;

type TombstonePage = Box<[AtomicU64]>;

/// A column with one number for each row. Most rows have the default.
#[derive(Debug)]
pub(crate) struct SparseColumn {
    default: u64,
    rows: u32,
    pages: Box<[OnceLock<TombstonePage>]>,
    /// For each page that is not allocated, the value of all its rows: a range delete writes one number for 512 rows.
    uniform: Box<[AtomicU64]>,
}

impl SparseColumn {
    pub fn new(rows: u32, default: u64) -> Self {
        let pages = rows.div_ceil(PAGE_ROWS);
        Self {
            default,
            rows,
            pages: (0..pages).map(|_| OnceLock::new()).collect(),
            uniform: (0..pages).map(|_| AtomicU64::new(default)).collect(),
        }
    }

    /// The value of `row`; the default where there is no such row.
    #[inline]
    pub fn get(&self, row: RowId) -> u64 {
        let index = (row.0 / PAGE_ROWS) as usize;
        match self.pages.get(index).and_then(OnceLock::get) {
            Some(page) => page[(row.0 % PAGE_ROWS) as usize].load(Ordering::Relaxed),
            None => self.uniform.get(index).map_or(self.default, |value| value.load(Ordering::Relaxed)),
        }
    }

    /// Sets the value of `row`. Does nothing if there is no such row. Writer only.
    pub fn set(&self, row: RowId, value: u64) {
        if row.0 < self.rows {
            self.page((row.0 / PAGE_ROWS) as usize)[(row.0 % PAGE_ROWS) as usize].store(value, Ordering::Relaxed);
        }
    }

    /// The rows of `range` whose value is not the default, in order, with their values.
    pub fn iter(&self, range: Range<RowId>) -> impl Iterator<Item = (RowId, u64)> + '_ {
        self.touched_pages(range.clone())
            .flat_map(move |index| self.page_rows(index, &range).ids())
            .map(|row| (row, self.get(row)))
            .filter(|&(_, value)| value != self.default)
    }

    /// Whether all rows of `range` certainly have the default. May return false where they do: it looks at pages only.
    #[inline]
    pub fn is_untouched(&self, range: Range<RowId>) -> bool {
        self.touched_pages(range).next().is_none()
    }

    fn page(&self, index: usize) -> &TombstonePage {
        self.pages[index].get_or_init(|| {
            let value = self.uniform[index].load(Ordering::Relaxed);
            (0..PAGE_ROWS).map(|_| AtomicU64::new(value)).collect()
        })
    }

    fn page_range(&self, range: &Range<RowId>) -> Range<usize> {
        let end = range.end.0.min(self.rows);
        if range.start.0 >= end {
            return 0..0;
        }
        (range.start.0 / PAGE_ROWS) as usize..end.div_ceil(PAGE_ROWS) as usize
    }

    /// The pages of `range` that may hold other values than the default.
    #[inline]
    fn touched_pages(&self, range: Range<RowId>) -> impl Iterator<Item = usize> + '_ {
        let is_touched = |&index: &usize| {
            self.pages[index].get().is_some() || self.uniform[index].load(Ordering::Relaxed) != self.default
        };
        self.page_range(&range).filter(is_touched)
    }

    /// The rows of `range` in the page `index`, which is one of `page_range(range)`.
    fn page_rows(&self, index: usize, range: &Range<RowId>) -> Range<RowId> {
        let base = index as u32 * PAGE_ROWS;
        let end = range.end.0.min(self.rows).min(base.saturating_add(PAGE_ROWS));
        RowId::range(range.start.0.max(base)..end)
    }
}

/// A touch: the new expiry of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Touch {
    pub row: RowId,
    /// Microseconds since 1970 UTC.
    pub expires_at: i64,
    pub lsn: Lsn,
}

/// The tombstones and touches of one segment's rows.
#[derive(Debug)]
pub(crate) struct Tombstones {
    rows: u32,
    deleted_lsn: SparseColumn,
    dead_rows: AtomicU64,
    /// The new expiry. Readers use this column only, since the writer does not change both columns of a touch at once.
    touched_expiry: SparseColumn,
    touch_lsn: SparseColumn,
    touched_rows: AtomicU64,
    earliest_expiry: Mutex<EarliestExpiry>,
}

/// The earliest expiry of a living row, as far as it is known.
#[derive(Debug)]
struct EarliestExpiry {
    /// No living row expires before this time, in microseconds since 1970 UTC; `i64::MIN` if that is not known.
    at: i64,
    /// Counts the touches, so that a search for the earliest expiry learns of those that came meanwhile.
    touches: u64,
}

impl Tombstones {
    /// Tombstones of a segment of `rows` rows, all alive and untouched.
    pub fn new(rows: u32) -> Self {
        Self {
            rows,
            deleted_lsn: SparseColumn::new(rows, ALIVE.get()),
            dead_rows: AtomicU64::new(0),
            touched_expiry: SparseColumn::new(rows, UNTOUCHED),
            touch_lsn: SparseColumn::new(rows, 0),
            touched_rows: AtomicU64::new(0),
            earliest_expiry: Mutex::new(EarliestExpiry { at: i64::MIN, touches: 0 }),
        }
    }

    fn all_rows(&self) -> Range<RowId> {
        RowId::range(0..self.rows)
    }

    /// Deletes `row` as of `lsn` if it is alive, and returns whether it was. Writer only.
    pub fn delete(&self, row: RowId, lsn: Lsn) -> bool {
        let kills = row.0 < self.rows && self.deleted_lsn(row) == ALIVE;
        if kills {
            self.deleted_lsn.set(row, lsn.get());
            self.dead_rows.fetch_add(1, Ordering::Relaxed);
        }
        kills
    }

    /// Deletes the living rows of `range` that were written before `lsn`, as of `lsn`, and returns their number. Writer
    /// only.
    pub fn delete_range(&self, range: Range<RowId>, lsn: Lsn, row_lsn: impl Fn(RowId) -> Lsn) -> u32 {
        let mut killed = 0;
        for index in self.deleted_lsn.page_range(&range) {
            let rows = self.deleted_lsn.page_rows(index, &range);
            let is_whole = rows.len() == PAGE_ROWS as usize;
            killed += match self.deleted_lsn.pages[index].get() {
                None if self.deleted_lsn.uniform[index].load(Ordering::Relaxed) != ALIVE.get() => 0,
                None if is_whole && rows.ids().all(|row| row_lsn(row) < lsn) => {
                    self.deleted_lsn.uniform[index].store(lsn.get(), Ordering::Relaxed);
                    PAGE_ROWS
                }
                _ => self.kill_rows(index, rows, lsn, &row_lsn),
            };
        }
        self.dead_rows.fetch_add(u64::from(killed), Ordering::Relaxed);
        killed
    }

    fn kill_rows(&self, index: usize, rows: Range<RowId>, lsn: Lsn, row_lsn: &impl Fn(RowId) -> Lsn) -> u32 {
        let mut killed = 0;
        let page = self.deleted_lsn.page(index);
        for row in rows.ids() {
            let slot = &page[(row.0 % PAGE_ROWS) as usize];
            if slot.load(Ordering::Relaxed) == ALIVE.get() && row_lsn(row) < lsn {
                slot.store(lsn.get(), Ordering::Relaxed);
                killed += 1;
            }
        }
        killed
    }

    /// The LSN of the operation that deleted `row`; `ALIVE` if the row is not deleted.
    #[inline]
    pub fn deleted_lsn(&self, row: RowId) -> Lsn {
        Lsn::new(self.deleted_lsn.get(row))
    }

    /// Whether `row` is deleted at `read_lsn`.
    #[inline]
    pub fn is_deleted_at(&self, row: RowId, read_lsn: Lsn) -> bool {
        self.deleted_lsn(row) <= read_lsn
    }

    /// Whether certainly no row of `range` is deleted in any read view.
    #[inline]
    pub fn none_dead_in(&self, range: Range<RowId>) -> bool {
        self.dead_rows.load(Ordering::Relaxed) == 0 || self.deleted_lsn.is_untouched(range)
    }

    /// The first row of `range` that is not deleted at `read_lsn`, or the end of the range. Pages that a range delete
    /// took whole are left out at once.
    pub fn first_not_deleted(&self, range: Range<RowId>, read_lsn: Lsn) -> RowId {
        let end = range.end;
        if self.dead_rows() == 0 {
            return range.start.min(end);
        }
        for index in self.deleted_lsn.page_range(&range) {
            let rows = self.deleted_lsn.page_rows(index, &range);
            let first = match self.deleted_lsn.pages[index].get() {
                None if self.deleted_lsn.uniform[index].load(Ordering::Relaxed) <= read_lsn.get() => None,
                None => Some(rows.start),
                Some(_) => rows.ids().find(|&row| !self.is_deleted_at(row, read_lsn)),
            };
            if let Some(first) = first {
                return first;
            }
        }
        end
    }

    /// The number of deleted rows, whatever their LSNs.
    pub fn dead_rows(&self) -> u64 {
        self.dead_rows.load(Ordering::Relaxed)
    }

    /// The number of rows that were touched.
    pub fn touched_rows(&self) -> u64 {
        self.touched_rows.load(Ordering::Relaxed)
    }

    /// The rows that were deleted at or below `lsn`, in order.
    pub fn died_up_to(&self, lsn: Lsn) -> impl Iterator<Item = RowId> + '_ {
        self.deaths().filter(move |&(_, deleted_lsn)| deleted_lsn <= lsn).map(|(row, _)| row)
    }

    /// The rows that were deleted after `lsn`, in order, each with its `deleted_lsn`.
    pub fn died_after(&self, lsn: Lsn) -> impl Iterator<Item = (RowId, Lsn)> + '_ {
        self.deaths().filter(move |&(_, deleted_lsn)| deleted_lsn > lsn)
    }

    fn deaths(&self) -> impl Iterator<Item = (RowId, Lsn)> + '_ {
        self.deleted_lsn.iter(self.all_rows()).map(|(row, lsn)| (row, Lsn::new(lsn)))
    }

    /// Changes the expiry of `row`, unless a later touch has changed it. Returns whether it did. Writer only.
    pub fn touch(&self, touch: Touch) -> bool {
        let before = self.touch_lsn.get(touch.row);
        let moves = touch.row.0 < self.rows && touch.lsn.get() > before;
        if moves {
            self.touched_expiry.set(touch.row, touch.expires_at.max(i64::MIN + 1) as u64);
            self.touch_lsn.set(touch.row, touch.lsn.get());
            self.touched_rows.fetch_add(u64::from(before == 0), Ordering::Relaxed);
            // After the change of the columns: whoever has read the old expiry notes it before this, or not at all.
            let mut earliest = self.earliest_expiry.lock();
            *earliest = EarliestExpiry { at: earliest.at.min(touch.expires_at), touches: earliest.touches + 1 };
        }
        moves
    }

    /// The time before which certainly no living row expires, and the number of touches so far.
    pub fn earliest_expiry(&self) -> (i64, u64) {
        let earliest = self.earliest_expiry.lock();
        (earliest.at, earliest.touches)
    }

    /// Notes that no living row expires before `at`: a search for that has read all rows. It began after so many
    /// touches. If there were more since, nothing is noted.
    pub fn note_earliest_expiry(&self, at: i64, touches: u64) {
        let mut earliest = self.earliest_expiry.lock();
        if earliest.touches == touches {
            earliest.at = at;
        }
    }

    /// The expiry of `row`: that of its last touch, else `stored`, which the segment has.
    #[inline]
    pub fn expires_at(&self, row: RowId, stored: i64) -> i64 {
        if self.touched_rows.load(Ordering::Relaxed) == 0 {
            return stored;
        }
        match self.touched_expiry.get(row) {
            UNTOUCHED => stored,
            moved => moved as i64,
        }
    }

    /// Whether certainly no row of `range` was touched.
    #[inline]
    pub fn none_touched_in(&self, range: Range<RowId>) -> bool {
        self.touched_rows.load(Ordering::Relaxed) == 0 || self.touched_expiry.is_untouched(range)
    }

    /// The newest touch of each touched row, in row order. Writer only, since a reader may see the two columns differ.
    pub fn touches(&self) -> impl Iterator<Item = Touch> + '_ {
        self.touch_lsn.iter(self.all_rows()).map(|(row, lsn)| Touch {
            row,
            expires_at: self.touched_expiry.get(row) as i64,
            lsn: Lsn::new(lsn),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::BTreeMap;

    #[test]
    fn tombstones_agree_with_a_map() {
        for rows in [0, 1, 511, 512, 513, 3_000] {
            let seed = u64::from(rows) + 7;
            println!("seed {seed}");
            let (tombstones, mut model, mut random) = (Tombstones::new(rows), BTreeMap::new(), Random::new(seed));
            for number in 1..300 {
                let lsn = Lsn::new(number);
                let (a, b) = (random.below(rows + 9), random.below(rows + 9));
                if number % 10 != 1 {
                    let kills = a < rows && !model.contains_key(&a);
                    assert_eq!(tombstones.delete(RowId(a), lsn), kills);
                    if kills {
                        model.insert(a, lsn);
                    }
                } else {
                    let born = |RowId(row): RowId| Lsn::new(u64::from(row % 2 * u32::from(number > 100)) * 150);
                    let range = a.min(b)..a.min(b) + if number % 20 == 1 { 1_100 } else { b / 20 };
                    let due = range.clone().filter(|&row| row < rows && born(RowId(row)) < lsn);
                    let killed = due.filter(|&row| *model.entry(row).or_insert(lsn) == lsn).count();
                    assert_eq!(tombstones.delete_range(RowId::range(range), lsn, born) as usize, killed);
                }
                let (low, high, read_lsn) = (a.min(b), a.max(b), Lsn::new(number / 2));
                let died = (low..high).filter(|&row| tombstones.is_deleted_at(RowId(row), read_lsn)).count();
                assert_eq!(died, model.range(low..high).filter(|&(_, &dead)| dead <= read_lsn).count());
                let alive = |row: &u32| model.get(row).is_none_or(|&dead| dead > read_lsn);
                let inside = low.min(rows)..high.min(rows);
                let first = inside.clone().find(alive).unwrap_or(inside.end);
                assert_eq!(tombstones.first_not_deleted(RowId::range(inside), read_lsn), RowId(first));
                assert!(!(tombstones.none_dead_in(RowId::range(a..a + 1)) && model.contains_key(&a)));
                assert_eq!(
                    tombstones.is_deleted_at(RowId(a), read_lsn),
                    model.get(&a).is_some_and(|&dead| dead <= read_lsn)
                );
            }
            assert_eq!(tombstones.dead_rows() as usize, model.len());
            let half = Lsn::new(150);
            assert!(
                tombstones
                    .died_after(half)
                    .eq(model.iter().map(|(&row, &lsn)| (RowId(row), lsn)).filter(|&(_, lsn)| lsn > half))
            );
            assert!(
                tombstones
                    .died_up_to(half)
                    .eq(model.iter().filter(|&(_, &lsn)| lsn <= half).map(|(&row, _)| RowId(row)))
            );
        }
    }

    #[test]
    fn an_earliest_expiry_is_believed_unless_a_touch_came_meanwhile() {
        let tombstones = Tombstones::new(9);
        let touch = |row, expires_at, lsn| {
            assert!(tombstones.touch(Touch { row: RowId(row), expires_at, lsn: Lsn::new(lsn) }));
        };
        assert_eq!(tombstones.earliest_expiry(), (i64::MIN, 0));
        touch(1, 50, 3);
        let (_, touches) = tombstones.earliest_expiry();
        tombstones.note_earliest_expiry(40, touches);
        assert_eq!(tombstones.earliest_expiry(), (40, 1));
        touch(2, 30, 4);
        assert_eq!(tombstones.earliest_expiry(), (30, 2));
        tombstones.note_earliest_expiry(90, touches);
        assert_eq!(tombstones.earliest_expiry(), (30, 2));
    }

    #[test]
    fn the_newest_touch_counts() {
        let tombstones = Tombstones::new(700);
        assert_eq!(tombstones.expires_at(RowId(600), 5), 5);
        assert!(tombstones.touch(Touch { row: RowId(600), expires_at: 70, lsn: Lsn::new(3) }));
        assert!(!tombstones.touch(Touch { row: RowId(600), expires_at: 60, lsn: Lsn::new(2) }));
        assert!(!tombstones.touch(Touch { row: RowId(700), expires_at: 60, lsn: Lsn::new(9) }));
        assert!(tombstones.touch(Touch { row: RowId(601), expires_at: i64::MIN, lsn: Lsn::new(4) }));
        assert_eq!(
            (tombstones.expires_at(RowId(600), 5), tombstones.expires_at(RowId(602), 5), tombstones.touched_rows()),
            (70, 5, 2)
        );
        assert!(
            tombstones.expires_at(RowId(601), 5) < 0
                && tombstones.none_touched_in(RowId::range(0..512))
                && !tombstones.none_touched_in(RowId::range(0..513))
        );
        assert_eq!(
            tombstones.touches().map(|touch| (touch.row.0, touch.lsn.get())).collect::<Vec<_>>(),
            [(600, 3), (601, 4)]
        );
    }
}
