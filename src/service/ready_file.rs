//! `ready.json`: appears in the data folder when the node serves, disappears when it ends.
//!
//! Written by `cli/serve.rs`; read by `demo/`, by commands that look for the control socket, and
//! by scripts. Form: one JSON object `{"http","listen","control","peer_id","pid"}`, addresses as
//! `ADDRESS:PORT`. It is written beside its place and renamed, so a reader sees all or nothing.
//! Errors: [`io::Error`]. A file left behind by a killed node is overwritten by the next.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

/// Name of the file inside the data folder.
pub const READY_FILE: &str = "ready.json";

/// Where a running node is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// Address of the HTTP server.
    pub http: SocketAddr,
    /// Address for peers.
    pub listen: SocketAddr,
    /// Path of the control socket.
    pub control: PathBuf,
    /// The node's id.
    pub peer_id: String,
    /// Its process id.
    pub pid: u32,
}

/// The file on disk; removed on drop.
#[derive(Debug)]
pub struct ReadyFile {
    path: PathBuf,
}

impl ReadyFile {
    /// Writes the file.
    pub fn write(data_dir: &Path, ready: &Ready) -> io::Result<ReadyFile> {
        let path = data_dir.join(READY_FILE);
        let beside = data_dir.join(".ready.json.new");
        let mut text = serde_json::to_string(ready)?;
        text.push('\n');
        fs::write(&beside, text)?;
        fs::rename(&beside, &path)?;
        Ok(ReadyFile { path })
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // The folder may be gone already; then so is the file.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads the file; `Ok(None)` when no node serves from this folder.
pub fn read(data_dir: &Path) -> io::Result<Option<Ready>> {
    match fs::read_to_string(data_dir.join(READY_FILE)) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_lives_as_long_as_its_owner() {
        let folder = std::env::temp_dir().join(format!("swarmllm-ready-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("temporary folder");
        let ready = Ready {
            http: "127.0.0.1:1".parse().expect("address"),
            listen: "127.0.0.1:2".parse().expect("address"),
            control: folder.join("control.sock"),
            peer_id: "abc".into(),
            pid: 7,
        };
        assert_eq!(read(&folder).expect("readable"), None);
        let file = ReadyFile::write(&folder, &ready).expect("written");
        assert_eq!(read(&folder).expect("readable"), Some(ready));
        drop(file);
        assert_eq!(read(&folder).expect("readable"), None);
        fs::remove_dir_all(&folder).expect("own folder");
    }
}
