//! Numbers that stand for filters and for lists of literals.
//!
//! Invariant: two things have the same number only if they are equal, as good as certainly. The hash has a key that
//! nobody outside of the process knows, so nobody can make two of them collide.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};
use std::sync::OnceLock;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::literal::Literal;

pub(super) fn fingerprint(of: &(impl Hash + ?Sized)) -> u128 {
    static KEY: OnceLock<[u64; 2]> = OnceLock::new();
    let [first, second] = KEY.get_or_init(|| [0, 1].map(|half: u64| RandomState::new().hash_one(half)));
    let mut hasher = SipHasher13::new_with_keys(*first, *second);
    of.hash(&mut hasher);
    hasher.finish128().as_u128()
}

/// Equal literals have equal hashes.
impl Hash for Literal {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::mem::discriminant(self).hash(state);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Integer(integer) => integer.hash(state),
            // The sum turns minus zero into zero, to which it is equal.
            Self::Float(float) => (float + 0.0).to_bits().hash(state),
            Self::String(string) => string.hash(state),
            Self::Date(timestamp) => timestamp.hash(state),
            Self::Array(elements) => elements.hash(state),
            Self::Object(members) => members.hash(state),
        }
    }
}
