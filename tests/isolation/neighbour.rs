//! The neighbour: whatever a tenant, or the operator on its behalf, may do beside another tenant.
//!
//! Invariants:
//! * It writes to no namespace of the tenant, and everything that it writes carries [`TOKEN`] or [`MARK`], keys apart
//!   that are equal to keys of the tenant.
//! * It writes fewer than 20,000 rows between two calls of the tenant, so that the clock of the store, which gives each
//!   write a microsecond of its own, is not ahead of the time.
//! * What its calls return does not matter here. They may fail: some are bad, some meet damage.

use std::collections::BTreeMap;
use std::time::Duration;

use vecmem::testing::Loss;
use vecmem::{
    Batch, Condition, Filter, ImportOptions, Namespace, PurgeOptions, Put, Query, ReadOptions, RenameOptions, Scope,
    Snapshot, Version,
};

use crate::common::{Random, namespace};
use crate::tenant::{OWNER, key};
use crate::world::{DIMS, Layout, World, home};

/// In every value and in some keys and labels of the neighbour.
pub const TOKEN: &str = "canary-7f3a9c51d2e846b0";
/// An element of every vector of the neighbour that has a direction, and how it is written.
const MARK: f32 = 0.123_456_79;

/// Whether a text that was given to the tenant holds something of the neighbour.
pub fn leaks(text: &str) -> bool {
    text.contains(TOKEN) || text.contains(&MARK.to_string())
}

/// Namespaces that look like those of the tenant, or are a prefix of them in bytes or in labels.
fn namespaces() -> Vec<Namespace> {
    let all: [&[&str]; 20] = [
        &["tenant"],
        &["tenant", "b"],
        &["tenant", "b", "x"],
        &["tenant", "a\0"],
        &["tenant", "a\0", "x"],
        &["tenant", "a/"],
        &["tenant", "a/x"],
        &["tenant", "a "],
        &["tenant", "A"],
        &["tenant", "aa"],
        &["tenant", "\u{e1}"],
        &["tenant", "a\u{301}"],
        &["tenant", "a\u{200b}", "cafe\u{301}"],
        &["tenant/a"],
        &["tenant\0", "a"],
        &["tenanta"],
        &["Tenant", "a"],
        &["a"],
        &["x", "tenant", "a"],
        &["tenant", TOKEN],
    ];
    all.iter().map(|labels| Namespace::new(labels.iter().copied()).unwrap()).collect()
}

pub struct Neighbour {
    random: Random,
    namespaces: Vec<Namespace>,
    snapshot: Option<Snapshot>,
    imports: u64,
    /// Whether it also does what only an operator may: searches and graphs over everything.
    reaches_everything: bool,
    /// What it has done, by name, for the test's output.
    pub acts: BTreeMap<&'static str, u64>,
}

impl Neighbour {
    pub fn new(seed: u64, layout: Layout) -> Self {
        let (random, mut namespaces) = (Random::new(seed ^ 0x00B0_B0B0), namespaces());
        if layout == Layout::OwnShards {
            // An item there keeps the shards apart.
            namespaces.retain(|namespace| namespace.labels().get(1).is_none_or(|label| label != "a\0"));
        }
        let (reaches_everything, acts) = (true, BTreeMap::new());
        Self { random, namespaces, snapshot: None, imports: 0, reaches_everything, acts }
    }

    /// One that keeps to its own namespaces.
    pub fn of_its_own(seed: u64, layout: Layout) -> Self {
        Self { reaches_everything: false, ..Self::new(seed, layout) }
    }

    /// Some act, the costly ones seldom.
    pub fn act(&mut self, world: &mut World) {
        let name = match self.random.below(1_000) {
            0..350 => self.put(world),
            350..520 => self.batch(world),
            520..600 => self.delete(world),
            600..720 => self.read(world),
            720..800 => self.bad_input(world),
            800..830 => self.flood(world),
            830..860 => self.import(world),
            860..890 => self.keep_snapshot(world),
            890..970 => self.maintain(world),
            970..980 => self.purge(world),
            980..990 => self.reopen(world),
            _ => self.damage(world),
        };
        *self.acts.entry(name).or_default() += 1;
    }

    fn namespace(&mut self) -> Namespace {
        self.random.pick(&self.namespaces).clone()
    }

    /// One that holds none of the tenant's.
    fn scope(&mut self) -> Scope {
        let namespace = self.namespace();
        let holds_tenant = home().labels().starts_with(&namespace.labels());
        if holds_tenant || self.random.chance(50) { Scope::from(&namespace) } else { Scope::Prefix(namespace) }
    }

    fn key(&mut self) -> String {
        if self.random.chance(70) { key(&mut self.random) } else { format!("{TOKEN}{}", self.random.below(30)) }
    }

    fn vector(&mut self) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..DIMS).map(|_| self.random.unit()).collect();
        vector[0] = MARK;
        match self.random.below(8) {
            0 => vec![0.0; DIMS],
            1 => vec![MARK; DIMS],
            2 => vector.iter().map(|value| value * 1e18).collect(),
            3 => vector.iter().map(|value| value * 1e-38).collect(),
            _ => vector,
        }
    }

    fn any_put(&mut self) -> Put {
        let (namespace, key, number) = (self.namespace(), self.key(), self.random.below(100));
        let pad = "q".repeat(*self.random.pick(&[0, 0, 50, 300, 2_000]));
        // Like the tenant's, so that filters that match there match here.
        let value = format!(
            "{{\"owner\":\"{TOKEN}\",\"n\":{number},\"kind\":\"fact\",\"tags\":[\"t1\"],\"deep\":{{\"er\":3}},\"pad\":\"{pad}\"}}"
        );
        let mut put = Put::new(&namespace, key, value);
        for field in 0..self.random.below(3) {
            put = put.field_vector(&field.to_string(), self.vector());
        }
        match self.random.below(12) {
            0 => put.ttl(Duration::from_millis(1 + self.random.below(5_000))),
            // The newest of all, for ever.
            1 => put.updated_at(vecmem::limits::INSTANT),
            2 => put.updated_at(i64::MIN),
            3 => put.condition(Condition::IfAbsent),
            4 => put.condition(Condition::IfVersion(Version::from_u64(self.random.below(5_000)))),
            _ => put,
        }
    }

    fn put(&mut self, world: &World) -> &'static str {
        let _ = world.store.put(self.any_put());
        "put"
    }

    fn batch(&mut self, world: &World) -> &'static str {
        let mut batch = Batch::new();
        for _ in 0..1 + self.random.below(12) {
            if self.random.chance(75) {
                batch.put(self.any_put().condition(Condition::Always));
            } else {
                batch.delete(&self.namespace(), &self.key());
            }
        }
        if self.random.chance(20) {
            batch.operation_id(&format!("{TOKEN}{}", self.random.below(50)));
        }
        let _ = world.store.batch(batch);
        "batch"
    }

    fn delete(&mut self, world: &World) -> &'static str {
        if self.random.chance(60) {
            let _ = world.store.delete(&self.namespace(), &self.key());
            return "delete";
        }
        let (scope, filter) = (self.scope(), Filter::eq("kind", "fact"));
        match self.random.below(6) {
            0 => drop(world.store.delete_where(&scope, &filter)),
            1 => drop(world.store.keep_newest(&scope, 1 + self.random.below(5) as usize)),
            2 => {
                let (from, to) = (Scope::Namespace(self.namespace()), self.namespace());
                drop(world.store.rename_with(&from, &to, &RenameOptions::new().merge(true)));
            }
            _ => {
                let _ = world.store.delete_range(&scope);
                return "delete range";
            }
        }
        "prune"
    }

    /// Reads of its own, and of everything, which is what earns graphs.
    fn read(&mut self, world: &World) -> &'static str {
        let everything = self.reaches_everything && self.random.chance(30);
        let scope = if everything { Scope::Store } else { self.scope() };
        // A refresh of everything would be a write to items of the tenant.
        let refresh_ttl = !everything && self.random.chance(30);
        let options = ReadOptions { refresh_ttl, partial: true, ..ReadOptions::default() };
        let query = Query::new(scope).vector(self.vector()).limit(1 + self.random.below(200)).options(options);
        let filter = Filter::eq("kind", "fact");
        let _ = world.store.search(&if self.random.chance(30) { query.filter(filter) } else { query });
        "search"
    }

    fn bad_input(&mut self, world: &World) -> &'static str {
        let namespace = self.namespace();
        let put = Put::new(&namespace, TOKEN, format!("{{\"owner\":\"{TOKEN}\"}}"));
        let _ = match self.random.below(5) {
            0 => world.store.put(put.vector([f32::NAN; DIMS])),
            1 => world.store.put(put.vector([1e30; DIMS])),
            2 => world.store.put(Put::new(&namespace, TOKEN, "[".repeat(200_000))),
            3 => world.store.put(Put::new(&namespace, "k".repeat(2 << 20), "{}")),
            _ => world.store.put(put.vector(vec![1.0; 20_000])),
        };
        "bad input"
    }

    fn flood(&mut self, world: &World) -> &'static str {
        for _ in 0..self.random.below(120) {
            let _ = world.store.put(self.any_put());
        }
        "flood"
    }

    /// Files for some, and a batch for others.
    fn import(&mut self, world: &World) -> &'static str {
        self.imports += 1;
        let puts: Vec<_> =
            (0..self.random.below(150)).map(|_| Ok(self.any_put().condition(Condition::Always))).collect();
        let options = ImportOptions::new().source(format!("{TOKEN} {}", self.imports)).on_bad(|_, _| true);
        let _ = world.store.import(puts, options);
        "import"
    }

    /// A snapshot that keeps old parts while others write.
    fn keep_snapshot(&mut self, world: &World) -> &'static str {
        self.snapshot = if self.snapshot.is_some() { None } else { world.store.snapshot().ok() };
        "snapshot"
    }

    fn maintain(&mut self, world: &World) -> &'static str {
        let scope = self.scope();
        match self.random.below(8) {
            0 => {
                let _ = world.store.flush();
                "flush"
            }
            1 => {
                let _ = world.store.compact();
                "compact"
            }
            2..5 => {
                // Also over everything, the tenant's rows included.
                let wide = self.random.chance(50) && self.reaches_everything && world.layout != Layout::WithoutGraphs;
                let _ = world.store.build_graph(if wide { &Scope::Store } else { &scope });
                "graph"
            }
            5 => {
                let _ = world.store.check(true);
                "check and repair"
            }
            6 => {
                let _ = world.store.set_setting(TOKEN, Some("{}"));
                "setting"
            }
            _ => {
                let _ = world.store.sync();
                world.store.run_background();
                "background"
            }
        }
    }

    fn purge(&mut self, world: &mut World) -> &'static str {
        let _ = world.store.purge_with(&self.scope(), &PurgeOptions::new().grace(Duration::ZERO));
        world.purges += 1;
        "purge"
    }

    fn reopen(&mut self, world: &mut World) -> &'static str {
        self.snapshot = None;
        let seed = self.random.draw();
        match self.random.below(4) {
            0 => {
                world.reopen();
                return "close and open";
            }
            1 => world.crash(Loss::None, seed),
            2 => world.crash(Loss::AllUnsynced, seed),
            _ => world.crash(Loss::Torn, seed),
        }
        "crash and open"
    }

    /// Flips bits of segments that hold rows of the neighbour only, and opens the store again.
    fn damage(&mut self, world: &mut World) -> &'static str {
        // An open needs the files of imports that no checkpoint has passed: it names the one to be restored.
        let _ = world.store.flush();
        let own = own_segments(world);
        if own.is_empty() {
            return "nothing to damage";
        }
        self.snapshot = None;
        world.store.close().unwrap();
        for _ in 0..1 + self.random.below(4) {
            let name = self.random.pick(&own).clone();
            let Some(bytes) = world.storage.read_file(&name) else { continue };
            if bytes.is_empty() {
                continue;
            }
            match self.random.below(4) {
                0 => world.storage.truncate(&name, self.random.below(bytes.len() as u64)),
                1 => world.storage.remove_file(&name),
                _ => world.storage.flip_bit(&name, self.random.below(8 * bytes.len() as u64)),
            }
        }
        world.crash(Loss::None, 0);
        if self.random.chance(50) {
            let _ = world.store.accept_loss();
        }
        "damage"
    }
}

/// Files of segments that hold rows of the neighbour and none of the tenant. Shards of its own have such segments. Not
/// all of them stay its own: a purge may move the bounds of shards to where nothing lives.
fn own_segments(world: &World) -> Vec<String> {
    if world.layout != Layout::OwnShards {
        return Vec::new();
    }
    let names = world.storage.names();
    let is_own = |name: &&String| {
        let bytes = world.storage.read_file(name).unwrap_or_default();
        let holds = |what: &str| bytes.windows(what.len()).any(|window| window == what.as_bytes());
        name.ends_with(".truth") && holds(TOKEN) && !holds(OWNER) && !holds(ENGINE) && !names_the_tenant(&bytes)
    };
    let own: Vec<&str> = names.iter().filter(is_own).filter_map(|name| name.strip_suffix(".truth")).collect();
    names.iter().filter(|name| own.iter().any(|own| name.starts_with(*own))).cloned().collect()
}

/// The encoded name of the engine's own namespace for the progress of imports. All tenants share it, so damage there is
/// not the neighbour's alone.
const ENGINE: &str = "\0import\0";

/// Whether a file holds the encoded name of one of the tenant's namespaces. A longer name ends with it, and that of
/// `a\0` begins with it; those are the neighbour's.
fn names_the_tenant(bytes: &[u8]) -> bool {
    const NAME: &[u8] = b"tenant\0a\0";
    let found = bytes.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let is_longer = |at: usize| bytes[..at].ends_with(b"x\0") || bytes.get(at + NAME.len()) == Some(&0xFF);
    found.into_iter().any(|(at, _)| !is_longer(at))
}

/// That the tenant's names and the neighbour's are apart, whatever they look like.
#[test]
fn the_namespaces_of_the_neighbour_are_not_those_of_the_tenant() {
    let home = home().labels();
    assert!(namespaces().iter().all(|namespace| !namespace.labels().starts_with(&home)));
    assert!(namespaces().contains(&namespace(["tenant"])));
}
