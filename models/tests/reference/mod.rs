//! Where the outside reference data is, for the suites that compare with it.

use std::path::{Path, PathBuf};

/// The folder that `SWARMLLM_CONFORMANCE` names; a relative one counts from the workspace, since
/// tests run in their crate's folder. Without the variable it says loudly what is skipped.
pub(crate) fn folder(skipped: &str) -> Option<PathBuf> {
    let Some(named) = std::env::var_os("SWARMLLM_CONFORMANCE") else {
        eprintln!("SKIPPED: SWARMLLM_CONFORMANCE is not set: {skipped}");
        return None;
    };
    Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(named))
}
