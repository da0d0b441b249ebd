//! The ef that a search needs for a recall: a table, fitted when a graph is built, and interpolation in it.
//!
//! Invariants:
//! * More recall or more results never lead to a smaller ef, and ef is never below the number of results. This holds
//!   for any numbers in the table, since the table may come from a damaged file.

/// Recalls of the table.
pub(crate) const RECALLS: [f32; 5] = [0.90, 0.95, 0.98, 0.99, 0.995];
/// Numbers of results of the table.
pub(crate) const RESULTS: [usize; 2] = [10, 100];

/// What lies between an entry and one that is larger than this is interpolated as if the latter were no larger: that
/// one means that no ef is enough.
const EF_MOST: f64 = 4_096.0;

/// Classes of queries: those like the data of a graph, and two of others.
pub(crate) const CLASSES: usize = 3;

/// The ef of one class of queries. Rows: 10 and 100 results; columns: recall 0.90, 0.95, 0.98, 0.99, 0.995.
pub(crate) type EfRows = [[u32; RECALLS.len()]; 2];

/// A table of the ef for a recall and a number of results, for each class of queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Calibration {
    /// A query that looks less like the data than this is of the next class.
    pub bounds: [f32; CLASSES - 1],
    /// For each class.
    pub ef: [EfRows; CLASSES],
    /// The number of distances that a search with each ef of [`VISITS_AT`] computes.
    pub visits: [u32; 5],
}

/// The ef at which visits are counted.
pub(crate) const VISITS_AT: [usize; 5] = [10, 40, 160, 640, 2_560];

impl Calibration {
    /// A table that tells no classes apart.
    #[cfg(any(test, feature = "testing"))]
    pub fn of_one_class(ef: EfRows) -> Self {
        Self { bounds: [f32::NEG_INFINITY; CLASSES - 1], ef: [ef; CLASSES], visits: [u32::MAX; 5] }
    }

    /// About how many distances a search with `ef` computes: interpolated over the logarithms of both. Beyond the table
    /// it rises with ef.
    pub fn visits(&self, ef: usize) -> f64 {
        let ef = ef.max(1) as f64;
        let at = VISITS_AT.iter().filter(|&&known| known as f64 <= ef).count().clamp(1, VISITS_AT.len() - 1) - 1;
        let most =
            |entries: usize| f64::from(self.visits.iter().take(entries).fold(1, |most, &visits| most.max(visits)));
        let (low, high) = (most(at + 1), most(at + 2));
        let [from, to] = [at, at + 1].map(|at| VISITS_AT.get(at).map_or(1.0, |&ef| ef as f64));
        (low * (high / low).powf((ef / from).ln() / (to / from).ln())).max(1.0)
    }

    /// The class of a query that looks so like the data.
    pub fn class(&self, likeness: f32) -> usize {
        self.bounds.iter().take_while(|&&bound| likeness < bound).count()
    }

    /// The ef for `recall` of `k` results, at least `k`, of a query of `class`. It is interpolated over the logarithms
    /// of (1 - recall) and k. Above the largest k of the table it is proportional to k. Below the smallest k or recall
    /// it is constant. What a class of queries needs, those less like the data need at least.
    pub fn ef(&self, class: usize, recall: f32, k: usize) -> usize {
        let ef = self.ef.iter().take(class + 1).map(|rows| interpolated(rows, recall, k)).fold(0.0, f64::max);
        // The conversion saturates at the largest usize.
        (ef.ceil() as usize).max(k)
    }
}

/// The ef for `recall` of `k` results by the rows of one class.
fn interpolated(rows: &EfRows, recall: f32, k: usize) -> f64 {
    // In `f64`, rounding stays below one candidate.
    let missing = |recall: f32| (1.0 - f64::from(recall)).max(1e-4).ln();
    let at = RECALLS.iter().filter(|&&known| known <= recall).count().clamp(1, RECALLS.len() - 1) - 1;
    let share = ((missing(recall) - missing(RECALLS[at])) / (missing(RECALLS[at + 1]) - missing(RECALLS[at]))).max(0.0);
    let [few, many] = [0, 1].map(|row: usize| {
        let best = |entries: usize| f64::from(rows[row][..entries].iter().fold(1, |most, &ef| most.max(ef)));
        let (low, high) = (best(at + 1), best(at + 2));
        let near = high.min(low.max(EF_MOST));
        if share < 1.0 {
            (low * (near / low).powf(share)).clamp(low, near)
        } else {
            // Above the largest recall of the table ef keeps rising, but stays finite.
            (low * (high / low).powf(share)).max(high).min(f64::from(u32::MAX))
        }
    });
    let many = many.max(few);
    let [few_results, many_results] = RESULTS.map(|results| results as f64);
    let results = (k as f64).max(1.0);
    if results <= few_results {
        few
    } else if results >= many_results {
        many * (results / many_results)
    } else {
        let near = many.min(few.max(EF_MOST));
        let between = few * (near / few).powf((results / few_results).ln() / (many_results / few_results).ln());
        between.clamp(few, near)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_entries_are_met_and_what_lies_between_lies_between() {
        let table = Calibration::of_one_class([[20, 30, 50, 80, 120], [110, 140, 200, 300, 450]]);
        for (row, k) in table.ef[0].iter().zip(RESULTS) {
            for (&ef, recall) in row.iter().zip(RECALLS) {
                assert!(table.ef(0, recall, k).abs_diff(ef as usize) <= 1, "{recall} {k}: {}", table.ef(0, recall, k));
            }
        }
        let between = table.ef(0, 0.985, 30);
        assert!((50..300).contains(&between), "{between}");
        assert_eq!(table.ef(0, 0.90, 1_000), 1_100);
    }

    #[test]
    fn any_table_gives_efforts_that_rise() {
        let wild = [0, 1, 7, u32::MAX, 3];
        // As an `f32`, 100 times the first number and then a hundredth of it is less than the number.
        let rounded = [1_879_113_416, 335_609_856, 0, 1, 1];
        for turn in 0..10 {
            let mut row = if turn < 5 { wild } else { rounded };
            row.rotate_left(turn % 5);
            let table = Calibration::of_one_class([row, wild]);
            let recalls = [f32::NEG_INFINITY, 0.0, 0.5, 0.9, 0.94, 0.985, 0.999, 1.0, 2.0];
            let sizes = [0, 1, 10, 55, 99, 100, 101, 5_000, usize::MAX];
            for k in sizes {
                let efforts = recalls.map(|recall| table.ef(0, recall, k));
                assert!(efforts.is_sorted() && efforts.iter().all(|&ef| ef >= k), "{table:?} {k}: {efforts:?}");
            }
            for recall in recalls {
                assert!(sizes.map(|k| table.ef(0, recall, k)).is_sorted(), "{table:?} {recall}");
            }
            assert!(table.ef(0, f32::NAN, 10) >= 10);
        }
    }
}
