//! Ranges of encoded namespaces.
//!
//! Invariants:
//! * An interval is what is asked for: its low end is in it, its high end is not.
//! * An extent is where something lies: both ends are in it, and it may be wider than what it describes.

/// A half-open interval `[low, high)` of encoded namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Interval {
    pub low: Vec<u8>,
    pub high: Vec<u8>,
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

    /// The namespace, encoded, if the interval is made of exactly one.
    pub fn namespace(&self) -> Option<&[u8]> {
        let (last, namespace) = self.high.split_last()?;
        (*last == 0 && namespace == self.low.as_slice()).then_some(namespace)
    }

    pub fn contains(&self, encoded: &[u8]) -> bool {
        self.low.as_slice() <= encoded && encoded < self.high.as_slice()
    }

    pub fn overlaps(&self, other: &Self) -> bool {
        self.low < other.high && other.low < self.high
    }
}

/// Bytes between which namespaces lie, both ends included; an end need not be a namespace itself.
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

    /// Whether the namespace may lie in it.
    pub fn contains(&self, encoded: &[u8]) -> bool {
        self.lower.as_slice() <= encoded && encoded <= self.upper.as_slice()
    }

    pub fn overlaps(&self, interval: &Interval) -> bool {
        self.lower < interval.high && self.upper >= interval.low
    }

    /// The smallest one that covers both.
    pub fn and(self, other: Self) -> Self {
        Self { lower: self.lower.min(other.lower), upper: self.upper.max(other.upper) }
    }
}
