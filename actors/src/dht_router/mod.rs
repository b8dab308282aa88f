//! The DHT's router: lookups, records kept for others, announcements of this node's own layers.
//!
//! The state machine is `swarmllm_protocol::kademlia::Router`; this actor carries its wishes to
//! `dht_socket` and to one `dht_bucket` per non-empty bucket, and wakes it. `peer_directory` tells
//! it of peers whose session is open; `generation` asks who provides a model.
//! A bucket that ended unasked ends the router, and the supervisor replaces the tree.

mod announce;
mod messages;
pub mod policy;
mod search;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use actix::{
    Actor, ActorContext, Addr, AsyncContext, Context, Handler, MessageResult, Recipient,
    ResponseFuture,
};
use swarmllm_protocol::address;
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::{LayerRange, ModelId, NetworkId};
use swarmllm_protocol::kademlia::router::Now;
use swarmllm_protocol::kademlia::{
    Bucket, BucketIndex, BucketNews, Contact, DhtSettings, LookupId, LookupOutcome, ProviderFacts,
    ProviderRecord, Router, RouterOutput, provider_keys,
};
use swarmllm_protocol::limits::PROVIDER_RECORD_LIFETIME_MAX_S;
use tokio::sync::oneshot;

pub use messages::{DhtStatus, FindProviders, GetDhtStatus, PeerReachable};

use crate::clock::{self, Alarm, Clock};
use crate::dht_bucket::{BucketEmpty, BucketWants, DhtBucket, News};
use crate::dht_socket::{Answered, Ask, Asked, SendAnswer};
use crate::entropy;
use crate::mailbox::{self, offer, offer_to};
use announce::Announcements;
use search::Searches;

/// How long a search for providers goes on; then it answers with what it has.
const SEARCH_DEADLINE: Duration = Duration::from_secs(4);
/// Providers of one part of a model that are enough.
const ENOUGH_PROVIDERS: usize = 16;

/// What the router knows of this node.
#[derive(Clone)]
pub struct DhtFacts {
    /// Signs its provider records.
    pub identity: Arc<Identity>,
    /// Which swarm.
    pub network: NetworkId,
    /// Where others reach it, best first.
    pub addresses: Vec<SocketAddr>,
    /// Every address of this host: one that others see and that is not here is a router's.
    pub own_ips: Vec<IpAddr>,
    /// What it holds.
    pub shards: Vec<(ModelId, LayerRange)>,
    /// Never leave private ranges.
    pub offline: bool,
    /// The numbers of the table.
    pub settings: DhtSettings,
}

/// Whom the router talks to.
#[derive(Debug, Clone)]
pub struct DhtLinks {
    /// dht_socket.
    pub ask: Recipient<Ask>,
    /// dht_socket.
    pub answer: Recipient<SendAnswer>,
}

struct BucketSlot {
    bucket: Addr<DhtBucket>,
    /// News that it was told of.
    told: u64,
}

#[derive(Default)]
struct Counts {
    answered: u64,
    lookups_done: u64,
    lookups_failed: u64,
    last_error: Option<String>,
}

/// The actor.
pub struct DhtRouter {
    facts: DhtFacts,
    router: Router,
    is_server: bool,
    buckets: BTreeMap<BucketIndex, BucketSlot>,
    announcements: Announcements,
    entrances: policy::Entrances,
    searches: Searches,
    heard: policy::Heard,
    counts: Counts,
    links: DhtLinks,
    alarm: Alarm,
    clock: Clock,
}

impl DhtRouter {
    /// A router with an empty table.
    pub fn new(facts: DhtFacts, links: DhtLinks, clock: Clock) -> DhtRouter {
        let (peer, network) = (facts.identity.peer_id(), facts.network.clone());
        DhtRouter {
            router: Router::new(peer, network, facts.settings, entropy::bytes()),
            is_server: facts.settings.is_server,
            announcements: Announcements::new(&facts.shards),
            entrances: policy::Entrances::default(),
            buckets: BTreeMap::new(),
            searches: Searches::default(),
            heard: policy::Heard::default(),
            counts: Counts::default(),
            facts,
            links,
            alarm: Alarm::default(),
            clock,
        }
    }

    fn now(&self) -> Now {
        Now { ms: self.clock.now_ms(), unix_s: clock::unix_s() }
    }

    /// Carries out what the state machine wants.
    fn drive(&mut self, ctx: &mut Context<Self>) {
        while let Some(output) = self.router.poll_output() {
            match output {
                RouterOutput::Send { to, request_id, request } => {
                    offer(&self.links.ask, Ask { request_id, to, request });
                }
                RouterOutput::Bucket { index, news } => self.tell_bucket(index, news, ctx),
                RouterOutput::Found { lookup, records } => {
                    self.searches.found(lookup, &records, self.facts.identity.peer_id());
                }
                RouterOutput::Finished { lookup, outcome } => self.ended(lookup, &outcome),
            }
        }
        let is_empty = self.router.listed() == 0;
        if !is_empty {
            self.announcements.table_has_contacts(self.clock.now_ms());
        }
        let again_ms = self.entrances.next_ms().filter(|_| is_empty);
        let wakeups = [self.router.next_wakeup_ms(), self.announcements.next_ms(), again_ms];
        self.alarm.set(self.clock, wakeups.into_iter().flatten().min(), ctx, Self::wake);
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        self.alarm.rang();
        let now = self.now();
        self.router.handle_wakeup(now);
        if self.router.listed() == 0 {
            self.router.handle_contacts(&self.entrances.take_due(now.ms));
        }
        let random = u64::from_le_bytes(entropy::bytes());
        for (index, model, layers) in self.announcements.take_due(now.ms, random) {
            // Nobody could open a session with a node that nobody reaches.
            if self.is_server {
                self.announce(now, index, model, layers);
            }
        }
        self.drive(ctx);
    }

    fn announce(&mut self, now: Now, index: usize, model: ModelId, layers: LayerRange) {
        let facts = ProviderFacts {
            peer: self.facts.identity.peer_id(),
            model,
            layers,
            capacity_class: 0,
            sequence: now.unix_s,
            expires_at_unix_s: now.unix_s + PROVIDER_RECORD_LIFETIME_MAX_S,
            addresses: policy::record_addresses(&self.facts.addresses),
        };
        match ProviderRecord::sign(&self.facts.identity, &self.facts.network, facts) {
            Ok(record) => {
                for key in provider_keys(&model, layers) {
                    let lookup = self.router.announce(now, key, &record);
                    self.announcements.begun(lookup, index);
                }
            }
            Err(error) => self.counts.last_error = Some(error.to_string()),
        }
    }

    fn ended(&mut self, lookup: LookupId, outcome: &LookupOutcome) {
        let now_ms = self.clock.now_ms();
        // This node may be near its own record's key, which alone helps nobody.
        let kept_by = if outcome.nearest.is_empty() { 0 } else { outcome.holders };
        let failure = if self.announcements.ended(lookup, kept_by, now_ms) {
            (kept_by == 0).then_some("nobody kept a record of this node's layers")
        } else if let Some(model) = self.searches.ended(lookup) {
            self.searches.finish(&model, now_ms);
            None
        } else {
            outcome.nearest.is_empty().then_some("nobody answered")
        };
        match failure {
            Some(reason) => {
                self.counts.lookups_failed += 1;
                self.counts.last_error = Some(reason.to_owned());
            }
            None => self.counts.lookups_done += 1,
        }
    }

    fn tell_bucket(&mut self, index: BucketIndex, news: BucketNews, ctx: &mut Context<Self>) {
        let (settings, clock) = (&self.facts.settings, self.clock);
        let slot = self.buckets.entry(index).or_insert_with(|| {
            let (wants, empty) = (ctx.address().recipient(), ctx.address().recipient());
            let bucket = DhtBucket::new(index, Bucket::new(settings), wants, empty, clock);
            BucketSlot { bucket: bucket.start(), told: 0 }
        });
        if offer_to(&slot.bucket, News(news)) {
            slot.told += 1;
        } else if !slot.bucket.connected() {
            tracing::error!(?index, "a bucket ended");
            ctx.stop();
        }
    }

    fn find_providers(&mut self, find: &FindProviders, ctx: &mut Context<Self>) -> Option<Waited> {
        let now = self.now();
        if let Some(facts) = self.searches.remembered(&find.model, now.ms) {
            return Some(Waited::Known(facts));
        }
        let (waiting, answer) = oneshot::channel();
        let Err(waiting) = self.searches.join(&find.model, waiting) else {
            return Some(Waited::Later(answer));
        };
        if self.router.listed() == 0 || !self.searches.has_room() {
            return None;
        }
        let layers = LayerRange { start: 0, end: find.n_layers };
        let keys = provider_keys(&find.model, layers);
        let lookups: Vec<LookupId> = keys
            .into_iter()
            .map(|key| self.router.find_providers(now, key, ENOUGH_PROVIDERS))
            .collect();
        let first = *lookups.first()?;
        self.searches.begin(find.model, &lookups, waiting);
        let model = find.model;
        ctx.run_later(SEARCH_DEADLINE, move |router, ctx| {
            if !router.searches.is_running(&model, first) {
                return;
            }
            for lookup in router.searches.finish(&model, router.clock.now_ms()) {
                router.router.cancel(lookup);
                router.counts.lookups_failed += 1;
                router.counts.last_error = Some("a lookup took too long".into());
            }
            router.drive(ctx);
        });
        self.drive(ctx);
        Some(Waited::Later(answer))
    }
}

enum Waited {
    Known(Vec<ProviderFacts>),
    Later(oneshot::Receiver<Vec<ProviderFacts>>),
}

impl Actor for DhtRouter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::DHT_ROUTER);
    }
}

impl Handler<PeerReachable> for DhtRouter {
    type Result = ();

    fn handle(&mut self, reachable: PeerReachable, ctx: &mut Self::Context) {
        let PeerReachable { peer, addresses } = reachable;
        let offline = self.facts.offline;
        let may_ask = |address: &SocketAddr| {
            address::is_dialable(address) && (!offline || address::is_private(address.ip()))
        };
        let address = addresses.into_iter().find(may_ask);
        if let Some(address) = address {
            let contact = Contact { peer, address };
            self.router.handle_contacts(&[contact]);
            self.entrances.add(contact, self.clock.now_ms());
            self.drive(ctx);
        }
    }
}

impl Handler<Asked> for DhtRouter {
    type Result = ();

    fn handle(&mut self, asked: Asked, ctx: &mut Self::Context) {
        let Asked { from, request, reply } = asked;
        let response = self.router.handle_request(self.now(), from, &request);
        self.counts.answered += 1;
        offer(&self.links.answer, SendAnswer { to: from, response, reply });
        self.drive(ctx);
    }
}

impl Handler<Answered> for DhtRouter {
    type Result = ();

    fn handle(&mut self, answered: Answered, ctx: &mut Self::Context) {
        let Answered { request_id, response } = answered;
        self.heard.add(response.observed.ip());
        self.router.handle_response(self.now(), request_id, &response);
        let is_server = self.facts.settings.is_server
            && policy::is_server(&self.facts.own_ips, self.router.observed_address());
        if is_server != self.is_server {
            self.is_server = is_server;
            self.router.set_server(is_server);
        }
        self.drive(ctx);
    }
}

impl Handler<BucketWants> for DhtRouter {
    type Result = ();

    fn handle(&mut self, wants: BucketWants, ctx: &mut Self::Context) {
        self.router.handle_bucket(self.now(), wants.output);
        self.drive(ctx);
    }
}

impl Handler<BucketEmpty> for DhtRouter {
    type Result = ();

    fn handle(&mut self, empty: BucketEmpty, _: &mut Self::Context) {
        // News on their way will make it say so again, or not be empty any more.
        if self.buckets.get(&empty.index).is_some_and(|slot| slot.told == empty.heard) {
            self.buckets.remove(&empty.index);
        }
    }
}

impl Handler<FindProviders> for DhtRouter {
    type Result = ResponseFuture<Vec<ProviderFacts>>;

    fn handle(&mut self, find: FindProviders, ctx: &mut Self::Context) -> Self::Result {
        let waited = self.find_providers(&find, ctx);
        Box::pin(async move {
            match waited {
                Some(Waited::Known(facts)) => facts,
                Some(Waited::Later(answer)) => answer.await.unwrap_or_default(),
                None => Vec::new(),
            }
        })
    }
}

impl Handler<GetDhtStatus> for DhtRouter {
    type Result = MessageResult<GetDhtStatus>;

    fn handle(&mut self, _: GetDhtStatus, _: &mut Self::Context) -> Self::Result {
        MessageResult(DhtStatus {
            is_server: self.is_server,
            contacts: self.router.listed(),
            buckets: self.buckets.len(),
            answered: self.counts.answered,
            lookups_done: self.counts.lookups_done,
            lookups_failed: self.counts.lookups_failed,
            last_error: self.counts.last_error.clone(),
            records: self.router.kept_records(),
            announced: self.announcements.n_done(),
            holders: self.announcements.n_holders(),
            heard: self.heard.list(),
            observed: self.router.observed_address(),
        })
    }
}
