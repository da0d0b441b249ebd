//! A directory that a test looks into and damages behind the store's back: simulated, with tiny parts and the
//! background on the writing thread, or on a real disk, with default tuning.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use vecmem::testing::{Content, DiskStorage, Fault, Loss, SimClock, SimStorage, SystemClock, open_with};
use vecmem::{Options, ReadMode, Store, Tuning};

use super::canaries::{self, Files};
use super::faulty::Faulty;
use super::{START, reopened};

pub enum Directory {
    Simulated(Simulated),
    Real(Real),
}

/// A simulated directory, and how stores are opened there.
pub struct Simulated {
    pub storage: SimStorage,
    pub clock: SimClock,
    tuning: Box<Tuning>,
}

/// A real directory, which goes with this value, unless it lies in another one.
pub struct Real {
    path: PathBuf,
    storage: Faulty,
    _temporary: Option<tempfile::TempDir>,
}

impl Directory {
    pub fn simulated() -> Self {
        Self::simulated_with(Tuning::tiny())
    }

    pub fn simulated_with(tuning: Tuning) -> Self {
        Self::Simulated(Simulated {
            storage: SimStorage::new(1),
            clock: SimClock::new(START),
            tuning: Box::new(tuning),
        })
    }

    /// What only simulated ones can do.
    pub fn sim(&self) -> &Simulated {
        match self {
            Self::Simulated(simulated) => simulated,
            Self::Real(real) => panic!("{:?} is real", real.path),
        }
    }

    pub fn real() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().to_owned();
        Self::with_path(path, Some(temporary))
    }

    fn with_path(path: PathBuf, temporary: Option<tempfile::TempDir>) -> Self {
        let storage = Faulty::new(Arc::new(DiskStorage::open(&path, true, ReadMode::Map).unwrap()));
        Self::Real(Real { path, storage, _temporary: temporary })
    }

    /// Opens the store. The options say nothing of tuning.
    pub fn open(&self, options: Options) -> Store {
        match self {
            Self::Simulated(Simulated { storage, clock, tuning }) => {
                reopened(storage, clock, options.tuning(Tuning::clone(tuning)))
            }
            Self::Real(real) => open_with(Arc::new(real.storage.clone()), Arc::new(SystemClock), options).unwrap(),
        }
    }

    /// What a process that is killed now leaves.
    pub fn killed(&self) -> Self {
        match self {
            Self::Simulated(simulated) => simulated.with(simulated.storage.crash(Loss::None, 0)),
            Self::Real(real) => {
                let left = tempfile::tempdir().unwrap();
                canaries::copy(&real.path, left.path());
                Self::with_path(left.path().to_owned(), Some(left))
            }
        }
    }

    /// The same at a path of a real disk.
    pub fn killed_into(&self, path: &Path) -> Self {
        std::fs::create_dir(path).unwrap();
        self.files().iter().for_each(|(name, bytes)| std::fs::write(path.join(name), bytes).unwrap());
        Self::with_path(path.to_owned(), None)
    }

    pub fn files(&self) -> Files {
        match self {
            Self::Simulated(simulated) => canaries::files_of_simulated(&simulated.storage),
            Self::Real(real) => canaries::files_at_rest(&real.path),
        }
    }

    /// What the decoders make of the files.
    pub fn contents(&self) -> Vec<Content> {
        match self {
            Self::Simulated(simulated) => canaries::decoded_of(&simulated.storage),
            Self::Real(real) => canaries::decoded(&real.path),
        }
    }

    /// The names of files that end so, sorted.
    pub fn names(&self, end: &str) -> Vec<String> {
        let all = match self {
            Self::Simulated(simulated) => simulated.storage.names(),
            Self::Real(real) => {
                let entries = std::fs::read_dir(&real.path).unwrap();
                let mut names: Vec<String> =
                    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
                names.sort();
                names
            }
        };
        all.into_iter().filter(|name| name.ends_with(end)).collect()
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        match self {
            Self::Simulated(simulated) => simulated.storage.read_file(name).unwrap(),
            Self::Real(real) => std::fs::read(real.path.join(name)).unwrap(),
        }
    }

    /// Puts a file there, in the place of one of that name.
    pub fn write(&self, name: &str, bytes: &[u8]) {
        match self {
            Self::Simulated(simulated) => simulated.storage.write_file(name, bytes),
            Self::Real(real) => {
                // A new file: the old one may be mapped.
                let aside = tempfile::NamedTempFile::new_in(&real.path).unwrap();
                std::fs::write(aside.path(), bytes).unwrap();
                aside.persist(real.path.join(name)).unwrap();
            }
        }
    }

    pub fn flip_bit(&self, name: &str, bit: usize) {
        let mut bytes = self.read(name);
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.write(name, &bytes);
    }

    /// Lets the `n` next operations that `fault` concerns pass, then strikes.
    pub fn fail_after(&self, n: u64, fault: Fault) {
        match self {
            Self::Simulated(simulated) => simulated.storage.fail_after(n, fault),
            Self::Real(real) => real.storage.fail_after(n, fault),
        }
    }

    pub fn clear_faults(&self) {
        match self {
            Self::Simulated(simulated) => simulated.storage.clear_faults(),
            Self::Real(real) => real.storage.clear_faults(),
        }
    }
}

impl Simulated {
    /// Another directory that is opened like this one.
    pub fn with(&self, storage: SimStorage) -> Directory {
        Directory::Simulated(Self { storage, clock: self.clock.clone(), tuning: self.tuning.clone() })
    }
}
