//! Graph files: what is written is read, and what is damaged is named and not searched.

use std::sync::Arc;

use crate::error::ErrorKind;
use crate::graph::Parameters;
use crate::graph::calibration::Calibration;
use crate::ids::{Id, RowId, VectorId};
use crate::record::{ItemContent, Lsn, Record};
use crate::segment::Segment;
use crate::segment::blocks::HEADER_BYTES;
use crate::segment::derived::codes::DerivedFile;
use crate::segment::derived::graph::*;
use crate::segment::derived::graph_scope::ScopeKind;
use crate::segment::derived::graph_scope::{GraphScope, Origin};
use crate::segment::truth::layout::Counts;
use crate::segment::truth::layout::{StoreIdentity, graph_name};
use crate::segment::truth::writer::{SegmentInfo, SegmentWriter, Totals};
use crate::storage::sim::SimStorage;
use crate::types::{FieldVector, Metric, NEVER, Namespace, Scope, VectorSpace};

const DIMS: usize = 6;
const ROWS: u32 = 60;

fn keys() -> StoreIdentity {
    StoreIdentity {
        store_id: 5,
        secret: [1, 2],
        space: Some(VectorSpace { dims: DIMS, metric: Metric::Cosine }),
        space_id: Default::default(),
    }
}

/// Two namespaces of 30 rows with none, one or two vectors.
fn write_segment(storage: &SimStorage, file_id: u64) -> SegmentInfo {
    let vectors = |row: u32| (row % 3) as usize;
    let mut totals = Totals::new(usize::MAX);
    (0..ROWS).for_each(|row| totals.add(vectors(row), 2));
    let mut writer = SegmentWriter::create(storage, &keys(), file_id, totals).unwrap();
    for row in 0..ROWS {
        let vector = |number: usize| FieldVector {
            path: "".into(),
            values: (0..DIMS).map(|at| ((row as usize * 31 + number * 7 + at * 13) % 17) as f32 - 8.0).collect(),
        };
        let record = Record {
            content: Arc::new(ItemContent {
                namespace: Namespace::new([["a", "b"][row as usize / 30], "x"]).unwrap(),
                key: format!("{row:03}").into(),
                value: "{}".into(),
                ttl: 0,
                index_paths: Vec::new(),
                vectors: (0..vectors(row)).map(vector).collect(),
                text_hashes: Vec::new(),
                space: Default::default(),
                extensions: Default::default(),
            }),
            created_at: 1,
            updated_at: 1,
            expires_at: NEVER,
            flags: 0,
        };
        writer.push_record(&record, Lsn::new(u64::from(row) + 1), &[]).unwrap();
    }
    writer.finish().unwrap()
}

/// Writes the graph of the second namespace.
fn write_graph(storage: &SimStorage, segment: &Segment, file_id: u64) -> DerivedFile {
    let (rows, vectors) = (RowId::range(30..60), VectorId::range(30..60));
    let parameters = Parameters { m: 4, m0: 6, ..Parameters::default() };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let points = segment.points(vectors.clone()).unwrap();
    let built = crate::graph::build(&points, &parameters, &[], &pool, &|| Ok(())).unwrap();
    let scope = GraphScope { kind: ScopeKind::Prefix, bytes: 2 };
    let calibration = Calibration::of_one_class([[20, 30, 40, 50, 60], [100, 110, 120, 130, 140]]);
    let description =
        Description { rows, vectors, origin: Origin::Requested, scope, parameters, build_ns: 77, calibration };
    write(storage, &keys(), file_id, segment.truth_id(), &description, &built).unwrap()
}

fn open(storage: &SimStorage, info: &SegmentInfo, graphs: &[DerivedFile]) -> Segment {
    Segment::open(storage, &keys(), &info.files).unwrap().open_graphs(storage, &keys(), graphs)
}

#[test]
fn a_graph_says_what_was_written_and_is_searchable_once_verified() {
    let storage = SimStorage::new(1);
    let info = write_segment(&storage, 1);
    let file = write_graph(&storage, &open(&storage, &info, &[]), 2);
    let segment = open(&storage, &info, &[file]);
    assert!(segment.graph_problems().is_empty() && segment.verify().is_empty());
    let [graph] = segment.graphs() else { panic!("one graph") };
    assert_eq!(
        (graph.rows(), graph.vectors(), graph.origin()),
        (RowId::range(30..60), VectorId::range(30..60), Origin::Requested)
    );
    assert_eq!((graph.build_ns(), graph.bytes(), graph.calibration().table.ef[2][1][4]), (77, file.length, 140));
    let namespace = segment.namespace(1).unwrap();
    let interval = graph.description().scope.interval(namespace);
    assert_eq!(interval, Scope::prefix(["b"]).unwrap().interval());
    assert!(graph.searchable().is_none() && !graph.is_verified());
    segment.verify_graph(graph).unwrap();
    assert_eq!(graph.searchable().map(|stats| stats.nodes()), Some(30));
    graph.add_saved(5);
    graph.add_saved(6);
    assert_eq!((graph.saved_ns(), graph.problem()), (11, None));
}

#[test]
fn rebuilt_codes_keep_the_graph_and_other_graphs_keep_the_codes() {
    let storage = SimStorage::new(1);
    let info = write_segment(&storage, 1);
    let file = write_graph(&storage, &open(&storage, &info, &[]), 2);
    let segment = open(&storage, &info, &[file]);
    segment.verify_graph(&segment.graphs()[0]).unwrap();
    let codes = crate::segment::truth::writer::rebuild_codes(&storage, &keys(), &segment, 3).unwrap();
    let mended = segment.with_codes(&storage, &keys(), codes).unwrap();
    assert!(mended.graphs()[0].searchable().is_some());
    let without = mended.with_graphs(Vec::new(), Vec::new());
    assert!(without.graphs().is_empty() && without.points(VectorId::range(0..60)).is_some());
    storage.flip_bit("seg-0000000000000003.codes", 8 * 5_000);
    assert_eq!(segment.with_codes(&storage, &keys(), codes).err().map(|error| error.kind()), Some(ErrorKind::Damaged));
}

#[test]
fn a_graph_of_another_file_or_over_damaged_codes_is_not_searched() {
    let storage = SimStorage::new(1);
    let (info, other) = (write_segment(&storage, 1), write_segment(&storage, 9));
    let file = write_graph(&storage, &open(&storage, &info, &[]), 2);
    let missing = DerivedFile { file_id: 4, length: 9 };
    let borrowed = open(&storage, &other, &[file, missing]);
    assert!(borrowed.graphs().is_empty());
    assert_eq!((borrowed.graph_problems().len(), borrowed.verify().len()), (2, 2));
    storage.flip_bit("seg-0000000000000001.codes", 8 * 5_000);
    let segment = open(&storage, &info, &[file]);
    let error = segment.verify_graph(&segment.graphs()[0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert!(segment.graphs()[0].searchable().is_none() && segment.graphs()[0].problem().is_some());
}

#[test]
fn every_flipped_bit_of_a_graph_is_found_before_it_is_searched() {
    let storage = SimStorage::new(1);
    let info = write_segment(&storage, 1);
    let file = write_graph(&storage, &open(&storage, &info, &[]), 2);
    let name = graph_name(2);
    for bit in (0..8 * file.length).step_by(97) {
        storage.flip_bit(&name, bit);
        let segment = open(&storage, &info, &[file]);
        let named = segment.verify().iter().any(|problem| problem.to_string().contains(&name));
        let searchable = segment.graphs().iter().any(|graph| segment.verify_graph(graph).is_ok());
        assert!(named && !searchable, "bit {bit}");
        storage.flip_bit(&name, bit);
    }
    assert!(open(&storage, &info, &[file]).verify().is_empty());
}

#[test]
fn a_graph_of_an_older_format_is_no_damage_and_counts_as_lost() {
    let storage = SimStorage::new(1);
    let info = write_segment(&storage, 1);
    let file = write_graph(&storage, &open(&storage, &info, &[]), 2);
    let whole = storage.read_file(&graph_name(2)).unwrap();
    let body_end = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    for (kind, is_older) in [(2_u16, true), (9, false)] {
        let mut bytes = whole[..body_end].to_vec();
        bytes[64..66].copy_from_slice(&kind.to_le_bytes());
        let (forged, _) = crate::segment::blocks::forge(bytes, identity(keys().store_id, 2));
        storage.write_file(&graph_name(2), &forged);
        let segment = open(&storage, &info, &[file]);
        let [unopened] = segment.unopened_graphs() else { panic!("one graph did not open") };
        assert!(unopened.is_lost() && segment.graphs().is_empty());
        assert_eq!((segment.graph_problems().is_empty(), segment.verify().is_empty()), (is_older, is_older));
        // Damage of the body is found in it as in any file: a copy of the store would not accept it.
        storage.flip_bit(&graph_name(2), 8 * 4_100);
        let damaged = open(&storage, &info, &[file]);
        assert_eq!(damaged.verify().len(), 1, "{:?}", damaged.verify());
        storage.flip_bit(&graph_name(2), 8 * 4_100);
        // Where its header is damaged too, nobody knows what it was.
        storage.flip_bit(&graph_name(2), 8 * 70);
        let damaged = open(&storage, &info, &[file]);
        assert_eq!((damaged.graph_problems().len(), damaged.verify().len()), (1, 1));
    }
}

#[test]
fn forged_rows_vectors_and_links_are_found() {
    let storage = SimStorage::new(1);
    let info = write_segment(&storage, 1);
    let file = write_graph(&storage, &open(&storage, &info, &[]), 2);
    let whole = storage.read_file(&graph_name(2)).unwrap();
    let body_end = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    // The place, the number there, and what becomes of it.
    let forgeries =
        [(76, 30_u32, 29), (80, 60, 59), (84, 30, 29), (88, 30, 31), (116, 6, 7), (4_100, 0, 30), (4_100, 0, u32::MAX)];
    for (at, was, is) in forgeries {
        let mut bytes = whole[..body_end].to_vec();
        assert!(at >= HEADER_BYTES || bytes[at..at + 4] == was.to_le_bytes(), "{at}");
        bytes[at..at + 4].copy_from_slice(&is.to_le_bytes());
        let (forged, _) = crate::segment::blocks::forge(bytes, identity(keys().store_id, 2));
        storage.write_file(&graph_name(2), &forged);
        let segment = open(&storage, &info, &[file]);
        assert!(segment.graphs().iter().all(|graph| segment.verify_graph(graph).is_err()), "{at}: {is}");
        assert!(!segment.verify().is_empty(), "{at}: {is}");
    }
    assert_eq!(info.counts, Counts { rows: ROWS, vectors: 60, namespaces: 2, ..info.counts });
}
