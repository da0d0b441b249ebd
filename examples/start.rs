//! The first lines: open a store, put two memories, ask for the one that is most like a vector.
//!
//! `cargo run --example start`

use vecmem::{Metric, Namespace, Options, Put, Query, Store};

fn main() -> std::io::Result<()> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path().join("memories"), Options::with_vectors(3, Metric::Cosine))?;
    let facts: Namespace = "users/ada/facts".parse()?;
    store.put(Put::new(&facts, "tea", r#"{"text": "drinks green tea"}"#).vector([0.9, 0.1, 0.0]))?;
    store.put(Put::new(&facts, "cat", r#"{"text": "has a cat called Bit"}"#).vector([0.0, 0.8, 0.6]))?;
    let answer = store.search(&Query::new(&facts).vector([1.0, 0.0, 0.0]).limit(1))?;
    println!("{} {}", answer[0].item.key, answer[0].item.value);
    assert_eq!(answer[0].item.key, "tea");
    Ok(())
}
