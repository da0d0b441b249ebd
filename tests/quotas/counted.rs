//! What scopes hold, counted plainly.

use std::collections::BTreeMap;

use vecmem::{Item, IterateQuery, Namespace, Quota, ReadOptions, Scope, Store};

/// Items by namespace and key, expired ones included.
pub type Contents = BTreeMap<(Namespace, String), Item>;

pub fn contents(store: &Store) -> Contents {
    let options = ReadOptions { include_expired: true, include_vectors: true, ..ReadOptions::default() };
    let items = store.items(IterateQuery::new(Scope::Store).options(options)).map(Result::unwrap);
    items.map(|item| ((item.namespace.clone(), item.key.clone()), item)).collect()
}

pub fn size(item: &Item) -> u64 {
    let dimensions: usize = item.vectors.iter().map(|vector| vector.values.len()).sum();
    (item.key.len() + item.value.len() + 4 * dimensions) as u64
}

/// The concrete scopes that a namespace counts for, with their limits, by the rules of the documentation.
pub fn scopes_of(quotas: &[Quota], namespace: &Namespace) -> Vec<(Scope, [Option<u64>; 2])> {
    let limits = |quota: &Quota| [quota.items, quota.bytes];
    let find = |scope: &Scope, each| quotas.iter().find(|quota| quota.scope == *scope && quota.each == each);
    let labels = namespace.labels();
    let mut found: Vec<_> = find(&Scope::Store, false).map(|quota| (Scope::Store, limits(quota))).into_iter().collect();
    for depth in 1..=labels.len() {
        let prefix = Scope::prefix(&labels[..depth]).unwrap();
        let parent = if depth == 1 { Scope::Store } else { Scope::prefix(&labels[..depth - 1]).unwrap() };
        if let Some(quota) = find(&prefix, false).or_else(|| find(&parent, true)) {
            found.push((prefix, limits(quota)));
        }
    }
    let own = Scope::Namespace(namespace.clone());
    found.extend(find(&own, false).map(|quota| (own, limits(quota))));
    found.retain(|(_, limits)| *limits != [None, None]);
    found
}

pub fn covers(scope: &Scope, namespace: &Namespace) -> bool {
    match scope {
        Scope::Namespace(one) => one == namespace,
        Scope::Prefix(prefix) => namespace.labels().starts_with(&prefix.labels()),
        Scope::Store => true,
    }
}

/// Items and bytes of a scope.
pub fn usage(contents: &Contents, scope: &Scope) -> [u64; 2] {
    let items = contents.values().filter(|item| covers(scope, &item.namespace));
    items.fold([0, 0], |[items, bytes], item| [items + 1, bytes + size(item)])
}

/// Whether a store may go from one content to another.
pub fn may_become(quotas: &[Quota], before: &Contents, after: &Contents) -> bool {
    let mut scopes = after.keys().flat_map(|(namespace, _)| scopes_of(quotas, namespace));
    let fits = |(scope, limits): (Scope, [Option<u64>; 2])| {
        let (old, new) = (usage(before, &scope), usage(after, &scope));
        (0..2).all(|unit| limits[unit].is_none_or(|limit| new[unit] <= limit || new[unit] <= old[unit]))
    };
    scopes.all(fits)
}

/// That what the store says of each scope with a quota is what it holds.
pub fn assert_counts(store: &Store, what: &str) {
    let (contents, quotas) = (contents(store), store.quotas().unwrap());
    let namespaces: std::collections::BTreeSet<&Namespace> = contents.keys().map(|(namespace, _)| namespace).collect();
    for namespace in namespaces {
        let expected: Vec<_> = scopes_of(&quotas, namespace)
            .into_iter()
            .map(|(scope, limits)| {
                let [items, bytes] = usage(&contents, &scope);
                (items, limits[0], limits[1].map(|_| bytes), limits[1])
            })
            .collect();
        let held = store.quota_use(&Scope::from(namespace)).unwrap();
        let found: Vec<_> =
            held.iter().map(|held| (held.items, held.items_limit, held.bytes, held.bytes_limit)).collect();
        assert_eq!(found, expected, "{what}, {namespace}: {held:?}");
    }
}
