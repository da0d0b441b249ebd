//! `purge`: deletes a scope so that no file keeps a byte of it, and prints the evidence.
//!
//! Invariants:
//! * Without `--yes` nothing is changed; the count of what would go is the answer, and the exit code is 1.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde_json::json;
use vecmem::{PurgeOptions, PurgeReceipt, ReadOptions, Scope};

use crate::arguments::{namespace, open};
use crate::output::{self, Output};
use crate::progress;

/// Delete a namespace or a prefix, and leave no byte of it in any file of the store
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem purge memories --prefix users/ada                 (says how many items would go, and does nothing)
  vecmem purge memories --prefix users/ada --yes
  vecmem purge memories --namespace users/ada --keep-living --yes    (only what was deleted or replaced there)

Blocks of the device are not overwritten. Backups, checkpoints and other copies of the directory are out of reach: make a
new backup in a new directory, and remove the old ones.")]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["namespace", "prefix"]))]
pub struct Purge {
    /// The store
    dir: PathBuf,
    /// This namespace and nothing below it
    #[arg(long, value_name = "a/b")]
    namespace: Option<String>,
    /// This namespace and everything below it
    #[arg(long, value_name = "a")]
    prefix: Option<String>,
    /// Keep the items that live; erase only what was deleted, replaced or has expired
    #[arg(long)]
    keep_living: bool,
    /// How long to wait for snapshots from before the purge until they end
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    grace: f64,
    /// Do it
    #[arg(long)]
    yes: bool,
}

impl Purge {
    pub fn run(self, output: Output) -> Result<()> {
        let scope = self.scope()?;
        let grace = Duration::try_from_secs_f64(self.grace);
        let grace = grace.map_err(|_| anyhow!("--grace {}: give a number from 0 on", self.grace))?;
        let store = open(&self.dir)?;
        if !self.yes {
            let options = ReadOptions { include_expired: true, partial: true, ..ReadOptions::default() };
            let items = if self.keep_living { 0 } else { store.count(&scope, &options)? };
            if output.json {
                output.print(&json!({"purged": false, "items": items}), String::new)?;
            }
            return Err(anyhow!(
                "{} would be deleted, and nothing was done; --yes does it",
                output::counted(items, "item")
            ));
        }
        let options = PurgeOptions::new().grace(grace).keep_living(self.keep_living);
        let receipt = progress::watched("purging", || store.purge_with(&scope, &options))?;
        store.close()?;
        output.print(&receipt, || for_people(&receipt))
    }

    fn scope(&self) -> Result<Scope> {
        match (&self.namespace, &self.prefix) {
            (Some(text), _) => Ok(Scope::Namespace(namespace(text).context("--namespace")?)),
            (None, text) => Ok(Scope::Prefix(namespace(text.as_deref().unwrap_or_default()).context("--prefix")?)),
        }
    }
}

fn for_people(receipt: &PurgeReceipt) -> String {
    let mut lines: Vec<String> =
        receipt.files_unlinked.iter().map(|name| format!("unlinked: {}", output::plain(name))).collect();
    if receipt.swept > 0 {
        lines.push(format!("{} of the store had expired and went first", output::counted(receipt.swept, "item")));
    }
    if let Some(why) = &receipt.expired_left_why {
        lines.push(format!(
            "{} that have expired are left: {}",
            output::counted(receipt.expired_left, "item"),
            output::short(why)
        ));
    }
    for ended in &receipt.holders.ended {
        lines.push(format!("ended: a {:?} that showed LSN {}", ended.kind, ended.visible_lsn));
    }
    lines.extend(receipt.holders.still_held.files.iter().map(|name| format!("still held open: {name}")));
    let (items, scope, lsn) = (output::counted(receipt.items, "item"), output::plain(&receipt.scope), receipt.lsn);
    let (segments, bytes) =
        (output::counted(receipt.segments_rewritten, "segment"), output::bytes(receipt.bytes_written));
    lines.push(format!(
        "purged {scope} up to LSN {lsn} in {:.1} s: {items} deleted, {segments} rewritten ({bytes} written)",
        receipt.seconds
    ));
    lines.push(format!("not reached: {}", receipt.not_reached));
    lines.join("\n")
}
