//! The tenant whose answers are compared: a seeded sequence of calls of every kind, on its own namespaces.
//!
//! Invariant: which calls it makes depends on the seed alone, and never on what it is told.

use std::time::Duration;

use vecmem::{
    Batch, Condition, Cursor, Filter, ImportOptions, IterateQuery, Listing, Namespace, Put, Query, ReadOptions, Scope,
    Snapshot, Version, WriteResult,
};

use crate::answers::{Answer, ENDED, Versions, told};
use crate::common::{Random, namespace};
use crate::reads::Reading;
use crate::world::{DIMS, Layout, World, home};

/// Everything that a value of the tenant holds, and no value of its neighbour does.
pub const OWNER: &str = "\"owner\":\"a\"";

/// A namespace of the tenant.
pub fn own(random: &mut Random) -> Namespace {
    let below: [&[&str]; 7] = [&[], &["x"], &["x", "y"], &["x\0"], &["caf\u{e9}"], &["a/"], &["*"]];
    let labels = ["tenant", "a"].into_iter().chain(random.pick(&below).iter().copied());
    Namespace::new(labels).unwrap()
}

/// A key, as its neighbour has it too.
pub fn key(random: &mut Random) -> String {
    match random.below(10) {
        0 => (*random.pick(&["", "\0", "\u{e9}", "e\u{301}", "K1", "k1/", "k1\0"])).to_owned(),
        _ => format!("k{}", random.below(24)),
    }
}

/// What a tenant reads from in several calls.
#[derive(Default)]
struct Held {
    snapshot: Option<Snapshot>,
    cursor: Option<Cursor>,
    listing: Option<Listing>,
    /// The openings of the store, and the purges, when each was made.
    made: [u64; 3],
    openings: u64,
}

pub struct Tenant {
    random: Random,
    versions: Versions,
    held: Held,
    /// The version that the last conditional write names.
    last: Option<Version>,
    imports: u64,
    batches: u64,
}

impl Tenant {
    pub fn new(seed: u64) -> Self {
        let (random, versions) = (Random::new(seed), Versions::default());
        Self { random, versions, held: Held::default(), last: None, imports: 0, batches: 0 }
    }

    /// The next call, after some time.
    pub fn call(&mut self, world: &World) -> Answer {
        let seconds = if self.random.chance(2) { 5 } else { 0 };
        // More than a microsecond for each write of others: the times of all writes of a store differ.
        world.clock.advance(Duration::from_secs(seconds) + Duration::from_millis(20));
        if self.held.openings != world.openings {
            self.held = Held { openings: world.openings, ..Held::default() };
        }
        let (call, text, may_end) = match self.random.below(100) {
            0..30 => self.write(world),
            30..80 => self.read(world),
            80..94 => self.read_held(world),
            94..97 => self.refresh(world),
            _ => self.maintain(world),
        };
        Answer { call: call.to_owned(), text, may_end }
    }

    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    fn put(&mut self) -> Put {
        let (namespace, key, number) = (own(&mut self.random), key(&mut self.random), self.random.below(100));
        let kind = *self.random.pick(&["fact", "taste", "deed"]);
        // From 150 bytes on a value lies in a blob file.
        let pad = "p".repeat(*self.random.pick(&[0, 0, 10, 200]));
        let value = format!(
            "{{{OWNER},\"n\":{number},\"kind\":\"{kind}\",\"tags\":[\"t{}\"],\"deep\":{{\"er\":{}}},\"pad\":\"{pad}\"}}",
            number % 3,
            number % 5
        );
        let mut put = Put::new(&namespace, key, value);
        for field in 0..*self.random.pick(&[0, 1, 1, 1, 2]) {
            let vector: Vec<f32> = (0..DIMS).map(|_| self.random.unit()).collect();
            put = put.field_vector(&field.to_string(), vector);
        }
        match self.random.below(10) {
            0 => put.ttl(Duration::from_secs(1 + self.random.below(20))),
            1 => put.updated_at(1_600_000_000_000_000 + self.random.below(1_000)),
            2 => put.index_paths(["text", "notes.0"]),
            _ => put,
        }
    }

    fn condition(&mut self) -> Condition {
        let last = self.last.unwrap_or(Version::from_u64(1 << 40));
        *self.random.pick(&[Condition::IfAbsent, Condition::IfVersion(last), Condition::Always])
    }

    fn write(&mut self, World { store, layout, .. }: &World) -> (&'static str, String, bool) {
        let (call, text) = match self.random.below(20) {
            0..8 => ("put", self.put_one(store, Condition::Always)),
            8..10 => {
                let condition = self.condition();
                ("put_if", self.put_one(store, condition))
            }
            10..12 => {
                let deleted = store.delete(&own(&mut self.random), &key(&mut self.random));
                ("delete", told(deleted, |there| there.to_string()))
            }
            12 => {
                let (namespace, key, condition) = (own(&mut self.random), key(&mut self.random), self.condition());
                ("delete_if", told(store.delete_if(&namespace, &key, condition), |there| there.to_string()))
            }
            13..16 => ("batch", self.batch(store)),
            16 => ("delete_range", told(store.delete_range(&self.narrow_scope(*layout)), |()| "deleted".to_owned())),
            17 => ("import", self.import(store)),
            18 => ("prune", self.prune(store)),
            _ => ("refused", self.refused(store)),
        };
        (call, text, false)
    }

    fn put_one(&mut self, store: &vecmem::Store, condition: Condition) -> String {
        let (put, is_named) = (self.put().condition(condition), self.random.chance(50));
        told(store.put(put), |version| {
            if is_named {
                self.last = Some(version);
            }
            self.versions.version(version)
        })
    }

    /// Deletes by a filter, or all but the newest.
    fn prune(&mut self, store: &vecmem::Store) -> String {
        let scope = Scope::from(&own(&mut self.random));
        let deleted = if self.random.chance(50) {
            store.delete_where(&scope, &Filter::gte("n", 60))
        } else {
            store.keep_newest(&scope, 8)
        };
        told(deleted, |receipt| format!("{} of {}", receipt.deleted, receipt.scope))
    }

    /// Seldom everything, else the tenant would have little; never in shards of its own, which need an item to last.
    fn narrow_scope(&mut self, layout: Layout) -> Scope {
        match self.random.below(10) {
            0 if layout != Layout::OwnShards => Scope::Prefix(home()),
            1 => Scope::Prefix(namespace(["tenant", "a", "x"])),
            _ => Scope::from(&own(&mut self.random)),
        }
    }

    /// Some batches have a name, and some are sent twice.
    fn batch(&mut self, store: &vecmem::Store) -> String {
        let mut batch = Batch::new();
        for _ in 0..1 + self.random.below(8) {
            if self.random.chance(80) {
                let condition = if self.random.chance(5) { self.condition() } else { Condition::Always };
                batch.put(self.put().condition(condition));
            } else {
                batch.delete(&own(&mut self.random), &key(&mut self.random));
            }
        }
        self.batches += 1;
        let twice = self.random.chance(30);
        if twice {
            batch.operation_id(&format!("batch {} of a", self.batches));
        }
        let mut text = self.batch_results(store.batch(batch.clone()));
        if twice {
            text += &self.batch_results(store.batch(batch));
        }
        text
    }

    fn batch_results(&mut self, results: vecmem::Result<Vec<WriteResult>>) -> String {
        let mut result = |result: &WriteResult| match *result {
            WriteResult::Put(version) => self.versions.version(version),
            WriteResult::Repeated(version) => format!("repeated {}", self.versions.version(version)),
            ref other => format!("{other:?}"),
        };
        told(results, |results| results.iter().map(|one| result(one) + "\n").collect())
    }

    /// The same source now and then again.
    fn import(&mut self, store: &vecmem::Store) -> String {
        self.imports += u64::from(self.random.chance(70));
        let puts: Vec<_> = (0..self.random.below(30)).map(|_| Ok(self.put())).collect();
        let options = ImportOptions::new().source(format!("source {} of a", self.imports)).chunk_rows(12);
        told(store.import(puts, options), |report| format!("{report:?}"))
    }

    /// Writes that must be refused, each with the same words.
    fn refused(&mut self, store: &vecmem::Store) -> String {
        let (home, key) = (own(&mut self.random), key(&mut self.random));
        let put = match self.random.below(6) {
            0 => Put::new(&home, key, "{\"a\":1,\"a\":2}"),
            1 => Put::new(&home, key, "[1]"),
            2 => Put::new(&home, key, "{}").vector([f32::INFINITY; DIMS]),
            3 => Put::new(&home, key, "{}").vector([1.0]),
            4 => Put::new(&home, "k".repeat((1 << 20) + 1), "{}"),
            _ => Put::new(&home, key, "{}").ttl(Duration::ZERO),
        };
        told(store.put(put), |version| self.versions.version(version))
    }

    fn reading<'t>(&'t mut self, world: &World) -> Reading<'t> {
        Reading { random: &mut self.random, versions: &mut self.versions, layout: world.layout }
    }

    fn read(&mut self, world: &World) -> (&'static str, String, bool) {
        let (call, text) = self.reading(world).read(&world.store);
        (call, text, false)
    }

    /// Makes a snapshot, an iteration or a listing, or reads from the last one.
    fn read_held(&mut self, world: &World) -> (&'static str, String, bool) {
        let (what, make) = (self.random.below(3), self.random.chance(15));
        let may_end = !make && self.held.made[what] != world.purges + world.openings;
        if make {
            self.held.made[what] = world.purges + world.openings;
        }
        self.versions.is_past = !make;
        let (call, text) = match what {
            0 => ("snapshot", self.read_snapshot(world, make)),
            1 => ("iterate", self.read_iteration(world, make)),
            _ => ("listing", self.read_listing(world, make)),
        };
        self.versions.is_past = false;
        (call, text, may_end)
    }

    fn read_snapshot(&mut self, world: &World, make: bool) -> String {
        if make {
            self.held.snapshot = Some(world.store.snapshot().unwrap());
        }
        // The same draws, whether there is a snapshot or not.
        let mut aside = self.random.clone();
        self.random.draw();
        let Some(snapshot) = &self.held.snapshot else { return ENDED.to_owned() };
        let mut reading = Reading { random: &mut aside, versions: &mut self.versions, layout: world.layout };
        reading.read(snapshot).1
    }

    fn read_iteration(&mut self, world: &World, make: bool) -> String {
        if make {
            self.held.cursor = None;
        }
        let limit = 1 + self.random.below(12);
        if !make && self.held.cursor.is_none() {
            return ENDED.to_owned();
        }
        let query = IterateQuery::new(Scope::Prefix(home())).limit(limit);
        told(world.store.iterate(&query, self.held.cursor.as_ref()), |page| {
            let text = format!("next {}\n{}", page.next.is_some(), self.versions.items(&page.items));
            self.held.cursor = page.next;
            text
        })
    }

    fn read_listing(&mut self, world: &World, make: bool) -> String {
        let (offset, limit) = (self.random.below(60), self.random.below(30));
        if make {
            let query = Query::new(Scope::Prefix(home()));
            self.held.listing = Some(world.store.snapshot().unwrap().listing(query).unwrap());
        }
        let Some(listing) = &self.held.listing else { return ENDED.to_owned() };
        told(listing.page(offset, limit), |answer| self.versions.hits(&answer))
    }

    /// A read that renews items with a time to live. The renewal is written before the next call.
    fn refresh(&mut self, world: &World) -> (&'static str, String, bool) {
        let (home, key) = (own(&mut self.random), key(&mut self.random));
        let options = ReadOptions { refresh_ttl: true, ..ReadOptions::default() };
        let text = told(world.store.get_with(&home, &key, &options), |item| self.versions.items(&item));
        let query = Query::new(&home).limit(5).options(options);
        let listed = told(world.store.list(&query), |answer| self.versions.hits(&answer));
        ("refresh", text + &listed + &told(world.store.sync(), |()| "synced".to_owned()), false)
    }

    /// What the operator of the store does at these moments, with the neighbour or without.
    fn maintain(&mut self, World { store, .. }: &World) -> (&'static str, String, bool) {
        match self.random.below(3) {
            0 => drop(store.flush()),
            1 => drop(store.compact()),
            _ => drop(store.sweep()),
        }
        ("maintain", String::new(), false)
    }
}
