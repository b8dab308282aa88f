//! The Noise state machine against the outside world: public vectors and another implementation.
//!
//! Run by `cargo test -p swarmllm-protocol --test noise`. The vectors of the three patterns in use
//! are in `tests/data`; all 118 of the ChaChaPoly suites run where `SWARMLLM_CONFORMANCE` points at
//! the conformance data, and their absence is said aloud. `SWARMLLM_DIFFERENTIAL_CASES` makes the
//! comparison longer.

#![allow(clippy::unwrap_used)]

mod connection;
mod differential;
mod patterns;
mod vectors;
