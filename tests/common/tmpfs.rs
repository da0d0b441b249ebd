//! Small real disks: a tmpfs of a given size for the time of a test.

use std::path::Path;
use std::process::Command;

/// A mounted tmpfs, unmounted when dropped.
pub struct Tmpfs {
    directory: tempfile::TempDir,
    mib: u64,
}

impl Tmpfs {
    /// Mounts one; where that is not possible, says so and returns nothing. `scripts/test.sh` then lists it as skipped.
    pub fn mount(mib: u64) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(directory.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { directory, mib }),
            other => {
                let why = other.map(|output| String::from_utf8_lossy(&output.stderr).into_owned());
                println!("SKIPPED: a test on a full disk needs to mount a tmpfs of {mib} MiB, which failed: {why:?}");
                None
            }
        }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A large file of others, which leaves so many bytes free, up to a page.
    pub fn fill_to(&self, free: u64) {
        use std::io::Write;
        let mut ballast =
            std::fs::OpenOptions::new().create(true).append(true).open(self.path().join("ballast")).unwrap();
        let zeros = vec![0; 64 << 10];
        while let more @ 1.. = self.free().saturating_sub(free).min(zeros.len() as u64) {
            if ballast.write_all(&zeros[..more as usize]).is_err() {
                break;
            }
        }
    }

    /// Bytes that are free.
    pub fn free(&self) -> u64 {
        let output = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(self.path()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<u64> = text.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let free = numbers[0] * numbers[1];
        assert!(free <= self.mib << 20);
        free
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily: a store that a failed test left open still holds files.
        let _ = Command::new("umount").arg("-l").arg(self.directory.path()).output();
    }
}
