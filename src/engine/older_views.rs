//! Counts the uses of replaced read views.
//!
//! Invariants:
//! * A read view that is unused when it is replaced is not noted, since no reader can take it afterwards. So a write
//!   pays for a note only if a read overlaps it.
//! * The notes are weak references, so they keep no read view alive.

use std::sync::{Arc, Weak};

use crate::shard::ReadView;
use crate::sync::Mutex;

/// With fewer notes than this, notes of freed read views are not removed.
const NOTES_MIN: usize = 64;

/// The replaced read views that were in use when they were replaced.
#[derive(Default)]
pub(crate) struct OlderViews {
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    views: Vec<Weak<ReadView>>,
    /// The length of `views` at which notes of freed read views are next removed.
    limit: usize,
}

impl OlderViews {
    /// Drops the engine's reference to a read view that has just been replaced. Notes the view if it has other uses.
    pub fn note(&self, replaced: Arc<ReadView>) {
        if Arc::strong_count(&replaced) == 1 {
            return;
        }
        let mut notes = self.notes.lock();
        notes.views.push(Arc::downgrade(&replaced));
        if notes.views.len() >= notes.limit {
            notes.views.retain(|view| view.strong_count() > 0);
            notes.limit = (2 * notes.views.len()).max(NOTES_MIN);
        }
        // This may be the last use of the read view, whose parts must not be freed under the lock.
        drop(notes);
        drop(replaced);
    }

    /// The number of uses of replaced read views whose number is below `number`.
    pub fn uses_before(&self, number: u64) -> usize {
        let views: Vec<Arc<ReadView>> = self.notes.lock().views.iter().filter_map(Weak::upgrade).collect();
        // The list itself holds one reference to each view, which is not counted.
        views.iter().filter(|view| view.number < number).map(|view| Arc::strong_count(view) - 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Lsn;

    fn view(number: u64) -> Arc<ReadView> {
        Arc::new(ReadView { number, read_lsn: Lsn::new(number), shards: Arc::new([]) })
    }

    #[test]
    fn only_views_that_somebody_uses_are_counted_and_none_is_kept_alive() {
        let older = OlderViews::default();
        older.note(view(1));
        assert_eq!(older.uses_before(9), 0);
        let (second, third) = (view(2), view(3));
        older.note(Arc::clone(&second));
        older.note(Arc::clone(&third));
        let also = Arc::clone(&second);
        assert_eq!((older.uses_before(2), older.uses_before(3), older.uses_before(4)), (0, 2, 3));
        drop((second, also));
        assert_eq!((older.uses_before(4), Arc::weak_count(&third)), (1, 1));
    }

    #[test]
    fn notes_of_views_that_are_gone_do_not_gather() {
        let older = OlderViews::default();
        let kept = view(0);
        older.note(Arc::clone(&kept));
        for number in 1..10_000 {
            let used = view(number);
            older.note(Arc::clone(&used));
        }
        assert!(older.notes.lock().views.len() < 2 * NOTES_MIN);
        assert_eq!(older.uses_before(u64::MAX), 1);
    }
}
