//! The `vecmem` command.
fn main() {}
