//! Deletes by filter, prunes and renames beside other writes do what a plain map does, whole or in parts, and the same
//! is there after a crash.

use std::collections::BTreeMap;
use std::time::Duration;

use vecmem::{Filter, Item, IterateQuery, Namespace, PruneOptions, PruneReceipt, RenameOptions, Scope, Store};

use crate::common::{Random, namespace, reopened, simulated, tiny_without_vectors};
use crate::drawn::{filter, namespaces, scopes, write};

type Model = BTreeMap<(Namespace, String), Item>;

fn contents(store: &Store) -> Model {
    let items = store.items(IterateQuery::new(Scope::Store)).map(Result::unwrap);
    items.map(|item| ((item.namespace.clone(), item.key.clone()), item)).collect()
}

fn covers(scope: &Scope, namespace: &Namespace) -> bool {
    match scope {
        Scope::Namespace(one) => one == namespace,
        Scope::Prefix(prefix) => namespace.labels().starts_with(&prefix.labels()),
        Scope::Store => true,
    }
}

/// Calls until nothing is left. Returns how often, and how many items were deleted.
fn in_parts(mut call: impl FnMut(Option<String>) -> PruneReceipt) -> (u64, u64) {
    let (mut calls, mut sum, mut next) = (0, 0, None);
    loop {
        let receipt = call(next.take());
        (calls, sum) = (calls + 1, sum + receipt.deleted);
        assert_eq!(receipt.total, sum);
        match receipt.next {
            Some(place) => next = Some(place),
            None => return (calls, sum),
        }
    }
}

fn options(limit: Option<usize>, next: Option<String>) -> PruneOptions {
    let options = limit.into_iter().fold(PruneOptions::new(), PruneOptions::limit);
    next.into_iter().fold(options, PruneOptions::after)
}

/// What the model keeps of the newest `n` items of each namespace.
fn too_old(model: &Model, scope: &Scope, n: usize, filter: Option<&Filter>) -> Vec<(Namespace, String)> {
    let mut by_namespace: BTreeMap<Namespace, Vec<&Item>> = BTreeMap::new();
    let counts = |item: &&Item| covers(scope, &item.namespace) && filter.is_none_or(|filter| filter.matches_item(item));
    for item in model.values().filter(counts) {
        by_namespace.entry(item.namespace.clone()).or_default().push(item);
    }
    let old = by_namespace.into_values().flat_map(|mut items| {
        items.sort_by_key(|item| std::cmp::Reverse((item.updated_at, item.version.to_u64())));
        items.split_off(items.len().min(n))
    });
    old.map(|item| (item.namespace.clone(), item.key.clone())).collect()
}

fn without_versions(model: &Model) -> Vec<Item> {
    let plain = |item: &Item| Item { version: vecmem::Version::from_u64(0), ..item.clone() };
    model.values().map(plain).collect()
}

fn run(seed: u64) {
    let (mut store, storage, clock) = simulated(tiny_without_vectors());
    let (mut random, mut parts) = (Random::new(seed), 0);
    for round in 0..150 {
        let what = format!("seed {seed}, round {round}");
        (0..random.below(25)).for_each(|_| write(&store, &mut random));
        clock.advance(Duration::from_millis(random.below(2_000)));
        if random.chance(5) {
            store.compact().unwrap();
        }
        let (mut model, scope) = (contents(&store), random.pick(&scopes()).clone());
        let limit = random.chance(50).then(|| 1 + random.below(9) as usize);
        match random.below(3) {
            0 => {
                let filter = filter(&mut random);
                let before = model.len();
                model.retain(|_, item| !(covers(&scope, &item.namespace) && filter.matches_item(item)));
                let (calls, deleted) =
                    in_parts(|next| store.delete_where_with(&scope, &filter, &options(limit, next)).expect(&what));
                assert_eq!(deleted as usize, before - model.len(), "{what}, {filter:?}");
                parts += calls - 1;
            }
            1 => {
                let (n, filter) = (1 + random.below(12) as usize, random.chance(40).then(|| filter(&mut random)));
                let old = too_old(&model, &scope, n, filter.as_ref());
                let (calls, deleted) = in_parts(|next| {
                    let options = filter.clone().into_iter().fold(options(limit, next), PruneOptions::filter);
                    store.keep_newest_with(&scope, n, &options).expect(&what)
                });
                assert_eq!(deleted as usize, old.len(), "{what}, {n} of {scope:?}");
                old.iter().for_each(|key| drop(model.remove(key)));
                parts += calls - 1;
            }
            _ => {
                let from = random.pick(&namespaces()).clone();
                let (from, to) = if random.chance(50) {
                    (Scope::Namespace(from), namespace(["b"]))
                } else {
                    (Scope::Prefix(from), namespace(["z", "moved"]))
                };
                if from == Scope::Namespace(to.clone()) {
                    continue;
                }
                let moved = model.iter().filter(|((namespace, _), _)| covers(&from, namespace));
                let moved: Vec<Item> = moved.map(|(_, item)| item.clone()).collect();
                let receipt = store.rename_with(&from, &to, &RenameOptions::new().merge(true)).expect(&what);
                assert!(receipt.moved as usize >= moved.len(), "{what}: expired items may move too");
                let (Scope::Namespace(old) | Scope::Prefix(old)) = &from else { unreachable!() };
                for item in moved {
                    model.remove(&(item.namespace.clone(), item.key.clone()));
                    let labels = [to.labels(), item.namespace.labels().split_off(old.labels().len())].concat();
                    let namespace = Namespace::new(labels).unwrap();
                    model.insert((namespace.clone(), item.key.clone()), Item { namespace, ..item });
                }
            }
        }
        let found = contents(&store);
        assert!(without_versions(&found) == without_versions(&model), "{what}: {} of {}", found.len(), model.len());
        if random.chance(20) {
            drop(store);
            store = reopened(&storage, &clock, tiny_without_vectors());
            assert_eq!(contents(&store), found, "{what}: after a reopen");
        }
    }
    assert!(parts > 20, "seed {seed}: {parts} further parts");
    assert_eq!(store.check(true).unwrap().problems, Vec::<String>::new());
}

#[test]
fn rules_follow_a_plain_model() {
    println!("seeds 80 to 85");
    (80..86).for_each(run);
}
