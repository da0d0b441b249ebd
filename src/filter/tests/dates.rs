//! Texts that spell instants, against a second reader that counts days, and the answers of filters with dates.

use crate::filter::{Filter, Timestamp};
use crate::random::Random;
use crate::testing::filter_oracle::instant;

/// Texts of instants, and the microseconds since 1970 UTC.
const INSTANTS: &[(&str, i64)] = &[
    ("1970-01-01", 0),
    ("1970-01-01T00:00:00Z", 0),
    ("1970-01-01t01:00:00.000001+01:00", 1),
    ("1969-12-31 23:59:59.999999999z", -1),
    ("2024-05-01T10:00:00+02:00", 1_714_550_400_000_000),
    ("2024-02-29T23:59:59-00:00", 1_709_251_199_000_000),
    ("2000-02-29", 951_782_400_000_000),
    ("0000-01-01", -62_167_219_200_000_000),
    ("0000-02-29T00:00:00Z", -62_162_121_600_000_000),
    ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
    ("1970-01-01T00:00:00+23:59", -86_340_000_000),
    ("1969-12-31T00:01:00-23:59", 0),
    ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
    ("2016-12-31T23:59:60.5Z", 1_483_228_800_500_000),
    ("2017-01-01T01:59:60+02:00", 1_483_228_800_000_000),
];

/// Texts that spell no instant.
const OTHERS: &[&str] = &[
    "",
    "2024",
    "2024-05",
    "2024-5-01",
    "20240501",
    "2024-05-01T",
    "2024-05-01Z",
    "2024-05-01T10:00:00",
    "2024-05-01T10:00Z",
    "2024-05-01T10:00:00.Z",
    "2024-05-01T10:00:00,5Z",
    "2024-05-01T10:00:00.1234567890Z",
    "2024-05-01T10:00:00+2:00",
    "2024-05-01T10:00:00+0200",
    "2024-05-01T10:00:00+24:00",
    "2024-05-01T10:00:00+02:60",
    "2024-05-01T10:00:00Z ",
    " 2024-05-01",
    "2024-05-01T24:00:00Z",
    "2024-05-01T10:60:00Z",
    "2024-05-01T10:00:60Z",
    "2024-05-01T23:59:60+02:00",
    "2024-05-01T23:59:61Z",
    "2024-00-01",
    "2024-13-01",
    "2024-04-31",
    "2023-02-29",
    "1900-02-29",
    "2024-01-00",
    "2024-01-32",
    "+024-01-01",
    "-024-01-01",
    "12024-01-01",
    "2024-05-01T10:00:00\u{2212}02:00",
    "\u{661}024-05-01",
];

#[test]
fn texts_are_read_as_the_table_says() {
    for (text, micros) in INSTANTS {
        let timestamp = Timestamp::parse(text).unwrap_or_else(|| panic!("{text}"));
        let of_micros = instant(text).unwrap().div_euclid(1_000);
        assert_eq!(of_micros, i128::from(*micros), "{text}, as the oracle reads it");
        assert!(timestamp >= Timestamp::from_micros(*micros), "{text}");
        assert!(timestamp < Timestamp::from_micros(micros + 1), "{text}");
        assert_eq!(Timestamp::parse(&timestamp.to_string()), Some(timestamp), "{text} as {timestamp}");
    }
    for text in OTHERS {
        assert_eq!((Timestamp::parse(text), instant(text)), (None, None), "{text}");
    }
}

#[test]
fn texts_are_read_as_the_oracle_reads_them() {
    let mut random = Random::new(12);
    let mut read = 0;
    for round in 0..60_000 {
        let (text, _) = INSTANTS[random.below(INSTANTS.len())];
        let mut text = text.as_bytes().to_vec();
        for _ in 0..random.below(4) {
            let at = random.below(text.len());
            text[at] = b"00112233456789999-+:.TZ "[random.below(24)];
        }
        let text = String::from_utf8(text).unwrap();
        let nanos = instant(&text);
        let timestamp = Timestamp::parse(&text);
        assert_eq!(timestamp.is_some(), nanos.is_some(), "seed 12 round {round}: {text}");
        let (Some(nanos), Some(timestamp)) = (nanos, timestamp) else { continue };
        read += 1;
        let micros = nanos.div_euclid(1_000) as i64;
        let exact = nanos.rem_euclid(1_000) == 0;
        assert_eq!(timestamp == Timestamp::from_micros(micros), exact, "seed 12 round {round}: {text}");
        assert!(
            Timestamp::from_micros(micros) <= timestamp && timestamp < Timestamp::from_micros(micros + 1),
            "{text}"
        );
        // Beyond the year 9999 or before 0000, in UTC, an instant is shown as a number.
        let shown = timestamp.to_string();
        assert!(shown.contains("since") || Timestamp::parse(&shown) == Some(timestamp), "{text} as {shown}");
    }
    assert!((10_000..50_000).contains(&read), "both answers occur: {read}");
}

#[test]
fn every_day_is_shown_as_it_is_read() {
    for day in -719_528..2_932_897_i64 {
        let timestamp = Timestamp::from_micros(day * 86_400_000_000);
        let shown = timestamp.to_string();
        assert_eq!(Timestamp::parse(&shown), Some(timestamp), "day {day}: {shown}");
        assert_eq!(Timestamp::parse(&shown[..10]), Some(timestamp), "day {day}: {shown}");
    }
    for micros in [i64::MIN, i64::MAX] {
        assert!(Timestamp::from_micros(micros).to_string().ends_with(" seconds since 1970 UTC"));
    }
}

#[test]
fn dates_are_compared_as_instants() {
    let filter = |test: &str| Filter::from_json_str(&format!(r#"{{"at":{test}}}"#)).unwrap();
    let same = r#"{"$date":"2024-05-01T10:00:00+02:00"}"#;
    let later = "{\"at\":\"2024-05-01T09:00:00Z\"}";
    for (test, value, expected) in [
        (same.to_owned(), r#"{"at":"2024-05-01T08:00:00Z"}"#, true),
        (same.to_owned(), r#"{"at":"2024-05-01T08:00:00\u005a"}"#, true),
        (same.to_owned(), r#"{"at":"2024-05-01T10:00:00"}"#, false),
        (format!(r#"{{"$eq":{same}}}"#), r#"{"at":"2024-05-01 08:00:00.000Z"}"#, true),
        (format!(r#"{{"$gt":{same}}}"#), later, true),
        (format!(r#"{{"$gte":{same}}}"#), later, true),
        (format!(r#"{{"$lt":{same}}}"#), later, false),
        (format!(r#"{{"$lte":{same}}}"#), later, false),
        (format!(r#"{{"$gt":{same}}}"#), r#"{"at":"2024-05-01T10:00:00+02:00"}"#, false),
        (format!(r#"{{"$gt":{same}}}"#), r#"{"at":"2024-05-01T08:00:00.000000001Z"}"#, true),
        // What is no instant is unequal to one, and on no side of it.
        (format!(r#"{{"$ne":{same}}}"#), r#"{"at":"yesterday"}"#, true),
        (format!(r#"{{"$ne":{same}}}"#), r#"{"at":1714550400}"#, true),
        (format!(r#"{{"$ne":{same}}}"#), "{}", true),
        (format!(r#"{{"$nin":[{same}]}}"#), r#"{"at":null}"#, true),
        (format!(r#"{{"$gte":{same}}}"#), r#"{"at":"yesterday"}"#, false),
        (format!(r#"{{"$lt":{same}}}"#), r#"{"at":1}"#, false),
        (format!(r#"{{"$lt":{same}}}"#), "{}", false),
        (format!(r#"{{"$in":["x",{same}]}}"#), r#"{"at":"2024-05-01T08:00:00Z"}"#, true),
        (format!(r#"{{"$in":["x",{same}]}}"#), r#"{"at":"x"}"#, true),
        (format!(r#"{{"$contains":{same}}}"#), r#"{"at":["2024-05-01T08:00:00Z"]}"#, true),
        (format!(r#"{{"$all":["2024-05-01T08:00:00Z",{same}]}}"#), r#"{"at":["2024-05-01T08:00:00Z"]}"#, true),
        (format!(r#"{{"$elem_match":{{"$gt":{same}}}}}"#), r#"{"at":[1,"2024-05-01T08:00:01Z"]}"#, true),
    ] {
        assert_eq!(filter(&test).matches(value.as_bytes()), expected, "{test} of {value}");
    }
}
