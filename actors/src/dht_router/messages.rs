//! Messages of the DHT's router.

use std::net::{IpAddr, SocketAddr};

use actix::Message;
use swarmllm_protocol::ids::{ModelId, PeerId};
use swarmllm_protocol::kademlia::ProviderFacts;

/// Event. Sender: peer_directory. A peer whose session is open listens there; it is asked over UDP
/// before it is believed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct PeerReachable {
    /// Who.
    pub peer: PeerId,
    /// Where, best first.
    pub addresses: Vec<SocketAddr>,
}

/// Question. Senders: generation, doors. Reply: who provides layers of a model, from signed
/// records; not this node. Answers known for a while are not looked up again.
#[derive(Debug, Clone, Message)]
#[rtype(result = "Vec<ProviderFacts>")]
pub struct FindProviders {
    /// Of which model.
    pub model: ModelId,
    /// Layers that it has.
    pub n_layers: u32,
}

/// Question. Senders: doors. Reply: how the table does.
#[derive(Debug, Message)]
#[rtype(result = "DhtStatus")]
pub struct GetDhtStatus;

/// How the table does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DhtStatus {
    /// Whether others may ask this node.
    pub is_server: bool,
    /// Contacts that answered lately.
    pub contacts: usize,
    /// Buckets that hold any.
    pub buckets: usize,
    /// Questions answered for others.
    pub answered: u64,
    /// Lookups that ended with what was looked for.
    pub lookups_done: u64,
    /// Lookups that found nobody, nothing or no holder.
    pub lookups_failed: u64,
    /// Why the last of those failed.
    pub last_error: Option<String>,
    /// Records kept for others.
    pub records: usize,
    /// Announcements of this node's layers that somebody keeps.
    pub announced: u64,
    /// Nodes that keep them, of the last announcement of each.
    pub holders: usize,
    /// Addresses that others see this node at, and how many times each was said.
    pub heard: Vec<(IpAddr, u32)>,
    /// The one that enough of them agree on.
    pub observed: Option<SocketAddr>,
}
