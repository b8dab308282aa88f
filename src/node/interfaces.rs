//! The network interfaces of this machine: where a listener can be reached, and what is near.
//!
//! Asked by `tree.rs` for the actors, again and again, since interfaces come and go.

use std::net::{IpAddr, SocketAddr};

use if_addrs::{IfAddr, Interface};
use swarmllm_protocol::address::Subnet;
use swarmllm_protocol::limits::ADDRESSES_MAX;

fn all() -> Vec<Interface> {
    if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::debug!(%error, "no list of interfaces");
        Vec::new()
    })
}

/// Addresses at which others may reach a listener: its own, or every interface's when it listens
/// on all of them (loopback last, since it helps on this machine only).
pub(super) fn announced_addresses(listen: SocketAddr) -> Vec<SocketAddr> {
    if !listen.ip().is_unspecified() {
        return vec![listen];
    }
    let mut ips: Vec<IpAddr> = ips()
        .into_iter()
        .filter(|ip| ip.is_ipv4() || listen.is_ipv6())
        .filter(|ip| !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local()))
        .collect();
    ips.sort_by_key(IpAddr::is_loopback);
    ips.truncate(ADDRESSES_MAX);
    ips.into_iter().map(|ip| SocketAddr::new(ip, listen.port())).collect()
}

/// Every address of this machine.
pub(super) fn ips() -> Vec<IpAddr> {
    all().into_iter().map(|interface| interface.ip()).collect()
}

/// Whether there is an interface beside loopback.
pub(super) fn has_network() -> bool {
    all().iter().any(|interface| !interface.is_loopback())
}

/// What is reached without a router.
pub(super) fn subnets() -> Vec<Subnet> {
    let subnet = |interface: Interface| match interface.addr {
        IfAddr::V4(on) => Subnet::new(on.ip.into(), on.prefixlen),
        IfAddr::V6(on) => Subnet::new(on.ip.into(), on.prefixlen),
    };
    all().into_iter().filter(|interface| !interface.is_loopback()).map(subnet).collect()
}
