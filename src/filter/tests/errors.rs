//! Errors of filters: each names the place, says what to write, and is short.

use std::collections::BTreeMap;

use serde_json::json;

use crate::error::ErrorKind;
use crate::filter::{Filter, Literal};

/// The longest message, with the longest place and the longest key.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// Filters with a wrong operator or an operator in a wrong place, and their errors. Dots at the end stand for more.
fn wrong_operators() -> Vec<(&'static str, String)> {
    let operators = "there are $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $contains, $and, $or, $not";
    vec![
        // Unknown and misspelt operators.
        (r#"{"price":{"$x":1}}"#, format!("filter.price: Unsupported operator: $x; {operators}")),
        (r#"{"$where":"1"}"#, format!("filter: Unsupported operator: $where; {operators}")),
        (r#"{"$":1}"#, format!("filter: Unsupported operator: $; {operators}")),
        (r#"{"price":{"$gtt":1}}"#, "filter.price: Unsupported operator: $gtt; did you mean $gt or $gte?".into()),
        (r#"{"$an":[]}"#, "filter: Unsupported operator: $an; did you mean $in or $and?".into()),
        (r#"{"a":{"b":{"$AND":[]}}}"#, "filter.a.b: Unsupported operator: $AND; did you mean $and?".into()),
        // Operators where they have no meaning.
        (
            r#"{"$gt":1}"#,
            r#"filter: Unsupported operator: $gt; it compares a field, so write {"field": {"$gt": ...}}"#.into(),
        ),
        (
            r#"{"price":{"$gt":1,"b":2}}"#,
            "filter.price: Unsupported operator: b; $gt stands beside it, and an object has operators or fields, not \
             both"
                .into(),
        ),
        (
            r#"{"a":{"$ne":{"$in":[1]}}}"#,
            "filter.a.$ne: expects a value, and $in is an operator; operators are combined with $and, $or and $not"
                .into(),
        ),
        (r#"{"a":{"$nin":[1,{"$gt":5}]}}"#, "filter.a.$nin[1]: expects a value, and $gt is an operator; ...".into()),
        (r#"{"a":[{"b":{"$not":1}}]}"#, "filter.a[0].b: expects a value, and $not is an operator; ...".into()),
        (r#"{"a":{"$contains":{"$eq":5}}}"#, "filter.a.$contains: expects a value, and $eq is an operator; ...".into()),
    ]
}

/// Filters with a wrong operand or path, and their errors.
fn wrong_operands_and_paths() -> Vec<(&'static str, String)> {
    vec![
        // Operands of another type.
        (r#"{"price":{"$gt":[1]}}"#, "filter.price.$gt: expects a number or a string".into()),
        (r#"{"price":{"$lte":null}}"#, "filter.price.$lte: expects a number or a string".into()),
        (r#"{"$or":[{"a":1},{"b":{"$in":3}}]}"#, "filter.$or[1].b.$in: expects a list".into()),
        (r#"{"$or":{"a":1}}"#, "filter.$or: expects a list".into()),
        (r#"{"$and":[1]}"#, "filter.$and[0]: a filter must be a JSON object".into()),
        (r#"{"a":{"$exists":1}}"#, "filter.a.$exists: expects true or false".into()),
        // What would match every item.
        (r#"{"$and":[]}"#, "filter.$and: expects at least one element; an empty list would match every item".into()),
        (r#"{"a":{"$and":[]}}"#, "filter.a.$and: expects at least one element; ...".into()),
        (r#"{"$or":[{"a":1},{}]}"#, "filter.$or[1]: an empty filter would match every item; leave it out".into()),
        (r#"{"$not":{}}"#, "filter.$not: an empty filter would match every item; leave it out".into()),
        // Paths.
        (
            r#"{"person.age.$gte":1}"#,
            r#"filter: Invalid filter key person.age.$gte: its component $gte is an operator; write {"person.age": {"$gte": ...}}"#.into(),
        ),
        (r#"{"a":{"b.$in":[1]}}"#, "filter.a: Invalid filter key b.$in: its component $in is an operator; ...".into()),
        (
            r#"{"a.$not.b":1}"#,
            "filter: Invalid filter key a.$not.b: its component $not is an operator, and no name of a field".into(),
        ),
        (
            r#"{"a.$gtt":1}"#,
            "filter: Invalid filter key a.$gtt: its component $gtt begins with $, and no name of a field may; \
             did you mean $gt or $gte?"
                .into(),
        ),
        (r#"{"$gte.a":1}"#, "filter: Unsupported operator: $gte.a; did you mean $gte?".into()),
        (r#"{"a..b":1}"#, "filter: Invalid filter key a..b: a component of its path is empty".into()),
        (r#"{"a":{".b":1}}"#, "filter.a: Invalid filter key .b: a component of its path is empty".into()),
        (r#"{"a.":1}"#, "filter: Invalid filter key a.: a component of its path is empty".into()),
        (r#"{"access') = 'public' OR '1'='1":1}"#, "filter: Invalid filter key access...".into()),
        (
            r#"{"a":{"b\u0000":1}}"#,
            r"filter.a: Invalid filter key b\0: it holds a quote, a parenthesis or a control character".into(),
        ),
        // What is no object of JSON.
        (
            r#"{"a":1,"a":2}"#,
            "filter: not valid JSON: a key that the same object already has at byte 7".into(),
        ),
        ("[]", "filter: not valid JSON: something else than the '{' of an object at byte 0".into()),
        ("null", "filter: not valid JSON: something else than the '{' of an object at byte 0".into()),
        ("", "filter: not valid JSON: something else than the '{' of an object at byte 0".into()),
    ]
}

#[test]
fn errors_name_the_place() {
    for (filter, expected) in [wrong_operators(), wrong_operands_and_paths()].concat() {
        let error = Filter::from_json_str(filter).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let message = error.to_string();
        match expected.strip_suffix("...") {
            Some(beginning) => assert!(message.starts_with(beginning), "{filter}: {message}"),
            None => assert_eq!(message, expected, "{filter}"),
        }
        if let Ok(value) = serde_json::from_str::<serde_json::Value>(filter).map(|value| Filter::parse(&value)) {
            assert!(value.is_err() || filter.contains(r#""a":1,"a""#), "{filter} is as wrong as a value");
        }
    }
}

#[test]
fn what_only_looks_wrong_is_accepted() {
    for (filter, document) in [
        (r#"{"":1}"#, r#"{"":1}"#),
        (r#"{"a key-with ünicode 7":1}"#, r#"{"a key-with ünicode 7":1}"#),
        (r#"{"a":{"$eq":{"$ref":"x"}}}"#, r#"{"a":{"$ref":"x"}}"#),
        (r#"{"a":[{"$oid":"x"}]}"#, r#"{"a":[{"$oid":"x"}]}"#),
        (r#"{"a":{"gte":1}}"#, r#"{"a":{"gte":1}}"#),
        (r#"{"us$.b$":1}"#, r#"{"us$":{"b$":1}}"#),
        (r#"{"a":{"b":{}}}"#, r#"{"a":{"b":{}}}"#),
        (r#"{"a":{"$or":[{}]}}"#, r#"{"a":{"b":1}}"#),
    ] {
        assert!(Filter::from_json_str(filter).unwrap().matches(document.as_bytes()), "{filter}");
    }
}

#[test]
fn filters_that_functions_build_have_no_operators_for_fields_and_negate_no_nan() {
    let nan = f64::NAN;
    let keyed = || Literal::Object(BTreeMap::from([("x".into(), Literal::Array(vec![Literal::Float(nan)]))]));
    for (filter, expected) in [
        (Filter::eq("age.$gte", 3), "filter: Invalid filter key age.$gte: its component $gte is an operator"),
        (Filter::eq("$in", 3), "filter: Invalid filter key $in: its component $in is an operator"),
        (Filter::inside("a", Filter::ne("b.$eq", 3)).not(), "filter: Invalid filter key b.$eq: its component"),
        (Filter::ne("v", nan), "filter: NaN equals nothing, so its negation would match every item; leave it out"),
        (
            Filter::gt("v", nan).not(),
            "filter: NaN equals nothing, so its negation would match every item; leave it out",
        ),
        (
            Filter::nin("v", [1.0, nan]),
            "filter: NaN equals nothing, so its negation would match every item; leave it out",
        ),
        (Filter::ne("v", keyed()), "filter: NaN equals nothing, so its negation would match every item; leave it out"),
    ] {
        let error = filter.prepare().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(expected), "{error}");
        assert!(!filter.matches(br#"{"v":5}"#), "{filter:?}");
    }
    assert!(Filter::eq("No.", 1).matches(br#"{"No.":1}"#), "the name of a field may be anything else");

    let parsed = |operator: &str, operand| {
        let test = Literal::Object(BTreeMap::from([(operator.into(), operand)]));
        Filter::from_literal(&Literal::Object(BTreeMap::from([("v".into(), test)]))).unwrap_err().to_string()
    };
    let why = "NaN equals nothing, so its negation would match every item; leave it out";
    assert_eq!(parsed("$ne", Literal::Float(nan)), format!("filter.v.$ne: {why}"));
    assert_eq!(parsed("$nin", Literal::from(vec![1.0, nan])), format!("filter.v.$nin[1]: {why}"));
    assert_eq!(parsed("$not", Literal::from(vec![nan])), format!("filter.v.$not[0]: {why}"));
    assert_eq!(parsed("$ne", keyed()), format!("filter.v.$ne.x[0]: {why}"));
    // Without a negation it matches nothing.
    let infinite = Filter::lt("v", f64::INFINITY);
    for filter in [Filter::eq("v", nan), Filter::gte("v", nan), Filter::lt("v", nan), Filter::in_("v", [nan])] {
        assert!(!filter.prepare().unwrap().matches(br#"{"v":5}"#) && !filter.matches(b"{}"), "{filter:?}");
        assert!(filter.or(infinite.clone()).matches(br#"{"v":1e300}"#));
    }
}

#[test]
fn errors_are_short_whatever_the_filter() {
    let long = "\u{1}x".repeat(500_000);
    let dollar = format!("${}", "y".repeat(1_000_000));
    let near_the_limit = "$gte".repeat(250_000);
    for filter in [
        json!({ long.as_str(): 1 }),
        json!({ dollar.as_str(): 1 }),
        json!({"a": { dollar.as_str(): 1 }}),
        json!({"a": { near_the_limit.as_str(): 1 }}),
        json!({ format!("a.{dollar}"): 1 }),
        json!({ format!("{}.$gte", "z".repeat(1_000_000)): 1 }),
        json!({ format!("{}..b", "é".repeat(500_000)): 1 }),
        json!({"a": {"$gt": [long.as_str()]}}),
        json!({"a": {"$gt": 1, long.as_str(): 2}}),
        json!({ "x".repeat(1_000_000): {"$gt": null} }),
        (0..120).fold(json!({"$gt": null}), |inner, _| json!({ "w".repeat(9_000): inner })),
        (0..40).fold(json!({"$gt": null}), |inner, _| json!({"$or": [{"a": inner}]})),
    ] {
        for error in [Filter::parse(&filter).unwrap_err(), Filter::from_json_str(&filter.to_string()).unwrap_err()] {
            let message = error.to_string();
            assert!(message.len() <= MESSAGE_BYTES_MAX, "{} bytes: {message}", message.len());
            assert!(message.starts_with("filter"), "{message}");
        }
    }
    let built = Filter::eq(format!("{}.$gte", "z".repeat(1_000_000)), 1).prepare().unwrap_err().to_string();
    assert!(built.len() <= MESSAGE_BYTES_MAX && built.contains("$gte"), "{built}");
}
