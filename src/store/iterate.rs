//! Iteration in key order over a snapshot.
//!
//! Invariants:
//! * A cursor keeps its read view until a purge ends it. So writes between two pages make an iteration neither miss nor
//!   repeat an item.

use std::sync::Arc;

use crate::error::Result;
use crate::ids::RowId;
use crate::search::listing::{KeyedRow, ListPage};
use crate::shard::PartRef;
use crate::store::holders::{Holder, HolderKind, Holders};
use crate::store::query::IterateQuery;
use crate::store::read::{ReadContext, SharedView};
use crate::store::stored::StoredItem;
use crate::types::{Item, KeyPosition};

/// A position in an iteration, and the read view of the iteration.
#[derive(Clone)]
pub struct Cursor {
    pub(super) holder: Arc<Holder>,
    after: Arc<(Vec<u8>, String)>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("visible", &self.holder.read_lsn().get()).finish_non_exhaustive()
    }
}

impl Cursor {
    /// Whether a purge has ended the iteration, so that the next page fails with `SnapshotGone`.
    pub fn is_gone(&self) -> bool {
        self.holder.is_gone()
    }
}

/// One page of an iteration.
#[derive(Clone, Debug)]
pub struct IteratePage {
    /// Items in (namespace, key) order.
    pub items: Vec<Item>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
    /// Damaged parts or items were skipped (only with `partial`).
    pub incomplete: bool,
}

/// One page of [`Reads::iterate_stored`](crate::Reads::iterate_stored).
#[derive(Clone, Debug)]
pub struct StoredPage {
    /// Items in (namespace, key) order.
    pub items: Vec<StoredItem>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
    /// Damaged parts or items were skipped (only with `partial`).
    pub incomplete: bool,
}

/// The next page of an iteration.
pub(super) fn iterate(
    reader: &ReadContext<'_>,
    view: &SharedView,
    holders: &Arc<Holders>,
    query: &IterateQuery,
    after: Option<&Cursor>,
) -> Result<IteratePage> {
    let item = |part: &PartRef<'_>, row| reader.item(part, row, None);
    let (items, next, incomplete) = page_of(reader, view, holders, query, after, item)?;
    Ok(IteratePage { items, next, incomplete })
}

/// The next page of an iteration, with everything that the store keeps of its items.
pub(super) fn iterate_stored(
    reader: &ReadContext<'_>,
    view: &SharedView,
    holders: &Arc<Holders>,
    query: &IterateQuery,
    after: Option<&Cursor>,
) -> Result<StoredPage> {
    let versions = reader.engine.identity.versions();
    let stored = |part: &PartRef<'_>, row| StoredItem::read(part, row, versions);
    let (items, next, incomplete) = page_of(reader, view, holders, query, after, stored)?;
    Ok(StoredPage { items, next, incomplete })
}

/// The next rows of an iteration, each as `read` reads it, the next cursor, and whether damage was skipped.
fn page_of<T>(
    reader: &ReadContext<'_>,
    view: &SharedView,
    holders: &Arc<Holders>,
    query: &IterateQuery,
    after: Option<&Cursor>,
    read: impl Fn(&PartRef<'_>, RowId) -> Result<T>,
) -> Result<(Vec<T>, Option<Cursor>, bool)> {
    let mut incomplete = false;
    let mut interval = query.scope.interval();
    if let Some(after) = after {
        interval.low = after.after.0.clone().max(interval.low);
    }
    let limit = query.limit.max(1);
    let start = after.map(|after| KeyPosition { namespace: &after.after.0, key: &after.after.1 });
    let page =
        ListPage { interval: &interval, key_prefix: &query.key_prefix, after: start, limit: limit.saturating_add(1) };
    let mut found: Vec<(KeyedRow<'_>, PartRef<'_>)> = Vec::new();
    for shard in reader.view.shards_in(&interval) {
        for part in shard.parts() {
            let rows = part.page(&page, &reader.conditions(None));
            found.extend(reader.tolerate(rows, &mut incomplete)?.into_iter().flatten().map(|row| (row, part)));
        }
        // Shards are in order of namespace, so the rows of later shards come after a full page.
        if found.len() > limit {
            break;
        }
    }
    found.sort_by_key(|(keyed, _)| (keyed.namespace, keyed.key));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = match found.last() {
        Some((keyed, _)) if more => Some(Cursor {
            holder: match after.filter(|after| after.holder.holds(view)) {
                Some(after) => Arc::clone(&after.holder),
                None => holders.hold(view, HolderKind::Cursor),
            },
            after: Arc::new((keyed.namespace.to_vec(), keyed.key.to_owned())),
        }),
        _ => None,
    };
    let mut items = Vec::with_capacity(found.len());
    for (keyed, part) in found {
        items.extend(reader.tolerate(read(&part, keyed.row), &mut incomplete)?);
    }
    Ok((items, next, incomplete))
}
