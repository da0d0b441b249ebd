//! A list of literals, of which a value is compared with all at once.
//!
//! Invariants:
//! * A list is prepared once, however often the filter with it is copied and prepared: copies share it.
//! * Finding a value among the literals costs the same however many there are, once it is hashed.
//! * Two literals are one if the same values are equal to them. NaN is found by no value.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher, RandomState};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use super::fingerprint::fingerprint;
use super::literal::{Literal, ScalarList};
use super::operand::{Operand, hash_value, timestamp_of};
use super::timestamp::Timestamp;
use crate::json::Raw;

/// Lists of at most this many literals are compared one by one, which is faster than hashing.
const LITERALS_TRIED_MAX: usize = 8;
/// No more literals with the hash.
const END: u32 = u32::MAX;

/// A list of literals, in the order in which they were given. It dereferences to a slice of [`Literal`]. Copies share
/// the literals and what a search prepares of them.
#[derive(Clone, Default)]
pub struct LiteralSet(Arc<SharedLiterals>);

#[derive(Default)]
struct SharedLiterals {
    literals: Vec<Literal>,
    prepared: OnceLock<Arc<PreparedSet>>,
    fingerprint: OnceLock<u128>,
    scalars: OnceLock<Option<ScalarList>>,
}

impl Deref for LiteralSet {
    type Target = [Literal];

    fn deref(&self) -> &[Literal] {
        &self.0.literals
    }
}

/// The literals alone: equal lists look the same, prepared or not.
impl fmt::Debug for LiteralSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl PartialEq for LiteralSet {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.literals == other.0.literals
    }
}

/// A long list is hashed once.
impl Hash for LiteralSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fingerprint().hash(state);
    }
}

impl<L: Into<Literal>> FromIterator<L> for LiteralSet {
    fn from_iter<I: IntoIterator<Item = L>>(literals: I) -> Self {
        Self(Arc::new(SharedLiterals {
            literals: literals.into_iter().map(Into::into).collect(),
            prepared: OnceLock::new(),
            fingerprint: OnceLock::new(),
            scalars: OnceLock::new(),
        }))
    }
}

impl LiteralSet {
    /// A number that two lists have in common only if they are equal. Only the first call computes it.
    pub(super) fn fingerprint(&self) -> u128 {
        *self.0.fingerprint.get_or_init(|| fingerprint(self.0.literals.as_slice()))
    }

    /// What the literals are together, if all are scalars. Only the first call looks at them.
    pub(super) fn scalars(&self) -> Option<ScalarList> {
        *self.0.scalars.get_or_init(|| ScalarList::new(&self.0.literals))
    }

    /// The literals for comparisons. Only the first call makes them.
    pub(super) fn prepared(&self) -> Arc<PreparedSet> {
        Arc::clone(self.0.prepared.get_or_init(|| Arc::new(PreparedSet::new(&self.0.literals))))
    }
}

/// The different ones of a list of literals, numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct PreparedSet {
    operands: Vec<Operand>,
    /// The first literal with each hash; dates are not among them. Empty where literals are compared one by one.
    by_hash: HashMap<u64, u32>,
    /// For each literal, the next one with its hash.
    next: Vec<u32>,
    /// The number of each date. Empty where literals are compared one by one.
    dates: HashMap<Timestamp, u32>,
    has_null: bool,
    keys: RandomState,
}

impl PreparedSet {
    fn new(literals: &[Literal]) -> Self {
        let mut set = Self { keys: RandomState::new(), ..Self::default() };
        literals.iter().for_each(|literal| set.add(Operand::new(literal)));
        if set.operands.len() <= LITERALS_TRIED_MAX {
            (set.by_hash, set.dates) = (HashMap::new(), HashMap::new());
        }
        set
    }

    /// Adds the literal, unless it is there.
    fn add(&mut self, operand: Operand) {
        // The limit of literals keeps numbers far below 2^32; without the limit, a list that long is cut.
        let number = u32::try_from(self.operands.len()).unwrap_or(END);
        if number == END {
            return;
        }
        if let Operand::Date(timestamp) = operand {
            if *self.dates.entry(timestamp).or_insert(number) != number {
                return;
            }
            self.next.push(END);
        } else {
            self.has_null |= matches!(operand, Operand::Null);
            let first = self.by_hash.entry(operand.hash(&self.keys)).or_insert(number);
            let mut before = *first;
            if before == number {
                self.next.push(END);
            } else {
                loop {
                    if self.operands[before as usize].is_same(&operand) {
                        return;
                    }
                    match self.next[before as usize] {
                        END => break,
                        next => before = next,
                    }
                }
                self.next[before as usize] = number;
                self.next.push(END);
            }
        }
        self.operands.push(operand);
    }

    /// The different literals.
    pub(crate) fn operands(&self) -> &[Operand] {
        &self.operands
    }

    /// The number of different literals.
    pub(super) fn len(&self) -> usize {
        self.operands.len()
    }

    pub(super) fn has_null(&self) -> bool {
        self.has_null
    }

    /// Whether a literal is equal to the value; `None` if the value is not JSON.
    #[inline]
    pub(super) fn contains(&self, value: Raw<'_>) -> Option<bool> {
        if self.by_hash.is_empty() && self.dates.is_empty() {
            for operand in &self.operands {
                if operand.equals(value)? {
                    return Some(true);
                }
            }
            return Some(false);
        }
        let mut found = false;
        self.find(value, |_| found = true)?;
        Some(found)
    }

    /// Calls `each` with the number of each literal that is equal to the value: a text may be equal to a string and to
    /// a date. `None` if the value is not JSON.
    pub(super) fn find(&self, value: Raw<'_>, mut each: impl FnMut(usize)) -> Option<()> {
        if self.by_hash.is_empty() && self.dates.is_empty() {
            for (number, operand) in self.operands.iter().enumerate() {
                if operand.equals(value)? {
                    each(number);
                }
            }
            return Some(());
        }
        if !self.by_hash.is_empty() {
            let mut number = self.by_hash.get(&hash_value(&self.keys, value)?).copied().unwrap_or(END);
            while let Some(operand) = self.operands.get(number as usize) {
                if operand.equals(value)? {
                    each(number as usize);
                    break;
                }
                number = self.next[number as usize];
            }
        }
        if let (Raw::Text(text), false) = (value, self.dates.is_empty())
            && let Some(&number) = timestamp_of(text).and_then(|timestamp| self.dates.get(&timestamp))
        {
            each(number as usize);
        }
        Some(())
    }

    /// Whether a string of the list is equal to the text.
    pub(super) fn contains_text(&self, text: &str) -> bool {
        self.contains(Raw::Text(crate::json::Text::plain(text))).unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;

    #[test]
    fn a_list_is_measured_once_for_all_copies_of_its_filter() {
        let list: LiteralSet = (0..100).collect();
        let filter = |list: &LiteralSet| Filter::field("a", Filter::In(list.clone()));
        filter(&list).prepare().unwrap();
        let known = list.0.scalars.get().expect("the copy was measured");
        assert_eq!(known.unwrap().size.values, 100);
        let nested: LiteralSet = [vec![1, 2], vec![3]].into_iter().collect();
        filter(&nested).prepare().unwrap();
        assert!(nested.scalars().is_none(), "what nests is measured where it stands");
    }
}
