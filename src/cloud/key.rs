//! Keys of providers: from the environment or from files that only their owner can read.
//!
//! Set and removed by `cli/cloud.rs`; read by `fallback.rs` for each request, so that a new key is
//! used at once. Form: `DATA/cloud/PROVIDER.key`, mode 0600, the key and nothing else; written
//! beside its place, synced and renamed. A variable of the environment wins over a file.
//! A key has no `Display`, and its `Debug` tells nothing.
//! Errors: [`KeyError`], which never holds any part of a key.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::provider::Provider;
use crate::config::Environment;

/// Folder inside the data folder.
const FOLDER: &str = "cloud";
/// Longest key; the longest known have 200 characters.
pub const KEY_MAX_BYTES: usize = 4096;

/// Why a key can't be used or kept.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is none.
    #[error("that is no key: it must have 1 to {KEY_MAX_BYTES} visible ASCII characters")]
    Malformed,
    /// Others can read the file.
    #[error("others may read {path} (mode {mode:o}); make it yours with `chmod 600`")]
    Shared {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The system refused.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
}

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// Takes a key, without the line end that pipes add.
    ///
    /// # Errors
    /// When it can't be one.
    pub fn of_text(text: &str) -> Result<ApiKey, KeyError> {
        let text = text.trim();
        let is_key = (1..=KEY_MAX_BYTES).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_key { Ok(ApiKey(text.to_owned())) } else { Err(KeyError::Malformed) }
    }

    /// The key itself, for the provider's eyes.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    /// A text of somebody else without the key in it.
    pub(super) fn removed_from(&self, text: &str) -> String {
        text.replace(&self.0, "(key)")
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(secret)")
    }
}

/// Where a key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyOrigin {
    /// A variable.
    Environment,
    /// A file of the data folder.
    File,
}

/// The keys of one node.
#[derive(Debug, Clone, Default)]
pub struct ProviderKeys {
    folder: PathBuf,
    from_environment: BTreeMap<String, ApiKey>,
}

impl ProviderKeys {
    /// Keys below a data folder, and those of the environment for these rows.
    pub fn new(data_dir: &Path, rows: &[Provider], environment: &Environment) -> ProviderKeys {
        let given = rows.iter().filter_map(|row| {
            let key = ApiKey::of_text(environment.get(&row.key_env)?).ok()?;
            Some((row.id.to_string(), key))
        });
        ProviderKeys { folder: data_dir.join(FOLDER), from_environment: given.collect() }
    }

    /// The key of a provider.
    ///
    /// # Errors
    /// When there is a file that can't be used.
    pub fn find(&self, provider: &str) -> Result<Option<(ApiKey, KeyOrigin)>, KeyError> {
        if let Some(key) = self.from_environment.get(provider) {
            return Ok(Some((key.clone(), KeyOrigin::Environment)));
        }
        let path = self.path(provider);
        let failed = |error| KeyError::File { path: path.clone(), error };
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Shared { path, mode });
        }
        let mut text = String::new();
        file.take(KEY_MAX_BYTES as u64 + 2).read_to_string(&mut text).map_err(failed)?;
        Ok(Some((ApiKey::of_text(&text)?, KeyOrigin::File)))
    }

    /// Keeps a key.
    ///
    /// # Errors
    /// What the system refused.
    pub fn set(&self, provider: &str, key: &ApiKey) -> Result<(), KeyError> {
        let path = self.path(provider);
        let write = || {
            DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            let beside = path.with_extension("key.new");
            // What is left of an attempt that was cut may have other permissions.
            remove_if_there(&beside)?;
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            file.write_all(key.0.as_bytes())?;
            file.sync_all()?;
            fs::rename(&beside, &path)
        };
        write().map_err(|error| KeyError::File { path: path.clone(), error })
    }

    /// Forgets a key; whether there was one.
    ///
    /// # Errors
    /// What the system refused.
    pub fn remove(&self, provider: &str) -> Result<bool, KeyError> {
        let path = self.path(provider);
        remove_if_there(&path).map_err(|error| KeyError::File { path, error })
    }

    fn path(&self, provider: &str) -> PathBuf {
        self.folder.join(format!("{provider}.key"))
    }
}

fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::super::table;
    use super::*;

    fn store(name: &str, environment: &Environment) -> ProviderKeys {
        let folder = std::env::temp_dir().join(format!("swk-{name}-{}", std::process::id()));
        ProviderKeys::new(&folder, &table::rows(), environment)
    }

    #[test]
    fn a_key_is_private_and_the_environment_wins() {
        let keys = store("set", &Environment::default());
        let key = ApiKey::of_text("sk-file\n").expect("a key");
        assert!(keys.find("openai").expect("readable").is_none());
        keys.set("openai", &key).expect("written");
        keys.set("openai", &key).expect("written again");
        let path = keys.path("openai");
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let found = keys.find("openai").expect("readable").expect("there");
        assert_eq!((found.0.reveal(), found.1), ("sk-file", KeyOrigin::File));

        let with = store("set", &Environment::of([("OPENAI_API_KEY", "sk-env")]));
        let found = with.find("openai").expect("readable").expect("there");
        assert_eq!((found.0.reveal(), found.1), ("sk-env", KeyOrigin::Environment));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("own file");
        let error = keys.find("openai").expect_err("shared").to_string();
        assert!(error.contains("chmod 600") && !error.contains("sk-file"), "{error}");
        assert!(keys.remove("openai").expect("removed"));
        assert!(!keys.remove("openai").expect("nothing there"));
        fs::remove_dir_all(keys.folder.parent().expect("a folder")).expect("own folder");
    }

    #[test]
    fn a_key_is_not_shown_and_what_is_none_is_refused() {
        let key = ApiKey::of_text("sk-secret").expect("a key");
        let store = store("debug", &Environment::of([("GROQ_API_KEY", "sk-secret")]));
        assert!(!format!("{key:?} {store:?}").contains("sk-secret"));
        assert_eq!(key.removed_from("bad sk-secret!"), "bad (key)!");
        for bad in ["", " \n", "two words", "schl\u{fc}ssel", "a\u{0}b", &"x".repeat(5000)] {
            assert!(ApiKey::of_text(bad).is_err(), "{bad:?}");
        }
    }
}
