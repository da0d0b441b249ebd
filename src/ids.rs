//! Numbers of rows, vectors, nodes and parts. Each has a type of its own, so that the compiler tells them and counts
//! apart.
//!
//! | type | numbers | valid | largest number |
//! |---|---|---|---|
//! | [`RowId`] | the rows of one memtable or segment | below the number of rows | 2^32 - 2 |
//! | [`VectorId`] | the vectors of one memtable or segment | below the number of vectors | 2^32 - 2 |
//! | [`NodeId`] | the nodes of one graph, or of one level during its build | below the number of nodes | 2^31 - 1 |
//! | [`PartIndex`] | the parts of one search or listing | below the number of parts | |
//!
//! Conversions:
//! * The vectors of a row have consecutive numbers, and these rise with the rows. A segment stores the first number in
//!   its column `FirstVector`, a memtable in the row itself.
//! * A segment stores the row of each vector in its column `VectorRow`.
//! * Node i of a graph over the vectors from `first` on is vector `first + i`: [`NodeId::vector`], [`VectorId::node`].
//!
//! Invariants:
//! * Each type is one `u32` in memory, so a column of a file is cast to it and not copied.
//! * A reader of a file compares the numbers in it with the file's counts. The types check nothing.
//! * A number does not tell which part or graph it belongs to. The code keeps it together with that part or graph.

use std::fmt;
use std::ops::{Add, Range, Sub};

use bytemuck::{Pod, Zeroable};

/// The number of a row within its memtable or segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct RowId(pub u32);

/// The number of a vector within its memtable or segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct VectorId(pub u32);

/// The number of a node within its graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct NodeId(pub u32);

/// The number of a part within one search or listing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
#[repr(transparent)]
pub(crate) struct PartIndex(pub u32);

impl NodeId {
    /// The vector of this node of a graph whose node 0 is the vector `first`.
    #[inline(always)]
    pub fn vector(self, first: VectorId) -> VectorId {
        first + self.0
    }
}

impl VectorId {
    /// The node of this vector in a graph whose node 0 is the vector `first`. `first` must not be after this vector.
    #[inline(always)]
    pub fn node(self, first: VectorId) -> NodeId {
        NodeId(self - first)
    }
}

/// The operations that the four types have in common.
pub(crate) trait Id: Copy + Ord {
    fn from_number(number: u32) -> Self;

    fn number(self) -> u32;

    /// The next id; of the largest id, that id itself.
    #[inline(always)]
    fn saturating_next(self) -> Self {
        Self::from_number(self.number().saturating_add(1))
    }

    /// The ids with these numbers.
    #[inline(always)]
    fn range(numbers: Range<u32>) -> Range<Self> {
        Self::from_number(numbers.start)..Self::from_number(numbers.end)
    }
}

/// Ranges of ids. `Range` itself is an iterator only over types of the standard library.
pub(crate) trait IdRange<I> {
    /// The number of ids.
    fn len(&self) -> usize;

    /// The ids, in order.
    fn ids(&self) -> impl DoubleEndedIterator<Item = I> + ExactSizeIterator + Clone + use<Self, I>;

    /// The numbers of the ids.
    fn numbers(&self) -> Range<u32>;

    /// The indices of the ids in a slice that has one element for each id from 0 on.
    fn indices(&self) -> Range<usize>;
}

impl<I: Id> IdRange<I> for Range<I> {
    #[inline(always)]
    fn len(&self) -> usize {
        self.numbers().len()
    }

    #[inline(always)]
    fn ids(&self) -> impl DoubleEndedIterator<Item = I> + ExactSizeIterator + Clone + use<I> {
        self.numbers().map(I::from_number)
    }

    #[inline(always)]
    fn numbers(&self) -> Range<u32> {
        self.start.number()..self.end.number()
    }

    #[inline(always)]
    fn indices(&self) -> Range<usize> {
        self.start.number() as usize..self.end.number() as usize
    }
}

macro_rules! ids {
    ($($name:ident),*) => {$(
        impl $name {
            /// The id of element `index` of a slice that has one element for each id from 0 on.
            #[inline(always)]
            pub const fn from_index(index: usize) -> Self {
                Self(index as u32)
            }

            /// The index of the id in such a slice.
            #[inline(always)]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }

        impl Id for $name {
            #[inline(always)]
            fn from_number(number: u32) -> Self {
                Self(number)
            }

            #[inline(always)]
            fn number(self) -> u32 {
                self.0
            }
        }

        /// The id `count` after this one.
        impl Add<u32> for $name {
            type Output = Self;

            #[inline(always)]
            fn add(self, count: u32) -> Self {
                Self(self.0 + count)
            }
        }

        /// How far this id is after another one.
        impl Sub for $name {
            type Output = u32;

            #[inline(always)]
            fn sub(self, other: Self) -> u32 {
                self.0 - other.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
ids!(RowId, VectorId, NodeId, PartIndex);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_and_its_vector_name_each_other() {
        let first = VectorId(70);
        for node in NodeId::range(0..5).ids() {
            assert_eq!(node.vector(first).node(first), node);
        }
        assert_eq!((NodeId(3).vector(first), VectorId(73).node(first)), (VectorId(73), NodeId(3)));
    }

    #[test]
    fn a_range_of_ids_is_one_of_their_numbers() {
        let rows = RowId::range(2..5);
        assert!(rows.ids().eq([RowId(2), RowId(3), RowId(4)]));
        assert!(rows.ids().rev().eq([RowId(4), RowId(3), RowId(2)]));
        assert_eq!((rows.len(), rows.numbers(), rows.indices()), (3, 2..5, 2..5));
        assert!(rows.contains(&RowId(4)) && !rows.contains(&RowId(5)));
        // A range whose end lies before its start has no ids: damaged files have such.
        let reversed = RowId(5)..RowId(2);
        assert_eq!((reversed.len(), reversed.ids().count()), (0, 0));
    }

    #[test]
    fn a_column_of_numbers_is_a_column_of_ids() {
        let column = [4_u32, 0, u32::MAX];
        assert_eq!(bytemuck::cast_slice::<u32, NodeId>(&column), [NodeId(4), NodeId(0), NodeId(u32::MAX)]);
        assert_eq!((NodeId::from_index(9), NodeId(9).index(), NodeId(9).to_string()), (NodeId(9), 9, "9".to_owned()));
    }
}
