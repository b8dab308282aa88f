//! Where others see this node: what a node behind a router cannot know by itself.
//!
//! Each session's peer says once from where it sees us (`Hello`). An address of the internet is
//! believed when peers of three different providers say the same, so that one of them cannot move a
//! node to a place of its choice; one of a private network when two peers say it.
//! Used by the peer directory for this node's own record, and shown by `net check`.
//! Absent on purpose: ports. A peer sees the port of an outgoing connection, which listens nowhere.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use crate::{
    address::{WideAddressGroup, is_private},
    ids::PeerId,
};

/// Providers that must agree on an address of the internet.
const PROVIDERS_MIN: usize = 3;
/// Peers that must agree on a private address.
const PEERS_MIN: usize = 2;
/// Votes kept at once.
const VOTES_MAX: usize = 512;

/// What peers say of where we are.
#[derive(Debug, Clone, Default)]
pub struct ObservedAddresses {
    /// By whom: from where, and where they see us.
    votes: BTreeMap<PeerId, (IpAddr, IpAddr)>,
}

impl ObservedAddresses {
    /// A connected peer, itself seen at `from`, sees us at `seen`; replaces what it said before.
    pub fn vote(&mut self, peer: PeerId, from: IpAddr, seen: IpAddr) {
        if self.votes.len() < VOTES_MAX || self.votes.contains_key(&peer) {
            self.votes.insert(peer, (from.to_canonical(), seen.to_canonical()));
        }
    }

    /// The peer has gone, and its word with it.
    pub fn forget(&mut self, peer: &PeerId) {
        self.votes.remove(peer);
    }

    /// What was said, and by how many; most votes first.
    #[must_use]
    pub fn heard(&self) -> Vec<(IpAddr, usize)> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, seen) in self.votes.values() {
            *counts.entry(*seen).or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts
    }

    /// Addresses that enough of them agree on.
    #[must_use]
    pub fn believed(&self) -> Vec<IpAddr> {
        self.heard().into_iter().map(|(ip, _)| ip).filter(|ip| self.is_believed(*ip)).collect()
    }

    fn is_believed(&self, ip: IpAddr) -> bool {
        let from = self.votes.values().filter(|(_, seen)| *seen == ip).map(|(from, _)| *from);
        if is_private(ip) {
            return from.count() >= PEERS_MIN;
        }
        // A peer on this site never sees the address that the internet sees.
        let providers: BTreeSet<_> =
            from.filter(|from| !is_private(*from)).map(WideAddressGroup::of).collect();
        providers.len() >= PROVIDERS_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_is_believed_when_three_providers_say_it() {
        let (mut observed, home) = (ObservedAddresses::default(), ip("203.0.113.7"));
        let liars = ["198.51.1.1", "198.51.2.1", "198.51.3.1", "192.168.0.3", "10.1.2.3"];
        for (n, from) in liars.iter().enumerate() {
            observed.vote(PeerId([n as u8; 32]), ip(from), home);
        }
        assert_eq!((observed.heard(), observed.believed()), (vec![(home, 5)], vec![]));
        observed.vote(PeerId([10; 32]), ip("192.0.2.1"), home);
        observed.vote(PeerId([11; 32]), ip("2001:db8::1"), ip("::ffff:203.0.113.7"));
        assert_eq!(observed.believed(), [home]);
        observed.vote(PeerId([11; 32]), ip("2001:db8::1"), ip("203.0.113.8"));
        assert!(observed.believed().is_empty());
        observed.vote(PeerId([11; 32]), ip("2001:db8::1"), home);
        observed.forget(&PeerId([10; 32]));
        assert!(observed.believed().is_empty());
    }

    #[test]
    fn two_neighbours_are_enough_for_a_private_address() {
        let mut observed = ObservedAddresses::default();
        observed.vote(PeerId([1; 32]), ip("192.168.0.3"), ip("192.168.0.2"));
        assert!(observed.believed().is_empty());
        observed.vote(PeerId([2; 32]), ip("192.168.0.4"), ip("192.168.0.2"));
        assert_eq!(observed.believed(), [ip("192.168.0.2")]);
    }
}
