//! Nodes as child processes that never outlive their parent.
//!
//! Called by `mod.rs` and by the lab. Each child runs `serve --until-stdin-closes` with a pipe as
//! stdin: closing it (or dying) ends the child in order. What does not end in time is killed. The
//! log of a child is its stderr in its own folder, shown when something fails.
//! A child reads no configuration of the user: no file, no `SWARMLLM_*`, no service folders.
//! Errors: [`DemoError`].

use std::{
    fs::{self, File},
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use super::{DemoError, POLL, folder::TemporaryFolder};
use crate::service::ready_file::{self, Ready};

/// How long children may take to end in order before they are killed.
const END_DEADLINE: Duration = Duration::from_secs(3);
/// Lines of a child's log that are shown when that child failed.
const LOG_LINES: usize = 15;
/// And when nobody knows which one did.
const LOG_LINES_OF_ALL: usize = 3;
/// Variables by which a service manager or a user would steer the child.
const FOREIGN_VARIABLES: [&str; 6] = [
    "NOTIFY_SOCKET",
    "WATCHDOG_USEC",
    "STATE_DIRECTORY",
    "RUNTIME_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "JOURNAL_STREAM",
];

/// The processes and their folder; dropping ends and removes them.
#[derive(Debug)]
pub struct Children {
    program: PathBuf,
    children: Vec<Child>,
    // Dropped after `drop` below has ended the processes that write into it.
    folder: TemporaryFolder,
}

impl Children {
    /// No process yet, only the folder.
    pub fn new(program: PathBuf) -> Result<Children, DemoError> {
        let folder =
            TemporaryFolder::create().map_err(|cause| system("make a temporary folder", cause))?;
        Ok(Children { program, children: Vec::new(), folder })
    }

    /// Their folder: node 0's data is in `0`, and so on.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the next node on loopback; returns its index. `flags` are added to those of `serve`
    /// that keep it to itself.
    pub fn start(
        &mut self,
        flags: &[String],
        join: Option<SocketAddr>,
    ) -> Result<usize, DemoError> {
        let index = self.children.len();
        let folder = self.data_dir(index);
        let log = fs::create_dir(&folder)
            .and_then(|()| File::create(self.log_path(index)))
            .map_err(|cause| system("write into the temporary folder", cause))?;
        let mut command = Command::new(&self.program);
        command
            .args(["serve", "--http", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
            .args(["--no-mdns", "--offline", "--until-stdin-closes"])
            .args(flags)
            .arg("--data-dir")
            .arg(&folder);
        if let Some(join) = join {
            command.arg("--join").arg(join.to_string());
        }
        let own = |name: &str| name.starts_with("SWARMLLM_") && !name.starts_with("SWARMLLM_LOG");
        let inherited = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        for name in inherited.filter(|name| own(name)) {
            command.env_remove(name);
        }
        for name in FOREIGN_VARIABLES {
            command.env_remove(name);
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::from(log));
        let child = command
            .spawn()
            .map_err(|cause| system(&format!("start {}", self.program.display()), cause))?;
        self.children.push(child);
        Ok(index)
    }

    /// Waits until a node serves.
    pub async fn ready(&mut self, index: usize, within: Duration) -> Result<Ready, DemoError> {
        let start = Instant::now();
        while start.elapsed() < within {
            if let Some(ready) = ready_file::read(&self.data_dir(index))
                .map_err(|cause| system("read ready.json", cause))?
            {
                return Ok(ready);
            }
            self.check_alive()?;
            tokio::time::sleep(POLL).await;
        }
        let how = format!("did not serve within {within:?}");
        Err(DemoError::Node { index, how, log: self.log_tail(index, LOG_LINES) })
    }

    /// An error when one of the nodes has ended.
    pub fn check_alive(&mut self) -> Result<(), DemoError> {
        for index in 0..self.children.len() {
            let status = self.children[index]
                .try_wait()
                .map_err(|cause| system("look after a node", cause))?;
            if let Some(status) = status {
                let how = format!("ended ({status})");
                return Err(DemoError::Node { index, how, log: self.log_tail(index, LOG_LINES) });
            }
        }
        Ok(())
    }

    /// The last lines of every log.
    pub fn logs(&self) -> String {
        (0..self.children.len()).map(|index| self.log_tail(index, LOG_LINES_OF_ALL)).collect()
    }

    fn data_dir(&self, index: usize) -> PathBuf {
        self.folder.path().join(index.to_string())
    }

    fn log_path(&self, index: usize) -> PathBuf {
        self.data_dir(index).join("log")
    }

    fn log_tail(&self, index: usize, n_lines: usize) -> String {
        let text = fs::read(self.log_path(index)).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let shown = &lines[lines.len().saturating_sub(n_lines)..];
        let lines: String = shown.iter().map(|line| format!("\n  {line}")).collect();
        format!("\nlast lines of node {index}:{lines}")
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.children {
            drop(child.stdin.take());
        }
        let start = Instant::now();
        for child in &mut self.children {
            while matches!(child.try_wait(), Ok(None)) && start.elapsed() < END_DEADLINE {
                std::thread::sleep(POLL);
            }
            // Killing or waiting for a process that has ended fails, which is as well.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn system(what: &str, cause: io::Error) -> DemoError {
    DemoError::System { what: what.to_owned(), cause }
}
