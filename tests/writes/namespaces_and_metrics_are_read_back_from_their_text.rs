//! The text of a namespace or a metric is read back as the same namespace or metric, whatever characters labels hold.

use std::collections::HashMap;

use crate::common::{Random, namespace};
use vecmem::{ErrorKind, Metric, Namespace};

const PIECES: [&str; 16] =
    ["a", "B", "/", "[", "]", "\"", "\\", ",", " ", "\0", "\n", "é", "\u{1F375}", "..", "*", "\u{FF}"];

#[test]
fn any_labels_come_back() {
    let mut random = Random::new(0x5EED);
    let mut seen: HashMap<String, Namespace> = HashMap::new();
    let mut as_array = 0;
    for _ in 0..20_000 {
        let labels: Vec<String> = (0..1 + random.below(4))
            .map(|_| (0..1 + random.below(5)).map(|_| PIECES[random.below(16) as usize]).collect())
            .collect();
        let written = Namespace::new(&labels).unwrap();
        let text = written.to_string();
        assert_eq!(text.parse::<Namespace>().unwrap(), written, "{labels:?}");
        as_array += usize::from(text.starts_with('['));
        // Two namespaces never share a text.
        let other = seen.entry(text).or_insert_with(|| written.clone());
        assert_eq!(*other, written);
    }
    assert!((1_000..19_000).contains(&as_array), "{as_array}: both forms are met");
}

#[test]
fn the_escape_is_a_json_array() {
    for (labels, text) in [
        (vec!["users", "ada"], "users/ada"),
        (vec!["one"], "one"),
        (vec![" a ", "b\"c"], " a /b\"c"),
        (vec!["docs", "a/b"], r#"["docs","a/b"]"#),
        (vec!["[x"], r#"["[x"]"#),
        (vec!["a", "[\"x"], r#"["a","[\"x"]"#),
    ] {
        assert_eq!(Namespace::new(&labels).unwrap().to_string(), text);
        assert_eq!(text.parse::<Namespace>().unwrap().labels(), labels);
    }
    assert_eq!(
        r#" ["a"]"#.parse::<Namespace>().unwrap(),
        namespace([" [\"a\"]"]),
        "only a first bracket begins an array"
    );
}

#[test]
fn what_is_no_namespace_is_refused() {
    for text in ["", "/", "a//b", "a/", "/a", "[]", "[\"\"]", "[1]", "[\"a\"", "[\"a\"] x"] {
        assert_eq!(text.parse::<Namespace>().unwrap_err().kind(), ErrorKind::InvalidInput, "{text:?}");
    }
}

#[test]
fn metrics_have_one_name_each() {
    for (metric, name) in [(Metric::Cosine, "cosine"), (Metric::Dot, "dot"), (Metric::L2, "l2")] {
        assert_eq!(metric.to_string(), name);
        assert_eq!(format!("{metric:>7}"), format!("{name:>7}"));
        assert_eq!(name.parse::<Metric>().unwrap(), metric);
        assert_eq!(serde_json::to_value(metric).unwrap(), name);
    }
    let error = "Cosine".parse::<Metric>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("cosine, dot and l2"), "{error}");
}
