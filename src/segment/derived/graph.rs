//! A graph over some rows of a segment: a derived file, mapped. Each number in the file is compared with its bounds
//! before the first search.
//!
//! Invariants:
//! * A graph file names the truth file, by id and by header CRC, and the encoding of the codes that it was built from.
//!   Codes are a function of the vectors, so codes that were rebuilt keep a graph valid.
//! * [`SegmentGraph::searchable`] gives a graph only after [`SegmentGraph::verify`] has found it valid: the checksums
//!   of the graph and of its codes, every number of the graph, and the vectors of its rows. Until then, and after a
//!   failure, the rows get a flat search.
//!
//! # Format
//!
//! `seg-{file id, 16 hex digits}.graph` is a file in checked blocks (`blocks.rs` has its frame and the first 64 bytes
//! of the header) with magic `VECMEMGR` and format version 2. Little endian.
//!
//! ```text
//! OFFSET  SIZE   MEANING
//! 64      2      kind of derived file: 4, graph (2 in format version 1, which is not read)
//! 66      2      encoding of the codes: 1 (`derived.rs`)
//! 68      2      origin: 1 automatic, 2 earned, 3 requested
//! 70      2      scope: 1 namespace, 2 prefix, 3 store
//! 72      4      bytes of the first row's encoded namespace that make the scope: all for a namespace, 0 for the store
//! 76      4      first row
//! 80      4      end of the rows
//! 84      4      first vector: node 0
//! 88      4      n, number of nodes, which are the vectors of the rows
//! 92      4      header CRC of the truth file
//! 96      8      file id of the truth file
//! 104     8      cost of the build: nanoseconds of one core
//! 112     4 x 3  m, m0, ef_construction
//! 124     4      alpha, f32
//! 128     8      seed
//! 136     8      l, number of links
//! 144     8      u, numbers in the upper levels
//! 152     4 x 2  f32: the likeness below which a query is of the second class, and of the third
//! 160     4 x 5  class 1: ef for 10 results at recall 0.90, 0.95, 0.98, 0.99, 0.995
//! 180     4 x 5  the same for 100 results
//! 200     80     the same of the second class and of the third
//! 280     4 x 5  distances that a search with ef 10, 40, 160, 640, 2560 computes
//! 4096    l x 4  links (`graph/mod.rs` says what they are)
//! then    u x 4  upper levels, at the next multiple of 64
//! ```

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use crate::codec::{Decoded, Reader, Writer};
use crate::error::{Error, ErrorKind, Result};
use crate::graph::calibration::{CLASSES, Calibration};
use crate::graph::{Built, Graph, Parameters};
use crate::ids::{Id, IdRange, NodeId, RowId, VectorId};
use crate::interrupt::GoOn;
use crate::segment::blocks::{ALIGNMENT, BlockWriter, CheckedMap, FileIdentity, HEADER_BYTES};
use crate::segment::derived::codes::{CODES_ENCODING, Codes, DerivedFile, TruthId};
use crate::segment::derived::graph_scope::{GraphRange, GraphScope, Origin};
use crate::segment::derived::live_recall::{LiveRecall, NumberedTable};
use crate::segment::truth::layout::{Section, StoreIdentity, graph_name};
use crate::segment::truth::reader::Truth;
use crate::storage::Storage;
use crate::sync::{AtomicU64, Ordering};

const MAGIC: &[u8; 8] = b"VECMEMGR";
const VERSION: u32 = 2;

/// The kind of derived file in the header. A graph of format version 1 has another, so that it is not opened: its table
/// knows no classes of queries, and under `Dot` it was built on no distance. It is built again.
const KIND_GRAPH: u16 = 4;
const KIND_OLDER_GRAPH: u16 = 2;
/// The version of a graph file in a manifest. A graph file of another version is not opened.
pub(crate) const GRAPH_FORM: u16 = 1;

pub(crate) fn identity(store_id: u64, file_id: u64) -> FileIdentity {
    FileIdentity { magic: *MAGIC, version: VERSION, store_id, file_id }
}

/// The description of a graph in the header of its file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Description {
    pub rows: Range<RowId>,
    pub vectors: Range<VectorId>,
    pub origin: Origin,
    pub scope: GraphScope,
    pub parameters: Parameters,
    /// The cost of the build: nanoseconds of one core.
    pub build_ns: u64,
    pub calibration: Calibration,
}

impl Description {
    /// The rows, the scope and the origin of the graph.
    pub fn wanted(&self) -> GraphRange {
        GraphRange { rows: self.rows.clone(), scope: self.scope, origin: self.origin }
    }

    fn encode(&self, truth: TruthId, built: &Built) -> Vec<u8> {
        let mut out = Writer::new();
        out.u16(KIND_GRAPH);
        out.u16(CODES_ENCODING);
        self.wanted().encode(&mut out);
        out.u32(self.vectors.start.0);
        out.u32(self.vectors.len() as u32);
        out.u32(truth.header_crc);
        out.u64(truth.file_id);
        out.u64(self.build_ns);
        let Parameters { m, m0, ef_construction, alpha, seed } = self.parameters;
        [m, m0, ef_construction, alpha.to_bits()].into_iter().for_each(|number| out.u32(number));
        out.u64(seed);
        out.u64(built.links.len() as u64);
        out.u64(built.upper.len() as u64);
        self.calibration.bounds.iter().for_each(|bound| out.u32(bound.to_bits()));
        self.calibration.ef.iter().flatten().flatten().for_each(|&ef| out.u32(ef));
        self.calibration.visits.iter().for_each(|&visits| out.u32(visits));
        out.into_vec()
    }
}

/// A decoded header: the truth file, the description, and the lengths of both arrays.
struct Fields {
    truth: TruthId,
    description: Description,
    links: u64,
    upper: u64,
}

fn decode(fields: &[u8]) -> Decoded<Fields> {
    let mut reader = Reader::new(fields);
    if (reader.u16()?, reader.u16()?) != (KIND_GRAPH, CODES_ENCODING) {
        return Err(reader.malformed("the graph is of an older format, or was built from codes in another encoding"));
    }
    let GraphRange { rows, scope, origin } = GraphRange::decode(&mut reader)?;
    let (first, nodes) = (reader.u32()?, reader.u32()?);
    let Some(end) = first.checked_add(nodes).filter(|_| nodes > 0) else {
        return Err(reader.malformed("the vectors are none"));
    };
    let header_crc = reader.u32()?;
    let truth = TruthId { file_id: reader.u64()?, header_crc };
    let build_ns = reader.u64()?;
    let (m, m0, ef_construction) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let alpha = f32::from_bits(reader.u32()?);
    let parameters = Parameters { m, m0, ef_construction, alpha, seed: reader.u64()? };
    let (links, upper) = (reader.u64()?, reader.u64()?);
    let mut calibration = Calibration { bounds: [0.0; CLASSES - 1], ef: [[[0; 5]; 2]; CLASSES], visits: [0; 5] };
    for bound in &mut calibration.bounds {
        *bound = f32::from_bits(reader.u32()?);
    }
    for ef in calibration.ef.iter_mut().flatten().flatten() {
        *ef = reader.u32()?;
    }
    for visits in &mut calibration.visits {
        *visits = reader.u32()?;
    }
    let description =
        Description { rows, vectors: VectorId::range(first..end), origin, scope, parameters, build_ns, calibration };
    Ok(Fields { truth, description, links, upper })
}

/// The file, if its header is whole and says that its graph is of an older format.
pub(super) fn open_older(storage: &dyn Storage, keys: &StoreIdentity, file_id: u64) -> Option<Arc<CheckedMap>> {
    let file = CheckedMap::open(storage, graph_name(file_id), identity(keys.store_id, file_id)).ok()?;
    (Reader::new(file.fields()).u16().ok()? == KIND_OLDER_GRAPH).then(|| Arc::new(file))
}

/// Writes a graph of the segment that `truth` identifies, and syncs the file. The caller syncs the directory.
pub(crate) fn write(
    storage: &dyn Storage,
    keys: &StoreIdentity,
    file_id: u64,
    truth: TruthId,
    description: &Description,
    built: &Built,
) -> Result<DerivedFile> {
    let mut file = BlockWriter::create(storage, &graph_name(file_id), identity(keys.store_id, file_id))?;
    let mut at = HEADER_BYTES as u64;
    for numbers in [bytemuck::cast_slice(&built.links), &built.upper[..]] {
        file.write_at(at, bytemuck::cast_slice(numbers))?;
        let end = at + 4 * numbers.len() as u64;
        at = end.next_multiple_of(ALIGNMENT as u64);
        file.write_at(end, &[0; ALIGNMENT][..(at - end) as usize])?;
    }
    let finished = file.finish(at, &description.encode(truth, built))?;
    Ok(DerivedFile { file_id, length: finished.length })
}

/// A graph of a segment, mapped.
pub(crate) struct SegmentGraph {
    file: CheckedMap,
    file_id: u64,
    description: Description,
    links: Range<usize>,
    upper: Range<usize>,
    /// The outcome of verification: `None` if the graph is valid. Not set before.
    verified: OnceLock<Option<Error>>,
    /// Whether each row of the graph has one vector. Not set before somebody asked.
    one_each: OnceLock<bool>,
    /// Estimated nanoseconds that graph searches saved compared with flat searches.
    saved_ns: Counter,
    /// The credit of an earned graph when its file was opened, in thousandths of its price.
    credit: AtomicU64,
    /// What queries of the graph have found.
    pub live: LiveRecall,
}

/// A counter that every graph search adds to. It has a cache line of its own, so that it does not slow reads of its
/// neighbours.
#[derive(Default)]
#[repr(align(64))]
struct Counter(AtomicU64);

impl SegmentGraph {
    /// Opens a graph of the segment of `truth_file`. Reads the header and the table of checksums, nothing of the body.
    pub fn open(storage: &dyn Storage, keys: &StoreIdentity, file_id: u64, truth_file: &Truth) -> Result<Self> {
        let file = CheckedMap::open_hot(storage, graph_name(file_id), identity(keys.store_id, file_id))?;
        let corrupt = |what: &str| Error::corrupt(file.name(), 64, what);
        let Fields { truth, description, links, upper } =
            decode(file.fields()).map_err(|error| error.in_file(file.name(), 64))?;
        let counts = &truth_file.header().counts;
        if truth != truth_file.truth_id()
            || description.rows.end.0 > counts.rows
            || description.vectors.end.0 > counts.vectors
        {
            return Err(corrupt("the graph was built from another file"));
        }
        let section = |start: usize, numbers: u64| {
            let end = usize::try_from(numbers).ok()?.checked_mul(4)?.checked_add(start)?;
            (end <= file.body_end()).then_some(start..end)
        };
        let links = section(HEADER_BYTES, links);
        let upper = links.as_ref().and_then(|links| section(links.end.next_multiple_of(ALIGNMENT), upper));
        let (Some(links), Some(upper)) = (links, upper) else {
            return Err(corrupt("the arrays of the graph reach beyond the end of the file"));
        };
        let (verified, one_each, saved_ns) = (OnceLock::new(), OnceLock::new(), Counter::default());
        // It was earned, or kept, before the store was closed.
        let credit = AtomicU64::new(1_000);
        let live = LiveRecall::default();
        Ok(Self { file, file_id, description, links, upper, verified, one_each, saved_ns, credit, live })
    }

    pub fn file_id(&self) -> u64 {
        self.file_id
    }

    /// What the header says.
    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The rows of the segment that the graph covers.
    #[inline]
    pub fn rows(&self) -> Range<RowId> {
        self.description.rows.clone()
    }

    /// The vectors of these rows; node i is vector `start + i`.
    #[inline]
    pub fn vectors(&self) -> Range<VectorId> {
        self.description.vectors.clone()
    }

    /// Whether each row has one vector, so that the number of a node is that of its row counted from the first. `find`
    /// is called once.
    pub fn has_one_vector_a_row(&self, find: impl FnOnce() -> bool) -> bool {
        *self.one_each.get_or_init(find)
    }

    pub fn origin(&self) -> Origin {
        self.description.origin
    }

    /// The table in force: that of the file, with the ef that were fitted to queries since.
    pub fn calibration(&self) -> NumberedTable {
        self.live.table(&self.description.calibration)
    }

    /// The cost of the build: nanoseconds of one core, as the header says.
    pub fn build_ns(&self) -> u64 {
        self.description.build_ns
    }

    /// Bytes of the file.
    pub fn bytes(&self) -> u64 {
        self.file.bytes().len() as u64
    }

    /// Verifies the graph once: the checksums of the file, the vectors of its rows, and every number in it. Later calls
    /// return the outcome of the first. `truth` is the truth file that the graph was opened for, and `codes` are the
    /// checked codes of its vectors, without which it fails.
    pub fn verify(&self, truth: &Truth, codes: Option<&Codes>) -> Result<()> {
        match self.verified.get_or_init(|| self.examine(truth, codes).err()) {
            None => Ok(()),
            Some(error) => Err(error.duplicate()),
        }
    }

    /// Whether [`SegmentGraph::verify`] has finished once, with any outcome.
    pub fn is_verified(&self) -> bool {
        self.verified.get().is_some()
    }

    fn examine(&self, truth: &Truth, codes: Option<&Codes>) -> Result<()> {
        self.file.ensure(HEADER_BYTES..self.file.body_end())?;
        if codes.is_none() {
            let what = format!("{} cannot be searched: its segment has no whole codes", self.file.name());
            return Err(Error::new(ErrorKind::Damaged, what));
        }
        self.examine_rows(truth)?;
        let Description { vectors, parameters, .. } = &self.description;
        let (links, upper) = (self.links(), self.upper());
        Graph::check(vectors.len() as u32, parameters, links, upper)
            .map(drop)
            .map_err(|what| self.file.damaged(HEADER_BYTES, what))
    }

    /// Checks that the rows have exactly the vectors of the nodes, in order, and that each vector names its row.
    fn examine_rows(&self, truth: &Truth) -> Result<()> {
        let Description { rows, vectors, .. } = &self.description;
        truth.ensure_rows(rows.start..rows.end + 1, &[Section::FirstVector])?;
        truth.ensure_vectors(vectors.clone(), &[Section::VectorRow, Section::InverseNorm])?;
        let named = truth.vector_row_column();
        let mut next = vectors.start;
        for row in rows.ids() {
            let own = truth.row_vectors(row)?;
            let all_named = named[own.indices()].iter().all(|&name| name == row);
            if own.start != next || !all_named {
                return Err(self.file.damaged(76, format!("row {row} has other vectors than the graph's nodes")));
            }
            next = own.end;
        }
        if next == vectors.end {
            Ok(())
        } else {
            Err(self.file.damaged(88, "the rows have other vectors than the nodes"))
        }
    }

    /// The graph, if [`SegmentGraph::verify`] has succeeded. Never blocks, never verifies.
    #[inline]
    pub fn searchable(&self) -> Option<Graph<'_>> {
        let Some(None) = self.verified.get() else { return None };
        let Description { vectors, parameters, .. } = &self.description;
        let (links, upper) = (self.links(), self.upper());
        // SAFETY: `verified` holds `None`, so `Graph::check` has succeeded for these arguments. The map never changes.
        unsafe { Graph::checked_before(vectors.len() as u32, parameters, links, upper) }.ok()
    }

    fn links(&self) -> &[NodeId] {
        bytemuck::cast_slice(&self.file.bytes()[self.links.clone()])
    }

    fn upper(&self) -> &[u32] {
        bytemuck::cast_slice(&self.file.bytes()[self.upper.clone()])
    }

    /// A copy of the arrays, as they are stored.
    pub fn built(&self) -> Built {
        Built { links: self.links().to_vec(), upper: self.upper().to_vec() }
    }

    /// What the graph has saved, with the credit that it began with, where `price_ns` is its price.
    pub fn credit_ns(&self, price_ns: u64) -> u64 {
        let began = u128::from(price_ns) * u128::from(self.credit.load(Ordering::Relaxed)) / 1_000;
        self.saved_ns().saturating_add(began as u64)
    }

    /// Sets the credit that the graph begins with. Called before a search can use it.
    pub fn begin_with_credit(&self, credit_ns: u64, price_ns: u64) {
        let thousandths = u128::from(credit_ns) * 1_000 / u128::from(price_ns.max(1));
        self.credit.store(thousandths.min(1_000) as u64, Ordering::Relaxed);
    }

    /// Adds the estimated nanoseconds that a graph search saved compared with a flat search.
    pub fn add_saved(&self, ns: u64) {
        self.saved_ns.0.fetch_add(ns, Ordering::Relaxed);
    }

    /// The estimated nanoseconds that graph searches saved compared with flat searches since the file was opened.
    pub fn saved_ns(&self) -> u64 {
        self.saved_ns.0.load(Ordering::Relaxed)
    }

    /// Why the graph is not searched, if verification has found a reason.
    pub fn problem(&self) -> Option<String> {
        self.verified.get()?.as_ref().map(ToString::to_string)
    }

    /// Every block that fails its checksum. If there is none, the problem that verification finds.
    pub fn check_all(&self, truth: &Truth, codes: Option<&Codes>, go_on: &GoOn<'_>) -> Vec<Error> {
        let mut problems = self.file.check_all(go_on);
        if problems.is_empty() {
            problems.extend(self.examine(truth, codes).err());
        }
        problems
    }
}
