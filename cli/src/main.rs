//! The `vecmem` command: reads the arguments and hands over to the file of the command's group.
//!
//! Invariants:
//! * Results go to stdout, everything else (progress, errors) to stderr.
//! * The exit code is 0 when everything asked for was done and 1 otherwise, a wrong call included.

mod admin;
mod arguments;
mod backup;
mod bench;
mod check;
mod crash;
mod demo;
mod export;
mod fields;
mod header;
mod import;
mod items;
mod lines;
mod load;
mod npy;
mod output;
mod partial_file;
mod progress;
mod purge;
mod quotas;
mod rules;
mod search;
mod signals;
mod source;
mod stats;
mod texts;
mod words;

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use vecmem::ErrorKind;

use crate::output::Output;

/// A durable vector memory in one directory: JSON items with embeddings, searched by similarity inside a namespace.
#[derive(Parser)]
#[command(
    name = "vecmem",
    version,
    max_term_width = 120,
    after_help = "\
Begin with:
  vecmem demo                                          see it work on a small sample
  vecmem import DIR items.jsonl --vectors vectors.npy  make a store from your own data
  vecmem search DIR --namespace users/ada --vector-file q.npy

A namespace is written a/b/c, or as a JSON array when a label holds a slash: '[\"a/b\", \"c\"]'."
)]
struct Cli {
    /// Print results as JSON; commands that print a list print one object a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Create(admin::Create),
    Import(import::Import),
    Export(export::Export),
    Put(items::Put),
    Get(items::Get),
    Delete(items::Delete),
    Count(rules::Count),
    Distinct(rules::Distinct),
    KeepNewest(rules::KeepNewest),
    Rename(rules::Rename),
    Quota(quotas::SetQuota),
    Search(Box<search::Search>),
    Ls(items::Ls),
    Stats(stats::Stats),
    Fields(fields::Fields),
    Check(check::Check),
    Salvage(check::Salvage),
    Backup(backup::Backup),
    Restore(backup::Restore),
    Compact(admin::Compact),
    Purge(purge::Purge),
    AcceptClock(admin::AcceptClock),
    Bench(Box<bench::Bench>),
    #[command(hide = true)]
    CrashWriter(crash::CrashWriter),
    #[command(hide = true)]
    BenchChild(bench::BenchChild),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let asked_for = error.exit_code() == 0;
            let printed = error.print().is_ok();
            return if asked_for && printed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
    };
    let output = Output { json: cli.json };
    // There is no store to make for a command that reads a backup or what is left of a store.
    let reads_remains = matches!(cli.command, Command::Restore(_) | Command::Salvage(_));
    let result = match cli.command {
        Command::Demo(command) => command.run(output),
        Command::Create(command) => command.run(output),
        Command::Import(command) => command.run(output),
        Command::Export(command) => command.run(output),
        Command::Put(command) => command.run(output),
        Command::Get(command) => command.run(output),
        Command::Delete(command) => command.run(output),
        Command::Count(command) => command.run(output),
        Command::Distinct(command) => command.run(output),
        Command::KeepNewest(command) => command.run(output),
        Command::Rename(command) => command.run(output),
        Command::Quota(command) => command.run(output),
        Command::Search(command) => command.run(output),
        Command::Ls(command) => command.run(output),
        Command::Stats(command) => command.run(output),
        Command::Fields(command) => command.run(output),
        Command::Check(command) => command.run(output),
        Command::Salvage(command) => command.run(output),
        Command::Backup(command) => command.run(output),
        Command::Restore(command) => command.run(output),
        Command::Compact(command) => command.run(output),
        Command::Purge(command) => command.run(output),
        Command::AcceptClock(command) => command.run(output),
        Command::Bench(command) => command.run(output),
        Command::CrashWriter(command) => command.run(),
        Command::BenchChild(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads our output has seen enough (`| head`).
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", message(&error, reads_remains));
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// The whole chain in one sentence, then what to do where the library cannot know it.
fn message(error: &anyhow::Error, reads_remains: bool) -> String {
    let mut parts = Vec::new();
    let mut advice = "";
    for cause in error.chain() {
        parts.push(cause.to_string());
        if let Some(error) = cause.downcast_ref::<vecmem::Error>() {
            advice = match error.kind() {
                ErrorKind::NotAStore if !reads_remains => {
                    "\nmake a store with `vecmem create DIR --dims N` or `vecmem import DIR FILE.jsonl`"
                }
                // Most say that themselves, between a copy that should be restored first and the library's own call.
                ErrorKind::Corrupt if !parts.concat().contains("vecmem salvage") => {
                    "\nwithout a copy to restore, `vecmem salvage DIR TARGET` writes what can be read into a new store"
                }
                _ => "",
            };
            // The library's message already contains its cause.
            break;
        }
    }
    // As long as a message of the library may be, however long the arguments are.
    vecmem::Error::invalid(parts.join(": ")).to_string() + advice
}
