//! A temporary folder of our own, mode 0700, removed with everything in it on drop.
//!
//! Called by `children.rs`. Its name ends in random characters, so nobody can prepare it.
//! Errors: [`io::Error`]. Absent on purpose: cleaning up after a killed demo; the system's
//! temporary folder is cleaned by the system.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

/// The folder.
#[derive(Debug)]
pub struct TemporaryFolder {
    path: PathBuf,
}

impl TemporaryFolder {
    /// Makes one in the system's temporary folder.
    pub fn create() -> io::Result<TemporaryFolder> {
        let mut random = [0; 6];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let random: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = std::env::temp_dir().join(format!("swarmllm-demo-{random}"));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(TemporaryFolder { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a temporary folder remains");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_goes_with_its_owner() {
        let folder = TemporaryFolder::create().expect("temporary folder");
        let path = folder.path().to_owned();
        fs::write(path.join("file"), "x").expect("writable");
        drop(folder);
        assert!(!path.exists());
    }
}
