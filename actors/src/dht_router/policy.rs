//! What the router decides, without an actor: whether others may ask this node, what it was told of
//! its own address, and whom it tries again while its table is empty.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use swarmllm_protocol::address;
use swarmllm_protocol::kademlia::Contact;
use swarmllm_protocol::limits::PROVIDER_ADDRESSES_MAX;

/// Addresses remembered that others say they see this node at.
const HEARD_MAX: usize = 16;

/// Contacts that an empty table is filled from.
const ENTRANCES_MAX: usize = 16;
/// First wait before they are tried again.
const AGAIN_FIRST_MS: u64 = 2_000;
/// Longest wait.
const AGAIN_MAX_MS: u64 = 60_000;

/// Peers with a session, for as long as nobody of the table answers: a datagram may be lost, and
/// every other contact may be gone.
#[derive(Debug, Clone, Default)]
pub struct Entrances {
    contacts: VecDeque<Contact>,
    next_ms: Option<u64>,
    wait_ms: u64,
}

impl Entrances {
    /// A peer with a session; it was asked just now.
    pub fn add(&mut self, contact: Contact, now_ms: u64) {
        self.contacts.retain(|held| held.peer != contact.peer);
        if self.contacts.len() >= ENTRANCES_MAX {
            self.contacts.pop_front();
        }
        self.contacts.push_back(contact);
        self.wait_ms = AGAIN_FIRST_MS;
        self.next_ms = Some(now_ms + AGAIN_FIRST_MS);
    }

    /// When to try them again.
    pub fn next_ms(&self) -> Option<u64> {
        self.next_ms
    }

    /// Whom to ask now; later the next time.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<Contact> {
        if self.next_ms.is_none_or(|next_ms| next_ms > now_ms) {
            return Vec::new();
        }
        self.wait_ms = (self.wait_ms * 2).min(AGAIN_MAX_MS);
        self.next_ms = Some(now_ms + self.wait_ms);
        self.contacts.iter().copied().collect()
    }
}

/// Whether a node takes questions: one behind a NAT is seen at an IPv4 address that is not its own.
/// Until enough others say where they see it, it counts as reachable; nobody lists it before it
/// answers there.
pub fn is_server(own: &[IpAddr], observed: Option<SocketAddr>) -> bool {
    observed.is_none_or(|observed| {
        let ip = observed.ip().to_canonical();
        // IPv6 is not translated, and hosts change those addresses as they go.
        ip.is_ipv6() || own.contains(&ip)
    })
}

/// Addresses for a record, those of the internet first; loopback only where there is nothing else.
pub fn record_addresses(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let dialable = || addresses.iter().filter(|address| address::is_dialable(address)).copied();
    let mut chosen: Vec<_> = dialable().filter(|address| !address.ip().is_loopback()).collect();
    if chosen.is_empty() {
        chosen = dialable().collect();
    }
    chosen.sort_by_key(|address| address::is_private(address.ip()));
    chosen.truncate(PROVIDER_ADDRESSES_MAX);
    chosen
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
        assert!(is_server(&own, Some("[2001:db8::1]:7".parse().unwrap())));
    }

    #[test]
    fn records_name_what_others_can_reach() {
        let parse = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let all = parse(&["172.17.0.1:7", "198.51.100.1:7", "127.0.0.1:7", "0.0.0.0:7"]);
        assert_eq!(record_addresses(&all), parse(&["198.51.100.1:7", "172.17.0.1:7"]));
        assert_eq!(record_addresses(&all[2..]), parse(&["127.0.0.1:7"]));
    }

    #[test]
    fn an_empty_table_is_tried_again_ever_less_often() {
        use swarmllm_protocol::ids::PeerId;
        let mut entrances = Entrances::default();
        assert_eq!(entrances.next_ms(), None);
        for index in 0..20 {
            let address = "127.0.0.1:9".parse().unwrap();
            entrances.add(Contact { peer: PeerId([index; 32]), address }, 1_000);
        }
        assert!(entrances.take_due(2_999).is_empty());
        assert_eq!(entrances.take_due(3_000).len(), ENTRANCES_MAX);
        assert_eq!(entrances.next_ms(), Some(7_000));
        for _ in 0..9 {
            entrances.take_due(entrances.next_ms().unwrap());
        }
        let last = entrances.next_ms().unwrap();
        entrances.take_due(last);
        assert_eq!(entrances.next_ms(), Some(last + AGAIN_MAX_MS));
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
