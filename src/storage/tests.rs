//! The disk and the simulator against one suite, then what is particular to the disk.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use super::disk::{DiskStorage, SystemClock};
use super::sim::{SimClock, SimStorage};
use super::{Clock, CodeResidency, Map, ReadMode, Storage};
use crate::error::ErrorKind;

fn each_storage(test: impl Fn(&dyn Storage)) {
    let directory = tempfile::tempdir().unwrap();
    for (name, mode) in [("map", ReadMode::Map), ("heap", ReadMode::Heap)] {
        test(&DiskStorage::open(&directory.path().join(name), true, mode).unwrap());
    }
    test(
        &DiskStorage::open(&directory.path().join("hot"), true, ReadMode::Map)
            .unwrap()
            .with_hot(CodeResidency::HugePages),
    );
    test(&SimStorage::new(1));
}

fn fill(storage: &dyn Storage, name: &str, bytes: &[u8]) {
    let file = storage.create(name).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync_all().unwrap();
    storage.sync_dir().unwrap();
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8).collect()
}

#[test]
fn files_keep_what_is_written() {
    each_storage(|storage| {
        let file = storage.create("a").unwrap();
        assert_eq!(file.len().unwrap(), 0);
        file.write_at(5000, b"tail").unwrap();
        file.write_at(10, b"head").unwrap();
        let mut bytes = [7; 20];
        file.read_at(4990, &mut bytes[..14]).unwrap();
        assert_eq!(&bytes[..14], b"\0\0\0\0\0\0\0\0\0\0tail");
        assert!(file.read_at(4995, &mut bytes).is_err(), "a read past the end is short and must fail");
        file.set_len(12).unwrap();
        file.set_len(16).unwrap();
        let mut bytes = [7; 16];
        storage.open("a").unwrap().read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0\0\0\0\0\0\0\0\0\0he\0\0\0\0");
        file.sync_data().unwrap();
        file.sync_all().unwrap();
        storage.sync_dir().unwrap();
        assert!(storage.free_bytes().unwrap() > 0);
        assert_ne!(storage.random(), storage.random());
    });
}

#[test]
fn names_follow_create_rename_and_remove() {
    each_storage(|storage| {
        for name in ["", ".", "..", "a/b", "/a", "a\0", &"x".repeat(256)] {
            assert_eq!(storage.create(name).err().unwrap().kind(), ErrorKind::InvalidInput, "{name:?}");
            assert_eq!(storage.rename("a", name).err().unwrap().kind(), ErrorKind::InvalidInput, "{name:?}");
        }
        for error in [storage.open("a").err(), storage.map("a").err(), storage.remove("a").err()] {
            let error = error.unwrap();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.to_string().contains('a'));
        }
        fill(storage, "a", b"first");
        assert!(storage.create("a").is_err());
        fill(storage, "b", b"second file");
        let kept = storage.open("b").unwrap();
        storage.rename("a", "b").unwrap();
        assert_eq!(storage.list().unwrap(), [("b".to_owned(), 5)]);
        assert_eq!(&*storage.map("b").unwrap(), b"first");
        assert_eq!(kept.len().unwrap(), 11, "an open file outlives its name");
        storage.remove("b").unwrap();
        storage.sync_dir().unwrap();
        assert!(storage.list().unwrap().is_empty());
        let mut bytes = [0; 6];
        kept.read_at(0, &mut bytes).unwrap();
        assert_eq!(&bytes, b"second");
    });
}

#[test]
fn maps_are_whole_and_aligned() {
    each_storage(|storage| {
        for length in [0, 1, 63, 64, 65, 4095, 4096, 4097, 20_000] {
            let (name, bytes) = (format!("m{length}"), pattern(length));
            fill(storage, &name, &bytes);
            for map in [storage.map(&name).unwrap(), storage.map_hot(&name).unwrap()] {
                assert_eq!(&*map, &bytes);
                assert_eq!(map.as_ptr() as usize % 64, 0);
            }
        }
    });
}

#[test]
fn disk_refuses_what_is_not_a_directory_or_a_file() {
    let root = tempfile::tempdir().unwrap();
    let path = |name: &str| root.path().join(name);
    std::fs::write(path("file"), b"x").unwrap();
    symlink("nowhere", path("dangling")).unwrap();
    for name in ["file", "dangling", "file/below", "absent"] {
        let create = name != "absent";
        let error = DiskStorage::open(&path(name), create, ReadMode::Map).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotAStore, "{name}: {error}");
        assert!(error.to_string().contains(name), "{error}");
    }
    assert_eq!(DiskStorage::open(Path::new(""), true, ReadMode::Map).unwrap_err().kind(), ErrorKind::InvalidInput);

    let storage = DiskStorage::open(&path("x/y/store"), true, ReadMode::Map).unwrap();
    fill(&storage, "good", b"1");
    let mode = |name: &str| std::fs::metadata(path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("x/y/store"), mode("x/y"), mode("x/y/store/good")), (0o700, 0o700, 0o600));
    symlink("good", path("x/y/store/link")).unwrap();
    std::fs::create_dir(path("x/y/store/folder")).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg(path("x/y/store/fifo")).status().unwrap();
    assert!(fifo.success());
    for name in ["link", "folder", "fifo"] {
        assert_eq!(storage.open(name).err().unwrap().kind(), ErrorKind::Corrupt, "{name}");
        assert_eq!(storage.map(name).err().unwrap().kind(), ErrorKind::Corrupt, "{name}");
    }
    assert!(storage.create("link").is_err(), "a planted link must not be written through");
    assert_eq!(storage.list().unwrap(), [("good".to_owned(), 1)]);
}

#[test]
fn disk_stays_in_its_directory_when_that_is_renamed() {
    let root = tempfile::tempdir().unwrap();
    let (old, new) = (root.path().join("old"), root.path().join("new"));
    let storage = DiskStorage::open(&old, true, ReadMode::Map).unwrap();
    std::fs::rename(&old, &new).unwrap();
    fill(&storage, "a", b"here");
    assert_eq!(std::fs::read(new.join("a")).unwrap(), b"here");
    assert_eq!(storage.list().unwrap(), [("a".to_owned(), 4)]);
    std::fs::create_dir(&old).unwrap();
    std::fs::write(old.join("b"), b"another directory now has the path").unwrap();
    assert_eq!(storage.list().unwrap(), [("a".to_owned(), 4)]);
    assert!(storage.free_bytes().unwrap() > 0);
    symlink(&new, root.path().join("link")).unwrap();
    let again = DiskStorage::open(&root.path().join("link"), false, ReadMode::Map).unwrap();
    assert_eq!(again.identity(), storage.identity());
}

#[test]
fn lock_excludes_and_names_the_holder() {
    let root = tempfile::tempdir().unwrap();
    let first = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
    let second = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
    let held = first.lock(Duration::ZERO).unwrap();
    let error = second.lock(Duration::from_millis(20)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    drop(held);
    let held = second.lock(Duration::ZERO).unwrap();
    assert!(first.lock(Duration::ZERO).is_err());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| first.lock(Duration::from_secs(60)));
        drop(held);
        drop(waiting.join().unwrap().unwrap());
    });
    std::fs::write(root.path().join("LOCK"), [0xff; 100]).unwrap();
    let _held = first.lock(Duration::ZERO).unwrap();
    assert_eq!(std::fs::read_to_string(root.path().join("LOCK")).unwrap(), format!("{}\n", std::process::id()));
}

#[test]
fn lock_follows_no_planted_file() {
    let root = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap();
    let planted = root.path().join("LOCK");
    symlink(root.path().join("elsewhere"), &planted).unwrap();
    assert_eq!(storage.lock(Duration::ZERO).unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(!root.path().join("elsewhere").exists());
    std::fs::remove_file(&planted).unwrap();
    std::fs::create_dir(&planted).unwrap();
    assert_eq!(storage.lock(Duration::ZERO).unwrap_err().kind(), ErrorKind::Corrupt);
    std::fs::remove_dir(&planted).unwrap();
    storage.lock(Duration::ZERO).unwrap();
}

#[test]
fn clocks_move() {
    let system = SystemClock;
    assert!(system.now() > 1_600_000_000_000_000, "microseconds since 1970");
    assert!(system.monotonic() <= system.monotonic());
    let clock = SimClock::new(5);
    let same = clock.clone();
    clock.advance(Duration::from_millis(2));
    assert_eq!((same.now(), same.monotonic()), (2005, Duration::from_millis(2)));
    clock.set(-1);
    assert_eq!((same.now(), same.monotonic()), (-1, Duration::from_millis(2)));
}

#[test]
fn hot_files_are_copied_into_huge_pages_on_request_and_nothing_else_is() {
    let root = tempfile::tempdir().unwrap();
    let storage = DiskStorage::open(root.path(), false, ReadMode::Map).unwrap().with_hot(CodeResidency::HugePages);
    let bytes = pattern(3 << 20);
    fill(&storage, "a", &bytes);
    let map = storage.map_hot("a").unwrap();
    assert!(matches!(map, Map::Pages { .. }) && *map == *bytes && (map.as_ptr() as usize).is_multiple_of(2 << 20));
    assert!(matches!(storage.map("a").unwrap(), Map::Mapped(_)));
    assert!(matches!(storage.with_hot(CodeResidency::PageCache).map_hot("a").unwrap(), Map::Mapped(_)));
}
