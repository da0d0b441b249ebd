//! A store on a simulated disk that can be closed, killed, damaged and opened again while its tenants go on.

use vecmem::testing::{Loss, SimClock, SimStorage};
use vecmem::{Metric, Namespace, Options, Put, Store, Tuning};

use crate::common::{START, namespace, reopened, tiny};

pub const DIMS: usize = 6;

/// How the store of a comparison is laid out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Layout {
    /// Tenants share segments, and nothing is searched by graphs, so every search is exact.
    WithoutGraphs,
    /// Tenants share segments with graphs. The tenant asks for exact searches.
    WithGraphs,
    /// The same, with graphs of large namespaces only: none that searches have earned.
    NamespaceGraphs,
    /// As before, and the tenant's namespaces are a shard of their own, so segments of its neighbour can be damaged.
    OwnShards,
}

pub struct World {
    pub store: Store,
    pub storage: SimStorage,
    pub clock: SimClock,
    pub layout: Layout,
    /// How often the store was opened again.
    pub openings: u64,
    /// Purges so far: each may end what reads keep.
    pub purges: u64,
}

/// The namespace that all of the tenant's namespaces begin with.
pub fn home() -> Namespace {
    namespace(["tenant", "a"])
}

impl World {
    pub fn new(layout: Layout) -> Self {
        let (storage, clock) = (SimStorage::new(1), SimClock::new(START));
        let store = reopened(&storage, &clock, Self::options(layout));
        if layout == Layout::OwnShards {
            // Nobody deletes these. A purge moves the bounds of shards to where nothing lives, but not across them.
            for space in [namespace(["\u{1}"]), namespace(["tenant", "a", "~"]), namespace(["tenant", "a\0"])] {
                store.put(Put::new(&space, "anchor", "{}")).unwrap();
            }
        }
        Self { store, storage, clock, layout, openings: 0, purges: 0 }
    }

    fn options(layout: Layout) -> Options {
        let tiny_tuning = Tuning::tiny();
        let tuning = match layout {
            Layout::WithoutGraphs => Tuning { graph_rows: u32::MAX, earn_rows: u32::MAX, ..tiny_tuning },
            Layout::WithGraphs => tiny_tuning,
            Layout::NamespaceGraphs | Layout::OwnShards => Tuning { earn_rows: u32::MAX, ..tiny_tuning },
        };
        let options = tiny(DIMS, Metric::Cosine).tuning(tuning);
        if layout != Layout::OwnShards {
            return options;
        }
        // The engine's own rows; then others; then the tenant, up to the first namespace after everything below its
        // own.
        options.split_keys([namespace(["\u{1}"]), home(), namespace(["tenant", "a\0"])])
    }

    fn open(&mut self) {
        self.store = reopened(&self.storage, &self.clock, Self::options(self.layout));
        self.openings += 1;
    }

    /// Closes the store and opens it again.
    pub fn reopen(&mut self) {
        self.store.close().unwrap();
        self.open();
    }

    /// Power is lost, or the process is killed; then the store is opened again.
    pub fn crash(&mut self, loss: Loss, seed: u64) {
        self.storage = self.storage.crash(loss, seed);
        self.open();
    }
}
