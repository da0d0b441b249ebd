//! The options of an open.

use std::time::Duration;

use crate::error::{Error, Limit, OptionMismatch, Result};
use crate::storage::{CodeResidency, ReadMode};
use crate::tuning::Tuning;
use crate::types::{Durability, Metric, Namespace, VectorSpace, limits};

const SWEEP_EVERY: Duration = Duration::from_secs(60);
const CLOCK_GRACE: Duration = Duration::from_secs(3_600);
const SLOW_SEARCH: Duration = Duration::from_millis(100);

/// Options of [`Store::open`](crate::Store::open); the defaults are the safe ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    pub(crate) space: Option<VectorSpace>,
    pub(crate) create: bool,
    pub(crate) durability: Durability,
    pub(crate) sync_every: Duration,
    /// The time between two sweeps: `None` for the default, `Some(None)` for no sweeps in the background.
    pub(crate) sweep_every: Option<Option<Duration>>,
    /// `None` for the default.
    pub(crate) clock_grace: Option<Duration>,
    pub(crate) read_mode: ReadMode,
    pub(crate) hot: CodeResidency,
    /// `None` for the default.
    pub(crate) live_check: Option<bool>,
    pub(crate) lock_timeout: Duration,
    pub(crate) slow_search: Duration,
    pub(crate) tuning: Tuning,
    pub(crate) split_keys: Vec<Namespace>,
    /// `None` for any.
    pub(crate) incarnation: Option<u64>,
    /// Whether a new store is a copy of another one.
    pub(crate) is_copy: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl Options {
    /// Options without a vector space. An existing store keeps its own. A new store is a durable JSON key-value store
    /// until it is opened with a vector space.
    pub fn new() -> Self {
        Self {
            space: None,
            create: true,
            durability: Durability::Sync,
            sync_every: Duration::from_millis(100),
            sweep_every: None,
            clock_grace: None,
            read_mode: ReadMode::Map,
            hot: CodeResidency::PageCache,
            live_check: None,
            lock_timeout: Duration::from_secs(5),
            slow_search: SLOW_SEARCH,
            tuning: Tuning::default(),
            split_keys: Vec::new(),
            incarnation: None,
            is_copy: false,
        }
    }

    /// Vectors of `dims` numbers (1 to 16,384), compared by `metric`. An existing store must have the same vector
    /// space. A store that was created without one gets this one when it is opened.
    pub fn with_vectors(dims: usize, metric: Metric) -> Self {
        Self { space: Some(VectorSpace { dims, metric }), ..Self::new() }
    }

    /// Whether to create a store where there is none. Default: true.
    #[must_use]
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// When writes are acknowledged. Default: [`Durability::Sync`].
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Under [`Durability::Periodic`]: how long an acknowledged write waits at most until its sync begins, at least 1
    /// ms. A power loss may take the writes of this time and of one sync. Default: 100 ms.
    #[must_use]
    pub fn sync_every(mut self, period: Duration) -> Self {
        self.sync_every = period.max(Duration::from_millis(1));
        self
    }

    /// How often the background removes expired items, to the second. With `None` it never does, and only calls
    /// such as [`Store::sweep`](crate::Store::sweep) remove them. Reads hide them either way. Default: 60 s, or the
    /// period of the store if it is already open in this process.
    #[must_use]
    pub fn sweep_every(mut self, period: Option<Duration>) -> Self {
        self.sweep_every = Some(period);
        self
    }

    /// How long a wall clock that jumped must agree with the monotonic clock, over all opens, until it is trusted. A
    /// jump is more than a day ahead of, or behind, the last write plus the time since. Until then no expired item is
    /// removed, only hidden; see [`Store::accept_clock`](crate::Store::accept_clock). Default: 1 h, or the grace of the
    /// store if it is already open in this process.
    #[must_use]
    pub fn clock_grace(mut self, span: Duration) -> Self {
        self.clock_grace = Some(span);
        self
    }

    /// How segment files are read. Default: [`ReadMode::Map`].
    #[must_use]
    pub fn read_mode(mut self, mode: ReadMode) -> Self {
        self.read_mode = mode;
        self
    }

    /// Where codes and graphs lie while the store is open. Default: [`CodeResidency::PageCache`].
    #[must_use]
    pub fn code_residency(mut self, residency: CodeResidency) -> Self {
        self.hot = residency;
        self
    }

    /// Whether some queries that walk a graph are repeated exactly in the background, with at most 1 % of one core, and
    /// the graph is fitted to them where they found less than they asked for. The queries' vectors stay in memory, at
    /// most 200 of a graph and 16 MiB of the store, until the graph or its scope goes; see `docs/recall.md`. Default:
    /// true, or as the store has it if it is already open in this process; false where [`Tuning::inline_background`] is
    /// set.
    #[must_use]
    pub fn live_check(mut self, check: bool) -> Self {
        self.live_check = Some(check);
        self
    }

    /// How long to wait for another process to close the store. Default: 5 s.
    #[must_use]
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.lock_timeout = timeout;
        self
    }

    /// With the feature `tracing`, a search of at least this time emits an event of level `WARN`. Default: 100 ms.
    #[must_use]
    pub fn slow_search(mut self, took: Duration) -> Self {
        self.slow_search = took;
        self
    }

    /// Opens only the store with this [incarnation](crate::Store::incarnation). A copy of it, such as a restored
    /// backup, is refused with `OptionsDiffer`. For a program that keeps LSNs or versions of a store elsewhere: an LSN
    /// may mean another write in another copy, and a version of one copy fails the conditions of all others. Default:
    /// any incarnation.
    #[must_use]
    pub fn incarnation(mut self, incarnation: u64) -> Self {
        self.incarnation = Some(incarnation);
        self
    }

    /// The engine's thresholds, for tests and benchmarks.
    #[must_use]
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// A new store has a shard that begins at each of these namespaces, besides the first shard.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn split_keys(mut self, split_keys: impl IntoIterator<Item = Namespace>) -> Self {
        self.split_keys = split_keys.into_iter().collect();
        self.split_keys.sort();
        self.split_keys.dedup();
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.space {
            Some(space) if space.dims == 0 => Err(Error::invalid("a vector space needs at least 1 dimension")),
            Some(space) if space.dims > limits::DIMENSIONS => {
                Err(Error::limit(Limit::Dimensions, "dimensions of the vector space", space.dims, limits::DIMENSIONS))
            }
            _ => Ok(()),
        }
    }

    /// Fails if the options ask for another incarnation than the one that was found.
    pub(crate) fn check_incarnation(&self, found: u64, place: &str) -> Result<()> {
        let Some(asked) = self.incarnation.filter(|&asked| asked != found) else { return Ok(()) };
        let message = format!(
            "{place} is another copy of the store: its incarnation is {found}, not {asked}. Versions and LSNs that \
             were kept of the other copy have no meaning here; forget them, and open it with its own incarnation"
        );
        let (stored, given) = (found.to_string(), asked.to_string());
        Err(Error::option_differs(message, OptionMismatch { name: "incarnation", stored, given }))
    }

    /// The time between two sweeps of the background, if it sweeps at all.
    pub(crate) fn sweep_period(&self) -> Option<Duration> {
        self.sweep_every.unwrap_or(Some(SWEEP_EVERY))
    }

    /// How long a wall clock that jumped must agree with the monotonic clock until it is trusted.
    pub(crate) fn grace(&self) -> Duration {
        self.clock_grace.unwrap_or(CLOCK_GRACE)
    }

    /// Whether queries are repeated exactly.
    pub(crate) fn checks_recall(&self) -> bool {
        self.live_check.unwrap_or(!self.tuning.inline_background)
    }

    /// The first option of `other` that differs from those of an open store with these options and the vectors `space`.
    pub(crate) fn mismatch(&self, other: &Self, space: Option<VectorSpace>) -> Option<OptionMismatch> {
        let differ =
            |name, stored: String, given: String| (stored != given).then_some(OptionMismatch { name, stored, given });
        let period = |every: Option<Duration>| every.map_or("none".to_owned(), |every| format!("{every:?}"));
        other
            .space_mismatch(space)
            .or_else(|| differ("durability", worded(self.durability), worded(other.durability)))
            .or_else(|| differ("read_mode", worded(self.read_mode), worded(other.read_mode)))
            .or_else(|| differ("code_residency", worded(self.hot), worded(other.hot)))
            .or_else(|| {
                let counts = self.durability == Durability::Periodic;
                counts.then(|| differ("sync_every", period(Some(self.sync_every)), period(Some(other.sync_every))))?
            })
            .or_else(|| {
                other.sweep_every.and_then(|asked| differ("sweep_every", period(self.sweep_period()), period(asked)))
            })
            .or_else(|| {
                other
                    .clock_grace
                    .and_then(|asked| differ("clock_grace", period(Some(self.grace())), period(Some(asked))))
            })
            .or_else(|| {
                let asked = other.live_check;
                asked.and_then(|asked| differ("live_check", self.checks_recall().to_string(), asked.to_string()))
            })
    }

    /// How the vector space of the options differs from the store's; `None` if the options have none.
    pub(crate) fn space_mismatch(&self, found: Option<VectorSpace>) -> Option<OptionMismatch> {
        let asked = self.space.filter(|asked| found != Some(*asked))?;
        let dims = |space: VectorSpace| space.dims.to_string();
        Some(match found {
            Some(found) if found.dims == asked.dims => {
                OptionMismatch { name: "metric", stored: found.metric.to_string(), given: asked.metric.to_string() }
            }
            _ => OptionMismatch { name: "dims", stored: found.map_or("none".to_owned(), dims), given: dims(asked) },
        })
    }
}

/// The name of an enum variant as Python and the command line write it: `page-cache` for `PageCache`.
fn worded(choice: impl std::fmt::Debug) -> String {
    let name = format!("{choice:?}");
    let parts = name.char_indices().map(|(at, letter)| match letter {
        'A'..='Z' if at > 0 => format!("-{}", letter.to_ascii_lowercase()),
        letter => letter.to_ascii_lowercase().to_string(),
    });
    parts.collect()
}
