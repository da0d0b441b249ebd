//! The graphs of parts: which graphs a part lacks, and how they are built, for the output of a merge or for an existing
//! segment.
//!
//! Invariants:
//! * A build holds no lock of the engine. If a merge takes the segment away, the build ends, and its files are removed.
//! * Builds in the background run on half the cores, at low priority. Builds that a caller waits for run on all cores,
//!   at normal priority. A forked child has threads of its own.

use std::cell::RefCell;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::compact::graphs::{
    BuildFacts, Builder, GraphSource, automatic, bytes_estimate, due, excess, lasting, vectors_of,
};
use crate::compact::row_map::RowMap;
use crate::engine::Engine;
use crate::engine::merged_graphs::MergedGraphs;
use crate::engine::replace::replace;
use crate::engine::space::Purpose;
use crate::engine::space::output_files::OutputFiles;
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::ids::{IdRange, RowId};
use crate::interrupt::Stage;
use crate::manifest::{FileKind, SegmentEntry, SideEntry};
use crate::segment::Segment;
use crate::segment::derived::UnopenedGraph;
use crate::segment::derived::codes::DerivedFile;
use crate::segment::derived::graph::{GRAPH_FORM, SegmentGraph};
use crate::segment::derived::graph_scope::{GraphRange, GraphScope, Origin};
use crate::shard::part::{SegmentPart, SharedSegment};
use crate::storage::disk;
use crate::storage::forks::PerProcess;
use crate::sync::{AtomicBool, Ordering};
use crate::tuning::Tuning;

/// How many cores a build uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// In the background.
    Half,
    /// A caller waits for the build.
    All,
}

/// The threads of a build.
pub(crate) fn pool(cores: Cores) -> Result<Arc<rayon::ThreadPool>> {
    static BACKGROUND: PerProcess<Arc<rayon::ThreadPool>> = PerProcess::new();
    let all = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let make = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|index| format!("vecmem-graph-{index}"))
            .start_handler(move |_| {
                if cores == Cores::Half {
                    disk::lower_priority();
                }
            })
            .build();
        pool.map(Arc::new)
            .map_err(|error| Error::io("vecmem-graph", "start the threads of a build", std::io::Error::other(error)))
    };
    match (cores, BACKGROUND.get()) {
        (Cores::All, _) => make(all),
        (Cores::Half, Some(pool)) => Ok(Arc::clone(pool)),
        (Cores::Half, None) => {
            let pool = make((all / 2).max(1))?;
            Ok(Arc::clone(BACKGROUND.get_or_set(pool)))
        }
    }
}

/// Calls `step` with a builder of graphs.
fn with_builder<T>(
    engine: &Engine,
    outputs: &mut OutputFiles,
    cores: Cores,
    go_on: &(dyn Fn() -> Result<()> + Sync),
    step: impl FnOnce(&Builder<'_>) -> Result<T>,
) -> Result<T> {
    let pool = pool(cores)?;
    let outputs = RefCell::new(outputs);
    step(&Builder {
        storage: &*engine.storage,
        clock: engine.clock.machine(),
        keys: engine.identity.keys,
        pool: &pool,
        go_on,
        new_file_id: &|| outputs.borrow_mut().graph(),
    })
}

/// The output of a merge with its graphs: those of large namespaces, and those kept from the inputs. `rows` says where
/// the rows of the inputs lie in the output. If the disk is full, this fails, and `output` notes the graphs for later.
///
/// In the background, a large namespace without a graph in the inputs is left to `vecmem-graphs`: it had flat searches
/// before, and a merge that builds graphs delays other merges. If merges are behind, all large namespaces are left.
pub(crate) fn of_merge(
    engine: &Engine,
    output: &SharedSegment,
    outputs: &mut OutputFiles,
    inputs: &[SharedSegment],
    rows: &[RowMap],
    cores: Cores,
) -> Result<SharedSegment> {
    let segment = output.segment()?;
    let merged = MergedGraphs::of(segment, inputs, &engine.tuning)?;
    let mut wanted = merged.wanted()?;
    if cores == Cores::Half {
        let is_behind = is_behind(engine, inputs);
        let is_kept = |wanted: &GraphRange| !is_behind && merged.had(&wanted.rows);
        wanted.retain(|wanted| wanted.origin != Origin::Automatic || is_kept(wanted));
    }
    if wanted.is_empty() {
        return Ok(Arc::clone(output));
    }
    let sources = inputs.iter().zip(rows).map(|(part, became)| Ok(GraphSource { segment: part.segment()?, became }));
    let sources = sources.collect::<Result<Vec<_>>>()?;
    let go_on = engine.steps(Stage::Graph, 0);
    let built = check_room(outputs, segment, &wanted).and_then(|()| {
        with_builder(engine, outputs, cores, &go_on, |builder| builder.graphs(segment, &wanted, &sources))
    });
    if built.as_ref().is_err_and(|error| error.kind() == ErrorKind::DiskFull) {
        output.put_off_graphs(wanted);
    }
    let graphs = built?;
    merged.pass_on_credit(&graphs)?;
    count(engine, &graphs);
    let entry = entry_with(&output.entry, &graphs, &[]);
    Ok(Arc::new(output.beside(entry, segment.with_graphs(graphs, Vec::new()))))
}

/// Whether the shard of these inputs will still have too many segments after the merge.
fn is_behind(engine: &Engine, inputs: &[SharedSegment]) -> bool {
    let is_input = |part: &SharedSegment| inputs.iter().any(|input| Arc::ptr_eq(input, part));
    let view = engine.view.get();
    let shard = view.shards.iter().find(|shard| shard.segments.iter().any(is_input));
    shard.is_some_and(|shard| shard.segments.len() + 1 > engine.tuning.segments_max + inputs.len())
}

fn count(engine: &Engine, graphs: &[Arc<SegmentGraph>]) {
    engine.counters.graph_builds.fetch_add(graphs.len() as u64, Ordering::Relaxed);
    for graph in graphs {
        events::graph_built(graph.vectors().len(), graph.bytes(), Duration::from_nanos(graph.build_ns()));
    }
}

/// The file ids of a segment's graphs that verification has found damaged.
pub(crate) fn damaged(segment: &Segment) -> Vec<u64> {
    segment.graphs().iter().filter(|graph| graph.problem().is_some()).map(|graph| graph.file_id()).collect()
}

/// The graphs that a part lacks: those of large namespaces, those that replace damaged ones, and `more`. A graph that
/// would be one too many over a row and is worth less than the existing ones is left out.
fn lacking(part: &SegmentPart, damaged: &[u64], more: &[GraphRange], tuning: &Tuning) -> Result<Vec<GraphRange>> {
    let segment = part.segment()?;
    let mut wanted = automatic(segment, tuning.graph_rows)?;
    let (gone, there): (Vec<_>, Vec<_>) = segment.graphs().iter().partition(|graph| damaged.contains(&graph.file_id()));
    let (lost, unread): (Vec<_>, Vec<_>) = segment.unopened_graphs().iter().partition(|graph| graph.is_lost());
    let terms_of = |unopened: Vec<&UnopenedGraph>| -> Vec<GraphRange> {
        unopened.iter().filter_map(|graph| part.entry.graph_terms(graph.file_id)).collect()
    };
    let again = gone.iter().map(|graph| graph.description().wanted()).chain(terms_of(lost));
    wanted.extend(again.filter(|wanted| wanted.origin != Origin::Automatic));
    // A requested graph is written again if one over its rows exists, so that its file says that it was requested.
    let asked = |rows: &Range<RowId>| more.iter().any(|more| more.origin == Origin::Requested && more.rows == *rows);
    let rows = there.iter().map(|graph| graph.rows()).chain(terms_of(unread).into_iter().map(|wanted| wanted.rows));
    let rows: Vec<Range<RowId>> = rows.filter(|rows| !asked(rows)).collect();
    wanted.extend_from_slice(more);
    let wanted = due(wanted, &rows);
    let beside = there.into_iter().filter(|graph| wanted.iter().all(|wanted| wanted.rows != graph.rows()));
    let beside: Vec<BuildFacts> = beside.map(|graph| facts(graph)).collect();
    let bytes = |wanted: GraphRange| Ok((bytes_estimate(vectors_of(segment, &wanted.rows)?.len()), wanted));
    let wanted = wanted.into_iter().map(|wanted| bytes(wanted).map(|(bytes, wanted)| (wanted, bytes)));
    Ok(lasting(wanted.collect::<Result<_>>()?, &beside))
}

/// The facts of an existing graph for `excess`.
fn facts(graph: &SegmentGraph) -> BuildFacts {
    let (rows, origin) = (graph.rows(), graph.origin());
    BuildFacts { rows, origin, is_new: false, saved_ns: graph.saved_ns(), bytes: graph.bytes() }
}

/// A part, and the entry and segment that are to replace its own, with the graphs that were built.
pub(crate) struct Rebuilt {
    part: SharedSegment,
    entry: SegmentEntry,
    segment: Segment,
    /// The new graphs, by file id.
    built: Vec<u64>,
    outputs: OutputFiles,
}

/// The fate of a graph of the part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GraphFate {
    Kept,
    /// A new graph of the same rows replaces it.
    Rebuilt,
    /// The graph is removed: no caller asked for it, and other graphs over its rows are worth more.
    Dropped,
}

/// Why a build ends whose segment is gone.
pub(crate) fn superseded() -> Error {
    Error::new(ErrorKind::Interrupted, "a merge took the segment away whose graph was being built")
}

/// Builds the graphs that the part lacks, and `more`, and leaves out the damaged ones. `None` if there is nothing to
/// do, if codes must be rebuilt first, or if the part was replaced. No read sees a graph before [`Rebuilt::install`].
pub(crate) fn build_missing(
    engine: &Arc<Engine>,
    part: &SharedSegment,
    damaged: &[u64],
    more: &[GraphRange],
    cores: Cores,
) -> Result<Option<Rebuilt>> {
    let segment = part.segment()?;
    let wanted = lacking(part, damaged, more, &engine.tuning)?;
    let lost = segment.unopened_graphs().iter().any(|graph| graph.is_lost());
    let nothing = wanted.is_empty() && damaged.is_empty() && !lost;
    if nothing || !has_codes(segment, &wanted)? {
        return Ok(None);
    }
    let mut outputs = OutputFiles::new(engine);
    check_room(&mut outputs, segment, &wanted)?;
    let is_there = || engine.view.get().has_segment(part);
    let next_step = engine.steps(Stage::Graph, 0);
    let is_superseded = AtomicBool::new(false);
    // The error only ends the build. This function does not return it.
    let go_on = || {
        if is_there() {
            return next_step();
        }
        is_superseded.store(true, Ordering::Relaxed);
        Err(superseded())
    };
    let became = RowMap::identity(segment.all_rows());
    let sources = [GraphSource { segment, became: &became }];
    let built = with_builder(engine, &mut outputs, cores, &go_on, |builder| builder.graphs(segment, &wanted, &sources));
    let new = match built {
        Err(_) if is_superseded.load(Ordering::Relaxed) => return Ok(None),
        other => other?,
    };
    let (graphs, gone) = chosen(segment, damaged, new.clone());
    // The files of new graphs that are one too many are removed.
    outputs.discard_graphs(gone.iter().map(|graph| graph.file_id()));
    let is_new = |graph: &&Arc<SegmentGraph>| new.iter().any(|new| Arc::ptr_eq(new, graph));
    let kept: Vec<Arc<SegmentGraph>> = graphs.iter().filter(is_new).cloned().collect();
    let built = kept.iter().map(|graph| graph.file_id()).collect();
    count(engine, &kept);
    let unopened = unread(part, segment, &graphs);
    let entry = entry_with(&part.entry, &graphs, &unopened);
    Ok(Some(Rebuilt { part: Arc::clone(part), entry, segment: segment.with_graphs(graphs, unopened), built, outputs }))
}

/// Whether all codes from which these graphs would be built are whole. The segment notes the damage that this finds.
pub(crate) fn has_codes(segment: &Segment, wanted: &[GraphRange]) -> Result<bool> {
    for wanted in wanted {
        if segment.points(vectors_of(segment, &wanted.rows)?).is_none() {
            return Ok(false);
        }
    }
    Ok(segment.codes_problem().is_none())
}

/// The graphs that did not open but may be whole, unless one of `graphs` covers the same rows. They are kept.
fn unread(part: &SegmentPart, segment: &Segment, graphs: &[Arc<SegmentGraph>]) -> Vec<UnopenedGraph> {
    let stays = |unopened: &&UnopenedGraph| {
        let terms = part.entry.graph_terms(unopened.file_id);
        !unopened.is_lost() && terms.is_none_or(|terms| graphs.iter().all(|graph| graph.rows() != terms.rows))
    };
    segment.unopened_graphs().iter().filter(stays).cloned().collect()
}

/// The graphs that the segment keeps, with those just built, and the graphs to remove: no row lies in more than two.
fn chosen(
    segment: &Segment,
    damaged: &[u64],
    built: Vec<Arc<SegmentGraph>>,
) -> (Vec<Arc<SegmentGraph>>, Vec<Arc<SegmentGraph>>) {
    let replaced = |graph: &SegmentGraph| built.iter().any(|new| new.rows() == graph.rows());
    let old = segment.graphs().iter().filter(|graph| !damaged.contains(&graph.file_id()) && !replaced(graph));
    let mut graphs: Vec<Arc<SegmentGraph>> = old.cloned().collect();
    let first_new = graphs.len();
    graphs.extend(built);
    let facts: Vec<BuildFacts> = (graphs.iter().enumerate())
        .map(|(position, graph)| match position >= first_new {
            true => BuildFacts::of_new(&graph.description().wanted(), graph.bytes()),
            false => facts(graph),
        })
        .collect();
    let going = excess(&facts).into_iter().rev().map(|position| graphs.remove(position)).collect();
    (graphs, going)
}

/// Asks for the disk space that the graphs need. Fails if there is not enough.
fn check_room(outputs: &mut OutputFiles, segment: &Segment, wanted: &[GraphRange]) -> Result<()> {
    let mut needed = 0;
    for wanted in wanted {
        needed += bytes_estimate(vectors_of(segment, &wanted.rows)?.len());
    }
    outputs.ask_for_space(Purpose::Merge, needed, "building graphs")
}

/// The entry with `graphs` in the place of its graphs. The `unopened` graphs stay, and so do graphs of forms that only
/// a newer version knows.
fn entry_with(entry: &SegmentEntry, graphs: &[Arc<SegmentGraph>], unopened: &[UnopenedGraph]) -> SegmentEntry {
    let mut entry = entry.clone();
    let stays = |file_id: u64| unopened.iter().any(|unopened| unopened.file_id == file_id);
    entry
        .derived
        .retain(|derived| derived.kind != FileKind::GRAPH || derived.version > GRAPH_FORM || stays(derived.file_id));
    let file = |graph: &SegmentGraph| DerivedFile { file_id: graph.file_id(), length: graph.bytes() };
    let named = |graph: &Arc<SegmentGraph>| SideEntry::graph(file(graph), &graph.description().wanted());
    entry.derived.extend(graphs.iter().map(named));
    entry
}

impl Rebuilt {
    /// Makes the part with its new graphs current. Returns false if a merge took the part away meanwhile.
    pub fn install(self, engine: &Arc<Engine>) -> Result<bool> {
        replace(engine, &self.part, self.entry, self.segment, self.outputs)
    }

    /// The fate of this graph of the part.
    pub fn fate(&self, file_id: u64) -> GraphFate {
        if self.entry.derived.iter().any(|derived| derived.kind == FileKind::GRAPH && derived.file_id == file_id) {
            return GraphFate::Kept;
        }
        let rows = self.part.entry.graph_terms(file_id).map(|terms| terms.rows);
        let mut new = self.segment.graphs().iter().filter(|graph| self.built.contains(&graph.file_id()));
        if new.any(|graph| Some(graph.rows()) == rows) { GraphFate::Rebuilt } else { GraphFate::Dropped }
    }

    /// How many graphs were built, their nodes, and their bytes.
    pub fn built(&self) -> (u64, u64, u64) {
        let new = self.segment.graphs().iter().filter(|graph| self.built.contains(&graph.file_id()));
        new.fold((0, 0, 0), |(graphs, nodes, bytes), graph| {
            (graphs + 1, nodes + graph.vectors().len() as u64, bytes + graph.bytes())
        })
    }
}

/// The graph to build in a part on a request for `scope`, which has these rows. `None` if the part has that graph, or
/// has no vectors in the scope.
pub(crate) fn requested(part: &SegmentPart, scope: GraphScope, rows: Range<RowId>) -> Result<Option<GraphRange>> {
    let segment = part.segment()?;
    let is_it = |graph: &SegmentGraph| {
        let description = graph.description();
        let as_wide = description.scope.breadth() >= scope.breadth();
        graph.rows() == rows && description.origin == Origin::Requested && as_wide && graph.searchable().is_some()
    };
    if vectors_of(segment, &rows)?.is_empty() || segment.graphs().iter().any(|graph| is_it(graph)) {
        return Ok(None);
    }
    Ok(Some(GraphRange { rows, scope, origin: Origin::Requested }))
}
