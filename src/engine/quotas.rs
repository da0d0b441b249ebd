//! The quotas of a store: kept as a setting, and looked up by namespace.
//!
//! A quota is no item: it is in the manifest, and so in each copy of the store. A write is tested against the quotas
//! that are known when it gets its place in the log (`commit/quotas.rs`); a replay tests nothing.
//!
//! Invariants:
//! * One value is replaced by another as a whole. Whoever keeps counts for the scopes of one drops them with it.
//! * A setting that cannot be read has no quotas. [`check`] refuses one before it is kept.

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Limit, Result};
use crate::manifest::Settings;
use crate::types::{Namespace, Quota, QuotaLimits, QuotaScope, Scope, label_ends, limits};

/// The name of the setting: a JSON array of objects with `scope` (labels), `kind` (`namespace`, `prefix`, `store` or
/// `each`), `items` and `bytes` (absent without a limit).
pub(crate) const SETTING: &str = "vecmem.quotas";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptQuota {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    scope: Vec<String>,
    kind: QuotaKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    items: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum QuotaKind {
    Store,
    Namespace,
    Prefix,
    Each,
}

/// The quotas of a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quotas {
    all: Vec<Quota>,
    store: Option<QuotaLimits>,
    /// By encoded namespace, as `prefixes` and `each`; the children of the store are at the empty one.
    namespaces: HashMap<Box<[u8]>, QuotaLimits>,
    prefixes: HashMap<Box<[u8]>, QuotaLimits>,
    each: HashMap<Box<[u8]>, QuotaLimits>,
}

impl Quotas {
    /// Those that the settings keep.
    pub fn new(settings: &Settings) -> Self {
        Self::of(settings.get(SETTING).and_then(|json| read(json).ok()).unwrap_or_default())
    }

    fn of(all: Vec<Quota>) -> Self {
        let mut quotas = Self::default();
        for quota in &all {
            let limits = quota.limits();
            match (&quota.scope, quota.each) {
                (Scope::Store, false) => quotas.store = Some(limits),
                (Scope::Store, true) => drop(quotas.each.insert(Box::default(), limits)),
                (Scope::Namespace(namespace), _) => drop(quotas.namespaces.insert(namespace.encoded().into(), limits)),
                (Scope::Prefix(namespace), false) => drop(quotas.prefixes.insert(namespace.encoded().into(), limits)),
                (Scope::Prefix(namespace), true) => drop(quotas.each.insert(namespace.encoded().into(), limits)),
            }
        }
        quotas.all = all;
        quotas
    }

    pub fn all(&self) -> &[Quota] {
        &self.all
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether a quota limits bytes.
    pub fn counts_bytes(&self) -> bool {
        self.all.iter().any(|quota| quota.bytes.is_some())
    }

    /// The limited scopes that an item of this namespace counts for.
    pub fn of_namespace(&self, namespace: &[u8]) -> Vec<(QuotaScope, QuotaLimits)> {
        let mut found = self.around(namespace);
        if let Some(limits) = self.namespaces.get(namespace).filter(|limits| !limits.is_unlimited())
            && is_of_users(namespace)
        {
            found.push((QuotaScope::namespace(namespace), *limits));
        }
        found
    }

    /// The limited scopes that hold a whole scope.
    pub fn of_scope(&self, scope: &Scope) -> Vec<(QuotaScope, QuotaLimits)> {
        match scope {
            Scope::Namespace(namespace) => self.of_namespace(namespace.encoded()),
            Scope::Prefix(namespace) => self.around(namespace.encoded()),
            Scope::Store => self.of_store().into_iter().collect(),
        }
    }

    fn of_store(&self) -> Option<(QuotaScope, QuotaLimits)> {
        self.store.filter(|limits| !limits.is_unlimited()).map(|limits| (QuotaScope::store(), limits))
    }

    /// The limited scopes of the store and of prefixes that hold a namespace and everything below it.
    fn around(&self, namespace: &[u8]) -> Vec<(QuotaScope, QuotaLimits)> {
        if self.is_empty() || !is_of_users(namespace) {
            return Vec::new();
        }
        let mut found: Vec<_> = self.of_store().into_iter().collect();
        let mut parent = 0;
        for end in label_ends(namespace) {
            // A quota of its own takes the place of the one that its parent has for each.
            let prefix = &namespace[..end];
            let limits = self.prefixes.get(prefix).or_else(|| self.each.get(&namespace[..parent]));
            if let Some(limits) = limits.filter(|limits| !limits.is_unlimited()) {
                found.push((QuotaScope::prefix(prefix), *limits));
            }
            parent = end;
        }
        found
    }
}

/// Whether the namespace lies outside of the engine's own area.
fn is_of_users(namespace: &[u8]) -> bool {
    namespace.first() != Some(&0) || namespace.get(1) == Some(&0xFF)
}

/// Fails if the text is not the setting's.
pub(crate) fn check(json: &str) -> Result<()> {
    read(json).map(drop)
}

/// The settings with a quota that takes the place of the one of the same scope, if there is one.
pub(crate) fn with_quota(settings: &Settings, quota: &Quota) -> Result<Settings> {
    quota.check()?;
    let mut all = read(settings.get(SETTING).unwrap_or("[]"))?;
    all.retain(|other| !is_same(other, quota));
    all.push(quota.clone());
    keep(settings, &all)
}

/// The settings without the quota of the same scope.
pub(crate) fn without_quota(settings: &Settings, quota: &Quota) -> Result<Settings> {
    let mut all = read(settings.get(SETTING).unwrap_or("[]"))?;
    all.retain(|other| !is_same(other, quota));
    keep(settings, &all)
}

/// Whether two quotas are of the same scope, whatever their limits.
pub(crate) fn is_same(one: &Quota, other: &Quota) -> bool {
    one.scope == other.scope && one.each == other.each
}

fn keep(settings: &Settings, all: &[Quota]) -> Result<Settings> {
    if all.is_empty() {
        return settings.with(SETTING, None);
    }
    if all.len() > limits::QUOTAS {
        return Err(Error::limit(Limit::Quotas, "quotas of the store", all.len(), limits::QUOTAS));
    }
    // In the order of scopes, so that equal quotas have equal bytes.
    let kept: BTreeMap<(QuotaKind, Vec<String>), KeptQuota> = all.iter().map(kept).collect();
    let json = serde_json::to_string(&kept.into_values().collect::<Vec<_>>());
    let json = json.map_err(|error| Error::invalid(format!("the quotas cannot be written as JSON: {error}")))?;
    if json.len() > limits::SETTING_BYTES {
        return Err(Error::limit(Limit::Quotas, "bytes of the quotas as JSON", json.len(), limits::SETTING_BYTES));
    }
    settings.with(SETTING, Some(&json))
}

fn kept(quota: &Quota) -> ((QuotaKind, Vec<String>), KeptQuota) {
    let (kind, scope) = match (&quota.scope, quota.each) {
        (Scope::Store, false) => (QuotaKind::Store, Vec::new()),
        (Scope::Store, true) => (QuotaKind::Each, Vec::new()),
        (Scope::Prefix(namespace), true) => (QuotaKind::Each, namespace.labels()),
        (Scope::Prefix(namespace), false) => (QuotaKind::Prefix, namespace.labels()),
        (Scope::Namespace(namespace), _) => (QuotaKind::Namespace, namespace.labels()),
    };
    ((kind, scope.clone()), KeptQuota { scope, kind, items: quota.items, bytes: quota.bytes })
}

fn read(json: &str) -> Result<Vec<Quota>> {
    let kept: Vec<KeptQuota> = serde_json::from_str(json)
        .map_err(|error| Error::invalid(format!("the setting {SETTING:?} is not a list of quotas: {error}")))?;
    if kept.len() > limits::QUOTAS {
        return Err(Error::limit(Limit::Quotas, "quotas of the store", kept.len(), limits::QUOTAS));
    }
    let quotas = kept.into_iter().map(|kept| {
        let namespace = || Namespace::new(&kept.scope);
        let scope = match kept.kind {
            QuotaKind::Store => Scope::Store,
            QuotaKind::Each if kept.scope.is_empty() => Scope::Store,
            QuotaKind::Each | QuotaKind::Prefix => Scope::Prefix(namespace()?),
            QuotaKind::Namespace => Scope::Namespace(namespace()?),
        };
        Ok(Quota { items: kept.items, bytes: kept.bytes, each: kept.kind == QuotaKind::Each, ..Quota::new(scope) })
    });
    quotas.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(labels: &[&str]) -> Namespace {
        Namespace::new(labels).unwrap()
    }

    #[test]
    fn a_namespace_counts_for_each_scope_around_it_that_is_limited() {
        let tenants = || Scope::prefix(["tenants"]).unwrap();
        let quotas = Quotas::of(vec![
            Quota::new(Scope::Store).items(1),
            Quota::each(tenants()).items(2),
            Quota::new(Scope::prefix(["tenants", "free"]).unwrap()),
            Quota::new(Scope::prefix(["tenants", "large"]).unwrap()).items(3),
            Quota::each(Scope::prefix(["tenants", "large"]).unwrap()).bytes(4),
            Quota::new(Scope::from(&namespace(&["tenants", "a", "notes"]))).bytes(5),
        ]);
        let names = |labels: &[&str]| {
            let scopes = quotas.of_namespace(namespace(labels).encoded());
            scopes.into_iter().map(|(scope, _)| scope.scope().name()).collect::<Vec<_>>()
        };
        assert_eq!(names(&["other"]), ["*"]);
        assert_eq!(names(&["tenants"]), ["*"], "the prefix itself is none of its children");
        assert_eq!(names(&["tenants", "a"]), ["*", "tenants/a/"]);
        assert_eq!(names(&["tenants", "a", "notes"]), ["*", "tenants/a/", "tenants/a/notes"]);
        assert_eq!(names(&["tenants", "a", "notes", "b"]), ["*", "tenants/a/"]);
        assert_eq!(names(&["tenants", "free", "notes"]), ["*"], "a quota without limits lifts that of each");
        assert_eq!(names(&["tenants", "large", "x"]), ["*", "tenants/large/", "tenants/large/x/"]);
        assert_eq!(names(&["\0"]), ["*"], "a label may begin with NUL");
        let own = crate::types::system_namespace("import");
        assert!(quotas.of_namespace(own.encoded()).is_empty(), "the engine's own area has no quota");
        let every = Quotas::of(vec![Quota::each(Scope::Store).items(1)]);
        let found = every.of_namespace(namespace(&["a", "b"]).encoded());
        assert_eq!(found.first().map(|(scope, _)| scope.scope().name()).as_deref(), Some("a/"));
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn quotas_are_kept_as_json_in_the_order_of_their_scopes() {
        let (a, each) = (Quota::new(Scope::prefix(["a"]).unwrap()).items(1), Quota::each(Scope::Store).bytes(2));
        let one = with_quota(&with_quota(&Settings::default(), &a).unwrap(), &each).unwrap();
        let other = with_quota(&with_quota(&Settings::default(), &each).unwrap(), &a).unwrap();
        assert_eq!(one, other);
        let json = r#"[{"scope":["a"],"kind":"prefix","items":1},{"kind":"each","bytes":2}]"#;
        assert_eq!(one.get(SETTING), Some(json));
        assert_eq!(Quotas::new(&one).all(), [a.clone(), each.clone()]);
        let changed = with_quota(&one, &a.clone().items(9)).unwrap();
        assert_eq!(Quotas::new(&changed).all().len(), 2, "a quota takes the place of the one of its scope");
        let none = without_quota(&without_quota(&changed, &a).unwrap(), &each).unwrap();
        assert_eq!(none, Settings::default());
        for bad in ["{}", "[1]", r#"[{"kind":"other"}]"#, r#"[{"kind":"prefix"}]"#, r#"[{"kind":"store","rows":1}]"#] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
