//! The texts that vectors embed, taken out of an item's value by path.
//!
//! A store keeps only the hash of a text. An export finds the text in the value, asks the store whether it is the one,
//! and writes its path; an import takes the text at the path and lets its store hash it anew.
//!
//! Paths are those of LangGraph: `$` is the whole value, `a.b` a field, `[0]`, `[-1]` and `[*]` elements, `*` all
//! fields or elements, `{a,b.c}` several fields. Of a path that names several texts, `path.0` is the first, and so on.
//!
//! Invariants:
//! * Both sides use [`text_at`], so an import makes the very hashes that the export has compared.
//! * The texts of a path have at most [`TEXT_BYTES_MAX`] bytes together, however often the path names a field.
//! * A value whose texts come out differently elsewhere, such as one with numbers of many digits, is no error: its
//!   texts are not found, and are counted.

use serde_json::Value;
use vecmem::limits;

/// The most bytes of the texts that one path names: as many as a batch of a store may have.
pub const TEXT_BYTES_MAX: usize = limits::BATCH_BYTES;

/// The text at a path, if there is exactly one.
pub fn text_at(value: &Value, path: &str) -> Option<String> {
    let mut texts = texts_at(value, path)?;
    if texts.len() == 1 {
        return texts.pop();
    }
    let (path, number) = path.rsplit_once('.')?;
    let number: usize = number.parse().ok()?;
    texts_at(value, path)?.into_iter().nth(number)
}

/// Paths at which the text of a vector may be, likeliest first. A vector without a path may embed any field.
pub fn candidates(value: &Value, vector_path: &str) -> Vec<String> {
    if !vector_path.is_empty() {
        return vec![vector_path.to_owned()];
    }
    let fields = value.as_object().into_iter().flat_map(|fields| fields.keys().cloned());
    fields.chain(["$".to_owned()]).collect()
}

/// All texts at a path; `None` if they are too long.
fn texts_at(value: &Value, path: &str) -> Option<Vec<String>> {
    if path == "$" || path.is_empty() {
        return Some(vec![json(value)]);
    }
    let mut texts = Texts { found: Vec::new(), bytes: 0 };
    extract(value, &tokens(path), &mut texts);
    (!texts.is_full()).then_some(texts.found)
}

/// Texts that were found so far.
struct Texts {
    found: Vec<String>,
    bytes: usize,
}

impl Texts {
    fn is_full(&self) -> bool {
        self.bytes > TEXT_BYTES_MAX
    }

    /// Adds a value as the text that is embedded of it.
    fn add(&mut self, value: &Value) {
        if self.is_full() {
            return;
        }
        if let Some(text) = text_of(value) {
            self.bytes += text.len() + size_of::<String>();
            self.found.push(text);
        }
    }
}

/// The steps of a path: names, and whole brackets and braces.
fn tokens(path: &str) -> Vec<&str> {
    let (mut tokens, mut rest) = (Vec::new(), path);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '.' => {
                rest = &rest[1..];
                continue;
            }
            '[' => closing(rest, '[', ']'),
            '{' => closing(rest, '{', '}'),
            _ => rest.find(['.', '[', '{']).unwrap_or(rest.len()),
        };
        tokens.push(&rest[..length]);
        rest = &rest[length..];
    }
    tokens
}

/// The length up to the bracket that closes the first one; that of the whole text if none does.
fn closing(text: &str, opens: char, closes: char) -> usize {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        depth += i32::from(character == opens) - i32::from(character == closes);
        if depth == 0 {
            return at + character.len_utf8();
        }
    }
    text.len()
}

fn extract(value: &Value, tokens: &[&str], texts: &mut Texts) {
    let Some((token, rest)) = tokens.split_first() else {
        texts.add(value);
        return;
    };
    let inside = |opens, closes| token.strip_prefix(opens).and_then(|inside| inside.strip_suffix(closes));
    if let Some(index) = inside('[', ']') {
        let Some(elements) = value.as_array() else { return };
        match index {
            "*" => elements.iter().for_each(|element| extract(element, rest, texts)),
            index => {
                let place = index.parse::<i64>().ok();
                let place = place.map(|place| if place < 0 { place + elements.len() as i64 } else { place });
                let element = place.and_then(|place| elements.get(usize::try_from(place).ok()?));
                element.iter().for_each(|element| extract(element, rest, texts));
            }
        }
    } else if let Some(fields) = inside('{', '}') {
        for field in fields.split(',').map(str::trim).filter(|field| !field.is_empty()) {
            let found = self::tokens(field).into_iter().try_fold(value, |value, name| value.as_object()?.get(name));
            found.into_iter().for_each(|value| texts.add(value));
        }
    } else if *token == "*" {
        match value {
            Value::Object(fields) => fields.values().for_each(|field| extract(field, rest, texts)),
            Value::Array(elements) => elements.iter().for_each(|element| extract(element, rest, texts)),
            _ => {}
        }
    } else if let Some(field) = value.as_object().and_then(|fields| fields.get(*token)) {
        extract(field, rest, texts);
    }
}

/// A value as the text that is embedded of it.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Bool(is_true) => Some(if *is_true { "True" } else { "False" }.to_owned()),
        Value::Number(number) => Some(number.to_string()),
        Value::Array(_) | Value::Object(_) => Some(json(value)),
    }
}

/// A value as JSON with a space after each comma and colon, and with sorted keys.
fn json(value: &Value) -> String {
    match value {
        Value::Array(elements) => {
            let elements: Vec<String> = elements.iter().map(json).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Object(fields) => {
            let mut sorted: Vec<(&String, &Value)> = fields.iter().collect();
            sorted.sort_by_key(|(name, _)| *name);
            let name = |name: &String| Value::String(name.clone()).to_string();
            let fields: Vec<String> =
                sorted.into_iter().map(|(key, field)| format!("{}: {}", name(key), json(field))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_texts() {
        let value: Value = serde_json::from_str(
            r#"{"text":"tea","n":3,"f":1.5,"yes":true,"no":null,"list":["a",{"b":"c"}],"deep":{"x.y":"dot","z":{"é":"\n"}}}"#,
        )
        .unwrap();
        for (path, wanted) in [
            ("text", Some("tea")),
            ("n", Some("3")),
            ("f", Some("1.5")),
            ("yes", Some("True")),
            ("no", None),
            ("list[0]", Some("a")),
            ("list[-1].b", Some("c")),
            ("list[2]", None),
            ("list[*]", None),
            ("list[*].0", Some("a")),
            ("list[*].1", Some(r#"{"b": "c"}"#)),
            ("list", Some(r#"["a", {"b": "c"}]"#)),
            ("{text,n}.1", Some("3")),
            ("{text}", Some("tea")),
            ("{deep.z,none}", Some(r#"{"é": "\n"}"#)),
            ("deep.z.é", Some("\n")),
            ("missing", None),
            ("[", None),
            ("{", None),
        ] {
            assert_eq!(text_at(&value, path).as_deref(), wanted, "{path}");
        }
        assert!(text_at(&value, "$").unwrap().starts_with(r#"{"deep": {"x.y": "dot", "z""#));
        assert_eq!(candidates(&value, "a.0"), ["a.0"]);
        assert!(candidates(&value, "").contains(&"text".to_owned()));
    }
}
