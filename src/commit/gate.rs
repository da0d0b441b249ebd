//! Holds back writes to some namespaces while a rule that others have overtaken several times is decided once more.
//!
//! Invariants:
//! * One gate is closed at a time. Whoever waits at it holds no lock that the rule behind it needs: it has not joined a
//!   group, and waits without the commit lock.
//! * A gate opens whatever happens to the rule. Touches wait in their queue meanwhile.

use std::sync::Arc;

use super::{CommitState, Group, Intent, Pipeline};
use crate::record::Write;
use crate::sync::MutexGuard;
use crate::types::Interval;

/// The namespaces whose writers wait, and for what.
pub(super) struct Gate {
    intervals: Vec<Interval>,
    opened: Arc<Group>,
}

/// Opens the gate when it goes.
pub(super) struct ClosedGate<'a> {
    pipeline: &'a Pipeline,
    _one_at_a_time: MutexGuard<'a, ()>,
}

impl<'a> ClosedGate<'a> {
    /// Closes the gate, and waits until all writes from before are in the read view, or have failed.
    pub fn close(pipeline: &'a Pipeline, intervals: Vec<Interval>) -> Self {
        let gate = Self { pipeline, _one_at_a_time: pipeline.gate_lock.lock() };
        let earlier = {
            let mut state = pipeline.state.lock();
            state.gate = Some(Gate { intervals, opened: Group::new() });
            state.undecided()
        };
        // A failed group has poisoned the store, as the commit will find out.
        let _ = earlier.map(|group| group.wait());
        gate
    }
}

impl Drop for ClosedGate<'_> {
    fn drop(&mut self) {
        let gate = self.pipeline.state.lock().gate.take();
        gate.into_iter().for_each(|gate| gate.opened.decide(Ok(())));
    }
}

impl CommitState {
    /// What these writes have to wait for, if a gate holds them back.
    pub(super) fn held_back(&self, intent: &Intent<'_>) -> Option<Arc<Group>> {
        let gate = self.gate.as_ref()?;
        let within = |namespace: &[u8]| gate.intervals.iter().any(|interval| interval.contains(namespace));
        let overlaps = |other: &Interval| gate.intervals.iter().any(|interval| interval.overlaps(other));
        let waits = match intent {
            Intent::Batch { writes, .. } => writes.iter().any(|write| match (write.address(), write) {
                (Some((namespace, _)), _) => within(namespace.encoded()),
                (None, Write::DeleteRange(interval)) => overlaps(interval),
                (None, _) => false,
            }),
            Intent::Import(segments) => gate.intervals.iter().any(|interval| segments.may_write(interval)),
            Intent::Resolved(writes) => !writes.is_behind_gate && writes.intervals().iter().any(overlaps),
        };
        waits.then(|| Arc::clone(&gate.opened))
    }
}
