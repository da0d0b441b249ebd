//! Damage: `check` names it and says what helps, `check --accept-loss` gives up what cannot be read, `salvage` saves
//! the rest of a directory that does not open.
//!
//! Invariants:
//! * Whatever is lost is listed, item by item as far as it can be named, and counted where it cannot.
//! * A salvage changes nothing in the directory that it reads.

use std::path::PathBuf;

use anyhow::{Result, anyhow};
use clap::Args;
use serde::Serialize;
use vecmem::{CheckReport, LossReport, LostItem, SalvageReport, Store};

use crate::arguments::open;
use crate::output::{self, Output};
use crate::progress;
use crate::signals;

/// Read every byte of the store, name what is damaged and say what helps
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem check memories
  vecmem check memories --repair         (rebuilds codes and graphs from whole segments; never touches the data itself)
  vecmem check memories --accept-loss    (gives up what cannot be read, lists it, and ends the damage)

Restoring the damaged file from a copy loses nothing and comes before --accept-loss; so does `vecmem export --partial`,
which saves what can be read. The exit code is 1 when problems remain. DIR is opened as a store, and an open may write: do
not check a backup, whose files `vecmem restore` verifies, but what was restored from it.")]
pub struct Check {
    /// The store
    dir: PathBuf,
    /// Rebuild derived files that are missing or damaged
    #[arg(long)]
    repair: bool,
    /// Rewrite damaged segments without the items that cannot be read, list these, and check again
    #[arg(long)]
    accept_loss: bool,
}

/// The output of `check --json`.
#[derive(Serialize)]
struct CheckOutput {
    #[serde(flatten)]
    report: CheckReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    loss: Option<LossReport>,
}

impl Check {
    pub fn run(self, output: Output) -> Result<()> {
        let store = open(&self.dir)?;
        let checked = progress::watched("checking", || self.check(&store))?;
        store.close()?;
        output.print(&checked, || checked.for_people())?;
        match checked.report.problems.len() {
            0 => Ok(()),
            found => {
                let verb = match (self.repair || self.accept_loss, found) {
                    (false, _) => "found",
                    (true, 1) => "remains",
                    (true, _) => "remain",
                };
                Err(anyhow!("{} {verb}; the report says what helps", output::counted(found as u64, "problem")))
            }
        }
    }

    fn check(&self, store: &Store) -> vecmem::Result<CheckOutput> {
        let loss = self.accept_loss.then(|| store.accept_loss()).transpose()?;
        Ok(CheckOutput { loss, report: store.check(self.repair)? })
    }
}

impl CheckOutput {
    fn for_people(&self) -> String {
        let mut lines = self.loss.as_ref().map(loss_lines).unwrap_or_default();
        let report = &self.report;
        lines.extend(report.repaired.iter().map(|what| format!("repaired: {}", output::short(what))));
        lines.extend(report.problems.iter().map(|what| format!("problem: {}", output::short(what))));
        lines.extend(report.advice.iter().map(|what| format!("what helps: {what}")));
        let (rows, segments) = (output::counted(report.rows, "row"), output::counted(report.segments, "segment"));
        lines.push(format!("read {rows} in {segments}"));
        lines.join("\n")
    }
}

fn loss_lines(loss: &LossReport) -> Vec<String> {
    let mut lines = lost_lines(&loss.lost, loss.unnamed);
    if loss.operation_ids {
        lines.push("lost: the ids of earlier operations; one that is sent again is applied again".to_owned());
    }
    lines.extend(loss.segments.iter().map(|name| format!("gave up: {}", output::plain(name))));
    lines.extend(loss.problems.iter().map(|problem| format!("could not be done: {}", output::plain(problem))));
    let (lost, kept) = (output::counted(loss.lost.len() as u64, "item"), output::count(loss.kept));
    lines.push(match loss.segments.len() {
        0 if !loss.operation_ids => "nothing had to be given up".to_owned(),
        _ => format!("lost {lost} and {} without a name; kept {kept}", output::counted(loss.unnamed, "row")),
    });
    lines
}

fn lost_lines(lost: &[LostItem], unnamed: u64) -> Vec<String> {
    let mut lines: Vec<String> = lost.iter().map(output::lost).collect();
    if unnamed > 0 {
        lines.push(format!("lost: {} that cannot be named", output::counted(unnamed, "row")));
    }
    lines
}

/// Write everything readable of a damaged directory, whether or not it opens as a store, into a new one
#[derive(Args)]
#[command(after_help = "\
Example:
  vecmem salvage memories saved

Manifests or log files may be damaged or gone. Nothing in DIR is changed. Items that were deleted lately may come back
where the file that knew of it is gone, and acknowledged writes are lost with a log file; the report says so.")]
pub struct Salvage {
    /// The damaged directory
    dir: PathBuf,
    /// The directory of the new store, empty or not there
    target: PathBuf,
}

impl Salvage {
    pub fn run(self, output: Output) -> Result<()> {
        let salvage = || Store::salvage(&self.dir, &self.target);
        let report = progress::watched_by(&signals::interrupt(), "salvaging", salvage)?;
        output.print(&report, || self.for_people(&report))
    }

    fn for_people(&self, report: &SalvageReport) -> String {
        let mut lines = lost_lines(&report.lost, report.unnamed);
        lines.extend(report.damage.iter().map(|what| format!("damage: {}", output::short(what))));
        lines.extend(report.notes.iter().map(|what| format!("note: {}", output::short(what))));
        let (items, target) = (output::counted(report.items, "item"), self.target.display());
        lines.push(format!("saved {items} to {target}; `vecmem stats {target}` shows what it holds"));
        lines.join("\n")
    }
}
