//! Each function that builds a filter has the name of its operator, and builds what that operator reads from JSON.

use vecmem::Filter;
use vecmem::filter::{Range, Timestamp};

/// 2024-05-01, in microseconds since 1970 UTC.
const DAY: i64 = 1_714_521_600_000_000;

const VALUES: [&str; 11] = [
    r#"{}"#,
    r#"{"a": null}"#,
    r#"{"a": 1}"#,
    r#"{"a": 2.0}"#,
    r#"{"a": 3}"#,
    r#"{"a": "b"}"#,
    r#"{"a": ["b", 2]}"#,
    r#"{"a": {"b": 2}}"#,
    r#"{"a": "2", "a.b": 2}"#,
    r#"{"a": [{"b": 2}, 1]}"#,
    r#"{"a": "2024-05-01T02:00:00+02:00"}"#,
];

#[test]
fn functions_and_operators_agree() {
    let pairs = [
        (Filter::eq("a", 2), r#"{"a": {"$eq": 2}}"#),
        (Filter::eq("a", 2), r#"{"a": 2}"#),
        (Filter::ne("a", 2), r#"{"a": {"$ne": 2}}"#),
        (Filter::gt("a", 2), r#"{"a": {"$gt": 2}}"#),
        (Filter::gte("a", 2), r#"{"a": {"$gte": 2}}"#),
        (Filter::lt("a", 2), r#"{"a": {"$lt": 2}}"#),
        (Filter::lte("a", 2), r#"{"a": {"$lte": 2}}"#),
        (Filter::in_("a", [1, 2]), r#"{"a": {"$in": [1, 2]}}"#),
        (Filter::nin("a", [1, 2]), r#"{"a": {"$nin": [1, 2]}}"#),
        (Filter::in_("a", ["b", "c"]), r#"{"a": {"$in": ["b", "c"]}}"#),
        (Filter::exists("a"), r#"{"a": {"$exists": true}}"#),
        (Filter::contains("a", "b"), r#"{"a": {"$contains": "b"}}"#),
        (Filter::ieq("a", "B"), r#"{"a": {"$ieq": "B"}}"#),
        (Filter::starts_with("a", "20"), r#"{"a": {"$starts_with": "20"}}"#),
        (Filter::all("a", ["b"]), r#"{"a": {"$all": ["b"]}}"#),
        (Filter::size("a", 2..=2), r#"{"a": {"$size": 2}}"#),
        (Filter::size("a", 0..=1), r#"{"a": {"$size": {"$lte": 1}}}"#),
        (Filter::elem_match("a", Filter::eq("b", 2)), r#"{"a": {"$elem_match": {"b": 2}}}"#),
        (Filter::eq("a", Timestamp::from_micros(DAY)), r#"{"a": {"$date": "2024-05-01"}}"#),
        (Filter::gte("a", Timestamp::from_micros(DAY)), r#"{"a": {"$gte": {"$date": "2024-05-01"}}}"#),
        (Filter::eq("a.b", 2), r#"{"a.b": 2}"#),
        (Filter::inside("a", Filter::eq("b", 2)), r#"{"a": {"b": 2}}"#),
    ];
    for (built, json) in pairs {
        let parsed = Filter::from_json_str(json).unwrap();
        assert_eq!(built, parsed, "{json}");
        for value in VALUES {
            assert_eq!(built.matches(value.as_bytes()), parsed.matches(value.as_bytes()), "{json} of {value}");
        }
    }
}

#[test]
fn functions_and_conditions_on_items_agree() {
    let day = Timestamp::from_micros(DAY);
    for (built, json) in [
        (Filter::created_at(Range::Greater, day), r#"{"$item": {"created_at": {"$gt": {"$date": "2024-05-01"}}}}"#),
        (Filter::updated_at(Range::LessOrEqual, day), r#"{"$item": {"updated_at": {"$lte": 1714521600000000}}}"#),
        (Filter::expires_at(Range::Less, day), r#"{"$item": {"expires_at": {"$lt": {"$date": "2024-05-01"}}}}"#),
        (Filter::expires(), r#"{"$item": {"expires_at": {"$exists": true}}}"#),
        (Filter::key_starts_with("k"), r#"{"$item": {"key": {"$starts_with": "k"}}}"#),
        (Filter::key_in(["a", "b"]), r#"{"$item": {"key": {"$in": ["a", "b"]}}}"#),
        (Filter::key_in(["a"]), r#"{"$item": {"key": "a"}}"#),
    ] {
        assert_eq!(built, Filter::from_json_str(json).unwrap(), "{json}");
        assert!(!built.matches(b"{}") && !built.not().matches(b"{}"), "a value alone has no key and no times: {json}");
    }
}

#[test]
fn filters_are_joined_and_negated() {
    let (two, text) = (Filter::eq("a", 2), Filter::eq("a", "b"));
    for value in VALUES {
        let (is_two, is_text) = (two.matches(value.as_bytes()), text.matches(value.as_bytes()));
        let matches = |filter: Filter| filter.matches(value.as_bytes());
        assert_eq!(matches(two.clone().or(text.clone())), is_two || is_text, "{value}");
        assert_eq!(matches(two.clone().and(text.clone().not())), is_two && !is_text, "{value}");
        assert_eq!(matches(two.clone().not()), !is_two, "{value}");
        assert_eq!(matches(Filter::not(two.clone())), !is_two, "{value}");
        assert_eq!(matches(!two.clone()), !is_two, "{value}");
    }
}

#[test]
fn a_filter_can_be_compared_although_eq_builds_one() {
    let (filter, same, other) = (Filter::eq("a", 1), Filter::eq("a", 1), Filter::ne("a", 1));
    assert!(filter == same && filter != other);
    let (list, used) = (Filter::in_("a", [1, 2]), Filter::in_("a", [1, 2]));
    assert!(used.matches(br#"{"a": 2}"#));
    assert_eq!((&list, format!("{list:?}")), (&used, format!("{used:?}")), "use changes nothing that shows");
    // Strings, numbers of each width and booleans are literals.
    let owned = String::from("b");
    assert_eq!(Filter::eq("a", owned.clone()), Filter::eq("a", "b"));
    assert_eq!(Filter::eq("a", 1_usize), Filter::eq("a", 1_u8));
    assert_eq!(Filter::eq("a", 0.5_f32), Filter::eq("a", 0.5_f64));
    assert_ne!(Filter::eq("a", true), Filter::eq("a", 1));
}
