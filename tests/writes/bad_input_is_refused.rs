//! Every bad input gives a typed error that names the thing and says what to do, and leaves the store as it was.

use std::time::Duration;

use crate::common::{assert_unchanged, namespace, numbered, reopened, simulated, tiny, tiny_without_vectors};
use vecmem::testing::Loss;
use vecmem::{
    Batch, Error, ErrorKind, Filter, IterateQuery, LabelPattern, Limit, Metric, Namespace, NamespaceQuery, Options,
    Put, Query, ReadOptions, Result, Scope, Store, limits,
};

const INVALID: ErrorKind = ErrorKind::InvalidInput;

/// A call that must fail: what it is about, what it gives, the error's kind, and a part of its message.
type Case = (&'static str, Option<Error>, ErrorKind, &'static str);

fn case<T>(about: &'static str, outcome: Result<T>, kind: ErrorKind, says: &'static str) -> Case {
    (about, outcome.err(), kind, says)
}

fn assert_refused(cases: impl IntoIterator<Item = Case>) {
    for (about, error, kind, says) in cases {
        let error = error.unwrap_or_else(|| panic!("{about}: accepted"));
        assert_eq!(error.kind(), kind, "{about}: {error}");
        let text = error.to_string();
        assert!(text.contains(says), "{about}: {text:?} does not say {says:?}");
        assert!(text.len() < 1_000, "{about}: the message quotes too much");
    }
}

/// A store with something in every kind of part.
fn filled() -> (Store, String) {
    let (store, _, _) = simulated(tiny(3, Metric::Cosine));
    for number in 0..40 {
        store.put(numbered(&namespace(["a"]), number.to_string(), number).vector([1.0, 2.0, number as f32])).unwrap();
    }
    let dump = store.text_dump().unwrap();
    (store, dump)
}

#[test]
fn vectors() {
    let (store, dump) = filled();
    let home = namespace(["a"]);
    let put = |vector: &[f32]| store.put(numbered(&home, "k", 1).vector(vector));
    let ask = |vector: &[f32]| store.search(&Query::new(&home).vector(vector));
    let many = (0..=limits::VECTORS_PER_ITEM).fold(numbered(&home, "k", 1), |put, _| put.vector([1.0, 0.0, 0.0]));
    let long_path = numbered(&home, "k", 1).field_vector(&"p".repeat(limits::LABEL_BYTES + 1), [1.0, 0.0, 0.0]);
    assert_refused([
        case("too short", put(&[1.0, 2.0]), INVALID, "2 dimensions"),
        case("too long", put(&[1.0; 4]), INVALID, "have 3"),
        case("empty", put(&[]), INVALID, "0 dimensions"),
        case("NaN", put(&[0.0, f32::NAN, 0.0]), INVALID, "element 1"),
        case("infinity", put(&[0.0, 0.0, f32::INFINITY]), INVALID, "finite"),
        case("minus infinity", put(&[f32::NEG_INFINITY, 0.0, 0.0]), INVALID, "element 0"),
        case("huge", put(&[1e19, 0.0, 0.0]), INVALID, "1e37"),
        case("query too short", ask(&[1.0]), INVALID, "1 dimension,"),
        case("query NaN", ask(&[f32::NAN; 3]), INVALID, "the query"),
        case("query huge", ask(&[f32::MAX; 3]), INVALID, "1e37"),
        case("many", store.put(many), ErrorKind::Limit(Limit::VectorsPerItem), "4096"),
        case("path", store.put(long_path), ErrorKind::Limit(Limit::LabelBytes), "field path"),
    ]);
    assert_unchanged(&store, &dump);
    put(&[3.1e18, 0.0, 0.0]).unwrap();
    put(&[f32::MIN_POSITIVE / 2.0, -0.0, 0.0]).unwrap();
    assert_eq!(ask(&[f32::MIN_POSITIVE, 0.0, 0.0]).unwrap().len(), 10, "small and zero vectors are legal");

    let (plain, _, _) = simulated(tiny_without_vectors());
    assert_refused([
        case("no space", plain.put(numbered(&home, "k", 1).vector([1.0])), INVALID, "no vector space"),
        case("no space to search", plain.search(&Query::new(&home).vector([1.0])), INVALID, "no vector space"),
        case("no dimensions", Store::temporary(Options::with_vectors(0, Metric::Dot)), INVALID, "dimension"),
        case(
            "dimensions",
            Store::temporary(Options::with_vectors(limits::DIMENSIONS + 1, Metric::Dot)),
            ErrorKind::Limit(Limit::Dimensions),
            "16384",
        ),
    ]);
}

#[test]
fn names() {
    let (store, dump) = filled();
    let labels = |count: usize| Namespace::new(vec!["l"; count]);
    let long = |length: usize| "x".repeat(length);
    let home = namespace(["a"]);
    let key = long(limits::KEY_BYTES + 1);
    let mut batch = Batch::new();
    batch.put(numbered(&home, "fine", 1)).delete(&home, &key);
    assert_refused([
        case("no label", labels(0), INVALID, "at least one label"),
        case("an empty label", Namespace::new(["a", ""]), INVALID, "label 2"),
        case(
            "a long label",
            Namespace::new([long(limits::LABEL_BYTES + 1)]),
            ErrorKind::Limit(Limit::LabelBytes),
            "4096",
        ),
        case("many labels", labels(limits::LABELS + 1), ErrorKind::Limit(Limit::Labels), "64"),
        case("nothing to parse", "".parse::<Namespace>(), INVALID, "empty"),
        case("two slashes", "a//b".parse::<Namespace>(), INVALID, "label 2"),
        case("not an array", "[\"a\"".parse::<Namespace>(), INVALID, "JSON array"),
        case("not strings", "[1]".parse::<Namespace>(), INVALID, "strings"),
        case("no prefix", Scope::prefix::<&str>([]), INVALID, "ask for the whole store"),
        case("a long key", store.put(numbered(&home, key.clone(), 1)), ErrorKind::Limit(Limit::KeyBytes), "1048576"),
        case("a long key to delete", store.delete(&home, &key), ErrorKind::Limit(Limit::KeyBytes), "key"),
        case("a long key in a batch", store.batch(batch), ErrorKind::Limit(Limit::KeyBytes), "key"),
        case("every item", store.delete_range(&Scope::Store), INVALID, "delete_everything"),
    ]);
    assert_unchanged(&store, &dump);
    assert_eq!(store.get(&home, &key).unwrap(), None, "asking for what cannot be there is no error");
    let widest = Namespace::new(vec![long(limits::LABEL_BYTES); limits::LABELS]).unwrap();
    store.put(numbered(&widest, long(limits::KEY_BYTES), 7)).unwrap();
    store.compact().unwrap();
    assert!(store.get(&widest, &long(limits::KEY_BYTES)).unwrap().is_some(), "the limits themselves are allowed");
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}

#[test]
fn values() {
    let (store, dump) = filled();
    let home = namespace(["a"]);
    let put = |json: &str| store.put(Put::new(&home, "k", json));
    let nested = |depth: usize| format!("{}0{}", "{\"a\":".repeat(depth), "}".repeat(depth));
    let big = format!("{{\"text\":\"{}\"}}", "x".repeat(limits::VALUE_BYTES));
    for json in
        ["", " ", "null", "1", "\"text\"", "[]", "[{}]", "{", "{}}", "{} x", "{'a':1}", "{\"a\":}", "{\"a\":1,}"]
    {
        assert_refused([case("not an object", put(json), INVALID, "value")]);
    }
    for json in
        ["01", "+1", "1.", ".5", "NaN", "Infinity", "tru", "\"\\x\"", "\"\\ud800\"", "\"\u{1}\"", "\"a", "[1 2]"]
    {
        assert_refused([case("malformed", put(&format!("{{\"field\":{json}}}")), INVALID, "the value")]);
    }
    assert_refused([
        case("twice", put("{\"a\":1,\"b\":2,\"a\":3}"), INVALID, "a"),
        case("twice, escaped", put("{\"a\":{\"b\":1,\"\\u0062\":2}}"), INVALID, "b"),
        case("deep", put(&nested(limits::DEPTH + 1)), ErrorKind::Limit(Limit::Depth), "128"),
        case("deep arrays", put(&format!("{{\"a\":{}", "[".repeat(1_000_000))), ErrorKind::Limit(Limit::Depth), "128"),
        case("big", put(&big), ErrorKind::Limit(Limit::ValueBytes), "67108864"),
        case("no time to live", store.put(numbered(&home, "k", 1).ttl(Duration::ZERO)), INVALID, "time to live"),
    ]);
    assert_unchanged(&store, &dump);
    put(&nested(limits::DEPTH)).unwrap();
    put("{\"\":1e400,\"-\":-0,\"big\":123456789012345678901234567890}").unwrap();
    store.put(numbered(&home, "for ever", 1).ttl(Duration::MAX)).unwrap();
    assert!(store.get(&home, "for ever").unwrap().is_some());
}

#[test]
fn filters_and_queries() {
    let (store, dump) = filled();
    let home = namespace(["a"]);
    let parse = Filter::from_json_str;
    let nodes = format!("{{\"$or\":[{}]}}", vec!["{\"a\":1}"; limits::FILTER_NODES].join(","));
    let deep = format!("{}{{}}{}", "{\"$not\":".repeat(100_000), "}".repeat(100_000));
    let built = (0..limits::FILTER_NODES).fold(Filter::eq("a", 1), |filter, _| filter.or(Filter::eq("a", 1)));
    let query = || Query::new(&home).vector([1.0, 0.0, 0.0]);
    let snapshot = store.snapshot().unwrap();
    let deadline = ReadOptions { deadline: Some(Duration::ZERO), ..ReadOptions::default() };
    assert_refused([
        case("operator", parse("{\"a\":{\"$like\":1}}"), INVALID, "$like"),
        case("operator at the root", parse("{\"$nor\":[]}"), INVALID, "$nor"),
        case("operand", parse("{\"$and\":{}}"), INVALID, "$and"),
        case("list", parse("{\"a\":{\"$in\":1}}"), INVALID, "$in"),
        case("flag", parse("{\"a\":{\"$exists\":1}}"), INVALID, "$exists"),
        case("not an object", parse("[1]"), INVALID, "object"),
        case("not JSON", parse("{\"a\":"), INVALID, "filter"),
        case("nodes", parse(&nodes), ErrorKind::Limit(Limit::FilterNodes), "1024"),
        case("depth", parse(&deep), ErrorKind::Limit(Limit::Depth), "128"),
        case("built", store.search(&query().filter(built)), ErrorKind::Limit(Limit::FilterNodes), "1024"),
        case("min_score", store.search(&query().min_score(f32::NAN)), INVALID, "min_score"),
        case("min_score alone", store.search(&Query::new(&home).min_score(0.5)), INVALID, "needs a vector"),
        case("min_score in a list", store.list(&Query::new(&home).min_score(0.5)), INVALID, "needs a vector"),
        case("min_score in pages", snapshot.listing(Query::new(&home).min_score(0.5)), INVALID, "min_score"),
        case("vector in a list", store.list(&query()), INVALID, "search"),
        case("like nothing", store.search_by_item(&home, "none", Query::new(&home)), INVALID, "none"),
        case("deadline", store.search(&query().options(deadline)), ErrorKind::DeadlineExceeded, "deadline"),
    ]);
    assert_unchanged(&store, &dump);
}

#[test]
fn absurd_limits_allocate_nothing() {
    let (store, dump) = filled();
    let most = usize::MAX;
    let home = namespace(["a"]);
    for (limit, offset, found) in [(most, 0, 40), (most, most, 0), (1, most, 0), (most, 39, 1), (most, 41, 0)] {
        let query = Query::new(&home).limit(limit).offset(offset).include_unscored(true);
        assert_eq!(store.list(&query).unwrap().len(), found);
        assert_eq!(store.search(&query.clone().vector([1.0, 0.0, 0.0])).unwrap().len(), found);
        assert_eq!(store.search_by_item(&home, "1", query).unwrap().len(), found.saturating_sub(1));
        let names = NamespaceQuery { limit, offset, max_depth: Some(most), ..NamespaceQuery::default() };
        assert_eq!(store.list_namespaces(&names).unwrap().len(), usize::from(offset == 0));
    }
    assert_eq!(store.iterate(&IterateQuery::new(&home).limit(most), None).unwrap().items.len(), 40);
    let endless = vec![LabelPattern::Any; 1_000];
    let names = NamespaceQuery { prefix: endless.clone(), suffix: endless, ..NamespaceQuery::default() };
    assert_eq!(store.list_namespaces(&names).unwrap().len(), 0);
    let odd = vec![LabelPattern::Label("x".repeat(1 << 20)), LabelPattern::Label(String::new())];
    let names = NamespaceQuery { prefix: odd, ..NamespaceQuery::default() };
    assert_eq!(store.list_namespaces(&names).unwrap().len(), 0);
    assert_unchanged(&store, &dump);
}

#[test]
fn batches() {
    let (store, dump) = filled();
    let home = namespace(["a"]);
    let mut batch = Batch::new();
    for _ in 0..=limits::BATCH_OPERATIONS {
        batch.delete(&home, "0");
    }
    assert_refused([case("operations", store.batch(batch), ErrorKind::Limit(Limit::BatchOperations), "1000000")]);
    assert_unchanged(&store, &dump);
}

#[test]
fn a_full_disk() {
    let (store, storage, clock) = simulated(tiny(3, Metric::Cosine));
    let home = namespace(["a"]);
    let put = |number: u64| store.put(numbered(&home, number.to_string(), number).vector([1.0, 2.0, 3.0]));
    (0..60).for_each(|number| assert!(put(number).is_ok()));
    storage.set_capacity(storage.used_bytes());
    let refused = (60..10_000).find_map(|number| put(number).err()).unwrap();
    assert_refused([case("full", Err::<(), _>(refused), ErrorKind::DiskFull, "free some space")]);
    let dump = store.text_dump().unwrap();
    for number in 20_000..20_010 {
        assert_refused([case("still full", put(number), ErrorKind::DiskFull, "wal-")]);
        assert_unchanged(&store, &dump);
    }
    assert_eq!(store.search(&Query::new(&home).vector([1.0, 0.0, 0.0])).unwrap().len(), 10, "reads go on");
    let survivor = reopened(&storage.crash(Loss::AllUnsynced, 0), &clock, tiny(3, Metric::Cosine));
    assert_unchanged(&survivor, &dump);

    storage.set_capacity(u64::MAX);
    put(30_000).unwrap();
    (30_000..30_100).for_each(|number| assert!(put(number).is_ok()));
    store.compact().unwrap();
    assert_eq!(store.stats().unwrap().health.background_error, None);
    assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
}
