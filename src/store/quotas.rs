//! Quotas of scopes: set, listed, and what scopes with one hold.

use crate::engine::install::change_settings;
pub(super) use crate::engine::quotas::{SETTING, check};
use crate::engine::quotas::{is_same, with_quota, without_quota};
use crate::error::Result;
use crate::store::Store;
use crate::types::{Quota, QuotaUse, Scope};

impl Store {
    /// Limits what a scope may hold, or each scope directly below one. It takes the place of an earlier quota of the
    /// same scope. It is kept like a setting: it survives a power loss once the call returns, under every durability,
    /// and it is in backups and exports. A write that begins after the call has returned obeys it.
    ///
    /// A write that would exceed a quota fails with [`QuotaExceeded`](crate::ErrorKind::QuotaExceeded), and its whole
    /// batch has written nothing. What does not grow passes, and so do all deletes: where a scope holds more than a new
    /// quota, nothing is removed, but nothing is added until there is less. An item that has expired counts until a
    /// sweep removes it.
    ///
    /// A scope is counted once, when something is first added to it after an open; from then on a put costs a look-up.
    ///
    /// Errors: `InvalidInput`; `Limit` for more than [`limits::QUOTAS`](crate::limits::QUOTAS); those of
    /// [`Store::set_setting`].
    ///
    /// ```
    /// # use vecmem::{Namespace, Options, Put, Quota, Scope, Store};
    /// # let store = Store::temporary(Options::new())?;
    /// store.set_quota(Quota::each(Scope::prefix(["users"])?).items(10_000).bytes(100 << 20))?;
    /// let facts = Namespace::new(["users", "ada", "facts"])?;
    /// store.put(Put::new(&facts, "tea", "{}"))?;
    /// let held = store.quota_use(&Scope::from(&facts))?;
    /// assert_eq!((held[0].scope.as_str(), held[0].items, held[0].bytes), ("users/ada/", 1, Some(5)));
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub fn set_quota(&self, quota: Quota) -> Result<()> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        change_settings(&self.handle.engine, |settings| with_quota(settings, &quota))
    }

    /// Removes the quota of the same scope, whatever its limits. Returns whether there was one.
    pub fn remove_quota(&self, quota: &Quota) -> Result<bool> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        let mut was_there = false;
        change_settings(&self.handle.engine, |settings| {
            was_there = self.handle.engine.quotas.get().all().iter().any(|other| is_same(other, quota));
            without_quota(settings, quota)
        })?;
        Ok(was_there)
    }

    /// All quotas. The call reads memory only.
    pub fn quotas(&self) -> Result<Vec<Quota>> {
        self.handle.engine.check_usable()?;
        Ok(self.handle.engine.quotas.get().all().to_vec())
    }

    /// What the scopes hold that a whole scope counts for, if they have a quota: the store, prefixes around it, itself.
    /// The figures are those of the newest writes. Scopes that were not counted since the open are counted.
    ///
    /// Errors: `Busy` if others kept deleting ranges inside of a scope while it was counted.
    pub fn quota_use(&self, scope: &Scope) -> Result<Vec<QuotaUse>> {
        let _call = self.handle.calls.read();
        self.handle.pipeline.quota_use(scope)
    }
}
