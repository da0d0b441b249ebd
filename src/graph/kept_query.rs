//! Vectors of queries that are kept in memory, and the room for all of them.
//!
//! Invariants:
//! * Every kept vector is counted from its copy to its drop, whoever holds it: a graph, a check, or a graph that has no
//!   place in the store any more.
//! * The vectors of one store take at most [`QUERY_BYTES_MAX`].

use std::sync::Arc;

use crate::sync::{AtomicUsize, Ordering};

/// The most bytes of vectors that one store keeps.
const QUERY_BYTES_MAX: usize = 16 << 20;

/// The room for the queries of one store.
#[derive(Default)]
pub(crate) struct QueryRoom {
    used: AtomicUsize,
}

impl QueryRoom {
    /// A copy of the vector; `None` if there is no room for it.
    pub fn keep(self: &Arc<Self>, vector: &[f32]) -> Option<Arc<KeptQuery>> {
        let bytes = size_of_val(vector);
        let with = |used: usize| used.checked_add(bytes).filter(|&with| with <= QUERY_BYTES_MAX);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, with).ok()?;
        Some(Arc::new(KeptQuery { vector: vector.to_vec(), room: Arc::clone(self) }))
    }

    /// The bytes of all vectors that are in memory now.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether more than half of the room is taken.
    pub fn is_scarce(&self) -> bool {
        self.used() > QUERY_BYTES_MAX / 2
    }
}

/// The vector of a query.
pub(crate) struct KeptQuery {
    vector: Vec<f32>,
    room: Arc<QueryRoom>,
}

impl KeptQuery {
    pub fn vector(&self) -> &[f32] {
        &self.vector
    }
}

impl Drop for KeptQuery {
    fn drop(&mut self) {
        self.room.used.fetch_sub(size_of_val(&*self.vector), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_is_bounded_and_counts_what_is_held() {
        let (room, long) = (Arc::new(QueryRoom::default()), vec![0.0; 1 << 16]);
        let held: Vec<_> = std::iter::from_fn(|| room.keep(&long)).take(65).collect();
        assert_eq!((held.len(), room.used()), (64, QUERY_BYTES_MAX));
        assert!(room.is_scarce() && room.keep(&[1.0]).is_none());
        let one = held.first().map(Arc::clone);
        drop(held);
        assert_eq!(room.used(), QUERY_BYTES_MAX / 64);
        assert!(!room.is_scarce() && room.keep(&[1.0]).is_some_and(|kept| kept.vector() == [1.0]));
        drop(one);
        assert_eq!(room.used(), 0);
    }
}
