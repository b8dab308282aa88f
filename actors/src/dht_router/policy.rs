//! What the router decides, without an actor: whether others may ask this node, and what it was
//! told of its own address.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

/// Addresses remembered that others say they see this node at.
const HEARD_MAX: usize = 16;

/// Whether a node takes questions: one behind a NAT is seen at an address that is not its own.
/// Until enough others say where they see it, it counts as reachable; nobody lists it before it
/// answers there.
pub fn is_server(own: &[IpAddr], observed: Option<SocketAddr>) -> bool {
    observed.is_none_or(|observed| own.contains(&observed.ip().to_canonical()))
}

/// What others say, counted.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    counts: BTreeMap<IpAddr, u32>,
}

impl Heard {
    /// Somebody sees this node there.
    pub fn add(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        if self.counts.len() < HEARD_MAX || self.counts.contains_key(&ip) {
            let count = self.counts.entry(ip).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Addresses and how many times each was said, most often first.
    pub fn list(&self) -> Vec<(IpAddr, u32)> {
        let mut list: Vec<_> = self.counts.iter().map(|(ip, count)| (*ip, *count)).collect();
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_seen_elsewhere_than_it_is_takes_no_questions() {
        let own: Vec<IpAddr> = vec!["192.168.0.9".parse().unwrap()];
        assert!(is_server(&own, None));
        assert!(is_server(&own, Some("192.168.0.9:7".parse().unwrap())));
        assert!(!is_server(&own, Some("198.51.100.1:7".parse().unwrap())));
    }

    #[test]
    fn what_is_heard_is_bounded_and_ordered() {
        let mut heard = Heard::default();
        for index in 0..100_u8 {
            heard.add(IpAddr::from([10, 0, 0, index]));
            heard.add(IpAddr::from([10, 0, 0, 3]));
        }
        assert_eq!(heard.list().len(), HEARD_MAX);
        assert_eq!(heard.list()[0], (IpAddr::from([10, 0, 0, 3]), 101));
    }
}
