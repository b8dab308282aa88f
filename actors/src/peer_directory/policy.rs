//! What the directory decides, without an actor: which address may be dialled, which of two
//! sessions with one peer stays, when to try again.

use std::net::{IpAddr, SocketAddr};

use swarmllm_protocol::ids::PeerId;

/// Peers remembered at once; the oldest unconnected one makes room.
pub const PEERS_MAX: usize = 512;
/// Addresses remembered per peer.
pub const ADDRESSES_MAX: usize = 8;
/// First wait after a failed attempt.
const RETRY_FIRST_MS: u64 = 500;
/// Longest wait between attempts.
const RETRY_MAX_MS: u64 = 60_000;

/// Milliseconds to wait after so many failures in a row: doubling, then level.
pub fn retry_after_ms(failures: u32) -> u64 {
    let doubled = RETRY_FIRST_MS.checked_shl(failures.saturating_sub(1).min(16));
    doubled.unwrap_or(RETRY_MAX_MS).min(RETRY_MAX_MS)
}

/// Whether an address stays on this machine or its local network.
pub fn is_private(address: &SocketAddr) -> bool {
    match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Whether an address can be dialled at all, and in offline mode whether it stays private.
pub fn may_dial(address: &SocketAddr, offline: bool) -> bool {
    let is_real =
        address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast();
    is_real && (!offline || is_private(address))
}

/// When both sides dialled at once, both keep the session that the smaller id started.
///
/// Returns whether the newer of two sessions replaces the older one.
pub fn newer_replaces(
    local: PeerId,
    peer: PeerId,
    newer_is_ours: bool,
    older_is_ours: bool,
) -> bool {
    if newer_is_ours == older_is_ours {
        // The same side dialled twice, so it has lost the older one.
        return true;
    }
    newer_is_ours == (local < peer)
}

/// Replaces the unspecified address of a listener by the address the peer was seen at.
pub fn reachable_at(listen: &[SocketAddr], seen_at: IpAddr) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in listen {
        let ip = if address.ip().is_unspecified() { seen_at } else { address.ip() };
        let address = SocketAddr::new(ip, address.port());
        if address.port() != 0 && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_double_and_level_out() {
        assert_eq!(retry_after_ms(1), 500);
        assert_eq!(retry_after_ms(2), 1000);
        assert_eq!(retry_after_ms(100), 60_000);
    }

    #[test]
    fn offline_nodes_dial_private_addresses_only() {
        let allowed = ["127.0.0.1:1", "192.168.1.2:9", "10.0.0.1:9", "[fe80::1]:9", "[fd00::1]:9"];
        for text in allowed {
            assert!(may_dial(&text.parse().unwrap(), true), "{text}");
        }
        for text in ["8.8.8.8:9", "[2001:db8::1]:9"] {
            assert!(!may_dial(&text.parse().unwrap(), true), "{text}");
            assert!(may_dial(&text.parse().unwrap(), false), "{text}");
        }
        for text in ["0.0.0.0:9", "127.0.0.1:0", "224.0.0.1:9"] {
            assert!(!may_dial(&text.parse().unwrap(), false), "{text}");
        }
    }

    #[test]
    fn both_ends_of_a_double_connection_keep_the_same_one() {
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        // a's own session came second at a, and first at b.
        assert!(newer_replaces(a, b, true, false));
        assert!(!newer_replaces(b, a, true, false));
        assert!(newer_replaces(b, a, false, true));
        assert!(!newer_replaces(a, b, false, true));
        assert!(newer_replaces(a, b, true, true));
    }

    #[test]
    fn an_unspecified_listener_is_where_it_was_seen() {
        let listen: Vec<SocketAddr> = vec!["0.0.0.0:7".parse().unwrap()];
        let seen = "192.168.0.9".parse().unwrap();
        assert_eq!(reachable_at(&listen, seen), vec!["192.168.0.9:7".parse().unwrap()]);
    }
}
