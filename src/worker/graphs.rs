//! Graphs in the background: verified after an open, built where they are due or earned, and built at once on request.

use std::ops::Range;
use std::time::Duration;

use super::Worker;
use crate::error::{ErrorKind, Result};
use crate::segment::graph_scope::{GraphScope, Wanted};
use crate::shard::graphs::{Cores, damaged, mend, requested};
use crate::shard::part::SharedPart;
use crate::types::Scope;

/// What [`Store::build_graph`](crate::Store::build_graph) built.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct GraphBuild {
    /// How many graphs: one for each segment that has vectors in the scope and had none for exactly it.
    pub graphs: u64,
    /// Their nodes, which are vectors.
    pub nodes: u64,
    /// Bytes of their files.
    pub bytes: u64,
    /// How long it took, waiting for merges included.
    pub seconds: f64,
}

impl Worker {
    pub(super) fn graph_loop(&self) {
        self.run(super::LOOK_ROUND, |worker| worker.graphs_next(Cores::Half));
    }

    /// Checks the graphs that nobody has checked since the open, so that they can be walked.
    pub fn verify_graphs(&self) {
        while self.verify_next() {}
    }

    fn verify_next(&self) -> bool {
        let view = self.engine.view.get();
        for part in view.shards.iter().flat_map(|shard| &shard.segments) {
            let Ok(segment) = part.segment() else { continue };
            if let Some(graph) = segment.graphs().iter().find(|graph| !graph.is_verified()) {
                if graph.verify(segment).is_err() {
                    part.look_again();
                }
                return true;
            }
        }
        false
    }

    /// Verifies a graph, or else builds what one part lacks; whether there was anything to do.
    pub(super) fn graphs_next(&self, cores: Cores) -> Result<bool> {
        let _one_at_a_time = self.building.lock();
        if self.verify_next() {
            return Ok(true);
        }
        let view = self.engine.view.get();
        let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
        if let Some((file_id, wanted)) = self.engine.accounts.take_due() {
            if let Some(part) = parts.find(|part| part.entry.file_id == file_id) {
                self.mend(part, &[wanted], cores)?;
            }
            return Ok(true);
        }
        let Some(part) = parts.find(|part| part.take_look()) else { return Ok(false) };
        let mended = self.mend(part, &[], cores);
        if mended.as_ref().is_err_and(|error| error.kind() == ErrorKind::DiskFull) {
            part.look_again();
        }
        mended.map(|()| true)
    }

    /// Builds without a lock, and installs while nothing is merged.
    fn mend(&self, part: &SharedPart, more: &[Wanted], cores: Cores) -> Result<()> {
        let damaged = damaged(part.segment()?);
        let Some(mended) = mend(&self.engine, part, &damaged, more, cores)? else { return Ok(()) };
        let _quiet = self.pause_merges();
        mended.install(&self.engine).map(drop)
    }

    /// Builds a graph of `scope` for each segment that has vectors in it and no graph for exactly it.
    pub fn build_graph(&self, scope: &Scope) -> Result<GraphBuild> {
        let started = self.engine.clock.monotonic();
        let mut report = GraphBuild::default();
        let _quiet = self.pause_merges();
        let (view, interval) = (self.engine.view.get(), scope.interval());
        for shard in view.shards_in(&interval) {
            for part in shard.segments.iter().filter(|part| part.covers(&interval)) {
                let segment = part.segment()?;
                segment.graphs().iter().for_each(|graph| drop(graph.verify(segment)));
                let rows: Range<u32> = segment.interval(&interval)?;
                let Some(wanted) = requested(part, GraphScope::of(scope), rows)? else { continue };
                let Some(mended) = mend(&self.engine, part, &damaged(segment), &[wanted], Cores::All)? else {
                    continue;
                };
                let (graphs, nodes, bytes) = mended.built();
                if mended.install(&self.engine)? {
                    report = GraphBuild {
                        graphs: report.graphs + graphs,
                        nodes: report.nodes + nodes,
                        bytes: report.bytes + bytes,
                        ..report
                    };
                }
            }
        }
        let took: Duration = self.engine.clock.monotonic().saturating_sub(started);
        Ok(GraphBuild { seconds: took.as_secs_f64(), ..report })
    }
}
