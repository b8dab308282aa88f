//! The fuzzer: libFuzzer around the targets of `targets.rs`, chosen by `SWARMLLM_FUZZ_TARGET`.
//!
//! Built and started by `run`. Without a known name it prints the names and ends.
//! Source: LLVM's libFuzzer. Absent on purpose: a kept corpus; a new one grows in seconds.

#![no_main]

mod network_targets;
mod targets;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

/// The target of this process.
static TARGET: LazyLock<fn(&[u8])> = LazyLock::new(|| {
    let wanted = std::env::var("SWARMLLM_FUZZ_TARGET").unwrap_or_default();
    let found = targets::TARGETS.iter().find(|(name, _)| *name == wanted);
    let Some((_, run)) = found else {
        targets::TARGETS.iter().for_each(|(name, _)| println!("{name}"));
        std::process::exit(2);
    };
    *run
});

fuzz_target!(|data: &[u8]| TARGET(data));
