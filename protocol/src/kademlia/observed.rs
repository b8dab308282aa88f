//! Where others see this node: the address that enough of them agree on.
//!
//! One peer's word is nothing: it takes three networks that are not neighbours, and no more than
//! one vote each. Units: none. Errors: none. Source: BEP 42.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::address::{self, WideAddressGroup};

/// Networks that must agree.
const VOTES_MIN: usize = 3;
/// Networks remembered.
const VOTES_MAX: usize = 64;

/// The last word of each network.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observed {
    votes: BTreeMap<Voter, SocketAddr>,
}

/// A network, or one address of the local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Voter {
    Wide(WideAddressGroup),
    Near(IpAddr),
}

impl Observed {
    /// `from` saw us at `address`.
    pub(crate) fn vote(&mut self, from: IpAddr, address: SocketAddr) {
        let from = from.to_canonical();
        // Who sees us over the local network cannot know how the world sees us.
        let is_near = address::is_private(from);
        if !address::is_dialable(&address) || is_near != address::is_private(address.ip()) {
            return;
        }
        let voter =
            if is_near { Voter::Near(from) } else { Voter::Wide(WideAddressGroup::of(from)) };
        if self.votes.len() < VOTES_MAX || self.votes.contains_key(&voter) {
            self.votes.insert(voter, address);
        }
    }

    /// The address most agree on, one that the world sees before one of the local network.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        let mut counts: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for address in self.votes.values() {
            *counts.entry(*address).or_default() += 1;
        }
        let agreed = counts.into_iter().filter(|(_, votes)| *votes >= VOTES_MIN);
        let best =
            agreed.max_by_key(|(address, votes)| (address::is_counted(address.ip()), *votes));
        best.map(|(address, _)| address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_networks_decide_and_one_network_has_one_vote() {
        let seen: SocketAddr = "192.0.2.7:4001".parse().expect("an address");
        let lie: SocketAddr = "198.51.100.1:1".parse().expect("an address");
        let mut observed = Observed::default();
        for host in 1..=200 {
            observed.vote(IpAddr::from([203, 0, 113, host]), lie);
        }
        observed.vote(IpAddr::from([1, 2, 3, 4]), seen);
        observed.vote(IpAddr::from([5, 6, 7, 8]), seen);
        assert_eq!(observed.address(), None);
        observed.vote(IpAddr::from([9, 10, 11, 12]), seen);
        assert_eq!(observed.address(), Some(seen));
    }
}
