//! Which graphs of filters have to go so that another one has room: a pure decision over all graphs of a store.
//!
//! Invariants:
//! * All graphs of filters of a store share one room, whatever their segments.
//! * Graphs go whose searches save least for their bytes, and only if all that go together are worth less than half of
//!   what comes. So two filters that are used alike do not replace each other again and again.

/// What searches save is worth half as much after so many searches of the store with a filter.
const HALF_LIFE: f64 = 65_536.0;
/// What comes is worth more than what goes by at least this factor.
const WORTH_A_BUILD: f64 = 2.0;

/// What searches save with a graph, or would have saved. Later ones count more.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Worth {
    saved_ns: f64,
    /// The number of the last search.
    last: u64,
}

impl Worth {
    /// What one search saved.
    pub fn new(saved_ns: f64, number: u64) -> Self {
        Self { saved_ns, last: number }
    }

    /// Adds what another search saved.
    pub fn add(&mut self, saved_ns: f64, number: u64) {
        *self = Self { saved_ns: self.at(number) + saved_ns, last: self.last.max(number) };
    }

    /// The number of the last search that saved something.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// The worth, in nanoseconds, at the time of a search.
    pub fn at(&self, number: u64) -> f64 {
        self.saved_ns * 0.5_f64.powf(number.saturating_sub(self.last) as f64 / HALF_LIFE)
    }
}

/// A graph that is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HeldGraph {
    pub bytes: usize,
    pub worth: Worth,
}

/// The positions in `held` of the graphs that have to go because the room has become smaller.
pub(crate) fn excess(held: &[HeldGraph], room: usize, number: u64) -> Vec<usize> {
    going(held, &HeldGraph { bytes: 0, worth: Worth::new(f64::INFINITY, number) }, room, number).unwrap_or_default()
}

/// The positions in `held` of the graphs that have to go so that `coming` fits in `room` bytes with the rest: those of
/// the least worth a byte, at the time of search `number`. `None` if there is no room, or if they are worth too much.
pub(crate) fn going(held: &[HeldGraph], coming: &HeldGraph, room: usize, number: u64) -> Option<Vec<usize>> {
    let taken = |bytes: usize| bytes.saturating_add(coming.bytes);
    let mut left: usize = held.iter().map(|graph| graph.bytes).sum();
    let by_byte = |&at: &usize| held.get(at).map_or(0.0, |graph| graph.worth.at(number) / graph.bytes.max(1) as f64);
    let mut order: Vec<usize> = (0..held.len()).collect();
    order.sort_by(|a, b| by_byte(a).total_cmp(&by_byte(b)).then(a.cmp(b)));
    let (mut going, mut lost) = (Vec::new(), 0.0);
    for at in order {
        let Some(graph) = held.get(at).filter(|_| taken(left) > room) else { break };
        left -= graph.bytes;
        lost += graph.worth.at(number);
        going.push(at);
    }
    // What went for little beside what had to go after it may stay if it still fits.
    for place in (0..going.len()).rev() {
        let Some(graph) = going.get(place).and_then(|&at: &usize| held.get(at)) else { continue };
        if taken(left.saturating_add(graph.bytes)) <= room {
            left += graph.bytes;
            lost -= graph.worth.at(number);
            going.remove(place);
        }
    }
    let is_better = going.is_empty() || lost * WORTH_A_BUILD < coming.worth.at(number);
    (taken(left) <= room && is_better).then_some(going)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(bytes: usize, saved_ns: f64) -> HeldGraph {
        HeldGraph { bytes, worth: Worth::new(saved_ns, 100) }
    }

    #[test]
    fn those_of_least_worth_a_byte_go_if_what_comes_is_worth_twice_as_much() {
        let held = [graph(400, 800.0), graph(100, 100.0), graph(400, 200.0)];
        let coming = |bytes: usize, saved_ns: f64| going(&held, &graph(bytes, saved_ns), 1_000, 100);
        assert_eq!(coming(100, 0.0), Some(vec![]), "there is room");
        assert_eq!(coming(101, 401.0), Some(vec![2]), "0.5 a byte");
        assert_eq!(coming(101, 400.0), None, "no more than twice the 200 of what would go");
        assert_eq!(coming(500, 401.0), Some(vec![2]));
        assert_eq!(coming(501, 601.0), Some(vec![2, 1]));
        assert_eq!(coming(501, 599.0), None);
        assert_eq!(coming(1_000, 2_201.0), Some(vec![2, 1, 0]));
        assert_eq!(coming(1_001, 1e12), None, "too large at all");
        let held = [graph(10, 1.0), graph(990, 198.0)];
        let alone = going(&held, &graph(500, 1e6), 1_000, 100);
        assert_eq!(alone, Some(vec![1]), "the small one goes first, and stays after all");
        assert_eq!((excess(&held, 1_000, 100), excess(&held, 995, 100)), (vec![], vec![0]));
        assert_eq!((excess(&held, 500, 100), excess(&held, 0, 100)), (vec![1], vec![0, 1]));
        assert_eq!(coming(usize::MAX, 1e12), None);
        assert_eq!(going(&[], &graph(1, 1.0), 0, 100), None);
    }

    #[test]
    fn what_is_not_used_any_more_is_worth_less_and_less() {
        let mut used = Worth::new(100.0, 0);
        let half = HALF_LIFE as u64;
        assert_eq!((used.at(0), used.at(half), used.at(2 * half)), (100.0, 50.0, 25.0));
        used.add(100.0, half);
        assert_eq!((used.at(half), used.last()), (150.0, half));
        // A search that was numbered earlier may come later.
        used.add(10.0, 0);
        assert_eq!((used.at(half), used.last()), (160.0, half));
        let held = [HeldGraph { bytes: 10, worth: Worth::new(100.0, 0) }];
        let coming = |number: u64| HeldGraph { bytes: 10, worth: Worth::new(100.0, number) };
        assert_eq!(going(&held, &coming(half), 10, half), None);
        assert_eq!(going(&held, &coming(half + 1), 10, half + 1), Some(vec![0]));
    }
}
