//! The check of the recall of graphs: some queries that were asked are repeated exactly. A graph of which a class of
//! queries falls short is fitted to them.
//!
//! Invariants:
//! * A check that took some time is followed by [`REST`] times as much without one. So checks take at most 1 % of one
//!   core, however many queries there are. They run on one thread, and after graphs that wait to be verified.
//! * A check ends where its graph or its queries go, and where the store closes. A purge of other rows does not wait
//!   for it.
//! * A check changes which ef a later search takes, and nothing else. A fit that fails counts as one that has not found
//!   why queries fall short.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::Worker;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::asked::{NEVER_WALKED, Refit, found_shares, raised_by_half, refit};
use crate::graph::kept_query::QueryRoom;
use crate::graph::{Graph, Points};
use crate::ids::NodeId;
use crate::record::Lsn;
use crate::segment::Segment;
use crate::segment::derived::graph::SegmentGraph;
use crate::segment::derived::live_recall::{LiveRecall, ShortClass};
use crate::shard::ReadView;
use crate::shard::part::SharedSegment;
use crate::sync::{Condvar, Mutex};
use crate::types::Interval;

/// So many times as long as a check took, there is none.
const REST: u32 = 100;
/// A round of checks goes on for so long: with its rest it lasts half as long as the background sleeps.
const ROUND: Duration = Duration::from_millis(5);

/// The checks of one store.
#[derive(Default)]
pub(super) struct RecallChecks {
    /// Held during a check.
    pace: Mutex<CheckPace>,
    /// The file of the graph that is checked now.
    under_way: Mutex<Option<u64>>,
    /// Told when a check has ended.
    ended: Condvar,
    room: Arc<QueryRoom>,
}

/// When the next check may begin, and the graph of the last one.
#[derive(Default)]
struct CheckPace {
    rests_until: Duration,
    last: u64,
}

/// When the next check may begin after one that took so long and has `ended`.
fn next_check(ended: Duration, took: Duration) -> Duration {
    ended.saturating_add(took.saturating_mul(REST))
}

impl Worker {
    /// Repeats queries that wait, and fits the tables of graphs where they have found too little. It goes on to the
    /// next graph until it has taken [`ROUND`], since in a quiet store it is called every `LOOK_ROUND` only.
    pub(super) fn check_recall(&self) {
        if !self.duties.checks_recall {
            return;
        }
        let mut pace = self.recall_checks.pace.lock();
        let began = self.engine.clock.monotonic();
        if began < pace.rests_until {
            return;
        }
        let (view, room) = (self.engine.view.get(), &self.recall_checks.room);
        let is_scarce = room.is_scarce();
        for (_, graph) in graphs(&view).filter(|(_, graph)| graph.searchable().is_some()) {
            graph.live.begin_round(room, began);
            if is_scarce {
                graph.live.let_half_go();
            }
        }
        let mut took = self.engine.clock.monotonic().saturating_sub(began);
        while took < ROUND
            && let Some((part, graph)) = next_due(&view, pace.last)
        {
            // This may wait for a build, which is no part of the check.
            self.verify_graphs();
            pace.last = graph.file_id();
            let began = self.engine.clock.monotonic();
            // A failure is damage, which reads report, or an end. The queries are gone, and others follow.
            let is_done = {
                let _under_way = CheckUnderWay::new(&self.recall_checks, graph);
                self.check_graph(part, graph).is_ok()
            };
            took += self.engine.clock.monotonic().saturating_sub(began);
            if !is_done {
                break;
            }
        }
        pace.rests_until = next_check(self.engine.clock.monotonic(), took);
    }

    /// The bytes of the queries that are in memory.
    pub fn kept_query_bytes(&self) -> usize {
        self.recall_checks.room.used()
    }

    fn check_graph(&self, part: &SharedSegment, graph: &SegmentGraph) -> Result<()> {
        let (segment, live) = (part.segment()?, &graph.live);
        let first = graph.vectors().start;
        let vector_of = |node: NodeId| segment.vector(node.vector(first));
        if let Some(taken) = live.take() {
            let (links, points) = searchable(segment, graph)?;
            let row_of = segment.vector_row_column();
            let lives = |node: NodeId| {
                let row = row_of.get(node.vector(first).index());
                row.is_some_and(|&row| !part.tombstones.is_deleted_at(row, Lsn::LAST))
            };
            let go_on = || self.may_check(live, taken.epoch);
            let found = found_shares(links, &points, &taken.queries, &vector_of, &lives, &go_on)?;
            live.note(taken, &found);
        }
        let Some(short) = live.short() else { return Ok(()) };
        let (links, points) = searchable(segment, graph)?;
        let (table, ShortClass { class, results, recall, queries, .. }) = (graph.calibration().table, &short);
        let what = Refit { table: &table, class: *class, results: *results, recall: *recall, queries };
        let go_on = || self.may_check(live, short.epoch);
        let fitted = if short.gives_up { Ok(NEVER_WALKED) } else { refit(links, &points, what, &vector_of, &go_on) };
        go_on()?;
        live.raise(&short, fitted.unwrap_or_else(|_| raised_by_half(&what)));
        Ok(())
    }

    /// Fails where a check has to end.
    fn may_check(&self, live: &LiveRecall, epoch: u64) -> Result<()> {
        self.engine.check_writable()?;
        if live.is_of(epoch) { Ok(()) } else { Err(ended()) }
    }

    /// Lets go the queries of graphs that may have rows in the interval. When this returns, no check has any of them.
    pub fn forget_queries(&self, interval: &Interval) {
        // A segment is in the read view or retired.
        let installed = self.engine.pause_installs();
        let (view, retired) = (self.engine.view.get(), self.engine.retired.lock().clone());
        drop(installed);
        let parts = view.shards.iter().flat_map(|shard| &shard.segments).chain(&retired);
        let mut forgotten = HashSet::new();
        for segment in parts.filter(|part| part.covers(interval)).filter_map(|part| part.opened()) {
            for graph in segment.graphs() {
                graph.live.forget();
                forgotten.insert(graph.file_id());
            }
        }
        // A check that has taken queries before they were forgotten is under way since then.
        let mut under_way = self.recall_checks.under_way.lock();
        while under_way.is_some_and(|graph| forgotten.contains(&graph)) {
            under_way = self.recall_checks.ended.wait(under_way);
        }
    }
}

/// A check of a graph is under way as long as there is this value, which outlives the queries of the check.
struct CheckUnderWay<'a>(&'a RecallChecks);

impl<'a> CheckUnderWay<'a> {
    fn new(checks: &'a RecallChecks, graph: &SegmentGraph) -> Self {
        *checks.under_way.lock() = Some(graph.file_id());
        Self(checks)
    }
}

impl Drop for CheckUnderWay<'_> {
    fn drop(&mut self) {
        *self.0.under_way.lock() = None;
        self.0.ended.notify_all();
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::Interrupted, "the check of the recall of a graph has ended")
}

/// The graphs of all segments that can be read.
fn graphs(view: &ReadView) -> impl Iterator<Item = (&SharedSegment, &SegmentGraph)> {
    let parts = view.shards.iter().flat_map(|shard| &shard.segments);
    parts.flat_map(|part| {
        let graphs = part.segment().map_or(&[][..], Segment::graphs);
        graphs.iter().map(move |graph| (part, &**graph))
    })
}

/// A graph at which queries wait, or of which a class of queries falls short: each in its turn, after the one whose
/// file has the number `last`.
fn next_due(view: &ReadView, last: u64) -> Option<(&SharedSegment, &SegmentGraph)> {
    let due = graphs(view).filter(|(_, graph)| graph.live.is_due());
    due.min_by_key(|(_, graph)| (graph.file_id() <= last, graph.file_id()))
}

fn searchable<'a>(segment: &'a Segment, graph: &'a SegmentGraph) -> Result<(Graph<'a>, Points<'a>)> {
    graph.searchable().zip(segment.points(graph.vectors())).ok_or_else(ended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_take_at_most_a_hundredth_of_the_time() {
        let micros = Duration::from_micros;
        assert_eq!(next_check(micros(7), micros(0)), micros(7), "where no time passes, nothing is waited for");
        let (mut now, mut busy) = (micros(0), micros(0));
        for took in [1, 50_000, 3, 10, 4_000_000, 900].map(micros) {
            let next = next_check(now + took, took);
            (now, busy) = (next, busy + took);
            assert!(busy * REST < now, "{busy:?} of {now:?}");
        }
        assert_eq!(next_check(micros(9), Duration::MAX), Duration::MAX);
    }
}
