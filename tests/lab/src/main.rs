//! Real-process harness: measures whole nodes on one machine.
fn main() {}
