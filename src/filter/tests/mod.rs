//! The evaluator against a naive one over `serde_json::Value`, and the decisions of the language in a table.

mod errors;

use serde_json::{Map, Value, json};

use super::{FILTER_NODES_MAX, Filter, Literal};
use crate::error::{ErrorKind, Limit};
use crate::random::Random;
use crate::testing::filter_oracle as oracle;

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
            "true"
        ]);
        scalars[self.below(28)].clone()
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
            match self.below(if levels == 0 { 6 } else { 9 }) {
                0..=5 => entries.insert(self.key(), self.test(levels)),
                6 => entries.insert("$not".into(), self.filter(levels - 1, true)),
                kind => {
                    let (operator, fewest) = if kind == 7 { ("$and", 1) } else { ("$or", 0) };
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
        let operators = ["$eq", "$ne", "$contains", "$in", "$nin", "$exists", "$gt", "$gte", "$lt", "$lte"];
        let operator = operators[self.below(10)];
        let operand = match operator {
            "$eq" | "$ne" | "$contains" => self.value(2),
            "$in" | "$nin" => (0..self.below(5)).map(|_| self.value(1)).collect(),
            "$exists" => json!(self.below(2) == 0),
            _ => loop {
                let bound = self.scalar();
                if bound.is_number() || bound.is_string() {
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
            let expected = oracle::whole(&json, &document);
            matched += usize::from(expected);
            assert_eq!(prepared.matches(text.as_bytes()), expected, "seed 11 round {round}: {json} on {text}");
            let decided = prepared.decided_by(&text.as_bytes()[..random.below(text.len())]);
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
}

#[test]
fn decisions_of_the_language() {
    let documents = [
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
    ];
    for (filter, expected) in [
        (r#"{}"#, "0 1 2 3 4 5 6 7 8 9 10 11 12"),
        (r#"{"v":5}"#, "0 1"),
        (r#"{"v":"5"}"#, "2"),
        (r#"{"v":"\u0035"}"#, "2"),
        (r#"{"v":true}"#, "4"),
        (r#"{"v":1}"#, "5"),
        (r#"{"v":null}"#, "6 7"),
        (r#"{"v":{"$ne":5}}"#, "2 3 4 5 6 7 8 9 10 11 12"),
        (r#"{"v":{"$ne":null}}"#, "0 1 2 3 4 5 8 9 10 11 12"),
        (r#"{"v":{"$exists":true}}"#, "0 1 2 3 4 5 6 8 9 10 11 12"),
        (r#"{"v":{"$exists":false}}"#, "7"),
        (r#"{"v":{"$gt":4,"$lt":6}}"#, "0 1"),
        (r#"{"v":{"$gte":5}}"#, "0 1 3 11"),
        (r#"{"v":{"$gt":"4"}}"#, "2 12"),
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
        (r#"{"v.x":null}"#, "0 1 2 3 4 5 6 7 8 10 11 12"),
        (r#"{"v":{"$in":[]}}"#, ""),
        (r#"{"v":{"$nin":[]}}"#, "0 1 2 3 4 5 6 7 8 9 10 11 12"),
        (r#"{"v":{"$in":["5",10,null]}}"#, "2 3 6 7"),
        (r#"{"v":{"$nin":[5,null]}}"#, "2 3 4 5 8 9 10 11 12"),
        (r#"{"v":{"$contains":2}}"#, "8"),
        (r#"{"v":{"$contains":"ell"}}"#, "12"),
        (r#"{"v":{"$not":{"$gte":5}}}"#, "2 4 5 6 7 8 9 10 12"),
        (r#"{"$or":[{"v":1},{"v":{"y":2}}]}"#, "5 9"),
        (r#"{"$and":[{"v":{"$gt":1}},{"$not":{"v":10}}]}"#, "0 1 11"),
        (r#"{"v":{"$or":[1,{"$gt":9},{"y":2}]}}"#, "3 5 9 11"),
        (r#"{"v":{"$or":[{"x":1},{"q":1}],"y":2}}"#, "9"),
        (r#"{"$or":[]}"#, ""),
        (r#"{"$not":{"$or":[]}}"#, "0 1 2 3 4 5 6 7 8 9 10 11 12"),
    ] {
        let parsed = Filter::from_json_str(filter).unwrap();
        let matched: Vec<String> = (0..documents.len())
            .filter(|&index| parsed.matches(documents[index].as_bytes()))
            .map(|index| index.to_string())
            .collect();
        assert_eq!(matched.join(" "), expected, "{filter}");
    }
    assert!(Filter::lt("v", f64::INFINITY).matches(b"{\"v\":1e300}"));
    assert!(!Filter::everything().not().matches(b"{}"));
    assert!(!Filter::ne("v", 5).matches(b"[]"), "what is no object matches nothing");
}

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
    let list: Vec<usize> = (0..FILTER_NODES_MAX).collect();
    assert_eq!(kind(&json!({"a": {"$in": list}})), Err(ErrorKind::Limit(Limit::FilterNodes)));

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
    let wide = Filter::in_("a", (0..2_000).map(Literal::from));
    assert_eq!(wide.prepare().unwrap_err().kind(), ErrorKind::Limit(Limit::FilterNodes));
}
