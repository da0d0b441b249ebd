//! Queries that callers have asked of a graph: what share of the correct results they have found, whether that falls
//! short of what was asked, and the fit of the table to them if it does.
//!
//! Invariants:
//! * Decisions are pure: the same sums decide the same.
//! * A fit to queries that were asked lowers no ef of a table, raises some, and none to more than [`RAISED_MOST`] times
//!   what it was. So few queries that find too little, whatever the reason, make no search much dearer.

use std::sync::Arc;

use crate::error::Result;
use crate::graph::calibrate::{EF_NEVER, Fit, KIND_MIN, fit};
use crate::graph::calibration::{Calibration, EfRows, RECALLS, RESULTS};
use crate::graph::kept_query::KeptQuery;
use crate::graph::samples::{ExactSearch, GROUP, Recipe, Sample, VectorOf, Walked, exact_searches, samples};
use crate::graph::{Graph, Points};
use crate::ids::NodeId;

/// The most results of a query whose recall is measured: the table is fitted up to here.
pub(crate) const RESULTS_MOST: usize = RESULTS[1];
/// So few queries tell nothing of a class of queries, and no fit to them either.
const MEASURED_LEAST: usize = 32;
/// So many queries that have found more than they asked for show that a table was raised too far.
const MORE_LEAST: f64 = 256.0;
/// The sums are halved at so many queries: what was asked long ago counts less and less.
const MEASURED_MOST: f64 = 512.0;
/// A mean falls short if it is below what was asked by more than this, which is what a calibration may miss by.
const MARGIN: f64 = 0.01;
/// Less than so many standard errors is chance.
const ERRORS: f64 = 2.0;
/// Queries that miss less than this part of what they may have found more than they asked for.
const MISSES_LEAST: f64 = 0.5;
/// A fit that raises no ef by this factor where it matters has not found why queries fall short.
const RAISED_LEAST: f64 = 1.2;
/// Then all ef are raised by this factor.
const RAISED: f64 = 1.5;
/// No fit raises an ef by more than this factor.
const RAISED_MOST: u32 = 2;

/// A query that was asked of a graph, and how it was walked.
pub(crate) struct AskedQuery {
    pub query: Arc<KeptQuery>,
    pub walk: AskedWalk,
}

/// How a graph was walked for a query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct AskedWalk {
    /// The recall and the number of results that were asked for.
    pub recall: f32,
    pub results: usize,
    /// The class of queries that it looked like, and the ef of its last walk.
    pub class: usize,
    pub ef: usize,
    /// The number of the table that gave the ef.
    pub table: u64,
}

/// Searches for each query the correct results among the nodes that count, and repeats its walk. Returns the share of
/// them that the walk has found; `None` where equal scores leave open which are correct. `go_on` is called before each
/// block of codes and before each walk. Its error ends the searches.
pub(crate) fn found_shares(
    graph: Graph<'_>,
    points: &Points<'_>,
    asked: &[AskedQuery],
    vector_of: VectorOf<'_>,
    counts: &dyn Fn(NodeId) -> bool,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<Vec<Option<f32>>> {
    let recipes: Vec<Recipe<'_>> = asked.iter().map(|asked| Recipe::Asked(asked.query.vector())).collect();
    let searches = exact_searches(&recipes, points, vector_of, counts, go_on)?;
    let of_both = searches.iter().zip(asked);
    let share = |(search, AskedQuery { walk, .. }): (&ExactSearch, &AskedQuery)| {
        go_on().map(|()| search.share(walk.results, walk.ef, graph, points))
    };
    of_both.map(share).collect()
}

/// What some queries have got, and what they had asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MeasuredRecall {
    /// How many queries; older ones count as less than one.
    count: f64,
    /// Sums of the recall that was asked for, and of what was found.
    asked: f64,
    found: f64,
    /// The sum of the squares of what was found less than asked, or more.
    squares: f64,
}

impl MeasuredRecall {
    fn add(&mut self, asked: f32, found: f32) {
        if self.count >= MEASURED_MOST {
            for sum in [&mut self.count, &mut self.asked, &mut self.found, &mut self.squares] {
                *sum /= 2.0;
            }
        }
        let (asked, found) = (f64::from(asked), f64::from(found));
        self.count += 1.0;
        self.asked += asked;
        self.found += found;
        self.squares += (asked - found) * (asked - found);
    }

    /// Both together.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            count: self.count + other.count,
            asked: self.asked + other.asked,
            found: self.found + other.found,
            squares: self.squares + other.squares,
        }
    }

    /// The means of what was asked for and of what was found; `None` before the first query.
    pub fn means(&self) -> Option<(f64, f64)> {
        (self.count > 0.0).then(|| (self.asked / self.count, self.found / self.count))
    }

    /// The same, if there are enough queries, and the standard error of their difference.
    fn tells(&self) -> Option<(f64, f64, f64)> {
        let (asked, found) = self.means().filter(|_| self.count >= MEASURED_LEAST as f64)?;
        let variance = (self.squares / self.count - (asked - found) * (asked - found)).max(0.0);
        Some((asked, found, (variance / self.count).sqrt()))
    }

    /// Whether the mean is below what was asked by more than chance explains.
    fn falls_short(&self) -> bool {
        self.tells().is_some_and(|(asked, found, error)| asked - found - MARGIN > ERRORS * error)
    }

    /// Whether the mean is so far above what was asked that a smaller ef would do.
    fn finds_more(&self) -> bool {
        let enough = |asked: f64| 1.0 - (1.0 - asked) * MISSES_LEAST;
        self.tells().is_some_and(|(asked, found, error)| found - enough(asked) >= ERRORS * error)
    }
}

/// What the queries of one class have got: for each row and each column of the table on its own, so that queries that
/// ask for little do not hide what others lack.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct MeasuredClass([[MeasuredRecall; RECALLS.len()]; 2]);

impl MeasuredClass {
    /// Adds what a query has found. One that asks for less than a table knows is walked as if it asked for that.
    pub fn add(&mut self, walk: &AskedWalk, found: f32) {
        let recall = walk.recall.max(RECALLS[0]);
        let (row, column) = (row_of(walk.results), column_of(recall));
        if let Some(cell) = self.0.get_mut(row).and_then(|row| row.get_mut(column)) {
            cell.add(recall, found);
        }
    }

    /// All queries of the class together.
    pub fn all(&self) -> MeasuredRecall {
        self.cells().fold(MeasuredRecall::default(), |sum, (_, cell)| sum.and(cell))
    }

    /// The number of results of a row whose queries fall short, and the mean recall that they asked for.
    pub fn short(&self) -> Option<(usize, f32)> {
        let (results, cell) = self.cells().find(|(_, cell)| cell.falls_short())?;
        Some((results, cell.means()?.0 as f32))
    }

    /// Whether many queries have found more than they asked for, and none of which enough is known did not.
    pub fn finds_more(&self) -> bool {
        let mut known = self.cells().filter(|(_, cell)| cell.tells().is_some()).map(|(_, cell)| cell);
        self.all().count >= MORE_LEAST && self.all().finds_more() && known.all(MeasuredRecall::finds_more)
    }

    /// Each sum, with the number of results of its row.
    fn cells(&self) -> impl Iterator<Item = (usize, &MeasuredRecall)> {
        self.0.iter().zip(RESULTS).flat_map(|(row, results)| row.iter().map(move |cell| (results, cell)))
    }
}

/// The row of a table that gives the ef of so many results.
fn row_of(results: usize) -> usize {
    usize::from(results > RESULTS[0])
}

/// The column of a table that gives the ef of a recall.
fn column_of(recall: f32) -> usize {
    RECALLS.iter().filter(|&&known| known <= recall).count().saturating_sub(1)
}

/// The table of a graph, the class of queries that found too little, how many results they wanted, the mean recall that
/// they asked for, and some queries of the class, all different.
#[derive(Clone, Copy)]
pub(crate) struct Refit<'a> {
    pub table: &'a Calibration,
    pub class: usize,
    pub results: usize,
    pub recall: f32,
    pub queries: &'a [Arc<KeptQuery>],
}

/// Larger ef for one class of queries, fitted to queries of the class. `go_on` is called before each block of codes and
/// before each walk. Its error ends the fit.
pub(crate) fn refit(
    graph: Graph<'_>,
    points: &Points<'_>,
    what: Refit<'_>,
    vector_of: VectorOf<'_>,
    go_on: &(dyn Fn() -> Result<()> + Sync),
) -> Result<EfRows> {
    let recipes: Vec<Recipe<'_>> = what.queries.iter().map(|query| Recipe::Asked(query.vector())).collect();
    let mut all: Vec<Sample> = Vec::with_capacity(recipes.len());
    for group in recipes.chunks(GROUP) {
        all.extend(samples(group, points, vector_of, go_on)?);
    }
    let members: Vec<&Sample> = all.iter().filter(|sample| sample.is_decided()).collect();
    if members.len() < MEASURED_LEAST {
        return Ok(raised_by_half(&what));
    }
    let walk = |members: &[&Sample], ef: usize| -> Result<Vec<Walked>> {
        members.iter().map(|sample| go_on().map(|()| sample.walk(graph, points, ef))).collect()
    };
    let fitted = fit(&members, Fit { nodes: points.len(), unlike_min: KIND_MIN }, &walk)?;
    Ok(raised(&what, &fitted))
}

/// The larger ef of those of the table and `fitted`. If these are hardly larger where queries have found too little,
/// then the ef of the table are too small all the same, and are raised by half.
fn raised(what: &Refit<'_>, fitted: &EfRows) -> EfRows {
    let before = what.rows();
    let ef = |rows: EfRows| what.with(rows).ef(what.class, what.recall, what.results) as f64;
    let mut raised = before;
    for (ef, fitted) in raised.iter_mut().flatten().zip(fitted.iter().flatten()) {
        *ef = (*ef).max((*fitted).min(ef.saturating_mul(RAISED_MOST)));
    }
    if ef(raised) < RAISED_LEAST * ef(before) { raised_by_half(what) } else { raised }
}

/// The ef of the class, half as large again.
pub(crate) fn raised_by_half(what: &Refit<'_>) -> EfRows {
    let by_half = |ef: u32| ((f64::from(ef) * RAISED).ceil() as u32).min(ef.max(EF_NEVER));
    what.rows().map(|row| row.map(by_half))
}

impl Refit<'_> {
    /// The ef in force for the class: those of classes more like the data count too.
    fn rows(&self) -> EfRows {
        let mut rows = EfRows::default();
        for of_class in self.table.ef.iter().take(self.class + 1) {
            for (most, ef) in rows.iter_mut().flatten().zip(of_class.iter().flatten()) {
                *most = (*most).max(*ef);
            }
        }
        rows
    }

    /// The table with these ef for the class.
    fn with(&self, rows: EfRows) -> Calibration {
        let mut table = *self.table;
        table.ef.iter_mut().skip(self.class).take(1).for_each(|of_class| *of_class = rows);
        table
    }
}

/// The ef with which queries of a class are compared with all vectors.
pub(crate) const NEVER_WALKED: EfRows = [[EF_NEVER; RECALLS.len()]; 2];

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(count: usize, asked: f32, found: &[f32]) -> MeasuredRecall {
        let mut measured = MeasuredRecall::default();
        found.iter().cycle().take(count).for_each(|&found| measured.add(asked, found));
        measured
    }

    fn walk(recall: f32, results: usize) -> AskedWalk {
        AskedWalk { recall, results, class: 0, ef: 20, table: 0 }
    }

    #[test]
    fn a_mean_falls_short_if_chance_and_the_margin_do_not_explain_it() {
        for (count, asked, found, falls_short) in [
            (31, 0.98, [0.5, 0.5], false),
            (32, 0.98, [0.5, 0.5], true),
            (500, 0.98, [0.975, 0.975], false),
            (500, 0.98, [0.965, 0.965], true),
            // A mean of 0.96 that is spread widely: so few queries do not tell.
            (40, 0.98, [0.92, 1.0], false),
            (80, 0.98, [0.92, 1.0], true),
            (500, 0.98, [1.0, 1.0], false),
            (500, 0.5, [0.45, 0.45], true),
        ] {
            assert_eq!(measured(count, asked, &found).falls_short(), falls_short, "{count} {asked} {found:?}");
        }
        assert!(!MeasuredRecall::default().falls_short() && MeasuredRecall::default().means().is_none());
    }

    #[test]
    fn queries_that_find_more_do_not_hide_others_that_find_too_little() {
        let mut class = MeasuredClass::default();
        for _ in 0..40 {
            class.add(&walk(0.98, 100), 0.9);
            class.add(&walk(0.98, 10), 1.0);
            class.add(&walk(0.9, 100), 0.99);
            class.add(&walk(0.1, 100), 0.91);
            assert!(!class.finds_more());
        }
        let (results, recall) = class.short().unwrap();
        assert!(results == 100 && (recall - 0.98).abs() < 1e-6, "{recall}");
        let (asked, found) = class.all().means().unwrap();
        assert!(found > asked, "all together find enough");
        let mut others = MeasuredClass::default();
        for _ in 0..300 {
            others.add(&walk(0.98, 10), 1.0);
            // As much as every table gives.
            others.add(&walk(0.0, 1), 0.9);
        }
        assert_eq!(others.short(), None);
    }

    #[test]
    fn many_queries_that_find_more_than_they_asked_for_show_it() {
        for (count, found, finds_more) in [
            (255, [1.0, 1.0], false),
            (256, [1.0, 1.0], true),
            (500, [0.985, 0.985], false),
            (500, [0.995, 0.995], true),
            (500, [0.9, 1.0], false),
        ] {
            let mut class = MeasuredClass::default();
            found.iter().cycle().take(count).for_each(|&found| class.add(&walk(0.98, 10), found));
            assert_eq!(class.finds_more(), finds_more, "{count} {found:?}");
            (0..40).for_each(|_| class.add(&walk(0.98, 50), 0.985));
            assert!(!class.finds_more(), "some find what they asked for, and no more");
        }
    }

    #[test]
    fn what_was_asked_long_ago_is_forgotten() {
        let mut measured = measured(100_000, 0.98, &[1.0]);
        let before = (1..).find(|_| {
            measured.add(0.98, 0.9);
            measured.falls_short()
        });
        assert!(before.is_some_and(|queries| queries < 512), "{before:?}");
        assert!(measured.count <= MEASURED_MOST);
        assert_eq!(measured.and(&MeasuredRecall::default()), measured);
    }

    #[test]
    fn a_fit_lowers_nothing_raises_something_and_at_most_doubles() {
        let table = Calibration::of_one_class([[20, 30, 50, 80, 120], [110, 140, 200, 300, 450]]);
        let of = |table, results| Refit { table, class: 1, results, recall: 0.98, queries: &[] };
        let some = raised(&of(&table, 10), &[[10, 40, 70, 70, 130], [100; 5]]);
        assert_eq!(some, [[20, 40, 70, 80, 130], [110, 140, 200, 300, 450]]);
        // The last would have been raised, but nobody asked for so much; the first, but not for so few results.
        for (results, fitted) in
            [(10, [[10; 5], [100; 5]]), (10, [[10, 10, 10, 10, 110], [100; 5]]), (100, [[40, 60, 70, 90, 130], [9; 5]])]
        {
            let by_half = raised(&of(&table, results), &fitted);
            assert_eq!(by_half, [[30, 45, 75, 120, 180], [165, 210, 300, 450, 675]]);
        }
        let twice = raised(&of(&table, 10), &NEVER_WALKED);
        assert_eq!(twice, [[40, 60, 100, 160, 240], [220, 280, 400, 600, 900]]);
        let largest = Calibration::of_one_class([[u32::MAX; 5]; 2]);
        assert_eq!(raised(&of(&largest, 10), &[[0; 5]; 2]), largest.ef[0]);
        // A class that needs as much as the one before it is raised from there.
        let mut uneven = table;
        uneven.ef[1] = [[10; 5]; 2];
        assert_eq!(raised(&of(&uneven, 10), &[[0; 5]; 2])[0], [30, 45, 75, 120, 180]);
    }
}
