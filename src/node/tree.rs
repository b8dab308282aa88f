//! Starts the actor tree of a node and holds its addresses.
//!
//! Called by `node.rs` at the start and by the supervisor after a failure. Order matters: whoever
//! is spoken to is started before whoever speaks. Everything a token touches runs on one Arbiter
//! (`net`); arithmetic runs on the shard workers' own threads.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix::{Actor, Addr, Arbiter, ArbiterHandle, Recipient};
use swarmllm_actors::batch_scheduler::{BatchScheduler, SchedulerLinks, ShardFacts};
use swarmllm_actors::clock::{self, Clock};
use swarmllm_actors::dht_router::{DhtFacts, DhtLinks, DhtRouter};
use swarmllm_actors::dht_socket::{AttachRouter, DhtSocket};
use swarmllm_actors::dialer::{Dialer, SessionSettings};
use swarmllm_actors::event_log::{Event, EventLog, Record};
use swarmllm_actors::generation::GenerationLinks;
use swarmllm_actors::invite_keeper::InviteKeeper;
use swarmllm_actors::kv_cache_store::{KvCacheStore, ShardPages};
use swarmllm_actors::lan_beacon::{BeaconFacts, BeaconLinks, LanBeacon};
use swarmllm_actors::listener::Listener;
use swarmllm_actors::mailbox::offer_to;
use swarmllm_actors::model_store::{ModelStore, OpenModel};
use swarmllm_actors::node_supervisor::Tree;
use swarmllm_actors::peer_directory::{
    self, AttachDht, AttachDialer, LayerFailed, PeerDirectory, PeerSeen, SelfFacts, Via,
};
use swarmllm_actors::peer_session::{InviteLinks, RowTraffic, SessionLinks, SessionMemory};
use swarmllm_actors::shard_worker::ShardWorker;
use swarmllm_actors::shard_worker::guide::AnswerVocabulary;
use swarmllm_models::kv::PAGE_TOKENS;
use swarmllm_models::{
    DeviceChoice, KvType, LoadProgress, Model, RunProfile, Shard, ShardError, ShardOptions,
};
use swarmllm_protocol::admission::Admission;
use swarmllm_protocol::connection::{PreSharedKey, PreSharedKeys};
use swarmllm_protocol::dht_datagram::DatagramKeys;
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::{LayerRange, ModelId};
use swarmllm_protocol::invite::{INVITE_PREFIX, InviteCode, InviteError};
use swarmllm_protocol::kademlia::DhtSettings;
use swarmllm_protocol::lan_beacon;
use swarmllm_protocol::wire::{CacheType, Profile, ShardOffer};

use tokio::sync::watch;

use super::cache_budget::{self, ShardCache};
use super::interfaces;
use super::{NodeError, NodeOptions};
use crate::config::byte_size::ByteSize;
use crate::loading;
use crate::service;

/// Name and version that peers see.
const AGENT: &str = concat!("swarmllm/", env!("CARGO_PKG_VERSION"));
/// File of the peer cache inside the data folder.
const PEER_CACHE_FILE: &str = "peers.cache";
/// What the secret of the peer cache is derived for.
const PEER_CACHE_PURPOSE: &str = "swarmllm 2026-11 places in the peer cache";
/// Ports that the system may offer until one is free for TCP and UDP alike.
const PORTS_TRIED: usize = 32;

/// Everything needed to build the tree, as often as it takes.
pub(super) struct TreePlan {
    pub(super) options: NodeOptions,
    pub(super) identity: Arc<Identity>,
    pub(super) joins: Vec<PeerSeen>,
    pub(super) clock: Clock,
    pub(super) traffic: Arc<RowTraffic>,
}

/// The members of a running tree.
#[derive(Clone)]
pub(super) struct NodeTree {
    pub(super) net: ArbiterHandle,
    /// The DHT's own thread: a flood of datagrams delays no token.
    pub(super) dht: ArbiterHandle,
    /// Where the invite keeper waits for the disk.
    pub(super) invite_thread: ArbiterHandle,
    pub(super) event_log: Addr<EventLog>,
    pub(super) model_store: Addr<ModelStore>,
    pub(super) directory: Addr<PeerDirectory>,
    pub(super) invite_keeper: Addr<InviteKeeper>,
    pub(super) dialer: Addr<Dialer>,
    pub(super) listener: Addr<Listener>,
    pub(super) dht_socket: Addr<DhtSocket>,
    pub(super) dht_router: Addr<DhtRouter>,
    pub(super) kv_cache_store: Addr<KvCacheStore>,
    pub(super) scheduler: Addr<BatchScheduler>,
    pub(super) shard_workers: Vec<Addr<ShardWorker>>,
}

impl NodeTree {
    /// Whether every member is alive.
    pub(super) fn has_all_members(&self) -> bool {
        self.ended_member().is_none()
    }

    /// What a generation needs to know of the others.
    pub(super) fn generation_links(&self) -> GenerationLinks {
        GenerationLinks {
            candidates: self.directory.clone().recipient(),
            find_session: self.directory.clone().recipient(),
            find_providers: self.dht_router.clone().recipient(),
            seen: self.directory.clone().recipient(),
            open: self.scheduler.clone().recipient(),
            rows: self.scheduler.clone().recipient(),
            cancel: self.scheduler.clone().recipient(),
            events: self.event_log.clone().recipient(),
        }
    }
}

impl Tree for NodeTree {
    fn ended_member(&self) -> Option<&'static str> {
        let members = [
            ("event_log", self.event_log.connected()),
            ("model_store", self.model_store.connected()),
            ("peer_directory", self.directory.connected()),
            ("invite_keeper", self.invite_keeper.connected()),
            ("dialer", self.dialer.connected()),
            ("listener", self.listener.connected()),
            ("dht_socket", self.dht_socket.connected()),
            ("dht_router", self.dht_router.connected()),
            ("kv_cache_store", self.kv_cache_store.connected()),
            ("batch_scheduler", self.scheduler.connected()),
            ("shard_worker", self.shard_workers.iter().all(Addr::connected)),
        ];
        members.into_iter().find(|(_, is_alive)| !is_alive).map(|(member, _)| member)
    }

    fn events(&self) -> Recipient<Record> {
        self.event_log.clone().recipient()
    }

    fn stop(&self) {
        self.net.stop();
        self.dht.stop();
        self.invite_thread.stop();
    }
}

/// The sockets of a node: both on one port, ready for any runtime.
pub(super) struct Sockets {
    pub(super) tcp: TcpListener,
    pub(super) udp: UdpSocket,
    /// Where they are.
    pub(super) listen: SocketAddr,
}

/// Binds TCP and UDP; where the system chooses the port, one that is free for both.
pub(super) fn bind(address: SocketAddr) -> Result<Sockets, NodeError> {
    let mut tries_left = PORTS_TRIED;
    loop {
        tries_left -= 1;
        let is_taken = |error: &io::Error| error.kind() == io::ErrorKind::AddrInUse;
        match try_bind(address) {
            Err(error) if address.port() == 0 && tries_left > 0 && is_taken(&error) => {}
            // A machine without IPv6 has one family less to listen on.
            Err(error)
                if address.is_ipv6() && address.ip().is_unspecified() && !is_taken(&error) =>
            {
                return bind((Ipv4Addr::UNSPECIFIED, address.port()).into());
            }
            bound => return bound.map_err(|error| NodeError::Listen { address, error }),
        }
    }
}

fn try_bind(address: SocketAddr) -> io::Result<Sockets> {
    let tcp = TcpListener::bind(address)?;
    let listen = tcp.local_addr()?;
    let udp = UdpSocket::bind(listen)?;
    tcp.set_nonblocking(true)?;
    udp.set_nonblocking(true)?;
    Ok(Sockets { tcp, udp, listen })
}

/// Reads `--join` values: invite codes of this network that still hold, or addresses. A code whose
/// inviter this node is a member of already is as good as an address, used or past as it may be.
pub(super) fn parse_joins(
    options: &NodeOptions,
    admission: &Admission,
    now_unix_s: u64,
) -> Result<Vec<PeerSeen>, NodeError> {
    let parse = |text: &String| {
        let bad = |reason: String| NodeError::Join { text: without_secret(text), reason };
        if is_invite(text) {
            let code = InviteCode::parse(text).map_err(|error| bad(error.to_string()))?;
            let terms = code.terms();
            match code.check(&options.network, now_unix_s) {
                Err(InviteError::Expired { .. })
                    if admission.is_member_of(&terms.inviter, now_unix_s) => {}
                checked => checked.map_err(|error| bad(error.to_string()))?,
            }
            return Ok(PeerSeen {
                peer: Some(terms.inviter),
                addresses: terms.addresses.clone(),
                via: Via::Invite,
                invite: Some(PreSharedKey::new(terms.id.0, *code.psk())),
            });
        }
        // A name is asked for on the internet, which an offline node does not use.
        if options.offline && text.parse::<SocketAddr>().is_err() {
            return Err(bad("in offline mode a place is given as swarm://... or IP:PORT".into()));
        }
        let addresses: Vec<SocketAddr> = std::net::ToSocketAddrs::to_socket_addrs(text.as_str())
            .map_err(|error| bad(format!("neither swarm://... nor HOST:PORT ({error})")))?
            .collect();
        Ok(PeerSeen { peer: None, addresses, via: Via::Join, invite: None })
    };
    options.join.iter().map(parse).collect()
}

fn is_invite(text: &str) -> bool {
    let prefix = text.trim_start().get(..INVITE_PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(INVITE_PREFIX))
}

/// A `--join` value for messages: a code is a key, so its beginning must do.
fn without_secret(text: &str) -> String {
    if !is_invite(text) {
        return text.to_owned();
    }
    let beginning: String = text.trim_start().chars().take(2 * INVITE_PREFIX.len()).collect();
    format!("{beginning}...")
}

/// Loads the shards and starts every actor.
///
/// # Errors
/// When a model's layers can't be loaded.
pub(super) fn build(plan: &TreePlan, sockets: Sockets) -> Result<NodeTree, NodeError> {
    let loaded = load_models(plan)?;
    let Sockets { tcp, udp, listen } = sockets;
    let net = Arbiter::new().handle();
    let event_log = EventLog::start_in_arbiter(&net, |_| EventLog::default());
    for model in &loaded.models {
        let layers = [model.layers.start, model.layers.end];
        let bytes = model.model.layer_bytes().into_iter().enumerate();
        let held = bytes.filter(|(index, _)| model.layers.contains(*index as u32));
        let bytes = held.map(|(_, bytes)| bytes).sum();
        let event = Event::ShardLoaded { model: model.name.clone(), layers, bytes };
        offer_to(&event_log, Record(event));
    }
    let offers: Vec<ShardOffer> = loaded.models.iter().map(offer_of).collect();
    let models = loaded.models;
    let held = models.iter().map(|model| (model.id, model.layers)).collect();
    let model_store = ModelStore::start_in_arbiter(&net, move |_| ModelStore::new(models));
    let directory = start_directory(plan, &net, &event_log, listen, offers);
    let pages = loaded.pages;
    let kv_cache_store = KvCacheStore::start_in_arbiter(&net, move |_| KvCacheStore::new(&pages));
    let mut shard_workers = Vec::new();
    let mut shards = Vec::new();
    for (facts, vocabulary, worker) in loaded.shards {
        let worker = ShardWorker::start_in_arbiter(&net, move |_| worker);
        shards.push((facts, vocabulary, worker.clone().recipient()));
        shard_workers.push(worker);
    }
    let links = SchedulerLinks {
        attach: kv_cache_store.clone().recipient(),
        trim: kv_cache_store.clone().recipient(),
        prepare: kv_cache_store.clone().recipient(),
        computed: kv_cache_store.clone().recipient(),
        detach: kv_cache_store.clone().recipient(),
        find_session: directory.clone().recipient(),
    };
    let limits = plan.options.limits;
    let scheduler =
        BatchScheduler::start_in_arbiter(&net, move |_| BatchScheduler::new(shards, limits, links));
    let (invite_thread, invites) = start_invite_keeper(plan, &event_log)?;
    let settings = SessionSettings {
        identity: Arc::clone(&plan.identity),
        network: plan.options.network.clone(),
        is_offline: plan.options.offline,
        accepted_keys: invites.keys,
        clock: plan.clock,
        links: SessionLinks {
            opened: directory.clone().recipient(),
            closed: vec![directory.clone().recipient(), scheduler.clone().recipient()],
            reported: directory.clone().recipient(),
            open: scheduler.clone().recipient(),
            rows: scheduler.clone().recipient(),
            cancel: scheduler.clone().recipient(),
            drained: scheduler.clone().recipient(),
            events: event_log.clone().recipient(),
            invites: InviteLinks {
                redeem: invites.keeper.clone().recipient(),
                renew: invites.keeper.clone().recipient(),
                keep: invites.keeper.clone().recipient(),
                keep_revocations: invites.keeper.clone().recipient(),
                admission: invites.admission.clone(),
            },
            memory: SessionMemory::new(cache_budget::of_sessions(service::available_bytes())),
            traffic: Arc::clone(&plan.traffic),
        },
    };
    let for_dialer = settings.clone();
    let failed = directory.clone().recipient();
    let dialer = Dialer::start_in_arbiter(&net, move |_| Dialer::new(for_dialer, failed));
    offer_to(&directory, AttachDialer(dialer.clone().recipient()));
    let listener = Listener::start_in_arbiter(&net, move |_| Listener::new(tcp, settings));
    let dht = Arbiter::new().handle();
    let (dht_socket, dht_router) = start_dht(plan, &dht, (udp, listen), held);
    offer_to(&directory, AttachDht(dht_router.clone().recipient()));
    for mut seen in plan.joins.clone() {
        let admission = invites.admission.borrow();
        // A code is redeemed once; then the certificate is what counts.
        if seen.peer.is_some_and(|inviter| admission.is_member_of(&inviter, clock::unix_s())) {
            seen.invite = None;
        }
        offer_to(&directory, seen);
    }
    if plan.options.mdns && !listen.ip().is_loopback() {
        start_beacon(plan, &net, listen, &directory);
    }
    Ok(NodeTree {
        net,
        dht,
        invite_thread,
        event_log,
        model_store,
        directory,
        invite_keeper: invites.keeper,
        dialer,
        listener,
        dht_socket,
        dht_router,
        kv_cache_store,
        scheduler,
        shard_workers,
    })
}

fn start_directory(
    plan: &TreePlan,
    net: &ArbiterHandle,
    event_log: &Addr<EventLog>,
    listen: SocketAddr,
    offers: Vec<ShardOffer>,
) -> Addr<PeerDirectory> {
    let cache_path = plan.options.data_dir.join(PEER_CACHE_FILE);
    let secret = plan.identity.derive_secret(PEER_CACHE_PURPOSE);
    let cache = peer_directory::load_cache(&cache_path, secret);
    let facts = SelfFacts {
        identity: Arc::clone(&plan.identity),
        network: plan.options.network.clone(),
        agent: AGENT.to_owned(),
        listen,
        interfaces: Arc::new(move || interfaces::announced_addresses(listen)),
        offers,
        exchange: plan.options.exchange,
        is_offline: plan.options.offline,
        cache_path,
    };
    let (events, clock) = (event_log.clone().recipient(), plan.clock);
    PeerDirectory::start_in_arbiter(net, move |_| PeerDirectory::new(facts, cache, events, clock))
}

fn start_dht(
    plan: &TreePlan,
    dht: &ArbiterHandle,
    (udp, listen): (UdpSocket, SocketAddr),
    shards: Vec<(ModelId, LayerRange)>,
) -> (Addr<DhtSocket>, Addr<DhtRouter>) {
    let (network, offline, clock) =
        (plan.options.network.clone(), plan.options.offline, plan.clock);
    let keys = DatagramKeys::new(&plan.identity, network.clone());
    let socket =
        DhtSocket::start_in_arbiter(dht, move |_| DhtSocket::new(udp, keys, offline, clock));
    let facts = DhtFacts {
        identity: Arc::clone(&plan.identity),
        network,
        addresses: interfaces::announced_addresses(listen),
        own_ips: interfaces::ips(),
        shards,
        offline,
        settings: DhtSettings::default(),
    };
    let links = DhtLinks { ask: socket.clone().recipient(), answer: socket.clone().recipient() };
    let router = DhtRouter::start_in_arbiter(dht, move |_| DhtRouter::new(facts, links, clock));
    let (answered, asked) = (router.clone().recipient(), router.clone().recipient());
    offer_to(&socket, AttachRouter { answered, asked });
    (socket, router)
}

/// The invite keeper, and what sessions need of it.
struct Invites {
    keeper: Addr<InviteKeeper>,
    keys: PreSharedKeys,
    admission: watch::Receiver<Admission>,
}

/// The rules of admission, before this node is a member anywhere.
pub(super) fn rules(options: &NodeOptions, identity: &Identity) -> Admission {
    Admission::new(identity.peer_id(), options.network.clone(), options.admission)
}

fn start_invite_keeper(
    plan: &TreePlan,
    event_log: &Addr<EventLog>,
) -> Result<(ArbiterHandle, Invites), NodeError> {
    let (identity, options) = (Arc::clone(&plan.identity), &plan.options);
    let rules = rules(options, &identity);
    let events = event_log.clone().recipient();
    let keeper = InviteKeeper::open(identity, &options.data_dir, rules, events)?;
    let (keys, admission) = (keeper.keys(), keeper.admission());
    let thread = Arbiter::new().handle();
    let keeper = InviteKeeper::start_in_arbiter(&thread, move |_| keeper);
    Ok((thread, Invites { keeper, keys, admission }))
}

/// A network without multicast is no reason not to serve.
fn start_beacon(
    plan: &TreePlan,
    net: &ArbiterHandle,
    listen: SocketAddr,
    directory: &Addr<PeerDirectory>,
) {
    let fingerprint = lan_beacon::fingerprint(&plan.options.network, None);
    let links =
        BeaconLinks { seen: directory.clone().recipient(), failed: directory.clone().recipient() };
    let facts = BeaconFacts { listen, fingerprint, subnets: Arc::new(interfaces::subnets) };
    match LanBeacon::new(facts, plan.clock, links) {
        Ok(beacon) => {
            LanBeacon::start_in_arbiter(net, move |_| beacon);
        }
        Err(error) => {
            tracing::warn!(%error, "no mDNS: other nodes on this network won't find this one");
            let reason = format!("no mDNS here: {error}");
            offer_to(directory, LayerFailed { via: Via::Mdns, reason });
        }
    }
}

struct Loaded {
    models: Vec<OpenModel>,
    shards: Vec<(ShardFacts, AnswerVocabulary, ShardWorker)>,
    /// KV pages of each shard.
    pages: Vec<ShardPages>,
}

/// Loads one model's layers: a line of progress for whoever watches, a line in the log at the end.
fn load_shard(
    name: &str,
    model: &Model,
    layers: LayerRange,
    options: &ShardOptions,
) -> Result<Shard, ShardError> {
    let range = layers.start..layers.end;
    let begin = Instant::now();
    let shard = loading::shown(name, &options.progress, model.weight_bytes(range.clone()), || {
        Shard::load(model, range, options)
    })?;
    let (bytes, seconds) = (shard.weight_bytes(), begin.elapsed().as_secs_f64());
    let seconds = format_args!("{seconds:.1}");
    tracing::info!(model = name, %layers, bytes, seconds, "loaded");
    Ok(shard)
}

/// The layers that a model is loaded with.
fn held_layers(model: &Model, layers: Option<LayerRange>) -> LayerRange {
    layers.unwrap_or(LayerRange { start: 0, end: model.config().n_layers })
}

/// Pages of every model's cache, in order.
fn cache_pages(options: &NodeOptions) -> Vec<u32> {
    let on_cpu = options.shard.device == DeviceChoice::Cpu;
    // Other devices keep floats, and take all of the memory at once.
    let kind = if on_cpu { options.shard.kv } else { KvType::F32 };
    let available = if on_cpu { service::available_bytes() } else { Some(0) };
    let of_model = |(_, model, layers): &(String, Model, Option<LayerRange>)| {
        let LayerRange { start, end } = held_layers(model, *layers);
        let context = model.config().context_length;
        ShardCache { page_bytes: model.page_bytes(start..end, kind), context }
    };
    let shards: Vec<ShardCache> = options.models.iter().map(of_model).collect();
    let pages = cache_budget::pages(options.cache_memory.map(|size| size.0), available, &shards);
    let bytes = pages.iter().zip(&shards).map(|(n, shard)| u64::from(*n) * shard.page_bytes).sum();
    let positions: u64 = pages.iter().map(|n| u64::from(*n) * u64::from(PAGE_TOKENS)).sum();
    tracing::info!(
        memory = %ByteSize(bytes), r#type = %options.shard.kv, positions,
        "caches: memory is taken as sequences use it"
    );
    pages
}

fn load_models(plan: &TreePlan) -> Result<Loaded, NodeError> {
    let mut loaded = Loaded { models: Vec::new(), shards: Vec::new(), pages: Vec::new() };
    let pages = cache_pages(&plan.options);
    for ((name, model, layers), kv_pages) in plan.options.models.iter().zip(pages) {
        let failed = |reason: String| NodeError::Model { name: name.clone(), reason };
        if loaded.models.iter().any(|other| other.name == *name) {
            return Err(failed("given twice; give each model once".into()));
        }
        let config = model.config();
        let layers = held_layers(model, *layers);
        // Each model's progress is its own.
        let progress = LoadProgress::default();
        let options = ShardOptions { kv_pages, progress, ..plan.options.shard.clone() };
        let shard =
            load_shard(name, model, layers, &options).map_err(|error| failed(error.to_string()))?;
        let id = ModelId(model.content_id());
        let profile = options.profile;
        let facts = ShardFacts {
            model: id,
            layers,
            n_layers: config.n_layers,
            context: config.context_length,
            vocab: config.vocab,
            hidden: config.hidden,
            profile: wire_profile(profile),
            cache: wire_cache(options.kv),
            n_pages: options.kv_pages,
        };
        let keeps_states = shard.keeps_states();
        let worker = ShardWorker::new(shard).map_err(|error| failed(error.to_string()))?;
        loaded.pages.push(ShardPages { n_pages: kv_pages, keeps_states });
        let tokenizer = model.tokenizer().map_err(|error| failed(error.to_string()))?;
        let tokenizer = Arc::new(tokenizer);
        let vocabulary = AnswerVocabulary::new(Arc::clone(&tokenizer));
        loaded.shards.push((facts, vocabulary, worker));
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        loaded.models.push(OpenModel {
            name: name.clone(),
            id,
            layers,
            model: model.clone(),
            tokenizer,
            template: model.chat_template().ok().map(Arc::new),
            profile,
            cache: options.kv,
            created_unix_s: created.as_secs(),
        });
    }
    Ok(loaded)
}

fn offer_of(model: &OpenModel) -> ShardOffer {
    ShardOffer {
        model: model.id,
        model_name: model.name.clone(),
        n_layers: model.n_layers(),
        layers: model.layers,
    }
}

/// The engine's profile in the wire's words.
pub(super) fn wire_profile(profile: RunProfile) -> Profile {
    match profile {
        RunProfile::F32 => Profile::F32,
        RunProfile::F16 => Profile::F16,
    }
}

/// How the engine keeps keys and values, in the wire's words.
pub(super) fn wire_cache(cache: KvType) -> CacheType {
    match cache {
        KvType::F32 => CacheType::F32,
        KvType::F16 => CacheType::F16,
        KvType::Q8_0 => CacheType::Q8,
    }
}
