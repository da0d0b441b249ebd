//! All crash states of one run of a workload.
//!
//! Invariants:
//! * A state is counted once in a run, by the content of its disk; whatever leaves the same disk again is compared with
//!   what was found there, since another moment promises something else.
//! * The position of a state in its run makes it again: image, class, number in the class.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use vecmem::testing::{Image, Loss, SimClock, SimOperation, SimStorage};

use crate::classes::{CLASSES, Class, states};
use crate::crash::history::do_both;
use crate::crash::operations::Generator;
use crate::run::Run;
use crate::verify::{Expected, Found, WRITES_AFTER, check_after_lies};
use crate::workloads::Workload;

/// One image in so many gets second crashes at each operation of its recovery.
const IN_RECOVERY_ONE_IN: usize = 16;
/// Most violations that one run reports.
const VIOLATIONS_MAX: usize = 8;
/// Classes of the second crash.
const SECOND: [Class; 4] = [Class::None, Class::Killed, Class::SuffixLost, Class::Subsets];

/// Where a state is in its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    pub class: Class,
    pub image: usize,
    pub state: usize,
}

/// What the exploration of one run came to.
#[derive(Clone, Default)]
pub struct Explored {
    /// Distinct states by class.
    pub states: BTreeMap<Class, u64>,
    /// Each with what makes it again.
    pub violations: Vec<String>,
    /// The contents of all disks that were counted.
    pub disks: HashSet<u64>,
}

pub struct Explorer<'a> {
    run: &'a Run,
    /// The only state to look at, if it is one.
    only: Option<Position>,
    found: HashMap<(u64, bool), Found>,
    explored: Explored,
}

/// A state about to be looked at.
struct State<'a> {
    position: Position,
    storage: &'a SimStorage,
    killed: bool,
    expected: &'a Expected<'a>,
}

/// Explores every `step`-th moment of a workload.
pub fn explore(workload: &'static Workload, seed: u64, step: usize, only: Option<Position>) -> Explored {
    let run = Run::record(workload, seed, false);
    let mut explorer = Explorer { run: &run, only, found: HashMap::new(), explored: Explored::default() };
    for (number, image) in run.images.iter().enumerate().step_by(step) {
        for class in CLASSES.into_iter().filter(|&class| class != Class::LyingSyncs) {
            explorer.class(number, image, class);
        }
    }
    let explored = explorer.explored;
    let lying = Run::record(workload, seed, true);
    let mut explorer = Explorer { run: &lying, only, found: HashMap::new(), explored };
    for (number, image) in lying.images.iter().enumerate().step_by(step) {
        explorer.lies(number, image);
    }
    explorer.explored
}

impl<'a> Explorer<'a> {
    fn wants(&self, image: usize, class: Class) -> bool {
        self.only.is_none_or(|only| (only.image, only.class) == (image, class))
    }

    fn expected(&self, image: &Image, killed: bool) -> Expected<'a> {
        let run = self.run;
        let acknowledged = image.tag as usize;
        Expected {
            models: &run.models,
            clocks: &run.clocks,
            acknowledged,
            earlier: None,
            promised: run.promised(acknowledged, killed),
            options: &run.options,
            durability: run.workload.durability,
        }
    }

    fn seed_of(&self, image: usize) -> u64 {
        self.run.seed << 32 | image as u64
    }

    fn class(&mut self, number: usize, image: &Image, class: Class) {
        if !self.wants(number, class) {
            return;
        }
        if class == Class::InRecovery {
            if number % IN_RECOVERY_ONE_IN == self.run.seed as usize % IN_RECOVERY_ONE_IN || self.only.is_some() {
                self.in_recovery(number, image);
            }
            return;
        }
        let killed = class == Class::Killed;
        let expected = self.expected(image, killed);
        let disks = disks(image, class, self.seed_of(number));
        for (state, storage) in disks.iter().enumerate() {
            let position = Position { class, image: number, state };
            self.state(&State { position, storage, killed, expected: &expected });
        }
    }

    /// Looks at one state, unless the same disk has been looked at.
    fn state(&mut self, state: &State<'_>) {
        if self.only.is_some_and(|only| only != state.position) {
            return;
        }
        let hash = state.storage.content_hash();
        let key = (hash, state.killed);
        let outcome = match self.found.get(&key) {
            Some(found) => state.expected.allows(found),
            None => {
                self.count(hash, state.position.class);
                let checked = caught(|| state.expected.check(state.storage, hash));
                checked.map(|found| drop(self.found.insert(key, found)))
            }
        };
        self.note(state.position, outcome);
    }

    fn count(&mut self, hash: u64, class: Class) {
        if self.explored.disks.insert(hash) {
            *self.explored.states.entry(class).or_default() += 1;
        }
    }

    fn note(&mut self, position: Position, outcome: Result<(), String>) {
        let Err(why) = outcome else { return };
        if self.explored.violations.len() >= VIOLATIONS_MAX {
            return;
        }
        let (workload, seed) = (self.run.workload, self.run.seed);
        let Position { class, image, state } = position;
        let place = &self.run.images[image];
        let before = (place.operations as usize).saturating_sub(8)..place.operations as usize;
        self.explored.violations.push(format!(
            "VECMEM_STATE='{seed} {} {:?} {} {image} {state}': {} acknowledged, after {:?}: {why}",
            workload.name,
            workload.durability,
            class.name(),
            place.tag,
            self.run.trace.get(before).unwrap_or_default(),
        ));
    }

    /// Second crashes: at each operation that changes the disk, of the recovery from three states of this image and of
    /// the first writes after it.
    fn in_recovery(&mut self, number: usize, image: &Image) {
        let mut state = 0;
        for first in [Class::None, Class::Killed, Class::Subsets] {
            let killed = first == Class::Killed;
            let (expected, unless_killed) = (self.expected(image, killed), self.expected(image, false));
            let Some(disk) = disks(image, first, self.seed_of(number)).pop() else { continue };
            let second = caught(|| Second::record(&disk, &expected, self.seed_of(number)));
            let second = match second {
                Ok(second) => second,
                Err(why) => {
                    self.note(Position { class: Class::InRecovery, image: number, state }, Err(why));
                    continue;
                }
            };
            // What is found from here on belongs to this recovery and its writes.
            let of_first_crashes = std::mem::take(&mut self.found);
            for (moment, again) in second.images.iter().enumerate() {
                for class in SECOND {
                    let expected = second.expected(&unless_killed, again, killed, class == Class::Killed);
                    for storage in disks(again, class, self.seed_of(number) << 8 | moment as u64).iter().take(3) {
                        let position = Position { class: Class::InRecovery, image: number, state };
                        let killed = class == Class::Killed;
                        self.state(&State { position, storage, killed, expected: &expected });
                        state += 1;
                    }
                }
            }
            self.found = of_first_crashes;
        }
    }

    fn lies(&mut self, number: usize, image: &Image) {
        let class = Class::LyingSyncs;
        if !self.wants(number, class) {
            return;
        }
        for (state, storage) in disks(image, class, self.seed_of(number)).iter().enumerate() {
            let position = Position { class, image: number, state };
            let hash = storage.content_hash();
            if self.only.is_some_and(|only| only != position) || self.explored.disks.contains(&hash) {
                continue;
            }
            self.count(hash, class);
            let outcome = caught(|| check_after_lies(self.run, storage, image.tag as usize));
            self.note(position, outcome);
        }
    }
}

fn disks(image: &Image, class: Class, seed: u64) -> Vec<SimStorage> {
    if class == Class::Killed {
        return vec![image.survivor(Loss::None, 0)];
    }
    states(class, &image.unsynced(), seed).iter().map(|fates| image.survivor_of(fates)).collect()
}

/// A panic is a violation like any other.
fn caught<T>(act: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panics: {}", text.unwrap_or_default()))
    })
}

/// A recovery from a state and the first writes after it, with the disk at each of their moments.
struct Second {
    images: Vec<Image>,
    /// The models of the run up to what was found, then after each write.
    models: Vec<Arc<crate::crash::model::Model>>,
    clocks: Vec<i64>,
    /// The place in `models` of what was found.
    found: usize,
}

impl Second {
    fn record(disk: &SimStorage, expected: &Expected<'_>, seed: u64) -> Result<Self, String> {
        let now = expected.clocks[expected.acknowledged];
        let clock = SimClock::new(now);
        disk.set_tag(0);
        disk.record_before(SimOperation::CHANGES);
        let (_, store, mut model) = expected.recover(disk, &clock, 1)?;
        let before = expected.models.iter().take_while(|earlier| earlier.lsn < model.lsn).count();
        let mut models = expected.models[..before].to_vec();
        models.push(Arc::new(model.clone()));
        let mut generator = Generator::new(seed, 5);
        for number in 1..=WRITES_AFTER {
            let operation = generator.plain_put(&model);
            do_both(&store, &clock, &mut model, &operation)?;
            disk.set_tag(number as u64);
            models.push(Arc::new(model.clone()));
        }
        let images = disk.take_images().into_iter().chain([disk.image()]).collect();
        let mut clocks = expected.clocks[..before].to_vec();
        clocks.resize(models.len(), now);
        Ok(Self { images, models, clocks, found: before })
    }

    /// What a crash at `image` may leave: `first` is what a power loss in place of the first crash had left,
    /// `first_killed` and `killed` tell whether the machine went on in the first crash and in the second.
    fn expected<'a>(&'a self, first: &Expected<'a>, image: &Image, first_killed: bool, killed: bool) -> Expected<'a> {
        use vecmem::Durability::{Manual, Periodic, Sync};
        let written = image.tag as usize;
        // What a killed process left unsynced may still be lost, until a write behind it is acknowledged.
        let unsynced = first_killed && !killed && (written == 0 || first.durability != Sync);
        let acknowledged = self.found + written;
        let least = match first.durability {
            Sync if unsynced => self.found.min(*first.promised.start()),
            Sync => acknowledged,
            Periodic if killed => acknowledged,
            Periodic | Manual if unsynced => self.found.min(*first.promised.start()),
            Periodic | Manual => self.found,
        };
        let last = (acknowledged + 1).min(self.models.len() - 1);
        let promised = least..=last;
        let earlier = unsynced.then(|| &*first.models[first.acknowledged]);
        Expected { models: &self.models, clocks: &self.clocks, acknowledged, promised, earlier, ..first.clone() }
    }
}
