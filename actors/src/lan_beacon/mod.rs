//! The beacon: announces this node on the local network by mDNS and hears of others.
//!
//! A hint only: whoever is found still has to pass the handshake, which alone tells who it is. The
//! instance name is random for each start, and nodes of one network browse a subtype of their own
//! (`swarmllm_protocol::lan_beacon`). The daemon runs on its own thread and ends with the actor.
//! Source: RFC 6762, RFC 6763.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use actix::{Actor, AsyncContext, Context, Recipient, StreamHandler};
use futures_util::stream;
use mdns_sd::{IfKind, ResolvedService, ScopedIp, ServiceDaemon, ServiceEvent, ServiceInfo};
use swarmllm_protocol::address::Subnet;
use swarmllm_protocol::lan_beacon::{self, Announcement};
use swarmllm_protocol::rate_limit::RateLimit;

use crate::clock::Clock;
use crate::entropy;
use crate::mailbox::offer;
use crate::peer_directory::{LayerFailed, PeerSeen, Via};

/// The service that nodes announce.
const SERVICE: &str = "_swarmllm._udp.local.";
/// Answers that are looked at: so many at once, one more each half second.
const ANSWERS_MOST: u64 = 64;
const ANSWERS_EVERY_MS: u64 = 500;

/// Whom the beacon talks to: peer_directory.
#[derive(Debug, Clone)]
pub struct BeaconLinks {
    /// Of places where a node may be.
    pub seen: Recipient<PeerSeen>,
    /// Of answers that could not be read.
    pub failed: Recipient<LayerFailed>,
}

/// What a node announces, and what it takes for near.
#[derive(Clone)]
pub struct BeaconFacts {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names its network (`swarmllm_protocol::lan_beacon::fingerprint`).
    pub fingerprint: String,
    /// What the interfaces of this machine reach without a router.
    pub subnets: Arc<dyn Fn() -> Vec<Subnet> + Send + Sync>,
}

/// The actor.
pub struct LanBeacon {
    daemon: ServiceDaemon,
    found: Option<mdns_sd::Receiver<ServiceEvent>>,
    /// The name under which this node announces itself.
    label: String,
    facts: BeaconFacts,
    answers: RateLimit,
    clock: Clock,
    links: BeaconLinks,
}

impl LanBeacon {
    /// Announces where this node listens and starts to browse.
    ///
    /// # Errors
    /// When no multicast socket can be had; the node works without.
    pub fn new(
        facts: BeaconFacts,
        clock: Clock,
        links: BeaconLinks,
    ) -> Result<LanBeacon, mdns_sd::Error> {
        let BeaconFacts { listen, fingerprint, .. } = &facts;
        let daemon = ServiceDaemon::new()?;
        if listen.is_ipv4() {
            // Nobody gets through to the other addresses, so they are not announced.
            daemon.disable_interface(IfKind::IPv6)?;
        } else if !listen.ip().is_unspecified() {
            daemon.disable_interface(IfKind::IPv4)?;
        }
        let label: String =
            entropy::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let host = format!("{label}.local.");
        let service = format!("_{fingerprint}._sub.{SERVICE}");
        let said = Announcement { fingerprint: fingerprint.clone(), port: listen.port() };
        let properties = said.properties();
        let on_all = listen.ip().is_unspecified();
        let ip = if on_all { String::new() } else { listen.ip().to_string() };
        let info = ServiceInfo::new(&service, &label, &host, ip, listen.port(), &properties[..])?;
        daemon.register(if on_all { info.enable_addr_auto() } else { info })?;
        let found = Some(daemon.browse(&service)?);
        let answers = RateLimit::new(ANSWERS_MOST, ANSWERS_EVERY_MS);
        Ok(LanBeacon { daemon, found, label, facts, answers, clock, links })
    }

    /// Somebody answered: keep it if it is another node of our network.
    fn resolved(&mut self, info: &ResolvedService) {
        let is_own = info.get_fullname().starts_with(&self.label);
        if is_own || !self.answers.take(self.clock.now_ms()) {
            return;
        }
        let properties = info.get_properties().iter().map(|it| (it.key(), it.val()));
        let said = match Announcement::read(properties) {
            Ok(said) if said.fingerprint == self.facts.fingerprint => said,
            Ok(_) => return,
            Err(error) => {
                let reason = format!("an answer on the local network: {error}");
                offer(&self.links.failed, LayerFailed { via: Via::Mdns, reason });
                return;
            }
        };
        let ips = info.get_addresses().iter().map(scoped);
        let addresses = lan_beacon::dialable(ips, said.port, &(self.facts.subnets)());
        offer(&self.links.seen, PeerSeen { peer: None, addresses, via: Via::Mdns, invite: None });
    }
}

/// An address, and the number of the link it was heard on.
fn scoped(ip: &ScopedIp) -> (IpAddr, u32) {
    let link = match ip {
        ScopedIp::V6(ip) => ip.scope_id().index,
        _ => 0,
    };
    (ip.to_ip_addr(), link)
}

impl Actor for LanBeacon {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        if let Some(found) = self.found.take() {
            ctx.add_stream(stream::unfold(found, |found| async move {
                let event = found.recv_async().await.ok()?;
                Some((event, found))
            }));
        }
    }
}

impl Drop for LanBeacon {
    fn drop(&mut self) {
        // The daemon says goodbye for us; if it is gone already there is nothing to say.
        let _ = self.daemon.shutdown();
    }
}

impl StreamHandler<ServiceEvent> for LanBeacon {
    fn handle(&mut self, event: ServiceEvent, _: &mut Self::Context) {
        if let ServiceEvent::ServiceResolved(info) = event {
            self.resolved(&info);
        }
    }

    fn finished(&mut self, _: &mut Self::Context) {
        tracing::debug!("mDNS ended");
    }
}
