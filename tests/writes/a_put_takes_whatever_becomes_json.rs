//! A put takes JSON as text, a tree of `serde_json`, or any type that `serde` writes; each has vectors, time to live
//! and condition.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{START, namespace, simulated, tiny};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use vecmem::{Batch, Condition, ErrorKind, ImportOptions, Metric, Put};

const HOUR: Duration = Duration::from_secs(3_600);

#[derive(Serialize)]
struct Fact {
    text: &'static str,
    weight: f64,
}

const FACT: Fact = Fact { text: "likes \"tea\"", weight: 0.25 };

/// What `serde` cannot write.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("a lock is poisoned"))
    }
}

#[test]
fn every_form_has_a_time_to_live_a_vector_and_a_condition() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["home"]);
    let tree = json!({"text": "likes \"tea\"", "weight": 0.25});
    let text = tree.to_string();
    let map = tree.as_object().unwrap().clone();
    let members: BTreeMap<&str, Value> = map.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let puts = [
        Put::new(&home, "0", text.as_str()),
        Put::new(&home, "1", text.clone()),
        Put::new(&home, "2", &text),
        Put::new(&home, "3", text.clone().into_boxed_str()),
        Put::new(&home, "4", Cow::Borrowed(text.as_str())),
        Put::new(&home, "5", &tree),
        Put::new(&home, "6", tree.clone()),
        Put::new(&home, "7", map.clone()),
        Put::of(&home, "8", &FACT).unwrap(),
        Put::of(&home, "9", &members).unwrap(),
        Put::of(&home, "10", &tree).unwrap(),
    ];
    let count = puts.len();
    for (key, put) in puts.into_iter().enumerate() {
        let put = put.vector([1.0, key as f32]).ttl(HOUR).condition(Condition::IfAbsent);
        store.put(put.clone()).unwrap();
        assert_eq!(store.put(put).unwrap_err().kind(), ErrorKind::ConditionFailed, "{key}");
    }
    for key in 0..count {
        let item = store.get(&home, &key.to_string()).unwrap().unwrap();
        assert_eq!(item.value_as::<Value>().unwrap(), tree, "{key}");
        assert_eq!(item.time_to_live(), Some(HOUR), "{key}");
        assert!(item.expires_at > Some(START), "{key}");
    }
}

#[test]
fn text_stays_byte_for_byte() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["home"]);
    let text = "{ \"b\" : 1.50,\t\"a\":[ 1e2 ] }";
    store.put(Put::new(&home, "as given", text)).unwrap();
    assert_eq!(&*store.get(&home, "as given").unwrap().unwrap().value, text);
}

#[test]
fn what_is_no_object_is_refused_and_what_cannot_be_written_never_becomes_a_put() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["home"]);
    for put in [
        Put::of(&home, "text", "plain").unwrap(),
        Put::of(&home, "list", &[1, 2]).unwrap(),
        Put::new(&home, "null", Value::Null),
    ] {
        assert_eq!(store.put(put).unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    let error = Put::of(&home, "key", &Unwritable).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("\"key\" in home") && error.to_string().contains("poisoned"), "{error}");
    assert_eq!(store.count(&vecmem::Scope::Store, &vecmem::ReadOptions::default()).unwrap(), 0);
}

#[test]
fn batches_and_imports_take_typed_puts() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["home"]);
    let mut batch = Batch::new();
    batch.put(Put::of(&home, "batch", &FACT).unwrap());
    store.batch(batch).unwrap();
    // `Put::of` has the type of an import's items.
    let report = store.import([Put::of(&home, "import", &FACT)], ImportOptions::new()).unwrap();
    assert_eq!(report.imported, 1);
    for key in ["batch", "import"] {
        assert_eq!(&*store.get(&home, key).unwrap().unwrap().value, r#"{"text":"likes \"tea\"","weight":0.25}"#);
    }
}
