//! The composition root: the only place that knows every actor. Doors hold a [`NodeHandle`].
//!
//! `node/tree.rs` starts the actors, `node/answer.rs` turns sampled tokens into an answer's text,
//! `node/fallback.rs` lets a provider in the cloud stand in where the swarm can't,
//! `node/embedding.rs` makes embeddings, `node/cache_budget.rs` shares memory among the caches,
//! `node/identity.rs` keeps the key, `node/interfaces.rs` knows the machine's addresses,
//! `node/metrics.rs` counts, `node/types.rs` is the data that doors show.

mod answer;
mod cache_budget;
mod echo;
mod embedding;
mod fallback;
mod identity;
mod interfaces;
mod metrics;
mod net_check;
mod numbers;
mod tree;
mod types;

use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Addr};
use futures_util::future;
use swarmllm_actors::batch_scheduler::GetSchedulerUsage;
use swarmllm_actors::clock::{self, Clock};
use swarmllm_actors::dht_router::{FindProviders, GetDhtStatus};
use swarmllm_actors::dht_socket::MeasurePath;
use swarmllm_actors::event_log::Subscribe;
use swarmllm_actors::invite_keeper::{
    CreateInvite, InviteSummary, ListInvites, RevokeInvite, load_membership,
};
use swarmllm_actors::kv_cache_store::GetPageUsage;
use swarmllm_actors::model_store::{GetModels, OpenModel};
use swarmllm_actors::node_supervisor::{Build, NodeSupervisor, StopTree};
use swarmllm_actors::peer_directory::{
    Candidates, FindCandidates, GetPeers, GetReachability, PeerRecord, PeerState, SaveCache,
};
use swarmllm_actors::peer_session::RowTraffic;
use swarmllm_protocol::admission::NotAdmitted;
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::{InviteId, NetworkId, PeerId};
use swarmllm_protocol::invite::InviteCode;
use swarmllm_protocol::kademlia::Contact;
use swarmllm_protocol::membership::Grant;
use swarmllm_protocol::route;
use tokio::sync::{mpsc, watch};

use crate::caller::Caller;
use crate::cloud::Cloud;
use crate::generate::{
    EmbedRequest, Embeddings, GenerateError, GenerateRequest, GenerationStream, Prompt, PromptToken,
};
use answer::Asked;
use metrics::Metrics;
pub use net_check::{NetCheck, PathCheck};
use tree::NodeTree;
pub use types::{
    DhtNumbers, InviteStatus, ModelStatus, NewInvite, NodeError, NodeOptions, NodeStatus,
    OfferStatus, PeerStatus, SchedulerNumbers,
};

/// Peers to which `net check` sends a datagram.
const PATHS_MAX: usize = 8;
/// What the key of prefix names is derived for.
const PREFIX_PURPOSE: &str = "swarmllm 2026-11 names of prefixes";
/// How long an actor may take to answer; a search in the swarm, the longest, takes four seconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(30);
/// How long writing the peer cache may take at the end.
const SAVE_DEADLINE: Duration = Duration::from_secs(2);
/// How long running answers may go on after a stop was asked for.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// A running node; cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    shared: Arc<Shared>,
    trees: watch::Receiver<Option<NodeTree>>,
    supervisor: Addr<NodeSupervisor<NodeTree>>,
    /// Whose handle this is, if it is one request's.
    caller: Option<Arc<Caller>>,
}

struct Shared {
    identity: Arc<Identity>,
    network: NetworkId,
    listen: SocketAddr,
    mdns: bool,
    exchange: bool,
    clock: Clock,
    prefix_secret: [u8; 32],
    n_active: Arc<AtomicUsize>,
    n_finished: Arc<AtomicU64>,
    metrics: Metrics,
    traffic: Arc<RowTraffic>,
    cloud: Cloud,
    is_stopping: watch::Sender<bool>,
}

impl std::fmt::Debug for NodeHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeHandle").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

impl NodeHandle {
    /// Starts every actor on the running actix system; ready when this returns.
    ///
    /// # Errors
    /// When the identity, the listening address, a model or a place to join is unusable.
    pub async fn start(options: NodeOptions) -> Result<NodeHandle, NodeError> {
        let identity = Arc::new(identity::load_or_create(&options.data_dir)?);
        let clock = Clock::start();
        let mut admission = tree::rules(&options, &identity);
        load_membership(&options.data_dir, &mut admission, clock::unix_s());
        let joins = tree::parse_joins(&options, &admission, clock::unix_s())?;
        let sockets = tree::bind(options.listen)?;
        let listen = sockets.listen;
        let network = options.network.clone();
        let mdns = options.mdns && !listen.ip().is_loopback();
        let exchange = options.exchange;
        let cloud = Cloud::new(options.cloud.clone(), options.offline);
        let traffic = Arc::default();
        let plan = Rc::new(tree::TreePlan {
            options: NodeOptions { listen, ..options },
            identity: Arc::clone(&identity),
            joins,
            clock,
            traffic: Arc::clone(&traffic),
        });
        let first = tree::build(&plan, sockets)?;
        let (sender, trees) = watch::channel(Some(first));
        let build: Build<NodeTree> = Rc::new(move || {
            let plan = Rc::clone(&plan);
            Box::pin(async move {
                let sockets = tree::bind(plan.options.listen).map_err(|error| error.to_string())?;
                tree::build(&plan, sockets).map_err(|error| error.to_string())
            })
        });
        let supervisor = NodeSupervisor::new(build, sender, clock).start();
        let shared = Arc::new(Shared {
            prefix_secret: identity.derive_secret(PREFIX_PURPOSE),
            identity,
            network,
            listen,
            mdns,
            exchange,
            clock,
            n_active: Arc::new(AtomicUsize::new(0)),
            n_finished: Arc::new(AtomicU64::new(0)),
            metrics: Metrics::new(),
            traffic,
            cloud,
            is_stopping: watch::Sender::new(false),
        });
        Ok(NodeHandle { shared, trees, supervisor, caller: None })
    }

    /// This node's id.
    pub fn peer_id(&self) -> PeerId {
        self.shared.identity.peer_id()
    }

    /// A secret of this node for a purpose, the same after every start.
    pub fn derive_secret(&self, purpose: &str) -> [u8; 32] {
        self.shared.identity.derive_secret(purpose)
    }

    /// Where peers reach it.
    pub fn listen(&self) -> SocketAddr {
        self.shared.listen
    }

    fn tree(&self) -> Result<NodeTree, NodeError> {
        let tree = self.trees.borrow().clone();
        tree.ok_or_else(|| NodeError::Unavailable("no tree runs now".into()))
    }

    /// This handle for one request of a caller, which is told who answers it.
    #[must_use]
    pub fn for_caller(&self, caller: Arc<Caller>) -> NodeHandle {
        NodeHandle { caller: Some(caller), ..self.clone() }
    }

    /// The providers that may stand in.
    pub fn cloud(&self) -> &Cloud {
        &self.shared.cloud
    }

    /// Starts an answer.
    ///
    /// # Errors
    /// When the request can't be served: its kind says how a door answers.
    pub async fn generate(
        &self,
        request: GenerateRequest,
    ) -> Result<GenerationStream, GenerateError> {
        if *self.shared.is_stopping.borrow() {
            return Err(answer::unavailable("the node is stopping; ask another one"));
        }
        fallback::generate(self, request).await
    }

    /// Embeddings of texts.
    ///
    /// # Errors
    /// When one of them can't be computed.
    pub async fn embed(&self, mut request: EmbedRequest) -> Result<Embeddings, GenerateError> {
        if let Some(caller) = self.caller.as_ref().filter(|_| request.client.is_empty()) {
            request.client = caller.client().to_owned();
        }
        let tree = self.tree().map_err(|error| answer::unavailable(error.to_string()))?;
        embedding::embed(&tree, (&self.shared, request), &self.shared.metrics).await
    }

    /// Tokens of a prompt, as its model reads it.
    ///
    /// # Errors
    /// When the model is not here, or its template refuses.
    pub async fn count_tokens(&self, model: &str, prompt: &Prompt) -> Result<u32, GenerateError> {
        let tree = self.tree().map_err(|error| answer::unavailable(error.to_string()))?;
        answer::count_tokens(&tree, (model, prompt)).await
    }

    /// The tokens of a request's prompt, and how likely they were where it asks for
    /// log-probabilities.
    ///
    /// # Errors
    /// When the model is not here, its template refuses, or the prompt can't be scored.
    pub async fn echo(
        &self,
        mut request: GenerateRequest,
    ) -> Result<Vec<PromptToken>, GenerateError> {
        if let Some(caller) = self.caller.as_ref().filter(|_| request.client.is_empty()) {
            request.client = caller.client().to_owned();
        }
        let tree = self.tree().map_err(|error| answer::unavailable(error.to_string()))?;
        let (local, prefix_secret) = (self.peer_id(), self.shared.prefix_secret);
        let asked = Asked { local, prefix_secret, request, refused: None, caller: None };
        echo::echo(&tree, asked, &self.shared.metrics).await
    }

    /// A model that is held here, by name.
    ///
    /// # Errors
    /// When it is not.
    pub async fn model(&self, name: &str) -> Result<OpenModel, GenerateError> {
        let tree = self.tree().map_err(|error| answer::unavailable(error.to_string()))?;
        answer::find_model(&tree, name).await
    }

    /// The models that are held here, in the order they were given.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn open_models(&self) -> Result<Vec<OpenModel>, GenerateError> {
        let asked = async { ask(&self.tree()?.model_store, GetModels).await };
        asked.await.map_err(|error: NodeError| answer::unavailable(error.to_string()))
    }

    /// State of the node.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn status(&self) -> Result<NodeStatus, NodeError> {
        let tree = self.tree()?;
        let peers = ask(&tree.directory, GetPeers).await?;
        let scheduler = self.scheduler_numbers().await?.into_iter();
        let scheduler = scheduler.map(|(_, numbers)| numbers).sum::<SchedulerNumbers>();
        let models = self.models().await?;
        let n_peers = peers.iter().filter(|peer| peer.state == PeerState::Connected).count();
        let state = if *self.shared.is_stopping.borrow() {
            "stopping"
        } else if models.iter().all(|model| model.servable) {
            "ready"
        } else {
            "degraded"
        };
        let dht = self.dht_numbers().await?;
        Ok(NodeStatus {
            dht,
            peer_id: self.peer_id().to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state: state.to_owned(),
            network: self.shared.network.as_str().to_owned(),
            listen: self.shared.listen,
            uptime_s: Duration::from_millis(self.shared.clock.now_ms()).as_secs_f64(),
            n_peers,
            connectivity: connectivity(n_peers, interfaces::has_network()).to_owned(),
            n_active: self.shared.n_active.load(Ordering::Relaxed),
            n_finished: self.shared.n_finished.load(Ordering::Relaxed),
            kv_pages: [scheduler.pages_used, scheduler.pages_total],
            scheduler,
            rss_bytes: crate::service::resident_bytes(),
            models,
        })
    }

    /// Known peers.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn peers(&self) -> Result<Vec<PeerStatus>, NodeError> {
        let peers = ask(&self.tree()?.directory, GetPeers).await?;
        Ok(peers.into_iter().map(peer_status).collect())
    }

    /// What works of finding peers and of being found, and what to do about the rest.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn net_check(&self) -> Result<NetCheck, NodeError> {
        let tree = self.tree()?;
        let known = ask(&tree.directory, GetReachability).await?;
        let connected = ask(&tree.directory, GetPeers).await?.into_iter();
        let connected = connected.filter(|peer| peer.state == PeerState::Connected);
        let tried = connected.filter_map(|peer| Some((*peer.addresses.first()?, peer)));
        let paths = tried.take(PATHS_MAX).map(async |(address, peer)| {
            let to = Contact { peer: peer.peer, address };
            Ok::<_, NodeError>(PathCheck {
                peer_id: peer.peer.to_string(),
                address,
                session_ms: peer.rtt_us.map(milliseconds),
                datagram_ms: ask(&tree.dht_socket, MeasurePath { to }).await?.map(milliseconds),
            })
        });
        let own = net_check::OwnFacts {
            peer_id: self.peer_id().to_string(),
            network: self.shared.network.as_str().to_owned(),
            listen: self.shared.listen,
            mdns: self.shared.mdns,
            exchange: self.shared.exchange,
            has_network: interfaces::has_network(),
            paths: future::try_join_all(paths).await?,
        };
        Ok(net_check::assemble(own, known, self.dht_numbers().await?))
    }

    /// Models held.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn models(&self) -> Result<Vec<ModelStatus>, NodeError> {
        let tree = self.tree()?;
        let mut statuses = Vec::new();
        for model in ask(&tree.model_store, GetModels).await? {
            let mut found = ask(&tree.directory, FindCandidates { model: model.id }).await?;
            let n_layers = model.n_layers();
            let can_answer = |found: &Candidates| {
                route::plan_route(n_layers, self.peer_id(), &found.candidates).is_ok()
            };
            if !can_answer(&found) {
                let find = FindProviders { model: model.id, n_layers };
                found.add_providers(&ask(&tree.dht_router, find).await?);
            }
            statuses.push(model_status(&model, can_answer(&found)));
        }
        Ok(statuses)
    }

    /// A signed invite code.
    ///
    /// # Errors
    /// When the code can't be made, which says why.
    pub async fn create_invite(&self, invite: NewInvite) -> Result<InviteCode, NodeError> {
        let NewInvite { valid_for_s, uses, role, pool } = invite;
        let addresses = interfaces::announced_addresses(self.shared.listen);
        let create = CreateInvite { addresses, valid_for_s, uses, grant: Grant { role, pool } };
        Ok(ask(&self.tree()?.invite_keeper, create).await??)
    }

    /// Invites made here that are remembered, oldest first.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn invites(&self) -> Result<Vec<InviteStatus>, NodeError> {
        let invites = ask(&self.tree()?.invite_keeper, ListInvites).await?;
        Ok(invites.into_iter().map(invite_status).collect())
    }

    /// Takes an invite back, and with `members` the membership of those whom it admitted.
    ///
    /// # Errors
    /// When no such invite is remembered, or that can't be written down.
    pub async fn revoke_invite(&self, id: InviteId, members: bool) -> Result<(), NodeError> {
        Ok(ask(&self.tree()?.invite_keeper, RevokeInvite { id, members }).await??)
    }

    /// Typed events as JSON values `{"seq","at_unix_ms","event",..}`, from now on.
    ///
    /// # Errors
    /// While the tree is being restarted.
    pub async fn subscribe(&self) -> Result<mpsc::Receiver<serde_json::Value>, NodeError> {
        let mut entries = ask(&self.tree()?.event_log, Subscribe).await?;
        let (sender, receiver) = mpsc::channel(64);
        actix_web::rt::spawn(async move {
            while let Some(entry) = entries.recv().await {
                let Ok(value) = serde_json::to_value(&entry) else { continue };
                if sender.send(value).await.is_err() {
                    return;
                }
            }
        });
        Ok(receiver)
    }

    /// True when every part answers within the deadline (feeds the watchdog and `/health`).
    pub async fn is_healthy(&self, deadline: Duration) -> bool {
        let probe = async {
            let tree = self.tree()?;
            ask(&tree.directory, GetPeers).await?;
            ask(&tree.model_store, GetModels).await?;
            ask(&tree.kv_cache_store, GetPageUsage).await?;
            ask(&tree.scheduler, GetSchedulerUsage).await?;
            ask(&tree.dht_router, GetDhtStatus).await?;
            Ok::<bool, NodeError>(tree.has_all_members())
        };
        matches!(tokio::time::timeout(deadline, probe).await, Ok(Ok(true)))
    }

    /// Ends generations, closes sessions, stops actors.
    pub async fn shutdown(&self) {
        self.shared.is_stopping.send_replace(true);
        let idle = async {
            while self.shared.n_active.load(Ordering::Relaxed) > 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(DRAIN_DEADLINE, idle).await.is_err() {
            tracing::warn!("answers were still running at the end of the drain");
        }
        if let Ok(tree) = self.tree()
            && tokio::time::timeout(SAVE_DEADLINE, ask(&tree.directory, SaveCache)).await.is_err()
        {
            tracing::warn!("the peer cache was not written in time");
        }
        if let Err(error) = self.supervisor.send(StopTree).await {
            tracing::debug!(%error, "the supervisor was gone already");
        }
    }
}

/// A secret for a purpose out of a data folder's identity, which is made if there is none.
///
/// # Errors
/// When the identity is unusable.
pub fn derive_secret(data_dir: &Path, purpose: &str) -> Result<[u8; 32], NodeError> {
    Ok(identity::load_or_create(data_dir)?.derive_secret(purpose))
}

/// In one word, where a node stands.
fn connectivity(n_peers: usize, has_network: bool) -> &'static str {
    match (n_peers, has_network) {
        (1.., _) => "connected",
        (0, true) => "alone",
        (0, false) => "no_network",
    }
}

/// Asks an actor, with its absence as this crate's error.
async fn ask<A, M>(actor: &Addr<A>, message: M) -> Result<M::Result, NodeError>
where
    A: actix::Handler<M>,
    A::Context: actix::dev::ToEnvelope<A, M>,
    M: actix::Message + Send + 'static,
    M::Result: Send,
{
    match actor.send(message).timeout(ANSWER_DEADLINE).await {
        Ok(answer) => Ok(answer),
        Err(error) => Err(NodeError::Unavailable(error.to_string())),
    }
}

fn invite_status(invite: InviteSummary) -> InviteStatus {
    let InviteSummary { id, made, redeemed_by, uses_left, closed } = invite;
    InviteStatus {
        id,
        state: match closed {
            None => "open",
            Some(NotAdmitted::InviteUsedUp) => "used_up",
            Some(NotAdmitted::InviteExpired) => "expired",
            Some(_) => "revoked",
        },
        role: made.grant.role.word(),
        pool: made.grant.pool,
        uses: made.uses,
        uses_left,
        redeemed_by,
        made_at_unix_s: made.made_at_unix_s,
        expires_at_unix_s: made.expires_at_unix_s,
    }
}

fn milliseconds(us: u32) -> f64 {
    f64::from(us) / 1000.0
}

fn peer_status(record: PeerRecord) -> PeerStatus {
    let state = match record.state {
        PeerState::Connected => "connected",
        PeerState::Connecting => "connecting",
        PeerState::Known => "known",
    };
    let offers = record.offers.into_iter().map(|offer| OfferStatus {
        model: offer.model_name,
        model_id: offer.model.to_string(),
        layers: [offer.layers.start, offer.layers.end],
        n_layers: offer.n_layers,
    });
    PeerStatus {
        peer_id: record.peer.to_string(),
        state: state.to_owned(),
        addresses: record.addresses,
        via: record.via.word().to_owned(),
        rtt_ms: record.rtt_us.map(milliseconds),
        offers: offers.collect(),
    }
}

fn model_status(model: &OpenModel, servable: bool) -> ModelStatus {
    let summary = model.model.summary();
    let vocabulary = model.model.gguf().get_str("tokenizer.ggml.model");
    ModelStatus {
        name: model.name.clone(),
        model_id: model.id.to_string(),
        layers: [model.layers.start, model.layers.end],
        n_layers: model.n_layers(),
        servable,
        context_length: model.model.config().context_length,
        created_unix_s: model.created_unix_s,
        n_params: summary.parameters,
        n_vocab: summary.vocab,
        size_bytes: summary.weight_bytes,
        quantization: summary.quantisation,
        vocabulary: vocabulary.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
