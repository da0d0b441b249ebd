//! Flat search: the exact search of one part. It scans the codes, and scores every row that could be in the result in
//! full precision.
//!
//! Invariants:
//! * The result is exact. A row is left out only if the conditions exclude it, if its score or an upper bound of its
//!   score is strictly below the threshold, or if `limit` rows rank before it. The threshold is the k-th best score so
//!   far, and at least the caller's `min_score`.
//! * The score of a row is the best score of its vectors. One kernel computes every score, in one order of summation.
//! * The rows of a block are re-ranked in descending order of their bounds, so that the threshold rises early.
//! * The scratch memory of a search is that of one block, whatever the interval and the limit, and four bytes for each
//!   row that a field index lets through where these are listed. The next search of the thread reuses it.

use std::cell::Cell;
use std::collections::BinaryHeap;

use crate::error::Result;
use crate::ids::{IdRange, PartIndex, RowId, VectorId};
use crate::quant::CodeMeta;
use crate::search::context::SearchContext;
use crate::search::part::{PartColumns, Rows, Run};
pub(crate) use crate::search::plan::PartReport;
use crate::search::plan::{Path, Plan};
use crate::search::sampling::plan_part;
use crate::topk::{RowAddress, ScoredRow, TopK, from_ordered_bits, ordered_bits};

/// Rows of the first block. It is small, because all its rows are candidates as long as there is no threshold.
const FIRST_BLOCK_ROWS: usize = 256;
/// Rows of every other block.
const BLOCK_ROWS: usize = 2_048;
/// How many codes ahead of the compared one are prefetched, where single rows are visited.
const AHEAD: usize = 8;
/// A block ends early once it has this many vectors: an item may have thousands.
const BLOCK_VECTORS: usize = 4_096;

/// Searches `rows` of `part` and adds the best to `top`. `number` is the number of the part in the results.
pub(crate) fn search<P: PartColumns>(
    part: &P,
    number: PartIndex,
    rows: &Rows,
    context: &SearchContext,
    top: &mut TopK,
) -> Result<PartReport> {
    let plan = plan_part(part, rows, context, top.limit())?;
    let report = flat_search(part, number, rows, context, &plan, top)?;
    Ok(PartReport { expected_ns: plan.cost_ns(), ..report })
}

/// Searches `rows` of `part` by `plan`. Several threads may each search a piece of one part, with a `top` of their own.
pub(crate) fn flat_search<P: PartColumns>(
    part: &P,
    number: PartIndex,
    rows: &Rows,
    context: &SearchContext,
    plan: &Plan,
    top: &mut TopK,
) -> Result<PartReport> {
    let report = PartReport::new(*plan, rows.len());
    if rows.is_empty() || top.limit() == 0 {
        return Ok(report);
    }
    // The scratch is taken, not borrowed: a search inside another one on this thread would find none and make its own.
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let filter_first = plan.path == Path::FilterFirst;
    let mut flat = FlatSearch { part, number, context, filter_first, listed: false, top, report };
    let result = if plan.listed
        && let Some(passing) = context.conditions.passing
    {
        let mut listed = std::mem::take(&mut scratch.listed);
        listed.clear();
        match rows {
            // Rows of a memtable are in any order, and pieces of them have spans that overlap.
            Rows::List(rows) => passing.possible.append_among(rows, &mut listed),
            Rows::Range(_) | Rows::Rising(_) => listed.extend(passing.possible.rows_in(&rows.span())),
        }
        flat.listed = true;
        let result = flat.run(&Rows::Rising(&listed), &mut scratch);
        scratch.listed = listed;
        result
    } else {
        flat.run(rows, &mut scratch)
    };
    let report = flat.report;
    SCRATCH.set(Some(scratch));
    result.map(|()| report)
}

thread_local! {
    static SCRATCH: Cell<Option<Box<FlatScratch>>> = const { Cell::new(None) };
}

/// The arrays of one block. A thread keeps them from one search to the next.
#[derive(Default)]
struct FlatScratch {
    /// The rows that may pass, where the plan lists them.
    listed: Vec<RowId>,
    /// The rows of a block that was gathered. A run needs no list of rows.
    rows: Vec<RowId>,
    /// The vectors of these rows, in row order.
    vectors: Vec<VectorId>,
    /// For each row, the end of its vectors among those of the block.
    ends: Vec<u32>,
    /// For each vector, the dot product of its code and the query's code.
    raw: Vec<i32>,
    metas: Vec<CodeMeta>,
    /// For each vector, an upper bound of its score.
    vector_bounds: Vec<f32>,
    /// For each row, the best bound of its vectors.
    bounds: Vec<f32>,
    /// Candidates, as one number each: the ordered bits of the bound, then the position in the block.
    heap: BinaryHeap<u64>,
}

/// A flat search under way.
pub(crate) struct FlatSearch<'a, P> {
    pub part: &'a P,
    pub number: PartIndex,
    pub context: &'a SearchContext<'a>,
    pub filter_first: bool,
    /// Every row is one that the field index lets through.
    pub listed: bool,
    pub top: &'a mut TopK,
    pub report: PartReport,
}

impl<'a, P: PartColumns> FlatSearch<'a, P> {
    fn run(&mut self, rows: &Rows, scratch: &mut FlatScratch) -> Result<()> {
        let (mut start, mut block_rows) = (0, FIRST_BLOCK_ROWS);
        while start < rows.len() {
            self.context.conditions.check_deadline()?;
            let mut block = rows.slice(start, rows.len().min(start + block_rows));
            self.part.ensure_rows(&block)?;
            self.part.ensure_vectors(&block)?;
            if self.wants_all(&block) || !self.part.ensure_codes(&block) {
                self.score_all(&block)?;
            } else if let Some(run) = self.run_of_codes(&mut block) {
                self.bound_run(run, &block, scratch);
                self.rerank(scratch, &block)?;
            } else if self.gather_single_vectors(&block, scratch) {
                self.bound_gathered(true, scratch);
                self.rerank(scratch, &block)?;
            } else {
                let taken = self.gather(&block, scratch)?;
                block = block.slice(0, taken);
                self.bound_gathered(scratch.rows.len() == scratch.vectors.len(), scratch);
                let gathered = std::mem::take(&mut scratch.rows);
                let reranked = self.rerank(scratch, &Rows::List(&gathered));
                scratch.rows = gathered;
                reranked?;
            }
            start += block.len();
            block_rows = BLOCK_ROWS;
        }
        Ok(())
    }

    /// Whether the result has room for every row of the block and there is no threshold, so that bounds exclude no row.
    fn wants_all(&self, block: &Rows) -> bool {
        block.len() <= self.top.limit() - self.top.len() && self.context.threshold.get() == f32::NEG_INFINITY
    }

    /// The consecutive codes of a block. Shortens the block if it has too many vectors. `None` if the filter comes
    /// first, or if the codes are not consecutive.
    fn run_of_codes(&self, block: &mut Rows) -> Option<Run<'a>> {
        if self.filter_first {
            return None;
        }
        let mut run = self.part.run_of_codes(block)?;
        while run.metas.len() > BLOCK_VECTORS && block.len() > 1 {
            *block = block.slice(0, block.len() / 2);
            run = self.part.run_of_codes(block)?;
        }
        Some(run)
    }

    /// Scores the admitted rows of the block in full precision, without bounds.
    fn score_all(&mut self, block: &Rows) -> Result<()> {
        let (mut group, mut count) = ([RowId(0); 4], 0);
        for row in (0..block.len()).map(|index| block.at(index)) {
            let vectors = self.part.row_vectors(row);
            if vectors.is_empty() || !self.admits(row)? {
                continue;
            }
            self.report.scanned += vectors.len();
            self.report.candidates += 1;
            group[count] = row;
            count += 1;
            if count == group.len() {
                self.score_rows(&group)?;
                count = 0;
            }
        }
        self.score_rows(&group[..count])
    }

    /// Computes the bounds of the rows of a block whose codes are consecutive.
    fn bound_run(&mut self, run: Run, block: &Rows, scratch: &mut FlatScratch) {
        let FlatScratch { ends, raw, vector_bounds, bounds, .. } = scratch;
        let (kernels, prepared, vectors) =
            (self.context.query_vector.kernels, &self.context.query_vector.prepared, run.metas.len());
        self.report.scanned += vectors;
        raw.resize(vectors, 0);
        vector_bounds.resize(vectors, 0.0);
        kernels.dot_codes_many(prepared.code(), run.codes, prepared.code().len(), raw);
        prepared.upper_bounds(raw, run.metas, vector_bounds);
        if run.one_each {
            std::mem::swap(vector_bounds, bounds);
        } else {
            let first = self.part.row_vectors(block.at(0)).start;
            ends.clear();
            ends.extend((0..block.len()).map(|index| self.part.row_vectors(block.at(index)).end - first));
            fold_bounds(vector_bounds, ends, bounds);
        }
    }

    /// Whether the row is visible and, if the filter comes first, passes the filter.
    fn admits(&mut self, row: RowId) -> Result<bool> {
        if !self.context.conditions.sees(self.part, row) {
            return Ok(false);
        }
        if self.filter_first && !self.context.conditions.wants(self.part, row)? {
            self.report.filtered += 1;
            return Ok(false);
        }
        Ok(true)
    }

    /// Gathers the rows of the block that have vectors; only the admitted ones if the filter comes first. Returns how
    /// many rows of the block it looked at: fewer than all if they have too many vectors.
    fn gather(&mut self, block: &Rows, scratch: &mut FlatScratch) -> Result<usize> {
        scratch.rows.clear();
        scratch.vectors.clear();
        scratch.ends.clear();
        for index in 0..block.len() {
            if scratch.vectors.len() >= BLOCK_VECTORS {
                return Ok(index);
            }
            let row = block.at(index);
            let vectors = self.part.row_vectors(row);
            if !vectors.is_empty() && (!self.filter_first || self.admits(row)?) {
                scratch.vectors.extend(vectors.ids());
                scratch.rows.push(row);
                scratch.ends.push(scratch.vectors.len() as u32);
            }
        }
        Ok(block.len())
    }

    /// Gathers the vectors of a block of single rows. Returns false if the filter comes first, or if not every row has
    /// exactly one vector.
    fn gather_single_vectors(&self, block: &Rows, scratch: &mut FlatScratch) -> bool {
        let Rows::Rising(rows) = block else { return false };
        if self.filter_first {
            return false;
        }
        scratch.vectors.clear();
        // No early exit: almost always every row has one vector.
        let mut one_each = true;
        scratch.vectors.extend(rows.iter().map(|&row| {
            let vectors = self.part.row_vectors(row);
            one_each &= vectors.len() == 1;
            vectors.start
        }));
        one_each
    }

    /// Computes the bounds of the gathered rows, from `ends` unless each has one vector.
    fn bound_gathered(&mut self, one_each: bool, scratch: &mut FlatScratch) {
        let FlatScratch { vectors, ends, raw, metas, vector_bounds, bounds, .. } = scratch;
        let (part, kernels, prepared) =
            (self.part, self.context.query_vector.kernels, &self.context.query_vector.prepared);
        self.report.scanned += vectors.len();
        raw.clear();
        let (groups, rest) = vectors.as_chunks::<4>();
        vectors.iter().take(AHEAD).for_each(|&vector| part.prefetch_code(vector));
        for (number, group) in groups.iter().enumerate() {
            vectors.iter().skip(4 * number + AHEAD).take(4).for_each(|&vector| part.prefetch_code(vector));
            raw.extend(kernels.dot_codes4(prepared.code(), group.map(|vector| part.code(vector))));
        }
        raw.extend(rest.iter().map(|&vector| kernels.dot_codes(prepared.code(), part.code(vector))));
        metas.clear();
        metas.extend(vectors.iter().map(|&vector| part.meta(vector)));
        vector_bounds.resize(vectors.len(), 0.0);
        prepared.upper_bounds(raw, metas, vector_bounds);
        if one_each {
            std::mem::swap(vector_bounds, bounds);
        } else {
            fold_bounds(vector_bounds, ends, bounds);
        }
    }

    /// Scores the visible rows whose bounds reach the threshold, the highest bound first, until no bound reaches it.
    fn rerank(&mut self, scratch: &mut FlatScratch, rows: &Rows) -> Result<()> {
        let (threshold, conditions) = (self.context.threshold.get(), &self.context.conditions);
        let sees_all = self.filter_first || self.part.sees_all(rows, conditions.read_lsn, conditions.now);
        let may_want_all = self.listed || conditions.passing.is_none();
        let mut keys = std::mem::take(&mut scratch.heap).into_vec();
        keys.clear();
        for (position, &bound) in scratch.bounds.iter().enumerate() {
            if bound >= threshold
                && (may_want_all || conditions.may_want(rows.at(position)))
                && (sees_all || conditions.sees(self.part, rows.at(position)))
            {
                keys.push(u64::from(ordered_bits(bound)) << 32 | position as u64);
            }
        }
        self.report.candidates += keys.len();
        let mut heap = BinaryHeap::from(keys);
        let result = self.rerank_heap(&mut heap, rows);
        heap.clear();
        scratch.heap = heap;
        result
    }

    fn rerank_heap(&mut self, heap: &mut BinaryHeap<u64>, rows: &Rows) -> Result<()> {
        loop {
            let threshold = self.context.threshold.get();
            let (mut group, mut count) = ([RowId(0); 4], 0);
            while count < group.len()
                && let Some(&key) = heap.peek()
                && from_ordered_bits((key >> 32) as u32) >= threshold
            {
                heap.pop();
                group[count] = rows.at(key as u32 as usize);
                count += 1;
            }
            self.score_rows(&group[..count])?;
            if count < group.len() {
                return Ok(());
            }
        }
    }

    /// Scores rows in full precision and offers them to the result. Each row must have vectors. Four rows with one
    /// vector each are scored at once.
    pub fn score_rows(&mut self, rows: &[RowId]) -> Result<()> {
        let (part, query_vector) = (self.part, self.context.query_vector);
        if let Some(field) = self.context.field {
            for &row in rows {
                if let Some(score) = query_vector.score_field(part, row, field)? {
                    self.offer(row, score)?;
                }
            }
            return Ok(());
        }
        if let &[a, b, c, d] = rows {
            let vectors = [a, b, c, d].map(|row| part.row_vectors(row));
            if vectors.iter().all(|vectors| vectors.len() == 1) {
                let scores = query_vector.score_vectors(part, vectors.map(|vectors| vectors.start))?;
                return rows.iter().zip(scores).try_for_each(|(&row, score)| self.offer(row, score));
            }
        }
        for &row in rows {
            let score = query_vector.score_item(part, part.row_vectors(row))?;
            self.offer(row, score)?;
        }
        Ok(())
    }

    /// Adds a scored row to the result, if its score suffices and it passes the filter, and raises the threshold.
    fn offer(&mut self, row: RowId, score: f32) -> Result<()> {
        self.report.reranked += 1;
        if score < self.context.threshold.get() {
            return Ok(());
        }
        let scored = ScoredRow { score, lsn: self.part.lsn(row), place: RowAddress { part: self.number, row } };
        if !self.top.would_keep(&scored) {
            return Ok(());
        }
        if !self.filter_first && !self.context.conditions.wants(self.part, row)? {
            self.report.filtered += 1;
            return Ok(());
        }
        self.top.push(scored);
        self.report.kept += 1;
        if let Some(worst) = self.top.worst() {
            self.context.threshold.raise(worst.score);
        }
        Ok(())
    }
}

/// Computes the bound of each row: the best bound of its vectors. `ends` has the end of each row's vectors.
fn fold_bounds(vector_bounds: &[f32], ends: &[u32], bounds: &mut Vec<f32>) {
    bounds.clear();
    let mut start = 0;
    for &end in ends {
        // The bound of a row without vectors is NaN, which reaches no threshold.
        bounds.push(vector_bounds[start..end as usize].iter().copied().fold(f32::NAN, f32::max));
        start = end as usize;
    }
}
