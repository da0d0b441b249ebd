//! The fuzz bodies of segments, one for each kind of file and structure in them. The input is edits; the checksums of
//! the files are made right again.
//!
//! Invariant: a fuzz body panics only if a reader panics, answers outside of its bounds, or if an oracle differs.

use std::cmp::Ordering;
use std::sync::OnceLock;

use super::edits::edited;
use super::good_store::{damage, good_store, newest_manifest};
use crate::codec::Reader;
use crate::distance::Kernels;
use crate::graph::{self, BeamParameters, Built, Candidate, Graph, Parameters, Points};
use crate::ids::NodeId;
use crate::quant::{self, CodeMeta, PreparedQuery};
use crate::segment::Segment;
use crate::segment::blob::packed::{Unpacker, pack, unpack};
use crate::segment::blocks::{FIELDS_AT, HEADER_BYTES};
use crate::segment::fuzz::read_some;
use crate::segment::key_table::{Bucket, KeyTable, build};
use crate::segment::truth::layout::{Header, Section, StoreIdentity};
use crate::types::Metric;

/// The first bytes of a file in checked blocks, which say whose file it is and how long.
const IDENTITY_BYTES: usize = 64;

/// Edits all files of the good store whose names end so, and reads all segments through. Returns whether a reader
/// accepted an edited file.
fn fuzz_segments(ending: &str, script: &[u8], is_accepted: fn(&Segment) -> bool) -> bool {
    let storage = good_store();
    damage(&storage, &mut |files| {
        for (_, content) in files.iter_mut().filter(|(name, _)| name.ends_with(ending)) {
            let length = content.len();
            *content = edited(content, IDENTITY_BYTES, script);
            // The manifest knows the lengths of derived files, and no file is shorter than its header.
            let is_derived = matches!(ending, ".codes" | ".graph");
            content.resize(if is_derived { length } else { content.len().max(HEADER_BYTES) }, 0);
        }
    });
    let Some(manifest) = newest_manifest(&storage) else { unreachable!("the manifest is good") };
    let (space_id, space) = manifest.current_space().unzip();
    let (store_id, secret) = (manifest.store_id, manifest.secret);
    let keys = StoreIdentity { store_id, secret, space, space_id: space_id.unwrap_or_default() };
    let mut accepted = false;
    for entry in manifest.shards.iter().flat_map(|shard| &shard.segments) {
        let Ok(segment) = entry.open(&storage, &keys) else { continue };
        read_some(&segment);
        segment.verify();
        for graph in segment.graphs().iter().filter(|graph| segment.verify_graph(graph).is_ok()) {
            if let (Some(graph), Some(points)) = (graph.searchable(), segment.points(graph.vectors())) {
                let dims = segment.header().space.map_or(0, |space| space.dims);
                search(graph, &points, &vec![0.5; dims], 7);
            }
        }
        accepted |= is_accepted(&segment);
    }
    accepted
}

/// Edits truth files: rows, keys, values, tables of names.
pub(super) fn fuzz_truth(script: &[u8]) -> bool {
    fuzz_segments(".truth", script, |_| true)
}

/// Edits blob files.
pub(super) fn fuzz_blob(script: &[u8]) -> bool {
    fuzz_segments(".blob", script, |segment| {
        segment.blobs().is_ok_and(|blobs| blobs.iter().any(|blob| blob.problem().is_none()))
    })
}

/// Edits codes.
pub(super) fn fuzz_codes(script: &[u8]) -> bool {
    fuzz_segments(".codes", script, |segment| segment.codes(segment.all_vectors()).is_some())
}

/// Edits graphs.
pub(super) fn fuzz_graph_file(script: &[u8]) -> bool {
    fuzz_segments(".graph", script, |segment| segment.graphs().iter().any(|graph| segment.verify_graph(graph).is_ok()))
}

/// The end of the body, u32, and the fields of a truth file.
pub(super) fn good_layout() -> Vec<u8> {
    let storage = good_store();
    let truth = storage.names().into_iter().find(|name| name.ends_with(".truth"));
    let bytes = truth.and_then(|name| storage.read_file(&name)).unwrap_or_default();
    [&bytes[40..44], &bytes[FIELDS_AT..HEADER_BYTES - 4]].concat()
}

/// Reads the fields of a truth file.
pub(super) fn fuzz_layout(bytes: &[u8]) -> bool {
    let Some((end, fields)) = bytes.split_first_chunk() else { return false };
    let body_end = u32::from_le_bytes(*end) as usize;
    let Ok(header) = Header::decode(fields, body_end) else { return false };
    for section in [Section::Vectors, Section::Values, Section::Lsn, Section::KeyBytes, Section::ExtensionKind] {
        let range = header.section(section);
        assert!(range.is_empty() || HEADER_BYTES <= range.start && range.end <= body_end, "{section:?}: {range:?}");
    }
    // A file without a section that may be empty is read, and never written.
    if let Ok(again) = Header::decode(&header.encode(), body_end) {
        assert_eq!(again, header, "what was read is written as it was");
    }
    true
}

/// Builds a table of the hashes in `bytes`, finds all of them, and looks up hashes in edited buckets.
pub(super) fn fuzz_key_table(bytes: &[u8]) -> bool {
    let (chosen, script) = bytes.split_at(bytes.len() / 2);
    // Hashes of few different high halves share buckets, which then overflow.
    let hash = |bytes: &[u8]| u64::from(bytes[0] % 8) << 60 | u64::from(bytes[1]) << 32 | u64::from(bytes[0]);
    let hashes: Vec<u64> = chosen.chunks_exact(2).map(hash).collect();
    let (buckets, spill) = build(&hashes);
    let table = KeyTable { buckets: &buckets, spill: &spill };
    for (row, &hash) in (0..).zip(&hashes) {
        let found = table.find(hash, |_| Ok(()), || Ok(()), |found| Ok(found == row));
        assert!(matches!(found, Ok(Some(found)) if found == row), "row {row} is lost");
    }
    let edited: Vec<u8> = edited(bytemuck::cast_slice(&buckets), 0, script);
    let whole = edited.len() / size_of::<Bucket>() * size_of::<Bucket>();
    let buckets: Vec<Bucket> =
        edited[..whole].chunks_exact(size_of::<Bucket>()).map(bytemuck::pod_read_unaligned).collect();
    let table = KeyTable { buckets: &buckets, spill: &spill };
    for &hash in &hashes {
        let mut asked = 0;
        let found = table.find(
            hash,
            |_| Ok(()),
            || Ok(()),
            |row| {
                asked += 1;
                Ok(row == 3)
            },
        );
        assert!(matches!(found, Ok(None | Some(3))) && asked <= 10 + spill.len(), "{found:?} after {asked}");
    }
    !hashes.is_empty()
}

/// A compressed value of several blocks.
pub(super) fn good_packed() -> Vec<u8> {
    let value: Vec<u8> = b"{\"role\":\"user\"},".iter().copied().cycle().take(150_000).collect();
    pack(&value, &mut Vec::new()).map(<[u8]>::to_vec).unwrap_or_default()
}

/// Unpacks a value at once and block by block, and packs the same bytes as a value.
pub(super) fn fuzz_packed(bytes: &[u8]) -> bool {
    if let Some(packed) = pack(bytes, &mut Vec::new()) {
        assert_eq!(unpack(packed).as_deref(), Ok(bytes), "what is packed unpacks");
    }
    let Ok(value) = unpack(bytes) else { return false };
    let Ok(mut unpacker) = Unpacker::new(bytes) else { unreachable!("it was unpacked just now") };
    let mut again = Vec::new();
    while !unpacker.is_complete() && unpacker.next_block(&mut again).is_ok() {}
    assert_eq!(again, value);
    true
}

/// The points and the graph of `fuzz_graph_search`.
struct SmallGraph {
    codes: Vec<i8>,
    metas: Vec<CodeMeta>,
    built: Built,
}

const NODES: u32 = 90;
const UPPER_NODES: u32 = 30;
const TOP_NODES: u32 = 5;
const GRAPH_DIMS: usize = 2;
const SMALL: Parameters = Parameters { m: 3, m0: 5, ef_construction: 20, alpha: 1.1, seed: 7 };

impl SmallGraph {
    fn get() -> &'static Self {
        static GRAPH: OnceLock<SmallGraph> = OnceLock::new();
        GRAPH.get_or_init(|| {
            let stride = quant::stride(GRAPH_DIMS);
            let mut codes = vec![0; NODES as usize * stride];
            let encode = |(number, code): (u16, &mut [i8])| {
                let vector = [f32::from(number * 37 % 90), f32::from(number * 53 % 90) - 40.0];
                quant::encode(Kernels::get(), &vector, code)
            };
            let metas: Vec<CodeMeta> = (0..).zip(codes.chunks_exact_mut(stride)).map(encode).collect();
            // Rings with chords: every node is reached. Without a build, Miri can search it.
            let ring = |count: u32, steps: &'static [u32]| {
                (0..count).flat_map(move |at| steps.iter().map(move |step| (at + step) % count))
            };
            let links = ring(NODES, &[1, 89, 7, 13, 40]).map(NodeId).collect();
            let order = (0..UPPER_NODES).map(|position| position * 3);
            let upper = [2, UPPER_NODES, TOP_NODES].into_iter().chain(order).chain(ring(UPPER_NODES, &[1, 29, 11]));
            let built = Built { links, upper: upper.collect() };
            Self { codes, metas, built }
        })
    }

    fn points(&self) -> Points<'_> {
        Points::new(&self.codes, &self.metas, quant::stride(GRAPH_DIMS), Metric::L2)
    }
}

/// Edits the arrays of a graph, and searches it if the numbers are within bounds. An unedited graph reaches all nodes.
pub(super) fn fuzz_graph_search(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    let Ok([x, y, ef, nodes]) = reader.array() else { return false };
    let (small, script) = (SmallGraph::get(), &bytes[4..]);
    let (upper_script, script) = script.split_at(script.len() / 8 * 4);
    let numbers = |bytes: &[u8]| -> Vec<u32> { bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect() };
    let links = numbers(&edited(bytemuck::cast_slice(&small.built.links), 0, script));
    let upper = numbers(&edited(bytemuck::cast_slice(&small.built.upper), 0, upper_script));
    let nodes = if nodes == 0 { NODES - 1 } else { NODES };
    let links = bytemuck::cast_slice(&links);
    let Ok(graph) = Graph::check(nodes, &SMALL, links, &upper) else { return false };
    let points = small.points();
    let found = search(graph, &points, &[f32::from(x), f32::from(y) - 40.0], usize::from(ef));
    if links == small.built.links && upper == small.built.upper && usize::from(ef) >= NODES as usize {
        assert_eq!(found, NODES as usize, "the search misses nodes");
    }
    true
}

/// Searches a graph, and returns how many nodes it found: at most `ef`, each once, best first.
fn search(graph: Graph<'_>, points: &Points<'_>, vector: &[f32], ef: usize) -> usize {
    let query = PreparedQuery::new(Kernels::get(), vector, points.metric());
    let mut found = Vec::new();
    for without in [None, Some(NodeId(0))] {
        let ask = BeamParameters { query: &query, ef, without, budget: usize::MAX };
        graph::search(graph, points, &ask, &mut found);
        let mut nodes: Vec<u32> = found.iter().map(|candidate| candidate.node.0).collect();
        nodes.sort_unstable();
        nodes.dedup();
        assert!(nodes.len() == found.len() && found.len() <= ef.min(points.len()), "a node twice, or too many");
        assert!(nodes.last().is_none_or(|&last| NodeId(last).index() < points.len()), "a node that does not exist");
        assert!(without.is_none_or(|without| !nodes.contains(&without.0)), "a node that was left out");
        // Codes that no vector has may give estimates that are no numbers.
        let falls = |pair: &[Candidate]| pair[0].estimate.partial_cmp(&pair[1].estimate) != Some(Ordering::Less);
        assert!(found.windows(2).all(falls), "not the best first");
    }
    let all = BeamParameters { query: &query, ef, without: None, budget: usize::MAX };
    graph::search(graph, points, &all, &mut found);
    found.len()
}

/// Any numbers in every kernel that this processor has: each instruction set gives the bits of the portable one.
pub(super) fn fuzz_kernels(bytes: &[u8]) -> bool {
    use crate::distance::Isa;
    let numbers: Vec<f32> = bytes.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect();
    let (a, b) = numbers.split_at(numbers.len() / 2);
    let b = &b[..a.len()];
    let (query, code) = bytes.split_at(bytes.len() / 2);
    // No code has the byte -128.
    let code: Vec<i8> = code[..query.len()].iter().map(|byte| byte.cast_signed().max(-127)).collect();
    // Only finite vectors are stored.
    let finite: Vec<f32> = a.iter().map(|&number| if number.is_finite() { number } else { 1.0 }).collect();
    let results = |kernels: Kernels| {
        let mut encoded = vec![0; quant::stride(finite.len())];
        let meta = quant::encode(kernels, &finite, &mut encoded);
        let bits = |number: f32| if number.is_nan() { u32::MAX } else { number.to_bits() };
        let sums = [kernels.dot(a, b), kernels.l2_squared(a, b), kernels.dot4(a, [b, a, b, b])[1]].map(bits);
        let raised: Vec<u8> = query.iter().map(|byte| kernels.query_byte(byte.cast_signed())).collect();
        let offset = i32::from(kernels.query_offset()) * code.iter().map(|&byte| i32::from(byte)).sum::<i32>();
        let products = [kernels.dot_codes(&raised, &code).wrapping_sub(offset), kernels.dot_i8(&code, &code)];
        (sums, products, encoded, bytemuck::bytes_of(&meta).to_vec())
    };
    if finite.is_empty() {
        return false;
    }
    let Some(portable) = Kernels::forced(Isa::Portable) else { unreachable!("every processor has it") };
    let expected = results(portable);
    for isa in Isa::ALL {
        if let Some(kernels) = Kernels::forced(isa) {
            assert_eq!(results(kernels), expected, "{isa:?}");
        }
    }
    true
}
