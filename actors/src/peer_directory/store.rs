//! The file of the peer cache: read once at the start, written beside and renamed, so that a crash
//! leaves the old one or the new one. Readable by its owner alone: it says whom one talks to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use swarmllm_protocol::peer_cache::{CACHE_FILE_MAX_BYTES, PeerCache};

/// Reads the cache of a node. What can't be read is no reason not to start: the log says why, and
/// the node begins with an empty one.
pub fn load_cache(path: &Path, secret: [u8; 32]) -> PeerCache {
    match read(path) {
        Ok(None) => PeerCache::new(secret),
        Ok(Some(bytes)) => PeerCache::from_bytes(&bytes, secret).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the peer cache starts empty");
            PeerCache::new(secret)
        }),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the peer cache starts empty");
            PeerCache::new(secret)
        }
    }
}

/// At most one byte more than any cache has.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(CACHE_FILE_MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Where the cache is kept; one writes at a time.
#[derive(Debug, Clone)]
pub(super) struct CacheFile(Arc<Mutex<PathBuf>>);

impl CacheFile {
    /// The file at this path.
    pub(super) fn new(path: PathBuf) -> CacheFile {
        CacheFile(Arc::new(Mutex::new(path)))
    }

    /// Writes it; blocks, so it is called on a thread that may.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<()> {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let beside = path.with_extension("cache.new");
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, &*path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_cache_is_private_and_what_is_none_starts_empty() {
        let path =
            std::env::temp_dir().join(format!("swarmllm-peers-{}.cache", std::process::id()));
        let secret = [3; 32];
        assert_eq!(load_cache(&path, secret), PeerCache::new(secret));
        let file = CacheFile::new(path.clone());
        file.write(&PeerCache::new(secret).to_bytes()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(load_cache(&path, secret), PeerCache::new(secret));
        file.write(&vec![7; 2 * CACHE_FILE_MAX_BYTES]).unwrap();
        assert_eq!(load_cache(&path, secret), PeerCache::new(secret));
        fs::remove_file(path).unwrap();
    }
}
