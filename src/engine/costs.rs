//! What the steps of a search cost on this machine: set by the tuning, or measured once and kept in the settings.
//!
//! A store that has a graph is large enough for plans to matter. Its background then measures for at most 50 ms
//! (`worker/graphs.rs`), and keeps the outcome as the setting [`SETTING`]: a JSON object with one [`MachineCosts`] for
//! each model of a processor and instruction set. A copy of the store on another machine measures again.
//!
//! Invariants:
//! * The costs of an open store change at most once, when they were measured.
//! * Costs only choose between ways to the same answer. A setting that cannot be read is as good as none.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use crate::distance::{Kernels, processor_model};
use crate::error::Result;
use crate::manifest::Settings;
use crate::search::measure::is_plausible;
use crate::tuning::{MachineCosts, Tuning};

/// The name of the setting.
pub(crate) const SETTING: &str = "vecmem.costs";
/// Of more processors, only the last one measured is kept.
const PROCESSORS_MAX: usize = 16;

type ByProcessor = BTreeMap<String, MachineCosts>;

/// The costs of this machine, once they are known.
#[derive(Debug, Default)]
pub(crate) struct KnownCosts(OnceLock<MachineCosts>);

impl KnownCosts {
    /// Those of the tuning, or else those of the settings.
    pub fn new(tuning: &Tuning, settings: &Settings) -> Self {
        let kept = || read(settings).remove(&processor()).filter(is_plausible);
        let known = Self::default();
        if let Some(costs) = tuning.costs.or_else(kept) {
            known.set(costs);
        }
        known
    }

    /// The costs; the planner's constants until they are known.
    pub fn get(&self) -> MachineCosts {
        self.0.get().copied().unwrap_or_default()
    }

    pub fn are_known(&self) -> bool {
        self.0.get().is_some()
    }

    /// Sets the costs, unless they are known.
    pub fn set(&self, costs: MachineCosts) {
        let _ = self.0.set(costs);
    }
}

/// The settings with these costs, as those of this machine.
pub(crate) fn keep(settings: &Settings, costs: MachineCosts) -> Result<Settings> {
    let mut all = read(settings);
    if all.len() >= PROCESSORS_MAX {
        all.clear();
    }
    all.insert(processor(), costs);
    settings.with(SETTING, serde_json::to_string(&all).ok().as_deref())
}

fn processor() -> String {
    format!("{}, {:?}", processor_model(), Kernels::get())
}

fn read(settings: &Settings) -> ByProcessor {
    settings.get(SETTING).and_then(|json| serde_json::from_str(json).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_costs_are_found_again_and_the_list_of_processors_stays_short() {
        let half = MachineCosts { flat: 0.5, ..MachineCosts::default() };
        let others: ByProcessor = (0..PROCESSORS_MAX).map(|number| (format!("another {number}"), half)).collect();
        let full = Settings::default().with(SETTING, Some(&serde_json::to_string(&others).unwrap())).unwrap();
        for (before, processors) in [(Settings::default(), 1), (full, 1)] {
            let kept = keep(&before, half).unwrap();
            assert_eq!(read(&kept).len(), processors);
            assert_eq!(KnownCosts::new(&Tuning::default(), &kept).get(), half);
        }
    }

    #[test]
    fn the_costs_of_this_processor_are_found_and_absurd_ones_are_not_believed() {
        let half = MachineCosts { flat: 0.5, ..MachineCosts::default() };
        let known = |tuning: &Tuning, json: &str| {
            let settings = Settings::default().with(SETTING, Some(json)).unwrap();
            KnownCosts::new(tuning, &settings).0.get().copied()
        };
        let of = |costs: MachineCosts| serde_json::to_string(&ByProcessor::from([(processor(), costs)])).unwrap();
        let open = Tuning { costs: None, ..Tuning::default() };
        assert_eq!(known(&open, &of(half)), Some(half));
        assert_eq!(known(&open, &of(MachineCosts { full: 1e9, ..half })), None);
        assert_eq!(known(&open, r#"{"another one": {"flat": 1, "scattered": 1, "full": 1, "filter": 1}}"#), None);
        assert_eq!(known(&open, r#"[1, "a document of an application"]"#), None);
        let set = Tuning { costs: Some(half), ..Tuning::default() };
        assert_eq!(known(&set, &of(MachineCosts::default())), Some(half));
    }
}
