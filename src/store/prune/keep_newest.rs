//! All but the newest items of each namespace of a scope.
//!
//! Invariants:
//! * The order is that of listings: by the time of the last write, then by LSN.
//! * What is kept is remembered as long as it is not too much, so that a few writes of others do not repeat the search
//!   for what is newest.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use crate::commit::resolved::{Resolved, Rule, Settled, WrittenKey};
use crate::engine::Engine;
use crate::error::Result;
use crate::filter::PreparedFilter;
use crate::ids::PartIndex;
use crate::interrupt::{Stage, Steps};
use crate::record::{DeletedKeys, Lsn};
use crate::shard::{PartRef, ReadView};
use crate::store::namespaces::list_namespaces;
use crate::store::passing_items::visit_items;
use crate::store::prune::Cap;
use crate::store::prune::delete_where::passes;
use crate::store::prune::listed::Listed;
use crate::store::query::{LabelPattern, NamespaceQuery, ReadOptions};
use crate::store::read::ReadContext;
use crate::topk::{ListedRow, Newest, RowAddress};
use crate::types::{Interval, Namespace, Scope};

/// Of more kept items than this, what is kept is not remembered.
const REMEMBERED_MAX: usize = 1_000_000;
/// Kept items of changed namespaces that are sorted again under the commit lock. With more, what is newest is sought
/// again.
const SETTLED_MAX: usize = 16_384;
/// Namespaces that are listed at once.
const PAGE: usize = 1_000;

/// Deletes all but the newest items of each namespace of a scope.
pub(super) struct KeepNewest<'a> {
    engine: &'a Engine,
    scope: Scope,
    interval: Interval,
    n: NonZeroUsize,
    filter: Option<PreparedFilter>,
    cap: Cap,
    /// The first namespace of a later call.
    start: Option<Namespace>,
    /// The namespace to go on with, if more items were found than the cap.
    cut_at: Option<Namespace>,
    /// The items that are kept; `None` if they are too many.
    kept: Option<BTreeMap<Namespace, Vec<Kept>>>,
}

/// An item that is kept. The greater one is the newer one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    updated_at: i64,
    lsn: Lsn,
    key: Arc<str>,
}

impl<'a> KeepNewest<'a> {
    pub fn new(engine: &'a Engine, scope: &Scope, n: NonZeroUsize, filter: Option<PreparedFilter>, cap: Cap) -> Self {
        let (scope, interval) = (scope.clone(), scope.interval());
        Self { engine, scope, interval, n, filter, cap, start: None, cut_at: None, kept: None }
    }

    /// Leaves out the namespaces before this one.
    pub fn start_at(&mut self, namespace: &Namespace) {
        self.interval.low = namespace.encoded().to_vec();
        self.start = Some(namespace.clone());
    }

    /// The namespace to go on with, if more items were found than the cap.
    pub fn next(&self) -> Option<&Namespace> {
        self.cut_at.as_ref()
    }

    /// The namespaces of the scope after `last`, a page of them.
    fn page(&self, reader: &ReadContext<'_>, last: Option<&Namespace>) -> Result<Vec<Namespace>> {
        if let (None, Some(start)) = (last, &self.start) {
            return Ok(vec![start.clone()]);
        }
        let prefix = match &self.scope {
            Scope::Namespace(namespace) => {
                return Ok(if last.is_some() { Vec::new() } else { vec![namespace.clone()] });
            }
            Scope::Prefix(namespace) => namespace.labels().into_iter().map(LabelPattern::Label).collect(),
            Scope::Store => Vec::new(),
        };
        let after = last.map_or_else(Vec::new, Namespace::labels);
        let query = NamespaceQuery { prefix, after, limit: PAGE, ..NamespaceQuery::default() };
        let namespaces = list_namespaces(reader, &query)?.into_iter().map(Namespace::new);
        namespaces.collect()
    }

    /// Adds what one namespace deletes to `listed`. Returns what it keeps.
    fn resolve_namespace(
        &self,
        reader: &ReadContext<'_>,
        namespace: &Namespace,
        listed: &mut Listed,
    ) -> Result<Vec<Kept>> {
        let (mut newest, mut parts) = (Newest::new(self.n.get()), Vec::<PartRef<'_>>::new());
        let interval = Interval::of_namespace(namespace.encoded());
        visit_items(reader, &interval, self.filter.as_ref(), &mut |part, row| {
            let times = part.current(row)?;
            if parts.last().is_none_or(|last| !last.is(part)) {
                parts.push(*part);
            }
            let place = RowAddress { part: PartIndex(parts.len() as u32 - 1), row };
            let found = ListedRow { updated_at: times.updated_at, lsn: times.lsn, place };
            let older = match newest.worst() {
                Some(worst) if newest.would_keep(&found) => Some(worst),
                Some(_) => Some(found),
                None => None,
            };
            newest.push(found);
            if let Some(older) = older {
                let RowAddress { part, row } = older.place;
                let (_, key) = parts[part.0 as usize].address(row)?;
                listed.add(namespace.encoded(), key);
            }
            Ok(true)
        })?;
        let kept = newest.into_sorted().into_iter().map(|row| {
            let (_, key) = parts[row.place.part.0 as usize].address(row.place.row)?;
            Ok(Kept { updated_at: row.updated_at, lsn: row.lsn, key: key.into() })
        });
        kept.collect()
    }

    /// What the changes of one namespace mean; false if the write must be resolved again.
    fn settle_namespace(&self, changes: &[&WrittenKey], listed: &DeletedKeys, settled: &mut Settled) -> bool {
        let Some(namespace) = changes.first().map(|change| &change.namespace) else { return true };
        let Some(kept) = &self.kept else { return false };
        let now = self.engine.clock.query_time();
        let changed: HashSet<&str> = changes.iter().map(|change| &*change.key).collect();
        let unchanged = kept.get(namespace).into_iter().flatten().filter(|kept| !changed.contains(&*kept.key)).cloned();
        let written = changes.iter().filter_map(|change| {
            let (record, times) = change.newest.as_ref()?;
            let counts = match &self.filter {
                Some(filter) => passes(filter, record, times, now),
                None => times.expires_at > now,
            };
            let kept = Kept { updated_at: times.updated_at, lsn: times.lsn, key: Arc::clone(&change.key) };
            counts.then_some(kept)
        });
        let mut candidates: Vec<Kept> = unchanged.chain(written).collect();
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        // An item that was to be deleted may be among the newest now, if others have deleted newer ones.
        let first = listed.keys().partition_point(|(other, _)| other < namespace);
        let mut listed_here = listed.keys()[first..].iter().take_while(|(other, _)| other == namespace);
        let mut has_listed = || listed_here.any(|(_, key)| !changed.contains(&**key));
        // An item that was listed is older than each that was kept, but not than one that came since.
        let oldest = kept.get(namespace).into_iter().flatten().min();
        let last = candidates.get(self.n.get() - 1);
        if last.is_none_or(|last| oldest.is_some_and(|oldest| last < oldest)) && has_listed() {
            return false;
        }
        let excess = candidates.split_off(candidates.len().min(self.n.get()));
        let too_old: HashSet<&str> = excess.iter().map(|kept| &*kept.key).collect();
        for change in changes {
            settled.add(change, too_old.contains(&*change.key), listed);
        }
        let others = excess.iter().filter(|kept| !changed.contains(&*kept.key));
        settled.added.extend(others.map(|kept| (namespace.clone(), Arc::clone(&kept.key))));
        true
    }
}

impl Rule for KeepNewest<'_> {
    fn intervals(&self) -> Vec<Interval> {
        vec![self.interval.clone()]
    }

    fn resolve(&mut self, view: &Arc<ReadView>) -> Result<Resolved> {
        (self.cut_at, self.kept) = (None, Some(BTreeMap::new()));
        let options = ReadOptions::default();
        let reader = ReadContext::new(self.engine, view, self.engine.clock.query_time(), &options);
        let (mut listed, mut remembered) = (Listed::new(self.cap), 0);
        let (steps, mut last) = (Steps::begin(Stage::Delete, 0), None);
        loop {
            let page = self.page(&reader, last.as_ref())?;
            let Some(end) = page.last().cloned() else { break };
            for namespace in &page {
                steps.check()?;
                let kept = self.resolve_namespace(&reader, namespace, &mut listed)?;
                remembered += kept.len();
                if remembered > REMEMBERED_MAX {
                    self.kept = None;
                }
                if let Some(all) = &mut self.kept {
                    all.insert(namespace.clone(), kept);
                }
                if listed.is_cut() && self.cap.is_partial {
                    self.cut_at = Some(namespace.clone());
                    break;
                }
            }
            if self.cut_at.is_some() {
                break;
            }
            last = Some(end);
        }
        Ok(Resolved { deletes: listed.into_keys(&self.scope.name())?, puts: Vec::new() })
    }

    fn settle(&self, changes: &[WrittenKey], listed: &DeletedKeys) -> Result<Option<Settled>> {
        let mut by_namespace: BTreeMap<&Namespace, Vec<&WrittenKey>> = BTreeMap::new();
        let is_behind = |change: &&WrittenKey| self.cut_at.as_ref().is_some_and(|cut| change.namespace > *cut);
        for change in changes.iter().filter(|change| !is_behind(change)) {
            by_namespace.entry(&change.namespace).or_default().push(change);
        }
        let kept =
            |namespace: &&Namespace| self.kept.as_ref().and_then(|kept| kept.get(*namespace)).map_or(0, Vec::len);
        if by_namespace.keys().map(kept).sum::<usize>() > SETTLED_MAX {
            return Ok(None);
        }
        let mut settled = Settled::default();
        if !by_namespace.values().all(|changes| self.settle_namespace(changes, listed, &mut settled)) {
            return Ok(None);
        }
        settled.removed.sort_unstable();
        let room = self.cap.items.saturating_sub(listed.len() - settled.removed.len());
        if settled.added.len() > room {
            if self.cut_at.is_none() {
                return Ok(None);
            }
            // The next call goes on in this namespace; what is left out in earlier ones stays.
            settled.added.truncate(room);
        }
        Ok(Some(settled))
    }
}
