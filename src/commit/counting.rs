//! Counts what scopes with a quota hold, on read views and without a lock.
//!
//! Invariants:
//! * The read view of a count shows every write from before the count began. What is written later is noted.
//! * Threads that need the same count wait for each other, so that it is made once.

use super::Pipeline;
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

impl Pipeline {
    /// What the scopes with a quota that hold a whole scope do hold.
    pub fn quota_use(&self, scope: &Scope) -> Result<Vec<QuotaUse>> {
        self.engine.check_usable()?;
        let scopes = self.engine.quotas.get().of_scope(scope);
        let uses = scopes.into_iter().map(|(scope, limits)| {
            let Usage { items, bytes } = self.counted(&scope, &limits)?;
            let bytes = limits.bytes.is_some().then_some(bytes);
            let (items_limit, bytes_limit) = (limits.items, limits.bytes);
            Ok(QuotaUse { scope: scope.scope().name(), items, items_limit, bytes, bytes_limit })
        });
        uses.collect()
    }

    fn counted(&self, scope: &QuotaScope, limits: &QuotaLimits) -> Result<Usage> {
        for _ in 0..COUNTS_MAX {
            self.count(&[(scope.clone(), *limits)])?;
            if let Some(usage) = self.state.lock().counters.known(scope) {
                return Ok(usage);
            }
        }
        Err(Self::uncountable(scope))
    }

    /// Counts what scopes hold, unless that is known. Another write may undo a count at once.
    pub(super) fn count(&self, scopes: &[(QuotaScope, QuotaLimits)]) -> Result<()> {
        let Some((first, _)) = scopes.first() else { return Ok(()) };
        let _others_wait = self.count_locks[first.stripe(COUNT_STRIPES)].lock();
        let mut counts = Vec::with_capacity(scopes.len());
        for some in scopes.chunks(AT_ONCE) {
            let mut state = self.state.lock();
            state.counters.keep_for(self.engine.quotas.get());
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

    /// The error of a call for which scopes were counted too often.
    pub(super) fn uncountable(scope: &QuotaScope) -> Error {
        let message = format!(
            "others kept deleting parts of {} while it was counted for its quota; nothing was written, try again later",
            scope.scope().name()
        );
        Error::new(ErrorKind::Busy, message)
    }
}
