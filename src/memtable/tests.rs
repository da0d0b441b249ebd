//! The memtable against a model: a plain list of versions.

use std::collections::BTreeMap;

use crate::memtable::*;
use crate::random::Random;
use crate::record::ItemContent;
use crate::types::{FieldVector, KeyPosition, Metric, NEVER, Scope};

const SPACE: VectorSpace = VectorSpace { dims: 3, metric: Metric::Cosine };

fn record(namespace: &Namespace, key: &str, vectors: usize) -> Arc<Record> {
    let vector = |number: usize| FieldVector { path: "".into(), values: [1.0, number as f32, key.len() as f32].into() };
    Arc::new(Record {
        content: Arc::new(ItemContent {
            namespace: namespace.clone(),
            key: key.into(),
            value: "{}".into(),
            ttl: 0,
            index_paths: Vec::new(),
            vectors: (0..vectors).map(vector).collect(),
            text_hashes: Vec::new(),
            space: Default::default(),
            extensions: Default::default(),
        }),
        created_at: 1,
        updated_at: 2,
        expires_at: NEVER,
        flags: 0,
    })
}

fn namespaces() -> Vec<Namespace> {
    let labels: [&[&str]; 5] = [&["a"], &["a", "b"], &["a", "c"], &["a\0"], &["b"]];
    labels.map(|labels| Namespace::new(labels.iter().copied()).unwrap()).into()
}

struct Version {
    namespace: Namespace,
    key: String,
    lsn: Lsn,
    deleted_lsn: Lsn,
}

/// Plays seeded writes as `apply` does; returns the part and what it should hold.
fn played(seed: u64) -> (Memtable, Vec<Version>, Lsn) {
    let memtable = Memtable::new(Some(SPACE));
    let (mut versions, mut random, namespaces) = (Vec::<Version>::new(), Random::new(seed), namespaces());
    let mut next = |bound: usize| random.below(bound);
    for lsn in Lsn::new(1).sequence().take(400) {
        let (namespace, key) = (namespaces[next(5)].clone(), format!("k{}", next(12)));
        let delete = |versions: &mut Vec<Version>, dies: &dyn Fn(&Version) -> bool| {
            let dying = versions.iter_mut().filter(|version| version.deleted_lsn == ALIVE && dies(version));
            dying.map(|version| version.deleted_lsn = lsn).count()
        };
        match next(20) {
            0 => {
                let scope = if next(2) == 0 { Scope::from(&namespace) } else { Scope::Prefix(namespace) };
                let interval = scope.interval();
                let expected = delete(&mut versions, &|version| interval.contains(version.namespace.encoded()));
                assert_eq!(memtable.delete_range(&interval, lsn), expected);
            }
            1..4 => {
                let killed = memtable.newest(namespace.encoded(), &key).is_some_and(|row| memtable.delete(row, lsn));
                let expected = delete(&mut versions, &|version| version.namespace == namespace && version.key == key);
                assert_eq!(usize::from(killed), expected);
            }
            _ => {
                let older = memtable.newest(namespace.encoded(), &key);
                let row = memtable.append(record(&namespace, &key, next(3)), lsn).unwrap();
                assert_eq!(row.index(), versions.len());
                if let Some(older) = older {
                    memtable.delete(older, lsn);
                }
                delete(&mut versions, &|version| version.namespace == namespace && version.key == key);
                versions.push(Version { namespace, key, lsn, deleted_lsn: ALIVE });
            }
        }
    }
    (memtable, versions, Lsn::new(400))
}

#[test]
fn every_view_sees_its_own_versions() {
    for seed in 0..5 {
        println!("seed {seed}");
        let (memtable, versions, last) = played(seed);
        for read_lsn in [0, 1, 57, 200, last.get()].map(Lsn::new) {
            let sees = |version: &&Version| version.lsn <= read_lsn && read_lsn < version.deleted_lsn;
            let ordered: BTreeMap<_, _> = versions
                .iter()
                .filter(sees)
                .map(|version| ((version.namespace.encoded(), version.key.as_str()), version.lsn))
                .collect();
            let lsns = |rows: Vec<RowId>| rows.into_iter().map(|row| memtable.row(row).lsn).collect::<Vec<_>>();
            assert_eq!(
                lsns(memtable.ordered_rows(&Interval::everything(), read_lsn)),
                ordered.values().copied().collect::<Vec<_>>()
            );
            for (&(namespace, key), &lsn) in &ordered {
                let found = memtable.find(namespace, key, read_lsn);
                assert_eq!(found.map(|row| memtable.row(row).lsn), Some(lsn));
            }
            for scope in
                namespaces().into_iter().flat_map(|n| [Scope::from(&n), Scope::Prefix(n)]).chain([Scope::Store])
            {
                let interval = scope.interval();
                let inside = |encoded: &[u8]| interval.contains(encoded);
                let mut rows = Vec::new();
                memtable.rows_in(&interval, &mut rows);
                let mut listed = lsns(rows);
                listed.sort_unstable();
                let expected = versions.iter().filter(|version| inside(version.namespace.encoded()));
                assert_eq!(listed, expected.map(|version| version.lsn).collect::<Vec<_>>(), "{scope:?}");
                let after = KeyPosition { namespace: &interval.low, key: "k3" };
                let page = memtable.rows_by_key(&interval, "k1", Some(after), read_lsn, 4);
                let expected = ordered.iter().filter(|((namespace, key), _)| {
                    inside(namespace) && key.starts_with("k1") && KeyPosition { namespace, key } > after
                });
                assert_eq!(lsns(page), expected.take(4).map(|(_, &lsn)| lsn).collect::<Vec<_>>(), "{scope:?}");
            }
            let tombstones: Vec<_> = versions
                .iter()
                .zip((0..).map(RowId))
                .filter(|(version, _)| {
                    version.lsn <= read_lsn && read_lsn < version.deleted_lsn && version.deleted_lsn != ALIVE
                })
                .map(|(version, row)| (row, version.deleted_lsn))
                .collect();
            assert_eq!(memtable.deletions_after(read_lsn), tombstones);
        }
    }
}

#[test]
fn vectors_and_their_codes_are_those_of_the_record() {
    let (memtable, versions, _) = played(9);
    let mut vectors = 0;
    for row in RowId::range(0..versions.len() as u32).ids() {
        let row = memtable.row(row);
        assert_eq!(row.vectors().len(), row.record.vectors.len());
        for (number, field) in row.vectors().ids().zip(&row.record.vectors) {
            let mut code = vec![0; stride(3)];
            let meta = encode(Kernels::get(), &field.values, &mut code);
            assert_eq!(
                (memtable.vector(number), memtable.code(number), memtable.meta(number)),
                (&*field.values, &*code, &meta)
            );
            assert_eq!(memtable.code(number).as_ptr() as usize % 64, 0);
            vectors += 1;
        }
    }
    assert_eq!((memtable.vectors(), memtable.len()), (vectors, versions.len()));
    assert!(memtable.bytes() > vectors * (64 + 12 + 16));
}

#[test]
fn the_newest_touch_counts_and_later_ones_are_carried_over() {
    let memtable = Memtable::new(None);
    let namespace = &namespaces()[0];
    let rows = [1, 2, 3].map(|lsn| memtable.append(record(namespace, &lsn.to_string(), 0), Lsn::new(lsn)).unwrap());
    assert!(memtable.touch(rows[0], 50, Lsn::new(4)) && memtable.touch(rows[1], 60, Lsn::new(6)));
    assert!(!memtable.touch(rows[1], 55, Lsn::new(5)));
    assert_eq!(rows.map(|row| memtable.row(row).expires_at()), [50, 60, NEVER]);
    assert_eq!(memtable.touches_after(Lsn::new(4)), [(rows[1], 60, Lsn::new(6))]);
    assert_eq!(memtable.touches_after(Lsn::new(3)), [(rows[0], 50, Lsn::new(4)), (rows[1], 60, Lsn::new(6))]);
}

#[test]
fn a_vector_of_another_dimension_is_refused_and_leaves_no_row() {
    for (space, vectors) in [(None, 1), (Some(VectorSpace { dims: 4, ..SPACE }), 1)] {
        let memtable = Memtable::new(space);
        let error = memtable.append(record(&namespaces()[0], "k", vectors), Lsn::new(1)).unwrap_err();
        assert_eq!((error.kind(), memtable.len(), memtable.vectors()), (ErrorKind::Corrupt, 0, 0));
    }
}

#[test]
fn readers_run_beside_the_writer() {
    let memtable = Memtable::new(Some(SPACE));
    let namespace = namespaces()[0].clone();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for lsn in Lsn::new(1).sequence().take(3_000) {
                let key = (lsn.get() % 10).to_string();
                let older = memtable.newest(namespace.encoded(), &key);
                memtable.append(record(&namespace, &key, 1), lsn).unwrap();
                if let Some(older) = older {
                    memtable.delete(older, lsn);
                }
            }
        });
        scope.spawn(|| {
            let mut rows = Vec::new();
            while rows.len() < 3_000 {
                rows.clear();
                memtable.rows_in(&Interval::everything(), &mut rows);
                for &row in &rows {
                    let row = memtable.row(row);
                    let vector = row.vectors().start;
                    assert_eq!(memtable.vector(vector), &*row.record.vectors[0].values);
                    assert_eq!(memtable.code(vector).len(), 64);
                }
            }
        });
    });
}
