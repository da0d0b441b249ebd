//! Filters of known selectivity, made from the paths that the field indexes know and from values of stored items.
//!
//! Invariants:
//! * A filter tests one field: equal to one of its values, or below one of them.
//! * Of all filters that the sample offers, those nearest to the wanted pass rates are taken, each once.

use std::collections::HashMap;

use anyhow::Result;
use serde_json::{Value, json};
use vecmem::{FieldPath, ReadOptions, Scope, Select, Store};

use super::filters::each_item;

/// Pass rates that are looked for.
const WANTED: [f64; 8] = [0.5, 0.16, 0.06, 0.025, 0.01, 0.003, 0.001, 0.0001];
/// Items whose values are looked at.
const SAMPLED: usize = 200_000;
/// The paths with the most values are tried.
const PATHS: usize = 32;
/// Filters may be so far from a wanted rate, as a factor.
const NEAR: f64 = 2.0;

/// Filters as JSON, the one that passes the most first.
pub fn auto_filters(store: &Store, scope: &Scope) -> Result<Vec<String>> {
    let mut paths = store.stats()?.fields.paths;
    paths.retain(|path| !path.path.ends_with("[]") && FieldPath::new(&path.path).is_ok());
    paths.sort_by(|a, b| b.values.cmp(&a.values).then_with(|| a.path.cmp(&b.path)));
    paths.truncate(PATHS);
    let names: Vec<&str> = paths.iter().map(|path| path.path.as_str()).collect();
    let options = ReadOptions { select: Select::fields(&names)?, ..ReadOptions::default() };
    let (mut values, mut sampled) = (HashMap::<(usize, String), usize>::new(), 0);
    each_item(store, scope, &options, |item| {
        sampled += 1;
        let value: Value = item.value_as().unwrap_or_default();
        for (number, path) in names.iter().enumerate() {
            if let Some(scalar) = find(&value, path).filter(|found| is_compared(found)) {
                *values.entry((number, scalar.to_string())).or_default() += 1;
            }
        }
        sampled < SAMPLED
    })?;
    Ok(nearest(&names, values, sampled))
}

fn find<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    value.get(path).or_else(|| path.split('.').try_fold(value, |value, name| value.as_object()?.get(name)))
}

/// Whether a filter on the value is short and means something.
fn is_compared(value: &Value) -> bool {
    match value {
        Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.len() <= 64,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

/// The filters nearest to the wanted rates.
fn nearest(names: &[&str], values: HashMap<(usize, String), usize>, sampled: usize) -> Vec<String> {
    let mut candidates = Vec::new();
    let mut numbers: HashMap<usize, Vec<(f64, usize)>> = HashMap::new();
    for ((path, text), count) in values {
        let Ok(value) = serde_json::from_str::<Value>(&text) else { continue };
        candidates.push((count as f64 / sampled as f64, json!({ names[path]: value }).to_string()));
        if let Some(number) = value.as_f64().filter(|_| value.is_number()) {
            numbers.entry(path).or_default().push((number, count));
        }
    }
    for (path, mut values) in numbers {
        values.sort_by(|a, b| a.0.total_cmp(&b.0));
        let mut below = 0;
        for (number, count) in values {
            if below > 0 {
                candidates.push((below as f64 / sampled as f64, json!({ names[path]: {"$lt": number} }).to_string()));
            }
            below += count;
        }
    }
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    let mut chosen: Vec<String> = Vec::new();
    for wanted in WANTED {
        let distance = |rate: f64| (rate / wanted).ln().abs();
        let best = candidates.iter().filter(|(_, filter)| !chosen.contains(filter));
        let best = best.min_by(|a, b| distance(a.0).total_cmp(&distance(b.0)));
        chosen.extend(best.filter(|(rate, _)| distance(*rate) <= NEAR.ln()).map(|(_, filter)| filter.clone()));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_those_nearest_to_the_wanted_rates() {
        let count = |path: usize, text: &str, count: usize| ((path, text.to_owned()), count);
        let values =
            [count(0, "\"a\"", 480), count(0, "\"b\"", 520), count(1, "1", 150), count(1, "2", 840), count(1, "3", 10)];
        let chosen = nearest(&["kind", "n"], values.into_iter().collect(), 1_000);
        assert_eq!(chosen, [r#"{"kind":"b"}"#, r#"{"n":1}"#, r#"{"n":3}"#]);
        assert!(nearest(&[], HashMap::new(), 0).is_empty());
        assert_eq!(find(&json!({"a": {"b": 1}, "a.b": 2}), "a.b"), Some(&json!(2)));
        assert_eq!(find(&json!({"a": {"b": 1}}), "a.b"), Some(&json!(1)));
    }
}
