//! The scope of a graph and why it was built: the words that a graph file keeps, so that a merge knows what to build again.
//!
//! Invariants:
//! * A scope is an interval of namespaces that begins with the labels of its first row, so those of a row and a number of
//!   bytes say it all.

use std::cmp::Reverse;

use crate::types::{Interval, Scope};

/// Why a graph was built, which decides whether a merge keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The namespace is large.
    Automatic = 1,
    /// Scans would have been faster with it.
    Earned,
    /// Somebody asked for it.
    Requested,
}

/// What a scope is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    Namespace = 1,
    Prefix,
    Store,
}

/// The scope of a graph, seen from its first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GraphScope {
    pub kind: ScopeKind,
    /// Bytes of the first row's encoded namespace that make the scope.
    pub bytes: u32,
}

impl GraphScope {
    /// The words for a scope.
    pub fn of(scope: &Scope) -> Self {
        match scope {
            Scope::Namespace(namespace) => Self { kind: ScopeKind::Namespace, bytes: namespace.encoded().len() as u32 },
            Scope::Prefix(namespace) => Self { kind: ScopeKind::Prefix, bytes: namespace.encoded().len() as u32 },
            Scope::Store => Self { kind: ScopeKind::Store, bytes: 0 },
        }
    }

    /// Larger for the wider of two scopes that hold the same rows.
    pub fn breadth(self) -> impl Ord {
        (Reverse(self.bytes), self.kind as u8)
    }

    /// The namespaces of the scope, given the first row's.
    pub fn interval(self, first_namespace: &[u8]) -> Interval {
        let labels = &first_namespace[..first_namespace.len().min(self.bytes as usize)];
        match self.kind {
            ScopeKind::Namespace => Interval::of_namespace(labels),
            ScopeKind::Prefix => Interval { low: labels.to_vec(), high: [labels, &[0xFF]].concat() },
            ScopeKind::Store => Scope::Store.interval(),
        }
    }
}
