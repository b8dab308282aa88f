//! Messages of the peer directory.

use std::collections::HashMap;
use std::net::SocketAddr;

use actix::{Message, Recipient};
use swarmllm_protocol::connection::PreSharedKey;
use swarmllm_protocol::ids::{ModelId, PeerId};
use swarmllm_protocol::route::Candidate;
use swarmllm_protocol::wire::ShardOffer;

use crate::dialer::Dial;
use crate::peer_session::SessionHandle;

/// How a peer became known; the first way stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// An address given by the user.
    Join,
    /// An invite code.
    Invite,
    /// mDNS on the local network.
    Mdns,
    /// Another peer told us.
    PeerExchange,
    /// It connected to us.
    Incoming,
}

impl Via {
    /// The word that `peers` shows.
    pub fn word(self) -> &'static str {
        match self {
            Via::Join => "join",
            Via::Invite => "invite",
            Via::Mdns => "mdns",
            Via::PeerExchange => "peer_exchange",
            Via::Incoming => "incoming",
        }
    }
}

/// Command. Sender: `node.rs`, once the dialer runs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AttachDialer(pub Recipient<Dial>);

/// Command. Senders: `node.rs` (join, invite), lan_beacon. A place where a peer may be.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PeerSeen {
    /// Who, when that is known.
    pub peer: Option<PeerId>,
    /// Where.
    pub addresses: Vec<SocketAddr>,
    /// How.
    pub via: Via,
    /// The invite to redeem there, if any.
    pub invite: Option<PreSharedKey>,
}

/// Event. Sender: dialer. An attempt ended without a connection.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct DialFailed {
    /// Whom it was for.
    pub target: PeerTarget,
    /// Why, address by address.
    pub reason: String,
}

/// What an attempt is for: a known peer, or whoever answers at an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerTarget {
    /// This peer and nobody else.
    Peer(PeerId),
    /// Whoever it is.
    Address(SocketAddr),
}

/// Question. Senders: batch_scheduler, generation. Reply: an open session, dialling if need be.
#[derive(Debug, Message)]
#[rtype(result = "Result<SessionHandle, FindSessionError>")]
pub struct FindSession {
    /// With whom.
    pub peer: PeerId,
    /// Where it may be reached, beside what is known here.
    pub addresses: Vec<SocketAddr>,
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindSessionError {
    /// It could not be reached in time.
    #[error("peer {peer} can't be reached: {reason}")]
    Unreachable {
        /// Who.
        peer: String,
        /// Why.
        reason: String,
    },
    /// It is this node.
    #[error("a node needs no session with itself")]
    Oneself,
    /// Too many questions wait already.
    #[error("too many connections are being opened: try again")]
    Busy,
}

/// Question. Sender: generation. Reply: everybody connected, this node included, who holds layers
/// of the model.
#[derive(Debug, Message)]
#[rtype(result = "Candidates")]
pub struct FindCandidates {
    /// Which model.
    pub model: ModelId,
}

/// Who could compute what, and where they are.
#[derive(Debug, Clone, Default)]
pub struct Candidates {
    /// For `swarmllm_protocol::route`.
    pub candidates: Vec<Candidate>,
    /// Where each of them listens.
    pub addresses: HashMap<PeerId, Vec<SocketAddr>>,
}

/// Question. Sender: doors. Reply: every known peer.
#[derive(Debug, Message)]
#[rtype(result = "Vec<PeerRecord>")]
pub struct GetPeers;

/// One peer as the directory knows it.
#[derive(Debug, Clone)]
pub struct PeerRecord {
    /// Who.
    pub peer: PeerId,
    /// Whether a session is open, being opened, or neither.
    pub state: PeerState,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// How it was found.
    pub via: Via,
    /// Round-trip time in microseconds, when measured.
    pub rtt_us: Option<u32>,
    /// What it holds.
    pub offers: Vec<ShardOffer>,
}

/// How close a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerState {
    /// A session is open.
    Connected,
    /// An attempt is under way.
    Connecting,
    /// Known, not connected.
    Known,
}
