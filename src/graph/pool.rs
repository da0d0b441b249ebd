//! The candidates of a search: a sorted array of fixed capacity, nearest first.
//!
//! Invariants:
//! * Entries are ascending by (distance, node), for any order of insertion. Each node is in the pool once.
//! * Every entry before the cursor has been expanded.

use crate::ids::NodeId;

/// A sorted array of candidates. An entry is one number: the distance in the form of [`ordered`], the node, and in the
/// lowest bit whether the node was expanded.
#[derive(Default)]
pub(super) struct Pool {
    entries: Vec<u64>,
    capacity: usize,
    cursor: usize,
}

const EXPANDED: u64 = 1;

#[inline(always)]
fn node_of(entry: u64) -> NodeId {
    NodeId(entry as u32 >> 1)
}

/// The bits of a distance, in a form that sorts like the distance.
#[inline(always)]
pub(super) fn ordered(distance: f32) -> u32 {
    let bits = distance.to_bits();
    bits ^ ((bits.cast_signed() >> 31).cast_unsigned() | 1 << 31)
}

/// The inverse of [`ordered`].
#[inline(always)]
pub(super) fn unordered(ordered: u32) -> f32 {
    f32::from_bits(if ordered >> 31 == 1 { ordered ^ 1 << 31 } else { !ordered })
}

impl Pool {
    /// Empties the pool and sets its capacity, at least one entry.
    pub fn clear(&mut self, capacity: usize) {
        self.entries.clear();
        self.capacity = capacity.max(1);
        self.cursor = 0;
    }

    /// The distance of the last entry if the pool is full, else the largest. A search inserts only nearer nodes.
    #[inline(always)]
    pub fn bound(&self) -> u32 {
        if self.entries.len() < self.capacity {
            u32::MAX
        } else {
            self.entries.last().map_or(u32::MAX, |&last| (last >> 32) as u32)
        }
    }

    /// Inserts a node that is not in the pool. Returns whether it is the next node to expand.
    #[inline(always)]
    pub fn insert(&mut self, distance: u32, node: NodeId) -> bool {
        let entry = u64::from(distance) << 32 | u64::from(node.0) << 1;
        let position = self.entries.partition_point(|&other| other < entry);
        if self.entries.len() == self.capacity {
            if position == self.capacity {
                return false;
            }
            self.entries.pop();
        }
        self.entries.insert(position, entry);
        let is_next = position <= self.cursor;
        self.cursor = self.cursor.min(position);
        is_next
    }

    /// The nearest node that was not expanded yet. Marks it as expanded.
    #[inline(always)]
    pub fn expand_next(&mut self) -> Option<NodeId> {
        while let Some(entry) = self.entries.get_mut(self.cursor) {
            self.cursor += 1;
            if *entry & EXPANDED == 0 {
                *entry |= EXPANDED;
                return Some(node_of(*entry));
            }
        }
        None
    }

    /// The nodes that [`expand_next`](Self::expand_next) would return next.
    #[inline(always)]
    pub fn upcoming(&self) -> impl Iterator<Item = NodeId> + '_ {
        let rest = self.entries.get(self.cursor..).unwrap_or_default();
        rest.iter().filter(|&&entry| entry & EXPANDED == 0).map(|&entry| node_of(entry))
    }

    /// The node that [`expand_next`](Self::expand_next) would return.
    #[inline(always)]
    pub fn peek_next(&self) -> Option<NodeId> {
        self.upcoming().next()
    }

    /// All entries, nearest first: (distance, node).
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (f32, NodeId)> + '_ {
        self.entries.iter().map(|&entry| (unordered((entry >> 32) as u32), node_of(entry)))
    }
}
