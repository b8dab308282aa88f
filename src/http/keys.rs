//! API keys: who may ask over HTTP, and which of the node's clients that is.
//!
//! Opened by `cli/serve.rs`, looked up by `guard.rs` for every request, changed over the control
//! socket (`control/keys.rs`) or, while no node runs, by `cli/key.rs`. A key is `swk-` and 256
//! random bits in hexadecimal; it is shown once. At rest there are names and keyed hashes alone, in
//! `api-keys.json` of the data folder (0600, written beside its place and renamed); the hash's key
//! comes out of the node's identity, so the file is of use to nobody else.
//! Whose key came with a request is the name of its client (`crate::caller`).
//! Bounds: [`KEYS_MAX`] keys. Errors: [`KeyError`]. A comparison takes the same time wherever two
//! hashes differ, and every key is compared.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
};

use serde::{Deserialize, Serialize};
use swarmllm_actors::{clock, entropy};

/// File name inside the data folder.
const FILE: &str = "api-keys.json";
/// What every key begins with, so that people and scanners know one when they see it.
const PREFIX: &str = "swk-";
/// Most keys of a node: all of them are compared with what a request brings.
pub const KEYS_MAX: usize = 1024;
/// Longest name.
const NAME_MAX_BYTES: usize = 64;
/// What is longer is no key, and is not hashed.
const PRESENTED_MAX_BYTES: usize = 256;
/// What the hash's key is derived for.
pub const PURPOSE: &str = "swarmllm 2026-11 hashes of API keys";

/// Why keys can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system refuses.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What it says.
        error: io::Error,
    },
    /// The file holds something else.
    #[error("{path} holds no API keys ({reason}); move it away and make new keys")]
    NoKeys {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that can't be one.
    #[error("a name has 1 to {NAME_MAX_BYTES} bytes and neither spaces nor control characters")]
    BadName,
    /// A name that is used.
    #[error("there is a key named {0:?} already; revoke it first or choose another name")]
    Taken(String),
    /// No such key.
    #[error("no key has the name or id {0:?}; `swarmllm key list` shows them")]
    Unknown(String),
    /// The bound is reached.
    #[error("a node has at most {KEYS_MAX} keys; revoke one first")]
    TooMany,
}

/// A key without what makes it one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KeyInfo {
    /// Its id, which is no secret.
    pub id: String,
    /// What a person calls it.
    pub name: String,
    /// When it was made.
    pub created_unix_s: u64,
}

/// A key that was just made: the only time it is seen.
#[derive(Debug, Serialize)]
pub struct NewKey {
    /// What a client sends.
    pub key: String,
    /// What stays known of it.
    #[serde(flatten)]
    pub info: KeyInfo,
}

#[derive(Debug, Clone)]
struct Known {
    info: KeyInfo,
    hash: blake3::Hash,
}

/// One key in the file.
#[derive(Debug, Serialize, Deserialize)]
struct StoredKey {
    id: String,
    name: String,
    hash: String,
    created_unix_s: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct StoredKeys {
    keys: Vec<StoredKey>,
}

/// The keys of one node.
pub struct KeyStore {
    path: PathBuf,
    secret: [u8; 32],
    keys: RwLock<Vec<Known>>,
}

impl std::fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl KeyStore {
    /// Reads the keys of a data folder; `secret` is derived from its identity for [`PURPOSE`].
    ///
    /// # Errors
    /// A file that others may touch, that holds something else, or that the system refuses.
    pub fn open(data_dir: &Path, secret: [u8; 32]) -> Result<KeyStore, KeyError> {
        let path = data_dir.join(FILE);
        let file_error = |error| KeyError::File { path: path.clone(), error };
        let no_keys = |reason: String| KeyError::NoKeys { path: path.clone(), reason };
        let stored = match fs::read(&path) {
            Ok(bytes) => {
                let mode = fs::metadata(&path).map_err(file_error)?.permissions().mode();
                if mode & 0o077 != 0 {
                    return Err(no_keys(format!("others may touch it, mode {:o}", mode & 0o777)));
                }
                serde_json::from_slice(&bytes).map_err(|error| no_keys(error.to_string()))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => StoredKeys::default(),
            Err(error) => return Err(file_error(error)),
        };
        let known = |StoredKey { id, name, hash, created_unix_s }: StoredKey| {
            let hash = blake3::Hash::from_hex(&hash).map_err(|error| no_keys(error.to_string()))?;
            Ok(Known { info: KeyInfo { id, name, created_unix_s }, hash })
        };
        let keys = stored.keys.into_iter().map(known).collect::<Result<Vec<Known>, KeyError>>()?;
        if keys.len() > KEYS_MAX {
            return Err(KeyError::TooMany);
        }
        Ok(KeyStore { keys: RwLock::new(keys), path, secret })
    }

    /// Makes a key; without a name its id is its name.
    ///
    /// # Errors
    /// A name that can't be one or is taken, too many keys, or a file that can't be written.
    pub fn create(&self, name: Option<&str>) -> Result<NewKey, KeyError> {
        let key = format!("{PREFIX}{}", hexadecimal(&entropy::bytes::<32>()));
        let id = hexadecimal(&entropy::bytes::<6>());
        let name = name.unwrap_or(&id).to_owned();
        let is_plain = |c: char| !c.is_whitespace() && !c.is_control();
        if !(1..=NAME_MAX_BYTES).contains(&name.len()) || !name.chars().all(is_plain) {
            return Err(KeyError::BadName);
        }
        let info = KeyInfo { id, name, created_unix_s: clock::unix_s() };
        let hash = self.hash(&key);
        self.change(|keys| {
            if keys.iter().any(|known| known.info.name == info.name) {
                return Err(KeyError::Taken(info.name.clone()));
            }
            if keys.len() >= KEYS_MAX {
                return Err(KeyError::TooMany);
            }
            keys.push(Known { info: info.clone(), hash });
            Ok(())
        })?;
        Ok(NewKey { key, info })
    }

    /// Forgets a key, by name or id; whoever has it is refused from now on.
    ///
    /// # Errors
    /// When there is none, or the file can't be written.
    pub fn revoke(&self, which: &str) -> Result<KeyInfo, KeyError> {
        let mut revoked = None;
        self.change(|keys| {
            let is_meant = |known: &Known| known.info.name == which || known.info.id == which;
            let at = keys.iter().position(is_meant);
            let at = at.ok_or_else(|| KeyError::Unknown(which.to_owned()))?;
            revoked = Some(keys.remove(at).info);
            Ok(())
        })?;
        revoked.ok_or_else(|| KeyError::Unknown(which.to_owned()))
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Vec<KeyInfo> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.iter().map(|known| known.info.clone()).collect()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Whose key this is.
    pub fn find(&self, presented: &str) -> Option<KeyInfo> {
        if presented.len() > PRESENTED_MAX_BYTES {
            return None;
        }
        let hash = self.hash(presented);
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        // Hashes compare in constant time; going on behind the one that fits tells nothing either.
        let fitting = keys.iter().filter(|known| known.hash == hash);
        fitting.fold(None, |_, known| Some(known)).map(|known| known.info.clone())
    }

    fn hash(&self, key: &str) -> blake3::Hash {
        blake3::keyed_hash(&self.secret, key.as_bytes())
    }

    /// On the disk first: a key that was shown works after a crash, a revoked one does not.
    fn change(
        &self,
        with: impl FnOnce(&mut Vec<Known>) -> Result<(), KeyError>,
    ) -> Result<(), KeyError> {
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        let mut changed = keys.clone();
        with(&mut changed)?;
        let stored = changed.iter().map(|Known { info, hash }| StoredKey {
            id: info.id.clone(),
            name: info.name.clone(),
            hash: hash.to_hex().to_string(),
            created_unix_s: info.created_unix_s,
        });
        let stored = StoredKeys { keys: stored.collect() };
        write(&self.path, &stored)
            .map_err(|error| KeyError::File { path: self.path.clone(), error })?;
        *keys = changed;
        Ok(())
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes beside and renames, so that a crash leaves the one file or the other.
fn write(path: &Path, stored: &StoredKeys) -> io::Result<()> {
    let beside = path.with_extension("json.new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(&serde_json::to_vec(stored)?)?;
    file.sync_all()?;
    fs::rename(&beside, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let name = format!("swarmllm-keys-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            fs::create_dir_all(&path).expect("temporary folder");
            Folder(path)
        }

        fn open(&self) -> KeyStore {
            KeyStore::open(&self.0, [7; 32]).expect("readable")
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).expect("own folder");
        }
    }

    #[test]
    fn a_key_is_known_until_it_is_revoked_also_after_a_restart() {
        let folder = Folder::new("life");
        let store = folder.open();
        let made = store.create(Some("laptop")).expect("made");
        assert!(made.key.starts_with("swk-") && made.key.len() == 68, "{}", made.key);
        let again = folder.open();
        assert_eq!(again.find(&made.key), Some(made.info.clone()));
        assert_eq!(again.list(), std::slice::from_ref(&made.info));
        let mut other = made.key.clone();
        other.replace_range(67.., if made.key.ends_with('0') { "1" } else { "0" });
        assert_eq!(again.find(&other), None);
        assert_eq!(again.find(""), None);
        assert_eq!(again.find(&"x".repeat(1 << 20)), None);
        assert_eq!(again.revoke("laptop").expect("revoked"), made.info);
        assert_eq!(again.find(&made.key), None);
        assert!(folder.open().is_empty());
    }

    #[test]
    fn the_file_is_private_and_holds_no_key() {
        let folder = Folder::new("rest");
        let made = folder.open().create(None).expect("made");
        let path = folder.0.join(FILE);
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&path).expect("text");
        assert!(!text.contains(&made.key[4..]), "{text}");
        // Another identity's folder has no use for the file.
        let moved = KeyStore::open(&folder.0, [8; 32]).expect("readable");
        assert_eq!(moved.find(&made.key), None);
    }

    #[test]
    fn names_are_single_words_and_used_once() {
        let folder = Folder::new("names");
        let store = folder.open();
        for bad in ["", "two words", "a\nb", &"x".repeat(65)] {
            assert!(matches!(store.create(Some(bad)), Err(KeyError::BadName)), "{bad:?}");
        }
        let first = store.create(None).expect("made").info;
        assert_eq!(first.name, first.id);
        assert!(matches!(store.create(Some(&first.name)), Err(KeyError::Taken(_))));
        assert!(matches!(store.revoke("nobody"), Err(KeyError::Unknown(_))));
        assert_eq!(store.revoke(&first.id).expect("by id"), first);
    }

    #[test]
    fn what_is_no_key_file_is_refused_with_advice() {
        let folder = Folder::new("broken");
        let path = folder.0.join(FILE);
        folder.open().create(None).expect("made");
        for text in ["", "[]", r#"{"keys":[{"id":"a","name":"a","hash":"zz","created_unix_s":1}]}"#]
        {
            fs::write(&path, text).expect("writable");
            let error = KeyStore::open(&folder.0, [7; 32]).expect_err("refused").to_string();
            assert!(error.contains("move it away"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("allowed");
        let error = KeyStore::open(&folder.0, [7; 32]).expect_err("refused").to_string();
        assert!(error.contains("others may touch it"), "{error}");
    }
}
