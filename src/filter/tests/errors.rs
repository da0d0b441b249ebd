//! Errors of filters: each names the place, says what to write, and is short.

use std::collections::BTreeMap;

use serde_json::json;

use crate::error::ErrorKind;
use crate::filter::{Filter, Literal, Timestamp};

/// The longest message, with the longest place and the longest key.
const MESSAGE_BYTES_MAX: usize = 1_000;

/// Filters with a wrong operator or an operator in a wrong place, and their errors. Dots at the end stand for more.
fn wrong_operators() -> Vec<(&'static str, String)> {
    let operators = "there are $eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $ieq, $starts_with, $contains, $all, $size, \
                     $elem_match, $exists, $and, $or, $not, $item, $date";
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
        (r#"{"price":{"$gt":[1]}}"#, "filter.price.$gt: expects a number, a string or a date".into()),
        (r#"{"price":{"$lte":null}}"#, "filter.price.$lte: expects a number, a string or a date".into()),
        (r#"{"$or":[{"a":1},{"b":{"$in":3}}]}"#, "filter.$or[1].b.$in: expects a list".into()),
        (r#"{"$or":{"a":1}}"#, "filter.$or: expects a list".into()),
        (r#"{"$and":[1]}"#, "filter.$and[0]: a filter must be a JSON object".into()),
        (r#"{"a":{"$exists":1}}"#, "filter.a.$exists: expects true or false".into()),
        // What would match every item.
        (r#"{"a":{"$all":[]}}"#, "filter.a.$all: expects at least one element; an empty list would match every array".into()),
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

/// Filters with a wrong operand of an operator of strings or arrays, and their errors.
fn wrong_operands_of_strings_and_arrays() -> Vec<(&'static str, String)> {
    vec![
        (r#"{"a":{"$starts_with":1}}"#, "filter.a.$starts_with: expects a string".into()),
        (r#"{"a":{"$starts_with":null}}"#, "filter.a.$starts_with: expects a string".into()),
        (r#"{"a":{"$ieq":["a"]}}"#, "filter.a.$ieq: expects a string".into()),
        (r#"{"a":{"$all":1}}"#, "filter.a.$all: expects a list".into()),
        (
            r#"{"a":{"$size":-1}}"#,
            r#"filter.a.$size: expects a whole number that is not negative, or bounds such as {"$gte": 2}"#.into(),
        ),
        (r#"{"a":{"$size":1.5}}"#, "filter.a.$size: expects a whole number that is not negative, ...".into()),
        (r#"{"a":{"$size":1e400}}"#, "filter.a.$size: expects a whole number that is not negative, ...".into()),
        (r#"{"a":{"$size":"2"}}"#, "filter.a.$size: expects a whole number that is not negative, ...".into()),
        (r#"{"a":{"$size":{}}}"#, "filter.a.$size: expects a whole number that is not negative, ...".into()),
        (
            r#"{"a":{"$size":{"$gt":-1}}}"#,
            "filter.a.$size.$gt: expects a whole number that is not negative, ...".into(),
        ),
        (r#"{"a":{"$size":{"$lt":0}}}"#, "filter.a.$size.$lt: no array has fewer than 0 elements".into()),
        (
            r#"{"a":{"$size":{"$in":[1]}}}"#,
            "filter.a.$size: Unsupported operator: $in; a size is compared with $eq, $gt, $gte, $lt and $lte".into(),
        ),
        (
            r#"{"a":{"$elem_match":1}}"#,
            "filter.a.$elem_match: expects an object of fields or operators; $contains finds an element by its value"
                .into(),
        ),
        (r#"{"a":{"$elem_match":{"$gt":[1]}}}"#, "filter.a.$elem_match.$gt: expects a number, ...".into()),
        (
            r#"{"a":{"$elem_match":{"$item":{"key":"a"}}}}"#,
            "filter.a.$elem_match: Unsupported operator: $item; ...".into(),
        ),
    ]
}

/// Filters with a wrong date, or wrong conditions on the item, and their errors.
fn wrong_dates_and_items() -> Vec<(&'static str, String)> {
    let date =
        "expects a text such as \"2024-05-01T10:00:00+02:00\" or \"2024-05-01\"; a time needs its offset from UTC";
    let instant = "expects microseconds since 1970 UTC, a whole number, or a date such as {\"$date\": \"2024-05-01\"}";
    vec![
        (r#"{"at":{"$date":"yesterday"}}"#, format!("filter.at.$date: {date}")),
        (r#"{"at":{"$gte":{"$date":"2024-05-01T10:00:00"}}}"#, format!("filter.at.$gte.$date: {date}")),
        (r#"{"at":{"$in":[1,{"$date":1714550400}]}}"#, format!("filter.at.$in[1].$date: {date}")),
        (r#"{"at":{"$ne":{"$date":null}}}"#, format!("filter.at.$ne.$date: {date}")),
        (
            r#"{"at":{"$lt":{"$date":"2024-05-01","$gt":1}}}"#,
            r#"filter.at.$lt: a date is {"$date": "..."}, and nothing stands beside $date"#.into(),
        ),
        (r#"{"at":{"$date":"2024-05-01","$gt":1}}"#, "filter.at: a date is ...".into()),
        (
            r#"{"at":{"$eq":[{"$date":"2024-05-01"}]}}"#,
            "filter.at.$eq[0]: a date inside of an array or object is not compared; compare its field alone".into(),
        ),
        (r#"{"at":{"$in":[{"x":{"$date":"2024-05-01"}}]}}"#, "filter.at.$in[0].x: a date inside of ...".into()),
        (r#"{"$date":"2024-05-01"}"#, "filter: Unsupported operator: $date; ...".into()),
        (r#"{"at":{"$dat":"2024-05-01"}}"#, "filter.at: Unsupported operator: $dat; did you mean $date?".into()),
        (r#"{"$item":"a"}"#, "filter.$item: expects an object".into()),
        (r#"{"$item":{}}"#, "filter.$item: an empty object would match every item; leave it out".into()),
        (r#"{"$item":{"key":{}}}"#, "filter.$item.key: an empty object would match every item; leave it out".into()),
        (
            r#"{"$item":{"version":1}}"#,
            "filter.$item: version is nothing that an item has; it has created_at, updated_at, expires_at and key".into(),
        ),
        (r#"{"$item":{"created_at":5}}"#, "filter.$item.created_at: expects an object".into()),
        (r#"{"$item":{"created_at":{"$gt":"2024-05-01"}}}"#, format!("filter.$item.created_at.$gt: {instant}")),
        (r#"{"$item":{"created_at":{"$gt":1.5}}}"#, format!("filter.$item.created_at.$gt: {instant}")),
        (r#"{"$item":{"updated_at":{"$lt":1e400}}}"#, format!("filter.$item.updated_at.$lt: {instant}")),
        (
            r#"{"$item":{"created_at":{"$exists":true}}}"#,
            "filter.$item.created_at: Unsupported operator: $exists; a time is compared with $eq, $ne, $gt, $gte, $lt \
             and $lte"
                .into(),
        ),
        (r#"{"$item":{"expires_at":{"$exists":1}}}"#, "filter.$item.expires_at.$exists: expects true or false".into()),
        (r#"{"$item":{"expires_at":null}}"#, "filter.$item.expires_at: expects an object".into()),
        (
            r#"{"$item":{"key":{"$contains":"a"}}}"#,
            "filter.$item.key: Unsupported operator: $contains; a key is compared with $eq, $ne, $in, $nin and \
             $starts_with"
                .into(),
        ),
        (r#"{"$item":{"key":{"$startswith":"a"}}}"#, "filter.$item.key: Unsupported operator: $startswith; did ...".into()),
        (r#"{"$item":{"key":1}}"#, "filter.$item.key: expects an object".into()),
        (r#"{"$item":{"key":{"$in":["a",1]}}}"#, "filter.$item.key.$in[1]: expects a string".into()),
        (
            r#"{"a":{"$item":{"key":"a"}}}"#,
            "filter.a: Unsupported operator: $item; it is about the whole item, and stands beside fields, not below one"
                .into(),
        ),
        (r#"{"$metadata":{"key":"a"}}"#, "filter: Unsupported operator: $metadata; did you mean $item?".into()),
    ]
}

#[test]
fn errors_name_the_place() {
    for (filter, expected) in
        [wrong_operators(), wrong_operands_and_paths(), wrong_operands_of_strings_and_arrays(), wrong_dates_and_items()]
            .concat()
    {
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
    let key = || Filter::key_in(["a"]);
    let date = || Literal::Array(vec![Literal::Date(Timestamp::from_micros(0))]);
    for (filter, expected) in [
        (Filter::inside("a", key()), "filter: $item is about the whole item, and stands beside fields, not below one"),
        (Filter::field("a", key().not()), "filter: $item is about the whole item"),
        (Filter::elem_match("a", key()), "filter: $item is about the whole item"),
        (Filter::eq("a", date()), "filter: a date inside of an array or object is not compared"),
        (Filter::in_("a", [date()]), "filter: a date inside of an array or object is not compared"),
        (Filter::all("a", [nan]).not(), "filter: NaN equals nothing"),
    ] {
        let error = filter.prepare().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().starts_with(expected), "{error}");
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
