//! The field indexes of a store: `fields` shows which paths are indexed, and sets the rules that leave paths out or
//! force them.
//!
//! Invariant: rules are given whole, so that the call says what will be, whatever was there before.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use vecmem::FieldRules;

use crate::arguments::open;
use crate::output::{Output, bytes, counted};

/// Show which fields are indexed, or say which to leave out and which to force
#[derive(Args)]
#[command(after_help = "\
Without --exclude, --force or --automatic the rules stay as they are. A rule covers its path, the elements of arrays there,
and everything below; a.* only what is below a, * everything; the longest rule that covers a path decides. Rules change the
size of indexes and the time that searches take, never an answer. They apply to what is written from then on; --rebuild
builds the indexes that are there again.

Examples:
  vecmem fields memories
  vecmem fields memories --exclude raw_html --exclude 'metadata.*' --force metadata.user
  vecmem fields memories --exclude '*' --force kind --rebuild     (index kind and nothing else, at once)
  vecmem fields memories --automatic")]
pub struct Fields {
    /// The store
    dir: PathBuf,
    /// Never index this path, and what is below it; several times for several paths
    #[arg(long, value_name = "PATH")]
    exclude: Vec<String>,
    /// Index this path, and what is below it, before all others; several times for several paths
    #[arg(long, value_name = "PATH")]
    force: Vec<String>,
    /// Remove all rules
    #[arg(long, conflicts_with_all = ["exclude", "force"])]
    automatic: bool,
    /// Build the indexes again that were built by other rules
    #[arg(long)]
    rebuild: bool,
}

impl Fields {
    pub fn run(self, output: Output) -> Result<()> {
        let has_rules = self.automatic || !self.exclude.is_empty() || !self.force.is_empty();
        let rules = FieldRules::new(self.exclude, self.force)?;
        let store = open(&self.dir)?;
        if has_rules {
            store.set_field_rules(&rules)?;
        }
        let rebuilt = if self.rebuild { store.rebuild_fields()? } else { 0 };
        let fields = store.stats()?.fields;
        store.close()?;
        let mut json = serde_json::to_value(&fields)?;
        json["rebuilt"] = json!(rebuilt);
        output.print(&json, || {
            let mut lines = Vec::new();
            let listed = |name: &str, paths: &[String]| {
                let paths: Vec<String> = paths.iter().map(|path| path.escape_debug().to_string()).collect();
                if paths.is_empty() { format!("{name}  none") } else { format!("{name}  {}", paths.join(", ")) }
            };
            lines.push(listed("excluded", fields.rules.excluded()));
            lines.push(listed("forced  ", fields.rules.forced()));
            if self.rebuild {
                lines.push(format!("rebuilt   {}", counted(rebuilt, "segment")));
            }
            if fields.other_rules > 0 {
                let others = counted(fields.other_rules, "segment");
                lines.push(format!("by other rules: {others}; --rebuild builds these indexes again"));
            }
            lines.push(format!("indexed   {}, {}", counted(fields.path_count, "path"), bytes(fields.bytes)));
            lines.extend(fields.paths.iter().map(|path| {
                let distinct = counted(path.distinct, "distinct value");
                format!("{:>12}  {}: {distinct}", bytes(path.bytes), path.path.escape_debug())
            }));
            lines.join("\n")
        })
    }
}
