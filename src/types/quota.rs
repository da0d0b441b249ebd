//! Quotas: the most items and bytes that a scope may hold, and what it does hold.
//!
//! Invariants:
//! * A quota counts rows and not answers: an item that has expired counts until a sweep removes it.
//! * Bytes are those of keys, of values as they were given, and four for each dimension of a vector. How a file stores
//!   them plays no role, so an item has one size for as long as it lives.

use serde::Serialize;

use crate::error::{Error, Result};
use crate::types::{Interval, Namespace, Scope};

/// The most that a scope may hold. A quota without limits lifts that of [`each`](Self::each) from one of its scopes.
///
/// ```
/// use vecmem::{ErrorKind, Namespace, Options, Put, Quota, Scope, Store};
///
/// let store = Store::temporary(Options::new())?;
/// // Each tenant may hold 2 items; one of them more.
/// store.set_quota(Quota::each(Scope::prefix(["tenants"])?).items(2))?;
/// store.set_quota(Quota::new(Scope::prefix(["tenants", "large"])?).items(1_000).bytes(64 << 20))?;
///
/// let notes = Namespace::new(["tenants", "small", "notes"])?;
/// store.put(Put::new(&notes, "a", "{}"))?;
/// store.put(Put::new(&notes, "b", "{}"))?;
/// let refused = store.put(Put::new(&notes, "c", "{}")).unwrap_err();
/// assert_eq!(refused.kind(), ErrorKind::QuotaExceeded);
/// let excess = refused.quota().expect("it names the quota");
/// assert_eq!((excess.scope.as_str(), excess.used, excess.limit), ("tenants/small/", 2, 2));
///
/// // What does not grow passes, and deletes make room.
/// store.put(Put::new(&notes, "b", r#"{"new": true}"#))?;
/// store.delete(&notes, "a")?;
/// store.put(Put::new(&notes, "c", "{}"))?;
/// # Ok::<(), vecmem::Error>(())
/// ```
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// The scope, or the one whose children have the quota.
    pub scope: Scope,
    /// Whether each scope directly below `scope` has the quota for itself.
    pub each: bool,
    /// The most items; `None` for any number.
    pub items: Option<u64>,
    /// The most bytes of keys, values and vectors; `None` for any number.
    pub bytes: Option<u64>,
}

impl Quota {
    /// A quota of one scope, without limits yet. It takes the place of a quota of [`each`](Self::each) that would hold
    /// for the same scope. Quotas of wider and of narrower scopes hold beside it.
    pub fn new(scope: Scope) -> Self {
        Self { scope, each: false, items: None, bytes: None }
    }

    /// A quota of each scope directly below a prefix, or of each first label of the store: with
    /// `Scope::prefix(["tenants"])` those of `tenants/a/` and `tenants/b/`, each with everything below it. What lies in
    /// the namespace of the prefix itself is not concerned.
    pub fn each(scope: Scope) -> Self {
        Self { each: true, ..Self::new(scope) }
    }

    /// At most so many items.
    #[must_use]
    pub fn items(mut self, items: u64) -> Self {
        self.items = Some(items);
        self
    }

    /// At most so many bytes of keys, values and vectors.
    #[must_use]
    pub fn bytes(mut self, bytes: u64) -> Self {
        self.bytes = Some(bytes);
        self
    }

    /// The scope as text: `a/b` for a namespace, `a/b/` for a prefix, `*` for the store, `a/*/` for each scope directly
    /// below `a`.
    pub fn name(&self) -> String {
        match (&self.scope, self.each) {
            (scope, false) => scope.name(),
            (Scope::Store, true) => "*/".to_owned(),
            (Scope::Namespace(namespace) | Scope::Prefix(namespace), true) => format!("{namespace}/*/"),
        }
    }

    pub(crate) fn limits(&self) -> QuotaLimits {
        QuotaLimits { items: self.items, bytes: self.bytes }
    }

    /// Fails for a quota that can hold for nothing.
    pub(crate) fn check(&self) -> Result<()> {
        match self.scope {
            Scope::Namespace(_) if self.each => {
                Err(Error::invalid("a namespace has no scopes below it; give the prefix whose children have the quota"))
            }
            _ => Ok(()),
        }
    }
}

/// What a scope with a quota holds. See [`Store::quota_use`](crate::Store::quota_use).
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QuotaUse {
    /// The scope as text: `a/b` for a namespace, `a/b/` for a prefix, `*` for the store.
    pub scope: String,
    /// Items, with those that have expired and that no sweep has removed yet.
    pub items: u64,
    /// The most items.
    pub items_limit: Option<u64>,
    /// Bytes of their keys, values and vectors; counted only where they are limited.
    pub bytes: Option<u64>,
    /// The most bytes.
    pub bytes_limit: Option<u64>,
}

/// The most of items and of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QuotaLimits {
    pub items: Option<u64>,
    pub bytes: Option<u64>,
}

impl QuotaLimits {
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }
}

/// What a scope holds. Bytes are 0 where they are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub items: u64,
    pub bytes: u64,
}

/// By how much a write changes what a scope holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    pub items: i64,
    pub bytes: i64,
}

impl Growth {
    /// From a version of one size to one of another; `None` if there is no version.
    pub fn between(old: Option<u64>, new: Option<u64>) -> Self {
        let bytes = |size: Option<u64>| i64::try_from(size.unwrap_or(0)).unwrap_or(i64::MAX);
        let items = i64::from(new.is_some()) - i64::from(old.is_some());
        Self { items, bytes: bytes(new).saturating_sub(bytes(old)) }
    }

    pub fn and(self, other: Self) -> Self {
        let (items, bytes) = (self.items.saturating_add(other.items), self.bytes.saturating_add(other.bytes));
        Self { items, bytes }
    }

    pub fn without(self, other: Self) -> Self {
        let (items, bytes) = (self.items.saturating_sub(other.items), self.bytes.saturating_sub(other.bytes));
        Self { items, bytes }
    }
}

impl Usage {
    pub fn and(self, other: Self) -> Self {
        let (items, bytes) = (self.items.saturating_add(other.items), self.bytes.saturating_add(other.bytes));
        Self { items, bytes }
    }

    /// What is held after a change; `None` if less than nothing would be left.
    pub fn checked_after(self, growth: Growth) -> Option<Self> {
        let items = self.items.checked_add_signed(growth.items)?;
        Some(Self { items, bytes: self.bytes.checked_add_signed(growth.bytes)? })
    }

    pub fn after(self, growth: Growth) -> Self {
        let (items, bytes) =
            (self.items.saturating_add_signed(growth.items), self.bytes.saturating_add_signed(growth.bytes));
        Self { items, bytes }
    }
}

/// A scope that has a quota, in the form in which it is counted: its kind, and the encoded namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct QuotaScope(Box<[u8]>);

const STORE: u8 = 0;
const NAMESPACE: u8 = 1;
const PREFIX: u8 = 2;

impl QuotaScope {
    pub fn store() -> Self {
        Self(Box::new([STORE]))
    }

    pub fn namespace(encoded: &[u8]) -> Self {
        Self::of(NAMESPACE, encoded)
    }

    pub fn prefix(encoded: &[u8]) -> Self {
        Self::of(PREFIX, encoded)
    }

    fn of(kind: u8, encoded: &[u8]) -> Self {
        let mut key = Vec::with_capacity(encoded.len() + 1);
        key.push(kind);
        key.extend(encoded);
        Self(key.into())
    }

    /// The number of the scope among so many stripes of locks.
    pub fn stripe(&self, stripes: usize) -> usize {
        let mixed = self.0.iter().fold(0_usize, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        mixed % stripes.max(1)
    }

    /// The lowest namespace of the scope's interval, and the bytes and the byte that are the interval's high end.
    fn ends(&self) -> ([&[u8]; 2], u8) {
        match self.0.split_first() {
            Some((&NAMESPACE, encoded)) => ([encoded, encoded], 0),
            Some((&PREFIX, encoded)) => ([encoded, encoded], 0xFF),
            _ => ([&[0x00, 0xFF], &[]], 0xFF),
        }
    }

    /// Whether the scope's interval has a part in common with another one.
    pub fn overlaps(&self, range: &Interval) -> bool {
        let ([low, stem], end) = self.ends();
        low < range.high.as_slice() && range.low.iter().lt(stem.iter().chain([&end]))
    }

    /// Whether the scope's interval lies inside of another one.
    pub fn is_inside(&self, range: &Interval) -> bool {
        let ([low, stem], end) = self.ends();
        range.low.as_slice() <= low && stem.iter().chain([&end]).le(range.high.iter())
    }

    pub fn scope(&self) -> Scope {
        match self.0.split_first() {
            Some((&NAMESPACE, encoded)) => Scope::Namespace(Namespace::from_encoded(encoded)),
            Some((&PREFIX, encoded)) => Scope::Prefix(Namespace::from_encoded(encoded)),
            _ => Scope::Store,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_lies_to_a_range_as_its_interval_does() {
        let encoded = |labels: &[&str]| Namespace::new(labels).unwrap().encoded().to_vec();
        let namespaces = [&["a"][..], &["a", "b"], &["a", "b", "c"], &["ab"], &["b"], &["\0"]].map(encoded);
        let of = |one: fn(&[u8]) -> QuotaScope| namespaces.iter().map(move |encoded| one(encoded));
        let scopes: Vec<_> =
            of(QuotaScope::namespace).chain(of(QuotaScope::prefix)).chain([QuotaScope::store()]).collect();
        let ranges = scopes.iter().map(|scope| scope.scope().interval()).chain([Interval::everything()]);
        for range in ranges {
            for scope in &scopes {
                let interval = scope.scope().interval();
                let is_inside = range.low <= interval.low && interval.high <= range.high;
                assert_eq!(scope.overlaps(&range), range.overlaps(&interval), "{scope:?} {range:?}");
                assert_eq!(scope.is_inside(&range), is_inside, "{scope:?} {range:?}");
            }
        }
    }
}
