//! What this node is a member of, on the disk: one file per inviter in `membership/` of the data
//! folder, and beside it that inviter's revocation list.
//!
//! Used by `invite_keeper`, and by a node that starts: with a certificate, the code by which it
//! came is not needed any more. A file that is none of ours, of another network, or past, is left
//! alone.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use swarmllm_protocol::admission::Admission;
use swarmllm_protocol::ids::{NetworkId, PeerId};
use swarmllm_protocol::membership::{MemberCertificate, REVOCATION_LIST_MAX_BYTES, RevocationList};

use super::log_file::{read_bounded, replace};

const FOLDER: &str = "membership";
const CERTIFICATE: &str = "certificate";
const REVOCATIONS: &str = "revocations";
/// Files looked at; a node keeps a few.
const FILES_MAX: usize = 256;

/// Adds what the files say.
pub fn load(data_dir: &Path, admission: &mut Admission, now_unix_s: u64) {
    let network = admission.network().clone();
    let files = || fs::read_dir(data_dir.join(FOLDER)).into_iter().flatten().flatten();
    let of_kind = |kind: &'static str| {
        files().take(FILES_MAX).map(|entry| entry.path()).filter_map(move |path| {
            let is_kind = path.extension().is_some_and(|extension| extension == kind);
            is_kind.then(|| read_bounded(&path, REVOCATION_LIST_MAX_BYTES as u64).ok()?)?
        })
    };
    for bytes in of_kind(CERTIFICATE) {
        match MemberCertificate::read(&bytes, &network, now_unix_s) {
            Ok(certificate) => _ = admission.keep(certificate),
            Err(error) => tracing::debug!(%error, "a certificate is not used"),
        }
    }
    // Lists count where their issuer is trusted, so they come second.
    for bytes in of_kind(REVOCATIONS) {
        if let Ok(list) = RevocationList::read(&bytes, &network) {
            admission.keep_revocations(list);
        }
    }
}

/// Writes a certificate down.
pub(super) fn keep_certificate(
    data_dir: &Path,
    network: &NetworkId,
    certificate: &MemberCertificate,
) -> io::Result<()> {
    let path = path(data_dir, network, &certificate.facts().issuer, CERTIFICATE)?;
    replace(&path, certificate.as_bytes())
}

/// Writes a revocation list down.
pub(super) fn keep_revocations(
    data_dir: &Path,
    network: &NetworkId,
    list: &RevocationList,
) -> io::Result<()> {
    replace(&path(data_dir, network, &list.issuer(), REVOCATIONS)?, list.as_bytes())
}

fn path(data_dir: &Path, network: &NetworkId, issuer: &PeerId, kind: &str) -> io::Result<PathBuf> {
    let folder = data_dir.join(FOLDER);
    DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
    Ok(folder.join(format!("{network}-{issuer}.{kind}")))
}
