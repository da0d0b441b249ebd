//! What is put is got, byte for byte, until it is replaced or deleted; keys and labels may be any text.

use crate::common::{namespace, numbered, simulated, tiny};
use vecmem::{Metric, Namespace, Put, ReadOptions};

#[test]
fn what_is_put_is_got_until_it_is_deleted() {
    let (store, _, _) = simulated(tiny(2, Metric::Dot));
    let home = namespace(["users", "ada"]);
    assert_eq!(store.get(&home, "k").unwrap(), None);
    assert!(!store.delete(&home, "k").unwrap());

    let json = "{ \"text\" : \"caf\\u00e9 \u{1F375}\",\"n\": 1e2 ,\"list\":[ 1,2.50 ,null]}";
    let first = store.put(Put::new(&home, "k", json).vector([1.0, 2.0]).field_vector("notes.0", [3.0, 4.0])).unwrap();
    let item = store.get(&home, "k").unwrap().unwrap();
    assert_eq!((&*item.value, item.version, item.vectors.len()), (json, first, 0), "vectors come when asked for");
    assert_eq!((item.ttl, item.expires_at), (None, None));
    let options = ReadOptions { include_vectors: true, ..ReadOptions::default() };
    let item = store.get_with(&home, "k", &options).unwrap().unwrap();
    let vectors: Vec<(&str, &[f32])> = item.vectors.iter().map(|vector| (&*vector.path, &*vector.values)).collect();
    assert_eq!(vectors, [("", &[1.0, 2.0][..]), ("notes.0", &[3.0, 4.0][..])]);

    let second = store.put(numbered(&home, "k", 2)).unwrap();
    let item = store.get_with(&home, "k", &options).unwrap().unwrap();
    assert_eq!((&*item.value, item.version, item.vectors.len()), ("{\"n\":2}", second, 0), "replaced whole");
    assert_ne!(first, second);
    assert!(store.delete(&home, "k").unwrap());
    assert_eq!(store.get(&home, "k").unwrap(), None);
    assert!(!store.delete(&home, "k").unwrap(), "there was none any more");
}

#[test]
fn keys_and_labels_may_be_any_text_and_never_meet() {
    let (store, _, _) = simulated(tiny(1, Metric::Dot));
    let texts =
        ["", "\0", "\0\0", "a", "a\0", "a\0b", "a/b", "[\"a\"]", "\n", "\u{FF}", "\u{10FFFF}", "\u{1F375}", "."];
    let labels = || texts.iter().filter(|text| !text.is_empty());
    let mut spaces: Vec<Namespace> = labels().map(|label| namespace([label])).collect();
    spaces.extend(labels().flat_map(|first| labels().map(move |second| namespace([first, second]))));
    let mut number = 0;
    for space in &spaces {
        for key in texts {
            number += 1;
            store.put(numbered(space, key, number).vector([number as f32])).unwrap();
        }
    }
    assert!(store.stats().unwrap().internals.segments > 0, "some of it lies in segments");
    let mut number = 0;
    for space in &spaces {
        assert_eq!(&space.to_string().parse::<Namespace>().unwrap(), space, "what is shown can be read back");
        for key in texts {
            number += 1;
            let item = store.get(space, key).unwrap().unwrap();
            assert_eq!((&item.namespace, item.key.as_str()), (space, key));
            assert_eq!(*item.value, format!("{{\"n\":{number}}}"), "{space:?} {key:?}");
        }
    }
}

#[test]
fn typed_values_go_in_and_out() {
    #[derive(serde::Serialize, serde::Deserialize, PartialEq, Debug)]
    struct Fact {
        text: String,
        weight: f64,
    }
    let (store, _, _) = simulated(tiny(2, Metric::Cosine));
    let (home, fact) = (namespace(["facts"]), Fact { text: "likes \"tea\"".into(), weight: 0.25 });
    store.put(Put::of(&home, "tea", &fact).unwrap().vector([1.0, 0.0])).unwrap();
    let item = store.get(&home, "tea").unwrap().unwrap();
    assert_eq!(item.value_as::<Fact>().unwrap(), fact);
    assert!(item.value_as::<Vec<u8>>().is_err());
    assert!(store.put(Put::of(&home, "tea", "not an object").unwrap()).is_err());
}
