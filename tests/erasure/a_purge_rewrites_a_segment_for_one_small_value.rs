//! A purge rewrites a segment that holds a single deleted row of its scope, also where the value is small, so that no
//! blob file has dead bytes, and where far too few rows are deleted for a merge.

use crate::common::{namespace, numbered, simulated, tiny_without_vectors};
use vecmem::{Put, Scope};

const NEEDLE: &str = "a needle that nobody may find";

#[test]
fn a_purge_rewrites_a_segment_for_one_small_value() {
    let (store, storage, _clock) = simulated(tiny_without_vectors());
    let (secret, others) = (namespace(["secret"]), namespace(["others"]));
    store.put(Put::new(&secret, "k", format!("{{\"t\":\"{NEEDLE}\"}}"))).unwrap();
    for number in 0..100 {
        store.put(numbered(&others, number.to_string(), number)).unwrap();
    }
    store.compact().unwrap();
    let holders = || {
        let holds = |name: &String| {
            let bytes = storage.read_file(name).unwrap_or_default();
            bytes.windows(NEEDLE.len()).any(|window| window == NEEDLE.as_bytes())
        };
        storage.names().into_iter().filter(holds).collect::<Vec<_>>()
    };
    let kinds: Vec<String> = holders().iter().filter_map(|name| Some(name.rsplit_once('.')?.1.to_owned())).collect();
    assert_eq!(kinds, ["fields", "truth"], "a segment holds it");
    let receipt = store.purge(&Scope::from(&secret)).unwrap();
    assert_eq!((receipt.items, receipt.segments_rewritten), (1, 1));
    assert_eq!(holders(), Vec::<String>::new());
    assert_eq!(store.stats().unwrap().size.items, 100);
}
