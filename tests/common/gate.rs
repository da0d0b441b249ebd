//! A storage that holds one operation up until the test lets it go, well or with an error of which nothing is done.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use vecmem::testing::{Map, Storage, StorageFile};
use vecmem::{Error, Result};

/// Long enough for any machine; whoever waits so long has failed.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Operations that can be held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Write,
    Sync,
    Rename,
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    Open,
    /// So many operations of this kind, on files whose name holds this, pass before one is held.
    Closed(Step, &'static str, usize),
    Held,
}

#[derive(Clone)]
pub struct Gate {
    state: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    position: Position,
    fails: bool,
}

impl Gate {
    /// A gate before `inner`, open.
    pub fn before(inner: Arc<dyn Storage>) -> (Arc<dyn Storage>, Self) {
        let state = State { position: Position::Open, fails: false };
        let gate = Self { state: Arc::new((Mutex::new(state), Condvar::new())) };
        (Arc::new(Gated { inner, gate: gate.clone() }), gate)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, position: Position, fails: bool) {
        *self.state() = State { position, fails };
        self.state.1.notify_all();
    }

    /// Lets `after` operations pass, and holds up the next one.
    pub fn close(&self, step: Step, name: &'static str, after: usize) {
        self.change(Position::Closed(step, name, after), false);
    }

    /// Waits until an operation is held up.
    pub fn wait_until_held(&self) {
        let is_held = self.is_held_within(LIMIT);
        let position = self.state().position;
        assert!(is_held, "nothing was held up: {position:?}");
    }

    /// Whether an operation is held up before `limit` has passed.
    pub fn is_held_within(&self, limit: Duration) -> bool {
        let (deadline, mut state) = (Instant::now() + limit, self.state());
        while state.position != Position::Held {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.state.1.wait_timeout(state, left).unwrap().0;
        }
        true
    }

    /// Lets everything pass.
    pub fn open(&self) {
        self.change(Position::Open, false);
    }

    /// Lets what is held up fail, and everything else pass.
    pub fn fail(&self) {
        self.change(Position::Open, true);
    }

    fn pass(&self, step: Step, name: &str) -> Result<()> {
        let mut state = self.state();
        match state.position {
            Position::Closed(of, part, after) if of == step && name.contains(part) => {
                state.position = after.checked_sub(1).map_or(Position::Held, |left| Position::Closed(of, part, left));
            }
            _ => return Ok(()),
        }
        if state.position != Position::Held {
            return Ok(());
        }
        self.state.1.notify_all();
        while state.position == Position::Held {
            state = self.state.1.wait(state).unwrap();
        }
        let error = std::io::Error::other("an error of the test");
        if state.fails { Err(Error::io(name, format!("{step:?}"), error)) } else { Ok(()) }
    }
}

/// Opens the gate when it goes, so that threads end also where the test fails.
pub struct OpenAtEnd<'a>(pub &'a Gate);

impl Drop for OpenAtEnd<'_> {
    fn drop(&mut self) {
        self.0.open();
    }
}

struct Gated {
    inner: Arc<dyn Storage>,
    gate: Gate,
}

struct GatedFile {
    inner: Box<dyn StorageFile>,
    name: String,
    gate: Gate,
}

impl Gated {
    fn file(&self, name: &str, inner: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        Box::new(GatedFile { inner, name: name.to_owned(), gate: self.gate.clone() })
    }
}

impl Storage for Gated {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        self.gate.pass(Step::Create, name)?;
        Ok(self.file(name, self.inner.create(name)?))
    }
    fn open(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        Ok(self.file(name, self.inner.open(name)?))
    }
    fn map(&self, name: &str) -> Result<Map> {
        self.inner.map(name)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.gate.pass(Step::Rename, from)?;
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.gate.pass(Step::Remove, name)?;
        self.inner.remove(name)
    }
    fn list(&self) -> Result<Vec<(String, u64)>> {
        self.inner.list()
    }
    fn sync_dir(&self) -> Result<()> {
        self.inner.sync_dir()
    }
    fn free_bytes(&self) -> Result<u64> {
        self.inner.free_bytes()
    }
    fn random(&self) -> u64 {
        self.inner.random()
    }
}

impl StorageFile for GatedFile {
    fn len(&self) -> Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.gate.pass(Step::Write, &self.name)?;
        self.inner.write_at(offset, bytes)
    }
    fn set_len(&self, length: u64) -> Result<()> {
        self.inner.set_len(length)
    }
    fn sync_data(&self) -> Result<()> {
        self.gate.pass(Step::Sync, &self.name)?;
        self.inner.sync_data()
    }
    fn sync_all(&self) -> Result<()> {
        self.gate.pass(Step::Sync, &self.name)?;
        self.inner.sync_all()
    }
}
