//! A filter over large values gives the answer of a plain reading wherever in the value it is decided, in compressed
//! values and in others, and the deadline ends a read between two of them. So it does where large values are returned.

use std::sync::Arc;
use std::time::Duration;

use vecmem::testing::{Clock, Random, SimClock, SimStorage, open_with};
use vecmem::{ErrorKind, Filter, Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Store, Tuning};

const VALUES: usize = 40;

/// A clock by which each look at it takes a millisecond.
struct Ticking(SimClock);

impl Clock for Ticking {
    fn now(&self) -> i64 {
        self.0.now()
    }

    fn monotonic(&self) -> Duration {
        self.0.advance(Duration::from_millis(1));
        self.0.monotonic()
    }
}

fn namespace() -> Namespace {
    Namespace::new(["files"]).unwrap()
}

/// A value of some blocks: a number in front, one behind a text of about `bytes` bytes, and one that a cut may halve.
fn value(number: usize, bytes: usize, regular: bool) -> String {
    let mut random = Random::new(number as u64);
    let text: String = match regular {
        true => "line after line, ".chars().cycle().take(bytes).collect(),
        false => (0..bytes).map(|_| random.letter()).collect(),
    };
    let digits = format!("{:0>1$}", number + 1, 40).replace('0', "7");
    format!("{{\"front\":{number},\"text\":\"{text}\",\"long\":{digits},\"list\":[{number}],\"back\":{number}}}")
}

fn filled() -> Store {
    let tuning =
        Tuning { memtable_rows: 1_000, memtable_bytes: 64 << 20, log_total_bytes: 256 << 20, ..Tuning::tiny() };
    let tuning = Tuning { blob_value_bytes: Tuning::default().blob_value_bytes, ..tuning };
    let options = Options::with_vectors(2, Metric::Dot).tuning(tuning);
    let clock = Ticking(SimClock::new(1_700_000_000_000_000));
    let store = open_with(Arc::new(SimStorage::new(1)), Arc::new(clock), options).unwrap();
    for number in 0..VALUES {
        // The first block ends somewhere in the numbers behind the text; others have many blocks.
        let bytes = if number % 4 < 2 { 65_480 + number } else { 300_000 };
        let put = Put::new(&namespace(), format!("{number:02}"), value(number, bytes, number % 8 != 0));
        store.put(put.vector([1.0, number as f32])).unwrap();
    }
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().internals.blob_files, 1);
    store
}

fn within(millis: u64) -> ReadOptions {
    ReadOptions { deadline: Some(Duration::from_millis(millis)), ..ReadOptions::default() }
}

#[test]
fn the_answer_is_that_of_a_plain_reading() {
    let store = filled();
    for field in ["front", "back"] {
        for at_least in [0, 13, VALUES as i64] {
            let filter = Filter::gte(field, at_least);
            let expected: Vec<String> =
                (at_least as usize..VALUES).rev().map(|number| format!("{number:02}")).collect();
            let query = Query::new(Scope::Store).limit(100);
            for query in [query.clone(), query.vector([0.0, 1.0]).exact(true)] {
                let answer = store.search(&query.filter(filter.clone())).unwrap();
                let keys: Vec<&String> = answer.hits.iter().map(|hit| &hit.item.key).collect();
                assert_eq!(keys, expected.iter().collect::<Vec<_>>(), "{field} from {at_least}");
            }
        }
    }
    for number in 0..VALUES {
        for (filter, holds) in [
            (Filter::eq("missing", number as i64), false),
            (Filter::contains("list", number as i64), true),
            (Filter::gte("long", 10_000_000_i64), true),
        ] {
            let filter = Filter::eq("front", number as i64).and(filter);
            let found = store.list(&Query::new(Scope::Store).limit(100).filter(filter)).unwrap();
            assert_eq!(found.hits.len(), usize::from(holds), "{number}");
        }
    }
}

#[test]
fn a_deadline_is_kept_between_large_values() {
    let store = filled();
    // No index knows the middle of a long text, so every value is read.
    let query = Query::new(Scope::Store).limit(VALUES).filter(Filter::contains("text", "no such words"));
    for query in [query.clone(), query.vector([0.0, 1.0]).exact(true)] {
        let late = store.search(&query.clone().options(within(VALUES as u64 / 2))).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::DeadlineExceeded);
        assert!(store.search(&query.options(within(100 * VALUES as u64))).unwrap().hits.is_empty());
    }
    // No filter, but values to return.
    let all = Query::new(Scope::Store).limit(VALUES);
    let late = store.list(&all.clone().options(within(VALUES as u64 / 2))).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::DeadlineExceeded);
    assert_eq!(store.list(&all.options(within(100 * VALUES as u64))).unwrap().hits.len(), VALUES);
}
