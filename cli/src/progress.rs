//! Signs of life on stderr during a call that may take long: a spinner on a terminal, else a line every ten seconds.
//!
//! Invariant: the watching thread ends with the call, and what the call returns is returned unchanged.

use std::io::{IsTerminal as _, Write as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use indicatif::ProgressBar;
use vecmem::{Interrupt, Progress};

use crate::output;

/// How often a spinner turns, and how often a line is written.
const TICK: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(10);

/// Runs the call and shows how far it is. `what` says what it does: "compacting".
pub fn watched<T>(what: &'static str, call: impl FnOnce() -> T) -> T {
    watched_by(&Interrupt::new(), what, call)
}

/// The same for a call that `interrupt` may end.
pub fn watched_by<T>(interrupt: &Interrupt, what: &'static str, call: impl FnOnce() -> T) -> T {
    let bar = std::io::stderr().is_terminal().then(|| output::spinner(what));
    let (ended, end) = mpsc::channel::<()>();
    let result = thread::scope(|scope| {
        scope.spawn(|| show(interrupt, what, bar.as_ref(), end));
        let result = interrupt.around(call);
        drop(ended);
        result
    });
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    result
}

/// Shows the progress until the other end of the channel is dropped.
fn show(interrupt: &Interrupt, what: &str, bar: Option<&ProgressBar>, end: mpsc::Receiver<()>) {
    let every = if bar.is_some() { TICK } else { LINE };
    while end.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
        let Progress { done, total, .. } = interrupt.progress();
        let line = line(what, done, total);
        match bar {
            Some(bar) => bar.set_message(line),
            // A reader that has gone away is no reason to fail what is done here.
            None => drop(writeln!(std::io::stderr(), "{line}")),
        }
    }
}

/// What is done, and how far it is where that is known.
fn line(what: &str, done: u64, total: Option<u64>) -> String {
    match (done, total) {
        (0, _) => what.to_owned(),
        (done, None) => format!("{what}: {done} steps"),
        (done, Some(total)) => format!("{what}: step {done} of at most {total}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_a_call_is() {
        assert_eq!(line("building a graph", 0, None), "building a graph");
        assert_eq!(line("building a graph", 0, Some(9)), "building a graph");
        assert_eq!(line("building a graph", 7, None), "building a graph: 7 steps");
        assert_eq!(line("building a graph", 7, Some(9)), "building a graph: step 7 of at most 9");
        let interrupt = Interrupt::new();
        assert_eq!(watched_by(&interrupt, "compacting", || 7), 7);
    }
}
