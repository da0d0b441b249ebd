//! The steps of a job, each of which asks whether the job may go on: not after a close, a failed sync or an interrupt.

use crate::engine::Engine;
use crate::error::Result;
use crate::interrupt::{Stage, Steps};

impl Engine {
    /// Begins a stage of a job of `total` steps, 0 if nobody knows: whether the job may go on is asked before each
    /// step.
    pub fn steps(&self, stage: Stage, total: u64) -> impl Fn() -> Result<()> + Sync + '_ {
        let steps = Steps::begin(stage, total);
        move || steps.next().and_then(|()| self.check_writable())
    }
}
