//! What a store must be after it was closed, killed, lost power or met a disk that fails.

use super::{FuzzInput, World, everything, open, text};
use crate::error::{ErrorKind, Result};
use crate::storage::sim::{Fault, FaultKind, Loss, SimOperation};
use crate::types::{Durability, Version};

/// What became of a put while the disk failed.
#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Acknowledged,
    Refused,
    Unknown,
}

impl World {
    /// Closes the store, or abandons it with some loss, and opens what is left.
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
        // What came after it is gone for ever; what it builds on may not be synced yet.
        self.states.truncate(state + 1);
        self.model = self.states[state].clone();
        assert_eq!(self.store.check(false)?.problems, Vec::<String>::new());
        Ok(())
    }

    /// A put while the disk fails somewhere: it is acknowledged, or nothing of it is there, or its fate is unknown
    /// until the store is opened again.
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
                // Once something more is acknowledged and flushed, what was found is as certain as that.
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

    /// What a killed process leaves behind, since this one takes no more writes.
    fn reopen_after_a_fence(&mut self) -> Result<()> {
        assert!(self.store.text_dump().is_ok(), "reads go on");
        self.storage = self.storage.crash(Loss::None, 0);
        self.store = open(&self.storage, &self.clock, &self.options)?;
        Ok(())
    }
}
