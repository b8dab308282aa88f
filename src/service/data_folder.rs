//! One data folder, one node: an exclusive lock for as long as the process lives.
//!
//! Called by `cli/serve.rs`. The folder is made with mode 0700, for it holds the identity.
//! The lock is the system's (flock): it ends with the process, however that ends.
//! Errors: [`FolderError`]. Absent on purpose: any file of the node.

use std::{
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

const LOCK_FILE: &str = "node.lock";

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or written.
    #[error("cannot use {path} as data folder: {cause}; name another with --data-dir")]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// Another node holds it.
    #[error(
        "another node{} already uses {path}; stop it first (`swarmllm status` shows it) or name \
         another folder with --data-dir", with_pid(.pid)
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Process id the other one wrote.
        pid: Option<u32>,
    },
}

fn with_pid(pid: &Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    // Held for its lock only.
    _lock: File,
}

impl DataFolder {
    /// Makes the folder when it is missing and takes it.
    pub fn take(path: &Path) -> Result<DataFolder, FolderError> {
        let unusable = |cause| FolderError::Unusable { path: path.to_owned(), cause };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(unusable)?;
        // Children find the socket and files under a path that does not depend on our folder.
        let path = path.canonicalize().map_err(unusable)?;
        let lock_path = path.join(LOCK_FILE);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(&lock_path).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FolderError::InUse { pid: read_pid(&mut lock), path });
            }
            Err(TryLockError::Error(cause)) => {
                return Err(FolderError::Unusable { path, cause });
            }
        }
        write_pid(&mut lock).map_err(unusable)?;
        Ok(DataFolder { path, _lock: lock })
    }

    /// The folder, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn write_pid(lock: &mut File) -> io::Result<()> {
    lock.set_len(0)?;
    lock.rewind()?;
    writeln!(lock, "{}", std::process::id())
}

fn read_pid(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_folder_is_refused_until_it_is_dropped() {
        let path = std::env::temp_dir().join(format!("swarmllm-folder-{}", std::process::id()));
        let held = DataFolder::take(&path).expect("free");
        let error = DataFolder::take(&path).expect_err("taken");
        let text = error.to_string();
        assert!(text.contains(&format!("(process {})", std::process::id())), "{text}");
        drop(held);
        drop(DataFolder::take(&path).expect("free again"));
        std::fs::remove_dir_all(&path).expect("own folder");
    }
}
