//! By how much a write changes what scopes with a quota hold.
//!
//! Invariants:
//! * A tally belongs to one value of the store's quotas, whose scopes it adds up.
//! * Sizes are looked up only for namespaces that a quota of bytes holds for.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::quotas::Quotas;
use crate::shard::usage::ItemSize;
use crate::types::{Growth, Namespace, QuotaLimits, QuotaScope};

/// What a write does to each scope with a quota.
#[derive(Clone, Debug)]
pub(super) struct QuotaTally {
    quotas: Arc<Quotas>,
    /// Shared by the copies of a tally.
    changes: Arc<BTreeMap<QuotaScope, ScopeChange>>,
    open: Option<OpenNamespace>,
}

/// What a write does to one scope.
#[derive(Clone, Copy, Debug)]
pub(super) struct ScopeChange {
    pub limits: QuotaLimits,
    /// Without bytes where these are not limited.
    pub growth: Growth,
    /// Whether the write replaces or deletes an item whose size cannot be read, so that the scope must be counted anew.
    pub needs_recount: bool,
}

/// The namespace of the last write, and what its writes add to its scopes.
#[derive(Clone, Debug)]
struct OpenNamespace {
    namespace: Namespace,
    scopes: Vec<(QuotaScope, QuotaLimits)>,
    growth: Growth,
    has_unread_sizes: bool,
}

/// What is counted of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Counted {
    Nothing,
    Items,
    Bytes,
}

impl QuotaTally {
    pub fn new(quotas: &Arc<Quotas>) -> Self {
        Self { quotas: Arc::clone(quotas), changes: Arc::default(), open: None }
    }

    /// A tally of one change.
    #[cfg(test)]
    pub fn of_change(scope: QuotaScope, change: ScopeChange) -> Self {
        Self { changes: Arc::new(BTreeMap::from([(scope, change)])), ..Self::new(&Arc::default()) }
    }

    /// Whether it was made for this value of the quotas.
    pub fn is_of(&self, quotas: &Arc<Quotas>) -> bool {
        Arc::ptr_eq(&self.quotas, quotas)
    }

    /// Goes on with this namespace. Returns what is counted of it.
    pub fn enter(&mut self, namespace: &Namespace) -> Counted {
        if self.quotas.is_empty() {
            return Counted::Nothing;
        }
        if self.open.as_ref().is_none_or(|open| open.namespace != *namespace) {
            self.add_up();
            let scopes = self.quotas.of_namespace(namespace.encoded());
            let (namespace, growth) = (namespace.clone(), Growth::default());
            self.open = Some(OpenNamespace { namespace, scopes, growth, has_unread_sizes: false });
        }
        match self.open.as_ref().map(|open| open.scopes.as_slice()) {
            None | Some([]) => Counted::Nothing,
            Some(scopes) if scopes.iter().any(|(_, limits)| limits.bytes.is_some()) => Counted::Bytes,
            Some(_) => Counted::Items,
        }
    }

    /// Adds a change of the namespace that was entered last.
    pub fn add(&mut self, growth: Growth) {
        if let Some(open) = &mut self.open {
            open.growth = open.growth.and(growth);
        }
    }

    /// Adds a write of the namespace that was entered last: an item of one size takes the place of another one, if
    /// there was one, or goes. A size that damage hides stops no write.
    pub fn add_write(&mut self, old: Option<ItemSize>, new: Option<u64>) {
        self.add(Growth::between(old.map(|old| old.bytes), new));
        if let Some(open) = &mut self.open {
            open.has_unread_sizes |= old.is_some_and(|old| !old.is_whole);
        }
    }

    /// Adds another tally of the same quotas.
    pub fn merge(&mut self, mut other: Self) {
        self.add_up();
        other.add_up();
        if self.changes.is_empty() {
            self.changes = other.changes;
            return;
        }
        let changes = Arc::make_mut(&mut self.changes);
        for (scope, added) in other.changes.iter() {
            let none = ScopeChange { growth: Growth::default(), needs_recount: false, ..*added };
            let change = changes.entry(scope.clone()).or_insert(none);
            change.growth = change.growth.and(added.growth);
            change.needs_recount |= added.needs_recount;
        }
    }

    /// What the write does to each scope.
    pub fn changes(&mut self) -> &BTreeMap<QuotaScope, ScopeChange> {
        self.add_up();
        &self.changes
    }

    /// Adds up what was added to the last namespace.
    fn add_up(&mut self) {
        let Some(open) = self.open.take().filter(|open| !open.scopes.is_empty()) else { return };
        let changes = Arc::make_mut(&mut self.changes);
        for (scope, limits) in &open.scopes {
            let none = ScopeChange { limits: *limits, growth: Growth::default(), needs_recount: false };
            let change = changes.entry(scope.clone()).or_insert(none);
            let bytes = limits.bytes.map_or(0, |_| open.growth.bytes);
            change.growth = change.growth.and(Growth { bytes, ..open.growth });
            change.needs_recount |= open.has_unread_sizes && limits.bytes.is_some();
        }
    }
}
