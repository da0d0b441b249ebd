//! Answers, hits and items can be written by `serde`: the value is the object that it is, not text in text.

use crate::common::{namespace, simulated, tiny};
use serde_json::{Value, json};
use vecmem::{Metric, Put, Query, ReadOptions};

#[test]
fn an_answer_holds_all_of_its_fields() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["users", "a/b"]);
    let put = Put::new(&home, "k", r#"{"text": "tea", "n": [1, 2.5, null, true, {"deep": {}}]}"#).vector([1.0, 2.0]);
    let version = store.put(put.expires_at(1_800_000_000_000_000)).unwrap();
    let options = ReadOptions { include_vectors: true, ..ReadOptions::default() };
    let answer = store.search(&Query::new(&home).vector([1.0, 0.0]).explain(true).options(options)).unwrap();
    let item = &answer[0].item;
    let expected = json!({
        "namespace": ["users", "a/b"],
        "key": "k",
        "value": {"text": "tea", "n": [1, 2.5, null, true, {"deep": {}}]},
        "created_at": item.created_at,
        "updated_at": item.updated_at,
        "ttl": null,
        "expires_at": 1_800_000_000_000_000_i64,
        "version": version.to_u64(),
        "vectors": [{"path": "", "values": [1.0, 2.0]}],
    });
    assert_eq!(serde_json::to_value(item).unwrap(), expected);
    assert_eq!(serde_json::to_value(&answer[0]).unwrap(), json!({"score": 1.0, "item": expected}));
    let written: Value = serde_json::from_str(&serde_json::to_string(&answer).unwrap()).unwrap();
    assert_eq!(written["hits"], json!([{"score": 1.0, "item": expected}]));
    assert_eq!((&written["incomplete"], &written["explain"][0]["rows"]), (&json!(false), &json!(1)));
}

#[test]
fn values_keep_the_order_of_keys_and_all_digits() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["home"]);
    let rows = [
        (r#"{"z":1,"a":{"y":2,"b":3}}"#, r#"{"z":1,"a":{"y":2,"b":3}}"#),
        (
            r#"{"n":[-9223372036854775808,18446744073709551615]}"#,
            r#"{"n":[-9223372036854775808,18446744073709551615]}"#,
        ),
        (r#"{"n":[0.1,1e300,-0.0,5e-324]}"#, r#"{"n":[0.1,1e+300,-0.0,5e-324]}"#),
        (r#"{"n":[18446744073709551616,1E2]}"#, r#"{"n":[1.8446744073709552e+19,100.0]}"#),
        ("{ \"\\u00e9\\n\" : \"\\ud83c\\udf75 \\\"\" }", "{\"é\\n\":\"\u{1F375} \\\"\"}"),
        ("{}", "{}"),
        (r#"{"e":[],"o":{},"s":""}"#, r#"{"e":[],"o":{},"s":""}"#),
    ];
    for (number, (given, written)) in rows.into_iter().enumerate() {
        store.put(Put::new(&home, number.to_string(), given)).unwrap();
        let item = store.get(&home, &number.to_string()).unwrap().unwrap();
        assert_eq!(&*item.value, given);
        let text = serde_json::to_string(&item).unwrap();
        assert!(text.contains(&format!("\"value\":{written},")), "{text}");
    }
}

#[test]
fn a_value_of_all_levels_is_written() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["home"]);
    let deep = format!("{}{{}}{}", "{\"a\":".repeat(100), "}".repeat(100));
    store.put(Put::new(&home, "deep", deep.as_str())).unwrap();
    let item = store.get(&home, "deep").unwrap().unwrap();
    assert!(serde_json::to_string(&item).unwrap().contains(&deep));
}
