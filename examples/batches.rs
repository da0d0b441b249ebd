//! Batches and conditions: writes that happen together or not at all, and only if nobody was faster.
//!
//! `cargo run --example batches`

use std::time::Duration;

use serde::{Deserialize, Serialize};
use vecmem::{Batch, Condition, ErrorKind, Namespace, Options, Put, Store, WriteResult};

#[derive(Serialize, Deserialize)]
struct Account {
    owner: String,
    cents: i64,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let store = Store::open(directory.path().join("accounts"), Options::new())?;
    let accounts: Namespace = "bank/accounts".parse()?;

    // A batch is visible all at once, and survives a power loss all or nothing.
    let mut opening = Batch::new();
    for (owner, cents) in [("ada", 500), ("bob", 100)] {
        let account = Account { owner: owner.into(), cents };
        opening.put(Put::of(&accounts, owner, &account)?.condition(Condition::IfAbsent));
    }
    store.batch(opening.clone())?;

    // Of a batch whose condition fails, nothing is written.
    let refused = store.batch(opening).unwrap_err();
    println!("again: {refused}");
    assert_eq!(refused.kind(), ErrorKind::ConditionFailed);

    // Read, decide, write: if somebody wrote in between, read again.
    transfer(&store, &accounts, "ada", "bob", 200)?;
    assert_eq!((cents(&store, &accounts, "ada")?, cents(&store, &accounts, "bob")?), (300, 300));

    // With a name, a batch can be sent again when its answer was lost. It is applied once.
    let mut bonus = Batch::new();
    bonus.put(Put::of(&accounts, "bob", &Account { owner: "bob".into(), cents: 301 })?);
    bonus.operation_id("bonus of November");
    let first = store.batch(bonus.clone())?;
    let second = store.batch(bonus)?;
    assert!(matches!(first[..], [WriteResult::Put(_)]) && matches!(second[..], [WriteResult::Repeated(_)]));

    // An item with a time to live is gone after it.
    let hour = Duration::from_secs(3_600);
    store.put(Put::new(&accounts, "lock", r#"{"by": "ada"}"#).ttl(hour).condition(Condition::IfAbsent))?;
    let lock = store.get(&accounts, "lock")?.expect("an hour is not over");
    println!("locked until {:?}", lock.expires());
    assert_eq!(lock.time_to_live(), Some(hour));
    Ok(())
}

fn transfer(store: &Store, accounts: &Namespace, from: &str, to: &str, cents: i64) -> vecmem::Result<()> {
    loop {
        let mut batch = Batch::new();
        for (owner, change) in [(from, -cents), (to, cents)] {
            let item = store.get(accounts, owner)?.expect("the account exists");
            let mut account: Account = item.value_as()?;
            account.cents += change;
            batch.put(Put::of(accounts, owner, &account)?.condition(Condition::IfVersion(item.version)));
        }
        match store.batch(batch) {
            Err(error) if error.kind() == ErrorKind::ConditionFailed => continue,
            other => return other.map(drop),
        }
    }
}

fn cents(store: &Store, accounts: &Namespace, owner: &str) -> vecmem::Result<i64> {
    let item = store.get(accounts, owner)?.expect("the account exists");
    Ok(item.value_as::<Account>()?.cents)
}
