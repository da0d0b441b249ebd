//! Values as keys of the index: bytes whose order is the order of the values.
//!
//! Invariants:
//! * Two values that a filter calls equal have one key, and the keys of numbers, and those of strings, are in the order
//!   that ranges use.
//! * A long string keeps its beginning and a hash. Its key does not tell it from every other string, so what the index
//!   says of it is checked on the value.
//! * A key has at most [`KEY_BYTES_MAX`] bytes.
//!
//! # Format
//!
//! The first byte is the kind of the value. A key is what `fields/order.rs` writes, but for long strings.
//!
//! ```text
//! KIND  VALUE           REST OF THE KEY
//! 1     null            none
//! 2     false           none
//! 3     true            none
//! 4     number          as Number::push_ordered writes it
//! 5     string          the UTF-8 bytes, if there are at most 32; else the first 8 bytes, 0xFF, and 8 bytes of hash
//! 6     array           none
//! 7     object          none
//! ```

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use crate::fields::order::{push_number, push_text, push_value};
use crate::filter::Operand;
use crate::json::{Number, Raw};

pub(super) use crate::fields::order::{ARRAY, FALSE, NULL, NUMBER, OBJECT, STRING, TRUE};

/// Bytes of the longest string that is kept whole.
pub(super) const WHOLE_BYTES_MAX: usize = 32;
/// Bytes of the beginning of a longer string.
pub(super) const BEGINNING_BYTES: usize = 8;
/// Follows the beginning of a longer string. No UTF-8 has this byte.
const LONG: u8 = 0xFF;

/// Bytes of the longest key.
pub(super) const KEY_BYTES_MAX: usize = 1 + WHOLE_BYTES_MAX;

/// Appends the key of a value. `None` if the value is not JSON.
pub(super) fn push_key(key: &mut Vec<u8>, value: Raw<'_>) -> Option<()> {
    match value {
        Raw::Text(text) => {
            push_string(key, &text.decode()?);
            Some(())
        }
        _ => push_value(key, value),
    }
}

/// The key of a literal. NaN has none, since it equals nothing, and neither have dates, to which many strings are
/// equal.
pub(super) fn key_of(operand: &Operand) -> Option<Vec<u8>> {
    let mut key = Vec::new();
    match operand {
        Operand::Null => key.push(NULL),
        Operand::Bool(value) => key.push(if *value { TRUE } else { FALSE }),
        Operand::Number(Number::Float(float)) if float.is_nan() => return None,
        Operand::Date(_) => return None,
        Operand::Number(number) => push_number(&mut key, *number),
        Operand::String(string) => push_string(&mut key, string),
        Operand::Array(_) => key.push(ARRAY),
        Operand::Object(_) => key.push(OBJECT),
    }
    Some(key)
}

fn push_string(key: &mut Vec<u8>, string: &str) {
    let bytes = string.as_bytes();
    if bytes.len() <= WHOLE_BYTES_MAX {
        return push_text(key, bytes);
    }
    // A fixed key: an index is the same on every machine, and what the hash finds is checked on the value.
    let mut hasher = SipHasher13::new_with_keys(0, 0);
    hasher.write(bytes);
    push_text(key, &bytes[..BEGINNING_BYTES]);
    key.push(LONG);
    key.extend_from_slice(&hasher.finish().to_be_bytes());
}

/// Whether `key` is that of a string that is not kept whole.
pub(super) fn is_long_string(key: &[u8]) -> bool {
    key.first() == Some(&STRING) && key.get(1 + BEGINNING_BYTES) == Some(&LONG)
}

/// The value that has this key, written as JSON, if the key tells it: not of containers, long strings, or numbers that
/// no JSON number spells.
pub(super) fn write_json(key: &[u8], json: &mut Vec<u8>) -> Option<()> {
    let (&kind, rest) = key.split_first()?;
    match kind {
        NULL => json.extend_from_slice(b"null"),
        FALSE => json.extend_from_slice(b"false"),
        TRUE => json.extend_from_slice(b"true"),
        NUMBER => {
            let mut bytes = [0; 10];
            bytes.get_mut(..rest.len())?.copy_from_slice(rest);
            let [ordered @ .., high, low] = bytes;
            let ordered = u64::from_be_bytes(ordered);
            let floor = f64::from_bits(if ordered >> 63 == 1 { ordered & !(1 << 63) } else { !ordered });
            let rest = u16::from_be_bytes([high, low]);
            // Every double has its own shortest text, and reading it gives the double back.
            let text = if rest > 0 { (floor as i128 + i128::from(rest)).to_string() } else { format!("{floor:?}") };
            json.extend_from_slice(text.as_bytes());
            return floor.is_finite().then_some(());
        }
        STRING if !is_long_string(key) => {
            let text = std::str::from_utf8(rest).ok()?;
            serde_json::to_writer(json, text).ok()?;
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use super::*;
    use crate::json::JsonReader;

    fn key(json: &str) -> Vec<u8> {
        let mut key = Vec::new();
        push_key(&mut key, JsonReader::new(json.as_bytes()).value().unwrap()).unwrap();
        assert!(key.len() <= KEY_BYTES_MAX, "{json}");
        key
    }

    #[test]
    fn keys_of_numbers_are_in_the_order_of_numbers() {
        let rising = [
            "-1e400",
            "-1.7e308",
            "-9223372036854775808",
            "-9007199254740993",
            "-9007199254740992",
            "-1.5",
            "-1",
            "-5e-324",
            "0",
            "5e-324",
            "0.1",
            "1",
            "1.5",
            "2",
            "9007199254740991",
            "9007199254740992",
            "9007199254740993",
            "9007199254740994",
            "9223372036854775806",
            "9223372036854775807",
            "9223372036854775808",
            "18446744073709551614",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            "1e400",
        ];
        for (i, a) in rising.iter().enumerate() {
            for (j, b) in rising.iter().enumerate() {
                let by_value = Number::parse(a.as_bytes()).unwrap().compare(Number::parse(b.as_bytes()).unwrap());
                assert_eq!(Some(key(a).cmp(&key(b))), by_value, "{a} {b}");
                assert_eq!(i.cmp(&j), key(a).cmp(&key(b)), "{a} {b}");
            }
        }
        for (a, b) in [("0", "-0.0"), ("5", "5.0"), ("1e2", "100"), ("9007199254740992", "9007199254740992.0")] {
            assert_eq!(key(a), key(b), "{a} {b}");
        }
    }

    #[test]
    fn keys_of_strings_are_in_the_order_of_strings_and_long_ones_after_their_beginning() {
        let long = format!("\"{}\"", "a".repeat(40));
        let rising =
            ["\"\"", "\"\\u0000\"", "\"a\"", "\"aaaaaaaa\"", "\"aaaaaaaaz\"", &long, "\"aaaaaaab\"", "\"é\"", "\"😀\""];
        for pair in rising.windows(2) {
            assert_eq!(key(pair[0]).cmp(&key(pair[1])), Ordering::Less, "{pair:?}");
        }
        assert!(is_long_string(&key(&long)) && rising.iter().filter(|json| is_long_string(&key(json))).count() == 1);
        assert_ne!(key(&long), key(&format!("\"{}b\"", "a".repeat(40))));
    }

    #[test]
    fn a_key_gives_its_value_back() {
        for json in [
            "null",
            "true",
            "false",
            "0",
            "-0.0",
            "1.5",
            "-12",
            "9007199254740993",
            "18446744073709551615",
            "5e-324",
            "\"\"",
            "\"a\\\"\\u0000é😀\"",
        ] {
            let mut back = Vec::new();
            write_json(&key(json), &mut back).unwrap();
            assert_eq!(key(std::str::from_utf8(&back).unwrap()), key(json), "{json}");
        }
        for json in ["[1]", "{}", "1e400", &format!("\"{}\"", "é".repeat(20))] {
            assert_eq!(write_json(&key(json), &mut Vec::new()), None, "{json}");
        }
    }
}
