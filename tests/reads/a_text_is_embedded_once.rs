//! A store that was told which texts an item's vectors embed knows these embeddings for as long as that version of the
//! item lives, and no longer: whether it is replaced, deleted, range-deleted or expires; through merges, imports and
//! reopening.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{Random, namespace, numbered, reopened, simulated, tiny};
use vecmem::testing::{SimClock, SimStorage};
use vecmem::{Batch, Condition, ErrorKind, ImportOptions, Metric, Namespace, Options, Put, Scope, Store, Tuning};

const MODEL: &str = "model-1";
const HOUR: Duration = Duration::from_secs(3_600);

fn put(namespace: &Namespace, key: &str, text: &str, vector: [f32; 2]) -> Put {
    Put::new(namespace, key, "{}").vector(vector).embedded(MODEL, [text])
}

fn known(store: &Store, text: &str) -> Option<Vec<f32>> {
    store.known_embeddings(MODEL, &[text]).unwrap().remove(0)
}

fn options() -> Options {
    tiny(2, Metric::Cosine)
}

/// A store whose item `k` of `("a", "b")` embeds "tea", sealed or not; another embeds "cat".
fn with_tea(is_sealed: bool) -> (Store, SimStorage, SimClock, Namespace) {
    let (store, storage, clock) = simulated(options());
    let home = namespace(["a", "b"]);
    store.put(put(&home, "k", "tea", [0.1, -0.0]).ttl(10 * HOUR)).unwrap();
    store.put(put(&namespace(["z"]), "other", "cat", [0.5, 0.25])).unwrap();
    if is_sealed {
        store.compact().unwrap();
    }
    (store, storage, clock, home)
}

#[test]
fn a_text_is_known_while_its_item_lives() {
    for is_sealed in [false, true] {
        let (store, storage, clock, _) = with_tea(is_sealed);
        let bits = |vector: Option<Vec<f32>>| vector.unwrap().iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let check = |store: &Store| {
            assert_eq!(bits(known(store, "tea")), [0.1_f32.to_bits(), (-0.0_f32).to_bits()], "bit for bit");
            let all = store.known_embeddings(MODEL, &["none", "cat", "tea", "cat", ""]).unwrap();
            let found: Vec<bool> = all.iter().map(Option::is_some).collect();
            assert_eq!(found, [false, true, true, true, false], "in the order asked");
            assert_eq!(store.known_embeddings("model-2", &["tea"]).unwrap(), [None], "of another model");
            assert_eq!(store.known_embeddings("model-", &["1tea"]).unwrap(), [None]);
        };
        check(&store);
        store.close().unwrap();
        let store = reopened(&storage, &clock, options());
        check(&store);
        store.compact().unwrap();
        check(&store);
        clock.advance(10 * HOUR);
        assert_eq!(known(&store, "tea"), None, "expired");
        assert!(known(&store, "cat").is_some());
    }
}

#[test]
fn what_ends_the_item_ends_the_embedding() {
    type End = fn(&Store, &Namespace);
    let ends: [(&str, End); 7] = [
        ("delete", |store, home| assert!(store.delete(home, "k").unwrap())),
        ("range delete", |store, home| store.delete_range(&Scope::from(home)).unwrap()),
        ("range delete of a prefix", |store, _| store.delete_range(&Scope::prefix(["a"]).unwrap()).unwrap()),
        ("delete everything", |store, _| store.delete_everything().unwrap()),
        ("replaced by another text", |store, home| {
            store.put(put(home, "k", "coffee", [1.0, 1.0])).unwrap();
        }),
        ("replaced by who does not say", |store, home| {
            store.put(Put::new(home, "k", "{}").vector([0.1, -0.0])).unwrap();
        }),
        ("replaced without a vector", |store, home| {
            store.put(Put::new(home, "k", "{}")).unwrap();
        }),
    ];
    for (name, end) in ends {
        for is_sealed in [false, true] {
            let (store, storage, clock, home) = with_tea(is_sealed);
            assert!(known(&store, "tea").is_some());
            end(&store, &home);
            assert_eq!(known(&store, "tea"), None, "{name}");
            drop(store);
            let store = reopened(&storage, &clock, options());
            assert_eq!(known(&store, "tea"), None, "{name}, reopened");
            store.compact().unwrap();
            assert_eq!(known(&store, "tea"), None, "{name}, compacted");
            assert_eq!(store.check(false).unwrap().problems, Vec::<String>::new());
        }
    }
}

#[test]
fn several_vectors_embed_several_texts_and_texts_must_fit() {
    let (store, _, _) = simulated(options());
    let home = namespace(["a"]);
    let two = |texts: &[&str]| {
        let put = Put::new(&home, "k", "{}").field_vector("title", [1.0, 0.0]).field_vector("body", [0.0, 1.0]);
        store.put(put.embedded(MODEL, texts.iter().copied()))
    };
    for texts in [&["a title"][..], &["a title", "a body", "more"], &[]] {
        let error = two(texts).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("2 vectors"), "{error}");
    }
    two(&["a title", "a body"]).unwrap();
    assert_eq!(known(&store, "a title"), Some(vec![1.0, 0.0]));
    assert_eq!(known(&store, "a body"), Some(vec![0.0, 1.0]));
    let failed = put(&home, "k", "never written", [1.0, 1.0]).condition(Condition::IfAbsent);
    assert_eq!(store.put(failed).unwrap_err().kind(), ErrorKind::ConditionFailed);
    assert_eq!(known(&store, "never written"), None);
}

#[test]
fn imports_tell_of_texts_too() {
    for rows in [3, 60] {
        let (store, storage, clock) = simulated(options());
        let home = namespace(["a"]);
        assert_eq!(known(&store, "text 1"), None);
        let items = (0..rows).map(|number| Ok(put(&home, &format!("{number}"), &format!("text {number}"), [1.0, 2.0])));
        store.import(items, ImportOptions::new()).unwrap();
        assert!((0..rows).all(|number| known(&store, &format!("text {number}")).is_some()));
        drop(store);
        let store = reopened(&storage, &clock, options());
        assert!((0..rows).all(|number| known(&store, &format!("text {number}")).is_some()));
    }
}

#[test]
fn what_is_known_agrees_with_a_model_through_everything() {
    println!("seed 11");
    let mut random = Random::new(11);
    let (mut store, storage, clock) = simulated(options().split_keys([namespace(["b"])]));
    let spaces = [namespace(["a"]), namespace(["a", "b"]), namespace(["c"])];
    let mut model: BTreeMap<(usize, u64), (String, [f32; 2])> = BTreeMap::new();
    let mut texts: Vec<String> = Vec::new();
    for number in 0..1_500 {
        let (space, key) = (random.below(3) as usize, random.below(15));
        match random.below(100) {
            0 => {
                store.delete_range(&Scope::from(&spaces[space])).unwrap();
                model.retain(|(other, _), _| *other != space);
            }
            1..=15 => {
                store.delete(&spaces[space], &key.to_string()).unwrap();
                model.remove(&(space, key));
            }
            16 => drop(store.compact().unwrap()),
            17 => store = reopened(&storage, &clock, options()),
            18..=30 => {
                store.put(numbered(&spaces[space], key.to_string(), number)).unwrap();
                model.remove(&(space, key));
            }
            _ => {
                let (text, vector) = (format!("text {number}"), [number as f32, 0.3]);
                let mut batch = Batch::new();
                batch.put(put(&spaces[space], &key.to_string(), "replaced in its batch", vector));
                batch.put(put(&spaces[space], &key.to_string(), &text, vector));
                store.batch(batch).unwrap();
                model.insert((space, key), (text.clone(), vector));
                texts.push(text);
            }
        }
        if number % 20 == 0 {
            let asked: Vec<&str> = texts.iter().map(String::as_str).chain(["replaced in its batch"]).collect();
            let found = store.known_embeddings(MODEL, &asked).unwrap();
            let wanted = |text: &str| model.values().find(|(own, _)| own == text).map(|(_, vector)| vector.to_vec());
            for (text, found) in asked.iter().zip(found) {
                assert_eq!(found, wanted(text), "{text} after {number}");
            }
        }
    }
    assert!(store.stats().unwrap().internals.merges > 0 && model.len() > 10);
}

#[test]
fn the_newest_are_known_and_not_many_more_than_the_limit() {
    let tuning = Tuning { known_embeddings: 10, ..Tuning::tiny() };
    let (store, storage, clock) = simulated(options().tuning(tuning.clone()));
    let home = namespace(["a"]);
    let count = |store: &Store| (0..100).filter(|number| known(store, &format!("text {number}")).is_some()).count();
    for number in 0..100 {
        store.put(put(&home, &format!("{number}"), &format!("text {number}"), [1.0, 2.0])).unwrap();
        assert!(known(&store, "text 0").is_some(), "asked for again and again");
    }
    assert!(known(&store, "text 99").is_some() && known(&store, "text 98").is_some());
    assert!((5..=10).contains(&count(&store)));
    drop(store);
    let store = reopened(&storage, &clock, options().tuning(tuning));
    assert!((5..=10).contains(&count(&store)));
}

#[test]
fn threads_that_ask_and_write_at_once_get_right_answers() {
    let tuning = Tuning { inline_background: false, known_embeddings: 40, ..Tuning::tiny() };
    let store = Store::temporary(options().tuning(tuning)).unwrap();
    let home = namespace(["a"]);
    std::thread::scope(|scope| {
        for thread in 0..3_u32 {
            let (store, home) = (&store, &home);
            scope.spawn(move || {
                for number in 0..300_u32 {
                    let (key, text) = ((number % 30).to_string(), format!("{thread} {number}"));
                    store.put(put(home, &key, &text, [number as f32, thread as f32])).unwrap();
                    let asked: Vec<String> = (0..3).map(|other| format!("{other} {number}")).collect();
                    let asked: Vec<&str> = asked.iter().map(String::as_str).collect();
                    for (other, found) in store.known_embeddings(MODEL, &asked).unwrap().into_iter().enumerate() {
                        assert!(found.is_none_or(|found| found == [number as f32, other as f32]));
                    }
                }
            });
        }
    });
    assert!(store.stats().unwrap().internals.flushes > 10);
}
