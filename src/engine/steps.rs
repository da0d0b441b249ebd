//! The steps of a job. A step fails, and ends the job, after a close, a fork, a poisoning or an interrupt.

use crate::engine::Engine;
use crate::error::Result;
use crate::interrupt::{Stage, Steps};

impl Engine {
    /// Begins a stage of `total` steps, or of unknown length if `total` is 0. The job calls the returned function
    /// before each step, and ends at its error.
    pub fn steps(&self, stage: Stage, total: u64) -> impl Fn() -> Result<()> + Sync + '_ {
        let steps = Steps::begin(stage, total);
        move || steps.next().and_then(|()| self.check_writable())
    }
}
