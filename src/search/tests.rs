//! The search against a brute-force oracle: every metric, both kinds of part, every way through the code, identical
//! lists.

use std::ops::Range;
use std::sync::Arc;

use crate::distance::inverse_norm;
use crate::distance::{Kernels, score};
use crate::error::Result;
use crate::error::{Error, ErrorKind};
use crate::filter::{AskedOfItem, Filter, ItemFacts, PreparedFilter};
use crate::ids::{Id, IdRange, PartIndex, RowId, VectorId};
use crate::memtable::Memtable;
use crate::quant::CodeMeta;
use crate::quant::{encode, stride};
use crate::random::Random;
use crate::record::{ALIVE, ItemContent, Lsn, Record};
use crate::search::conditions::Conditions;
use crate::search::context::{QueryVector, SearchContext};
use crate::search::flat::*;
use crate::search::listing::{KeyedRow, ListKind, ListPage, Sought, newest, page_of_memtable, page_of_segment};
use crate::search::part::SegmentView;
use crate::search::part::{PartColumns, Rows, Run};
use crate::search::plan::{Costs, Path};
use crate::search::sampling::plan_part;
use crate::search::visit::count;
use crate::segment::Segment;
use crate::segment::blob::values::UnreadValue;
use crate::segment::tombstones::{Tombstones, Touch};
use crate::segment::truth::layout::StoreIdentity;
use crate::segment::truth::reader::SegmentFiles;
use crate::segment::truth::writer::{SegmentWriter, Totals};
use crate::storage::Clock;
use crate::storage::sim::SimStorage;
use crate::topk::{ListedRow, Newest};
use crate::topk::{RowAddress, ScoredRow, SharedThreshold, TopK};
use crate::tuning::MachineCosts;
use crate::types::Metric;
use crate::types::{FieldVector, Interval, KeyPosition, NEVER, Namespace, Scope, VectorSpace};

fn vector(random: &mut Random, dims: usize) -> Vec<f32> {
    (0..dims).map(|_| random.unit()).collect()
}

struct FixtureRow {
    lsn: Lsn,
    deleted_lsn: Lsn,
    expires_at: i64,
    /// Whether a touch moved the expiry there.
    touched: bool,
    namespace: usize,
    updated_at: i64,
    value: String,
    vectors: Range<VectorId>,
}

/// A part with consecutive rows and codes, as a segment has them.
struct Fixture {
    rows: Vec<FixtureRow>,
    vectors: Vec<Vec<f32>>,
    codes: Vec<i8>,
    metas: Vec<CodeMeta>,
    has_codes: bool,
    damaged_vector: Option<VectorId>,
}

impl PartColumns for Fixture {
    fn prefetch_code(&self, _: VectorId) {}

    fn ensure_rows(&self, _: &Rows) -> Result<()> {
        Ok(())
    }
    fn sees_all(&self, rows: &Rows, read_lsn: Lsn, now: i64) -> bool {
        (0..rows.len()).all(|index| self.sees(rows.at(index), read_lsn, now))
    }
    fn sees(&self, row: RowId, read_lsn: Lsn, now: i64) -> bool {
        let row = &self.rows[row.index()];
        row.lsn <= read_lsn && read_lsn < row.deleted_lsn && now < row.expires_at
    }
    fn lsn(&self, row: RowId) -> Lsn {
        self.rows[row.index()].lsn
    }
    fn updated_at(&self, row: RowId) -> i64 {
        self.rows[row.index()].updated_at
    }
    fn item_facts(&self, _: RowId, _: AskedOfItem) -> Result<ItemFacts<'_>> {
        Ok(ItemFacts::NONE)
    }

    fn address(&self, _: RowId) -> Result<KeyPosition<'_>> {
        Ok(KeyPosition { namespace: &[], key: "" })
    }

    fn vector_path(&self, _: RowId, _: VectorId) -> Result<&str> {
        Ok("")
    }

    fn value(&self, row: RowId) -> Result<UnreadValue<'_>> {
        Ok(UnreadValue::Small(self.rows[row.index()].value.as_bytes()))
    }
    fn row_vectors(&self, row: RowId) -> Range<VectorId> {
        self.rows[row.index()].vectors.clone()
    }
    fn ensure_times(&self, _: &Rows) -> Result<()> {
        Ok(())
    }
    fn ensure_vectors(&self, _: &Rows) -> Result<()> {
        Ok(())
    }
    fn ensure_codes(&self, _: &Rows) -> bool {
        self.has_codes
    }
    fn run_of_codes(&self, rows: &Rows) -> Option<Run<'_>> {
        let Rows::Range(range) = rows else { return None };
        let (first, last) = (self.row_vectors(range.start), self.row_vectors(RowId(range.end.0 - 1)));
        let one_each = range.ids().all(|row| self.row_vectors(row).len() == 1);
        let (start, end) = (first.start.index(), last.end.index());
        let stride = self.codes.len() / self.metas.len().max(1);
        Some(Run { codes: &self.codes[start * stride..end * stride], metas: &self.metas[start..end], one_each })
    }
    fn code(&self, vector: VectorId) -> &[i8] {
        let stride = self.codes.len() / self.metas.len().max(1);
        &self.codes[vector.index() * stride..][..stride]
    }
    fn meta(&self, vector: VectorId) -> CodeMeta {
        self.metas[vector.index()]
    }
    fn vector(&self, vector: VectorId) -> Result<&[f32]> {
        if self.damaged_vector == Some(vector) {
            return Err(Error::new(ErrorKind::Damaged, "vector"));
        }
        Ok(&self.vectors[vector.index()])
    }
    fn inverse_norm(&self, vector: VectorId) -> f32 {
        inverse_norm(self.metas[vector.index()].norm)
    }
}

/// How a seeded part comes out.
#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    dims: usize,
    /// 1 for exactly one vector a row, otherwise 0..=n.
    vectors_max: usize,
    /// Tombstones, expiries and rows of the future.
    mixed: bool,
    has_codes: bool,
}

const VISIBLE: Lsn = Lsn::new(1 << 40);
const AFTER: Lsn = Lsn::new(2 << 40);
const NOW: i64 = 1_000;

fn fixture(random: &mut Random, shape: Shape) -> Fixture {
    let mut part = Fixture {
        rows: Vec::new(),
        vectors: Vec::new(),
        codes: Vec::new(),
        metas: Vec::new(),
        has_codes: shape.has_codes,
        damaged_vector: None,
    };
    let mut lsns: Vec<Lsn> = Lsn::new(1).sequence().take(shape.rows).collect();
    (1..lsns.len()).for_each(|i| lsns.swap(i, random.below(i + 1)));
    for lsn in lsns {
        let first = VectorId::from_index(part.vectors.len());
        let vectors = if shape.vectors_max == 1 { 1 } else { random.below(shape.vectors_max + 1) };
        for _ in 0..vectors {
            // One in four is an old one again: equal scores are told apart by the LSN alone.
            let vector = match part.vectors.len() {
                old if old > 0 && random.below(4) == 0 => part.vectors[random.below(old)].clone(),
                _ if random.below(50) == 0 => vec![0.0; shape.dims],
                _ => vector(random, shape.dims),
            };
            let mut code = vec![0; stride(shape.dims)];
            part.metas.push(encode(Kernels::get(), &vector, &mut code));
            part.codes.extend(code);
            part.vectors.push(vector);
        }
        let mixed = |share: usize, random: &mut Random| shape.mixed && random.below(share) == 0;
        part.rows.push(FixtureRow {
            lsn: if mixed(9, random) { VISIBLE + lsn.get() } else { lsn },
            deleted_lsn: if mixed(5, random) { Lsn::new(VISIBLE.get() - 5 + random.below(10) as u64) } else { ALIVE },
            expires_at: if mixed(5, random) { NOW - 5 + random.below(10) as i64 } else { NEVER },
            touched: mixed(3, random),
            namespace: random.below(4),
            updated_at: random.below(shape.rows / 2 + 1) as i64,
            value: format!(r#"{{"n":{}}}"#, random.below(100)),
            vectors: first..VectorId::from_index(part.vectors.len()),
        });
    }
    part
}

fn namespace(number: usize) -> Namespace {
    let labels: [&[&str]; 4] = [&["a"], &["a", "b"], &["a\0"], &["b"]];
    Namespace::new(labels[number].iter().copied()).unwrap()
}

/// The same rows as a part in memory, and as a segment on disk with its tombstones.
struct Parts {
    memtable: Memtable,
    list: Vec<RowId>,
    flushed: Option<(Segment, Tombstones)>,
}

fn parts(part: &Fixture, dims: usize, metric: Metric) -> Parts {
    let space = Some(VectorSpace { dims, metric });
    let memtable = Memtable::new(space);
    let mut order: Vec<&FixtureRow> = part.rows.iter().collect();
    order.sort_by_key(|row| row.lsn);
    for row in &order {
        let field =
            |vector: VectorId| FieldVector { path: "".into(), values: part.vectors[vector.index()].clone().into() };
        let record = Record {
            content: Arc::new(ItemContent {
                namespace: namespace(row.namespace),
                key: row.lsn.to_string().into(),
                value: row.value.clone().into(),
                ttl: 0,
                index_paths: Vec::new(),
                vectors: row.vectors.ids().map(field).collect(),
                text_hashes: Vec::new(),
                space: Default::default(),
                extensions: Default::default(),
            }),
            created_at: 0,
            updated_at: row.updated_at,
            expires_at: if row.touched { NOW - 1 } else { row.expires_at },
            flags: 0,
        };
        memtable.append(Arc::new(record), row.lsn).unwrap();
    }
    let flushed = (!order.is_empty()).then(|| flush(&memtable, space, part.has_codes));
    for (number, row) in (0..).map(RowId).zip(&order) {
        let Some((segment, tombstones)) = &flushed else { break };
        let (encoded, key) = (namespace(row.namespace), row.lsn.to_string());
        let flushed_row = segment.find(encoded.encoded(), &key).unwrap().unwrap();
        if row.deleted_lsn != ALIVE {
            memtable.delete(number, row.deleted_lsn);
            tombstones.delete(flushed_row, row.deleted_lsn);
        }
        if row.touched {
            memtable.touch(number, row.expires_at, AFTER);
            tombstones.touch(Touch { row: flushed_row, expires_at: row.expires_at, lsn: AFTER });
        }
    }
    let mut list = Vec::new();
    memtable.rows_in(&Interval::everything(), &mut list);
    Parts { memtable, list, flushed }
}

fn flush(memtable: &Memtable, space: Option<VectorSpace>, with_codes: bool) -> (Segment, Tombstones) {
    let keys = StoreIdentity { store_id: 1, secret: [2, 3], space, space_id: Default::default() };
    let (storage, mut files) = write_segment(memtable, &keys);
    files.codes = files.codes.filter(|_| with_codes);
    let segment = Segment::open(&storage, &keys, &files).unwrap();
    let tombstones = Tombstones::new(segment.rows());
    (segment, tombstones)
}

fn write_segment(memtable: &Memtable, keys: &StoreIdentity) -> (SimStorage, SegmentFiles) {
    let storage = SimStorage::new(1);
    let rows: Vec<_> =
        memtable.ordered_rows(&Interval::everything(), Lsn::LAST).into_iter().map(|row| memtable.row(row)).collect();
    let mut totals = Totals::new(usize::MAX);
    rows.iter().for_each(|row| totals.add(row.record.vectors.len(), row.record.value.len()));
    let mut writer = SegmentWriter::create(&storage, keys, 9, totals).unwrap();
    rows.iter().for_each(|row| assert!(writer.push_record(&row.record, row.lsn, &[]).is_ok()));
    let files = writer.finish().unwrap().files;
    (storage, files)
}

type SearchResult = Vec<(u32, Lsn)>;

/// Every row by definition, no bound, no block, no threshold.
fn oracle(
    part: &Fixture,
    query_vector: &QueryVector,
    conditions: &Conditions,
    min_score: Option<f32>,
    limit: usize,
) -> SearchResult {
    let mut scored = Vec::new();
    for (number, row) in part.rows.iter().enumerate() {
        let matches = conditions.filter.is_none_or(|filter| filter.matches(row.value.as_bytes()));
        let sees =
            row.lsn <= conditions.read_lsn && conditions.read_lsn < row.deleted_lsn && conditions.now < row.expires_at;
        let scores = row.vectors.ids().map(|vector| {
            let vector_values = &part.vectors[vector.index()];
            let metric = query_vector.prepared.metric();
            let norm = crate::distance::inverse_norm(crate::distance::norm(vector_values));
            score(
                metric,
                Kernels::get(),
                query_vector.vector,
                query_vector.prepared.inverse_norm(),
                vector_values,
                norm,
            )
        });
        if let Some(score) = scores.max_by(f32::total_cmp)
            && matches
            && sees
            && min_score.is_none_or(|least| score >= least)
        {
            scored.push(ScoredRow {
                score,
                lsn: row.lsn,
                place: RowAddress { part: PartIndex(0), row: RowId::from_index(number) },
            });
        }
    }
    scored.sort_by(|a, b| b.cmp(a));
    scored.truncate(limit);
    answer(scored)
}

fn answer(scored: Vec<ScoredRow>) -> SearchResult {
    scored.into_iter().map(|scored| (scored.score.to_bits(), scored.lsn)).collect()
}

fn conditions(filter: Option<&PreparedFilter>) -> Conditions<'_> {
    Conditions { read_lsn: VISIBLE, now: NOW, filter, passing: None, outcomes: None, skipped: None, deadline: None }
}

/// One case: the same question by every path, in one piece and in two, alone and after another part.
fn check(
    random: &mut Random,
    part: &Fixture,
    query_vector: &QueryVector,
    filter: Option<&PreparedFilter>,
    limit: usize,
    note: &str,
) {
    let min_score = (random.below(3) == 0).then(|| random.below(100) as f32 / 50.0 - 1.0);
    let conditions = conditions(filter);
    let expected = oracle(part, query_vector, &conditions, min_score, limit);
    let (rows, costs) = (Rows::Range(RowId::range(0..part.rows.len() as u32)), costs(query_vector.vector.len()));
    for path in [Path::ScoreFirst, Path::FilterFirst] {
        let threshold = SharedThreshold::new(min_score);
        let context = SearchContext {
            query_vector,
            conditions,
            threshold: &threshold,
            field: None,
            filter_sample: 4,
            costs,
            number: 0,
            graph_searches: None,
        };
        let mut plan = plan_part(part, &rows, &context, limit).unwrap();
        plan.path = path;
        // Two threads' worth: tops of their own, one threshold.
        let (mut top, mut other) = (TopK::new(limit), TopK::new(limit));
        let cut = random.below(rows.len() + 1);
        flat_search(part, PartIndex(0), &rows.slice(cut, rows.len()), &context, &plan, &mut other).unwrap();
        flat_search(part, PartIndex(0), &rows.slice(0, cut), &context, &plan, &mut top).unwrap();
        top.merge(other);
        assert_eq!(answer(top.into_sorted()), expected, "{path:?} limit {limit} min {min_score:?} {note}");
    }
    let parts = parts(part, query_vector.vector.len(), query_vector.prepared.metric());
    let threshold = SharedThreshold::new(min_score);
    let context = SearchContext {
        query_vector,
        conditions,
        threshold: &threshold,
        field: None,
        filter_sample: 4,
        costs,
        number: 0,
        graph_searches: None,
    };
    let mut top = TopK::new(limit);
    let report = search(&parts.memtable, PartIndex(0), &Rows::List(&parts.list), &context, &mut top).unwrap();
    assert_eq!(answer(top.into_sorted()), expected, "in memory, limit {limit} min {min_score:?} {note}");
    assert!(report.reranked <= report.candidates && report.rows == parts.list.len());
    if let Some((segment, tombstones)) = &parts.flushed {
        let threshold = SharedThreshold::new(min_score);
        let context = SearchContext { threshold: &threshold, ..context };
        let mut top = TopK::new(limit);
        let rows = Rows::Range(segment.interval(&Interval::everything()).unwrap());
        search(&SegmentView::new(segment, tombstones), PartIndex(0), &rows, &context, &mut top).unwrap();
        assert_eq!(answer(top.into_sorted()), expected, "flushed, limit {limit} min {min_score:?} {note}");
    }
}

fn costs(dims: usize) -> Costs {
    Costs::of_dims(dims, &MachineCosts::default())
}

#[test]
fn every_path_gives_the_exact_answer() {
    let filter = Filter::lt("n", 20).prepare().unwrap();
    let nothing = Filter::lt("n", -1).prepare().unwrap();
    for seed in 0..24_u64 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let shape = Shape {
            rows: [0, 1, 5, 40, 300, 3_000][random.below(6)],
            dims: [1, 3, 64, 100][random.below(4)],
            vectors_max: [1, 1, 3][random.below(3)],
            mixed: random.below(2) == 0,
            has_codes: random.below(5) > 0,
        };
        let part = fixture(&mut random, shape);
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let query = match random.below(6) {
                0 => vec![0.0; shape.dims],
                1 if !part.vectors.is_empty() => part.vectors[random.below(part.vectors.len())].clone(),
                _ => vector(&mut random, shape.dims),
            };
            let query_vector = QueryVector::new(&query, metric);
            for limit in [0, 1, 10, 1_000, usize::MAX] {
                let chosen = [None, Some(&filter), Some(&nothing)][random.below(3)];
                check(&mut random, &part, &query_vector, chosen, limit, &format!("seed {seed} {metric:?} {shape:?}"));
            }
        }
    }
}

#[test]
fn only_promising_rows_are_scored_in_full() {
    let mut random = Random::new(5);
    let shape = Shape { rows: 10_000, dims: 64, vectors_max: 1, mixed: false, has_codes: true };
    let part = fixture(&mut random, shape);
    let query = vector(&mut random, 64);
    let threshold = SharedThreshold::new(None);
    let query_vector = QueryVector::new(&query, Metric::Cosine);
    let context = SearchContext {
        query_vector: &query_vector,
        conditions: conditions(None),
        threshold: &threshold,
        field: None,
        filter_sample: 256,
        costs: costs(64),
        number: 0,
        graph_searches: None,
    };
    let report =
        search(&part, PartIndex(0), &Rows::Range(RowId::range(0..10_000)), &context, &mut TopK::new(10)).unwrap();
    assert_eq!((report.scanned, report.rows, report.filtered), (10_000, 10_000, 0));
    assert!((10..200).contains(&report.reranked), "{report:?}");
}

#[test]
fn damage_and_deadlines_end_the_search() {
    struct Late;
    impl Clock for Late {
        fn now(&self) -> i64 {
            0
        }
        fn monotonic(&self) -> std::time::Duration {
            std::time::Duration::from_secs(2)
        }
    }
    let mut random = Random::new(6);
    let shape = Shape { rows: 20, dims: 8, vectors_max: 1, mixed: false, has_codes: true };
    let mut part = fixture(&mut random, shape);
    let query = vector(&mut random, 8);
    let query_vector = QueryVector::new(&query, Metric::Dot);
    let threshold = SharedThreshold::new(None);
    let rows = Rows::Range(RowId::range(0..20));
    let mut context = SearchContext {
        query_vector: &query_vector,
        conditions: conditions(None),
        threshold: &threshold,
        field: None,
        filter_sample: 0,
        costs: costs(8),
        number: 0,
        graph_searches: None,
    };
    for (seconds, expected) in
        [(1, Some(ErrorKind::DeadlineExceeded)), (2, Some(ErrorKind::DeadlineExceeded)), (3, None)]
    {
        context.conditions.deadline = Some((&Late, std::time::Duration::from_secs(seconds)));
        let found = search(&part, PartIndex(0), &rows, &context, &mut TopK::new(10)).err().map(|error| error.kind());
        assert_eq!(found, expected);
    }
    part.damaged_vector = Some(VectorId(7));
    let error = search(&part, PartIndex(0), &rows, &context, &mut TopK::new(1_000)).err().map(|error| error.kind());
    assert_eq!(error, Some(ErrorKind::Damaged));
}

#[test]
fn a_flipped_bit_costs_time_or_fails_but_never_lies() {
    let mut random = Random::new(8);
    let part = fixture(&mut random, Shape { rows: 300, dims: 8, vectors_max: 2, mixed: false, has_codes: true });
    let keys = StoreIdentity {
        store_id: 1,
        secret: [2, 3],
        space: Some(VectorSpace { dims: 8, metric: Metric::L2 }),
        space_id: Default::default(),
    };
    let (storage, files) = write_segment(&parts(&part, 8, Metric::L2).memtable, &keys);
    let query = vector(&mut random, 8);
    let query_vector = QueryVector::new(&query, Metric::L2);
    let expected = oracle(&part, &query_vector, &conditions(None), None, 7);
    let answer_of_file = || -> Result<SearchResult> {
        let segment = Segment::open(&storage, &keys, &files)?;
        let (tombstones, threshold) = (Tombstones::new(segment.rows()), SharedThreshold::new(None));
        let context = SearchContext {
            query_vector: &query_vector,
            conditions: conditions(None),
            threshold: &threshold,
            field: None,
            filter_sample: 0,
            costs: costs(8),
            number: 0,
            graph_searches: None,
        };
        let mut top = TopK::new(7);
        let rows = Rows::Range(segment.interval(&Interval::everything())?);
        search(&SegmentView::new(&segment, &tombstones), PartIndex(0), &rows, &context, &mut top)?;
        Ok(answer(top.into_sorted()))
    };
    let (mut answered, mut failed) = (0, 0);
    for name in storage.names() {
        let bits = storage.read_file(&name).unwrap().len() as u64 * 8;
        for bit in (0..bits).step_by(1_009) {
            storage.flip_bit(&name, bit);
            match answer_of_file() {
                Ok(found) => {
                    assert_eq!(found, expected, "{name} bit {bit}");
                    answered += 1;
                }
                Err(_) => failed += 1,
            }
            storage.flip_bit(&name, bit);
        }
    }
    assert!(answered > 10 && failed > 10, "{answered} {failed}");
}

#[test]
fn listings_and_counts_agree_with_a_sort() {
    let filter = Filter::lt("n", 50).prepare().unwrap();
    for seed in 0..30_u64 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let shape = Shape {
            rows: [0, 1, 63, 64, 65, 1_000, 5_000][random.below(7)],
            dims: 2,
            vectors_max: 2,
            mixed: random.below(2) == 0,
            has_codes: true,
        };
        let part = fixture(&mut random, shape);
        let parts = parts(&part, 2, Metric::Dot);
        for limit in [0, 1, 10, 100, usize::MAX] {
            let chosen = (random.below(2) == 0).then_some(&filter);
            let kind = if random.below(2) == 0 { ListKind::All } else { ListKind::WithoutVectors };
            let conditions = conditions(chosen);
            let wanted = |&row: &RowId| conditions.sees(&part, row) && conditions.wants(&part, row).unwrap();
            let matching: Vec<RowId> = RowId::range(0..part.rows.len() as u32).ids().filter(wanted).collect();
            let of_kind = matching.iter().filter(|&&row| kind == ListKind::All || part.row_vectors(row).is_empty());
            let mut expected: Vec<(i64, Lsn)> = of_kind.map(|&row| (part.updated_at(row), part.lsn(row))).collect();
            expected.sort_by(|a, b| b.cmp(a));
            expected.truncate(limit);
            let context = Listing { kind, limit, conditions, expected: &expected, matching: matching.len() };
            context.check(&part, &Rows::Range(RowId::range(0..part.rows.len() as u32)));
            context.check(&parts.memtable, &Rows::List(&parts.list));
            if let Some((segment, tombstones)) = &parts.flushed {
                context.check(&SegmentView::new(segment, tombstones), &Rows::Range(segment.all_rows()));
            }
        }
    }
}

struct Listing<'a> {
    kind: ListKind<'static>,
    limit: usize,
    conditions: Conditions<'a>,
    expected: &'a [(i64, Lsn)],
    matching: usize,
}

impl Listing<'_> {
    fn sought(&self, below: Option<ListedRow>) -> Sought<'_> {
        Sought { kind: self.kind, below, conditions: &self.conditions }
    }

    fn check<P: PartColumns>(&self, part: &P, rows: &Rows) {
        // In two pieces: the second finds rows of the first in the list, as it would those of another part.
        let (mut found, cut) = (Newest::new(self.limit), rows.len() / 3);
        for piece in [rows.slice(cut, rows.len()), rows.slice(0, cut)] {
            newest(part, PartIndex(0), &piece, &self.sought(None), &mut found).unwrap();
        }
        let (listed, middle) = (found.into_sorted(), self.expected.len() / 2);
        if let Some(&below) = middle.checked_sub(1).and_then(|at| listed.get(at)) {
            let mut rest = Newest::new(self.expected.len() - middle);
            newest(part, PartIndex(0), rows, &self.sought(Some(below)), &mut rest).unwrap();
            assert_eq!(rest.into_sorted(), listed[middle..], "the rest, below {below:?}");
        }
        let found = listed.into_iter().map(|ListedRow { updated_at, lsn, .. }| (updated_at, lsn));
        assert_eq!(found.collect::<Vec<_>>(), self.expected, "limit {} {:?}", self.limit, self.kind);
        assert_eq!(count(part, rows, &self.conditions).unwrap(), self.matching as u64);
    }
}

#[test]
fn pages_in_key_order_agree_with_a_sort() {
    let filter = Filter::lt("n", 50).prepare().unwrap();
    for seed in 0..20_u64 {
        println!("seed {seed}");
        let mut random = Random::new(seed);
        let rows = [1, 5, 100, 1_000][random.below(4)];
        let part = fixture(&mut random, Shape { rows, dims: 2, vectors_max: 1, mixed: seed % 2 == 0, has_codes: true });
        let parts = parts(&part, 2, Metric::Dot);
        let (segment, tombstones) = parts.flushed.as_ref().unwrap();
        for _ in 0..40 {
            let conditions = conditions((random.below(2) == 0).then_some(&filter));
            let scope_of = namespace(random.below(4));
            let scope =
                [Scope::Store, Scope::Prefix(scope_of.clone()), Scope::Namespace(scope_of)][random.below(3)].clone();
            let interval = scope.interval();
            let key_prefix = ["", "1", "12", "x"][random.below(4)];
            let (after_namespace, after_key) = (namespace(random.below(4)), random.below(200).to_string());
            let after =
                (random.below(2) == 0).then(|| KeyPosition { namespace: after_namespace.encoded(), key: &after_key });
            let limit = [0, 1, 7, usize::MAX][random.below(4)];
            let page = ListPage { interval: &interval, key_prefix, after, limit };
            let mut expected: Vec<(Namespace, String)> = RowId::range(0..rows as u32)
                .ids()
                .filter(|&row| conditions.sees(&part, row) && conditions.wants(&part, row).unwrap())
                .map(|row| &part.rows[row.index()])
                .map(|row| (namespace(row.namespace), row.lsn.to_string()))
                .filter(|(namespace, key)| interval.contains(namespace.encoded()) && key.starts_with(key_prefix))
                .filter(|(namespace, key)| {
                    after.is_none_or(|after| KeyPosition { namespace: namespace.encoded(), key } > after)
                })
                .collect();
            expected.sort();
            expected.truncate(limit);
            let same = |found: Vec<KeyedRow>| {
                let expected = expected.iter().map(|(namespace, key)| (namespace.encoded(), key.as_str()));
                assert!(found.iter().map(|keyed| (keyed.namespace, keyed.key)).eq(expected), "seed {seed} {page:?}");
            };
            same(page_of_memtable(&parts.memtable, &page, &conditions).unwrap());
            same(page_of_segment(&SegmentView::new(segment, tombstones), &page, &conditions).unwrap());
        }
    }
}
