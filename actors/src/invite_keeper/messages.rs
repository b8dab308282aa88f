//! Messages of the invite keeper.

use std::net::SocketAddr;

use actix::Message;
use swarmllm_protocol::admission::NotAdmitted;
use swarmllm_protocol::ids::{InviteId, PeerId};
use swarmllm_protocol::invite::{InviteCode, InviteError};
use swarmllm_protocol::membership::{CertificateError, Grant, MemberFacts};
use swarmllm_protocol::redemption::{LogError, MadeInvite};

/// Command. Sender: doors. Reply: a code, which is in the log by then.
#[derive(Debug, Message)]
#[rtype(result = "Result<InviteCode, InviteKeeperError>")]
pub struct CreateInvite {
    /// Where this node listens, best first.
    pub addresses: Vec<SocketAddr>,
    /// How long the code is good, seconds.
    pub valid_for_s: u64,
    /// How many nodes it admits; 0: as many as come.
    pub uses: u32,
    /// What it makes of them.
    pub grant: Grant,
}

/// Question. Sender: doors. Reply: every invite that is remembered.
#[derive(Debug, Message)]
#[rtype(result = "Vec<InviteSummary>")]
pub struct ListInvites;

/// An invite and what became of it, without its key.
#[derive(Debug, Clone)]
pub struct InviteSummary {
    /// Its id.
    pub id: InviteId,
    /// As it was made.
    pub made: MadeInvite,
    /// Who came by it.
    pub redeemed_by: Vec<PeerId>,
    /// How many more it admits; `None`: as many as come.
    pub uses_left: Option<u32>,
    /// Why it admits nobody now, if so.
    pub closed: Option<NotAdmitted>,
}

/// Command. Sender: doors. The code admits nobody any more.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), InviteKeeperError>")]
pub struct RevokeInvite {
    /// Which.
    pub id: InviteId,
    /// Whether those whom it admitted lose their membership.
    pub members: bool,
}

/// Command. Sender: peer_session, for a peer that has proved to have the invite's key. Reply: its
/// certificate, once the use is on the disk; else why there is none.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<u8>, NotAdmitted>")]
pub struct RedeemInvite {
    /// Which.
    pub invite: InviteId,
    /// By whom.
    pub peer: PeerId,
}

/// Command. Sender: peer_session. Reply: a new certificate for one of this node's that is good but
/// due; `None` when it is not this node's.
#[derive(Debug, Message)]
#[rtype(result = "Option<Vec<u8>>")]
pub struct RenewCertificate(pub MemberFacts);

/// Command. Sender: peer_session. This node was admitted: the certificate is on the disk when the
/// reply comes.
#[derive(Debug, Message)]
#[rtype(result = "Result<(), InviteKeeperError>")]
pub struct KeepCertificate {
    /// By whom; another issuer's is refused.
    pub issuer: PeerId,
    /// The certificate.
    pub certificate: Vec<u8>,
}

/// Notification. Sender: peer_session. What a peer says is somebody's newest revocation list.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct KeepRevocations(pub Vec<u8>);

/// Why the keeper does not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum InviteKeeperError {
    /// The code can't be made.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The log takes no more, or knows no such invite.
    #[error(transparent)]
    Log(#[from] LogError),
    /// What was given is no certificate of this node.
    #[error("no certificate for this node: {0}")]
    Certificate(#[from] CertificateError),
    /// It is, by somebody else than said so, or for somebody else.
    #[error("a certificate of other parties than this node and its peer")]
    OtherParties,
    /// A file of the data folder.
    #[error("{path}: {error}")]
    File {
        /// Which.
        path: std::path::PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
}
