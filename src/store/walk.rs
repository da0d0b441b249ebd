//! Walks: key order over a snapshot, the namespaces of a store, and counts.
//!
//! Invariants:
//! * A cursor owns its View, so a walk neither misses nor repeats an item, whatever is written meanwhile.
//! * A namespace is listed when at least one of its items is visible and, if asked, unexpired. The engine's own area never is.
#![allow(clippy::disallowed_methods, reason = "threads wait in real time, whatever the clock of the store says")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use crate::error::Result;
use crate::query::{NamespaceQuery, ScanQuery};
use crate::segment::listing::{Keyed, Page, count};
use crate::shard::AnyPart;
use crate::store::read::{Reader, SharedView};
use crate::store::search::with_part;
use crate::sync::Mutex;
use crate::types::{Interval, Item, Scope, decode_labels, encode_labels};

/// A place in a walk, and the snapshot it walks.
#[derive(Clone)]
pub struct Cursor {
    pub(super) view: SharedView,
    after: Arc<(Vec<u8>, String)>,
    _open: Arc<OpenCursor>,
}

impl std::fmt::Debug for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cursor").field("visible", &self.view.visible).finish_non_exhaustive()
    }
}

/// One page of a walk.
#[derive(Clone, Debug)]
pub struct ScanPage {
    /// Items in (namespace, key) order.
    pub items: Vec<Item>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<Cursor>,
    /// Some part was damaged and skipped (only with `partial`).
    pub degraded: bool,
}

/// When each open cursor, snapshot and listing was made.
#[derive(Default)]
pub(super) struct Cursors {
    opened: Mutex<BTreeSet<(Instant, u64)>>,
    next: crate::sync::AtomicU64,
}

/// Counts what keeps a View, for as long as it lives.
pub(super) struct OpenCursor {
    cursors: Arc<Cursors>,
    entry: (Instant, u64),
}

impl Drop for OpenCursor {
    fn drop(&mut self) {
        self.cursors.opened.lock().remove(&self.entry);
    }
}

impl Cursors {
    pub fn open(self: &Arc<Self>) -> Arc<OpenCursor> {
        let entry = (Instant::now(), self.next.fetch_add(1, crate::sync::Ordering::Relaxed));
        self.opened.lock().insert(entry);
        Arc::new(OpenCursor { cursors: Arc::clone(self), entry })
    }

    /// How many cursors are open, and since when the oldest is.
    pub fn summary(&self) -> (usize, Option<Instant>) {
        let opened = self.opened.lock();
        (opened.len(), opened.first().map(|(since, _)| *since))
    }
}

/// The next page of a walk.
pub(super) fn scan(
    reader: &Reader<'_>,
    view: &SharedView,
    cursors: &Arc<Cursors>,
    query: &ScanQuery,
    after: Option<&Cursor>,
) -> Result<ScanPage> {
    let mut degraded = false;
    let mut interval = query.scope.interval();
    if let Some(after) = after {
        interval.low = after.after.0.clone().max(interval.low);
    }
    let limit = query.limit.max(1);
    let start = after.map(|after| (after.after.0.as_slice(), after.after.1.as_str()));
    let page =
        Page { interval: &interval, key_prefix: &query.key_prefix, after: start, limit: limit.saturating_add(1) };
    let mut found: Vec<(Keyed<'_>, AnyPart<'_>)> = Vec::new();
    for shard in reader.view.shards_in(&interval) {
        for part in shard.parts() {
            let rows = part.page(&page, &reader.conditions(None));
            found.extend(reader.tolerate(rows, &mut degraded)?.into_iter().flatten().map(|row| (row, part)));
        }
        // Shards are in order: once a page is full, later ones have nothing to add to it.
        if found.len() > limit {
            break;
        }
    }
    found.sort_by_key(|(keyed, _)| (keyed.namespace, keyed.key));
    let more = found.len() > limit;
    found.truncate(limit);
    let next = match found.last() {
        Some((keyed, _)) if more => Some(Cursor {
            view: Arc::clone(view),
            after: Arc::new((keyed.namespace.to_vec(), keyed.key.to_owned())),
            _open: after.map_or_else(|| cursors.open(), |after| Arc::clone(&after._open)),
        }),
        _ => None,
    };
    let mut items = Vec::with_capacity(found.len());
    for (keyed, part) in found {
        let item = part.item(keyed.row, None, query.options.include_vectors);
        items.extend(reader.tolerate(item, &mut degraded)?);
    }
    Ok(ScanPage { items, next, degraded })
}

/// The labels of the live namespaces that match, cut, sorted and paged.
pub(super) fn list_namespaces(reader: &Reader<'_>, query: &NamespaceQuery) -> Result<Vec<Vec<String>>> {
    let mut interval = Scope::Store.interval();
    let prefix = encode_labels(query.literal_prefix()).unwrap_or_default();
    if !prefix.is_empty() {
        let high = prefix.iter().copied().chain([0xFF]).collect();
        interval = Interval { low: prefix, high };
    }
    let mut degraded = false;
    let mut live: BTreeSet<Vec<u8>> = BTreeSet::new();
    for shard in reader.view.shards_in(&interval) {
        for part in shard.parts() {
            let namespaces = part.live_namespaces(&interval, &reader.conditions(None), &live);
            live.extend(reader.tolerate(namespaces, &mut degraded)?.into_iter().flatten());
        }
    }
    let mut listed: Vec<Vec<String>> = Vec::new();
    for namespace in live {
        let mut labels = decode_labels(&namespace);
        if !query.matches(&labels) {
            continue;
        }
        labels.truncate(query.max_depth.unwrap_or(labels.len()));
        if listed.last() != Some(&labels) {
            listed.push(labels);
        }
    }
    Ok(listed.into_iter().skip(query.offset).take(query.limit).collect())
}

/// How many items a scope shows.
pub(super) fn count_items(reader: &Reader<'_>, interval: &Interval, degraded: &mut bool) -> Result<u64> {
    let mut total = 0;
    for portion in reader.portions(interval, degraded)? {
        let counted = with_part!(portion.part, part => count(part, &portion.rows(), &reader.conditions(None)));
        total += reader.tolerate(counted, degraded)?.unwrap_or(0);
    }
    Ok(total)
}
