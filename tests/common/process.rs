//! A test that runs itself again as another process.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PLACE: &str = "VECMEM_TEST_PLACE";

/// The directory that this process was started for, if it is the other one.
pub fn place() -> Option<String> {
    std::env::var(PLACE).ok()
}

/// Starts the test `name` of this binary again, for `place`.
pub fn start(name: &str, place: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(PLACE, place);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Says something that [`wait_for`] of the other side can find.
pub fn say(what: impl std::fmt::Display) {
    println!("\n{what}");
}

/// Waits until the other process lets this one go on.
pub fn wait_to_go_on() {
    std::io::stdin().read_exact(&mut [0]).unwrap();
}

/// Lets the other process go on.
pub fn go_on(child: &mut Child) {
    child.stdin.as_mut().unwrap().write_all(b"x").unwrap();
}

/// Waits until the other process says a line that starts with `word`, and returns what follows.
pub fn wait_for(child: &mut Child, word: &str) -> String {
    let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
    let found = lines.find_map(|line| line.strip_prefix(word).map(str::to_owned));
    found.unwrap_or_else(|| {
        let mut text = String::new();
        child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        panic!("the other process ended: {text}")
    })
}
