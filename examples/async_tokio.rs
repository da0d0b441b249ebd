//! A store in an async program: calls block, so they go to tokio's threads for that.
//!
//! `cargo run --example async_tokio`

use tokio::runtime::Builder;
use tokio::task::{JoinError, spawn_blocking};
use vecmem::{Metric, Namespace, Options, Put, Query, ReadOptions, Scope, Store};

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    Builder::new_multi_thread().build()?.block_on(serve())
}

/// A store for async code: each call is one blocking task. A `Store` is cheap to clone, and its clones are one store.
#[derive(Clone)]
struct AsyncStore(Store);

impl AsyncStore {
    async fn call<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Store) -> vecmem::Result<T> + Send + 'static,
    ) -> Result<T, Failure> {
        let store = self.0.clone();
        let done: Result<vecmem::Result<T>, JoinError> = spawn_blocking(move || call(&store)).await;
        Ok(done??)
    }
}

async fn serve() -> Result<(), Failure> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("memories");
    // An open may wait for another process and read the log, so it blocks too.
    let opened = spawn_blocking(move || Store::open(path, Options::with_vectors(2, Metric::Cosine))).await??;
    let store = AsyncStore(opened);
    let facts: Namespace = "users/ada/facts".parse()?;

    // Puts at the same time share their syncs.
    let puts: Vec<_> = (0..64_u8)
        .map(|n| {
            let (store, facts) = (store.clone(), facts.clone());
            tokio::spawn(async move {
                let put = Put::new(&facts, n.to_string(), format!(r#"{{"n": {n}}}"#)).vector([f32::from(n), 1.0]);
                store.call(|store| store.put(put)).await
            })
        })
        .collect();
    for put in puts {
        put.await??;
    }

    let query = Query::new(&facts).vector([0.0, 1.0]).limit(3);
    let answer = store.call(move |store| store.search(&query)).await?;
    for hit in answer.iter() {
        println!("{} {:?}", hit.item.key, hit.score);
    }
    assert_eq!(answer[0].item.key, "0");
    let count = store.call(|store| store.count(&Scope::Store, &ReadOptions::default())).await?;
    assert_eq!(count, 64);
    // A close waits for calls that are under way.
    store.call(Store::close).await
}
