//! `backup` and `restore`: copies of a store as of one moment, and stores made from them.
//!
//! Invariants:
//! * A report says whether its files are a backup, or a checkpoint that shares inodes with the store.
//! * The progress line is drawn on stderr, and only on a terminal.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use indicatif::ProgressBar;
use vecmem::{BackupOptions, BackupReport, Interrupt, Store};

use crate::arguments::open;
use crate::output::{self, Output};
use crate::signals;

/// How often the progress line is drawn.
const DRAW_EVERY: Duration = Duration::from_millis(100);

/// Copy the store as of one moment into a directory that opens as a store
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem backup memories /mnt/backups/memories
  vecmem backup memories /mnt/backups/memories      (again: copies what is new, then replaces the earlier one as a whole)
  vecmem backup memories before-the-upgrade --link  (a checkpoint: hard links, which share damage with the store)

Every file is read back and compared with its checksum. A first backup that was interrupted does not open; the same
command makes it anew. A later one that was interrupted leaves the earlier one as it was; files of an earlier finished
backup are used again, those of an unfinished one are copied again. Do not open a backup, not even with `vecmem check` or
`vecmem get`: an open may write to it, and it can no longer be restored then. Look at what `vecmem restore` makes of it.
A purge does not reach backups: make a new one after it, and remove the old ones. docs/durability.md has more (\"Keeping
backups\").")]
pub struct Backup {
    /// The store
    dir: PathBuf,
    /// The directory of the backup: empty, not there, or an earlier backup of this store
    target: PathBuf,
    /// Make a checkpoint of hard links: quick, on the same file system, and no replacement for a backup
    #[arg(long)]
    link: bool,
    #[command(flatten)]
    speed: Speed,
}

/// Verify a backup and write it as a store to a new directory
#[derive(Args)]
#[command(after_help = "\
Example:
  vecmem restore /mnt/backups/memories memories

Every byte is verified before the new directory is a store. A directory that is not empty is refused; Ctrl-C removes what
was written. A backup that was opened as a store may be none any more: it still opens, and an earlier backup restores.")]
pub struct Restore {
    /// The backup
    backup: PathBuf,
    /// The directory of the new store, empty or not there
    directory: PathBuf,
    #[command(flatten)]
    speed: Speed,
}

#[derive(Args)]
struct Speed {
    /// Copy and read back at most so many megabytes in a second
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    speed: Option<u64>,
}

impl Speed {
    fn options(&self) -> BackupOptions {
        let options = BackupOptions::new();
        self.speed.map_or(options.clone(), |megabytes| options.bytes_per_second(megabytes * 1_000_000))
    }
}

impl Backup {
    pub fn run(self, output: Output) -> Result<()> {
        let store = open(&self.dir)?;
        let options = self.speed.options().link(self.link);
        let report = watched(|| store.backup_with(&self.target, &options))?;
        store.close()?;
        let (target, kind) = (self.target.display(), if report.is_checkpoint { "checkpoint" } else { "backup" });
        output.print(&report, || {
            let mut lines = for_people(&report);
            lines.push(format!("{kind} of LSN {} in {target}, after {:.1} s", report.lsn, report.seconds));
            if report.is_checkpoint {
                lines.push("its files are those of the store: damage of one is damage of both".to_owned());
            }
            lines.join("\n")
        })
    }
}

impl Restore {
    pub fn run(self, output: Output) -> Result<()> {
        let report = watched(|| Store::restore_with(&self.backup, &self.directory, &self.speed.options()))?;
        let directory = self.directory.display();
        output.print(&report, || {
            let mut lines = for_people(&report);
            lines.push(format!("restored LSN {} to {directory}, after {:.1} s", report.lsn, report.seconds));
            lines.join("\n")
        })
    }
}

fn for_people(report: &BackupReport) -> Vec<String> {
    let parts = [
        ("copied", report.files_copied, report.bytes_copied),
        ("cloned", report.files_cloned, report.bytes_cloned),
        ("linked", report.files_linked, report.bytes_linked),
        ("used again", report.files_reused, report.bytes_reused),
        ("verified", report.files_verified, report.bytes_verified),
    ];
    let line = |(verb, files, bytes): (&str, u64, u64)| {
        format!("{verb}: {}, {}", output::counted(files, "file"), output::bytes(bytes))
    };
    parts.into_iter().filter(|(_, files, _)| *files > 0).map(line).collect()
}

/// Runs the call, and draws how far it is.
fn watched(call: impl FnOnce() -> vecmem::Result<BackupReport>) -> Result<BackupReport> {
    let (interrupt, bar) =
        (signals::interrupt(), output::bar(0, "{spinner} {bar:30} {pos}/{len} MiB copied or read back"));
    let (ended, end) = mpsc::channel::<()>();
    let report = thread::scope(|scope| {
        scope.spawn(|| draw(&interrupt, &bar, end));
        let report = interrupt.around(call);
        drop(ended);
        report
    });
    bar.finish_and_clear();
    Ok(report?)
}

/// Draws until the other end of the channel is dropped.
fn draw(interrupt: &Interrupt, bar: &ProgressBar, end: mpsc::Receiver<()>) {
    while end.recv_timeout(DRAW_EVERY) == Err(mpsc::RecvTimeoutError::Timeout) {
        let progress = interrupt.progress();
        bar.set_length(progress.total.unwrap_or(0));
        bar.set_position(progress.done);
    }
}
