//! The graphs that the output of a merge is to have: those of large namespaces, and those kept from the inputs with the
//! credit that they have there.
//!
//! Invariants:
//! * No row of the output lies in more than two wanted graphs.
//! * The credits of the inputs' graphs of one scope are added: their rows are one range of the output.

use std::ops::Range;
use std::sync::Arc;

use crate::compact::graphs::{
    BuildFacts, automatic, bytes_estimate, carried_ns, due, excess, is_kept, price_ns, vectors_of,
};
use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::segment::Segment;
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::derived::graph_scope::{GraphRange, Origin};
use crate::shard::part::SharedSegment;
use crate::tuning::Tuning;

/// The graphs of the inputs of a merge, as graphs of its output.
pub(super) struct MergedGraphs<'a> {
    output: &'a Segment,
    tuning: &'a Tuning,
    before: Vec<GraphBefore>,
}

/// A graph of an input.
struct GraphBefore {
    /// Its scope and origin, with the rows of the output in the scope.
    wanted: GraphRange,
    saved_ns: u64,
    credit_ns: u64,
}

impl<'a> MergedGraphs<'a> {
    pub fn of(output: &'a Segment, inputs: &[SharedSegment], tuning: &'a Tuning) -> Result<Self> {
        let mut before = Vec::new();
        for part in inputs {
            let segment = part.segment()?;
            let in_output = |before: GraphRange| {
                let first = segment.namespace(segment.namespace_of(before.rows.start)?)?;
                Ok(GraphRange { rows: output.interval(&before.scope.interval(first))?, ..before })
            };
            for graph in segment.graphs() {
                let credit_ns = graph.credit_ns(price_ns(graph.vectors().len(), segment.dims()));
                let wanted = in_output(graph.description().wanted())?;
                before.push(GraphBefore { wanted, saved_ns: graph.saved_ns(), credit_ns });
            }
            for unopened in segment.unopened_graphs() {
                if let Some(terms) = part.entry.graph_terms(unopened.file_id) {
                    // An older format is no reason to earn a graph again.
                    let credit_ns = match unopened.is_older() {
                        true => price_ns(vectors_of(segment, &terms.rows)?.len(), segment.dims()),
                        false => 0,
                    };
                    before.push(GraphBefore { wanted: in_output(terms)?, saved_ns: 0, credit_ns });
                }
            }
        }
        Ok(Self { output, tuning, before })
    }

    /// Whether an input has a graph of the scope that has these rows of the output.
    pub fn had(&self, rows: &Range<RowId>) -> bool {
        self.of_rows(rows).next().is_some()
    }

    fn of_rows<'b>(&'b self, rows: &'b Range<RowId>) -> impl Iterator<Item = &'b GraphBefore> + 'b {
        self.before.iter().filter(move |before| before.wanted.rows == *rows)
    }

    /// The credit of the graphs over these rows, and the price of one graph over them.
    fn credit(&self, rows: &Range<RowId>) -> Result<(u64, u64)> {
        let credit = self.of_rows(rows).fold(0, |sum: u64, before| sum.saturating_add(before.credit_ns));
        Ok((credit, price_ns(vectors_of(self.output, rows)?.len(), self.output.dims())))
    }

    /// The graphs that the output is to have.
    pub fn wanted(&self) -> Result<Vec<GraphRange>> {
        let mut wanted = automatic(self.output, self.tuning.graph_rows)?;
        for GraphBefore { wanted: before, .. } in &self.before {
            let vectors = vectors_of(self.output, &before.rows)?.len();
            let is_asked = before.origin == Origin::Requested;
            let is_worth_it = vectors > 0 && (is_asked || vectors >= self.tuning.earn_rows as usize);
            let (credit, price) = self.credit(&before.rows)?;
            if is_worth_it && is_kept(before.origin, credit, price) {
                wanted.push(before.clone());
            }
        }
        let mut wanted = due(wanted, &[]);
        let facts = wanted.iter().map(|wanted| {
            let saved_ns = self.of_rows(&wanted.rows).map(|before| before.saved_ns).sum();
            let bytes = bytes_estimate(vectors_of(self.output, &wanted.rows)?.len());
            let (rows, origin) = (wanted.rows.clone(), wanted.origin);
            Ok(BuildFacts { rows, origin, is_new: false, saved_ns, bytes })
        });
        let going = excess(&facts.collect::<Result<Vec<_>>>()?);
        for position in going.into_iter().rev() {
            wanted.remove(position);
        }
        Ok(wanted)
    }

    /// Lets the graphs of the output begin with the credit that is left of that of the inputs' graphs.
    pub fn pass_on_credit(&self, built: &[Arc<SegmentGraph>]) -> Result<()> {
        for graph in built.iter().filter(|graph| self.had(&graph.rows())) {
            let (credit, price) = self.credit(&graph.rows())?;
            graph.begin_with_credit(carried_ns(credit, price), price);
        }
        Ok(())
    }
}
