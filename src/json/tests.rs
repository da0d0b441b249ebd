//! The validator against serde_json, and the reader on bytes of every kind.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::{JSON_DEPTH_MAX, JsonReader, Number, validate_object, validate_value};
use crate::error::{ErrorKind, Limit};
use crate::random::Random;

/// JSON in which no object has a key twice: the oracle for what serde_json itself lets pass.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueVisitor)
    }
}

struct UniqueVisitor;

macro_rules! accept {
    ($($method:ident: $type:ty),*) => {$(
        fn $method<E>(self, _: $type) -> Result<Unique, E> { Ok(Unique) }
    )*};
}

impl<'de> Visitor<'de> for UniqueVisitor {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    accept!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Unique, A::Error> {
        while sequence.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(A::Error::custom("repeated key"));
            }
            map.next_value::<Unique>()?;
        }
        Ok(Unique)
    }
}

/// What serde_json says; `None` where it refuses what the grammar allows (a number outside the doubles).
fn oracle(bytes: &[u8]) -> Option<bool> {
    match serde_json::from_slice::<Unique>(bytes) {
        Ok(_) => Some(true),
        Err(error) if error.to_string().contains("out of range") => None,
        Err(_) => Some(false),
    }
}

fn begins_an_object(bytes: &[u8]) -> bool {
    bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

const CORPUS: &[&str] = &[
    r#"{}"#,
    r#" { "a" : 1 , "b" : [ ] , "c" : { } } "#,
    r#"{"a":[1,-0,0.5,1e5,1E-5,-1.25e+10,12345678901234567890123],"b":[true,false,null]}"#,
    r#"{"text":"a \"quoted\" \\ \/ \b\f\n\r\t \u00e9 \ud83d\ude00 é😀","k":{"k":{"k":"k"}}}"#,
    r#"{"a":1,"\u0061":2}"#,
    r#"{"a":1,"b":{"a":1,"b":2},"c":[{"a":1},{"a":1}],"":0}"#,
    r#"{"a":01}"#,
    r#"{"a":1.}"#,
    r#"{"a":.5,"b":-}"#,
    r#"{"a":"\ud800"}"#,
    r#"{"a":"\ud800\u0041"}"#,
    r#"{"a":"\udc00"}"#,
    r#"{"a":"\uD83D\uDE00\u0000"}"#,
    r#"{"a":1,}"#,
    r#"{"a" 1}"#,
    r#"{"a":[1 2]}"#,
    r#"{"a":[1}"#,
    r#"{"a":1}}"#,
    r#"{a:1}"#,
    r#"["a"]"#,
    r#""a""#,
    "1",
    "",
    "  ",
    "{\"a\":\"tab\there\"}",
    "\u{feff}{}",
    r#"{"a":nul,"b":truefalse}"#,
    r#"{"key one":1,"key two":2,"key three":3,"key four":4,"key five":5,"key six":6,"key one":7}"#,
];

/// A text of the corpus with some bytes replaced, removed, inserted or doubled.
fn mutated(random: &mut Random) -> Vec<u8> {
    const BYTES: &[u8] = b"{}[]\",:\\ u0123456789abcdefDE+-.tn\x00\x1f\x7f\x80\xc3\xa9\xff\n";
    let mut bytes = CORPUS[random.below(CORPUS.len())].as_bytes().to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len() + 1);
        let byte = BYTES[random.below(BYTES.len())];
        match random.below(4) {
            0 if at < bytes.len() => bytes[at] = byte,
            1 if at < bytes.len() => drop(bytes.remove(at)),
            2 => {
                let end = bytes.len().min(at + random.below(12));
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => bytes.insert(at, byte),
        }
    }
    bytes
}

#[test]
fn accepts_what_serde_json_accepts() {
    for text in CORPUS {
        assert_eq!(Some(validate_value(text.as_bytes(), 128).is_ok()), oracle(text.as_bytes()), "{text}");
    }
    let mut random = Random::new(7);
    let mut accepted = 0;
    for round in 0..60_000 {
        let bytes = mutated(&mut random);
        let (valid, is_object) = (validate_value(&bytes, 128).is_ok(), validate_object(&bytes, 128).is_ok());
        accepted += usize::from(is_object);
        if let Some(expected) = oracle(&bytes) {
            assert_eq!(valid, expected, "seed 7 round {round}: {}", String::from_utf8_lossy(&bytes));
            assert_eq!(is_object, valid && begins_an_object(&bytes), "{}", String::from_utf8_lossy(&bytes));
        }
        // Safety on bytes that were not validated, from every position.
        for at in 0..bytes.len() {
            let mut reader = JsonReader::at(&bytes, at);
            while reader.skip().is_some() && reader.more().is_some() {}
        }
    }
    assert!((1_000..55_000).contains(&accepted), "both answers occur: {accepted}");
}

#[test]
fn names_the_offset() {
    for (text, expected) in [
        (&br#"{"a":1,"a":2}"#[..], "already has at byte 7"),
        (br#"{"a":01}"#, "does not allow at byte 5"),
        (br#"{"a":"x\q"}"#, "pair at byte 7"),
        (br#"{"a":"x"#, "does not end at byte 5"),
        (b"[]", "at byte 0"),
        (b"{\"a\":\"\xff\"}", "UTF-8 at byte 6"),
        (b"{} x", "more text after its end at byte 3"),
    ] {
        let error = validate_object(text, 128).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert!(validate_object(br#"{"a":1e999}"#, 128).is_ok(), "a number of any size is JSON");
}

#[test]
fn nests_as_deep_as_allowed() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    assert!(validate_object(nested(JSON_DEPTH_MAX).as_bytes(), JSON_DEPTH_MAX).is_ok());
    for levels in [JSON_DEPTH_MAX + 1, 1_000_000] {
        let error = validate_object(nested(levels).as_bytes(), JSON_DEPTH_MAX).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Limit(Limit::Depth), "{error}");
    }
}

#[test]
fn finds_the_repeated_key_among_many() {
    // Enough keys that pairs of them share a 32-bit hash, and a test of all pairs would not end.
    let keys: Vec<String> = (0..300_000).map(|number| format!("\"key{number}\":{number}")).collect();
    let text = format!("{{{}}}", keys.join(","));
    assert!(validate_object(text.as_bytes(), 128).is_ok());
    let repeated = format!("{{{},\"key77\\u0037\":0}}", keys.join(","));
    let error = validate_object(repeated.as_bytes(), 128).unwrap_err();
    assert!(error.to_string().ends_with(&format!("byte {}", text.len())), "{error}");
}

#[test]
fn numbers_compare_exactly() {
    let ascending = [
        "-1e999",
        "-1e300",
        "-18446744073709551617",
        "-9223372036854775808",
        "-9007199254740993",
        "-9007199254740992",
        "-2.5",
        "-2",
        "0",
        "5e-324",
        "0.1",
        "1",
        "1.5",
        "9007199254740992",
        "9007199254740993",
        "9007199254740994",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551615",
        "1208925819614629174706176",
        "1e308",
        "1e999",
    ];
    let number = |text: &str| Number::parse(text.as_bytes()).unwrap();
    for (i, a) in ascending.iter().enumerate() {
        for (j, b) in ascending.iter().enumerate() {
            assert_eq!(number(a).compare(number(b)), Some(i.cmp(&j)), "{a} {b}");
        }
    }
    for (a, b) in [("5", "5.0"), ("-0", "0"), ("-0.0", "0"), ("9007199254740992", "9007199254740992.0"), ("1e2", "100")]
    {
        assert_eq!(number(a).compare(number(b)), Some(std::cmp::Ordering::Equal), "{a} {b}");
    }
    for text in ["", "-", "inf", "nan", "1e", "e5", "1-2"] {
        assert_eq!(Number::parse(text.as_bytes()), None, "{text}");
    }
    assert_eq!(number("1").compare(Number::Float(f64::NAN)), None);
}
