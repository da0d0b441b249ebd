//! A store and the import of its export are equal in everything that belongs to the contents and not to one copy:
//! settings, vectors with their paths, times, expiry, index paths, extensions, and which texts are embedded.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Numbers, at, command, fails, succeeds, text};
use vecmem::{IterateQuery, Metric, Namespace, Options, Put, ReadOptions, Scope, Store, StoredItem, Version};

const MODEL: &str = "toy-1";

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn stored(store: &Store) -> Vec<StoredItem> {
    let options = ReadOptions { include_vectors: true, ..ReadOptions::default() };
    store.iterate_stored(&IterateQuery::new(Scope::Store).limit(1_000_000).options(options), None).unwrap().items
}

/// Everything that a copy must have, as text. Versions are of one copy.
fn dump(directory: &str) -> String {
    let store = Store::open(directory, Options::new().create(false)).unwrap();
    let mut text = format!("{:?} {:?}\n", store.vector_space(), store.settings().unwrap());
    for mut stored in stored(&store) {
        let known: Vec<bool> = (0..stored.item.vectors.len()).map(|vector| stored.has_text(vector)).collect();
        stored.item.version = Version::from_u64(0);
        let (item, paths, extensions) = (&stored.item, &stored.index_paths, &stored.extensions);
        writeln!(text, "{item:?} {paths:?} {extensions:?} {known:?}").unwrap();
    }
    store.close().unwrap();
    text
}

fn vector(numbers: &mut Numbers, dims: usize) -> Vec<f32> {
    let number = |numbers: &mut Numbers| (numbers.next() % 2_000_001) as f32 / 1e6 - 1.0;
    (0..dims).map(|_| number(numbers)).collect()
}

/// An item with a random choice of everything that an item may have.
fn random_put(numbers: &mut Numbers, dims: Option<usize>, far: i64) -> Put {
    const LABELS: [&str; 5] = ["users", "a/b", "é", "\u{1}", "x"];
    const TEXTS: [&str; 4] = ["tea", "a \"quoted\"\nline", "ünï\u{2028}", ""];
    let pick = |numbers: &mut Numbers, count: usize| numbers.next() as usize % count;
    let labels: Vec<&str> = (0..=pick(numbers, 3)).map(|_| LABELS[pick(numbers, 5)]).collect();
    let (one, two) = (TEXTS[pick(numbers, 4)], TEXTS[pick(numbers, 4)]);
    let value = serde_json::json!({"text": one, "notes": [two, {"n": 1.5}], "big": u64::MAX});
    let value = match pick(numbers, 4) {
        0 => serde_json::to_string_pretty(&value).unwrap(),
        1 => format!(" {value}\t"),
        2 => format!(r#"{{"digits":12345678901234567890123456789.10,"esc":"\u00e9",{}"#, &value.to_string()[1..]),
        _ => value.to_string(),
    };
    let mut put = Put::new(&Namespace::new(labels).unwrap(), format!("k{}\n", pick(numbers, 40)), value);
    if let Some(dims) = dims {
        match pick(numbers, 4) {
            0 => {}
            1 => put = put.vector(vector(numbers, dims)),
            2 => {
                put = put.field_vector("text", vector(numbers, dims)).field_vector("notes[*].0", vector(numbers, dims));
                put = put.embedded(MODEL, [one, two]).index_paths(["text", "notes[*]"]);
            }
            _ => put = put.vector(vector(numbers, dims)).embedded(MODEL, [one]),
        }
    }
    match pick(numbers, 5) {
        0 => put = put.ttl(Duration::from_micros(1 + numbers.next() % 10_000_000_000_000_000)).expires_at(far),
        1 => put = put.expires_at(far + pick(numbers, 1_000) as i64),
        2 => put = put.ttl(Duration::MAX),
        3 => put = put.ttl(Duration::from_secs(3)).expires_at(i64::MAX),
        _ => {}
    }
    if pick(numbers, 3) == 0 {
        put = put
            .created_at(-5 + pick(numbers, 10) as i64)
            .updated_at(1_700_000_000_000_000 + numbers.next() as i64 % 1_000);
    }
    if pick(numbers, 6) == 0 {
        put = put.extension(1, false, "context é".as_bytes()).extension(900, false, &[0, 255, 7]);
    }
    put
}

fn random_store(directory: &str, seed: u64) {
    let mut numbers = Numbers::new(seed);
    let metrics = [None, Some(Metric::Cosine), Some(Metric::Dot), Some(Metric::L2)];
    let metric = metrics[seed as usize % 4];
    let dims = metric.map(|_| 1 + numbers.next() as usize % 9);
    let options = metric.zip(dims).map_or_else(Options::new, |(metric, dims)| Options::with_vectors(dims, metric));
    let store = Store::open(directory, options).unwrap();
    store.set_setting("embedding_models", Some("[\"other\", \"toy-1\"]")).unwrap();
    store.set_setting("index_rules", Some("[\n  {\"index\": false}\n]")).unwrap();
    let far = now() + 3_600_000_000 * 24 * 365;
    for _ in 0..120 {
        store.put(random_put(&mut numbers, dims, far)).unwrap();
    }
    store.close().unwrap();
}

/// Exports and imports, by files or by a pipe; what the two printed as JSON.
fn copy(from: &str, to: &str, work: &Path, has_vectors: bool, way: usize) -> [serde_json::Value; 2] {
    let (lines, matrix) = (at(work, &format!("{way}.jsonl{}", [".gz", ""][way % 2])), at(work, "matrix.npy"));
    let mut arguments = [vec!["--json", "export", from, &lines], vec!["--json", "import", to, &lines]];
    if way > 1 && has_vectors {
        arguments.iter_mut().for_each(|arguments| arguments.extend(["--vectors", &matrix]));
    }
    arguments.map(|arguments| serde_json::from_str(&succeeds(&arguments)).unwrap())
}

#[test]
fn random_stores_come_back_equal() {
    for seed in 0..8 {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (at(directory.path(), "from"), at(directory.path(), "to"));
        random_store(&from, seed);
        let before = dump(&from);
        let [exported, imported] = copy(&from, &to, directory.path(), seed % 4 != 0, seed as usize % 4);
        for (number, (a, b)) in before.lines().zip(dump(&to).lines()).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {number}");
        }
        assert_eq!(dump(&to), before, "seed {seed}");
        assert_eq!(exported["items"], imported["imported"], "seed {seed}");
        assert_eq!((&exported["unknown_texts"], &imported["unknown_texts"]), (&0.into(), &0.into()), "seed {seed}");
        assert_eq!(dump(&from), before, "seed {seed}: an export changes nothing");
    }
}

#[test]
fn a_text_that_was_embedded_is_known_to_the_copy_and_the_secret_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to, lines) = (at(directory.path(), "from"), at(directory.path(), "to"), at(directory.path(), "lines"));
    let store = Store::open(&from, Options::with_vectors(2, Metric::Dot)).unwrap();
    let home = Namespace::new(["a"]).unwrap();
    let put = |key: &str, model: &str, text: &str| {
        Put::new(&home, key, r#"{"text":"tea","more":{"x":"cat"}}"#).vector([1.0, 2.0]).embedded(model, [text])
    };
    for (key, model, text) in [
        ("field", MODEL, "tea"),
        ("whole", MODEL, r#"{"more": {"x": "cat"}, "text": "tea"}"#),
        ("elsewhere", MODEL, "no text of the value"),
        ("model", "unnamed", "tea"),
    ] {
        store.put(put(key, model, text)).unwrap();
    }
    store.close().unwrap();

    // Nothing names the model: nothing is found, and both say so.
    let export = command(&["export", &from, &lines]).output().unwrap();
    assert!(text(&export.stderr).contains("the texts of 4 vectors are not found"), "{}", text(&export.stderr));
    let exported = command(&["export", &from, &lines, "--model", "none", "--model", MODEL]).output().unwrap();
    assert!(text(&exported.stderr).contains("the texts of 2 vectors are not found"), "{}", text(&exported.stderr));
    assert!(!fs::read_to_string(&lines).unwrap().contains("no text of the value"), "only hashes are kept");
    assert!(succeeds(&["import", &to, &lines]).contains("the texts of 2 vectors are not known"));

    let store = Store::open(&to, Options::new()).unwrap();
    let known: Vec<(String, bool)> =
        stored(&store).iter().map(|stored| (stored.item.key.clone(), stored.has_text(0))).collect();
    let wanted = [("elsewhere", false), ("field", true), ("model", false), ("whole", true)];
    assert_eq!(known, wanted.map(|(key, known)| (key.to_owned(), known)));
    let found = store.known_embeddings(MODEL, &["tea", "no text of the value"]).unwrap();
    assert_eq!(found, [Some(vec![1.0, 2.0]), None]);
}

#[test]
fn expired_items_are_counted_and_left_out_on_both_ways() {
    let directory = tempfile::tempdir().unwrap();
    let (from, to, lines) = (at(directory.path(), "from"), at(directory.path(), "to"), at(directory.path(), "lines"));
    let store = Store::open(&from, Options::new().sweep_every(None)).unwrap();
    let home = Namespace::new(["a"]).unwrap();
    let later = now() + 3_600_000_000;
    store.put(Put::new(&home, "gone", "{}").expires_at(5)).unwrap();
    store.put(Put::new(&home, "stays", "{}").ttl(Duration::from_secs(60)).expires_at(later)).unwrap();
    store.close().unwrap();
    let export = command(&["export", &from, &lines]).output().unwrap();
    assert_eq!(text(&export.stderr), "not exported: 1 expired item\n");
    let line = fs::read_to_string(&lines).unwrap();
    assert!(line.contains(&format!("\"expires_at\":{later}")) && !line.contains("gone"), "{line}");

    // The same file on a later day: its item has expired.
    fs::write(
        &lines,
        line.replace(&later.to_string(), "1700000000000000") + "{\"namespace\":[\"a\"],\"key\":\"k\",\"value\":{}}\n",
    )
    .unwrap();
    let report: serde_json::Value = serde_json::from_str(&succeeds(&["--json", "import", &to, &lines])).unwrap();
    assert_eq!((&report["imported"], &report["expired"]), (&1.into(), &1.into()), "{report}");
    assert!(succeeds(&["import", &to, &lines, "--restart"]).contains("1 expired item left out"));
    assert_eq!(succeeds(&["--json", "ls", &to]).lines().count(), 1);
}

#[test]
fn a_store_with_other_settings_is_named_unless_one_of_the_two_is_to_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| at(directory.path(), name);
    let store = |name: &str, metric, rules: Option<&str>| {
        let store = Store::open(path(name), Options::with_vectors(2, metric)).unwrap();
        store.set_setting("rules", rules).unwrap();
        store.put(Put::new(&Namespace::new(["a"]).unwrap(), name, "{}").vector([1.0, 2.0])).unwrap();
        store.close().unwrap();
    };
    store("from", Metric::Dot, Some("[1]"));
    store("rules", Metric::Dot, Some("[2]"));
    store("none", Metric::Dot, None);
    store("metric", Metric::L2, Some("[1]"));
    let lines = path("lines");
    succeeds(&["export", &path("from"), &lines]);
    let refused = |name: &str, more: &[&str]| {
        let before = dump(&path(name));
        let message = fails(&[&["import", &path(name), &lines], more].concat());
        assert_eq!(dump(&path(name)), before, "nothing has changed");
        message
    };
    assert!(refused("rules", &[]).contains("rules differs: [2] in "));
    assert!(refused("none", &[]).contains("rules differs: none in "));
    assert!(refused("metric", &[]).contains("metric differs: l2 in "));
    assert!(refused("metric", &["--keep-settings", "file"]).contains("import into another directory"));
    assert!(fails(&["import", &path("new"), &lines, "--metric", "cosine"]).contains("metric differs: cosine in "));
    assert!(fails(&["import", &path("new"), &lines, "--dims", "3"]).contains("dims differs: 3 in "));
    succeeds(&["import", &path("metric"), &lines, "--keep-settings", "store"]);
    succeeds(&["import", &path("rules"), &lines, "--keep-settings", "store"]);
    assert!(dump(&path("rules")).contains("[2]"));
    succeeds(&["import", &path("none"), &lines, "--keep-settings", "file"]);
    assert!(dump(&path("none")).contains("[1]"));
    // A store without items takes the settings, and the vectors, of the file.
    succeeds(&["create", &path("empty")]);
    succeeds(&["import", &path("empty"), &lines]);
    assert_eq!(dump(&path("empty")), dump(&path("from")));
}

#[test]
fn bad_lines_are_numbered_as_in_the_file_and_older_exports_have_no_header() {
    let directory = tempfile::tempdir().unwrap();
    let (lines, to) = (at(directory.path(), "lines"), at(directory.path(), "to"));
    let header = r#"{"vecmem_export":1,"dims":2,"metric":"dot","settings":{}}"#;
    let line =
        r#"{"namespace":["a"],"key":"k","value":{},"vector":[1,2],"ttl_seconds":60,"created_at":5,"updated_at":6}"#;
    fs::write(&lines, format!("{header}\n{line}\n{{\"namespace\":[\"a\"]}}\n")).unwrap();
    let message = fails(&["import", &to, &lines]);
    assert!(message.contains("line 3, column 19: missing field `key`"), "{message}");
    fs::write(&lines, format!("{line}\n{header}\n")).unwrap();
    let message = fails(&["import", &at(directory.path(), "middle"), &lines]);
    assert!(message.contains("line 2, column 16: unknown field `vecmem_export`"), "{message}");
    fs::write(&lines, header.replace("_export\":1", "_export\":7")).unwrap();
    assert!(
        fails(&["import", &at(directory.path(), "later"), &lines])
            .contains("line 1, column 1: the file has export format 7")
    );
    fs::write(&lines, format!("{line}\n")).unwrap();
    let older = at(directory.path(), "older");
    assert!(succeeds(&["import", &older, &lines]).starts_with("imported 1 item"));
    let store = Store::open(&older, Options::new()).unwrap();
    let item = store.get(&Namespace::new(["a"]).unwrap(), "k").unwrap().unwrap();
    assert!(item.expires_at.unwrap() > now(), "a time to live without an expiry counts from the import");
}
