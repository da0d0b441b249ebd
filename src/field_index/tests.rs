//! An index and plain evaluation agree, whatever the values, the filter and the interval.

use std::ops::Range;
use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::filter::{Filter, Literal, PreparedFilter};
use crate::ids::{Id, IdRange, RowId};
use crate::random::Random;

fn index_of(values: &[String]) -> Vec<u8> {
    index_by(FieldRules::default(), values)
}

fn index_by(rules: FieldRules, values: &[String]) -> Vec<u8> {
    let mut builder = FieldIndexBuilder::new(Arc::new(PreparedRules::new(rules)));
    values.iter().for_each(|value| builder.push(Some(value.as_bytes())));
    builder.finish()
}

/// Asserts that the index says nothing wrong of `filter`, and returns what it says.
fn checked(bytes: &Vec<u8>, values: &[String], filter: &PreparedFilter, interval: Range<u32>) -> Passing {
    let interval = RowId::range(interval);
    let index = FieldIndex::open(bytes, values.len() as u32).unwrap();
    let passing = select(filter.expression(), &index, &interval).unwrap();
    for row in interval.ids() {
        let value = &values[row.index()];
        let (expected, certain, possible) =
            (filter.matches(value.as_bytes()), passing.certain.contains(row), passing.possible.contains(row));
        assert!(certain <= expected && expected <= possible, "{filter:?} of {value}: {certain} {expected} {possible}");
    }
    passing
}

fn scalar(random: &mut Random) -> Value {
    match random.below(12) {
        0 => Value::Null,
        1 => json!(random.below(2) == 0),
        2 => json!(random.below(5)),
        3 => json!(random.below(5) as f64 / 2.0),
        4 => json!([u64::MAX, 1 << 53, (1 << 53) + 1, 0][random.below(4_usize)]),
        5 => json!(-0.0),
        6 => json!([i64::MIN, -1][random.below(2_usize)]),
        7 => json!(["", "a", "b\u{0}", "é", "😀", "a.b"][random.below(6_usize)]),
        8 => json!(format!("long text that begins alike {}", random.below(4))),
        9 => json!(format!("long te{}", "x".repeat(random.below(60)))),
        10 => json!(format!("2024-0{}-01", 1 + random.below(5))),
        _ => json!(["USER", "SYSTEM"][random.below(2_usize)]),
    }
}

const KEYS: [&str; 6] = ["a", "b", "a.b", "c", "$x", ""];

fn value(random: &mut Random, depth: usize) -> Value {
    match random.below(10) {
        0 | 1 if depth < 3 => Value::Object(
            (0..random.below(4)).map(|_| (random.pick(&KEYS).to_string(), value(random, depth + 1))).collect(),
        ),
        2 | 3 if depth < 3 => Value::Array((0..random.below(4)).map(|_| value(random, depth + 1)).collect()),
        _ => scalar(random),
    }
}

fn document(random: &mut Random) -> String {
    let members = random.below(5);
    Value::Object((0..members).map(|_| (random.pick(&KEYS).to_string(), value(random, 0))).collect()).to_string()
}

fn literal(value: &Value) -> Literal {
    match value {
        Value::Null => Literal::Null,
        Value::Bool(value) => Literal::Bool(*value),
        Value::Number(number) => match (number.as_i64(), number.as_u64(), number.as_f64()) {
            (Some(integer), _, _) => integer.into(),
            (None, Some(integer), _) => integer.into(),
            (None, None, float) => Literal::Float(float.unwrap()),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(elements) => Literal::Array(elements.iter().map(literal).collect()),
        Value::Object(members) => {
            Literal::Object(members.iter().map(|(key, member)| (key.clone(), literal(member))).collect())
        }
    }
}

fn filter(random: &mut Random, depth: usize) -> Filter {
    let test = match random.below(14) {
        0 => Filter::Exists,
        1 | 2 => Filter::Equal(literal(&value(random, 2))),
        3 => Filter::In((0..random.below(12)).map(|_| literal(&value(random, 2))).collect()),
        4 | 5 => {
            use crate::filter::Range::{Greater, GreaterOrEqual, Less, LessOrEqual};
            let side = *random.pick(&[Greater, GreaterOrEqual, Less, LessOrEqual]);
            Filter::Range(side, literal(&scalar(random)))
        }
        6 => Filter::Contains(literal(&value(random, 2))),
        7 => Filter::StartsWith(
            ["", "long te", "long tex", "long text that", "2024-0", "é"][random.below(6_usize)].into(),
        ),
        8 => Filter::EqualIgnoringCase("user".into()),
        9 => Filter::ContainsAll((0..random.below(3)).map(|_| literal(&value(random, 2))).collect()),
        10 => Filter::Size { least: random.below(3), most: 2 },
        11 => Filter::Element(Box::new(Filter::Equal(literal(&scalar(random))))),
        12 if depth < 3 => Filter::Object(Box::new(filter(random, depth + 1))),
        _ => Filter::Not(Box::new(Filter::Exists)),
    };
    let field = Filter::field(*random.pick(&["a", "b", "a.b", "c", "a.b.c", "missing", "c.a"]), test);
    match random.below(6) {
        0 if depth < 3 => Filter::All((0..random.below(4)).map(|_| filter(random, depth + 1)).collect()),
        1 if depth < 3 => Filter::Any((0..random.below(4)).map(|_| filter(random, depth + 1)).collect()),
        2 => field.not(),
        _ => field,
    }
}

fn rules(random: &mut Random) -> FieldRules {
    let mut lists = [Vec::new(), Vec::new()];
    for path in ["a", "a.*", "a.b", "a.b.c", "b", "c.a", "$x", "*", "missing"] {
        if random.below(4) == 0 {
            lists[random.below(2_usize)].push(path);
        }
    }
    let [exclude, force] = lists;
    FieldRules::new(exclude, force).unwrap()
}

#[test]
fn an_index_by_rules_never_contradicts_the_values() {
    let mut random = Random::new(27);
    let (mut excluded, mut forced) = (0, 0);
    for round in 0..60 {
        let mut values: Vec<String> = (0..1 + random.below(200)).map(|_| document(&mut random)).collect();
        if round % 3 == 0 {
            values.push(json!({"many": vec![1; 5_000], "a": {"b": 1}, "z": {"b": 2}, "b": vec![2; 4_097]}).to_string());
        }
        let rules = rules(&mut random);
        let bytes = index_by(rules.clone(), &values);
        let index = FieldIndex::open(&bytes, values.len() as u32).unwrap();
        index.verify().unwrap();
        assert_eq!(index.rules().rules(), &rules);
        for facts in index.paths().unwrap() {
            let path = facts.path.trim_end_matches("[]");
            assert_ne!(index.rules().of_keys([path].into_iter()), rules::PathChoice::Excluded, "{path} by {rules:?}");
        }
        for _ in 0..40 {
            let prepared = filter(&mut random, 0).prepare().unwrap();
            let passing = checked(&bytes, &values, &prepared, 0..values.len() as u32);
            excluded += usize::from(!passing.is_exact());
            forced += usize::from(passing.is_exact() && round % 3 == 0 && !passing.certain.is_empty());
        }
    }
    assert!(excluded > 500 && forced > 20, "{excluded} filters not known, {forced} known beside rows indexed in part");
}

#[test]
fn forced_paths_are_exact_where_the_limits_leave_others_out() {
    let mut values = vec![json!({"tokens": (0..5_000).collect::<Vec<_>>(), "kind": 1, "late": true}).to_string()];
    values.extend((0..20_000).map(|n| json!({format!("key{n}"): n, "kind": n % 3}).to_string()));
    let rows = values.len() as u32;
    let sure = |rules: FieldRules, filter: &str| {
        let prepared = Filter::from_json_str(filter).unwrap().prepare().unwrap();
        checked(&index_by(rules, &values), &values, &prepared, 0..rows).is_exact()
    };
    let none: [&str; 0] = [];
    for (filter, automatic, forced, alone) in [
        (r#"{"kind": 1}"#, false, true, true),
        (r#"{"kind": {"$gte": 1}, "late": true}"#, false, true, false),
        (r#"{"kind": null}"#, false, true, true),
        (r#"{"late": null}"#, false, true, false),
        (r#"{"key19999": 19999}"#, false, true, false),
        (r#"{"key19998": 19998}"#, false, false, false),
        (r#"{"missing": {"$exists": false}}"#, false, false, false),
    ] {
        assert_eq!(sure(FieldRules::default(), filter), automatic, "{filter}");
        assert_eq!(
            sure(FieldRules::new(none, ["kind", "late", "key19999"]).unwrap(), filter),
            forced,
            "{filter} forced"
        );
        assert_eq!(sure(FieldRules::new(["*"], ["kind"]).unwrap(), filter), alone, "{filter} with kind alone");
    }
    let rules = FieldRules::new(["tokens"], none).unwrap();
    let bytes = index_by(rules, &values[..2]);
    assert!(bytes.len() < 400, "{} bytes: excluded values take no room", bytes.len());
    let prepared = Filter::from_json_str(r#"{"kind": 1, "late": true}"#).unwrap().prepare().unwrap();
    assert!(checked(&bytes, &values[..2], &prepared, 0..2).is_exact());
}

#[test]
fn an_index_never_contradicts_the_values() {
    let mut random = Random::new(21);
    let (mut exact, mut all) = (0, 0);
    for round in 0..60 {
        let values: Vec<String> = (0..1 + random.below(400)).map(|_| document(&mut random)).collect();
        let bytes = index_of(&values);
        FieldIndex::open(&bytes, values.len() as u32).unwrap().verify().unwrap();
        for _ in 0..60 {
            let prepared = filter(&mut random, 0).prepare().unwrap_or_else(|error| panic!("round {round}: {error}"));
            let rows = values.len() as u32;
            let start = random.below(rows);
            let end = start + random.below(rows - start + 1);
            let interval = if random.below(2) == 0 { 0..rows } else { start..end };
            all += 1;
            exact += usize::from(checked(&bytes, &values, &prepared, interval).is_exact());
        }
    }
    assert!(exact * 10 > all * 6, "the index knew the whole answer for {exact} of {all} filters only");
}

#[test]
fn common_filters_are_answered_without_values() {
    let values: Vec<String> = (0..3_000)
        .map(|n| {
            json!({"speaker": if n % 2 == 0 { "USER" } else { "SYSTEM" }, "turn": n % 40, "tags": [n % 7, "x"], "user": {"name": format!("u{}", n % 100)}, "day": format!("2024-01-{:02}", 1 + n % 28), "text": format!("a sentence of some length, number {n}")})
                .to_string()
        })
        .collect();
    let bytes = index_of(&values);
    let sizes = [
        (r#"{"speaker": "USER"}"#, 1_500),
        (r#"{"speaker": {"$ne": "USER"}}"#, 1_500),
        (r#"{"speaker": "nobody"}"#, 0),
        (r#"{"turn": {"$gte": 30}}"#, 750),
        (r#"{"turn": {"$gt": 5, "$lt": 7.5}}"#, 150),
        (r#"{"turn": {"$in": [1, 2, 39.0]}}"#, 225),
        (r#"{"turn": {"$in": [1, 2, 39.0]}, "speaker": "SYSTEM"}"#, 150),
        (r#"{"tags": {"$contains": 3}}"#, 429),
        (r#"{"user.name": "u7"}"#, 30),
        (r#"{"user": {"name": "u7"}}"#, 30),
        (r#"{"day": {"$gte": "2024-01-10", "$lte": "2024-01-10"}}"#, 107),
        (r#"{"missing": null}"#, 3_000),
        (r#"{"missing": {"$exists": true}}"#, 0),
        (r#"{"$or": [{"turn": 3}, {"tags": {"$contains": 4}}]}"#, 492),
    ];
    for (filter, rows) in sizes {
        let prepared = Filter::from_json_str(filter).unwrap().prepare().unwrap();
        let passing = checked(&bytes, &values, &prepared, 0..3_000);
        assert!(passing.is_exact(), "{filter}");
        assert_eq!(passing.certain.len(), rows, "{filter}");
    }
    let text = Filter::eq("text", "a sentence of some length, number 77").prepare().unwrap();
    let passing = checked(&bytes, &values, &text, 0..3_000);
    assert_eq!((passing.certain.len(), passing.possible.len()), (0, 1), "a hash finds the row, and the value tells");
}

#[test]
fn rows_beyond_the_limits_are_asked() {
    let mut values = vec![json!({"a": 1}).to_string(), json!({"a": 2}).to_string()];
    values.push(json!({"many": (0..5_000).collect::<Vec<_>>(), "a": 1}).to_string());
    values.push(format!(r#"{{"deep": {}1{}}}"#, r#"{"x":"#.repeat(40), "}".repeat(40)));
    values.extend((0..3_000).map(|n| json!({format!("key{n}"): n, "b": n % 2}).to_string()));
    let bytes = index_of(&values);
    let index = FieldIndex::open(&bytes, values.len() as u32).unwrap();
    assert_eq!(index.paths().unwrap().len(), 1_024);
    for (filter, exact) in [
        (r#"{"b": 1}"#, false),
        (r#"{"key2999": 2999}"#, false),
        (r#"{"many": {"$contains": 4999}}"#, false),
        (r#"{"deep.x.x": {"$exists": true}}"#, false),
    ] {
        let prepared = Filter::from_json_str(filter).unwrap().prepare().unwrap();
        assert_eq!(checked(&bytes, &values, &prepared, 0..values.len() as u32).is_exact(), exact, "{filter}");
    }
    let mut builder = FieldIndexBuilder::new(Arc::default());
    [Some(&br#"{"a": 1}"#[..]), None, Some(b"no JSON")].into_iter().for_each(|value| builder.push(value));
    let bytes = builder.finish();
    let index = FieldIndex::open(&bytes, 3).unwrap();
    let filter = Filter::eq("a", 1).prepare().unwrap();
    let passing = select(filter.expression(), &index, &RowId::range(0..3)).unwrap();
    assert_eq!((passing.certain.len(), passing.possible.len()), (1, 3));
}

#[test]
fn the_same_values_give_the_same_bytes() {
    let mut random = Random::new(22);
    let values: Vec<String> = (0..200).map(|_| document(&mut random)).collect();
    assert_eq!(index_of(&values), index_of(&values));
}

#[test]
fn no_bytes_make_a_reader_panic() {
    let mut random = Random::new(23);
    let values: Vec<String> = (0..300).map(|_| document(&mut random)).collect();
    let by_rules = index_by(FieldRules::new(["a.b", "c"], ["b", "a.*"]).unwrap(), &values);
    let both = [index_of(&values), by_rules];
    for round in 0..20_000 {
        let bytes = &both[round % 2];
        let mut changed = bytes.clone();
        for _ in 0..1 + random.below(3) {
            let length = *random.pick(&[changed.len(), 64]);
            let at = random.below(length);
            changed[at] = if random.below(3) == 0 { 0xFF } else { random.below(256_u64) as u8 };
        }
        if let Ok(index) = FieldIndex::open(&changed, 300) {
            let prepared = filter(&mut random, 1).prepare().unwrap();
            let _ = select(prepared.expression(), &index, &RowId::range(0..300));
            if random.below(50) == 0 {
                let _ = (index.verify(), index.paths());
            }
        }
    }
}
