//! What a write that exceeds a quota would do, for the code of the caller.

/// A quota that a write would exceed.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaExcess {
    /// The scope that has the quota, as text: `a/b` for a namespace, `a/b/` for a prefix, `*` for the store.
    pub scope: String,
    /// What is limited: `items` or `bytes`.
    pub unit: &'static str,
    /// The most that the scope may hold.
    pub limit: u64,
    /// What it holds.
    pub used: u64,
    /// What the write would add.
    pub added: u64,
}
