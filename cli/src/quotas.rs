//! `quota`: how much a scope may hold, and how much it does.
//!
//! Invariants:
//! * A scope is written as for graphs: a/b a namespace, a/b/ a prefix, * the store.
//! * Without a limit and without `--remove` nothing changes.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use vecmem::{Quota, QuotaUse};

use crate::arguments::open;
use crate::output::{self, Output, bytes, counted};
use crate::rules::scope;

/// Limit what a scope may hold, or list quotas and what counts for them
#[derive(Args)]
#[command(after_help = "\
Examples:
  vecmem quota memories                                   (all quotas)
  vecmem quota memories users/ --each --items 10000       (each scope directly below users)
  vecmem quota memories users/ada/ --items 50000 --bytes 1000000000
  vecmem quota memories users/ada/ --unlimited            (whatever each other may hold)
  vecmem quota memories users/ada/                        (what users/ada/ holds of what it may hold)
  vecmem quota memories users/ --each --remove")]
pub struct SetQuota {
    /// The store
    dir: PathBuf,
    /// a/b a namespace, a/b/ a prefix, * the store
    scope: Option<String>,
    /// Each scope directly below has the quota for itself
    #[arg(long, requires = "scope")]
    each: bool,
    /// At most so many items
    #[arg(long, value_name = "N", requires = "scope")]
    items: Option<u64>,
    /// At most so many bytes of keys, values and vectors
    #[arg(long, value_name = "N", requires = "scope")]
    bytes: Option<u64>,
    /// Lift the quota that each scope below the same parent has
    #[arg(long, requires = "scope", conflicts_with_all = ["items", "bytes", "each"])]
    unlimited: bool,
    /// Remove the quota
    #[arg(long, requires = "scope", conflicts_with_all = ["items", "bytes", "unlimited"])]
    remove: bool,
}

impl SetQuota {
    pub fn run(self, output: Output) -> Result<()> {
        let store = open(&self.dir)?;
        let Some(text) = &self.scope else {
            let quotas = store.quotas()?;
            let json = quotas.iter().map(to_json).collect::<Vec<_>>();
            return output.print(&json!({"quotas": json}), || {
                let lines: Vec<String> = quotas.iter().map(for_people).collect();
                if lines.is_empty() { "no quotas".to_owned() } else { lines.join("\n") }
            });
        };
        let scope = scope(text)?;
        let quota = if self.each { Quota::each(scope.clone()) } else { Quota::new(scope.clone()) };
        if self.remove {
            let removed = store.remove_quota(&quota)?;
            store.close()?;
            return output.print(&json!({"removed": removed}), || {
                let what = if removed { "removed the quota of" } else { "there is no quota of" };
                format!("{what} {}", output::plain(&quota.name()))
            });
        }
        if self.items.is_none() && self.bytes.is_none() && !self.unlimited {
            let held = store.quota_use(&scope)?;
            return output.print(&json!({"quotas": held}), || {
                let lines: Vec<String> = held.iter().map(use_for_people).collect();
                if lines.is_empty() { "no quota".to_owned() } else { lines.join("\n") }
            });
        }
        let quota = self.items.into_iter().fold(quota, Quota::items);
        let quota = self.bytes.into_iter().fold(quota, Quota::bytes);
        store.set_quota(quota.clone())?;
        store.close()?;
        output.print(&to_json(&quota), || for_people(&quota))
    }
}

fn to_json(quota: &Quota) -> serde_json::Value {
    json!({"scope": quota.name(), "items": quota.items, "bytes": quota.bytes})
}

fn for_people(quota: &Quota) -> String {
    let limits = [quota.items.map(|most| counted(most, "item")), quota.bytes.map(bytes)];
    let limits: Vec<String> = limits.into_iter().flatten().collect();
    let most = if limits.is_empty() { "unlimited".to_owned() } else { format!("at most {}", limits.join(" and ")) };
    format!("{:<30} {most}", output::plain(&quota.name()))
}

/// What a scope holds of its quota, for people.
pub fn use_for_people(held: &QuotaUse) -> String {
    let of = |held: String, most: Option<String>| most.map_or(held.clone(), |most| format!("{held} of at most {most}"));
    let items = of(counted(held.items, "item"), held.items_limit.map(output::count));
    let size = held.bytes.map(|held_bytes| format!(", {}", of(bytes(held_bytes), held.bytes_limit.map(bytes))));
    format!("{:<30} {items}{}", output::plain(&held.scope), size.unwrap_or_default())
}
