//! Graphs of filters that searches have earned: the background makes room for them, and builds them.
//!
//! Invariants:
//! * The graphs of filters of all segments take no more bytes than the store has room for them when the background
//!   looks, which is at least after each merge and before each build. Whatever has to go goes before the build.
//! * Where there is no room, nothing is read and no thread is started.

use super::Worker;
use crate::compact::filter_graph::{build_filter_graph, filter_graph_bytes, filter_graph_room, vectors_passing};
use crate::engine::graphs::{Cores, pool, superseded};
use crate::error::{ErrorKind, Result};
use crate::interrupt::Stage;
use crate::quant::stride;
use crate::segment::Segment;
use crate::segment::filter_graphs::{FilterAccount, FilterPlace};
use crate::segment::filter_room::{HeldGraph, excess, going};
use crate::shard::ReadView;

impl Worker {
    /// Builds a graph of a filter that searches have earned. Returns whether there was one to build.
    pub(super) fn build_filter_graph(&self, cores: Cores) -> Result<bool> {
        let (engine, view) = (&self.engine, self.engine.view.get());
        let due =
            readable(&view).find_map(|(file_id, segment)| Some((file_id, segment, segment.filter_graphs.take_due()?)));
        let Some((file_id, segment, due)) = due else { return Ok(false) };
        let rough = filter_graph_bytes(due.nodes, segment.dims());
        if segment.codes_problem().is_some() || self.going(&view, &due, rough).is_none() {
            segment.filter_graphs.put_off(due);
            return Ok(true);
        }
        // The same segment with other derived files keeps its graphs of filters.
        let is_there = || readable(&engine.view.get()).any(|(there, _)| there == file_id);
        let next_step = engine.steps(Stage::Graph, 0);
        let go_on = || if is_there() { next_step() } else { Err(superseded()) };
        let built = vectors_passing(segment, &due).and_then(|passing| {
            let bytes = filter_graph_bytes(passing.vectors.len(), segment.dims());
            let Some(going) = self.going(&view, &due, bytes) else { return Ok(None) };
            let pool = pool(cores)?;
            going.iter().for_each(|(segment, place)| segment.filter_graphs.remove(place));
            build_filter_graph(segment, &due, passing, &pool, &go_on)
        });
        match built {
            // There is no room, or there are no codes, which will be rebuilt.
            Ok(None) => segment.filter_graphs.put_off(due),
            Ok(Some(graph)) => segment.filter_graphs.keep(due, graph),
            // Searches report the damage that concerns them.
            Err(error) if error.kind() == ErrorKind::Damaged => segment.filter_graphs.refuse(due),
            Err(error) if is_there() => {
                segment.filter_graphs.put_off(due);
                return Err(error);
            }
            Err(_) => {}
        }
        Ok(true)
    }

    /// Lets graphs go that have no room any more: a segment has gone, and with it a part of the room.
    pub(super) fn trim_filter_graphs(&self) {
        let view = self.engine.view.get();
        let held = held(&view);
        let graphs: Vec<HeldGraph> = held.iter().map(|(.., graph)| *graph).collect();
        for at in excess(&graphs, self.room(&view), self.engine.accounts.filtered()) {
            if let Some((segment, place, _)) = held.get(at) {
                segment.filter_graphs.remove(place);
            }
        }
    }

    /// The bytes that graphs of filters of the store may take.
    fn room(&self, view: &ReadView) -> usize {
        let codes = readable(view).map(|(_, segment)| u64::from(segment.vectors()) * stride(segment.dims()) as u64);
        filter_graph_room(codes.sum(), &self.engine.tuning)
    }

    /// The graphs that have to go so that one of so many bytes has room, with their segments. `None` if it has none.
    fn going<'v>(
        &self,
        view: &'v ReadView,
        due: &FilterAccount,
        bytes: usize,
    ) -> Option<Vec<(&'v Segment, FilterPlace)>> {
        let held = held(view);
        let (graphs, coming): (Vec<HeldGraph>, _) =
            (held.iter().map(|(.., graph)| *graph).collect(), HeldGraph { bytes, worth: due.worth });
        let going = going(&graphs, &coming, self.room(view), self.engine.accounts.filtered())?;
        let of_going = held.into_iter().enumerate().filter(|(at, _)| going.contains(at));
        Some(of_going.map(|(_, (segment, place, _))| (segment, place)).collect())
    }
}

/// The graphs of filters of all segments.
fn held(view: &ReadView) -> Vec<(&Segment, FilterPlace, HeldGraph)> {
    let of = |segment: &'_ Segment| segment.filter_graphs.held();
    readable(view)
        .flat_map(|(_, segment)| of(segment).into_iter().map(move |(place, held)| (segment, place, held)))
        .collect()
}

/// The segments of a view that can be read, each with the number of its file.
fn readable(view: &ReadView) -> impl Iterator<Item = (u64, &Segment)> {
    let parts = view.shards.iter().flat_map(|shard| &shard.segments);
    parts.filter_map(|part| Some((part.entry.file_id, part.segment().ok()?)))
}
