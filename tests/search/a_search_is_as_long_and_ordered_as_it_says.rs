//! A search returns as many items as were asked for, also where some have no vector; of equal scores the newer item
//! comes first; and a filter sees a missing field as unequal to everything but null.

use crate::common::{keys, namespace, simulated, tiny};
use vecmem::{Filter, Metric, Put, Query, Store};

/// Items 0 to 9 have one and the same vector, 10 to 14 have none. Odd ones have the field `odd`.
fn filled() -> Store {
    let (store, ..) = simulated(tiny(1, Metric::Dot));
    for number in 0..15 {
        let json = if number % 2 == 1 { r#"{"odd":"yes"}"# } else { "{}" };
        let put = Put::new(&namespace(["a"]), format!("{number:02}"), json);
        store.put(if number < 10 { put.vector([1.0]) } else { put }).unwrap();
        if number == 4 {
            store.compact().unwrap();
        }
    }
    store
}

fn found(store: &Store, query: Query) -> Vec<String> {
    keys(&store.search(&query).unwrap()).into_iter().map(str::to_owned).collect()
}

fn query() -> Query {
    Query::new(&namespace(["a"])).vector([1.0])
}

#[test]
fn of_equal_scores_the_newer_item_comes_first() {
    let newest_first: Vec<String> = (0..10).rev().map(|number| format!("{number:02}")).collect();
    assert_eq!(found(&filled(), query().limit(10)), newest_first);
    assert_eq!(found(&filled(), query().limit(3)), newest_first[..3]);
}

#[test]
fn items_without_a_vector_fill_the_answer_up() {
    for limit in [1, 9, 10, 11, 13, 15] {
        let answer = found(&filled(), query().limit(limit).include_unscored(true));
        assert_eq!(answer.len(), limit, "{answer:?}");
    }
}

#[test]
fn a_missing_field_is_unequal_to_everything_but_null() {
    let store = filled();
    let filtered = |filter: Filter| found(&store, query().limit(20).include_unscored(true).filter(filter)).len();
    assert_eq!(filtered(Filter::ne("odd", "yes")), 8);
    assert_eq!(filtered(Filter::ne("odd", "no")), 15);
    assert_eq!(filtered(Filter::eq("odd", "yes")), 7);
    assert_eq!(filtered(Filter::Any(Vec::new())), 0, "no alternative holds");
    assert_eq!(filtered(Filter::All(Vec::new())), 15);
}
