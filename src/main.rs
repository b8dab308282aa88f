//! The program: hands the command line to [`swarmllm::cli`] and its exit code to the system.
//!
//! Called by people and scripts. Exit codes: 0 done, 1 failed, 2 bad usage. Errors go to stderr.

use std::process::ExitCode;

fn main() -> ExitCode {
    swarmllm::cli::main()
}
