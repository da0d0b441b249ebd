//! Limits of filters: each names what there is too much of, how much, and what to do.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::error::{ErrorKind, Limit};
use crate::filter::{FILTER_LITERAL_BYTES_MAX, FILTER_NODES_MAX, FILTER_VALUES_MAX, Filter, Literal};

#[test]
fn limits_hold() {
    let keys = |count: usize| -> Value {
        (0..count).map(|key| (format!("k{key:04}"), json!(1))).collect::<Map<_, _>>().into()
    };
    let kind = |filter: &Value| Filter::parse(filter).map_err(|error| error.kind());
    // Each key and each comparison is a node, and the conjunction of them all is one.
    let largest = (FILTER_NODES_MAX - 1) / 2;
    let filter = kind(&keys(largest)).unwrap();
    assert!(filter.matches(keys(largest).to_string().as_bytes()));
    assert!(!filter.matches(keys(largest - 1).to_string().as_bytes()));
    for count in [largest + 1, 100_000] {
        assert_eq!(kind(&keys(count)), Err(ErrorKind::Limit(Limit::FilterNodes)));
    }
    // A value of an array to compare with is a node, and a list of literals is one, however long.
    let list: Vec<usize> = (0..FILTER_NODES_MAX).collect();
    assert_eq!(kind(&json!({"a": {"$eq": list}})), Err(ErrorKind::Limit(Limit::FilterNodes)));
    assert!(kind(&json!({"a": {"$in": list}})).unwrap().matches(br#"{"a":1023}"#));

    let nested = |levels: usize, key: &str| (1..levels).fold(json!({}), |inner, _| json!({ key: inner }));
    assert!(kind(&nested(128, "a")).unwrap().matches(nested(128, "a").to_string().as_bytes()));
    assert!(!kind(&nested(128, "a")).unwrap().matches(nested(127, "a").to_string().as_bytes()));
    assert_eq!(kind(&nested(130, "a")), Err(ErrorKind::Limit(Limit::Depth)));
    let text = nested(129, "a").to_string();
    assert_eq!(Filter::from_json_str(&text).unwrap_err().kind(), ErrorKind::Limit(Limit::Depth));
    // What stands under a dotted key counts twice, so these would double with each level.
    assert_eq!(kind(&nested(60, "a.b")), Err(ErrorKind::Limit(Limit::FilterNodes)));
    let path = "a.".repeat(500) + "a";
    assert_eq!(kind(&json!({ path: 1 })), Err(ErrorKind::Limit(Limit::Depth)));
    // The builders are bounded when they are prepared.
    let deep = (0..1_000).fold(Filter::Exists, |inner, _| inner.not());
    assert_eq!(deep.prepare().unwrap_err().kind(), ErrorKind::Limit(Limit::Depth));
    let wide = Filter::eq("a", (0..2_000).collect::<Vec<u32>>());
    assert_eq!(wide.prepare().unwrap_err().kind(), ErrorKind::Limit(Limit::FilterNodes));
}

/// The filter `{"a": {operator: operand}}`.
fn comparison(operator: &str, operand: Literal) -> Literal {
    let test = Literal::Object(BTreeMap::from([(operator.to_owned(), operand)]));
    Literal::Object(BTreeMap::from([("a".to_owned(), test)]))
}

#[test]
fn a_list_has_a_million_values_and_one_node() {
    let values = |count: usize| format!(r#"{{"a":{{"$in":[{}]}}}}"#, vec!["1"; count].join(","));
    let largest = Filter::from_json_str(&values(FILTER_VALUES_MAX)).unwrap();
    assert!(largest.matches(br#"{"a":1.0}"#) && !largest.matches(br#"{"a":2}"#));
    let expected = |actual: usize| {
        format!(
            "values in the lists of the filter: {actual} exceeds the limit of 1000000; split the lists over several reads"
        )
    };
    for count in [FILTER_VALUES_MAX + 1, 3 * FILTER_VALUES_MAX] {
        let error = Filter::from_json_str(&values(count)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit(Limit::FilterValues));
        let actual = count + if count > FILTER_VALUES_MAX + 1 { 3 } else { 0 };
        assert_eq!(error.to_string(), expected(actual), "far beyond the limit all values of the text are counted");
    }
    for operator in ["$nin", "$all"] {
        let list = Literal::Array(vec![Literal::Null; FILTER_VALUES_MAX + 1]);
        let error = Filter::from_literal(&comparison(operator, list)).unwrap_err();
        assert_eq!(error.to_string(), expected(FILTER_VALUES_MAX + 1), "{operator}");
    }
    let keys = (0..=FILTER_VALUES_MAX).map(|key| key.to_string());
    let error = Filter::key_in(keys).prepare().unwrap_err();
    assert_eq!(error.to_string(), expected(FILTER_VALUES_MAX + 1));
    // All lists count together, and so do the values inside of arrays and objects.
    let half = || Filter::in_("a", vec![vec![5; 1]; FILTER_VALUES_MAX / 4]);
    assert!(half().or(half()).prepare().is_ok());
    let error = half().or(half()).or(half()).prepare().unwrap_err();
    assert_eq!(error.to_string(), expected(FILTER_VALUES_MAX / 2 * 3));
}

#[test]
fn literals_have_64_mebibytes() {
    let bytes = |count: usize| Literal::String("x".repeat(count));
    let error = |filter: Literal| Filter::from_literal(&filter).unwrap_err();
    let expected = |actual: usize| {
        format!(
            "bytes of the literals of the filter: {actual} exceeds the limit of 67108864; split the lists over several reads"
        )
    };
    assert!(Filter::from_literal(&comparison("$eq", bytes(FILTER_LITERAL_BYTES_MAX))).is_ok());
    for operator in ["$eq", "$ne", "$gt", "$ieq", "$starts_with", "$contains"] {
        let error = error(comparison(operator, bytes(FILTER_LITERAL_BYTES_MAX + 1)));
        assert_eq!(error.kind(), ErrorKind::Limit(Limit::FilterBytes), "{operator}");
        assert_eq!(error.to_string(), expected(FILTER_LITERAL_BYTES_MAX + 1), "{operator}");
    }
    let list = Literal::Array(vec![bytes(1 << 20); 65]);
    assert_eq!(error(comparison("$in", list)).to_string(), expected(65 << 20));
    assert_eq!(Filter::key_starts_with("x".repeat(65 << 20)).prepare().unwrap_err().to_string(), expected(65 << 20));
}

#[test]
fn filters_of_elements_nest_as_deep_as_json() {
    let nested = |levels: usize| {
        let filter = (0..levels).fold(json!({"$gte": 3}), |inner, _| json!({ "$elem_match": inner }));
        (json!({ "a": filter }), json!({"a": (0..levels).fold(json!(3), |inner, _| json!([2, inner]))}))
    };
    let (filter, value) = nested(125);
    let filter = Filter::from_json_str(&filter.to_string()).unwrap();
    assert!(filter.matches(value.to_string().as_bytes()));
    assert!(!filter.matches(nested(124).1.to_string().as_bytes()));
    for levels in [127, 128, 1_000] {
        let filter = nested(levels).0;
        assert_eq!(Filter::parse(&filter).unwrap_err().kind(), ErrorKind::Limit(Limit::Depth));
        assert_eq!(Filter::from_json_str(&filter.to_string()).unwrap_err().kind(), ErrorKind::Limit(Limit::Depth));
    }
    let built = (0..1_000).fold(Filter::Exists, |inner, _| Filter::Element(Box::new(inner)));
    assert_eq!(built.prepare().unwrap_err().kind(), ErrorKind::Limit(Limit::Depth));
}
