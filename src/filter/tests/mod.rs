//! The evaluator against a naive one over `serde_json::Value`, and the decisions of the language in a table.

mod dates;
mod errors;
mod limits;

use serde_json::{Map, Value, json};

use super::{Filter, ItemFacts, Literal};
use crate::random::Random;
use crate::testing::filter_oracle as oracle;
use crate::types::{Item, Namespace, Version};

/// Draws filters and the documents that they are asked about.
struct Draws(Random);

impl Draws {
    fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    fn key(&mut self) -> String {
        ["a", "b", "c", "a.b", "b.a", "a.b.c", "é n", "key of a good length", ""][self.below(9)].to_owned()
    }

    fn scalar(&mut self) -> Value {
        let scalars = json!([
            null,
            true,
            false,
            0,
            1,
            5,
            5.0,
            5.5,
            -3,
            -0.0,
            9007199254740992i64,
            9007199254740993i64,
            9007199254740992.0,
            18446744073709551615u64,
            18446744073709551616.0,
            -9223372036854775808i64,
            1e300,
            "",
            "5",
            "a",
            "ab",
            "b",
            "é",
            "\u{ffff}",
            "😀",
            "a \"quoted\" \\ line\nand \u{0} and a tail that is long",
            "quoted",
            "true",
            "Ab",
            "É",
            "2024-05-01",
            "2024-05-01T02:00:00+02:00",
            "2024-05-01 00:00:00.001Z",
            "2024-04-30t23:59:60z",
            "2024-05-01T00:00:00"
        ]);
        scalars[self.below(35)].clone()
    }

    fn string(&mut self) -> Value {
        loop {
            let scalar = self.scalar();
            if scalar.is_string() {
                break scalar;
            }
        }
    }

    fn date(&mut self) -> Value {
        let dates = ["2024-05-01", "2024-05-01T00:00:00.001Z", "2024-04-30T20:00:00-04:00", "0000-02-29"];
        json!({ "$date": dates[self.below(4)] })
    }

    /// A value to compare with, or a date.
    fn literal(&mut self, levels: usize) -> Value {
        if self.below(8) == 0 { self.date() } else { self.value(levels) }
    }

    /// A list, sometimes one that is long enough to be hashed, with literals that occur twice.
    fn literals(&mut self, levels: usize) -> Value {
        let count = if self.below(3) == 0 { 9 + self.below(90) } else { self.below(5) };
        (0..count).map(|_| self.literal(levels)).collect()
    }

    fn item(&mut self) -> Item {
        let times = [0, 5, 1_714_521_600_000_000, 1_714_521_600_000_001, -5];
        Item {
            namespace: Namespace::new(["a"]).unwrap(),
            key: self.string().as_str().unwrap().to_owned(),
            value: "{}".into(),
            created_at: times[self.below(5)],
            updated_at: times[self.below(5)],
            ttl: None,
            expires_at: [None, Some(times[self.below(5)])][self.below(2)],
            version: Version(1),
            vectors: Vec::new(),
        }
    }

    fn item_test(&mut self) -> Value {
        let fact = ["created_at", "updated_at", "expires_at", "key"][self.below(4)];
        let test = if fact == "key" {
            let operator = ["$eq", "$ne", "$in", "$nin", "$starts_with"][self.below(5)];
            let keys = (0..self.below(20)).map(|_| self.string()).collect();
            let operand = if operator.ends_with("in") { keys } else { self.string() };
            if self.below(6) == 0 { self.string() } else { json!({ operator: operand }) }
        } else {
            let operator = ["$eq", "$ne", "$gt", "$gte", "$lt", "$lte"][self.below(6)];
            let bound = if self.below(2) == 0 { self.date() } else { json!(self.below(7)) };
            let exists = json!({"$exists": self.below(2) == 0});
            if fact == "expires_at" && self.below(4) == 0 { exists } else { json!({ operator: bound }) }
        };
        json!({ fact: test })
    }

    fn value(&mut self, levels: usize) -> Value {
        match self.below(if levels == 0 { 5 } else { 9 }) {
            0..=4 => self.scalar(),
            5 | 6 => (0..self.below(4)).map(|_| self.value(levels - 1)).collect(),
            _ => self.object(levels - 1),
        }
    }

    fn object(&mut self, levels: usize) -> Value {
        let count = if self.below(20) == 0 { 14 } else { self.below(6) };
        let members: Map<String, Value> = (0..count).map(|_| (self.key(), self.value(levels))).collect();
        Value::Object(members)
    }

    fn filter(&mut self, levels: usize, is_nested: bool) -> Value {
        let mut entries = Map::new();
        for _ in 0..[usize::from(is_nested), 1, 1, 1, 2, 2, 3][self.below(7)] {
            match self.below(if levels == 0 { 7 } else { 10 }) {
                0..=5 => entries.insert(self.key(), self.test(levels)),
                6 => entries.insert("$item".into(), self.item_test()),
                7 => entries.insert("$not".into(), self.filter(levels - 1, true)),
                kind => {
                    let (operator, fewest) = if kind == 8 { ("$and", 1) } else { ("$or", 0) };
                    let count = fewest.max(self.below(4));
                    entries.insert(operator.into(), (0..count).map(|_| self.filter(levels - 1, true)).collect())
                }
            };
        }
        Value::Object(entries)
    }

    fn test(&mut self, levels: usize) -> Value {
        match self.below(if levels == 0 { 6 } else { 9 }) {
            0 | 1 => self.scalar(),
            2 => (0..self.below(3)).map(|_| self.scalar()).collect(),
            3..=5 => {
                let count = 1 + self.below(2);
                Value::Object((0..count).map(|_| self.comparison()).collect())
            }
            6 => {
                let operator = ["$and", "$or", "$not"][self.below(3)];
                let count = self.below(3).max(usize::from(operator == "$and"));
                let list: Value = (0..count).map(|_| self.test(levels - 1)).collect();
                json!({ operator: if operator == "$not" { self.test(levels - 1) } else { list } })
            }
            _ => (0..self.below(3)).map(|_| (self.key(), self.test(levels - 1))).collect::<Map<_, _>>().into(),
        }
    }

    fn comparison(&mut self) -> (String, Value) {
        let operators = [
            "$eq",
            "$ne",
            "$contains",
            "$in",
            "$nin",
            "$exists",
            "$gt",
            "$gte",
            "$lt",
            "$lte",
            "$ieq",
            "$starts_with",
            "$all",
            "$size",
            "$elem_match",
        ];
        let operator = operators[self.below(operators.len())];
        let operand = match operator {
            "$eq" | "$ne" | "$contains" => self.literal(2),
            "$in" | "$nin" => self.literals(1),
            "$all" => (0..1 + self.below(3)).map(|_| self.literal(1)).collect(),
            "$exists" => json!(self.below(2) == 0),
            "$ieq" | "$starts_with" => self.string(),
            "$size" => match self.below(3) {
                0 => json!(self.below(4)),
                1 => json!({"$gte": self.below(3), "$lt": 1 + self.below(4)}),
                _ => json!({"$gt": self.below(3), "$lte": self.below(4)}),
            },
            "$elem_match" => match self.below(3) {
                0 => (0..self.below(3)).map(|_| (self.key(), self.test(0))).collect::<Map<_, _>>().into(),
                _ => Value::Object((0..1 + self.below(2)).map(|_| self.comparison()).collect()),
            },
            _ => loop {
                let bound = self.literal(0);
                if bound.is_number() || bound.is_string() || bound.is_object() {
                    break bound;
                }
            },
        };
        (operator.into(), operand)
    }

    /// JSON text of a value with whitespace and escapes strewn in.
    fn write(&mut self, value: &Value, text: &mut String) {
        text.push_str(["", "", "", " ", "\n\t"][self.below(5)]);
        match value {
            Value::String(string) => self.write_string(string, text),
            Value::Array(elements) => {
                text.push('[');
                for (index, element) in elements.iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { "," });
                    self.write(element, text);
                }
                text.push(']');
            }
            Value::Object(members) => {
                text.push('{');
                // serde_json keeps keys sorted; stored values do not.
                let mut members: Vec<_> = members.iter().collect();
                (1..members.len()).for_each(|index| members.swap(index, self.below(index + 1)));
                for (index, (key, member)) in members.into_iter().enumerate() {
                    text.push_str(if index == 0 { "" } else { " ," });
                    self.write_string(key, text);
                    text.push_str([":", " : "][self.below(2)]);
                    self.write(member, text);
                }
                text.push('}');
            }
            scalar => text.push_str(&scalar.to_string()),
        }
        text.push_str(["", "", " "][self.below(3)]);
    }

    fn write_string(&mut self, string: &str, text: &mut String) {
        text.push('"');
        let escapes = self.below(3) == 0;
        for character in string.chars() {
            if matches!(character, '"' | '\\' | '\0'..='\x1f') || (escapes && self.below(2) == 0) {
                character.encode_utf16(&mut [0; 2]).iter().for_each(|unit| text.push_str(&format!("\\u{unit:04x}")));
            } else {
                text.push(character);
            }
        }
        text.push('"');
    }
}

#[test]
fn agrees_with_the_oracle() {
    let mut random = Draws(Random::new(11));
    let mut matched = 0;
    for round in 0..4_000 {
        let json = random.filter(3, false);
        let filter = Filter::parse(&json).unwrap();
        let mut text = String::new();
        random.write(&json, &mut text);
        assert_eq!(Filter::from_json_str(&text).unwrap(), filter, "{text}");
        let prepared = filter.prepare().unwrap();
        for _ in 0..12 {
            let document = random.object(3);
            let mut text = String::new();
            random.write(&document, &mut text);
            let item = Item { value: text.as_str().into(), ..random.item() };
            let expected = oracle::whole(&json, &document, &item);
            matched += usize::from(expected);
            assert_eq!(prepared.matches_item(&item), expected, "seed 11 round {round}: {json} on {item:?}");
            let facts = ItemFacts::of(&item);
            let decided = prepared.decided_by_item(&facts);
            assert!(decided.is_none_or(|decided| decided == expected), "round {round}: {json} on {item:?}");
            let decided = prepared.decided_by(&text.as_bytes()[..random.below(text.len())], &facts);
            assert!(
                decided.is_none_or(|decided| decided == expected),
                "round {round}: {json} on a beginning of {text}"
            );
        }
        // Whatever the bytes, an answer.
        let mut bytes = text.into_bytes();
        let at = random.below(bytes.len());
        bytes[at] = b"\"{}[],:\\0x"[random.below(10)];
        prepared.matches(&bytes);
        prepared.matches(&bytes[..at]);
    }
    assert!((8_000..40_000).contains(&matched), "both answers occur: {matched}");
    let all = Filter::all("v", 0..100).prepare().unwrap();
    assert_eq!(all.decided_by(br#"{"v":[1,"#, &ItemFacts::NONE), None, "the array may go on");
}

/// Values that the decisions of the language are about.
const DOCUMENTS: &[&str] = &[
    "{\"v\":5}",
    "{\"v\":5.0}",
    "{\"v\":\"5\"}",
    "{\"v\":10}",
    "{\"v\":true}",
    "{\"v\":1}",
    "{\"v\":null}",
    "{}",
    "{\"v\":[1,2]}",
    "{\"v\":{\"x\":1,\"y\":2}}",
    "{\"v.x\":null,\"v\":{\"x\":1}}",
    "{\"v\":18446744073709551617}",
    "{\"v\":\"hello\"}",
    "{\"v\":\"HELLO \\u00c9\"}",
    "{\"v\":[1,\"hello\",[2],{\"x\":3,\"y\":null},null]}",
    "{\"v\":[]}",
];

/// Filters, and the numbers of the documents that they match.
const DECISIONS: &[(&str, &str)] = &[
    (r#"{}"#, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
    (r#"{"v":5}"#, "0 1"),
    (r#"{"v":"5"}"#, "2"),
    (r#"{"v":"\u0035"}"#, "2"),
    (r#"{"v":true}"#, "4"),
    (r#"{"v":1}"#, "5"),
    (r#"{"v":null}"#, "6 7"),
    (r#"{"v":{"$ne":5}}"#, "2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
    (r#"{"v":{"$ne":null}}"#, "0 1 2 3 4 5 8 9 10 11 12 13 14 15"),
    (r#"{"v":{"$exists":true}}"#, "0 1 2 3 4 5 6 8 9 10 11 12 13 14 15"),
    (r#"{"v":{"$exists":false}}"#, "7"),
    (r#"{"v":{"$gt":4,"$lt":6}}"#, "0 1"),
    (r#"{"v":{"$gte":5}}"#, "0 1 3 11"),
    (r#"{"v":{"$gt":"4"}}"#, "2 12 13"),
    (r#"{"v":18446744073709551617}"#, "11"),
    (r#"{"v":[1,2]}"#, "8"),
    (r#"{"v":{"$eq":[1,2.0]}}"#, "8"),
    (r#"{"v":{"$eq":[2,1]}}"#, ""),
    (r#"{"v":{"$eq":{"y":2,"x":1}}}"#, "9"),
    (r#"{"v":{"$eq":{"x":1}}}"#, "10"),
    (r#"{"v":{"x":1}}"#, "9 10"),
    (r#"{"v":{}}"#, "9 10"),
    (r#"{"v":{"x":{"$lt":2},"z":null}}"#, "9 10"),
    (r#"{"v.x":1}"#, "9"),
    (r#"{"v.x":null}"#, "0 1 2 3 4 5 6 7 8 10 11 12 13 14 15"),
    (r#"{"v":{"$in":[]}}"#, ""),
    (r#"{"v":{"$nin":[]}}"#, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
    (r#"{"v":{"$in":["5",10,null]}}"#, "2 3 6 7"),
    (r#"{"v":{"$nin":[5,null]}}"#, "2 3 4 5 8 9 10 11 12 13 14 15"),
    (r#"{"v":{"$contains":2}}"#, "8"),
    (r#"{"v":{"$contains":"ell"}}"#, "12"),
    (r#"{"v":{"$not":{"$gte":5}}}"#, "2 4 5 6 7 8 9 10 12 13 14 15"),
    (r#"{"$or":[{"v":1},{"v":{"y":2}}]}"#, "5 9"),
    (r#"{"$and":[{"v":{"$gt":1}},{"$not":{"v":10}}]}"#, "0 1 11"),
    (r#"{"v":{"$or":[1,{"$gt":9},{"y":2}]}}"#, "3 5 9 11"),
    (r#"{"v":{"$or":[{"x":1},{"q":1}],"y":2}}"#, "9"),
    (r#"{"$or":[]}"#, ""),
    (r#"{"$not":{"$or":[]}}"#, "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"),
    (r#"{"v":{"$starts_with":"he"}}"#, "12"),
    (r#"{"v":{"$starts_with":"HELLO \u00c9"}}"#, "13"),
    (r#"{"v":{"$starts_with":""}}"#, "2 12 13"),
    (r#"{"v":{"$not":{"$starts_with":""}}}"#, "0 1 3 4 5 6 7 8 9 10 11 14 15"),
    (r#"{"v":{"$ieq":"Hello"}}"#, "12"),
    (r#"{"v":{"$ieq":"hello \u00e9"}}"#, "13"),
    (r#"{"v":{"$all":[1]}}"#, "8 14"),
    (r#"{"v":{"$all":[2.0,1,1.0]}}"#, "8"),
    (r#"{"v":{"$all":[null,{"y":null,"x":3},[2]]}}"#, "14"),
    (r#"{"v":{"$all":["hello"]}}"#, "14"),
    (r#"{"v":{"$size":2}}"#, "8"),
    (r#"{"v":{"$size":0}}"#, "15"),
    (r#"{"v":{"$size":{"$gte":2.0,"$lt":5}}}"#, "8"),
    (r#"{"v":{"$size":{"$gt":2,"$lt":2}}}"#, ""),
    (r#"{"v":{"$not":{"$size":{"$gte":0}}}}"#, "0 1 2 3 4 5 6 7 9 10 11 12 13"),
    (r#"{"v":{"$elem_match":{"$gt":1}}}"#, "8"),
    (r#"{"v":{"$elem_match":{"x":{"$gt":2},"y":null}}}"#, "14"),
    (r#"{"v":{"$elem_match":{}}}"#, "14"),
    (r#"{"v":{"$elem_match":{"$eq":null}}}"#, "14"),
    (r#"{"v":{"$elem_match":{"$exists":false}}}"#, ""),
    (r#"{"v":{"$elem_match":{"$elem_match":{"$in":[2]}}}}"#, "14"),
    (r#"{"v":{"$elem_match":{"$not":{"$starts_with":"h"}},"$size":2}}"#, "8"),
    (r#"{"$or":[{"v.0":1},{"v":{"$elem_match":{"$ieq":"HELLO"}}}]}"#, "14"),
];

#[test]
fn decisions_of_the_language() {
    for (filter, expected) in DECISIONS {
        let parsed = Filter::from_json_str(filter).unwrap();
        let matched: Vec<String> = (0..DOCUMENTS.len())
            .filter(|&index| parsed.matches(DOCUMENTS[index].as_bytes()))
            .map(|index| index.to_string())
            .collect();
        assert_eq!(matched.join(" "), *expected, "{filter}");
    }
    assert!(Filter::lt("v", f64::INFINITY).matches(b"{\"v\":1e300}"));
    assert!(!Filter::everything().not().matches(b"{}"));
    assert!(Filter::all("v", [0; 0]).matches(b"{\"v\":[]}") && !Filter::all("v", [0; 0]).matches(b"{\"v\":1}"));
    assert!(!Filter::all("v", [f64::NAN]).matches(b"{\"v\":[1]}"), "NaN is in no array");
    for (a, b, equal) in [
        ("\u{130}", "i\u{307}", true),
        ("\u{3a3}", "\u{3c3}", true),
        ("\u{3c2}", "\u{3c3}", false),
        ("\u{df}", "SS", false),
    ] {
        assert_eq!(Filter::ieq("v", a).matches(format!("{{\"v\":\"{b}\"}}").as_bytes()), equal, "{a} {b}");
        assert_eq!(Filter::ieq("v", b).matches(format!("{{\"v\":\"{a}\"}}").as_bytes()), equal, "{a} {b}");
    }
    assert!(!Filter::ne("v", 5).matches(b"[]"), "what is no object matches nothing");
}

/// Literals that are nearly equal to each other.
fn numbers() -> Vec<Literal> {
    let powers = [1i128 << 53, 1 << 63, 1 << 64, 1 << 100, 10i128.pow(18), i128::MAX];
    let near = powers.into_iter().flat_map(|power| [power.saturating_sub(1), power, power.saturating_add(1), -power]);
    let doubles = near.clone().map(|integer| Literal::Float(integer as f64));
    let others = [0.0, -0.0, 0.5, 1e300, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324].map(Literal::Float);
    near.clone().map(Literal::Integer).chain(doubles).chain(others).chain((0..9).map(Literal::from)).collect()
}

#[test]
fn a_long_list_finds_what_its_literals_equal() {
    let numbers = numbers();
    let strings = ["", "a", "é", "1", "null"].map(Literal::from);
    let nested = |literal: &Literal| {
        let object = Literal::Object([("b".to_owned(), literal.clone()), ("a".to_owned(), Literal::Null)].into());
        [Literal::Array(vec![literal.clone(), Literal::Null]), object]
    };
    let literals: Vec<Literal> = numbers.iter().chain(&strings).flat_map(nested).chain(numbers.clone()).collect();
    let texts = |literal: &Literal| match literal {
        Literal::Integer(integer) => vec![integer.to_string(), format!("{integer}.0")],
        Literal::Float(float) if float.is_finite() => vec![format!("{float:?}"), format!("{float:e}")],
        Literal::Float(float) if *float > 0.0 => vec!["1e400".to_owned()],
        Literal::Float(_) => vec!["-1e400".to_owned()],
        Literal::String(string) => vec![format!("{string:?}")],
        _ => Vec::new(),
    };
    let scalars: Vec<String> = numbers.iter().chain(&strings).flat_map(texts).chain(["null".to_owned()]).collect();
    let mut found = 0;
    for skipped in 0..8 {
        let some: Vec<&Literal> = literals.iter().skip(skipped).step_by(7).collect();
        let list = Filter::in_("v", some.iter().map(|literal| (*literal).clone())).prepare().unwrap();
        let one_by_one: Vec<_> =
            some.iter().map(|literal| Filter::eq("v", (*literal).clone()).prepare().unwrap()).collect();
        for scalar in &scalars {
            for value in [
                format!("{{\"v\":{scalar}}}"),
                format!("{{\"v\":[{scalar} , null]}}"),
                format!("{{\"v\":{{\"a\":null,\"\\u0062\":{scalar}}}}}"),
            ] {
                let expected = one_by_one.iter().any(|filter| filter.matches(value.as_bytes()));
                assert_eq!(list.matches(value.as_bytes()), expected, "every seventh from {skipped} on {value}");
                found += usize::from(expected);
            }
        }
    }
    assert!(found > 300, "both answers occur: {found}");
}
