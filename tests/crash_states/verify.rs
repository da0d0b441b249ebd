//! What must hold of one crash state.
//!
//! Invariants:
//! * The store opens, and holds what it held after a number of calls that its durability promises: every item with all
//!   it has, counts, marks and settings. Some states are asked everything else too.
//! * What is written then survives the next power loss, behind what was found.
//! * On a disk whose syncs lied, the store opens or refuses with an error that names a file, and shows no item that was
//!   never written.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use vecmem::testing::{Clock, Loss, SimClock, SimStorage};
use vecmem::{Durability, ErrorKind, IterateQuery, Options, ReadOptions, Scope, Store};

use crate::crash::compare::{same_answers, same_items, settings};
use crate::crash::history::{do_both, open};
use crate::crash::model::Model;
use crate::crash::operations::Generator;
use crate::run::Run;

/// One state in so many is asked everything.
const FULL_ONE_IN: u64 = 16;
/// Puts after the recovery.
pub const WRITES_AFTER: usize = 2;

/// What may be found: the model after n calls, and which numbers of calls are promised.
#[derive(Clone)]
pub struct Expected<'a> {
    pub models: &'a [Arc<Model>],
    pub clocks: &'a [i64],
    pub acknowledged: usize,
    /// The state before the call under way, if a first crash has left unsynced what is expected here.
    pub earlier: Option<&'a Model>,
    pub promised: RangeInclusive<usize>,
    pub options: &'a Options,
    pub durability: Durability,
}

/// What a state was found to hold.
#[derive(Clone, Debug)]
pub struct Found {
    pub lsn: u64,
    pub settings: BTreeMap<String, String>,
}

impl Expected<'_> {
    /// Whether what a disk holds is promised. The same disk may be left at several moments, which promise differently.
    pub fn allows(&self, found: &Found) -> Result<(), String> {
        let (first, last) = (*self.promised.start(), *self.promised.end());
        if found.lsn < self.models[first].lsn {
            return Err(format!(
                "LSN {} is left, {} were acknowledged up to LSN {}",
                found.lsn, self.acknowledged, self.models[first].lsn
            ));
        }
        if found.lsn > self.models[last].lsn {
            return Err(format!("LSN {} is left, nothing beyond {} was written", found.lsn, self.models[last].lsn));
        }
        // Settings are durable at once.
        let under_way = (self.acknowledged + 1).min(self.models.len() - 1);
        let models = self.models[self.acknowledged..=under_way].iter().map(|model| &**model).chain(self.earlier);
        let known = models.into_iter().any(|model| model.settings == found.settings);
        if known { Ok(()) } else { Err(format!("the settings are {:?}", found.settings)) }
    }

    /// The model that a store with this LSN must equal. Touches that a call carried along may be there without it.
    fn model_of(&self, lsn: u64) -> Result<Model, String> {
        for number in (0..=*self.promised.end()).rev().filter(|&number| self.models[number].lsn <= lsn) {
            let model = &self.models[number];
            if model.lsn == lsn {
                return Ok(model.reopened());
            }
            let touched = model.with_touches_only(self.clocks[number]);
            if touched.lsn == lsn {
                return Ok(touched.reopened());
            }
        }
        Err(format!("LSN {lsn} is not the end of any call: a torn batch"))
    }

    /// Opens a disk and compares what it holds. Returns what was found, the store and its model.
    pub fn recover(&self, storage: &SimStorage, clock: &SimClock, hash: u64) -> Result<(Found, Store, Model), String> {
        let store = open(storage, clock, self.options).map_err(|error| format!("does not open: {error}"))?;
        let lsn = store.stats().map_err(|error| error.to_string())?.log.visible_lsn;
        let found = Found { lsn, settings: settings(&store)? };
        self.allows(&found)?;
        let model = self.model_of(lsn)?.with_settings(&found.settings);
        if hash.is_multiple_of(FULL_ONE_IN) && !model.foreign {
            same_answers(&store, &model, clock, hash)?;
        } else {
            same_items(&store, &model, clock)?;
        }
        Ok((found, store, model))
    }

    /// Opens a disk, compares, writes, and loses power again.
    pub fn check(&self, storage: &SimStorage, hash: u64) -> Result<Found, String> {
        let clock = SimClock::new(self.clocks[self.acknowledged]);
        let (found, store, mut model) = self.recover(storage, &clock, hash)?;
        write(&store, &clock, &mut model, hash)?;
        // A write that a quota refuses makes nothing durable of what the open found.
        if self.durability != Durability::Sync || model.quota().is_some() {
            store.sync().map_err(|error| error.to_string())?;
        }
        let again = storage.crash(Loss::AllUnsynced, hash);
        let second = || {
            let store = open(&again, &clock, self.options).map_err(|error| format!("does not open: {error}"))?;
            same_items(&store, &model.reopened(), &clock)
        };
        second().map_err(|why| format!("{WRITES_AFTER} writes and a power loss later: {why}"))?;
        Ok(found)
    }
}

fn write(store: &Store, clock: &SimClock, model: &mut Model, seed: u64) -> Result<(), String> {
    let mut generator = Generator::new(seed, 5);
    for _ in 0..WRITES_AFTER {
        let operation = generator.plain_put(model);
        do_both(store, clock, model, &operation).map_err(|why| format!("a write after the recovery: {why}"))?;
    }
    Ok(())
}

/// What holds of a disk that lied.
pub fn check_after_lies(run: &Run, storage: &SimStorage, acknowledged: usize) -> Result<(), String> {
    let clock = SimClock::new(run.clocks[acknowledged]);
    let store = match open(storage, &clock, &run.options) {
        Ok(store) => store,
        Err(error) if error.kind() == ErrorKind::Corrupt && error.location().is_some() => return Ok(()),
        Err(error) => return Err(format!("fails with {:?} and no place: {error}", error.kind())),
    };
    let options = ReadOptions { include_vectors: true, include_expired: true, partial: true, ..ReadOptions::default() };
    let query = IterateQuery::new(Scope::Store).limit(usize::MAX).options(options);
    let items = match store.iterate(&query, None) {
        Ok(page) => page.items,
        Err(error) if error.kind() == ErrorKind::Damaged => return Ok(()),
        Err(error) => return Err(format!("a read fails with {:?}: {error}", error.kind())),
    };
    for item in &items {
        let known = run.ever.get(&item.version.to_u64());
        if !known.is_some_and(|known| known.iter().any(|known| **known == *item)) {
            return Err(format!("never written at {}: {item:?}", clock.now()));
        }
    }
    store.check(false).map(drop).map_err(|error| format!("its check fails: {error}"))
}
