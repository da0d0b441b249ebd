//! Each function that builds a filter has the name of its operator, and builds what that operator reads from JSON.

use vecmem::Filter;

const VALUES: [&str; 9] = [
    r#"{}"#,
    r#"{"a": null}"#,
    r#"{"a": 1}"#,
    r#"{"a": 2.0}"#,
    r#"{"a": 3}"#,
    r#"{"a": "b"}"#,
    r#"{"a": ["b", 2]}"#,
    r#"{"a": {"b": 2}}"#,
    r#"{"a": "2", "a.b": 2}"#,
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
    // Strings, numbers of each width and booleans are literals.
    let owned = String::from("b");
    assert_eq!(Filter::eq("a", owned.clone()), Filter::eq("a", "b"));
    assert_eq!(Filter::eq("a", 1_usize), Filter::eq("a", 1_u8));
    assert_eq!(Filter::eq("a", 0.5_f32), Filter::eq("a", 0.5_f64));
    assert_ne!(Filter::eq("a", true), Filter::eq("a", 1));
}
