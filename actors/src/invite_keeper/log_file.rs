//! The redemption log on the disk: `invites.log`, readable by its owner alone (0600).
//!
//! Used by `invite_keeper`, on a thread of its own, for every record waits for the disk. Written
//! anew without what is past when a node starts; a damaged log is moved aside, and its invites
//! admit nobody any more.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use swarmllm_protocol::redemption::RedemptionLog;

use super::InviteKeeperError;

const FILE: &str = "invites.log";
/// A log beyond this is none: redemptions and invites are bounded far below.
const BYTES_MAX: u64 = 16 << 20;

/// The log and its file.
pub(super) struct LogFile {
    path: PathBuf,
    /// Gone when the disk has failed in a way that leaves it unknown what is in the file.
    file: Option<File>,
    length: u64,
    log: RedemptionLog,
}

impl LogFile {
    /// Reads the log of a data folder, or begins one.
    pub(super) fn open(folder: &Path, now_unix_s: u64) -> Result<LogFile, InviteKeeperError> {
        let path = folder.join(FILE);
        let failed = |error| InviteKeeperError::File { path: path.clone(), error };
        let found = read_bounded(&path, BYTES_MAX).map_err(failed)?;
        let before = match &found {
            None => RedemptionLog::default(),
            Some(bytes) => match RedemptionLog::read(bytes) {
                Ok((log, good)) => {
                    let torn = bytes.len() - good;
                    if torn > 0 {
                        tracing::info!(torn, "the last record of invites.log was cut by a crash");
                    }
                    log
                }
                Err(error) => {
                    let aside = path.with_extension("damaged");
                    let aside_shown = aside.display();
                    tracing::warn!(%error, "invites.log is moved to {aside_shown}; invite codes \
                                            made before admit nobody: make new ones");
                    fs::rename(&path, &aside).map_err(failed)?;
                    RedemptionLog::default()
                }
            },
        };
        let (log, bytes) = before.rewritten(now_unix_s);
        if found.as_ref() != Some(&bytes) {
            replace(&path, &bytes).map_err(failed)?;
        }
        let file = OpenOptions::new().append(true).open(&path).map_err(failed)?;
        Ok(LogFile { path, file: Some(file), length: bytes.len() as u64, log })
    }

    /// What is in it.
    pub(super) fn log(&self) -> &RedemptionLog {
        &self.log
    }

    /// The same, to prepare a record.
    pub(super) fn log_mut(&mut self) -> &mut RedemptionLog {
        &mut self.log
    }

    /// Appends a record; it counts, and is on the disk, when this returns.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), InviteKeeperError> {
        self.write(record)
            .map_err(|error| InviteKeeperError::File { path: self.path.clone(), error })?;
        self.length += record.len() as u64;
        if !self.log.appended(record) {
            tracing::error!("a record of invites.log does not follow the one before");
        }
        Ok(())
    }

    fn write(&mut self, record: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Err(io::Error::other("an earlier write failed; start the node again"));
        };
        if let Err(error) = file.write_all(record) {
            // A full disk: what got there goes, so that the next record follows the last whole one.
            if file.set_len(self.length).is_err() {
                self.file = None;
            }
            return Err(error);
        }
        // After a failed sync nobody knows what is on the disk, and a second one may lie.
        file.sync_data().inspect_err(|_| self.file = None)
    }
}

/// A whole file of at most `longest` bytes; `None` when there is none.
pub(super) fn read_bounded(path: &Path, longest: u64) -> io::Result<Option<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut bytes = Vec::new();
    file.take(longest + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > longest {
        return Err(io::Error::other(format!("more than {longest} bytes")));
    }
    Ok(Some(bytes))
}

/// Writes beside and renames, so that a crash leaves the old file or the new one.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        // The name is in the folder, which is a file of its own.
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use swarmllm_protocol::ids::{InviteId, PeerId};
    use swarmllm_protocol::membership::{Grant, MemberRole};
    use swarmllm_protocol::redemption::{MadeInvite, Redemption};

    use super::*;
    use crate::invite_keeper::tests::folder;

    const ID: InviteId = InviteId([4; 16]);

    fn made() -> MadeInvite {
        let grant = Grant { role: MemberRole::Member, pool: None };
        MadeInvite { made_at_unix_s: 0, expires_at_unix_s: 100, uses: 1, grant }
    }

    fn with_invite(folder: &Path) -> LogFile {
        let mut file = LogFile::open(folder, 0).expect("opens");
        let psk = swarmllm_protocol::invite::InviteSecret::new([1; 32]);
        let record = file.log_mut().make(&ID, &made(), &psk).expect("room");
        file.append(&record).expect("written");
        file
    }

    #[test]
    fn a_record_is_in_the_file_when_it_counts() {
        let folder = folder("log-file");
        let mut file = with_invite(&folder);
        let peer = PeerId([2; 32]);
        let Ok(Redemption::Write(record)) = file.log().redeem(&ID, &peer, 1) else {
            panic!("a use to write down");
        };
        file.append(&record).expect("written");
        // Another process would find it now, without this one having closed anything.
        let again = LogFile::open(&folder, 1).expect("opens");
        assert_eq!(again.log().redeem(&ID, &peer, 1), Ok(Redemption::Known));
        let mode = fs::metadata(folder.join(FILE)).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn a_torn_end_is_dropped_and_a_damaged_log_is_moved_aside() {
        let folder = folder("log-damage");
        drop(with_invite(&folder));
        let path = folder.join(FILE);
        let whole = fs::read(&path).expect("readable");
        fs::write(&path, [whole.as_slice(), &[9; 30]].concat()).expect("writable");
        assert!(LogFile::open(&folder, 1).expect("opens").log().get(&ID).is_some());
        assert_eq!(fs::read(&path).expect("readable"), whole);
        fs::write(&path, [&whole[..20], &[9; 300]].concat()).expect("writable");
        assert!(LogFile::open(&folder, 1).expect("opens").log().get(&ID).is_none());
        assert!(folder.join("invites.damaged").exists());
        fs::remove_dir_all(folder).expect("removed");
    }
}
