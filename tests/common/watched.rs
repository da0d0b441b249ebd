//! A storage that records what is done to log files, and holds one operation up until the test lets it go. One that is
//! let go with a failure fails alone: the next one succeeds, as Linux has it.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use vecmem::testing::{DiskStorage, Map, SimStorage, Storage, StorageFile};
use vecmem::{Error, ReadMode, Result};

/// Long enough for any machine; whoever waits so long has failed.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Operations that are recorded and can be held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// A write to a log file.
    Write,
    /// A sync of a log file in use.
    Sync,
    /// The sync that ends the preparation of a log file.
    Prepare,
    /// A sync of the directory.
    Names,
}

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Begun(Point),
    Done(Point),
}

#[derive(Default)]
struct State {
    events: Vec<Event>,
    /// The next operation at this point is held.
    armed: Option<Point>,
    is_held: bool,
    /// How the held operation goes on: whether it fails.
    released: VecDeque<bool>,
    /// How long each sync of the log takes besides.
    slowness: Duration,
}

#[derive(Default)]
pub struct Watch {
    state: Mutex<State>,
    changed: Condvar,
}

impl Watch {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Holds up the next operation at `point`.
    pub fn hold_next(&self, point: Point) {
        self.state().armed = Some(point);
    }

    /// From now on each sync of the log takes so much longer, as on a slow disk.
    pub fn slow_down(&self, by: Duration) {
        self.state().slowness = by;
    }

    /// Waits until something is held up.
    pub fn wait_until_held(&self) {
        self.wait_for("an operation to be held up", |state| state.is_held);
    }

    /// Lets the held operation go on, or fail without having done anything.
    pub fn release(&self, fails: bool) {
        self.state().released.push_back(fails);
        self.changed.notify_all();
    }

    pub fn events(&self) -> Vec<Event> {
        self.state().events.clone()
    }

    /// Waits until the events fulfil `condition`; tells whether they did before `limit` passed.
    pub fn wait_for_events(&self, limit: Duration, condition: impl Fn(&[Event]) -> bool) -> bool {
        self.wait(limit, |state| condition(&state.events))
    }

    fn wait_for(&self, what: &str, condition: impl Fn(&State) -> bool) {
        assert!(self.wait(LIMIT, condition), "waited in vain for {what}: {:?}", self.events());
    }

    fn wait(&self, limit: Duration, condition: impl Fn(&State) -> bool) -> bool {
        let deadline = Instant::now() + limit;
        let mut state = self.state();
        while !condition(&state) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }

    fn pass(&self, point: Point, name: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut state = self.state();
        state.events.push(Event::Begun(point));
        let mut fails = false;
        if state.armed == Some(point) {
            (state.armed, state.is_held) = (None, true);
            self.changed.notify_all();
            while state.released.is_empty() {
                state = self.changed.wait(state).unwrap();
            }
            fails = state.released.pop_front().unwrap();
            state.is_held = false;
        }
        let slowness = if point == Point::Sync { state.slowness } else { Duration::ZERO };
        drop(state);
        self.changed.notify_all();
        std::thread::sleep(slowness);
        let outcome =
            if fails { Err(Error::io(name, "sync", std::io::Error::other("an error of the test"))) } else { act() };
        self.state().events.push(Event::Done(point));
        self.changed.notify_all();
        outcome
    }
}

/// The storage, and what watches it.
pub struct Watched {
    inner: Arc<dyn Storage>,
    watch: Arc<Watch>,
}

struct WatchedFile {
    inner: Box<dyn StorageFile>,
    name: String,
    watch: Arc<Watch>,
}

/// Watches another storage.
pub fn watched(inner: Arc<dyn Storage>) -> (Arc<dyn Storage>, Arc<Watch>) {
    let watch = Arc::new(Watch::default());
    (Arc::new(Watched { inner, watch: Arc::clone(&watch) }), watch)
}

/// Runs a test on a simulated disk and on a real one.
pub fn on_both_disks(test: impl Fn(&str, Arc<dyn Storage>)) {
    test("simulated", Arc::new(SimStorage::new(1)));
    let directory = tempfile::tempdir().unwrap();
    test("real", Arc::new(DiskStorage::open(directory.path(), true, ReadMode::Map).unwrap()));
}

impl Watched {
    fn file(&self, name: &str, inner: Box<dyn StorageFile>) -> Box<dyn StorageFile> {
        if name.starts_with("wal-") && name.ends_with(".log") {
            Box::new(WatchedFile { inner, name: name.to_owned(), watch: Arc::clone(&self.watch) })
        } else {
            inner
        }
    }
}

impl Storage for Watched {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn create(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        Ok(self.file(name, self.inner.create(name)?))
    }
    fn open(&self, name: &str) -> Result<Box<dyn StorageFile>> {
        Ok(self.file(name, self.inner.open(name)?))
    }
    fn map(&self, name: &str) -> Result<Map> {
        self.inner.map(name)
    }
    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.inner.rename(from, to)
    }
    fn remove(&self, name: &str) -> Result<()> {
        self.inner.remove(name)
    }
    fn list(&self) -> Result<Vec<(String, u64)>> {
        self.inner.list()
    }
    fn sync_dir(&self) -> Result<()> {
        self.watch.pass(Point::Names, "the directory", || self.inner.sync_dir())
    }
    fn free_bytes(&self) -> Result<u64> {
        self.inner.free_bytes()
    }
    fn random(&self) -> u64 {
        self.inner.random()
    }
}

impl StorageFile for WatchedFile {
    fn len(&self) -> Result<u64> {
        self.inner.len()
    }
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, buffer)
    }
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.watch.pass(Point::Write, &self.name, || self.inner.write_at(offset, bytes))
    }
    fn set_len(&self, length: u64) -> Result<()> {
        self.inner.set_len(length)
    }
    fn sync_data(&self) -> Result<()> {
        self.watch.pass(Point::Sync, &self.name, || self.inner.sync_data())
    }
    fn sync_all(&self) -> Result<()> {
        self.watch.pass(Point::Prepare, &self.name, || self.inner.sync_all())
    }
}
