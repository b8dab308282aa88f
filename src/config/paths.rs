//! Where files live: XDG folders, `SWARMLLM_HOME`, and the folders systemd hands to a service.
//!
//! Called by `resolved.rs` and by the commands that look for a running node. Pure: the environment
//! is an argument. Order: `SWARMLLM_HOME`, then systemd (`STATE_DIRECTORY`, `RUNTIME_DIRECTORY`,
//! `CONFIGURATION_DIRECTORY`), then XDG, then the defaults of the XDG base directory
//! specification 0.8. Errors: none; a missing home is `None`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// File of settings inside a configuration folder.
const CONFIG_FILE: &str = "swarmllm.toml";
/// Name of the control socket inside its folder.
pub const CONTROL_SOCKET: &str = "control.sock";
/// Settings of the whole machine.
const SYSTEM_CONFIG: &str = "/etc/swarmllm/swarmllm.toml";

/// The environment of a process, as a value.
#[derive(Debug, Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The environment of this process; variables that are no Unicode are left out.
    pub fn of_process() -> Environment {
        let pairs = std::env::vars_os();
        let unicode = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Environment(pairs.filter_map(unicode).collect())
    }

    /// An environment of these pairs.
    pub fn of<const N: usize>(pairs: [(&str, &str); N]) -> Environment {
        Environment(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    /// A variable that is set and not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Names of all variables.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        // systemd separates several folders by a colon; the first is the service's own.
        let first = self.get(name)?.split(':').next()?;
        Path::new(first).is_absolute().then(|| PathBuf::from(first))
    }

    fn xdg(&self, name: &str, below_home: &str) -> Option<PathBuf> {
        let base = self.folder(name).or_else(|| Some(self.folder("HOME")?.join(below_home)));
        Some(base?.join("swarmllm"))
    }

    fn swarmllm_home(&self) -> Option<PathBuf> {
        self.get("SWARMLLM_HOME").map(PathBuf::from)
    }

    /// Default data folder.
    pub fn data_dir(&self) -> Option<PathBuf> {
        self.swarmllm_home()
            .or_else(|| self.folder("STATE_DIRECTORY"))
            .or_else(|| self.xdg("XDG_DATA_HOME", ".local/share"))
    }

    /// Configuration files to look for, the later wins.
    pub fn config_files(&self) -> Vec<PathBuf> {
        let own = self
            .swarmllm_home()
            .or_else(|| self.folder("CONFIGURATION_DIRECTORY"))
            .or_else(|| self.xdg("XDG_CONFIG_HOME", ".config"));
        let mut files = vec![PathBuf::from(SYSTEM_CONFIG)];
        files.extend(own.map(|folder| folder.join(CONFIG_FILE)));
        files.dedup();
        files
    }

    /// Folder of the control socket, for a node whose data folder was configured as this one.
    pub fn control_dir(&self, data_dir: &Path) -> Option<PathBuf> {
        // A service's runtime folder belongs to one node only when its data folder does as well.
        let service = self.folder("STATE_DIRECTORY").is_some_and(|folder| folder == data_dir);
        self.folder("RUNTIME_DIRECTORY").filter(|_| service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_wins_over_systemd_and_xdg() {
        let all = Environment::of([
            ("SWARMLLM_HOME", "/s"),
            ("STATE_DIRECTORY", "/var/lib/swarmllm"),
            ("HOME", "/home/a"),
        ]);
        assert_eq!(all.data_dir(), Some("/s".into()));
        assert_eq!(all.config_files().last(), Some(&"/s/swarmllm.toml".into()));
    }

    #[test]
    fn systemd_folders_are_used_by_the_service() {
        let service = Environment::of([
            ("STATE_DIRECTORY", "/var/lib/swarmllm:/var/lib/other"),
            ("RUNTIME_DIRECTORY", "/run/swarmllm"),
        ]);
        let data_dir = service.data_dir().expect("state folder");
        assert_eq!(data_dir, Path::new("/var/lib/swarmllm"));
        assert_eq!(service.control_dir(&data_dir), Some("/run/swarmllm".into()));
        assert_eq!(service.control_dir(Path::new("/d")), None);
    }

    #[test]
    fn xdg_folders_fall_back_to_home_and_then_to_nothing() {
        let home = Environment::of([("HOME", "/home/a"), ("XDG_DATA_HOME", "relative")]);
        assert_eq!(home.data_dir(), Some("/home/a/.local/share/swarmllm".into()));
        assert_eq!(Environment::default().data_dir(), None);
    }
}
