//! Every figure the design promises, measured in one run: goal, measured value, data. `cargo bench --bench figures [--
//! NAME..]`.
//!
//! Invariants:
//! * Nothing is asserted: a figure is reported, with the load of the machine beside it, and a person judges.
//! * A ratio compares what ran alternately in the same minute on the same disk.
//! * With `--test` every figure runs on a tiny store, to show that it runs.
//!
//! `VECMEM_DIALOGUES` and `VECMEM_BENCH_DIR`: see `benches/common`.

mod common;
#[path = "figures/disk.rs"]
mod disk;
#[path = "figures/reads.rs"]
mod reads;
#[path = "common/report.rs"]
mod report;
#[path = "figures/writes.rs"]
mod writes;

use report::{Table, heap_bytes, show};

type Figure = fn(&mut Table);

const FIGURES: &[(&str, Figure)] = &[
    ("put", writes::put),
    ("merging", writes::put_while_merging),
    ("namespaces", reads::namespaces),
    ("segments", reads::segments),
    ("scan", reads::scan),
    ("filter", reads::filter),
    ("listing", reads::listing),
    ("import", disk::import),
    ("reopen", disk::reopen),
    ("replay", disk::replay),
    ("delete-range", disk::delete_range),
];

fn main() {
    let names: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let unknown = names.iter().find(|name| FIGURES.iter().all(|(known, _)| known != name));
    if let Some(unknown) = unknown {
        let known: Vec<&str> = FIGURES.iter().map(|(name, _)| *name).collect();
        println!("there is no figure {unknown:?}; there are {}", known.join(", "));
        return;
    }
    let mut table = Table::begin();
    for (name, figure) in FIGURES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            figure(&mut table);
        }
    }
}
