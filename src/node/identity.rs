//! The node's key on disk: `identity.key`, 32 secret bytes, readable by its owner alone (0600).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use swarmllm_actors::entropy;
use swarmllm_protocol::identity::Identity;

use super::NodeError;

/// File name inside the data folder.
const FILE: &str = "identity.key";

/// Reads the identity, or makes one the first time.
///
/// # Errors
/// A file that others can read, that has another length, or that the system refuses.
pub(super) fn load_or_create(data_dir: &Path) -> Result<Identity, NodeError> {
    let path = data_dir.join(FILE);
    let file_error = |error: io::Error| NodeError::File { path: path.clone(), error };
    match fs::read(&path) {
        Ok(bytes) => {
            let mode = fs::metadata(&path).map_err(file_error)?.permissions().mode();
            let bad = |reason: String| NodeError::Identity { path: path.clone(), reason };
            if mode & 0o077 != 0 {
                return Err(bad(format!("others may read it, mode {:o}", mode & 0o777)));
            }
            let seed: [u8; 32] = bytes
                .as_slice()
                .try_into()
                .map_err(|_| bad(format!("{} bytes instead of 32", bytes.len())))?;
            Ok(Identity::from_seed(seed))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let identity = Identity::from_seed(entropy::bytes());
            write_new(data_dir, &path, identity.seed().as_slice()).map_err(file_error)?;
            Ok(identity)
        }
        Err(error) => Err(file_error(error)),
    }
}

/// Writes beside and renames, so that a crash leaves no half of a key.
fn write_new(data_dir: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(data_dir)?;
    let beside = path.with_extension("key.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> std::path::PathBuf {
        let folder =
            std::env::temp_dir().join(format!("swarmllm-identity-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn the_key_is_private_and_stays_the_same() {
        let folder = folder("same");
        let first = load_or_create(&folder).unwrap().peer_id();
        let path = folder.join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_or_create(&folder).unwrap().peer_id(), first);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let error = load_or_create(&folder).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("others may read it"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_short_key_is_refused_with_advice() {
        let folder = folder("short");
        write_new(&folder, &folder.join(FILE), &[1; 31]).unwrap();
        let error = load_or_create(&folder).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("31 bytes") && error.contains("move it away"), "{error}");
        fs::remove_dir_all(folder).unwrap();
    }
}
