//! How results look: for people, and as JSON for programs.
//!
//! Invariants:
//! * JSON output is one object, or one object a line; line feeds inside a stored value become spaces, nothing else of
//!   it changes.
//! * What a stored text contains cannot move the cursor of a terminal: names with control characters are shown as JSON
//!   strings.

use std::borrow::Cow;
use std::io::{self, Write};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::value::RawValue;
use vecmem::{FieldVector, Item, LostItem, Namespace};

pub use crate::words::{count, counted};

/// Characters of a value in a one-line display.
const VALUE_CHARACTERS: usize = 160;

/// Which of the two forms was asked for.
#[derive(Clone, Copy)]
pub struct Output {
    /// `--json`.
    pub json: bool,
}

impl Output {
    /// Prints one result: `json` as one line, or the text for people.
    pub fn print(self, json: &impl Serialize, people: impl FnOnce() -> String) -> Result<()> {
        let text = if self.json { serde_json::to_string(json)? } else { people() };
        writeln!(io::stdout().lock(), "{text}")?;
        Ok(())
    }

    /// Prints text for people only.
    pub fn say(self, text: impl AsRef<str>) -> Result<()> {
        if !self.json {
            writeln!(io::stdout().lock(), "{}", text.as_ref())?;
        }
        Ok(())
    }
}

/// An item in JSON output.
#[derive(Serialize)]
pub struct ItemJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<f32>,
    pub namespace: Vec<String>,
    pub key: &'a str,
    pub value: Cow<'a, RawValue>,
    pub created_at: i64,
    pub updated_at: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    pub version: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vectors: Vec<VectorJson<'a>>,
}

/// A vector in JSON output.
#[derive(Serialize)]
pub struct VectorJson<'a> {
    pub path: &'a str,
    pub values: &'a [f32],
}

impl<'a> ItemJson<'a> {
    /// The item, with its score when it comes from a search.
    pub fn new(item: &'a Item, score: Option<f32>) -> Result<Self> {
        Ok(Self {
            score,
            namespace: item.namespace.labels(),
            key: &item.key,
            value: one_line(item)?,
            created_at: item.created_at,
            updated_at: item.updated_at,
            ttl_seconds: item.ttl.map(seconds),
            expires_at: item.expires_at,
            version: item.version.to_u64(),
            vectors: vectors_json(&item.vectors),
        })
    }
}

/// All vectors of an item.
pub fn vectors_json(vectors: &[FieldVector]) -> Vec<VectorJson<'_>> {
    vectors.iter().map(|vector| VectorJson { path: &vector.path, values: &vector.values }).collect()
}

/// The value as JSON without a raw line feed (which can only be white space between its parts).
pub fn one_line(item: &Item) -> Result<Cow<'_, RawValue>> {
    let named = || format!("the value of {} is not JSON; run `vecmem check DIR`", name(item));
    if item.value.contains(['\n', '\r']) {
        let joined = item.value.replace(['\n', '\r'], " ");
        return Ok(Cow::Owned(RawValue::from_string(joined).with_context(named)?));
    }
    Ok(Cow::Borrowed(serde_json::from_str::<&RawValue>(&item.value).with_context(named)?))
}

/// Microseconds as seconds.
pub fn seconds(micros: i64) -> f64 {
    micros as f64 / 1e6
}

/// Where an item lives, for people.
pub fn name(item: &Item) -> String {
    format!("{} {}", namespace(&item.namespace), plain(&item.key))
}

/// A namespace, for people.
pub fn namespace(namespace: &Namespace) -> String {
    let labels = namespace.labels();
    if labels.iter().any(|label| label.chars().any(char::is_control)) {
        return escaped(&labels);
    }
    namespace.to_string()
}

/// An item that cannot be read, for people, and why.
pub fn lost(item: &LostItem) -> String {
    let (key, why) = (plain(&item.key), short(&item.why));
    match (Namespace::new(&item.namespace), item.namespace.last()) {
        (Ok(home), _) => format!("lost: {} {key}: {why}", namespace(&home)),
        (Err(_), Some(area)) if area == "import" => format!("lost: how far the import of {key} had come: {why}"),
        (Err(_), _) => format!("lost: {} {key}: {why}", escaped(&item.namespace)),
    }
}

/// A key or text, for people: as it is, or as a JSON string when it could disturb the line.
pub fn plain(text: &str) -> String {
    if text.is_empty() || text.chars().any(char::is_control) { escaped(&text) } else { text.to_owned() }
}

/// JSON escapes the control characters below 32; the ones from 127 on are escaped here.
fn escaped(value: &impl Serialize) -> String {
    let json = serde_json::to_string(value).unwrap_or_default();
    json.chars().map(|c| if c.is_control() { format!("\\u{:04x}", c as u32) } else { c.to_string() }).collect()
}

/// The beginning of a value, on one line.
pub fn short(value: &str) -> String {
    let mut characters = value.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut text: String = characters.by_ref().take(VALUE_CHARACTERS).collect();
    if characters.next().is_some() {
        text.push('…');
    }
    text
}

/// A point in time, for people: `2025-09-14 08:30:00Z`.
pub fn time(micros: i64) -> String {
    let seconds = micros.div_euclid(1_000_000);
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Counted in years that begin on 1 March, so that the leap day is the last of its year; day 0 is 0000-03-01.
    let day = day + 719_468;
    let (era, day_of_era) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + next;
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day_of_month:02} {hour:02}:{minute:02}:{:02}Z", second % 60)
}

/// Bytes in the unit that fits.
pub fn bytes(number: u64) -> String {
    indicatif::BinaryBytes(number).to_string()
}

/// A span of time in the unit that fits.
pub fn span(micros: f64) -> String {
    let (number, unit) = match micros {
        _ if micros < 1e3 => (micros, "us"),
        _ if micros < 1e6 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    if number < 9.95 { format!("{number:.1} {unit}") } else { format!("{number:.0} {unit}") }
}

/// A bar on stderr, drawn only when stderr is a terminal.
pub fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

/// A sign of life on stderr for work of unknown length.
pub fn spinner(message: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(message);
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_named_right() {
        let cases = [
            (0, "1970-01-01 00:00:00Z"),
            (951_782_400, "2000-02-29 00:00:00Z"),
            (1_767_225_599, "2025-12-31 23:59:59Z"),
            (4_107_542_400, "2100-03-01 00:00:00Z"),
            (-1, "1969-12-31 23:59:59Z"),
        ];
        for (seconds, wanted) in cases {
            assert_eq!(time(seconds * 1_000_000), wanted);
        }
        time(i64::MIN);
        time(i64::MAX);
    }

    #[test]
    fn names_cannot_disturb_the_terminal() {
        assert_eq!(plain("a b"), "a b");
        assert_eq!(plain("\u{1b}[2J\u{9b}"), "\"\\u001b[2J\\u009b\"");
        assert_eq!(short("{\"a\":\n1}"), "{\"a\": 1}");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn counts_and_spans_have_their_nouns_and_units() {
        let counts = [(0, "row", "0 rows"), (1, "bad row", "1 bad row"), (1_234, "row", "1,234 rows")];
        for (number, noun, wanted) in counts.into_iter().chain([(2, "query", "2 queries"), (2, "key", "2 keys")]) {
            assert_eq!(counted(number, noun), wanted);
        }
        let spans = [(0.0, "0.0 us"), (9.96, "10 us"), (999.4, "999 us"), (1_500.0, "1.5 ms"), (75e6, "75 s")];
        for (micros, wanted) in spans {
            assert_eq!(span(micros), wanted);
        }
    }
}
