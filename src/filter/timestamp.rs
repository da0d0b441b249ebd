//! Instants, and the texts that spell them.
//!
//! Invariants:
//! * [`Timestamp::parse`] reads exactly the forms below, and allocates nothing.
//! * Two texts that spell the same instant in different offsets give equal timestamps.
//!
//! ```text
//! 2024-05-01                                a day alone: midnight UTC
//! 2024-05-01T10:00:00Z                      RFC 3339; T and Z may be small letters, and a space may stand for T
//! 2024-05-01 10:00:00.123456789+02:00       a fraction of 1 to 9 digits; an offset of at most 23:59, `-00:00` is UTC
//! ```
//!
//! * A time without an offset is no instant, and is not read. Neither are weeks, hours alone, a comma, `24:00:00`.
//! * Years are 0000 to 9999 of the Gregorian calendar, also before 1582. 0000 is a leap year.
//! * A second of 60 is read where it may have been a leap second: as the last one of a day of UTC. It is the same
//!   instant as the second after it, as in Unix time.

use std::fmt;

/// The longest text that spells an instant.
pub(crate) const TEXT_BYTES_MAX: usize = "2024-05-01T10:00:00.123456789+02:00".len();

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_MICROSECOND: i128 = 1_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Days from the first day of the year 0000 to the first of 1970.
const DAYS_TO_1970: i64 = 719_528;
const DAYS_BEFORE_MONTH: [i64; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// An instant, to the nanosecond.
///
/// ```
/// use vecmem::filter::Timestamp;
///
/// let paris = Timestamp::parse("2024-05-01T10:00:00+02:00").unwrap();
/// assert_eq!(Some(paris), Timestamp::parse("2024-05-01 08:00:00.000Z"));
/// assert_eq!(paris, Timestamp::from_micros(1_714_550_400_000_000));
/// assert_eq!(paris.to_string(), "2024-05-01T08:00:00Z");
/// assert_eq!(Timestamp::parse("2024-05-01T10:00:00"), None, "an instant needs an offset");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Since 1970 UTC.
    nanos: i128,
}

impl Timestamp {
    /// The instant so many microseconds after 1970 UTC.
    pub const fn from_micros(micros: i64) -> Self {
        Self { nanos: micros as i128 * NANOS_PER_MICROSECOND }
    }

    /// The instant that a text spells: `YYYY-MM-DD`, midnight UTC, or a date and a time as RFC 3339 writes them, where
    /// a space may stand for the `T`. The offset from UTC (or `Z`) is required, and a fraction has 1 to 9 digits. A
    /// second of 60 is read as the last one of a day of UTC, and is the same instant as the second after it. `None` for
    /// any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_bytes(text.as_bytes())
    }

    pub(super) fn parse_bytes(text: &[u8]) -> Option<Self> {
        let (date, time) = text.split_at_checked(10)?;
        let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *date else { return None };
        let year = 100 * two_digits(y1, y2, 99)? + two_digits(y3, y4, 99)?;
        let (month, day) = (two_digits(m1, m2, 12)?, two_digits(d1, d2, 31)?);
        let seconds = SECONDS_PER_DAY * days_since_1970(year, month, day)?;
        let [b'T' | b't' | b' ', h1, h2, b':', m1, m2, b':', s1, s2, rest @ ..] = time else {
            return time.is_empty().then(|| Self::new(seconds, 0));
        };
        let (hour, minute, second) = (two_digits(*h1, *h2, 23)?, two_digits(*m1, *m2, 59)?, two_digits(*s1, *s2, 60)?);
        let (nanos, rest) = fraction(rest)?;
        let seconds = seconds + 3_600 * hour + 60 * minute + second - offset_seconds(rest)?;
        let is_first_of_a_day = seconds.rem_euclid(SECONDS_PER_DAY) == 0;
        (second < 60 || is_first_of_a_day).then(|| Self::new(seconds, nanos))
    }

    fn new(seconds: i64, nanos: i64) -> Self {
        Self { nanos: i128::from(seconds) * NANOS_PER_SECOND + i128::from(nanos) }
    }
}

/// The number that two digits spell, if it is at most `most`.
fn two_digits(tens: u8, ones: u8, most: i64) -> Option<i64> {
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return None;
    }
    let number = 10 * i64::from(tens - b'0') + i64::from(ones - b'0');
    (number <= most).then_some(number)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// `None` if the month does not exist or has no such day. The year is at least 0.
fn days_since_1970(year: i64, month: i64, day: i64) -> Option<i64> {
    let month = usize::try_from(month).ok()?;
    let (&before, &after) = (DAYS_BEFORE_MONTH.get(month.checked_sub(1)?)?, DAYS_BEFORE_MONTH.get(month)?);
    let leap_day = i64::from(is_leap(year));
    if day < 1 || day > after - before + if month == 2 { leap_day } else { 0 } {
        return None;
    }
    // The leap days of the years before; the year 0 has one.
    let earlier = if year == 0 { 0 } else { (year - 1) / 4 - (year - 1) / 100 + (year - 1) / 400 + 1 };
    Some(365 * year + earlier + before + if month > 2 { leap_day } else { 0 } + day - 1 - DAYS_TO_1970)
}

/// The nanoseconds of a fraction, if the text begins with one, and the text after it.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some(text) = text.strip_prefix(b".") else { return Some((0, text)) };
    let length = text.iter().position(|byte| !byte.is_ascii_digit())?;
    let (digits, rest) = text.split_at_checked(length)?;
    if !(1..=9).contains(&digits.len()) {
        return None;
    }
    let padded = digits.iter().chain([b'0'; 9].iter()).take(9);
    Some((padded.fold(0, |nanos, digit| 10 * nanos + i64::from(digit - b'0')), rest))
}

/// The seconds that local time is ahead of UTC.
fn offset_seconds(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let ahead = 3_600 * two_digits(h1, h2, 23)? + 60 * two_digits(m1, m2, 59)?;
            Some(if sign == b'-' { -ahead } else { ahead })
        }
        _ => None,
    }
}

/// As RFC 3339 writes it in UTC, with the fewest digits of a fraction that are exact; outside of the years 0000 to
/// 9999, the seconds since 1970.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.nanos.div_euclid(NANOS_PER_SECOND), self.nanos.rem_euclid(NANOS_PER_SECOND));
        let seconds = seconds as i64;
        let days = seconds.div_euclid(SECONDS_PER_DAY);
        // A year has at least 365 days, so the guess is never too small, and at most seven too large.
        let guess = (days + DAYS_TO_1970).div_euclid(365).clamp(0, 9_999);
        let year = (0..=guess).rev().find(|&year| days_since_1970(year, 1, 1).is_some_and(|first| first <= days));
        let Some(year) = year else { return write!(f, "{seconds} seconds since 1970 UTC") };
        let month = (1..=12).rev().find(|&month| days_since_1970(year, month, 1).is_some_and(|first| first <= days));
        let (month, second) = (month.unwrap_or(1), seconds.rem_euclid(SECONDS_PER_DAY));
        let day = days - days_since_1970(year, month, 1).unwrap_or(days) + 1;
        if day > 31 {
            return write!(f, "{seconds} seconds since 1970 UTC");
        }
        write!(f, "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)?;
        if nanos > 0 {
            write!(f, ".{}", format!("{nanos:09}").trim_end_matches('0'))?;
        }
        f.write_str("Z")
    }
}
