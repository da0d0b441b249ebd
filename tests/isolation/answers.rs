//! What a tenant is told, as text that is the same in two stores if the tenant is told the same.
//!
//! This is the one place that takes away what may differ:
//! * Versions are LSNs, and all tenants share one sequence of LSNs. A version becomes the number of the tenant's write
//!   that returned it, so which version an item has still counts, and so does their order. An import returns no
//!   versions, so versions from imports share one name. That a version belongs to one item is tested apart.
//! * A kept moment shows an item's `expires_at` as it was, or as a later refresh by the tenant has put it off: parts of
//!   a store share refreshes with older read views until they are rewritten, and others may cause that.
//! * Snapshots, cursors and listings end when the store is closed or killed, and may end at anybody's purge
//!   ([`Answer::may_end`]). What they answer until then counts.
//!
//! Scores are written as bits. Everything else is written as it is: keys, values, times, vectors, counts, order, kinds
//! and texts of errors.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use vecmem::{Error, ErrorKind, Hit, Item, Namespace, Result, SearchResult, Version};

/// What one call told the tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The call, for people.
    pub call: String,
    pub text: String,
    /// It was read from a snapshot, cursor or listing that may have ended meanwhile.
    pub may_end: bool,
}

impl Answer {
    /// That the call answered that what it reads from has ended.
    pub fn has_ended(&self) -> bool {
        self.text.starts_with("SnapshotGone") || self.text == ENDED
    }
}

/// The answer of a call on what ended with the store that it was read from.
pub const ENDED: &str = "ended";

/// The versions that a tenant has seen.
#[derive(Default)]
pub struct Versions {
    /// Those that writes returned, with the number of the write.
    returned: BTreeMap<u64, usize>,
    /// The item that a read showed with a version.
    shown: HashMap<u64, (Namespace, String)>,
    /// Whether what is shown now is of an earlier moment.
    pub is_past: bool,
}

impl Versions {
    /// That later writes got larger versions, whatever lies between them.
    pub fn assert_in_order(&self) {
        assert!(self.returned.values().is_sorted(), "the order of a tenant's versions is not that of its writes");
    }

    /// The name of a version that a write returned.
    pub fn version(&mut self, version: Version) -> String {
        let next = self.returned.len();
        format!("version {}", self.returned.entry(version.to_u64()).or_insert(next))
    }

    /// The name of the version that a read shows.
    fn of_item(&mut self, item: &Item) -> String {
        let version = item.version.to_u64();
        let first = self.shown.entry(version).or_insert_with(|| (item.namespace.clone(), item.key.clone()));
        assert!((&first.0, &first.1) == (&item.namespace, &item.key), "one version of two items: {first:?}, {item:?}");
        self.returned.get(&version).map_or("of an import".to_owned(), usize::to_string)
    }

    pub fn item(&mut self, item: &Item) -> String {
        let Item { namespace, key, value, created_at, updated_at, ttl, expires_at, vectors, .. } = item;
        let version = self.of_item(item);
        let expires_at = expires_at.map(|at| if self.is_past { "some time".to_owned() } else { at.to_string() });
        format!("{namespace:?} {key:?} {value} {created_at} {updated_at} {ttl:?} {expires_at:?} v{version} {vectors:?}")
    }

    pub fn items<'i>(&mut self, items: impl IntoIterator<Item = &'i Item>) -> String {
        let mut text = String::new();
        items.into_iter().for_each(|item| writeln!(text, "{}", self.item(item)).unwrap());
        text
    }

    pub fn hits(&mut self, answer: &SearchResult) -> String {
        let mut text = format!("{} hits, incomplete {}\n", answer.len(), answer.incomplete);
        writeln!(text, "{:?} {:?}", answer.groups, answer.next).unwrap();
        for Hit { score, item } in answer.iter() {
            writeln!(text, "{:?} {}", score.map(f32::to_bits), self.item(item)).unwrap();
        }
        text
    }
}

/// The text of a result.
pub fn told<T>(result: Result<T>, text: impl FnOnce(T) -> String) -> String {
    result.map_or_else(|error| refusal(&error), text)
}

/// Kind and text of an error, and the texts of its causes.
fn refusal(error: &Error) -> String {
    assert_ne!(error.kind(), ErrorKind::Forked);
    let mut text = format!("{:?}: {error}", error.kind());
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        write!(text, ": {inner}").unwrap();
        cause = inner.source();
    }
    text
}
