//! The size of a scope, from directories and columns: no value is read.
//!
//! Invariants:
//! * An item that has expired and is not removed yet counts as expired and takes no part in the other figures.

use serde::Serialize;

use crate::error::Result;
use crate::ids::{IdRange, RowId};
use crate::search::part::PartColumns;
use crate::shard::PartRef;
use crate::shard::usage::usage;
use crate::store::namespaces::list_namespaces;
use crate::store::passing_items::{count_items, visit_items};
use crate::store::portion::PortionRows;
use crate::store::query::{LabelPattern, NamespaceQuery, ReadOptions};
use crate::store::read::ReadContext;
use crate::types::{QuotaUse, Scope};

/// Namespaces that are listed at once.
const PAGE: usize = 1_000;

/// What a scope holds. See [`Reads::scope_stats`](crate::Reads::scope_stats).
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ScopeStats {
    /// Living items.
    pub items: u64,
    /// Items that have expired and are hidden, and that no sweep has removed yet.
    pub expired: u64,
    /// Namespaces with a living item.
    pub namespaces: u64,
    /// Vectors of living items.
    pub vectors: u64,
    /// Bytes of the keys of living items.
    pub key_bytes: u64,
    /// Bytes of the values of living items, as they are stored: large ones may be compressed.
    pub value_bytes: u64,
    /// Bytes of the vectors of living items, four for each dimension; codes and graphs come on top.
    pub vector_bytes: u64,
    /// Graphs that hold items of the scope.
    pub graphs: u64,
    /// Items of the scope in graphs, deleted ones included until a merge.
    pub items_in_graphs: u64,
    /// The quota of the scope itself, if it has one, and what counts for it here.
    pub quota: Option<QuotaUse>,
    /// Damaged parts were skipped (only with `partial`).
    pub incomplete: bool,
}

/// The size of a scope as a read sees it.
pub(super) fn scope_stats(reader: &ReadContext<'_>, scope: &Scope, everything: &ReadContext<'_>) -> Result<ScopeStats> {
    let (interval, mut stats) = (scope.interval(), ScopeStats::default());
    let dims = reader.engine.identity.keys.space.map_or(0, |space| space.dims as u64);
    stats.incomplete = visit_items(reader, &interval, None, &mut |part, row| {
        let [key, value, vectors] = sizes(part, row)?;
        stats.items += 1;
        stats.key_bytes += key;
        stats.value_bytes += value;
        stats.vectors += vectors;
        Ok(true)
    })?;
    stats.vector_bytes = 4 * dims * stats.vectors;
    stats.expired = count_items(everything, &interval, None, &mut stats.incomplete)?.saturating_sub(stats.items);
    for portion in reader.portions(&interval, &mut stats.incomplete)? {
        let (Some(segment), PortionRows::Range(rows)) = (portion.part.segment(), &portion.rows) else { continue };
        let shared = segment.graphs().iter().map(|graph| {
            let (start, end) = (graph.rows().start.max(rows.start), graph.rows().end.min(rows.end));
            (start..end.max(start)).len() as u64
        });
        for items in shared.filter(|&items| items > 0) {
            stats.graphs += 1;
            stats.items_in_graphs += items;
        }
    }
    stats.namespaces = count_namespaces(reader, scope)?;
    stats.quota = quota_use(reader, scope, stats.items + stats.expired)?;
    Ok(stats)
}

/// The quota of a scope that holds so many items, and the bytes that count for it.
fn quota_use(reader: &ReadContext<'_>, scope: &Scope, items: u64) -> Result<Option<QuotaUse>> {
    let own = reader.engine.quotas.get().of_scope(scope).into_iter().find(|(other, _)| other.scope() == *scope);
    let Some((_, limits)) = own else { return Ok(None) };
    let counted = || usage(reader.view, &scope.interval(), true, &|| Ok(()));
    let bytes = limits.bytes.map(|_| counted().map(|usage| usage.bytes)).transpose()?;
    let (items_limit, bytes_limit) = (limits.items, limits.bytes);
    Ok(Some(QuotaUse { scope: scope.name(), items, items_limit, bytes, bytes_limit }))
}

/// The bytes of a row's key and of its value, and its number of vectors.
fn sizes(part: &PartRef<'_>, row: RowId) -> Result<[u64; 3]> {
    match *part {
        PartRef::Memtable(memtable) => {
            let record = &memtable.row(row).record;
            Ok([record.key.len(), record.value.len(), memtable.row_vectors(row).len()].map(|size| size as u64))
        }
        PartRef::Segment(part) => {
            let segment = part.segment()?;
            let (key, value) = (segment.key_bytes(row)?.len() as u64, segment.value_place(row)?.length);
            Ok([key, u64::from(value), segment.row_vectors(row)?.len() as u64])
        }
    }
}

fn count_namespaces(reader: &ReadContext<'_>, scope: &Scope) -> Result<u64> {
    let prefix = match scope {
        Scope::Namespace(_) => {
            return Ok(u64::from(count_items(reader, &scope.interval(), None, &mut false)? > 0));
        }
        Scope::Prefix(namespace) => namespace.labels().into_iter().map(LabelPattern::Label).collect(),
        Scope::Store => Vec::new(),
    };
    let mut query = NamespaceQuery { prefix, limit: PAGE, ..NamespaceQuery::default() };
    let mut found = 0;
    loop {
        let page = list_namespaces(reader, &query)?;
        found += page.len() as u64;
        match page.into_iter().last() {
            Some(last) => query.after = last,
            None => return Ok(found),
        }
    }
}

impl ScopeStats {
    /// The options of the two reads: as the caller asks, and with expired items.
    pub(super) fn options(options: &ReadOptions) -> [ReadOptions; 2] {
        [false, true].map(|include_expired| ReadOptions { include_expired, ..options.clone() })
    }
}
