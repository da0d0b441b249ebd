//! Ranges of encoded namespaces.
//!
//! Invariants:
//! * An interval is the range of a query or a delete. It includes its low end and excludes its high end.
//! * An extent bounds the namespaces of a segment or shard. It includes both ends, and may be wider than necessary.

use std::ops::Range;

/// A half-open interval `[low, high)` of encoded namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Interval {
    pub low: Vec<u8>,
    pub high: Vec<u8>,
}

/// A place in the order of (namespace, key), in which listings and iterations go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyPosition<'a> {
    /// Encoded.
    pub namespace: &'a [u8],
    pub key: &'a str,
}

impl Interval {
    /// Exactly one namespace: no encoding lies between `e` and `e ++ 00`.
    pub fn of_namespace(encoded: &[u8]) -> Self {
        let mut high = encoded.to_vec();
        high.push(0);
        Self { low: encoded.to_vec(), high }
    }

    /// Every encoding there is, the engine's own area included.
    pub fn everything() -> Self {
        Self { low: Vec::new(), high: vec![0xFF] }
    }

    /// The encoded namespace, if the interval is exactly one namespace.
    pub fn namespace(&self) -> Option<&[u8]> {
        let (last, namespace) = self.high.split_last()?;
        (*last == 0 && namespace == self.low.as_slice()).then_some(namespace)
    }

    pub fn bounds(&self) -> Range<&[u8]> {
        self.low.as_slice()..self.high.as_slice()
    }

    pub fn contains(&self, encoded: &[u8]) -> bool {
        self.low.as_slice() <= encoded && encoded < self.high.as_slice()
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.low < other.high && other.low < self.high
    }
}

/// A closed range `[lower, upper]` that bounds encoded namespaces. An end need not be a namespace itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub lower: Vec<u8>,
    pub upper: Vec<u8>,
}

impl Extent {
    /// The extent of one namespace.
    pub fn of_namespace(encoded: &[u8]) -> Self {
        Self { lower: encoded.to_vec(), upper: encoded.to_vec() }
    }

    /// Whether the namespace may be among the bounded ones.
    pub fn contains(&self, encoded: &[u8]) -> bool {
        self.lower.as_slice() <= encoded && encoded <= self.upper.as_slice()
    }

    pub fn overlaps(&self, interval: &Interval) -> bool {
        self.lower < interval.high && self.upper >= interval.low
    }

    /// The smallest extent that covers both.
    pub fn and(self, other: Self) -> Self {
        Self { lower: self.lower.min(other.lower), upper: self.upper.max(other.upper) }
    }
}
