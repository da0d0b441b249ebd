//! The fuzz body of filters: the input is a filter and a value.

use serde_json::Value;

use crate::filter::{Filter, ItemFacts};
use crate::json::validate_object;
use crate::testing::filter_oracle::whole;
use crate::types::{Item, Namespace, Version, limits};

/// The most prefixes of a value that are tried.
const BEGINNINGS_MAX: usize = 1_000;

/// Parses the bytes before the first line feed as a filter, and matches the bytes after it. The match must end, and
/// agree with the oracle. Returns whether both were parsed.
pub(super) fn fuzz_filter(bytes: &[u8]) -> bool {
    let (filter, value) = match bytes.iter().position(|&byte| byte == b'\n') {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, &b"{}"[..]),
    };
    let Ok(text) = std::str::from_utf8(filter) else { return false };
    let Ok(parsed) = Filter::from_json_str(text) else { return false };
    let Ok(prepared) = parsed.prepare() else { panic!("a filter that was parsed is over the limits") };
    let item = item();
    let facts = ItemFacts::of(&item);
    let matches = prepared.holds(value, &facts);
    assert!(
        prepared.matches(value) == (matches && prepared.asked_of_item().is_nothing()),
        "a value alone has no times"
    );
    if validate_object(value, limits::DEPTH).is_err() {
        return false;
    }
    let Ok(text) = std::str::from_utf8(value) else { return false };
    let item = Item { value: text.into(), ..item.clone() };
    assert_eq!(matches, parsed.matches_item(&item), "prepared or not, it is one filter");
    assert_ne!(matches, parsed.clone().not().matches_item(&item), "of a filter and its opposite exactly one holds");
    let decided = prepared.decided_by_item(&facts);
    assert!(decided.is_none_or(|decided| decided == matches), "decided wrongly without the value");
    for end in 0..value.len().min(BEGINNINGS_MAX) {
        let decided = prepared.decided_by(&value[..end], &facts);
        assert!(decided.is_none_or(|decided| decided == matches), "decided wrongly by {end} bytes");
    }
    // The oracle reads JSON with `serde_json`, which rounds the last digit of long numbers differently.
    if has_long_number(filter) || has_long_number(value) {
        return true;
    }
    if let (Ok(filter), Ok(value)) = (serde_json::from_slice::<Value>(filter), serde_json::from_slice::<Value>(value)) {
        assert_eq!(matches, whole(&filter, &value, &item), "{filter} of {value}");
    }
    true
}

/// An item with times and a key that filters may name.
fn item() -> Item {
    // Short enough for the oracle: 1970-01-12T13:46:40Z.
    let created_at = 1_000_000_000_000;
    Item {
        namespace: Namespace::new(["a"]).unwrap(),
        key: "ab".into(),
        value: "{}".into(),
        created_at,
        updated_at: created_at + 1,
        ttl: None,
        expires_at: Some(created_at + 2),
        version: Version(1),
        vectors: Vec::new(),
    }
}

fn has_long_number(text: &[u8]) -> bool {
    let in_number = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E');
    text.split(|byte| !in_number(byte)).any(|number| {
        number.len() > 15
            || number.iter().any(|byte| matches!(byte, b'e' | b'E')) && number.iter().any(u8::is_ascii_digit)
    })
}
