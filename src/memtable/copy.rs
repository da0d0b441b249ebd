//! Copies of a memtable, one for each of several intervals, for the split of a shard.
//!
//! Most rows are copied while writers go on. Under the lock that writes take, the copies are completed: with the rows
//! that were written since, and with the deletes and touches of the others.
//!
//! Invariants:
//! * Completed copies have the rows of their intervals that are alive, with their LSNs, expiries and touches.
//! * Rows that were deleted before the copying began are left out: the read views that show them keep the memtable that
//!   was copied. No read view had the copies before, so a row that was deleted meanwhile is deleted in them too.

use std::sync::Arc;

use super::Memtable;
use crate::error::Result;
use crate::ids::{Id, IdRange, RowId};
use crate::record::Lsn;
use crate::sync::Ordering;
use crate::types::Interval;

/// Copies of a memtable that lack what was written since.
pub(crate) struct MemtableCopies {
    source: Arc<Memtable>,
    /// The rows that were alive at this LSN are copied.
    base: Lsn,
    /// The number of rows that were looked at.
    seen: usize,
    copies: Vec<(Interval, Memtable)>,
    /// For each row that was looked at, the copy that has it and its number there.
    places: Vec<Option<(usize, RowId)>>,
}

impl MemtableCopies {
    /// Copies the rows that are alive at `base`, the `read_lsn` of a published read view, in these intervals.
    pub fn begin(source: &Arc<Memtable>, intervals: &[Interval], base: Lsn) -> Result<Self> {
        let copies = intervals.iter().map(|interval| (interval.clone(), Memtable::new(source.space))).collect();
        let mut copying = Self { source: Arc::clone(source), base, seen: 0, copies, places: Vec::new() };
        copying.copy_up_to(base)?;
        Ok(copying)
    }

    /// Whether these are copies of that memtable.
    pub fn are_of(&self, memtable: &Arc<Memtable>) -> bool {
        Arc::ptr_eq(&self.source, memtable)
    }

    /// The copies with everything up to `read_lsn`, one for each interval. The caller holds the apply lock.
    pub fn complete(mut self, read_lsn: Lsn) -> Result<Vec<Memtable>> {
        for (row, deleted_lsn) in self.source.deletions_after(self.base) {
            if let Some((copy, row)) = self.place(row) {
                copy.delete(row, deleted_lsn);
            }
        }
        for (row, expires_at, lsn) in self.source.touches_after(self.base) {
            if let Some((copy, row)) = self.place(row) {
                copy.touch(row, expires_at, lsn);
            }
        }
        self.copy_up_to(read_lsn)?;
        Ok(self.copies.into_iter().map(|(_, copy)| copy).collect())
    }

    /// Copies the next rows, those that are alive at `read_lsn`.
    fn copy_up_to(&mut self, read_lsn: Lsn) -> Result<()> {
        for row in RowId::range(self.seen as u32..self.source.len() as u32).ids().map(|row| self.source.row(row)) {
            if row.lsn > read_lsn {
                break;
            }
            let namespace = row.record.namespace.encoded();
            let inside = self.copies.iter().position(|(interval, _)| interval.contains(namespace));
            let place = match inside.filter(|_| row.is_visible(read_lsn)) {
                Some(index) => {
                    let copy = &self.copies[index].1;
                    let copied = copy.append(Arc::clone(&row.record), row.lsn)?;
                    // A writer may be touching the row. Its LSN is read before its expiry, so that an expiry that is
                    // too old has an older LSN too, and `complete` brings the newer touch.
                    let touched = row.touch_lsn.load(Ordering::Relaxed);
                    if touched <= read_lsn {
                        copy.touch(copied, row.expires_at(), touched);
                    }
                    Some((index, copied))
                }
                None => None,
            };
            self.places.push(place);
            self.seen += 1;
        }
        Ok(())
    }

    /// The copy of a row; `None` if it was not copied.
    fn place(&self, row: RowId) -> Option<(&Memtable, RowId)> {
        let (index, copied) = (*self.places.get(row.index())?)?;
        Some((&self.copies[index].1, copied))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extensions::Extensions;
    use crate::random::Random;
    use crate::record::{ItemContent, Record, SpaceId};
    use crate::types::{NEVER, Namespace};

    fn record(home: &Namespace, key: u64) -> Arc<Record> {
        let content = ItemContent {
            namespace: home.clone(),
            key: key.to_string().into(),
            value: "{}".into(),
            ttl: 0,
            index_paths: Vec::new(),
            vectors: Vec::new(),
            text_hashes: Vec::new(),
            space: SpaceId::default(),
            extensions: Extensions::default(),
        };
        Arc::new(Record { content: Arc::new(content), created_at: 1, updated_at: 1, expires_at: NEVER, flags: 0 })
    }

    /// One operation of a writer, as `Shard::apply` does it.
    fn write(memtable: &Memtable, homes: &[Namespace], lsn: Lsn, random: &mut Random) {
        let (home, key) = (&homes[random.below(homes.len())], random.below(9_u64));
        let newest = memtable.newest(home.encoded(), &key.to_string());
        match random.below(6) {
            0 => drop(newest.map(|row| memtable.delete(row, lsn))),
            1 => drop(newest.map(|row| memtable.touch(row, lsn.get() as i64, lsn))),
            2 => drop(memtable.delete_range(&Interval { low: home.encoded().to_vec(), high: vec![0xFF] }, lsn)),
            _ => {
                newest.map(|row| memtable.delete(row, lsn));
                memtable.append(record(home, key), lsn).unwrap();
            }
        }
    }

    #[test]
    fn copies_that_are_completed_later_hold_what_the_memtable_holds_then() {
        let homes = ["a", "b", "m", "z"].map(|label| Namespace::new([label]).unwrap());
        let cut = homes[2].encoded().to_vec();
        let end = Interval::everything().high;
        let intervals = [Interval { low: Vec::new(), high: cut.clone() }, Interval { low: cut, high: end }];
        for seed in 0..200 {
            let (memtable, mut random) = (Arc::new(Memtable::new(None)), Random::new(seed));
            let (before, since) = (random.below(60_u64), random.below(40_u64));
            (1..=before).for_each(|lsn| write(&memtable, &homes, Lsn::new(lsn), &mut random));
            // Some operations are applied already and not published yet.
            let published = Lsn::new(before - random.below(before.clamp(1, 5)).min(before));
            let copies = MemtableCopies::begin(&memtable, &intervals, published).unwrap();
            // What may still be changing is left to the completion.
            let touches = copies.copies.iter().flat_map(|(_, copy)| {
                copy.all_rows().ids().map(|row| copy.row(row).touch_lsn.load(Ordering::Relaxed)).collect::<Vec<_>>()
            });
            assert!(touches.into_iter().all(|lsn| lsn <= published), "seed {seed}");
            (before + 1..=before + since).for_each(|lsn| write(&memtable, &homes, Lsn::new(lsn), &mut random));
            let read_lsn = Lsn::new(before + since);
            let completed = copies.complete(read_lsn).unwrap();
            let shown = |memtable: &Memtable, interval: &Interval| -> Vec<(Vec<u8>, String, Lsn, i64)> {
                let rows = memtable.ordered_rows(interval, read_lsn).into_iter().map(|row| memtable.row(row));
                let of = |row: &super::super::MemtableRow| {
                    (row.record.namespace.encoded().to_vec(), row.record.key.to_string(), row.lsn, row.expires_at())
                };
                rows.map(of).collect()
            };
            for (copy, interval) in completed.iter().zip(&intervals) {
                assert_eq!(shown(copy, interval), shown(&memtable, interval), "seed {seed}");
                let all = Interval::everything();
                assert_eq!(shown(copy, &all), shown(copy, interval), "seed {seed}: nothing of the other side");
            }
        }
    }

    #[test]
    fn a_touch_that_is_half_written_while_its_row_is_copied_is_not_lost() {
        let home = Namespace::new(["a"]).unwrap();
        let (memtable, newest) = (Arc::new(Memtable::new(None)), Lsn::new(2));
        let row = memtable.append(record(&home, 1), Lsn::new(1)).unwrap();
        // The copying has seen the LSN of the touch, and its expiry only later.
        memtable.row(row).touch_lsn.store(newest, Ordering::Relaxed);
        let copies = MemtableCopies::begin(&memtable, &[Interval::everything()], Lsn::new(1)).unwrap();
        memtable.row(row).expires_at.store(77, Ordering::Relaxed);
        let completed = copies.complete(newest).unwrap();
        assert_eq!(completed[0].row(RowId(0)).expires_at(), 77);
    }
}
