//! Messages of the peer directory.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use actix::{Message, Recipient};
use swarmllm_protocol::connection::PreSharedKey;
use swarmllm_protocol::ids::{ModelId, PeerId};
use swarmllm_protocol::kademlia::ProviderFacts;
use swarmllm_protocol::peer_cache::Method;
use swarmllm_protocol::route::Candidate;
use swarmllm_protocol::wire::ShardOffer;

use crate::dht_router::PeerReachable;
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
    /// It was known before this node started.
    Cache,
    /// Another peer told us.
    PeerExchange,
    /// The DHT.
    Dht,
    /// It connected to us.
    Incoming,
}

impl Via {
    /// Every way, in the order in which `net check` shows them.
    pub const ALL: [Via; 7] =
        [Via::Join, Via::Invite, Via::Mdns, Via::Cache, Via::PeerExchange, Via::Dht, Via::Incoming];

    /// The word that `peers` shows.
    pub fn word(self) -> &'static str {
        match self {
            Via::Join => "join",
            Via::Invite => "invite",
            Via::Mdns => "mdns",
            Via::Cache => "cache",
            Via::PeerExchange => "peer_exchange",
            Via::Dht => "dht",
            Via::Incoming => "incoming",
        }
    }

    /// As the cache has it, where a peer that was known before keeps its first way.
    pub(super) fn method(self) -> Method {
        match self {
            Via::Join => Method::Join,
            Via::Invite => Method::Invite,
            Via::Mdns => Method::Mdns,
            Via::Cache | Via::PeerExchange => Method::PeerExchange,
            Via::Dht => Method::Dht,
            Via::Incoming => Method::Incoming,
        }
    }
}

impl From<Method> for Via {
    fn from(method: Method) -> Via {
        match method {
            Method::Join => Via::Join,
            Method::Invite => Via::Invite,
            Method::Mdns => Via::Mdns,
            Method::PeerExchange => Via::PeerExchange,
            Method::Incoming => Via::Incoming,
            Method::Dht => Via::Dht,
        }
    }
}

/// Command. Sender: `node.rs`, once the dialer runs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AttachDialer(pub Recipient<Dial>);

/// Command. Senders: `node.rs` (join, invite), lan_beacon, and whoever finds a peer in the DHT. A
/// place where a peer may be. What a person or the local network names is dialled; what the DHT
/// names is remembered and dialled when it is chosen.
/// Command. Sender: `node/tree.rs`, once the DHT runs: it hears of every peer that says where it
/// listens.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AttachDht(pub Recipient<PeerReachable>);

/// Command. Senders: `node.rs` (join, invite), lan_beacon, generation. A place where a peer may be.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PeerSeen {
    /// Who, when that is known.
    pub peer: Option<PeerId>,
    /// Where: addresses of one peer.
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

/// Event. Senders: lan_beacon, node.rs. A way of finding peers does not work, or not now.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LayerFailed {
    /// Which way.
    pub via: Via,
    /// Why.
    pub reason: String,
}

/// What an attempt is for: a known peer, or whoever answers at an address.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PeerTarget {
    /// This peer and nobody else.
    Peer(PeerId),
    /// Whoever it is; the first of its addresses.
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
    /// The peer that wants it and named these addresses; `None` for this node itself.
    pub asked_by: Option<PeerId>,
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
    /// Too many questions wait already, or come from one peer.
    #[error("too many connections are being opened: try again")]
    Busy,
}

/// Question. Sender: generation. Reply: everybody connected, this node included, who holds layers
/// of the model. Who is not connected is found through the DHT, by whoever asks.
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

/// The round trip that a provider counts with before it is measured: whoever is connected goes
/// first.
const UNMEASURED_RTT_US: u32 = 1_000_000;

impl Candidates {
    /// Adds providers that the DHT knows of and nobody here is connected to.
    pub fn add_providers(&mut self, providers: &[ProviderFacts]) {
        for ProviderFacts { peer, layers, addresses, .. } in providers {
            if !addresses.is_empty() && !self.addresses.contains_key(peer) {
                let (peer, layers, rtt_us) = (*peer, *layers, UNMEASURED_RTT_US);
                self.candidates.push(Candidate { peer, layers, rtt_us });
            }
        }
        for facts in providers {
            self.addresses.entry(facts.peer).or_insert_with(|| facts.addresses.clone());
        }
    }
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

/// Question. Sender: doors. Reply: what works of finding peers and of being found.
#[derive(Debug, Message)]
#[rtype(result = "Reachability")]
pub struct GetReachability;

/// What works of finding peers and of being found.
#[derive(Debug, Clone)]
pub struct Reachability {
    /// Nothing leaves private ranges.
    pub is_offline: bool,
    /// What this node's own record says: where it is.
    pub addresses: Vec<SocketAddr>,
    /// And whether others can open connections to it.
    pub is_reachable: bool,
    /// Where connected peers see this node, and how many of them.
    pub heard: Vec<(IpAddr, usize)>,
    /// Those of these that are believed.
    pub believed: Vec<IpAddr>,
    /// Remembered peers that have answered, and others.
    pub cached: (usize, usize),
    /// Open sessions.
    pub connected: usize,
    /// Sessions that this node looks for.
    pub wanted: usize,
    /// What every way of finding peers has brought.
    pub layers: Vec<LayerReport>,
}

/// What one way of finding peers has brought since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerReport {
    /// Which way.
    pub via: Via,
    /// Peers, or places where one may be.
    pub found: u64,
    /// Sessions with them.
    pub connected: u64,
    /// When the first of these began, milliseconds since the node's start.
    pub connected_first_ms: Option<u64>,
    /// When something was found last, Unix seconds.
    pub found_at_unix_s: Option<u64>,
    /// What failed last, and when.
    pub last_error: Option<(String, u64)>,
}

/// Command. Sender: `node.rs` at the end. Reply: once what is remembered is on disk.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SaveCache;
