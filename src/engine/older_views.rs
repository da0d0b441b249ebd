//! Which read views that newer ones have replaced are still in use.
//!
//! Invariants:
//! * A read view that nobody uses when it is replaced is never noted: nobody can take it afterwards. So a write pays
//!   for a note only where a read overlaps it.
//! * The notes keep no read view alive.

use std::sync::{Arc, Weak};

use crate::shard::ReadView;
use crate::sync::Mutex;

/// From this many notes on, notes of read views that are gone are removed.
const NOTES_MIN: usize = 64;

/// The replaced read views that were in use when they were replaced.
#[derive(Default)]
pub(crate) struct OlderViews {
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    views: Vec<Weak<ReadView>>,
    /// Length at which the notes are next gone through.
    limit: usize,
}

impl OlderViews {
    /// Lets go of a read view that has just been replaced; it is noted if somebody else uses it.
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

    /// How many uses there are of read views before the one numbered `number`.
    pub fn uses_before(&self, number: u64) -> usize {
        let views: Vec<Arc<ReadView>> = self.notes.lock().views.iter().filter_map(Weak::upgrade).collect();
        // This list is one use of each.
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
