//! What the directory decides, without an actor: how many sessions it wants and which it lets go,
//! which of two sessions with one peer stays, what this node says of itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use swarmllm_protocol::address::{self, AddressGroup, Reach, is_counted, is_private, reach};
use swarmllm_protocol::ids::PeerId;
use swarmllm_protocol::node_record::NodeFacts;

/// Addresses remembered per peer.
pub const ADDRESSES_MAX: usize = swarmllm_protocol::limits::ADDRESSES_MAX;
/// Sessions that a node looks for when it knows more peers than make a full mesh.
pub const SESSIONS_WANTED: usize = 16;
/// With fewer a node is in danger of being cut off: it asks everybody again.
pub const SESSIONS_MIN: usize = 8;
/// Up to so many known peers everybody is connected to everybody.
pub const FULL_MESH_MAX: usize = 24;
/// Sessions that are kept without use; others of a popular node are let go.
pub const SESSIONS_KEPT: usize = 64;
/// Sessions at once; one more is refused.
pub const SESSIONS_MAX: usize = 256;
/// A session opened for a route is let go after so long without use.
const EXTRA_IDLE_MS: u64 = 300_000;
/// Any other one, when there are too many.
const CROWDED_IDLE_MS: u64 = 60_000;

/// Sessions wanted by a node that knows so many peers.
pub fn wanted(known: usize) -> usize {
    if known <= FULL_MESH_MAX { known } else { SESSIONS_WANTED }
}

/// Attempts to begin now. A node in danger begins more than it needs, since some will fail.
pub fn to_dial(wanted: usize, connected: usize, under_way: usize) -> usize {
    let missing = wanted.saturating_sub(connected);
    let spare = if connected < SESSIONS_MIN.min(wanted) { SESSIONS_MIN } else { 0 };
    let allowed = if missing == 0 { 0 } else { missing + spare };
    allowed.saturating_sub(under_way)
}

/// A session that could be let go.
#[derive(Debug, Clone, Copy)]
pub struct IdleSession {
    /// With whom.
    pub peer: PeerId,
    /// Where that is.
    pub at: IpAddr,
    /// Time since something but signs of life went over it.
    pub idle_ms: u64,
    /// Whether it was opened for a route or a test, over what was wanted.
    pub is_extra: bool,
}

/// Sessions to let go: those opened for routes that have ended, and of a popular node the ones that
/// are of least use, most crowded address group first.
pub fn surplus(sessions: &[IdleSession], wanted: usize) -> Vec<PeerId> {
    let mut crowds: BTreeMap<AddressGroup, usize> = BTreeMap::new();
    for session in sessions.iter().filter(|session| is_counted(session.at)) {
        *crowds.entry(AddressGroup::of(session.at)).or_default() += 1;
    }
    let crowd = |session: &IdleSession| {
        crowds.get(&AddressGroup::of(session.at)).copied().unwrap_or_default()
    };
    let mut by_use: Vec<&IdleSession> = sessions.iter().collect();
    by_use.sort_by_key(|session| std::cmp::Reverse((crowd(session), session.idle_ms)));
    let over = |limit: usize| sessions.len().saturating_sub(limit);
    let is_over = |session: &&&IdleSession| session.is_extra && session.idle_ms >= EXTRA_IDLE_MS;
    let extra = by_use.iter().filter(is_over).take(over(wanted.max(SESSIONS_MIN)));
    let mut let_go: Vec<PeerId> = extra.map(|session| session.peer).collect();
    for session in by_use {
        let is_idle = session.idle_ms >= CROWDED_IDLE_MS;
        if let_go.len() < over(SESSIONS_KEPT) && is_idle && !let_go.contains(&session.peer) {
            let_go.push(session.peer);
        }
    }
    let_go
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
        let address = SocketAddr::new(ip.to_canonical(), address.port());
        if address.port() != 0 && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// Whether a peer's record is worth telling others: it lists the place where the peer really is,
/// and others can connect there, at least those of its own network.
pub fn is_worth_telling(facts: &NodeFacts, seen_at: IpAddr) -> bool {
    let is_there = |address: &SocketAddr| address.ip() == seen_at.to_canonical();
    facts.addresses.iter().any(is_there) && (facts.is_reachable || is_private(seen_at))
}

/// Where this node says it is: its interfaces, and where others see it; this machine last.
pub fn own_addresses(
    interfaces: &[SocketAddr],
    believed: &[IpAddr],
    port: u16,
    is_offline: bool,
) -> Vec<SocketAddr> {
    let seen = believed.iter().map(|ip| SocketAddr::new(*ip, port));
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in interfaces.iter().copied().chain(seen) {
        let is_near = reach(address.ip()) < Reach::World;
        let is_new = address::is_dialable(&address) && !addresses.contains(&address);
        if is_new && (is_near || !is_offline) {
            addresses.push(address);
        }
    }
    addresses.sort_by_key(|address| reach(address.ip()) == Reach::Machine);
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// Whether others can open connections to this node. On a private network they can. From the
/// internet they can when somebody did, or when an interface has the very address that others see,
/// so that no router stands between.
pub fn is_reachable(
    addresses: &[SocketAddr],
    interfaces: &[SocketAddr],
    believed: &[IpAddr],
    was_reached_from_afar: bool,
) -> bool {
    if addresses.iter().all(|address| reach(address.ip()) < Reach::World) {
        return !addresses.is_empty();
    }
    let is_direct = |address: &SocketAddr| {
        reach(address.ip()) == Reach::World && believed.contains(&address.ip())
    };
    was_reached_from_afar || interfaces.iter().any(is_direct)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn small_swarms_are_full_meshes_and_large_ones_are_not() {
        assert_eq!([0, 1, 24, 25, 1000].map(wanted), [0, 1, 24, 16, 16]);
        assert_eq!(to_dial(16, 0, 0), 24);
        assert_eq!(to_dial(16, 7, 4), 13);
        assert_eq!(to_dial(16, 8, 4), 4);
        assert_eq!([to_dial(16, 16, 0), to_dial(16, 40, 0), to_dial(0, 0, 0)], [0, 0, 0]);
        assert_eq!(to_dial(1, 0, 1), 8);
        assert_eq!(to_dial(1, 1, 0), 0);
    }

    #[test]
    fn idle_sessions_go_when_there_are_too_many() {
        let session = |n: u8, idle_ms, is_extra| IdleSession {
            peer: PeerId([n; 32]),
            at: IpAddr::from([45, 1, n % 70, 1]),
            idle_ms,
            is_extra,
        };
        let mut sessions: Vec<_> = (0..20).map(|n| session(n, 400_000, n >= 18)).collect();
        assert_eq!(surplus(&sessions, 16).len(), 2);
        assert_eq!(surplus(&sessions, 19).len(), 1);
        sessions[19].idle_ms = 200_000;
        assert_eq!(surplus(&sessions, 16), [PeerId([18; 32])]);
        // Of 70 idle ones six go; whoever shares its group with another goes first.
        let sessions = (0..72).map(|n| session(n, 59_000 + u64::from(n) * 40, false));
        let gone = surplus(&sessions.collect::<Vec<_>>(), 16);
        assert_eq!(gone.len(), 8);
        assert!(gone[..2].contains(&PeerId([70; 32])) && gone[..2].contains(&PeerId([71; 32])));
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
        let seen = reachable_at(&at(&["0.0.0.0:7", "[::]:7"]), ip("::ffff:192.168.0.9"));
        assert_eq!(seen, at(&["192.168.0.9:7"]));
    }

    #[test]
    fn a_record_is_told_only_of_where_its_node_is() {
        let facts = |is_reachable| NodeFacts {
            peer: PeerId([1; 32]),
            sequence: 1,
            expires_at_unix_s: 1,
            is_reachable,
            addresses: at(&["192.168.0.9:7", "203.0.113.9:7"]),
        };
        assert!(is_worth_telling(&facts(true), ip("203.0.113.9")));
        assert!(!is_worth_telling(&facts(false), ip("203.0.113.9")));
        assert!(is_worth_telling(&facts(false), ip("192.168.0.9")));
        assert!(!is_worth_telling(&facts(true), ip("198.51.100.1")));
    }

    #[test]
    fn a_node_says_where_it_is_and_whether_others_get_there() {
        let home = at(&["127.0.0.1:7", "192.168.0.9:7"]);
        let seen = [ip("203.0.113.9")];
        let behind = own_addresses(&home, &seen, 7, false);
        assert_eq!(behind, at(&["192.168.0.9:7", "203.0.113.9:7", "127.0.0.1:7"]));
        assert!(!is_reachable(&behind, &home, &seen, false));
        assert!(is_reachable(&behind, &home, &seen, true));
        let offline = own_addresses(&home, &seen, 7, true);
        assert_eq!(offline, at(&["192.168.0.9:7", "127.0.0.1:7"]));
        assert!(is_reachable(&offline, &home, &seen, false));
        let open = at(&["203.0.113.9:7"]);
        assert!(!is_reachable(&open, &open, &[], false));
        assert!(is_reachable(&open, &open, &seen, false));
        assert!(!is_reachable(&[], &[], &[], true));
    }
}
