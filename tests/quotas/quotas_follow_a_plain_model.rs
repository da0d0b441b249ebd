//! Whatever is written, replaced, deleted, imported, moved and swept: a write is refused exactly if a scope would hold
//! more than its quota and more than before, and the counts are what is there.

use std::time::Duration;

use vecmem::{
    Batch, ErrorKind, Filter, ImportOptions, Item, Metric, Namespace, Put, Quota, RenameOptions, Scope, Store, Version,
};

use crate::common::{Random, namespace, reopened, simulated, tiny};
use crate::counted::{Contents, assert_counts, contents, covers, may_become};

fn namespaces() -> [Namespace; 6] {
    let deep = [namespace(["t", "a", "x"]), namespace(["t", "b", "x"])];
    let [ax, bx] = deep;
    [namespace(["t"]), namespace(["t", "a"]), ax, bx, namespace(["u"]), namespace(["u", "c"])]
}

fn scope(random: &mut Random) -> Scope {
    let prefixes = [["t"].as_slice(), &["t", "a"], &["t", "b"], &["u"]].map(|labels| Scope::prefix(labels).unwrap());
    match random.below(6) {
        0 => Scope::Store,
        1 => Scope::from(random.pick(&namespaces())),
        _ => random.pick(&prefixes).clone(),
    }
}

fn quota(random: &mut Random) -> Quota {
    let scope = scope(random);
    let quota = match scope {
        Scope::Prefix(_) | Scope::Store if random.chance(40) => Quota::each(scope),
        scope => Quota::new(scope),
    };
    let quota = if random.chance(70) { quota.items(random.below(40)) } else { quota };
    if random.chance(50) { quota.bytes(random.below(8_000)) } else { quota }
}

/// A put of a drawn key, and the item that it makes.
fn put(random: &mut Random) -> (Put, Item) {
    let (space, key) = (random.pick(&namespaces()).clone(), format!("k{}", random.below(25)));
    let length = if random.chance(15) { 3_000 } else { random.below(120) };
    let filler = if random.chance(50) { "x".repeat(length as usize) } else { random_text(random, length) };
    let value = format!("{{\"n\":{},\"text\":\"{filler}\"}}", random.below(6));
    let item = |vectors| Item {
        namespace: space.clone(),
        key: key.clone(),
        value: value.clone().into(),
        created_at: 0,
        updated_at: 0,
        ttl: None,
        expires_at: None,
        version: Version::from_u64(0),
        vectors,
    };
    let mut put = Put::new(&space, &key, value.clone());
    let mut vectors = Vec::new();
    for path in ["", "text"].iter().take(random.below(3) as usize) {
        put = put.field_vector(path, [1.0, 2.0]);
        vectors.push(vecmem::FieldVector { path: (*path).into(), values: vec![1.0, 2.0].into() });
    }
    if random.chance(15) {
        put = put.ttl(Duration::from_secs(1 + random.below(30)));
    }
    (put, item(vectors))
}

fn random_text(random: &mut Random, length: u64) -> String {
    (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
}

fn with_put(contents: &mut Contents, item: Item) {
    contents.insert((item.namespace.clone(), item.key.clone()), item);
}

/// The answer of a write that would make `after` of `before`.
fn expect(store: &Store, [before, after]: [&Contents; 2], answer: vecmem::Result<()>, what: &str) -> bool {
    let quotas = store.quotas().unwrap();
    let may = may_become(&quotas, before, after);
    match answer {
        Ok(()) => assert!(may, "{what}: it exceeds {quotas:?}"),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::QuotaExceeded, "{what}: {error}");
            assert!(!may, "{what}: {error}");
            let excess = error.quota().unwrap();
            assert!(excess.used + excess.added > excess.limit, "{what}: {excess:?}");
        }
    }
    may
}

fn write(store: &Store, random: &mut Random, what: &str) -> bool {
    let before = contents(store);
    let mut after = before.clone();
    match random.below(8) {
        0..3 => {
            let (put, item) = put(random);
            with_put(&mut after, item);
            expect(store, [&before, &after], store.put(put).map(drop), what)
        }
        3 | 4 => {
            let mut batch = Batch::new();
            for _ in 0..1 + random.below(12) {
                if random.chance(30) {
                    let (space, key) = (random.pick(&namespaces()).clone(), format!("k{}", random.below(25)));
                    after.remove(&(space.clone(), key.clone()));
                    batch.delete(&space, &key);
                } else {
                    let (put, item) = put(random);
                    with_put(&mut after, item);
                    batch.put(put);
                }
            }
            expect(store, [&before, &after], store.batch(batch).map(drop), what)
        }
        5 => {
            let puts: Vec<(Put, Item)> = (0..1 + random.below(20)).map(|_| put(random)).collect();
            let (puts, items): (Vec<Put>, Vec<Item>) = puts.into_iter().unzip();
            items.into_iter().for_each(|item| with_put(&mut after, item));
            let imported = store.import(puts.into_iter().map(Ok), ImportOptions::new());
            expect(store, [&before, &after], imported.map(drop), what)
        }
        6 => {
            let (from, to) = (scope(random), namespace(["v", "moved"]));
            if from == Scope::Store {
                return true;
            }
            let (Scope::Namespace(old) | Scope::Prefix(old)) = &from else { unreachable!() };
            let moving: Vec<Item> = before.values().filter(|item| covers(&from, &item.namespace)).cloned().collect();
            for item in moving {
                after.remove(&(item.namespace.clone(), item.key.clone()));
                let labels = [to.labels(), item.namespace.labels().split_off(old.labels().len())].concat();
                with_put(&mut after, Item { namespace: Namespace::new(labels).unwrap(), ..item });
            }
            let moved = store.rename_with(&from, &to, &RenameOptions::new().merge(true));
            // What has expired stays where it would take another's place: then the store decides.
            if before.values().any(|item| item.expires_at.is_some()) {
                let refused = moved.err().filter(|error| error.kind() != ErrorKind::QuotaExceeded);
                assert!(refused.is_none(), "{what}: {refused:?}");
                return true;
            }
            expect(store, [&before, &after], moved.map(drop), what)
        }
        _ => {
            match random.below(4) {
                0 | 1 => match scope(random) {
                    Scope::Store => store.delete_everything().unwrap(),
                    scope => store.delete_range(&scope).unwrap(),
                },
                2 => drop(store.delete_where(&scope(random), &Filter::eq("n", random.below(6))).unwrap()),
                _ => drop(store.keep_newest(&scope(random), 1 + random.below(12) as usize).unwrap()),
            }
            true
        }
    }
}

fn run(seed: u64) {
    let (mut store, storage, clock) = simulated(tiny(2, Metric::Dot));
    let (mut random, mut refused) = (Random::new(seed), 0);
    for round in 0..400 {
        let what = format!("seed {seed}, round {round}");
        if random.chance(8) {
            let quota = quota(&mut random);
            if random.chance(25) {
                let was_there =
                    store.quotas().unwrap().iter().any(|other| other.scope == quota.scope && other.each == quota.each);
                assert_eq!(store.remove_quota(&quota).unwrap(), was_there);
            } else {
                store.set_quota(quota).unwrap();
            }
        }
        refused += u32::from(!write(&store, &mut random, &what));
        match random.below(25) {
            0 => clock.advance(Duration::from_secs(random.below(20))),
            1 => drop(store.sweep()),
            2 => drop(store.compact().unwrap()),
            3 => {
                drop(store);
                store = reopened(&storage, &clock, tiny(2, Metric::Dot));
            }
            _ => {}
        }
        assert_counts(&store, &what);
    }
    assert!(refused > 30, "seed {seed}: {refused} refused");
    assert_eq!(store.check(true).unwrap().problems, Vec::<String>::new());
}

#[test]
fn quotas_follow_a_plain_model() {
    println!("seeds 400 to 405");
    (400..406).for_each(run);
}
