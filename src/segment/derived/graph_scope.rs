//! The scope of a graph, and why it was built. A graph file keeps both, so that a merge knows what to build again. The
//! manifest keeps them too, so that a graph whose file is lost is built again on the same terms.
//!
//! Invariants:
//! * A scope is one namespace, all namespaces with a prefix, or the store. The namespace of the first row, the kind and
//!   the length of the prefix in bytes determine it.

use std::cmp::Reverse;
use std::ops::Range;

use crate::codec::{Decoded, Reader, Writer};
use crate::ids::{Id, RowId};
use crate::types::{Interval, Scope};

/// Why a graph was built, which decides whether a merge keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Origin {
    /// The namespace is large.
    Automatic = 1,
    /// Graph searches would have saved enough over the flat searches of the scope (`store/earn.rs` says how much).
    Earned,
    /// A caller asked for it, by `Store::build_graph`.
    Requested,
}

/// The kind of a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScopeKind {
    Namespace = 1,
    Prefix,
    Store,
}

/// Rows of a segment that have a graph or should have one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GraphRange {
    pub rows: Range<RowId>,
    pub scope: GraphScope,
    pub origin: Origin,
}

impl GraphRange {
    /// Writes origin u16, kind of the scope u16, bytes of the scope u32, first row u32, end of the rows u32.
    pub fn encode(&self, out: &mut Writer) {
        out.u16(self.origin as u16);
        out.u16(self.scope.kind as u16);
        [self.scope.bytes, self.rows.start.0, self.rows.end.0].into_iter().for_each(|number| out.u32(number));
    }

    /// Reads what [`encode`](Self::encode) has written.
    pub fn decode(reader: &mut Reader<'_>) -> Decoded<Self> {
        let origins = [Origin::Automatic, Origin::Earned, Origin::Requested];
        let kinds = [ScopeKind::Namespace, ScopeKind::Prefix, ScopeKind::Store];
        let (origin, kind) = (reader.u16()?, reader.u16()?);
        let origin = origins.into_iter().find(|&known| known as u16 == origin);
        let kind = kinds.into_iter().find(|&known| known as u16 == kind);
        let (Some(origin), Some(kind)) = (origin, kind) else {
            return Err(reader.malformed("the origin or the scope is none that this version knows"));
        };
        let scope = GraphScope { kind, bytes: reader.u32()? };
        let rows = RowId::range(reader.u32()?..reader.u32()?);
        if rows.is_empty() {
            return Err(reader.malformed("the rows are none"));
        }
        Ok(Self { rows, scope, origin })
    }
}

/// The scope of a graph, relative to the namespace of its first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GraphScope {
    pub kind: ScopeKind,
    /// Bytes of the first row's encoded namespace that make the scope.
    pub bytes: u32,
}

impl GraphScope {
    /// The description of a scope.
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

    /// The namespaces of the scope, given the encoded namespace of its first row.
    pub fn interval(self, first_namespace: &[u8]) -> Interval {
        let labels = &first_namespace[..first_namespace.len().min(self.bytes as usize)];
        match self.kind {
            ScopeKind::Namespace => Interval::of_namespace(labels),
            ScopeKind::Prefix => Interval { low: labels.to_vec(), high: [labels, &[0xFF]].concat() },
            ScopeKind::Store => Scope::Store.interval(),
        }
    }
}
