//! After real power cuts a store holds every acknowledged write under `Sync`, every synced one under `Periodic` and
//! `Manual`, and what goes goes from the end.
//!
//! The store lies on an ext4 file system in a file, mounted so that the kernel does as little on its own as it may. A
//! process writes there with default tuning. The cut is ext4's shutdown without a flush of its journal: what the kernel
//! has not written to the device by then never gets there. The file system is mounted again and the store opened.
//!
//! The first cut is a test of the cut itself: a process that syncs nothing must lose something. The device is a file,
//! so a write that reached it is durable: a disk with a cache that ignores flushes is not what is tested here.

#[path = "../common/mod.rs"]
mod common;

use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::writer::{Expected, Job, listen, start, write_until_killed};
use common::{Random, process};
use vecmem::Durability;

const NAME: &str = "a_real_power_cut_keeps_what_was_promised";
const CUTS: u64 = 10;
/// `_IOR('X', 125, u32)`, and its argument for a shutdown that writes nothing more.
const EXT4_IOC_SHUTDOWN: libc::c_ulong = 0x8004_587D;
const WITHOUT_LOG_FLUSH: u32 = 2;
const OPTIONS: &str = "loop,noauto_da_alloc,data=writeback";
/// In the place of a job: a process that writes a file and never syncs it.
const CARELESS: &str = "careless:";

/// A file system in a file. When dropped it is unmounted, which frees its loop device.
struct Disk {
    directory: tempfile::TempDir,
    is_mounted: bool,
}

impl Disk {
    /// A new file system, or why there can be none.
    fn new() -> Result<Self, String> {
        let directory = tempfile::tempdir().unwrap();
        let disk = Self { directory, is_mounted: false };
        std::fs::create_dir(disk.path()).unwrap();
        // Sparse: it takes what is written.
        File::create(disk.image()).unwrap().set_len(384 << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()))?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("mounted")
    }

    fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount").args(["-t", "ext4", "-o", OPTIONS]).arg(self.image()).arg(self.path()))?;
        self.is_mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        run(Command::new("umount").arg(self.path()))?;
        self.is_mounted = false;
        Ok(())
    }

    /// Cuts the power of the disk.
    fn cut(&self) -> Result<(), String> {
        let root = File::open(self.path()).map_err(|error| error.to_string())?;
        let argument = WITHOUT_LOG_FLUSH;
        // SAFETY: the descriptor is open, and the argument points to the 4 bytes that this request reads.
        let answer = unsafe { libc::ioctl(root.as_raw_fd(), EXT4_IOC_SHUTDOWN as _, &raw const argument) };
        if answer == 0 { Ok(()) } else { Err(format!("ext4's shutdown: {}", std::io::Error::last_os_error())) }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted {
            // Lazily: after a failure something may still be open there.
            let _ = Command::new("umount").arg("-l").arg(self.path()).output();
        }
    }
}

/// Runs a program; an error is its name and what it said.
fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {said}")) }
}

/// Writes lines to a file, syncs nothing, and says that each was written.
fn write_carelessly(path: &Path) {
    let mut file = File::create(path).unwrap();
    process::say("open");
    for number in 0_u64.. {
        let written = writeln!(file, "{number:>100}").and_then(|()| writeln!(std::io::stdout(), "begun 0 {number}"));
        if written.is_err() {
            return;
        }
    }
}

/// Whether a cut loses lines that were written and not synced.
fn the_cut_cuts(disk: &mut Disk) -> Result<(), String> {
    disk.mount()?;
    let file = disk.path().join("file");
    let mut child = process::start(NAME, Path::new(&format!("{CARELESS}{}", file.display())));
    let mut cut = Ok(());
    let said = listen(&mut child, 300, |child| {
        cut = disk.cut();
        child.kill().unwrap();
    });
    cut?;
    disk.unmount()?;
    disk.mount()?;
    let there = std::fs::read(&file).map_or(0, |bytes| bytes.split(|&byte| byte == b'\n').count() as u64 - 1);
    println!("without a sync: {there} of {} lines are there after the cut", said[0].begun);
    if there >= said[0].begun { Err("a cut lost nothing of a file that was never synced".to_owned()) } else { Ok(()) }
}

/// A disk whose power can be cut, or why there is none.
fn disk() -> Result<Disk, String> {
    let mut disk = Disk::new()?;
    the_cut_cuts(&mut disk)?;
    Ok(disk)
}

#[test]
fn a_real_power_cut_keeps_what_was_promised() {
    if let Some(place) = process::place() {
        return match place.strip_prefix(CARELESS) {
            Some(path) => write_carelessly(Path::new(path)),
            None => write_until_killed(&place),
        };
    }
    let mut disk = match disk() {
        Ok(disk) => disk,
        // Not `println`: `scripts/test.sh` finds the line in what the tests say.
        Err(why) => return writeln!(std::io::stdout(), "\nskipped: real power cuts: {why}").unwrap(),
    };
    let cuts = std::env::var("VECMEM_POWER_CUTS").map_or(CUTS, |cuts| cuts.parse().unwrap());
    let (mut random, mut expected) = (Random::new(7), Expected::default());
    for cut in 0..cuts {
        let modes = [Durability::Sync, Durability::Sync, Durability::Sync, Durability::Periodic, Durability::Manual];
        let durability = modes[(cut % 5) as usize];
        let job = Job { durability, seed: 5_000 + cut, threads: 3 };
        let path = disk.path().join("store");
        let mut child = start(NAME, &job, &path);
        let said = listen(&mut child, 20 + random.below(600), |child| {
            disk.cut().unwrap();
            child.kill().unwrap();
        });
        disk.unmount().unwrap();
        disk.mount().unwrap();
        let found = expected.check(&path, &job, &said, durability == Durability::Sync);
        println!("cut {cut}, {job:?}: {found:?}, {said:?}");
    }
    disk.unmount().unwrap();
}
