//! Graphs: the background verifies them after an open, builds those that are due, and checks their recall when there is
//! nothing to build. A request is built at once.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::engine::costs::keep;
use crate::engine::field_rules::{field_rules, has_other_rules};
use crate::engine::graphs::{Cores, build_missing, damaged, has_codes, requested};
use crate::engine::install::change_settings;
use crate::engine::replace::rebuild_derived;
use crate::engine::space::JobKind;
use crate::error::{ErrorKind, Result};
use crate::ids::RowId;
use crate::search::measure::measure;
use crate::segment::derived::graph_scope::{GraphRange, GraphScope};
use crate::shard::part::SharedSegment;
use crate::shard::upkeep::Rebuild;
use crate::types::{Interval, Scope};

/// What [`Store::build_graph`](crate::Store::build_graph) built.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct GraphBuild {
    /// The number of graphs: one for each segment that has vectors in the scope and had no graph for exactly the scope.
    pub graphs: u64,
    /// The number of nodes of these graphs. A node is a vector.
    pub nodes: u64,
    /// The bytes of the graphs' files.
    pub bytes: u64,
    /// How long the build took, with the waits for merges.
    pub seconds: f64,
}

impl GraphBuild {
    /// How long the build took.
    pub fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

impl Worker {
    pub(super) fn graph_loop(&self) {
        self.run(super::LOOK_ROUND, |worker| {
            let built = worker.engine.attempt(JobKind::Graphs, || worker.graphs_next(Cores::Half));
            if !matches!(built, Ok(true)) {
                worker.check_recall();
            }
            built
        });
    }

    /// Verifies all graphs that are not verified yet, so that searches can use them.
    pub fn verify_graphs(&self) {
        while self.verify_next() {}
    }

    fn verify_next(&self) -> bool {
        let view = self.engine.view.get();
        for part in view.shards.iter().flat_map(|shard| &shard.segments) {
            let Ok(segment) = part.segment() else { continue };
            if let Some(graph) = segment.graphs().iter().find(|graph| !graph.is_verified()) {
                if segment.verify_graph(graph).is_err() {
                    part.look_again();
                }
                return true;
            }
        }
        false
    }

    /// Verifies a graph, or else builds the missing graphs of one part. Returns whether there was anything to do.
    pub(super) fn graphs_next(&self, cores: Cores) -> Result<bool> {
        let _one_at_a_time = self.graph_lock.lock();
        self.trim_filter_graphs();
        if self.verify_next() || self.measure_costs()? {
            return Ok(true);
        }
        let view = self.engine.view.get();
        let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
        if let Some(due) = self.engine.accounts.take_due() {
            if let Some(part) = parts.find(|part| part.entry.file_id == due.file_id) {
                let mended = self.build_missing(part, &[part.put_off(), &[due.wanted()]].concat(), cores);
                // The credit is spent if a graph was built, or if damage prevents the build.
                if mended.as_ref().map_or_else(|error| error.kind() != ErrorKind::Damaged, |built| !built) {
                    self.engine.accounts.put_back(due);
                }
                mended?;
            }
            return Ok(true);
        }
        let mut waiting = Vec::new();
        let mut outcome = Ok(false);
        for part in parts.filter(|part| part.take_look()) {
            outcome = self.build_missing(part, part.put_off(), cores).map(|_| true);
            let Err(error) = &outcome else { break };
            if error.kind() != ErrorKind::Damaged {
                waiting.push(part);
            }
            if error.kind() != ErrorKind::DiskFull {
                break;
            }
            // Graphs of the next parts may need less space.
        }
        waiting.iter().for_each(|part| part.look_again());
        // Graphs of filters come last: their searches have another way.
        match outcome {
            Ok(false) => self.build_filter_graph(cores),
            Err(error) if error.kind() == ErrorKind::DiskFull => match self.build_filter_graph(cores)? {
                true => Ok(true),
                false => Err(error),
            },
            other => other,
        }
    }

    /// Measures what the steps of a search cost, if that is not known and a graph is there. Returns whether it did.
    fn measure_costs(&self) -> Result<bool> {
        let (engine, view) = (&self.engine, self.engine.view.get());
        let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
        let mut has_graph = || parts.any(|part| part.segment().is_ok_and(|segment| !segment.graphs().is_empty()));
        if engine.known_costs.are_known() || !has_graph() {
            return Ok(false);
        }
        let measured = measure(&|| engine.clock.monotonic())?;
        engine.known_costs.set(measured);
        change_settings(engine, |settings| keep(settings, measured)).map(|()| true)
    }

    /// Builds all graphs that are due. Damage and a full disk stop no builds in other parts. Returns the first error.
    pub(super) fn build_graphs(&self, cores: Cores) -> Result<()> {
        let mut failed = Ok(());
        loop {
            match self.graphs_next(cores) {
                Ok(true) => {}
                Ok(false) => return failed,
                // A damaged part is not tried again, so the loop ends.
                Err(error) if error.kind() == ErrorKind::Damaged => failed = failed.and(Err(error)),
                // On a full disk, all graphs that fit are built by now, and the others wait for space.
                Err(error) => return failed.and(Err(error)),
            }
        }
    }

    /// Builds while merges may run, and installs while none runs in the shard. Returns whether a graph was installed.
    fn build_missing(&self, part: &SharedSegment, more: &[GraphRange], cores: Cores) -> Result<bool> {
        let damaged = damaged(part.segment()?);
        let Some(mended) = build_missing(&self.engine, part, &damaged, more, cores)? else { return Ok(false) };
        let _claim = self.claim_at(&part.entry.extent.lower);
        mended.install(&self.engine)
    }

    /// Builds the field indexes again that were built by other rules than the present ones, and returns of how many
    /// segments.
    pub fn rebuild_fields(&self) -> Result<u64> {
        let engine = &self.engine;
        let (mut seen, mut rebuilt) = (HashSet::new(), 0);
        loop {
            engine.check_writable()?;
            // What is written by now goes by these rules.
            let rules = field_rules(&engine.settings.get());
            let view = engine.view.get();
            let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
            let is_next = |part: &&SharedSegment| !seen.contains(&part.entry.file_id) && has_other_rules(part, &rules);
            let Some(part) = parts.find(is_next).map(Arc::clone) else { return Ok(rebuilt) };
            drop(view);
            let _claim = self.claim_at(&part.entry.extent.lower);
            // A merge that has replaced the segment meanwhile went by the rules itself.
            let view = engine.view.get();
            let mut parts = view.shards.iter().flat_map(|shard| &shard.segments);
            let there = parts.find(|at| at.entry.file_id == part.entry.file_id).map(Arc::clone);
            drop(view);
            if let Some(part) = there.filter(|part| has_other_rules(part, &rules)) {
                rebuilt += u64::from(rebuild_derived(engine, &part, Rebuild { codes: false, fields: true })?);
            }
            seen.insert(part.entry.file_id);
        }
    }

    /// Builds a graph of `scope` for each segment that has vectors in it and no graph for exactly it.
    pub fn build_graph(&self, scope: &Scope) -> Result<GraphBuild> {
        let started = self.engine.clock.monotonic();
        let mut report = GraphBuild::default();
        let interval = scope.interval();
        let mut is_complete = false;
        // If a merge replaces a segment meanwhile, the next round visits its output.
        while !is_complete {
            is_complete = true;
            let view = self.engine.view.get();
            let parts = view.shards_in(&interval).flat_map(|shard| &shard.segments);
            for part in parts.filter(|part| part.covers(&interval)) {
                is_complete &= self.build_requested(part, scope, &interval, &mut report)?;
            }
        }
        let took: Duration = self.engine.clock.monotonic().saturating_sub(started);
        Ok(GraphBuild { seconds: took.as_secs_f64(), ..report })
    }

    /// Builds the graph of one part, if it is missing. Returns whether the part is still there.
    fn build_requested(
        &self,
        part: &SharedSegment,
        scope: &Scope,
        interval: &Interval,
        report: &mut GraphBuild,
    ) -> Result<bool> {
        let _one_at_a_time = self.graph_lock.lock();
        if !self.engine.view.get().has_segment(part) {
            return Ok(false);
        }
        let segment = part.segment()?;
        segment.graphs().iter().for_each(|graph| drop(segment.verify_graph(graph)));
        let rows: Range<RowId> = segment.interval(interval)?;
        let Some(wanted) = requested(part, GraphScope::of(scope), rows)? else { return Ok(true) };
        let wanted = [wanted];
        if !has_codes(segment, &wanted)? {
            // The build needs codes. New codes replace the part, so the caller visits the new one.
            let _claim = self.claim_at(&part.entry.extent.lower);
            return rebuild_derived(&self.engine, part, Rebuild { codes: true, fields: false }).map(|_| false);
        }
        let Some(mended) = build_missing(&self.engine, part, &damaged(segment), &wanted, Cores::All)? else {
            return Ok(self.engine.view.get().has_segment(part));
        };
        let (graphs, nodes, bytes) = mended.built();
        let _claim = self.claim_at(&part.entry.extent.lower);
        let is_there = mended.install(&self.engine)?;
        if is_there {
            report.graphs += graphs;
            report.nodes += nodes;
            report.bytes += bytes;
        }
        Ok(is_there)
    }
}
