//! The table of distinct states, and the file in which finished runs are kept.
//!
//! Invariants:
//! * A line of the file is one finished run of one build: seed, workload, durability, then the states of each class. A
//!   line that is not whole is dropped, and its run is done again.
//! * The build is part of the file's name, so that what another build has shown is not added up.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write as _;
use std::path::PathBuf;

use crate::classes::{CLASSES, Class};
use crate::explore::Explored;
use crate::workloads::WORKLOADS;

/// The states of one run by class.
type Counts = BTreeMap<Class, u64>;

/// What has been explored, by seed and row of the table.
#[derive(Default)]
pub struct Tally {
    runs: BTreeMap<(u64, usize), Counts>,
    violations: Vec<String>,
    kept_in: Option<PathBuf>,
}

impl Tally {
    /// With what earlier runs of this build have kept, and keeping what comes.
    pub fn kept() -> Self {
        let folder = PathBuf::from(std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
        let folder = folder.join("proof");
        fs::create_dir_all(&folder).expect("target/proof can be made");
        let program = std::env::current_exe().and_then(fs::read).expect("this program can be read");
        let mut build = DefaultHasher::new();
        program.hash(&mut build);
        let file = folder.join(format!("crash-states-{:016x}", build.finish()));
        let kept = fs::read_to_string(&file).unwrap_or_default();
        let runs = kept.lines().filter_map(parse).collect();
        // A line that a kill has cut is ended, so that the next one is whole.
        let mut tally = Self { runs, violations: Vec::new(), kept_in: Some(file) };
        tally.append(if kept.is_empty() || kept.ends_with('\n') { "" } else { "\n" });
        tally
    }

    pub fn has(&self, seed: u64, row: usize) -> bool {
        self.runs.contains_key(&(seed, row))
    }

    /// Distinct states of the seeds from `seed` on.
    pub fn states_from(&self, seed: u64) -> u64 {
        self.runs.range((seed, 0)..).flat_map(|(_, counts)| counts.values()).sum()
    }

    pub fn violations(&self) -> &[String] {
        &self.violations
    }

    /// Adds a finished run. One with violations is not kept, so that it is done again.
    pub fn add(&mut self, seed: u64, row: usize, explored: Explored) {
        if explored.violations.is_empty() {
            let mut line = format!("{seed} {row}");
            for class in CLASSES {
                let _ = write!(line, " {}", explored.states.get(&class).copied().unwrap_or_default());
            }
            self.append(&format!("{line}\n"));
        }
        self.violations.extend(explored.violations);
        self.runs.insert((seed, row), explored.states);
    }

    fn append(&mut self, text: &str) {
        let Some(path) = &self.kept_in else { return };
        let file = fs::OpenOptions::new().create(true).append(true).open(path);
        file.and_then(|mut file| file.write_all(text.as_bytes())).expect("target/proof can be written to");
    }

    /// The table: workload by class.
    pub fn table(&self, from: u64) -> String {
        let mut table = format!("{:22}", "distinct crash states");
        for class in CLASSES {
            let _ = write!(table, "{:>9}", class.name());
        }
        table.push_str("      all\n");
        let mut all = vec![0; CLASSES.len()];
        for (row, workload) in WORKLOADS.iter().enumerate() {
            let runs = self.runs.range((from, 0)..).filter(|((_, of), _)| *of == row);
            let counts: Vec<&Counts> = runs.map(|(_, counts)| counts).collect();
            let by_class: Vec<u64> =
                CLASSES.iter().map(|class| counts.iter().filter_map(|counts| counts.get(class)).sum()).collect();
            line(&mut table, &format!("{} {:?}", workload.name, workload.durability), &by_class);
            all.iter_mut().zip(&by_class).for_each(|(all, more)| *all += more);
        }
        line(&mut table, "all", &all);
        let seeds: std::collections::BTreeSet<u64> = self.runs.range((from, 0)..).map(|((seed, _), _)| *seed).collect();
        let (first, last) = (seeds.first().copied().unwrap_or_default(), seeds.last().copied().unwrap_or_default());
        let _ = writeln!(table, "seeds {first} to {last}, {} violations", self.violations.len());
        table
    }
}

fn line(table: &mut String, name: &str, counts: &[u64]) {
    let _ = write!(table, "{name:22}");
    for count in counts.iter().copied().chain([counts.iter().sum::<u64>()]) {
        let _ = write!(table, "{count:>9}");
    }
    table.push('\n');
}

fn parse(line: &str) -> Option<((u64, usize), Counts)> {
    let numbers: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>().ok()?;
    let (head, counts) = numbers.split_at_checked(2)?;
    if counts.len() != CLASSES.len() || head[1] as usize >= WORKLOADS.len() {
        return None;
    }
    let counts = CLASSES.iter().copied().zip(counts.iter().copied()).filter(|(_, count)| *count > 0);
    Some(((head[0], head[1] as usize), counts.collect()))
}
