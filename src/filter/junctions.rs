//! The conjunctions and disjunctions of a compiled filter, and the results that are reported to them.
//!
//! Invariant: a decided junction ignores the reports of its other parts.

/// A conjunction or disjunction; its parts are the tests and junctions that report to it.
#[derive(Clone, Debug)]
pub(super) struct Junction {
    pub(super) above: Above,
    /// A part with this result decides the junction: false for a conjunction, true for a disjunction.
    pub(super) decisive: bool,
}

/// The junction that a result is reported to, perhaps negated. Junction 0 stands for the whole filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Above {
    pub(super) junction: u16,
    pub(super) negated: bool,
}

/// The reports of one pass.
pub(super) struct Reports<'p> {
    pub(super) junctions: &'p [Junction],
    /// Parts of each junction that have not reported; 0 once it is decided.
    pub(super) open: &'p mut [u16],
    pub(super) result: Option<bool>,
}

impl Reports<'_> {
    /// Reports the result of a part to its junction, and from each decided junction to the one above.
    #[inline]
    pub(super) fn add(&mut self, mut above: Above, mut value: bool) {
        loop {
            value ^= above.negated;
            let index = usize::from(above.junction);
            let junction = &self.junctions[index];
            let open = &mut self.open[index];
            if *open == 0 {
                return;
            }
            *open = if value == junction.decisive { 0 } else { *open - 1 };
            if *open > 0 {
                return;
            }
            if index == 0 {
                self.result = Some(value);
                return;
            }
            above = junction.above;
        }
    }

    /// Whether the junction still waits for reports.
    #[inline]
    pub(super) fn is_open(&self, above: Above) -> bool {
        self.open[usize::from(above.junction)] > 0
    }
}
