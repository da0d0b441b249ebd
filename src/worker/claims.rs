//! Claims of shards: who rewrites the segments of a shard, or installs derived files in it, has claimed it.
//!
//! Invariants:
//! * A shard is named by its lower bound, which stays while the shard is claimed. Positions of shards change whenever
//!   another one is split.
//! * A thread has at most one claim at a time, so claims never wait for each other in a circle.
//! * Whoever waits for a shard gets it before those who take it only if it is free: a builder of graphs is not kept
//!   waiting by merges that follow one another.
//! * Who has claimed all shards may move bounds: nobody else has a claim then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Worker;
use crate::error::Result;
use crate::shard::{ReadView, Shard};
use crate::sync::{Condvar, Mutex};
use crate::types::Interval;

/// The claims of a store.
#[derive(Default)]
pub(super) struct Claims {
    state: Mutex<ClaimState>,
    changed: Condvar,
}

#[derive(Default)]
struct ClaimState {
    claimed: BTreeSet<Arc<[u8]>>,
    /// How many threads wait for each shard.
    wanted: BTreeMap<Arc<[u8]>, usize>,
    all_claimed: bool,
    /// How many threads wait for all shards.
    all_wanted: usize,
}

impl ClaimState {
    /// Whether the shard is free, for a thread that waits for it.
    fn is_free(&self, low: &[u8]) -> bool {
        !self.all_claimed && self.all_wanted == 0 && !self.claimed.contains(low)
    }
}

/// The claim of one shard, until the value is dropped.
pub(crate) struct ShardClaim<'a> {
    claims: &'a Claims,
    low: Arc<[u8]>,
}

/// The claim of all shards, until the value is dropped.
pub(crate) struct StoreClaim<'a> {
    claims: &'a Claims,
}

impl Claims {
    /// Claims the shard with this lower bound, unless it is claimed or somebody waits for it.
    fn try_claim(&self, low: &Arc<[u8]>) -> Option<ShardClaim<'_>> {
        let mut state = self.state.lock();
        let is_free = state.is_free(low) && !state.wanted.contains_key(low);
        is_free.then(|| {
            state.claimed.insert(Arc::clone(low));
            ShardClaim { claims: self, low: Arc::clone(low) }
        })
    }

    /// Waits until the shard is free, and claims it.
    fn claim(&self, low: Arc<[u8]>) -> ShardClaim<'_> {
        let mut state = self.state.lock();
        *state.wanted.entry(Arc::clone(&low)).or_default() += 1;
        while !state.is_free(&low) {
            state = self.changed.wait(state);
        }
        if let Some(waiting) = state.wanted.get_mut(&low) {
            *waiting -= 1;
            if *waiting == 0 {
                state.wanted.remove(&low);
            }
        }
        state.claimed.insert(Arc::clone(&low));
        ShardClaim { claims: self, low }
    }

    /// Waits until no shard is claimed, and claims all.
    fn claim_all(&self) -> StoreClaim<'_> {
        let mut state = self.state.lock();
        state.all_wanted += 1;
        while state.all_claimed || !state.claimed.is_empty() {
            state = self.changed.wait(state);
        }
        state.all_wanted -= 1;
        state.all_claimed = true;
        StoreClaim { claims: self }
    }
}

impl Drop for ShardClaim<'_> {
    fn drop(&mut self) {
        self.claims.state.lock().claimed.remove(&self.low);
        self.claims.changed.notify_all();
    }
}

impl Drop for StoreClaim<'_> {
    fn drop(&mut self) {
        self.claims.state.lock().all_claimed = false;
        self.claims.changed.notify_all();
    }
}

impl ShardClaim<'_> {
    /// The lower bound of the shard.
    pub fn low(&self) -> &Arc<[u8]> {
        &self.low
    }

    /// The shard in a read view of the time of the claim.
    pub fn shard<'v>(&self, view: &'v ReadView) -> &'v Arc<Shard> {
        &view.shards[view.shard_of(&self.low)]
    }

    /// Whether the shard is still there: its bound may have moved before the claim.
    fn is_there(&self, view: &ReadView) -> bool {
        self.shard(view).interval.low.as_slice() == &*self.low
    }
}

impl Worker {
    /// Claims of all shards that are free, one after the other.
    pub(super) fn free_shards(&self) -> impl Iterator<Item = ShardClaim<'_>> {
        let view = self.engine.view.get();
        let lows: Vec<Arc<[u8]>> = view.shards.iter().map(|shard| Arc::from(shard.interval.low.as_slice())).collect();
        let claim = move |low: Arc<[u8]>| self.claims.try_claim(&low);
        lows.into_iter().filter_map(claim).filter(|claim| claim.is_there(&self.engine.view.get()))
    }

    /// Waits for the shard that holds a namespace, and claims it.
    pub(super) fn claim_at(&self, namespace: &[u8]) -> ShardClaim<'_> {
        loop {
            let view = self.engine.view.get();
            let low = &view.shards[view.shard_of(namespace)].interval.low;
            let claim = self.claims.claim(Arc::from(low.as_slice()));
            // The shard may have been split meanwhile, or its bounds may have moved.
            let view = self.engine.view.get();
            if claim.is_there(&view) && view.shards[view.shard_of(namespace)].interval.low.as_slice() == &*claim.low {
                return claim;
            }
        }
    }

    /// Waits for each shard, and acts on it. Shards that a split makes meanwhile are visited too. Stops at an error.
    pub fn each_shard(&self, mut act: impl FnMut(&ShardClaim<'_>) -> Result<()>) -> Result<()> {
        let (mut from, end) = (Vec::new(), Interval::everything().high);
        while from < end {
            let claim = self.claim_at(&from);
            act(&claim)?;
            from.clone_from(&claim.shard(&self.engine.view.get()).interval.high);
        }
        Ok(())
    }

    /// Waits until no shard is claimed. No segment is merged, no derived file is installed, and no bound moves while
    /// the caller holds the claim.
    pub fn claim_all(&self) -> StoreClaim<'_> {
        self.claims.claim_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn low(name: &str) -> Arc<[u8]> {
        Arc::from(name.as_bytes())
    }

    #[test]
    fn a_shard_is_claimed_once_and_others_are_free() {
        let claims = Claims::default();
        let first = claims.try_claim(&low("a")).unwrap();
        assert!(claims.try_claim(&low("a")).is_none());
        drop((claims.try_claim(&low("b")).unwrap(), claims.claim(low("c"))));
        drop(first);
        assert!(claims.try_claim(&low("a")).is_some());
        drop(claims.claim_all());
        assert!(claims.try_claim(&low("a")).is_some());
        let all = claims.claim_all();
        assert!(claims.try_claim(&low("a")).is_none());
        drop(all);
    }

    #[test]
    fn who_waits_comes_first() {
        let claims = Claims::default();
        let first = claims.try_claim(&low("a")).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(claims.claim(low("a"))));
            while claims.state.lock().wanted.is_empty() {
                std::thread::yield_now();
            }
            assert!(claims.try_claim(&low("b")).is_some(), "another shard is free");
            let all = scope.spawn(|| drop(claims.claim_all()));
            while claims.state.lock().all_wanted == 0 {
                std::thread::yield_now();
            }
            assert!(claims.try_claim(&low("b")).is_none(), "somebody waits for all shards");
            drop(first);
            waiting.join().unwrap();
            all.join().unwrap();
        });
        assert!(claims.try_claim(&low("a")).is_some());
    }
}
