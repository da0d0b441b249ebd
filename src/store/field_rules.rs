//! The calls that read and change the field rules of a store.

use crate::engine::field_rules::{field_rules, with_rules};
use crate::engine::install::change_settings;
use crate::error::Result;
use crate::field_index::FieldRules;
use crate::store::Store;

impl Store {
    /// Which paths of values the field indexes leave out, and which they keep before all others. The call reads memory
    /// only.
    pub fn field_rules(&self) -> Result<FieldRules> {
        self.handle.engine.check_usable()?;
        Ok(field_rules(&self.handle.engine.settings.get()))
    }

    /// Sets the [field rules](FieldRules), in the place of the present ones. They belong to the store, are kept as its
    /// setting `vecmem.fields`, and survive a power loss once the call returns.
    ///
    /// Rules apply to what is made from then on: by flushes, merges and imports, and in memory by searches. Indexes
    /// that are there stay as they are until then, or until [`rebuild_fields`](Self::rebuild_fields); `stats` counts
    /// those of segments. No answer depends on it.
    ///
    /// Errors: `DiskFull`, `Poisoned`, `Io`. After an error nothing has changed; after `Poisoned` the change may or may
    /// not be on disk.
    ///
    /// ```
    /// # use vecmem::{FieldRules, Options, Store};
    /// # let store = Store::temporary(Options::new())?;
    /// store.set_field_rules(&FieldRules::new(["raw_html", "metadata.*"], ["metadata.user"])?)?;
    /// assert_eq!(store.field_rules()?.forced(), ["metadata.user"]);
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub fn set_field_rules(&self, rules: &FieldRules) -> Result<()> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        change_settings(&self.handle.engine, |settings| with_rules(settings, rules))
    }

    /// Builds those field indexes again that were built by other rules than the present ones, and returns how many
    /// segments that were. It reads all values of these segments; searches and writes go on meanwhile.
    ///
    /// Errors: `DiskFull`, `Poisoned`, `Io`, `Closed`. What was rebuilt before an error stays.
    pub fn rebuild_fields(&self) -> Result<u64> {
        let _call = self.handle.calls.read();
        self.handle.engine.check_writable()?;
        self.handle.worker.rebuild_fields()
    }
}
