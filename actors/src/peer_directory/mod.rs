//! The peer directory: who is known, where they listen, which session is open, what they offer.
//!
//! Hears of peers from the user, `lan_beacon`, `peer_session` and other peers; asks `dialer` for
//! connections and answers `generation` and `batch_scheduler`. What may be believed, remembered and
//! dialled is decided by `swarmllm_protocol::peer_book`, how many sessions by `policy.rs`.
//! `dialing.rs` connects, `sessions.rs` keeps what is connected, `reports.rs` hears what peers say
//! and tells them of others, `own_record.rs` says where this node is, `questions.rs` answers,
//! `store.rs` is the file. Everything a peer says is bounded before it is kept.

mod dialing;
mod known;
mod layers;
mod messages;
mod own_record;
pub mod policy;
mod questions;
mod reports;
mod sessions;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Recipient, ResponseFuture, WrapFuture,
};
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::{NetworkId, PeerId};
use swarmllm_protocol::observed::ObservedAddresses;
use swarmllm_protocol::peer_book::{BookOwner, PeerBook};
use swarmllm_protocol::peer_cache::{Heard, Now, PeerCache};
use swarmllm_protocol::wire::ShardOffer;

pub use messages::{
    AttachDht, AttachDialer, Candidates, DialFailed, FindCandidates, FindSession, FindSessionError,
    GetPeers, GetReachability, LayerFailed, LayerReport, PeerRecord, PeerSeen, PeerState,
    PeerTarget, Reachability, SaveCache, Via,
};
pub use store::load_cache;

use crate::clock::{self, Clock};
use crate::dht_router::PeerReachable;
use crate::dialer::Dial;
use crate::event_log::Record;
use crate::mailbox;
use known::{Attempts, Known, Stranger};
use layers::Layers;
use own_record::OwnRecord;
use store::CacheFile;

/// How often unconnected peers are looked through.
const MAINTAIN_EVERY: Duration = Duration::from_millis(250);
/// How often it is looked whether there is news to tell; a new peer's are told at once.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How often sessions that nobody needs are let go, and this node's own record looked at.
const TIDY_EVERY: Duration = Duration::from_secs(5);
/// How often what is remembered is written, if it changed.
const SAVE_EVERY: Duration = Duration::from_secs(3);
/// How often those that stay connected are noted as such.
const NOTE_EVERY: Duration = Duration::from_secs(300);
/// Places of unknown peers remembered at once; a person's come in any case.
const STRANGERS_MAX: usize = 128;

/// What the directory knows of this node.
#[derive(Clone)]
pub struct SelfFacts {
    /// Signs this node's record.
    pub identity: Arc<Identity>,
    /// Which swarm.
    pub network: NetworkId,
    /// The program's name and version, for people.
    pub agent: String,
    /// Where it listens; an unspecified address means "where you see me".
    pub listen: SocketAddr,
    /// Where that is on the interfaces of this machine; they come and go.
    pub interfaces: Arc<dyn Fn() -> Vec<SocketAddr> + Send + Sync>,
    /// What it holds.
    pub offers: Vec<ShardOffer>,
    /// Tell peers of each other, and hear of others from them.
    pub exchange: bool,
    /// Never leave private ranges.
    pub is_offline: bool,
    /// Where the peer cache is kept.
    pub cache_path: PathBuf,
}

/// The actor.
pub struct PeerDirectory {
    local: PeerId,
    facts: SelfFacts,
    peers: BTreeMap<PeerId, Known>,
    /// Places whose peer is not known yet, by their first address.
    strangers: BTreeMap<SocketAddr, Stranger>,
    book: PeerBook,
    /// Those that were remembered when this node started.
    restored: BTreeSet<PeerId>,
    own: OwnRecord,
    observed: ObservedAddresses,
    layers: Layers,
    file: CacheFile,
    is_saving: bool,
    /// When a session was opened last.
    connected_ms: Option<u64>,
    tested_ms: u64,
    dialer: Option<Recipient<Dial>>,
    dht: Option<Recipient<PeerReachable>>,
    events: Recipient<Record>,
    clock: Clock,
}

impl PeerDirectory {
    /// A directory that begins with what is remembered.
    pub fn new(
        facts: SelfFacts,
        cache: PeerCache,
        events: Recipient<Record>,
        clock: Clock,
    ) -> PeerDirectory {
        let (local, network) = (facts.identity.peer_id(), facts.network.clone());
        let owner = BookOwner { peer: local, network, is_offline: facts.is_offline };
        let restored: BTreeSet<PeerId> = cache.peers().map(|known| known.peer).collect();
        let mut layers = Layers::default();
        layers.found(Via::Cache, restored.len());
        PeerDirectory {
            local,
            file: CacheFile::new(facts.cache_path.clone()),
            facts,
            peers: BTreeMap::new(),
            strangers: BTreeMap::new(),
            book: PeerBook::new(owner, cache),
            restored,
            own: OwnRecord::default(),
            observed: ObservedAddresses::default(),
            layers,
            is_saving: false,
            connected_ms: None,
            tested_ms: clock.now_ms(),
            dialer: None,
            dht: None,
            events,
            clock,
        }
    }

    fn now(&self) -> Now {
        Now { ms: self.clock.now_ms(), unix_s: clock::unix_s() }
    }

    /// Peers with a session.
    fn connected(&self) -> impl Iterator<Item = (&PeerId, &Known)> {
        self.peers.iter().filter(|(_, known)| known.session.is_some())
    }

    /// Sessions wanted, by how many peers are known.
    fn wanted(&self) -> usize {
        let remembered = self.book.cache().peers().map(|known| known.peer);
        let met = self.peers.keys().copied();
        let known: BTreeSet<PeerId> = remembered.chain(met).collect();
        let unknown = self.strangers.values().filter(|stranger| stranger.peer.is_none());
        policy::wanted(known.len() + unknown.count())
    }

    /// Writes what is remembered, if it changed and is not being written already.
    fn save(&mut self, ctx: &mut Context<Self>) {
        if self.is_saving || !self.book.take_changed() {
            return;
        }
        self.is_saving = true;
        let written = self.write_cache();
        ctx.spawn(written.into_actor(self).map(|(), directory, _| directory.is_saving = false));
    }

    /// Writes it on a thread that may wait for a disk.
    fn write_cache(&self) -> impl Future<Output = ()> + use<> {
        let (file, bytes) = (self.file.clone(), self.book.cache().to_bytes());
        async move {
            match tokio::task::spawn_blocking(move || file.write(&bytes)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::warn!(%error, "the peer cache can't be written"),
                Err(error) => tracing::error!(%error, "writing the peer cache broke off"),
            }
        }
    }

    /// Whoever has been connected longest comes first after a start.
    fn note_connected(&mut self, _: &mut Context<Self>) {
        let mut longest: Vec<(u64, PeerId)> = self
            .connected()
            .filter_map(|(peer, known)| Some((known.session.as_ref()?.opened_ms, *peer)))
            .collect();
        longest.sort_unstable();
        let longest: Vec<PeerId> = longest.into_iter().map(|(_, peer)| peer).collect();
        self.book.still_connected(&longest, self.now());
    }
}

impl Actor for PeerDirectory {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::PEER_DIRECTORY);
        self.refresh_own_record();
        ctx.run_interval(MAINTAIN_EVERY, |directory, _| directory.maintain());
        ctx.run_interval(TELL_EVERY, |directory, _| directory.tell_news());
        ctx.run_interval(TIDY_EVERY, |directory, _| {
            directory.refresh_own_record();
            directory.let_go();
        });
        ctx.run_interval(SAVE_EVERY, Self::save);
        ctx.run_interval(NOTE_EVERY, Self::note_connected);
    }
}

impl Handler<AttachDialer> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, AttachDialer(dialer): AttachDialer, _: &mut Self::Context) {
        self.dialer = Some(dialer);
        self.maintain();
    }
}

impl Handler<AttachDht> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, AttachDht(dht): AttachDht, _: &mut Self::Context) {
        self.dht = Some(dht);
    }
}

impl Handler<PeerSeen> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, seen: PeerSeen, _: &mut Self::Context) {
        let PeerSeen { peer, mut addresses, via, invite } = seen;
        let own = self.own.addresses();
        addresses.retain(|address| !own.contains(address));
        addresses.truncate(policy::ADDRESSES_MAX);
        let Some(first) = addresses.first().copied() else { return };
        match peer {
            Some(peer) if peer == self.local => return,
            Some(peer) if matches!(via, Via::Join | Via::Invite | Via::Mdns) => {
                self.layers.found(via, 1);
                let known = self.peers.entry(peer).or_insert_with(|| Known::new(via));
                known.is_named = true;
                known.invite = invite.or(known.invite.take());
                known.add_addresses(&addresses);
            }
            Some(peer) => {
                let (method, source, source_ip) = (via.method(), peer, first.ip());
                let addresses = &addresses[..];
                let heard = Heard { peer, addresses, sequence: 0, method, source, source_ip };
                let is_new = self.book.hear(heard, self.now());
                self.layers.found(via, usize::from(is_new));
            }
            None => self.stranger_seen(first, addresses, via),
        }
        self.maintain();
    }
}

impl Handler<LayerFailed> for PeerDirectory {
    type Result = ();

    fn handle(&mut self, failed: LayerFailed, _: &mut Self::Context) {
        self.layers.failed(failed.via, &failed.reason);
    }
}

impl Handler<SaveCache> for PeerDirectory {
    type Result = ResponseFuture<()>;

    fn handle(&mut self, _: SaveCache, ctx: &mut Self::Context) -> Self::Result {
        self.note_connected(ctx);
        Box::pin(self.write_cache())
    }
}

impl PeerDirectory {
    /// Somebody may be at these addresses; a place that is known already says nothing new.
    fn stranger_seen(&mut self, first: SocketAddr, addresses: Vec<SocketAddr>, via: Via) {
        let is_full = self.strangers.len() >= STRANGERS_MAX && via != Via::Join;
        if is_full || self.strangers.contains_key(&first) {
            return;
        }
        self.layers.found(via, 1);
        let attempts = Attempts::default();
        self.strangers.insert(first, Stranger { via, addresses, peer: None, attempts });
    }
}
