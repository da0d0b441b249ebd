//! The items of a scope for which a filter holds.

use std::sync::Arc;

use crate::commit::resolved::{Resolved, Rule, Settled, WrittenKey};
use crate::engine::Engine;
use crate::error::Result;
use crate::filter::{ItemFacts, PreparedFilter};
use crate::interrupt::{Stage, Steps};
use crate::record::{DeletedKeys, KeyAddress, Record, VersionTimes};
use crate::shard::ReadView;
use crate::store::passing_items::visit_items;
use crate::store::prune::Cap;
use crate::store::prune::listed::Listed;
use crate::store::prune::place::Place;
use crate::store::query::ReadOptions;
use crate::store::read::ReadContext;
use crate::types::{Interval, Scope};

/// Rows between two looks at an interrupt.
const STEP_ROWS: u32 = 1_024;

/// Deletes the items of a scope for which a filter holds.
pub(super) struct DeleteWhere<'a> {
    engine: &'a Engine,
    scope: String,
    interval: Interval,
    filter: PreparedFilter,
    cap: Cap,
    /// Only keys after this one.
    after: Option<KeyAddress>,
    /// Only keys up to this one, the last that was listed, if more were found.
    last: Option<KeyAddress>,
}

impl<'a> DeleteWhere<'a> {
    pub fn new(engine: &'a Engine, scope: &Scope, filter: PreparedFilter, cap: Cap, after: Option<Place>) -> Self {
        let mut interval = scope.interval();
        let after = after.map(Place::address);
        if let Some((namespace, _)) = &after {
            interval.low = namespace.encoded().to_vec();
        }
        Self { engine, scope: scope.name(), interval, filter, cap, after, last: None }
    }

    /// The last key that was listed, if more were found.
    pub fn next(&self) -> Option<KeyAddress> {
        self.last.clone()
    }

    /// Whether a key lies where the call deletes.
    fn covers(&self, namespace: &[u8], key: &str) -> bool {
        let is_before = |(other, theirs): &KeyAddress| (other.encoded(), &**theirs) < (namespace, key);
        self.after.as_ref().is_none_or(is_before) && !self.last.as_ref().is_some_and(is_before)
    }
}

/// Whether an item that has not expired passes the filter.
pub(super) fn passes(filter: &PreparedFilter, record: &Record, times: &VersionTimes, now: i64) -> bool {
    let VersionTimes { created_at, updated_at, expires_at, .. } = *times;
    let facts = ItemFacts { created_at, updated_at, expires_at, key: &record.key };
    expires_at > now && filter.holds(record.value.as_bytes(), &facts)
}

impl Rule for DeleteWhere<'_> {
    fn intervals(&self) -> Vec<Interval> {
        vec![self.interval.clone()]
    }

    fn resolve(&mut self, view: &Arc<ReadView>) -> Result<Resolved> {
        self.last = None;
        let options = ReadOptions::default();
        let reader = ReadContext::new(self.engine, view, self.engine.clock.query_time(), &options);
        let (mut listed, mut visited) = (Listed::new(self.cap), 0_u32);
        let steps = Steps::begin(Stage::Delete, 0);
        visit_items(&reader, &self.interval, Some(&self.filter), &mut |part, row| {
            visited = visited.wrapping_add(1);
            if visited.is_multiple_of(STEP_ROWS) {
                steps.check()?;
            }
            let (namespace, key) = part.address(row)?;
            Ok(!self.covers(namespace, key) || listed.add(namespace, key) || part.segment().is_none())
        })?;
        let is_cut = listed.is_cut();
        let deletes = listed.into_keys(&self.scope)?;
        self.last = deletes.last().filter(|_| is_cut).cloned();
        Ok(Resolved { deletes, puts: Vec::new() })
    }

    fn settle(&self, changes: &[WrittenKey], listed: &DeletedKeys) -> Result<Option<Settled>> {
        let now = self.engine.clock.query_time();
        let mut settled = Settled::default();
        for change in changes.iter().filter(|change| self.covers(change.namespace.encoded(), &change.key)) {
            let newest = change.newest.as_ref();
            let is_wanted = newest.is_some_and(|(record, times)| passes(&self.filter, record, times, now));
            settled.add(change, is_wanted, listed);
        }
        settled.removed.sort_unstable();
        let room = self.cap.items.saturating_sub(listed.len() - settled.removed.len());
        if settled.added.len() > room {
            if self.last.is_none() {
                return Ok(None);
            }
            // Any of the items that pass may be left.
            settled.added.truncate(room);
        }
        Ok(Some(settled))
    }
}
