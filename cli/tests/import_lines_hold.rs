//! Whatever the bytes of a line, reading it ends with an item or with an error inside the line, and what was understood
//! can be put: the seeded twin of the fuzz target.

mod common;
#[path = "../src/lines.rs"]
#[allow(dead_code)]
mod lines;
#[path = "../src/texts.rs"]
#[allow(dead_code)]
mod texts;
#[path = "../src/words.rs"]
#[allow(dead_code)]
mod words;

use common::Numbers;
use lines::parse_line;

const SEED: u64 = 20_261_120;
const ROUNDS: u64 = 100_000;
const GOOD: [&str; 5] = [
    r#"{"namespace":["users","ada"],"key":"k1","value":{"text":"likes tea","n":[1,2.5e-3,null,true]},"vector":[0.5,-1,2e3]}"#,
    r#"{"namespace":["a/b","é\u0000"],"key":"","value":{},"vectors":[{"path":"text","values":[1,2]},{"path":"","values":[3,4]}]}"#,
    r#" {"created_at":-5,"updated_at":1700000000000000,"ttl_seconds":0.25,"key":"\n","namespace":["x"],"value":{"a":{"b":{}}}} "#,
    r#"{"namespace":["x"],"key":"k","value_text":"{\"t\":[\"a\"]}","vector":[1],"index_paths":["t"],"ttl_micros":9,"expires_at":7,"texts":{"model":"m","paths":["t[0]"]},"unknown_texts":1,"extensions":[{"kind":9,"must_understand":true,"hex":"00ff"}]}"#,
    r#"{"namespace":["x"],"key":"k","value":{"deep":[[[[[[[[1]]]]]]]]},"vector":null,"ttl_seconds":1e300}"#,
];
/// Bytes that mean something here, so that changed lines stay close to good ones.
const BYTES: &[u8] = b"{}[]\",:\\0123456789.eE+-nulltrue\xC3\xFF\x00 ";

#[test]
fn changed_lines_are_read_or_refused() {
    let mut numbers = Numbers::new(SEED);
    let mut understood = 0;
    for round in 0..ROUNDS {
        let mut line = GOOD[(numbers.next() % GOOD.len() as u64) as usize].as_bytes().to_vec();
        for _ in 0..numbers.next() % 4 {
            let at = (numbers.next() % line.len() as u64) as usize;
            let byte = BYTES[(numbers.next() % BYTES.len() as u64) as usize];
            match numbers.next() % 4 {
                0 => line[at] = byte,
                1 => line.insert(at, byte),
                2 if line.len() > 1 => drop(line.remove(at)),
                _ => line.truncate(at + 1),
            }
        }
        match parse_line(&line) {
            Ok(item) => {
                understood += 1;
                assert!(
                    !item.namespace.labels().is_empty() && item.value.trim_start().starts_with('{'),
                    "round {round}, seed {SEED}"
                );
                let numbers = item.vectors.iter().flatten().flat_map(|vector| &vector.values);
                assert!(numbers.into_iter().all(|number| number.is_finite()), "round {round}, seed {SEED}");
            }
            Err(error) => {
                let inside = (1..=line.len().max(1) + 1).contains(&error.column);
                assert!(inside && !error.message.is_empty(), "round {round}, seed {SEED}: {error}");
            }
        }
    }
    assert!(understood > ROUNDS / 10 && understood < ROUNDS, "{understood} of {ROUNDS} lines were understood");
}

#[test]
fn hostile_lines_are_refused_without_effort() {
    let deep =
        format!(r#"{{"namespace":["a"],"key":"k","value":{}1{}}}"#, "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert!(parse_line(deep.as_bytes()).is_ok_and(|line| line.value.len() > 500_000), "depth is the store's to judge");
    let deep = "[".repeat(1_000_000);
    for field in ["namespace", "key", "vector", "vectors", "created_at"] {
        let line = format!(r#"{{"key":"k","value":{{}},"{field}":{deep}"#);
        assert!(parse_line(line.as_bytes()).is_err(), "{field}");
    }
    let fields = "a,".repeat(1_000_000);
    let long = format!(
        r#"{{"namespace":["a"],"key":"k","value":{{"a":"{}"}},"texts":{{"model":"m","paths":["{{{fields}}}.0"]}}}}"#,
        "x".repeat(1_000_000)
    );
    let column = parse_line(long.as_bytes()).map(drop).unwrap_err().column;
    assert!(column > 1_000_000, "texts have a limit");
    for vector in
        ["[", "[]", "[,]", "[1,]", "[inf]", "[NaN]", "[+1]", "[1 2]", "[\"1\"]", "[[1]]", "7", &"1,".repeat(50_000)]
    {
        let line = format!(r#"{{"namespace":["a"],"key":"k","value":{{}},"vector":{vector}}}"#);
        assert!(parse_line(line.as_bytes()).is_err(), "{vector}");
    }
}
