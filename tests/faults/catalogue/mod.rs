//! The catalogue: every fault, what it breaks, how it is made, and the test that catches it.

mod commits;
mod copies;
mod disk;
mod installs;
mod reads;
mod recall;

/// One fault.
pub struct Fault {
    pub name: &'static str,
    /// What goes wrong, in a sentence.
    pub breaks: &'static str,
    /// The file below `src/`.
    pub file: &'static str,
    /// The text that is replaced. It occurs once in the file.
    pub find: &'static str,
    /// The text in its place. `FAULT` stands for "this run has the fault".
    pub replacement: &'static str,
    /// The test binary and the test that catches the fault.
    pub test: (&'static str, &'static str),
}

pub fn all() -> impl Iterator<Item = &'static Fault> {
    let all = [commits::FAULTS, installs::FAULTS, disk::FAULTS, reads::FAULTS, recall::FAULTS, copies::FAULTS];
    all.into_iter().flatten()
}
