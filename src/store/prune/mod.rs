//! Deletes and moves of many items by a rule: those that pass a filter, all but the newest, all of a scope.
//!
//! Reading order: the calls and their options here; `place` (where a later call goes on), `listed` (the keys that a
//! call deletes, at most so many), `delete_where`, `keep_newest`, `rename`.
//!
//! Invariants:
//! * A call writes one frame, all or nothing, and its outcome is that of the rule on the state that the frame commits
//!   to (`commit/resolved.rs`).
//! * A call deletes at most [`limits::PRUNED_ITEMS`] items. What is more fails, unless the caller asks for a part.
//! * A rule that holds for everything is refused: a range delete says so, and does it at once.

mod delete_where;
mod keep_newest;
mod listed;
mod place;
mod rename;

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Serialize;

use crate::commit::resolved::Rule;
use crate::error::{Error, Limit, Result};
use crate::filter::{Filter, PreparedFilter};
use crate::store::Store;
use crate::types::{Namespace, Scope, limits};

use delete_where::DeleteWhere;
use keep_newest::KeepNewest;
use place::Place;
use rename::Rename;
pub use rename::{RenameOptions, RenameReceipt};

/// What a receipt says of the bytes of deleted items.
const REMAINS: &str = "the files of the store hold what was deleted until merges rewrite them: compact, or purge with \
    keep_living, erases it at once, in the files of the store but not in backups and other copies";

/// Options of [`Store::delete_where_with`] and [`Store::keep_newest_with`]. The default is one atomic delete of all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PruneOptions {
    limit: Option<usize>,
    batches: bool,
    after: Option<String>,
    filter: Option<Filter>,
}

impl PruneOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Delete at most this many items, 1 to [`limits::PRUNED_ITEMS`], in one atomic step. The receipt says where a next
    /// call goes on.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Delete as many items as one atomic step can, instead of failing if there are more. Call again with
    /// [`PruneReceipt::next`] until it is `None`. Each step is atomic by itself.
    #[must_use]
    pub fn batches(mut self, batches: bool) -> Self {
        self.batches = batches;
        self
    }

    /// Go on where the call with this [`PruneReceipt::next`] has ended. Scope and filter must be the same. Implies
    /// [`batches`](Self::batches).
    #[must_use]
    pub fn after(mut self, next: impl Into<String>) -> Self {
        self.after = Some(next.into());
        self
    }

    /// For [`Store::keep_newest_with`]: only items that pass the filter count, and only they are deleted.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// The most items that a call deletes, and whether it may leave more.
    fn cap(&self) -> Result<Cap> {
        match self.limit {
            Some(0) => Err(Error::invalid("the limit is 0; leave it out, or delete at least one item")),
            Some(limit) if limit > limits::PRUNED_ITEMS => {
                Err(Error::limit(Limit::PrunedItems, "items of one delete", limit, limits::PRUNED_ITEMS))
            }
            Some(limit) => Ok(Cap { items: limit, is_partial: true }),
            None => Ok(Cap { items: limits::PRUNED_ITEMS, is_partial: self.batches || self.after.is_some() }),
        }
    }

    fn place(&self, scope: &Scope) -> Result<Option<Place>> {
        self.after.as_deref().map(|next| Place::read(next, scope)).transpose()
    }
}

/// The most items that a call deletes.
#[derive(Clone, Copy, Debug)]
struct Cap {
    items: usize,
    /// Whether a call that has found more deletes so many, and says where to go on. Otherwise it fails.
    is_partial: bool,
}

/// What a delete by filter, or a prune, has done.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PruneReceipt {
    /// The scope as text: `a/b` for a namespace, `a/b/` for a prefix, `*` for the store.
    pub scope: String,
    /// Items that this call has deleted.
    pub deleted: u64,
    /// Items that this call and the calls before it, by [`PruneOptions::after`], have deleted.
    pub total: u64,
    /// Where the next call goes on; `None` if this one has seen everything.
    pub next: Option<String>,
    /// For people: where the bytes of what was deleted still are, and what to do about them.
    pub remains: &'static str,
    /// The time that the call took, in seconds.
    pub seconds: f64,
}

impl PruneReceipt {
    /// The time that the call took.
    pub fn took(&self) -> Duration {
        Duration::try_from_secs_f64(self.seconds).unwrap_or_default()
    }
}

/// The filter of a delete. One that holds for every item is refused.
fn selective(filter: &Filter) -> Result<PreparedFilter> {
    let prepared = filter.prepare()?;
    if prepared.constant() == Some(true) {
        return Err(Error::invalid(
            "the filter holds for every item; give one that tells items apart, or delete the whole scope with \
             delete_range (delete_namespace in Python), or the store with delete_everything",
        ));
    }
    Ok(prepared)
}

impl Store {
    /// Deletes the items of `scope` for which `filter` holds, all of them in one step or none. Returns how many these
    /// were. [`Store::count_where`] tells how many there would be.
    ///
    /// The items are found without a lock. Then the delete is decided on the state that it commits to: an item that
    /// others have written meanwhile is tested again. Expired items are left to the sweep.
    ///
    /// Errors: `InvalidInput` for a filter that holds for every item (use [`Store::delete_range`]), `Limit` for a
    /// filter that is too large, or if more than [`limits::PRUNED_ITEMS`] items pass (use [`PruneOptions::batches`]),
    /// `Busy` if others kept writing what it would delete, `Damaged`, `Interrupted`, and those of a delete. After an
    /// error nothing was deleted.
    ///
    /// ```
    /// # use vecmem::{Filter, Namespace, Options, Put, ReadOptions, Scope, Store};
    /// # let store = Store::temporary(Options::new())?;
    /// let notes = Namespace::new(["notes"])?;
    /// for (key, value) in [("a", r#"{"kind": "draft"}"#), ("b", r#"{"kind": "final"}"#), ("c", r#"{"kind":
    /// "draft"}"#)] { store.put(Put::new(&notes, key, value))?; } let drafts = Filter::eq("kind", "draft");
    /// assert_eq!(store.count_where(&Scope::from(&notes), &drafts, &ReadOptions::default())?, 2);
    /// assert_eq!(store.delete_where(&Scope::from(&notes), &drafts)?.deleted, 2);
    /// assert_eq!(store.count(&Scope::from(&notes), &ReadOptions::default())?, 1);
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub fn delete_where(&self, scope: &Scope, filter: &Filter) -> Result<PruneReceipt> {
        self.delete_where_with(scope, filter, &PruneOptions::default())
    }

    /// The same, as the options say. With a limit, the first items in (namespace, key) order are deleted; items that
    /// are written meanwhile before the place where the next call goes on are not seen again.
    ///
    /// ```
    /// # use vecmem::{Filter, Namespace, Options, PruneOptions, Put, Scope, Store};
    /// # let store = Store::temporary(Options::new())?;
    /// # let notes = Namespace::new(["notes"])?;
    /// # for key in 0..5 { store.put(Put::new(&notes, key.to_string(), r#"{"kind": "draft"}"#))?; }
    /// let (scope, drafts) = (Scope::from(&notes), Filter::eq("kind", "draft"));
    /// let mut options = PruneOptions::new().limit(2);
    /// let total = loop {
    ///     let receipt = store.delete_where_with(&scope, &drafts, &options)?;
    ///     let Some(next) = receipt.next else { break receipt.total };
    ///     options = options.after(next);
    /// };
    /// assert_eq!(total, 5);
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub fn delete_where_with(&self, scope: &Scope, filter: &Filter, options: &PruneOptions) -> Result<PruneReceipt> {
        if options.filter.is_some() {
            return Err(Error::invalid("delete_where takes its filter as an argument; leave that of the options out"));
        }
        let (filter, cap, after) = (selective(filter)?, options.cap()?, options.place(scope)?);
        let before = after.as_ref().map_or(0, |place| place.total);
        let mut rule = DeleteWhere::new(&self.handle.engine, scope, filter, cap, after);
        let (deleted, seconds) = self.prune(&mut rule)?;
        let next =
            rule.next().map(|(namespace, key)| Place::new(before.saturating_add(deleted), &namespace, &key).write());
        Ok(PruneReceipt {
            scope: scope.name(),
            deleted,
            total: before.saturating_add(deleted),
            next,
            remains: REMAINS,
            seconds,
        })
    }

    /// Deletes all but the `n` newest items of a namespace, in the order of listings: by the time of the last write,
    /// then by version. Under [`Scope::Prefix`] and [`Scope::Store`] each namespace keeps `n` items of its own. All
    /// deletes happen in one step or none.
    ///
    /// The rules and errors are those of [`Store::delete_where`]; `n` is at least 1.
    ///
    /// ```
    /// # use vecmem::{Namespace, Options, Put, Scope, Store};
    /// # let store = Store::temporary(Options::new())?;
    /// for (thread, messages) in [("t1", 5), ("t2", 2)] {
    ///     let thread = Namespace::new(["threads", thread])?;
    ///     for number in 0..messages {
    ///         store.put(Put::new(&thread, format!("m{number}"), "{}"))?;
    ///     }
    /// }
    /// // The last three messages of each thread.
    /// assert_eq!(store.keep_newest(&Scope::prefix(["threads"])?, 3)?.deleted, 2);
    /// assert!(store.get(&Namespace::new(["threads", "t1"])?, "m1")?.is_none());
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub fn keep_newest(&self, scope: &Scope, n: usize) -> Result<PruneReceipt> {
        self.keep_newest_with(scope, n, &PruneOptions::default())
    }

    /// The same, as the options say. With a filter, only items that pass it count, and only they are deleted.
    pub fn keep_newest_with(&self, scope: &Scope, n: usize, options: &PruneOptions) -> Result<PruneReceipt> {
        let n = NonZeroUsize::new(n).ok_or_else(|| {
            Error::invalid("keep_newest keeps at least 1 item of a namespace; delete_range deletes all of a scope")
        })?;
        let filter = options.filter.as_ref().map(Filter::prepare).transpose()?;
        let (cap, after) = (options.cap()?, options.place(scope)?);
        let before = after.as_ref().map_or(0, |place| place.total);
        let mut rule = KeepNewest::new(&self.handle.engine, scope, n, filter, cap);
        if let Some(place) = after {
            rule.start_at(&place.namespace);
        }
        let (deleted, seconds) = self.prune(&mut rule)?;
        let next = rule.next().map(|namespace| Place::new(before.saturating_add(deleted), namespace, "").write());
        Ok(PruneReceipt {
            scope: scope.name(),
            deleted,
            total: before.saturating_add(deleted),
            next,
            remains: REMAINS,
            seconds,
        })
    }

    /// Moves every item of a namespace, or of a namespace and everything below it, to another one, in one step or none.
    /// Items keep value, vectors, extensions, times of creation and of the last write, time to live and expiry; they
    /// get new versions. Under [`Scope::Prefix`], `to` takes the place of the prefix: `a/` renamed to `b` makes `a/x`
    /// to `b/x`.
    ///
    /// An LSM keeps items in the order of namespaces, so a rename writes them again: at most [`limits::RENAMED_ITEMS`]
    /// items and [`limits::RENAMED_BYTES`] in one step. Graphs of the old scope are not carried over; new ones are
    /// built as for any other items.
    ///
    /// Errors: `InvalidInput` for the whole store, and if the scopes overlap; `ConditionFailed` if there are items
    /// under `to` (see [`RenameOptions::merge`]); `Limit` if there is more than one step may write (see
    /// [`RenameOptions::batches`]), or if a namespace gets too many labels; `Busy`, `Damaged` and those of a put. After
    /// an error nothing was moved.
    ///
    /// ```
    /// # use vecmem::{Namespace, Options, Put, Scope, Store};
    /// # let store = Store::temporary(Options::new())?;
    /// store.put(Put::new(&Namespace::new(["drafts", "may"])?, "a", "{}"))?;
    /// let receipt = store.rename(&Scope::prefix(["drafts"])?, &Namespace::new(["posts"])?)?;
    /// assert_eq!(receipt.moved, 1);
    /// assert!(store.get(&Namespace::new(["posts", "may"])?, "a")?.is_some());
    /// # Ok::<(), vecmem::Error>(())
    /// ```
    pub fn rename(&self, from: &Scope, to: &Namespace) -> Result<RenameReceipt> {
        self.rename_with(from, to, &RenameOptions::default())
    }

    /// The same, as the options say.
    pub fn rename_with(&self, from: &Scope, to: &Namespace, options: &RenameOptions) -> Result<RenameReceipt> {
        let mut rule = Rename::new(&self.handle.engine, from, to, options)?;
        let (moved, seconds) = self.prune(&mut rule)?;
        self.handle.embeddings.note_items(rule.moved());
        Ok(rule.receipt(moved, seconds))
    }

    /// Writes what the rule decides. Returns how many items it deleted, and the time that it took in seconds.
    fn prune(&self, rule: &mut dyn Rule) -> Result<(u64, f64)> {
        let _call = self.handle.calls.read();
        let engine = &self.handle.engine;
        let started = engine.clock.monotonic();
        let deleted = self.handle.pipeline.write_resolved(rule)?;
        if engine.tuning.inline_background {
            self.handle.worker.run_inline();
        }
        Ok((deleted, engine.clock.monotonic().saturating_sub(started).as_secs_f64()))
    }
}
