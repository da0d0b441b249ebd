//! The items of a namespace or a prefix, put under other namespaces and deleted under the old ones, in one frame.
//!
//! Invariants:
//! * The old and the new scope have no namespace in common, so the deletes and the puts of a frame concern other keys.
//! * Items that have expired and are not removed yet move too, so that a corrected clock finds them in one place. They
//!   take no place of another item: such a one stays, and is removed with the next sweep.

use std::sync::Arc;

use serde::Serialize;

use crate::commit::resolved::{Resolved, Rule, Settled, WrittenKey};
use crate::engine::Engine;
use crate::error::{Error, ErrorKind, Limit, Result};
use crate::ids::RowId;
use crate::interrupt::{Stage, Steps};
use crate::record::{DeletedKeys, ItemContent, Lsn, Record};
use crate::shard::{PartRef, ReadView};
use crate::store::passing_items::visit_items;
use crate::store::prune::REMAINS;
use crate::store::query::ReadOptions;
use crate::store::read::ReadContext;
use crate::types::{Interval, Namespace, Scope, is_encoded_namespace, limits};
use crate::words::counted;

/// Options of [`Store::rename_with`](crate::Store::rename_with). The default is one atomic rename to an empty scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RenameOptions {
    merge: bool,
    batches: bool,
    after: Option<String>,
}

impl RenameOptions {
    /// The default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Move the items although there are items under the new name already. An item of the same namespace and key is
    /// replaced by the moved one.
    #[must_use]
    pub fn merge(mut self, merge: bool) -> Self {
        self.merge = merge;
        self
    }

    /// Move as many items as one step can, instead of failing if there are more. Call again with
    /// [`RenameReceipt::next`] until it is `None`. Each step is atomic by itself: between two steps, readers find some
    /// items under the old name and some under the new one.
    #[must_use]
    pub fn batches(mut self, batches: bool) -> Self {
        self.batches = batches;
        self
    }

    /// Go on where the call with this [`RenameReceipt::next`] has ended. Implies [`batches`](Self::batches).
    #[must_use]
    pub fn after(mut self, next: impl Into<String>) -> Self {
        self.after = Some(next.into());
        self
    }
}

/// What a rename has done.
#[non_exhaustive]
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RenameReceipt {
    /// The old scope as text: `a/b` for a namespace, `a/b/` for a prefix.
    pub from: String,
    /// The new scope as text.
    pub to: String,
    /// Items that this call has moved.
    pub moved: u64,
    /// Items that this call and the calls before it, by [`RenameOptions::after`], have moved.
    pub total: u64,
    /// What the next call needs to go on; `None` if this one has moved everything.
    pub next: Option<String>,
    /// For people: where the bytes under the old name still are, and what to do about them.
    pub remains: &'static str,
    /// The time that the call took, in seconds.
    pub seconds: f64,
}

/// Moves the items of a scope.
pub(super) struct Rename<'a> {
    engine: &'a Engine,
    from: Scope,
    to: Scope,
    /// The encoded labels that are replaced, and those that replace them.
    labels: [Vec<u8>; 2],
    may_merge: bool,
    /// Whether an earlier call has begun the move.
    goes_on: bool,
    is_partial: bool,
    /// What earlier calls have moved.
    before: u64,
    is_cut: bool,
    /// The items under their new names, as they were put last.
    moved: Vec<Arc<Record>>,
}

impl<'a> Rename<'a> {
    pub fn new(engine: &'a Engine, from: &Scope, to: &Namespace, options: &RenameOptions) -> Result<Self> {
        let (old, target) = match from {
            Scope::Namespace(old) => (old, Scope::Namespace(to.clone())),
            Scope::Prefix(old) => (old, Scope::Prefix(to.clone())),
            Scope::Store => return Err(Error::invalid("rename takes a namespace or a prefix, not the whole store")),
        };
        if from.interval().overlaps(&target.interval()) {
            let (from, to) = (from.name(), target.name());
            return Err(Error::invalid(format!(
                "{from} cannot be renamed to {to}: one of them holds the other; choose a name outside"
            )));
        }
        let before = match options.after.as_deref() {
            Some(next) => next.parse().map_err(|_| Error::invalid("`after` is not what a receipt gave as `next`"))?,
            None => 0,
        };
        let goes_on = options.after.is_some();
        Ok(Self {
            engine,
            from: from.clone(),
            labels: [old.encoded().to_vec(), to.encoded().to_vec()],
            to: target,
            may_merge: options.merge,
            goes_on,
            is_partial: options.batches || goes_on,
            before,
            is_cut: false,
            moved: Vec::new(),
        })
    }

    pub fn receipt(&self, moved: u64, seconds: f64) -> RenameReceipt {
        let total = self.before.saturating_add(moved);
        RenameReceipt {
            from: self.from.name(),
            to: self.to.name(),
            moved,
            total,
            next: self.is_cut.then(|| total.to_string()),
            remains: REMAINS,
            seconds,
        }
    }

    /// The items under their new names.
    pub fn moved(&self) -> impl Iterator<Item = &ItemContent> {
        self.moved.iter().map(|record| &*record.content)
    }

    /// The namespace that takes the place of an old one.
    fn renamed(&self, old: &[u8]) -> Result<Namespace> {
        let [from, to] = &self.labels;
        let encoded = [to.as_slice(), &old[from.len().min(old.len())..]].concat();
        if is_encoded_namespace(&encoded) {
            return Ok(Namespace::from_encoded(&encoded));
        }
        let labels = Namespace::from_encoded(&encoded).labels().len();
        Err(Error::limit(Limit::Labels, "labels of a namespace under the new name", labels, limits::LABELS))
    }

    /// Fails if the new scope has an item.
    fn check_empty(&self, view: &ReadView) -> Result<()> {
        let reader = ReadContext::new(self.engine, view, self.engine.clock.query_time(), &ReadOptions::default());
        let mut has_items = false;
        visit_items(&reader, &self.to.interval(), None, &mut |_, _| {
            has_items = true;
            Ok(false)
        })?;
        if has_items { Err(self.not_empty()) } else { Ok(()) }
    }

    fn not_empty(&self) -> Error {
        let message =
            format!("there are items under {} already; merge with them, or choose another name", self.to.name());
        Error::new(ErrorKind::ConditionFailed, message)
    }

    /// Whether there is an item under the new name of a row.
    fn is_taken(&self, view: &ReadView, part: &PartRef<'_>, row: RowId) -> Result<bool> {
        let (namespace, key) = part.address(row)?;
        Ok(view.current(&self.renamed(namespace)?, key)?.is_some())
    }

    fn too_many(&self, items: u64) -> Error {
        let message = format!(
            "{}: {} would be moved, more than the limit of {} or {} bytes of one step; move them in batches, and go on \
             with the receipt of each",
            self.from.name(),
            counted(items, "item"),
            counted(limits::RENAMED_ITEMS as u64, "item"),
            limits::RENAMED_BYTES
        );
        Error::new(ErrorKind::Limit(Limit::RenamedItems), message)
    }
}

impl Rule for Rename<'_> {
    fn intervals(&self) -> Vec<Interval> {
        vec![self.from.interval(), self.to.interval()]
    }

    fn resolve(&mut self, view: &Arc<ReadView>) -> Result<Resolved> {
        // A call that goes on finds what the calls before have moved, and asks about each item.
        if !self.may_merge && !self.goes_on {
            self.check_empty(view)?;
        }
        self.is_cut = false;
        let options = ReadOptions { include_expired: true, ..ReadOptions::default() };
        let reader = ReadContext::new(self.engine, view, self.engine.clock.query_time(), &options);
        let (mut found, mut bytes, mut items) = (Vec::<(Lsn, Record)>::new(), 0, 0_u64);
        let (steps, now) = (Steps::begin(Stage::Delete, 0), self.engine.clock.query_time());
        visit_items(&reader, &self.from.interval(), None, &mut |part, row| {
            if part.current(row)?.expires_at <= now && self.is_taken(view, part, row)? {
                return Ok(true);
            }
            items += 1;
            if self.is_cut {
                return Ok(!self.is_partial);
            }
            steps.check()?;
            let record = part.record(row)?;
            bytes += record.bytes();
            if found.len() == limits::RENAMED_ITEMS || (bytes > limits::RENAMED_BYTES && !found.is_empty()) {
                self.is_cut = true;
                return Ok(!self.is_partial);
            }
            found.push((part.lsn(row)?, record));
            Ok(true)
        })?;
        if self.is_cut && !self.is_partial {
            return Err(self.too_many(items));
        }
        // In the order of the old versions, which decides between items of one time in listings.
        found.sort_unstable_by_key(|(lsn, _)| *lsn);
        let mut resolved = Resolved::default();
        for (_, record) in found {
            let namespace = self.renamed(record.namespace.encoded())?;
            if !self.may_merge && view.current(&namespace, &record.key)?.is_some() {
                return Err(self.not_empty());
            }
            resolved.deletes.push((record.namespace.clone(), Arc::clone(&record.key)));
            let content = Arc::new(ItemContent { namespace, ..ItemContent::clone(&record.content) });
            resolved.puts.push(Arc::new(Record { content, ..record }));
        }
        self.moved.clone_from(&resolved.puts);
        Ok(resolved)
    }

    fn settle(&self, _changes: &[WrittenKey], _listed: &DeletedKeys) -> Result<Option<Settled>> {
        Ok(None)
    }
}
