//! What is known of the recall of a graph from queries that were asked of it: queries that wait to be repeated exactly,
//! some that were, what they found, and the tables that were fitted to them.
//!
//! A search offers itself ([`LiveRecall::offer`]). The background takes what waits, repeats it, and notes what was
//! found (`worker/live_check.rs`). If a class of queries falls short, the background fits the ef of the class to those
//! that are kept, and from then on searches go by them. The ef of a class have levels: that of the file, and one for
//! each fit. A class goes down a level if many later queries have found more than they asked for, or if none was asked
//! for [`QUIET`], and up again without a fit.
//!
//! Invariants:
//! * Nothing is kept before [`LiveRecall::begin_round`], nor after [`LiveRecall::end`]. Queries are kept in memory
//!   only, and go with the graph, or when [`LiveRecall::forget`] is called: they are personal data.
//! * They are bounded: [`WAITING_MAX`] that wait, for each class [`KEPT_MAX`], or [`KEPT_BYTES`], and by the room of
//!   the store.
//! * A query that equals one that waits or is kept is neither kept nor measured: one query that is asked again and
//!   again counts once.
//! * A query is measured against the table that it was walked by, or not at all.
//! * A search that is not kept costs an atomic load, and while there is room one addition. No search waits for a check.
//! * The number of fits is bounded. A class unlike the data that falls short after the last one is compared with all
//!   vectors. A class like the data never is, since its ef is that of the first walk of every query.
//! * What was taken before `forget` or `end` is not noted after it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::graph::asked::{AskedQuery, AskedWalk, MeasuredClass, MeasuredRecall};
use crate::graph::calibration::{CLASSES, Calibration, EfRows};
use crate::graph::kept_query::{KeptQuery, QueryRoom};
use crate::random::Random;
use crate::sync::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Mutex, Ordering};

/// Queries that wait to be repeated.
const WAITING_MAX: usize = 8;
/// Queries of one class that are kept after they were repeated, and their bytes: enough for a fit of any dimensions.
const KEPT_MAX: usize = 64;
const KEPT_BYTES: usize = 2 << 20;
/// Of so many queries of a class each is kept with the same chance; older ones are less and less likely to be kept.
const KEPT_OF: u64 = 512;
/// At most one search in so many is kept.
const STRIDE_MAX: u32 = 1 << 16;
/// The ef of a class are fitted at most so often.
const FITS_OF_CLASS: usize = 5;
/// A class of which no query was measured for so long goes down a level: so one whose queries walk no more is tried
/// again.
const QUIET: Duration = Duration::from_secs(3_600);

/// The measured recall of a graph.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct GraphRecall {
    /// Queries that were repeated exactly.
    pub checked: u64,
    /// The mean recall that they asked for, and that they got, since the table of their class was last replaced.
    pub means: Option<(f64, f64)>,
    /// How often the ef of a class were fitted.
    pub fits: u64,
    /// Queries that are in memory now.
    pub kept: u64,
}

/// Queries that were taken to be repeated. `epoch` says of what time they are.
pub(crate) struct TakenQueries {
    pub epoch: u64,
    pub queries: Vec<AskedQuery>,
}

/// A class of queries that falls short: how many results they wanted, the mean recall that they asked for, and some
/// queries of the class.
pub(crate) struct ShortClass {
    pub epoch: u64,
    pub class: usize,
    pub results: usize,
    pub recall: f32,
    pub queries: Vec<Arc<KeptQuery>>,
    /// The ef were fitted as often as they may be, and the class may be compared with all vectors.
    pub gives_up: bool,
}

/// The table in force, and its number: it changes with each table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct NumberedTable {
    pub number: u64,
    pub table: Calibration,
}

/// The recall of one graph, as queries find it. What all searches read lies apart from what some of them write.
#[derive(Default)]
pub(crate) struct LiveRecall {
    /// Whether queries are kept and there is room for one more to wait.
    wants: AtomicBool,
    /// One in so many searches is kept.
    stride: AtomicU32,
    /// How often a class went to another level.
    changes: AtomicU64,
    levels: [Levels; CLASSES],
    /// Searches since there was room.
    passed: Apart<AtomicU32>,
    state: Apart<Mutex<LiveState>>,
    /// A table that a test has put in the place of that of the file.
    #[cfg(any(test, feature = "testing"))]
    pub forged: OnceLock<Calibration>,
}

/// It has cache lines of its own, so that it does not slow reads of its neighbours.
#[derive(Default)]
#[repr(align(64))]
struct Apart<T>(T);

/// The ef of one class that were fitted, in this order, and how many of them count.
#[derive(Default)]
struct Levels {
    fitted: [OnceLock<Box<EfRows>>; FITS_OF_CLASS],
    level: AtomicUsize,
}

#[derive(Default)]
struct LiveState {
    /// The room for queries, from the first round on.
    room: Option<Arc<QueryRoom>>,
    has_ended: bool,
    epoch: u64,
    /// The time of the last round.
    now: Duration,
    waiting: Vec<AskedQuery>,
    checked: u64,
    classes: [LiveClass; CLASSES],
}

/// The queries of one class.
#[derive(Default)]
struct LiveClass {
    measured: MeasuredClass,
    /// When the last one was measured, or the class went to another level.
    measured_at: Duration,
    kept: Vec<Arc<KeptQuery>>,
    /// How many queries there were to choose from.
    seen: u64,
}

impl LiveRecall {
    /// A round of checks begins. From the first one on queries are kept, in `room`. If there was room for more of them
    /// to wait, the next ones are chosen from half as many searches.
    pub fn begin_round(&self, room: &Arc<QueryRoom>, now: Duration) {
        let mut state = self.state.0.lock();
        if state.has_ended {
            return;
        }
        state.now = now;
        if state.room.is_none() {
            state.room = Some(Arc::clone(room));
            state.classes.iter_mut().for_each(|class| class.measured_at = now);
            self.stride.store(1, Ordering::Relaxed);
            self.wants.store(true, Ordering::Relaxed);
        } else if state.waiting.len() < WAITING_MAX {
            self.set_stride(self.stride.load(Ordering::Relaxed) / 2);
        }
        for class in 0..CLASSES {
            let quiet = state.classes.get(class).is_some_and(|class| now.saturating_sub(class.measured_at) >= QUIET);
            if let Some(below) = self.level(class).checked_sub(1).filter(|_| quiet) {
                self.set_level(&mut state, class, below);
            }
        }
    }

    fn set_stride(&self, stride: u32) {
        self.stride.store(stride.clamp(1, STRIDE_MAX), Ordering::Relaxed);
    }

    /// Whether a query may be kept.
    #[inline]
    pub fn wants(&self) -> bool {
        self.wants.load(Ordering::Relaxed)
    }

    /// Keeps the query if it is its turn, it is a new one, and there is room.
    pub fn offer(&self, vector: &[f32], walk: AskedWalk) {
        let stride = self.stride.load(Ordering::Relaxed).max(1);
        if !self.wants() || !self.passed.0.fetch_add(1, Ordering::Relaxed).is_multiple_of(stride) {
            return;
        }
        let mut state = self.state.0.lock();
        let Some(room) = state.room.as_ref().filter(|_| !state.has_ended && state.waiting.len() < WAITING_MAX) else {
            return;
        };
        match Some(room).filter(|_| !state.has(vector)).and_then(|room| room.keep(vector)) {
            Some(query) => state.waiting.push(AskedQuery { query, walk }),
            // The next ones are hardly better.
            None => self.set_stride(stride.saturating_mul(2)),
        }
        self.wants.store(state.waiting.len() < WAITING_MAX, Ordering::Relaxed);
    }

    /// Takes the queries that wait. If there was no room for more, the next ones are chosen from twice as many
    /// searches: so they are spread over the time between two checks.
    pub fn take(&self) -> Option<TakenQueries> {
        let mut state = self.state.0.lock();
        if state.waiting.is_empty() {
            return None;
        }
        let queries = std::mem::take(&mut state.waiting);
        if queries.len() >= WAITING_MAX {
            self.set_stride(self.stride.load(Ordering::Relaxed).saturating_mul(2));
        }
        self.wants.store(true, Ordering::Relaxed);
        Some(TakenQueries { epoch: state.epoch, queries })
    }

    /// Whether the background has something to do: queries wait, or a class falls short.
    pub fn is_due(&self) -> bool {
        let state = self.state.0.lock();
        !state.waiting.is_empty() || self.short_class(&state).is_some()
    }

    /// Whether what was taken at this time may still be used.
    pub fn is_of(&self, epoch: u64) -> bool {
        let state = self.state.0.lock();
        !state.has_ended && state.epoch == epoch
    }

    /// Notes the share of the correct results that each query has found, where it is known. Then classes go to levels
    /// that are known to be better.
    pub fn note(&self, taken: TakenQueries, found: &[Option<f32>]) {
        let mut state = self.state.0.lock();
        if state.has_ended || state.epoch != taken.epoch {
            return;
        }
        let (number, now) = (self.changes.load(Ordering::Relaxed), state.now);
        for (AskedQuery { query, walk }, found) in taken.queries.into_iter().zip(found) {
            let Some(found) = found.filter(|_| walk.table == number && !state.has(query.vector())) else { continue };
            state.checked += 1;
            if let Some(class) = state.classes.get_mut(walk.class) {
                class.measured.add(&walk, found);
                class.measured_at = now;
                class.keep(query);
            }
        }
        for class in 0..CLASSES {
            let level = self.level(class);
            let Some(LiveClass { measured, .. }) = state.classes.get(class) else { continue };
            if measured.short().is_some() && self.fitted(class, level).is_some() {
                self.set_level(&mut state, class, level + 1);
            } else if level > 0 && measured.finds_more() {
                self.set_level(&mut state, class, level - 1);
            }
        }
    }

    /// A class of queries that falls short, if there is one that may be fitted.
    pub fn short(&self) -> Option<ShortClass> {
        let state = self.state.0.lock();
        let class = self.short_class(&state)?;
        let LiveClass { measured, kept, .. } = state.classes.get(class)?;
        let (results, recall) = measured.short()?;
        let gives_up = class > 0 && self.level(class) + 1 >= FITS_OF_CLASS;
        Some(ShortClass { epoch: state.epoch, class, results, recall, queries: kept.clone(), gives_up })
    }

    /// The class that falls short, the one most like the data first.
    fn short_class(&self, state: &LiveState) -> Option<usize> {
        let is_short = |(number, class): (usize, &LiveClass)| {
            self.level(number) < FITS_OF_CLASS && class.measured.short().is_some()
        };
        state.classes.iter().enumerate().position(is_short)
    }

    /// Replaces the ef of a class that fell short, and measures the class anew.
    pub fn raise(&self, short: &ShortClass, ef: EfRows) {
        let mut state = self.state.0.lock();
        if state.has_ended || state.epoch != short.epoch {
            return;
        }
        let level = self.level(short.class);
        let place = self.levels.get(short.class).and_then(|levels| levels.fitted.get(level));
        if place.is_some_and(|place| place.set(Box::new(ef)).is_ok()) {
            self.set_level(&mut state, short.class, level + 1);
        }
    }

    /// Sets the level of a class, of which nothing is known then.
    fn set_level(&self, state: &mut LiveState, class: usize, level: usize) {
        if let (Some(levels), Some(class)) = (self.levels.get(class), state.classes.get_mut(class)) {
            levels.level.store(level, Ordering::Relaxed);
            // A search that reads this number reads the level too.
            self.changes.fetch_add(1, Ordering::Release);
            (class.measured, class.measured_at) = (MeasuredClass::default(), state.now);
        }
    }

    fn level(&self, class: usize) -> usize {
        self.levels.get(class).map_or(0, |levels| levels.level.load(Ordering::Relaxed))
    }

    /// The ef of a class that were fitted at a level, for the next one.
    fn fitted(&self, class: usize, level: usize) -> Option<&EfRows> {
        self.levels.get(class)?.fitted.get(level)?.get().map(|ef| &**ef)
    }

    /// The table of the graph's file with the ef that were fitted to queries.
    #[inline]
    pub fn table(&self, of_file: &Calibration) -> NumberedTable {
        let number = self.changes.load(Ordering::Acquire);
        #[cfg(any(test, feature = "testing"))]
        let of_file = self.forged.get().unwrap_or(of_file);
        let mut table = *of_file;
        if number > 0 {
            for (class, ef) in table.ef.iter_mut().enumerate() {
                let level = self.level(class).checked_sub(1);
                *ef = level.and_then(|level| self.fitted(class, level)).map_or(*ef, |fitted| *fitted);
            }
        }
        NumberedTable { number, table }
    }

    /// What is known of the recall.
    pub fn measured(&self) -> GraphRecall {
        let state = self.state.0.lock();
        let all = state.classes.iter().fold(MeasuredRecall::default(), |sum, class| sum.and(&class.measured.all()));
        let kept = state.classes.iter().map(|class| class.kept.len()).sum::<usize>() + state.waiting.len();
        let fitted = self.levels.iter().flat_map(|levels| &levels.fitted);
        let fits = fitted.filter(|fitted| fitted.get().is_some()).count() as u64;
        GraphRecall { checked: state.checked, means: all.means(), fits, kept: kept as u64 }
    }

    /// Lets half of the queries go that were repeated: others need the room.
    pub fn let_half_go(&self) {
        let mut state = self.state.0.lock();
        state.classes.iter_mut().for_each(|class| class.kept.truncate(class.kept.len() / 2));
    }

    /// Lets all queries go. What they found stays: sums of numbers.
    pub fn forget(&self) {
        let mut state = self.state.0.lock();
        state.epoch += 1;
        state.waiting = Vec::new();
        state.classes.iter_mut().for_each(|class| (class.kept, class.seen) = (Vec::new(), 0));
        self.wants.store(state.room.is_some() && !state.has_ended, Ordering::Relaxed);
    }

    /// Lets all queries go and keeps none any more: the graph has no place in the store.
    pub fn end(&self) {
        self.state.0.lock().has_ended = true;
        self.forget();
    }
}

impl LiveState {
    /// Whether such a query waits or is kept.
    fn has(&self, vector: &[f32]) -> bool {
        let waiting = self.waiting.iter().map(|asked| &asked.query);
        let mut all = waiting.chain(self.classes.iter().flat_map(|class| &class.kept));
        all.any(|query| query.vector() == vector)
    }
}

impl LiveClass {
    /// Keeps the query if there is room, or in the place of another one by chance (Vitter's algorithm R, 1985).
    fn keep(&mut self, query: Arc<KeptQuery>) {
        let most = (KEPT_BYTES / size_of_val(query.vector()).max(1)).clamp(1, KEPT_MAX);
        self.seen += 1;
        if self.kept.len() < most {
            self.kept.push(query);
            return;
        }
        let drawn = Random::new(self.seen).draw() % self.seen.min(KEPT_OF);
        if let Some(place) = self.kept.get_mut(usize::try_from(drawn).unwrap_or(usize::MAX)) {
            *place = query;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn vector(number: usize) -> [f32; 4] {
        [number as f32; 4]
    }

    fn begun() -> (LiveRecall, Arc<QueryRoom>) {
        let (live, room) = (LiveRecall::default(), Arc::default());
        live.begin_round(&room, SECOND);
        (live, room)
    }

    /// Searches offer themselves, walked by the table in force; returns the numbers of those that wait then.
    fn offer(live: &LiveRecall, numbers: std::ops::Range<usize>) -> Vec<usize> {
        for number in numbers {
            let table = live.changes.load(Ordering::Relaxed);
            let walk = AskedWalk { recall: 0.98, results: 10, class: number % 2, ef: 20, table };
            live.offer(&vector(number), walk);
        }
        let state = live.state.0.lock();
        state.waiting.iter().map(|asked| asked.query.vector()[0] as usize).collect()
    }

    /// Notes that everything that waits has found this share.
    fn check(live: &LiveRecall, found: f32) {
        while let Some(taken) = live.take() {
            let found = vec![Some(found); taken.queries.len()];
            live.note(taken, &found);
        }
    }

    /// Each of these searches is repeated, and has found this share.
    fn ask(live: &LiveRecall, numbers: std::ops::Range<usize>, found: f32) {
        for number in numbers {
            live.set_stride(1);
            offer(live, number..number + 1);
            check(live, found);
        }
    }

    fn kept(live: &LiveRecall) -> Vec<f32> {
        let state = live.state.0.lock();
        state.classes.iter().flat_map(|class| class.kept.iter().map(|query| query.vector()[0])).collect()
    }

    #[test]
    fn queries_are_kept_from_the_first_round_to_the_end_and_are_spread_over_the_searches() {
        let (live, room) = (LiveRecall::default(), Arc::default());
        assert!(offer(&live, 0..20).is_empty());
        live.begin_round(&room, SECOND);
        assert_eq!(offer(&live, 0..20), (0..8).collect::<Vec<_>>());
        assert!(!live.wants() && live.is_due());
        live.begin_round(&room, SECOND);
        check(&live, 1.0);
        // There was no room for more, so every second one is kept; then every fourth.
        let every_second = offer(&live, 20..36);
        assert!(every_second.len() == 8 && every_second.windows(2).all(|pair| pair[1] == pair[0] + 2));
        check(&live, 1.0);
        assert_eq!(offer(&live, 36..52).len(), 4);
        check(&live, 1.0);
        live.begin_round(&room, SECOND);
        assert_eq!(offer(&live, 52..56).len(), 2, "and every second one where there was room");
        live.end();
        live.begin_round(&room, SECOND);
        assert!(offer(&live, 60..90).is_empty());
        assert_eq!((live.measured().kept, room.used()), (0, 0));
    }

    #[test]
    fn few_searches_after_many_are_kept_again_within_a_few_rounds() {
        let (live, room) = begun();
        for round in 0..20 {
            offer(&live, round * 100_000..round * 100_000 + 100_000);
            check(&live, 1.0);
        }
        assert!(live.stride.load(Ordering::Relaxed) > 1_000);
        (0..20).for_each(|_| live.begin_round(&room, SECOND));
        assert_eq!(offer(&live, 3_000_000..3_000_003).len(), 3, "although none of them waited before");
    }

    #[test]
    fn what_is_kept_is_bounded_and_what_comes_later_is_in_it() {
        let (live, room) = begun();
        ask(&live, 0..5_000, 1.0);
        assert_eq!((live.measured().kept, kept(&live).len(), room.used()), (128, 128, 128 * 16));
        let new = kept(&live).iter().filter(|&&number| number >= 2_500.0).count();
        assert!((100..128).contains(&new), "{new} of the second half");
        live.let_half_go();
        assert_eq!((live.measured().kept, room.used()), (64, 64 * 16));
        let mut long = LiveClass::default();
        (0..100).for_each(|_| long.keep(room.keep(&[0.0; 16_384]).unwrap()));
        assert_eq!(long.kept.len() * 16_384 * 4, KEPT_BYTES);
    }

    #[test]
    fn a_query_that_is_asked_again_and_again_counts_once() {
        let (live, room) = begun();
        for _ in 0..200 {
            ask(&live, 4..5, 0.5);
            live.set_stride(1);
            assert_eq!(offer(&live, 7..8), offer(&live, 7..8));
            check(&live, 0.5);
        }
        // Two of the same may be taken, one while the other is checked.
        live.set_stride(1);
        offer(&live, 9..10);
        let taken = live.take().unwrap();
        live.set_stride(1);
        offer(&live, 9..10);
        live.note(taken, &[Some(0.5)]);
        check(&live, 0.5);
        assert_eq!((live.measured().checked, live.measured().kept, room.used()), (3, 3, 3 * 16));
        assert!(live.short().is_none());
    }

    #[test]
    fn a_purge_leaves_no_query_and_what_was_taken_before_is_not_noted() {
        let (live, room) = begun();
        offer(&live, 0..6);
        check(&live, 0.5);
        offer(&live, 6..9);
        let taken = live.take().unwrap();
        offer(&live, 9..12);
        assert_eq!((live.measured().kept, room.used()), (9, 12 * 16));
        live.forget();
        assert!(!live.is_of(taken.epoch) && live.is_of(taken.epoch + 1));
        live.note(taken, &[Some(1.0); 3]);
        let measured = live.measured();
        assert_eq!((measured.kept, measured.checked, room.used()), (0, 6, 0));
        assert_eq!(offer(&live, 12..13).len(), 1, "later queries are kept");
    }

    #[test]
    fn a_query_is_not_measured_against_another_table_than_the_one_it_was_walked_by() {
        let (live, _room) = begun();
        ask(&live, 0..80, 0.5);
        let short = live.short().unwrap();
        live.set_stride(1);
        offer(&live, 100..104);
        live.raise(&short, [[7; 5]; 2]);
        check(&live, 0.5);
        assert_eq!(live.measured().checked, 80);
        assert_eq!(live.state.0.lock().classes[short.class].measured, MeasuredClass::default());
    }

    #[test]
    fn a_class_gets_a_few_tables_and_then_no_more() {
        let (live, _room) = begun();
        let of_file = Calibration::of_one_class([[9; 5]; 2]);
        assert_eq!(live.table(&of_file), NumberedTable { number: 0, table: of_file });
        let mut expected = of_file;
        for fits in 1..=2 * FITS_OF_CLASS {
            ask(&live, fits * 1_000..fits * 1_000 + 80, 0.5);
            let short = live.short().unwrap();
            assert_eq!((short.class, short.results), ((fits - 1) / FITS_OF_CLASS, 10));
            assert_eq!((short.gives_up, short.queries.is_empty()), (fits == 2 * FITS_OF_CLASS, false));
            live.raise(&ShortClass { epoch: 7, ..short }, [[1; 5]; 2]);
            let short = live.short().unwrap();
            expected.ef[short.class] = [[fits as u32; 5]; 2];
            live.raise(&short, expected.ef[short.class]);
            assert_eq!(live.table(&of_file), NumberedTable { number: fits as u64, table: expected });
            assert_eq!(live.measured().fits, fits as u64);
        }
        ask(&live, 50_000..50_080, 0.5);
        assert!(live.short().is_none() && !live.is_due());
    }

    #[test]
    fn a_class_comes_down_and_goes_up_again_without_a_fit() {
        let (live, room) = begun();
        let of_file = Calibration::of_one_class([[9; 5]; 2]);
        ask(&live, 0..80, 0.5);
        live.raise(&live.short().unwrap(), [[18; 5]; 2]);
        let first_ef = || live.table(&of_file).table.ef[0][0][0];
        assert_eq!(first_ef(), 18);
        // Queries of the class have even numbers.
        ask(&live, 1_000..1_500, 1.0);
        assert_eq!(first_ef(), 18, "fewer than show it");
        ask(&live, 1_500..1_600, 1.0);
        assert_eq!((first_ef(), live.measured().fits), (9, 1));
        ask(&live, 2_000..2_080, 0.5);
        assert_eq!((first_ef(), live.measured().fits), (18, 1));
        live.begin_round(&room, QUIET);
        assert_eq!(first_ef(), 18);
        live.begin_round(&room, QUIET + SECOND);
        assert_eq!(first_ef(), 9, "none was asked for long");
    }
}
