//! Conditions on what the store keeps of an item beside its value: times and key.
//!
//! Invariants:
//! * A test of an item reads no value.
//! * An item that never expires has no time of expiry: no range holds for it.

use std::sync::Arc;

use super::range::Range;
use super::set::{LiteralSet, PreparedSet};
use super::timestamp::Timestamp;
use crate::types::{Item, NEVER};

/// A predicate on the times or the key of an item.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Hash)]
pub enum ItemTest {
    /// The item was first put on one side of an instant.
    CreatedAt(Range, Timestamp),
    /// The item was last put on one side of an instant.
    UpdatedAt(Range, Timestamp),
    /// The item expires, on one side of an instant.
    ExpiresAt(Range, Timestamp),
    /// The item expires.
    Expires,
    /// The key begins with this.
    KeyStartsWith(String),
    /// The key is one of these. Literals that are no strings are the key of no item.
    KeyIn(LiteralSet),
}

/// What tests ask of one item. Times are microseconds since 1970 UTC.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ItemFacts<'a> {
    pub created_at: i64,
    pub updated_at: i64,
    /// [`NEVER`] if the item does not expire.
    pub expires_at: i64,
    pub key: &'a str,
}

impl<'a> ItemFacts<'a> {
    /// For filters that ask for nothing of the item.
    pub const NONE: ItemFacts<'static> = ItemFacts { created_at: 0, updated_at: 0, expires_at: NEVER, key: "" };

    pub fn of(item: &'a Item) -> Self {
        Self {
            created_at: item.created_at,
            updated_at: item.updated_at,
            expires_at: item.expires_at.unwrap_or(NEVER),
            key: &item.key,
        }
    }
}

/// A test of an item, prepared.
#[derive(Clone, Debug)]
pub(super) enum PreparedItemTest {
    CreatedAt(Range, Timestamp),
    UpdatedAt(Range, Timestamp),
    ExpiresAt(Range, Timestamp),
    Expires,
    KeyStartsWith(Box<str>),
    KeyIn(Arc<PreparedSet>),
}

impl PreparedItemTest {
    pub fn new(test: &ItemTest) -> Self {
        match test {
            ItemTest::CreatedAt(range, bound) => Self::CreatedAt(*range, *bound),
            ItemTest::UpdatedAt(range, bound) => Self::UpdatedAt(*range, *bound),
            ItemTest::ExpiresAt(range, bound) => Self::ExpiresAt(*range, *bound),
            ItemTest::Expires => Self::Expires,
            ItemTest::KeyStartsWith(prefix) => Self::KeyStartsWith(prefix.as_str().into()),
            ItemTest::KeyIn(keys) => Self::KeyIn(keys.prepared()),
        }
    }

    pub fn holds(&self, item: &ItemFacts<'_>) -> bool {
        let compare = |range: &Range, micros, bound| range.holds(Timestamp::from_micros(micros).cmp(bound));
        match self {
            Self::CreatedAt(range, bound) => compare(range, item.created_at, bound),
            Self::UpdatedAt(range, bound) => compare(range, item.updated_at, bound),
            Self::ExpiresAt(range, bound) => item.expires_at != NEVER && compare(range, item.expires_at, bound),
            Self::Expires => item.expires_at != NEVER,
            Self::KeyStartsWith(prefix) => item.key.starts_with(&**prefix),
            Self::KeyIn(keys) => keys.contains_text(item.key),
        }
    }
}
