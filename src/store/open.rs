//! Opening: lock, recover, start the background; and the registry of stores that are open in this process.
//!
//! Invariants:
//! * The directory is locked before a file in it is read, and stays locked until the store is closed.
//! * The registry never keeps a store open: it holds weak references. A forked child begins with an empty registry.
//! * Waiting for one directory, or recovering it, never blocks the open of another directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use crate::commit::Pipeline;
use crate::engine::Engine;
use crate::engine::clock::StoreClock;
use crate::engine::facts::{OpenVerdict, StoreFacts, gather};
use crate::engine::recover::{add_space, create, recover};
use crate::error::{Error, ErrorKind, Result};
use crate::events;
use crate::file_names::{FileName, UNFINISHED, parse_name};
use crate::record::{copy_incarnation, original_incarnation};
use crate::storage::disk::{DirectoryId, DiskStorage, SystemClock};
use crate::storage::forks::PerProcess;
use crate::storage::lock::DirectoryLock;
use crate::storage::{Clock, Storage, disk};
use crate::store::embeddings::Embeddings;
use crate::store::latency::Latencies;
use crate::store::options::Options;
use crate::store::{Handle, Store};
use crate::sync::{Mutex, RwLock};
use crate::types::{Durability, VectorSpace};
use crate::words::counted;
use crate::worker::{Worker, WorkerDuties};

/// The registry entry of one directory: its handle. The entry is locked while the directory is being opened.
type OpenPlace = Arc<Mutex<Weak<Handle>>>;

fn place_of(directory: DirectoryId) -> OpenPlace {
    static PLACES: PerProcess<Mutex<HashMap<DirectoryId, OpenPlace>>> = PerProcess::new();
    let mut places = PLACES.get_or_set(Mutex::default()).lock();
    // An entry that only the map refers to is in no other use while the map is locked. It goes if its handle is gone.
    places.retain(|_, place| Arc::strong_count(place) > 1 || place.lock().strong_count() > 0);
    Arc::clone(places.entry(directory).or_default())
}

/// The lock that a close releases, and the temporary directory that it removes.
pub(super) struct Guards {
    lock: Mutex<Option<DirectoryLock>>,
    temporary: Option<PathBuf>,
}

impl Guards {
    /// Releases the lock, and removes the directory if it is temporary.
    pub fn release(&self) {
        drop(self.lock.lock().take());
        if let Some(path) = &self.temporary {
            disk::remove_tree(path);
        }
    }
}

/// Opens a directory, or returns the store that is open there in this process.
pub(super) fn open(path: &Path, options: Options) -> Result<Store> {
    open_directory_with(path, Arc::new(SystemClock), options)
}

/// The same with a given clock. An error is reported as an event too.
pub(crate) fn open_directory_with(path: &Path, clock: Arc<dyn Clock>, options: Options) -> Result<Store> {
    open_or_find(path, clock, options).inspect_err(|error| events::open_failed(path, error))
}

fn open_or_find(path: &Path, clock: Arc<dyn Clock>, options: Options) -> Result<Store> {
    options.check()?;
    let storage = DiskStorage::open(path, options.create, options.read_mode)?.with_hot(options.hot);
    let place = place_of(storage.identity());
    // The entry stays locked until the store is in it, so that two threads cannot both open the directory. Opens of
    // other directories do not wait.
    let mut place = place.lock();
    // If the store in the entry is closed, the directory is opened again.
    if let Some(handle) = place.upgrade().filter(|handle| handle.engine.check_usable().is_ok()) {
        options.check_incarnation(handle.engine.identity.incarnation, &storage.describe())?;
        let found = handle.engine.identity.keys.space;
        let Some(differs) = handle.options.mismatch(&options, found) else { return Ok(Store { handle }) };
        let why = match options.space {
            Some(_) if options.space != found => format!("{}, not {}", described(found), described(options.space)),
            _ => format!("{} = {}, not {}", differs.name, differs.stored, differs.given),
        };
        let message = format!("{} is open in this process with {why}; use the same, or close it", path.display());
        return Err(Error::option_differs(message, differs));
    }
    refuse_strangers(&storage, options.create)?;
    let lock = storage.lock(options.lock_timeout)?;
    let path = storage.path().to_path_buf();
    let guards = Guards { lock: Mutex::new(Some(lock)), temporary: None };
    let store = start(Arc::new(storage), clock, options, Some(path), guards)?;
    *place = Arc::downgrade(&store.handle);
    Ok(store)
}

/// A vector space, for messages.
fn described(space: Option<VectorSpace>) -> String {
    space.map_or("no vectors".to_owned(), |space| {
        format!("vectors of {}, {:?}", counted(space.dims, "dimension"), space.metric)
    })
}

/// Fails unless the directory is a store, or may become one. It runs before anything is written to the directory, the
/// `LOCK` file included.
fn refuse_strangers(storage: &DiskStorage, create: bool) -> Result<()> {
    let names: Vec<String> = storage.list()?.into_iter().map(|(name, _)| name).collect();
    // If a store has lost its manifests, the recovery gives a more helpful error.
    let is_of_a_store = |name: &String| {
        matches!(parse_name(name), Some(FileName::Manifest(_) | FileName::Segment(_) | FileName::Log(_)))
    };
    if names.iter().any(is_of_a_store) {
        return Ok(());
    }
    let refused = |why: &str| Error::new(ErrorKind::NotAStore, format!("{} {why}", storage.describe()));
    if !create {
        return Err(refused("holds no vecmem store; create one, or give another path"));
    }
    let is_stranger = |name: &&String| parse_name(name).is_none() && !name.starts_with('.');
    match names.iter().find(is_stranger) {
        Some(name) => {
            let why = format!("is no store and holds other files ({name}); give an empty or a new directory");
            Err(refused(&why).at(name, None))
        }
        None => Ok(()),
    }
}

/// A store in a temporary directory. It is not in the registry, so no other open returns it.
pub(super) fn temporary(options: Options) -> Result<Store> {
    options.check()?;
    let path = disk::temporary_directory()?;
    let storage = DiskStorage::open(&path, true, options.read_mode)?.with_hot(options.hot).without_syncs();
    let lock = Some(storage.lock(options.lock_timeout)?);
    let guards = Guards { lock: Mutex::new(lock), temporary: Some(path.clone()) };
    let options = options.durability(Durability::Manual).create(true);
    start(Arc::new(storage), Arc::new(SystemClock), options, Some(path), guards)
}

/// Opens a store on any storage, with any clock: for simulations.
#[cfg(feature = "testing")]
pub(crate) fn open_with(storage: Arc<dyn Storage>, clock: Arc<dyn Clock>, options: Options) -> Result<Store> {
    options.check()?;
    let guards = Guards { lock: Mutex::new(None), temporary: None };
    start(storage, clock, options, None, guards)
}

/// Fails if a backup or a restore has begun to fill the directory and was not finished.
fn refuse_unfinished(storage: &dyn Storage) -> Result<()> {
    let names: Vec<String> = storage.list()?.into_iter().map(|(name, _)| name).collect();
    let has_manifest = names.iter().any(|name| matches!(parse_name(name), Some(FileName::Manifest(_))));
    if has_manifest || !names.iter().any(|name| name == UNFINISHED) {
        return Ok(());
    }
    let why = format!(
        "{} holds a backup or a restore that was not finished, and no store; make the same backup again, or remove the \
         directory and restore again",
        storage.describe()
    );
    Err(Error::new(ErrorKind::NotAStore, why).at(UNFINISHED, None))
}

/// The facts about the store before its recovery, and whether this open created the store. Adds a new vector space.
fn facts_or_created(storage: &dyn Storage, options: &Options) -> Result<(StoreFacts, bool)> {
    refuse_unfinished(storage)?;
    let facts = gather(storage)?;
    match facts.verdict() {
        OpenVerdict::Refuse(location, why) => {
            let error = Error::new(ErrorKind::Corrupt, why).context(storage.describe());
            Err(location.into_iter().fold(error, |error, place| error.at(place.file, place.offset)))
        }
        OpenVerdict::Create if !options.create => Err(Error::new(
            ErrorKind::NotAStore,
            format!("{} holds no vecmem store; create one, or give another path", storage.describe()),
        )),
        OpenVerdict::Create => {
            let split_keys: Vec<Vec<u8>> = options.split_keys.iter().map(|cut| cut.encoded().to_vec()).collect();
            let incarnation = if options.is_copy { copy_incarnation } else { original_incarnation }(storage.random());
            create(storage, incarnation, options.space, &split_keys)?;
            Ok((gather(storage)?, true))
        }
        OpenVerdict::Open | OpenVerdict::OpenWithoutTail => match options.space {
            Some(space) if add_space(storage, &facts, space)? => Ok((gather(storage)?, false)),
            _ => Ok((facts, false)),
        },
    }
}

/// Recovers or creates the store, and starts its background threads.
fn start(
    storage: Arc<dyn Storage>,
    clock: Arc<dyn Clock>,
    options: Options,
    path: Option<PathBuf>,
    guards: Guards,
) -> Result<Store> {
    let started = clock.monotonic();
    let (facts, created) = facts_or_created(&*storage, &options)?;
    let log_files = facts.log.as_ref().map_or(0, |log| log.files.len());
    let recovered = recover(&storage, facts, path)?;
    let found = recovered.identity.keys.space;
    if let Some(differs) = options.space_mismatch(found) {
        let (found, asked) = (described(found), described(options.space));
        let message =
            format!("{} has {found}, not {asked}; open it with the same, or without asking", storage.describe());
        return Err(Error::option_differs(message, differs));
    }
    options.check_incarnation(recovered.identity.incarnation, &storage.describe())?;
    let last_lsn = recovered.view.read_lsn;
    if !created {
        let path = recovered.identity.path.as_deref();
        events::recovered(path, log_files, last_lsn.get(), clock.monotonic().saturating_sub(started));
    }
    let clock = StoreClock::new(clock, options.grace(), recovered.clock);
    let engine = Arc::new(Engine::new(storage, clock, options.tuning.clone(), options.durability, recovered));
    let pipeline = Arc::new(Pipeline::new(Arc::clone(&engine), last_lsn));
    let duties = WorkerDuties {
        sync_every: options.sync_every,
        sweep_every: options.sweep_period(),
        checks_recall: options.checks_recall(),
    };
    let worker = Worker::new(Arc::clone(&engine), Arc::clone(&pipeline), duties);
    if options.tuning.inline_background {
        worker.verify_graphs();
    }
    if !options.tuning.inline_background
        && let Err(error) = worker.start()
    {
        // The threads that did start must end before the directory is released.
        engine.mark_closed();
        worker.join();
        return Err(error);
    }
    let segments = engine.view.get().shards.iter().map(|shard| shard.segments.len()).sum();
    let took = engine.clock.monotonic().saturating_sub(started);
    events::opened(engine.identity.path.as_deref(), created, segments, took);
    Ok(Store {
        handle: Arc::new(Handle {
            embeddings: Embeddings::new(options.tuning.known_embeddings),
            engine,
            pipeline,
            worker,
            holders: Arc::default(),
            latencies: Latencies::default(),
            options,
            guards,
            calls: RwLock::default(),
            closing: Mutex::default(),
        }),
    })
}
