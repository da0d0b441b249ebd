//! Counts what scopes with a quota hold, on read views and without a lock.
//!
//! Invariants:
//! * The read view of a count shows every write from before the count began. What is written later is noted.
//! * Threads that need the same count wait for each other, so that it is made once.
//! * A count is made for the limits of the quotas that it is kept for: whoever needs one for other quotas asks again.

use std::sync::Arc;

use super::Pipeline;
use crate::engine::quotas::Quotas;
use crate::error::{Error, ErrorKind, Result};
use crate::interrupt::{Stage, Steps};
use crate::shard::usage::usage;
use crate::types::{QuotaLimits, QuotaScope, QuotaUse, Scope, Usage};

/// Locks of counts. Counts of other stripes run side by side.
pub(super) const COUNT_STRIPES: usize = 16;
/// How often a scope is counted for one call before the call gives up, since others kept deleting parts of it.
pub(super) const COUNTS_MAX: usize = 32;
/// Counts that begin under one hold of the commit lock.
const AT_ONCE: usize = 1_024;

/// Scopes that must be counted.
pub(super) struct NeededCounts {
    /// Those that the scopes have their limits from.
    pub quotas: Arc<Quotas>,
    pub scopes: Vec<(QuotaScope, QuotaLimits)>,
    /// How many counts the caller needs together, with those that are known.
    pub room: usize,
}

/// Keeps room for the counts that a call needs together, until the call ends.
pub(super) struct CountRoom<'a> {
    pipeline: &'a Pipeline,
    scopes: usize,
}

impl<'a> CountRoom<'a> {
    pub fn new(pipeline: &'a Pipeline) -> Self {
        Self { pipeline, scopes: 0 }
    }

    /// Makes room for so many counts, if there is less.
    fn make(&mut self, scopes: usize) {
        if let Some(more) = scopes.checked_sub(self.scopes).filter(|more| *more > 0) {
            self.pipeline.state.lock().counters.make_room(more);
            self.scopes = scopes;
        }
    }
}

impl Drop for CountRoom<'_> {
    fn drop(&mut self) {
        if self.scopes > 0 {
            self.pipeline.state.lock().counters.give_back(self.scopes);
        }
    }
}

impl NeededCounts {
    /// The error of a call for which the scopes were counted too often.
    pub fn uncountable(&self) -> Error {
        let scope = self.scopes.first().map_or_else(String::new, |(scope, _)| scope.scope().name());
        let message = format!(
            "others kept deleting parts of {scope} while it was counted for its quota; nothing was written, try again later"
        );
        Error::new(ErrorKind::Busy, message)
    }
}

impl Pipeline {
    /// What the scopes with a quota that hold a whole scope do hold.
    pub fn quota_use(&self, scope: &Scope) -> Result<Vec<QuotaUse>> {
        self.engine.check_usable()?;
        let (mut needed, mut room) = (self.needed_for(scope), CountRoom::new(self));
        for _ in 0..COUNTS_MAX {
            self.count(&needed, &mut room)?;
            if let Some(uses) = self.known_uses(&needed) {
                return Ok(uses);
            }
            needed = self.needed_for(scope);
        }
        Err(needed.uncountable())
    }

    fn needed_for(&self, scope: &Scope) -> NeededCounts {
        let quotas = self.engine.quotas.get();
        let scopes = quotas.of_scope(scope);
        NeededCounts { room: scopes.len(), scopes, quotas }
    }

    /// What these scopes hold, if all are counted and the counts are for these quotas.
    fn known_uses(&self, needed: &NeededCounts) -> Option<Vec<QuotaUse>> {
        let state = self.state.lock();
        if !needed.scopes.is_empty() && !Arc::ptr_eq(state.counters.quotas(), &needed.quotas) {
            return None;
        }
        let uses = needed.scopes.iter().map(|(scope, limits)| {
            let Usage { items, bytes } = state.counters.known(scope)?;
            let bytes = limits.bytes.is_some().then_some(bytes);
            let (items_limit, bytes_limit) = (limits.items, limits.bytes);
            Some(QuotaUse { scope: scope.scope().name(), items, items_limit, bytes, bytes_limit })
        });
        uses.collect()
    }

    /// Counts what scopes hold, unless that is known, or the store has other quotas now. Another write may undo a count
    /// at once.
    pub(super) fn count(&self, needed: &NeededCounts, room: &mut CountRoom<'_>) -> Result<()> {
        let NeededCounts { quotas, scopes, .. } = needed;
        let Some((first, _)) = scopes.first() else { return Ok(()) };
        room.make(needed.room);
        let _others_wait = self.count_locks[first.stripe(COUNT_STRIPES)].lock();
        let mut counts = Vec::with_capacity(scopes.len());
        for some in scopes.chunks(AT_ONCE) {
            let mut state = self.state.lock();
            state.counters.keep_for(self.engine.quotas.get());
            if !Arc::ptr_eq(state.counters.quotas(), quotas) {
                return Ok(());
            }
            let unknown = some.iter().filter(|(scope, _)| state.counters.known(scope).is_none());
            let unknown: Vec<_> = unknown.collect();
            counts.extend(unknown.into_iter().map(|(scope, limits)| (scope, limits, state.counters.begin(scope))));
        }
        if counts.is_empty() {
            return Ok(());
        }
        let group = self.state.lock().undecided();
        if let Some(group) = group {
            group.wait()?;
        }
        let view = self.engine.view.get();
        for some in counts.chunks(AT_ONCE) {
            let mut state = self.state.lock();
            some.iter().for_each(|(scope, _, ticket)| state.counters.view_taken(scope, *ticket, view.read_lsn));
        }
        let steps = Steps::begin(Stage::Waiting, 0);
        for (scope, limits, ticket) in counts {
            let counted = usage(&view, &scope.scope().interval(), limits.bytes.is_some(), &|| steps.check())?;
            self.state.lock().counters.finish(scope, ticket, counted);
        }
        Ok(())
    }
}
