//! What a node is started with and what it says of itself: plain data between doors and actors.
//!
//! Filled by `node.rs`; shown by `status`, `peers`, `models` and the HTTP doors as JSON.
//! Units last in names; layer ranges are half-open.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Serialize;
use swarmllm_actors::invite_keeper::InviteKeeperError;
use swarmllm_models::{Model, ShardOptions};
use swarmllm_protocol::admission::AdmissionPolicy;
use swarmllm_protocol::ids::{InviteId, LayerRange, NetworkId, PeerId, PoolId};
use swarmllm_protocol::membership::MemberRole;
use swarmllm_protocol::schedule::Limits;

use crate::cloud::CloudOptions;
use crate::config::byte_size::ByteSize;

/// Everything a node needs to start, already resolved from file, environment and flags.
#[derive(Debug, Clone)]
pub struct NodeOptions {
    /// Data folder: identity (0600), peers.
    pub data_dir: PathBuf,
    /// Where to listen for peers; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Which swarm this node belongs to.
    pub network: NetworkId,
    /// Models with the layers to hold (`None`: all of them).
    pub models: Vec<(String, Model, Option<LayerRange>)>,
    /// Invite codes or `HOST:PORT` addresses to start from.
    pub join: Vec<String>,
    /// Announce and look for peers on the local network.
    pub mdns: bool,
    /// Tell peers of each other, and hear of others from them.
    pub exchange: bool,
    /// Never leave private address ranges.
    pub offline: bool,
    /// Whom to let in.
    pub admission: AdmissionPolicy,
    /// How shards compute; their pages are counted by the node.
    pub shard: ShardOptions,
    /// Bounds and aims of the scheduler.
    pub limits: Limits,
    /// Memory of all caches; chosen from what is available when absent.
    pub cache_memory: Option<ByteSize>,
    /// Providers that may stand in for the swarm.
    pub cloud: CloudOptions,
}

/// One peer as `peers` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PeerStatus {
    /// Its id.
    pub peer_id: String,
    /// `connected`, `connecting` or `known`.
    pub state: String,
    /// Where it listens.
    pub addresses: Vec<SocketAddr>,
    /// How it was found: `join`, `invite`, `mdns`, `cache`, `peer_exchange`, `dht`, `incoming`.
    pub via: String,
    /// Round-trip time.
    pub rtt_ms: Option<f64>,
    /// Layers it offers, per model.
    pub offers: Vec<OfferStatus>,
}

/// Layers of one model at one place.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OfferStatus {
    /// Model name.
    pub model: String,
    /// Model id.
    pub model_id: String,
    /// Half-open layer range.
    pub layers: [u32; 2],
    /// Layers of the whole model.
    pub n_layers: u32,
}

/// One model as `models` and `/v1/models` show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStatus {
    /// Name to ask for.
    pub name: String,
    /// Content address.
    pub model_id: String,
    /// Layers held here, half-open.
    pub layers: [u32; 2],
    /// Layers of the whole model.
    pub n_layers: u32,
    /// Whether a route over all layers exists now.
    pub servable: bool,
    /// Context length in tokens.
    pub context_length: u32,
    /// When this node opened it.
    pub created_unix_s: u64,
    /// Number of weights.
    pub n_params: u64,
    /// Tokens of its vocabulary.
    pub n_vocab: u32,
    /// Bytes of all weights.
    pub size_bytes: u64,
    /// The tensor type with most bytes.
    pub quantization: String,
    /// Kind of vocabulary, `tokenizer.ggml.model` of its file.
    pub vocabulary: String,
}

/// An invite to be made.
#[derive(Debug, Clone, Copy)]
pub struct NewInvite {
    /// How long its code is good, seconds.
    pub valid_for_s: u64,
    /// How many nodes it admits; 0: as many as come.
    pub uses: u32,
    /// As what.
    pub role: MemberRole,
    /// Into which group of the network, if any.
    pub pool: Option<PoolId>,
}

/// One invite as `invite list` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InviteStatus {
    /// Its id, which `invite revoke` takes.
    pub id: InviteId,
    /// `open`, `used_up`, `expired` or `revoked`.
    pub state: &'static str,
    /// As what it admits.
    pub role: &'static str,
    /// Into which group of the network, if any.
    pub pool: Option<PoolId>,
    /// How many nodes it admits; 0: as many as come.
    pub uses: u32,
    /// How many more; absent where uses are not counted.
    pub uses_left: Option<u32>,
    /// Who came by it.
    pub redeemed_by: Vec<PeerId>,
    /// When it was made.
    pub made_at_unix_s: u64,
    /// Until when it is good.
    pub expires_at_unix_s: u64,
}

/// The node as `status` shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeStatus {
    /// This node.
    pub peer_id: String,
    /// Program version.
    pub version: String,
    /// `ready`, `degraded` (a model lacks layers) or `stopping`.
    pub state: String,
    /// Which swarm.
    pub network: String,
    /// Where peers reach it.
    pub listen: SocketAddr,
    /// Seconds since start.
    pub uptime_s: f64,
    /// Open peer sessions.
    pub n_peers: usize,
    /// `connected`, `alone` (no session) or `no_network` (no interface but loopback, no session).
    pub connectivity: String,
    /// Generations under way.
    pub n_active: usize,
    /// Generations finished since start.
    pub n_finished: u64,
    /// KV pages in use and in all.
    pub kv_pages: [u32; 2],
    /// The table of nodes and provider records.
    pub dht: DhtNumbers,
    /// Requests at this node's shards, and what they share.
    pub scheduler: SchedulerNumbers,
    /// Resident memory of the process.
    pub rss_bytes: u64,
    /// Models held.
    pub models: Vec<ModelStatus>,
}

/// What the scheduler and the KV store do, over all shards of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SchedulerNumbers {
    /// Sequences with a place.
    pub running: usize,
    /// Sequences that wait for one.
    pub waiting: usize,
    /// Sequences that gave their pages to older ones.
    pub preemptions: u64,
    /// Pages that sequences hold.
    pub pages_used: u32,
    /// Pages kept for reuse.
    pub pages_cached: u32,
    /// Pages in all.
    pub pages_total: u32,
    /// Tokens of prompts.
    pub prefix_queries: u64,
    /// Those that were known from before.
    pub prefix_hits: u64,
    /// Pages kept for reuse that were given up.
    pub evictions: u64,
    /// Steps computed.
    pub steps: u64,
    /// Rows of them.
    pub rows: u64,
    /// Time the shards computed.
    pub compute_us: u64,
    /// Time spent on planning, of the same clock.
    pub planning_us: u64,
}

/// How a node's part of the DHT does, since the start where it counts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct DhtNumbers {
    /// Whether others may ask this node.
    pub is_server: bool,
    /// Contacts that answered lately.
    pub contacts: usize,
    /// Buckets that hold any.
    pub buckets: usize,
    /// Records kept for others.
    pub records: usize,
    /// Questions answered for others.
    pub answered: u64,
    /// Lookups that ended with what was looked for.
    pub lookups_done: u64,
    /// Lookups that found nobody, nothing or no holder.
    pub lookups_failed: u64,
    /// Why the last of those failed.
    pub last_error: Option<String>,
    /// Announcements of this node's layers that somebody keeps.
    pub announced: u64,
    /// Nodes that keep them.
    pub holders: usize,
    /// Addresses that others see this node at, and how many times each was said.
    pub heard: Vec<(String, u32)>,
    /// The one that enough of them agree on.
    pub observed: Option<SocketAddr>,
    /// Bytes sent, without headers of IP and UDP.
    pub sent_bytes: u64,
    /// Bytes received, likewise.
    pub received_bytes: u64,
    /// Datagrams for nobody, or altered.
    pub refused: u64,
    /// Questions beyond the rate.
    pub over_rate: u64,
    /// Datagrams that were not sent.
    pub unsent: u64,
}

/// Why a node did not start, or did not answer.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// A file of the data folder.
    #[error("{path}: {error}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// The identity file is not one.
    #[error(
        "{path} is not an identity ({reason}); move it away to get a new one, which changes this \
         node's peer id"
    )]
    Identity {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The listening address.
    #[error("can't listen on {address}: {error}; choose another with --listen")]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// A model could not be loaded.
    #[error("model {name}: {reason}")]
    Model {
        /// Which model.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A `--join` value is neither an invite code nor an address.
    #[error("can't join {text:?}: {reason}")]
    Join {
        /// What was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Invites can't be made, listed or revoked.
    #[error("invites: {0}")]
    Invite(#[from] InviteKeeperError),
    /// Part of the node does not answer.
    #[error("the node is starting a part of itself again ({0}); try again")]
    Unavailable(String),
}
