//! The beacon: announces this node on the local network by mDNS and hears of others.
//!
//! A hint only: whoever is found still has to pass the handshake. The instance name is random for
//! each start; the TXT record carries the peer id and the network id, so a local network can tell
//! which node this is. The daemon runs on its own thread and is ended with the actor.
//! Source: RFC 6762, RFC 6763. Absent on purpose: an address without a peer to expect there.

use std::net::{IpAddr, SocketAddr};

use actix::{Actor, AsyncContext, Context, Recipient, StreamHandler};
use futures_util::stream;
use mdns_sd::{ServiceDaemon, ServiceEvent, ServiceInfo};
use swarmllm_protocol::ids::{NetworkId, PeerId};

use crate::entropy;
use crate::mailbox::offer;
use crate::peer_directory::{PeerSeen, Via};

/// The service that nodes announce.
const SERVICE: &str = "_swarmllm._udp.local.";

/// The actor.
pub struct LanBeacon {
    daemon: ServiceDaemon,
    found: Option<mdns_sd::Receiver<ServiceEvent>>,
    local: PeerId,
    network: NetworkId,
    seen: Recipient<PeerSeen>,
}

impl LanBeacon {
    /// Announces `port` and starts to browse.
    ///
    /// # Errors
    /// When no multicast socket can be had; the node works without.
    pub fn new(
        port: u16,
        local: PeerId,
        network: NetworkId,
        seen: Recipient<PeerSeen>,
    ) -> Result<LanBeacon, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        let label: String =
            entropy::bytes::<16>().iter().map(|byte| format!("{byte:02x}")).collect();
        let host = format!("{label}.local.");
        let peer = local.to_string();
        let properties = [("peer", peer.as_str()), ("network", network.as_str())];
        let info = ServiceInfo::new(SERVICE, &label, &host, "", port, &properties[..])?;
        daemon.register(info.enable_addr_auto())?;
        let found = Some(daemon.browse(SERVICE)?);
        Ok(LanBeacon { daemon, found, local, network, seen })
    }

    /// Somebody answered: keep it if it is another node of our network.
    fn resolved(&self, info: &mdns_sd::ResolvedService) {
        let property = |key: &str| info.get_property_val_str(key);
        let peer: Option<PeerId> = property("peer").and_then(|text| text.parse().ok());
        if property("network") != Some(self.network.as_str()) || peer == Some(self.local) {
            return;
        }
        let addresses: Vec<SocketAddr> = info
            .get_addresses()
            .iter()
            .map(|ip| SocketAddr::new(ip.to_ip_addr(), info.get_port()))
            .filter(|address| is_dialable(address.ip()))
            .collect();
        if let Some(peer) = peer.filter(|_| !addresses.is_empty()) {
            offer(
                &self.seen,
                PeerSeen { peer: Some(peer), addresses, via: Via::Mdns, invite: None },
            );
        }
    }
}

/// Link-local IPv6 needs a scope that mDNS does not carry.
fn is_dialable(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    }
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
