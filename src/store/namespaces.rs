//! The namespaces of a store in pages, found by seeking in the directories of all parts.
//!
//! Invariants:
//! * A namespace is listed if at least one of its items is visible. Expired items count only under `include_expired`.
//!   The engine's own namespaces are never listed.
//! * After each namespace the listing seeks to the end of what it stands for, so a page looks at as many namespaces as
//!   it skips and returns, besides those that hold no visible item or miss the suffix.

use std::borrow::Cow;

use crate::error::Result;
use crate::search::namespaces::SoughtNamespaces;
use crate::shard::{PartNamespaces, Shard};
use crate::store::query::NamespaceQuery;
use crate::store::read::ReadContext;
use crate::types::{Interval, NamespacePattern, Scope, decode_labels, first_labels};

/// The labels of the live namespaces that match, in tuple order: cut to `max_depth`, each once, then offset and limit.
pub(super) fn list_namespaces(reader: &ReadContext<'_>, query: &NamespaceQuery) -> Result<Vec<Vec<String>>> {
    let (pattern, depth) = (query.pattern(), query.max_depth.unwrap_or(usize::MAX));
    let interval = interval_of(pattern.literal_prefix());
    let sought = SoughtNamespaces { interval: &interval, pattern: &pattern, conditions: &reader.conditions(None) };
    let mut listed = Vec::new();
    let (mut low, mut skipped) = (start_after(&query.after, depth).max(interval.low.clone()), 0);
    for shard in reader.view.shards_in(&interval) {
        let mut merged = MergedNamespaces::new(reader, shard, &sought)?;
        while listed.len() < query.limit
            && let Some(namespace) = merged.seek(&low)?
        {
            let (cut, has_all) = first_labels(namespace, depth);
            if skipped < query.offset {
                skipped += 1;
            } else {
                listed.push(decode_labels(cut));
            }
            low = place_after(cut, has_all);
        }
    }
    Ok(listed)
}

/// The place after the namespaces that are cut to these labels, encoded. Where a namespace `has_all` labels that a cut
/// leaves, all that begin with them are cut to the same. Otherwise the next namespace is at least one byte longer.
fn place_after(cut: &[u8], has_all: bool) -> Vec<u8> {
    [cut, &[if has_all { 0xFF } else { 0 }]].concat()
}

/// The place after the labels at which a page begins, if there are any.
fn start_after(labels: &[String], depth: usize) -> Vec<u8> {
    if labels.is_empty() {
        return Vec::new();
    }
    let encoded = NamespacePattern::new(labels.iter().map(|label| Some(label.as_str())), []).literal_prefix();
    let (cut, has_all) = first_labels(&encoded, depth);
    place_after(cut, has_all)
}

/// The namespaces that begin with an encoded prefix, without the engine's own area.
fn interval_of(prefix: Vec<u8>) -> Interval {
    let Interval { low, high } = Scope::Store.interval();
    if prefix.is_empty() {
        return Interval { low, high };
    }
    let below = prefix.iter().copied().chain([0xFF]).collect();
    Interval { low: low.max(prefix), high: high.min(below) }
}

/// The namespaces of all parts of a shard, in one order.
struct MergedNamespaces<'r, 'a> {
    reader: &'r ReadContext<'a>,
    sought: &'r SoughtNamespaces<'r>,
    parts: Vec<MergedPart<'a>>,
}

/// The namespaces of one part, and the next of them.
struct MergedPart<'a> {
    namespaces: PartNamespaces<'a>,
    head: NextNamespace<'a>,
}

enum NextNamespace<'a> {
    /// Not known yet.
    Below,
    At(Cow<'a, [u8]>),
    End,
}

impl MergedPart<'_> {
    fn namespace(&self) -> Option<&[u8]> {
        if let NextNamespace::At(namespace) = &self.head { Some(namespace) } else { None }
    }

    fn is_below(&self, low: &[u8]) -> bool {
        match &self.head {
            NextNamespace::Below => true,
            NextNamespace::At(namespace) => **namespace < *low,
            NextNamespace::End => false,
        }
    }
}

impl<'r, 'a> MergedNamespaces<'r, 'a> {
    /// The namespaces of the shard that are sought. Under `partial`, a part that cannot be read is left out.
    fn new(reader: &'r ReadContext<'a>, shard: &'a Shard, sought: &'r SoughtNamespaces<'r>) -> Result<Self> {
        let mut parts = Vec::new();
        for part in shard.parts() {
            let namespaces = reader.tolerate(part.namespaces(sought.interval), &mut false)?.flatten();
            parts.extend(namespaces.map(|namespaces| MergedPart { namespaces, head: NextNamespace::Below }));
        }
        Ok(Self { reader, sought, parts })
    }

    /// The first namespace at or above `low`. Under `partial`, a part ends at damage.
    fn seek(&mut self, low: &[u8]) -> Result<Option<&[u8]>> {
        for part in &mut self.parts {
            if part.is_below(low) {
                let found = part.namespaces.seek(low, self.sought);
                part.head =
                    self.reader.tolerate(found, &mut false)?.flatten().map_or(NextNamespace::End, NextNamespace::At);
            }
        }
        Ok(self.parts.iter().filter_map(MergedPart::namespace).min())
    }
}
