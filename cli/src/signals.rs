//! Ctrl-C, and the request of a service manager to end: a command that has begun something removes it first.
//!
//! Invariants:
//! * A command that registers nothing ends at once, as the system does it. All it has acknowledged is durable.
//! * A second signal ends the process in any case.

use std::process;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use vecmem::Interrupt;

/// Calls `act` at the first signal, on a thread of its own, and ends the process at the second. Where signals cannot be
/// watched, they end the process at once.
pub fn at_first(act: impl FnOnce() + Send + 'static) {
    let Ok(mut signals) = Signals::new([SIGINT, SIGTERM]) else { return };
    let watch = move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            act();
        }
        if signals.next().is_some() {
            process::exit(1);
        }
    };
    // A process that may start no thread soon fails for that reason itself.
    let _ = thread::Builder::new().name("signals".to_owned()).spawn(watch);
}

/// An interrupt that the first signal requests.
pub fn interrupt() -> Interrupt {
    let interrupt = Interrupt::new();
    let requested = interrupt.clone();
    at_first(move || requested.request());
    interrupt
}
