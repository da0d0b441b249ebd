//! Checks of the state of a store after a close, a kill, a power loss or a failure of the disk.

use super::{FuzzInput, World, everything, open, text};
use crate::error::{ErrorKind, Result};
use crate::storage::sim::{Fault, FaultKind, Loss, SimOperation};
use crate::types::{Durability, Version};

/// The outcome of a put during which the disk failed.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Acknowledged,
    Refused,
    Unknown,
}

impl World {
    /// Closes the store, or crashes it with `loss`, and opens it again.
    pub(super) fn reopen(&mut self, loss: Option<Loss>) -> Result<()> {
        match loss {
            None => {
                self.store.close()?;
                self.states = vec![self.model.clone()];
            }
            Some(loss) => self.storage = self.storage.crash(loss, self.writes),
        }
        self.store = open(&self.storage, &self.clock, &self.options)?;
        let found = self.store.text_dump()?;
        let Some(state) = self.states.iter().rposition(|state| text(state) == found) else {
            panic!("after {loss:?}, {} states: {found}\nexpected {}", self.states.len(), text(&self.model));
        };
        // Later states are gone for good. Earlier ones stay: the found state may not be synced yet.
        self.states.truncate(state + 1);
        self.model = self.states[state].clone();
        assert_eq!(self.store.check(false)?.problems, Vec::<String>::new());
        Ok(())
    }

    /// A put while the disk fails at some step: the put is acknowledged, or refused without effect, or its outcome is
    /// unknown until the store is opened again.
    pub(super) fn put_with_a_fault(&mut self, input: &mut FuzzInput<'_>) -> Result<()> {
        self.store.sync()?;
        self.note(true);
        let kind = [FaultKind::Io, FaultKind::Full, FaultKind::Short][usize::from(input.byte() % 3)];
        self.storage.fail_after(u64::from(input.byte() % 24), Fault::once(kind, SimOperation::CHANGES));
        let address = self.address(input);
        let (wanted, allowed) = self.make_put(&address, input);
        let outcome = self.store.put(wanted.put.clone());
        self.storage.clear_faults();
        let before = self.model.clone();
        let fate = match outcome {
            Ok(version) => {
                self.take_over(address.clone(), &wanted, version)?;
                Fate::Acknowledged
            }
            Err(error) if error.kind() == ErrorKind::ConditionFailed && !allowed => Fate::Refused,
            Err(error) if matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::Io) => Fate::Refused,
            Err(error) if error.kind() == ErrorKind::Poisoned => Fate::Unknown,
            Err(error) => return Err(error),
        };
        match self.store.sync() {
            Ok(()) => assert!(fate != Fate::Unknown, "a fence is for good"),
            Err(error) if error.kind() == ErrorKind::Poisoned => {
                self.reopen_after_a_fence()?;
                let found = self.store.text_dump()?;
                let may_be_gone = fate == Fate::Acknowledged && self.options.durability == Durability::Manual;
                if fate == Fate::Unknown && found != text(&self.model) {
                    assert!(allowed, "a put that was refused is there");
                    let version = self.store.get_with(&address.0, &address.1, &everything())?.map(|item| item.version);
                    self.take_over(address, &wanted, version.unwrap_or(Version(0)))?;
                } else if may_be_gone && found == text(&before) {
                    self.model = before;
                }
                // Once another put is acknowledged and synced, the found state is durable too.
                let address = (self.namespaces[3].clone(), "after the fence".to_owned());
                let wanted = self.plain_put(&address);
                let version = self.store.put(wanted.put.clone())?;
                self.take_over(address, &wanted, version)?;
                self.store.sync()?;
            }
            Err(error) => return Err(error),
        }
        self.note(true);
        Ok(())
    }

    /// Reopens a poisoned store from the files that a killed process would leave.
    fn reopen_after_a_fence(&mut self) -> Result<()> {
        assert!(self.store.text_dump().is_ok(), "reads go on");
        self.storage = self.storage.crash(Loss::None, 0);
        self.store = open(&self.storage, &self.clock, &self.options)?;
        Ok(())
    }
}
