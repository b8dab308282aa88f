//! Tests of `peer_book.rs`: a swarm that grows, and a liar that can't make it dial or forget.

use super::*;
use crate::{identity::Identity, node_record::NodeFacts};

const EPOCH_S: u64 = 1_800_000_000;

fn now(ms: u64) -> Now {
    Now { ms, unix_s: EPOCH_S + ms / 1000 }
}

fn address(text: &str) -> SocketAddr {
    text.parse().expect("an address")
}

fn book(is_offline: bool) -> PeerBook {
    let owner = BookOwner { peer: PeerId([0xee; 32]), network: NetworkId::default(), is_offline };
    PeerBook::new(owner, PeerCache::new([7; 32]))
}

fn record(n: u32, addresses: Vec<SocketAddr>) -> Vec<u8> {
    let mut seed = [1; 32];
    seed[..4].copy_from_slice(&n.to_le_bytes());
    let identity = Identity::from_seed(seed);
    let facts = NodeFacts {
        peer: identity.peer_id(),
        sequence: 1,
        expires_at_unix_s: EPOCH_S + 20 * 3600,
        is_reachable: true,
        addresses,
    };
    let record = NodeRecord::sign(&identity, &NetworkId::default(), facts).expect("signs");
    record.as_bytes().to_vec()
}

/// What a liar tells in an hour: 10,000 peers, a third of them in one /24, the rest all over.
fn forged(n: u32) -> Vec<u8> {
    let [_, a, b, c] = n.to_be_bytes();
    let ip = match n % 3 {
        0 => [198, 51, 100, c],
        1 => [203, 0, b, c],
        _ => [45, a + b, c, 9],
    };
    record(n, vec![SocketAddr::from((ip, 4001 + (n % 7) as u16))])
}

#[test]
fn ten_thousand_forged_addresses_in_an_hour_fill_a_twentieth_and_aim_at_nobody() {
    let mut book = book(false);
    let (liar, liar_ip) = (PeerId([6; 32]), "192.0.2.66".parse().expect("an address"));
    let forged: Vec<Vec<u8>> = (0..10_000).map(forged).collect();
    let mut waiting = forged.chunks(50);
    let mut dials: BTreeMap<AddressGroup, Vec<u64>> = BTreeMap::new();
    let (mut fullest, mut heard) = (0, 0);
    // A message every 18 seconds makes 200 in an hour; and the node looks for peers all the time.
    for ms in (0..3_600_000).step_by(250) {
        if ms % 18_000 == 0 {
            let added = waiting.next().unwrap_or_default();
            heard +=
                usize::from(book.hear_exchange((liar, liar_ip), (added, &[]), now(ms)).is_ok());
        }
        for (peer, addresses) in book.choose(16, &Taken::default(), now(ms)) {
            for at in addresses {
                dials.entry(AddressGroup::of(at.ip())).or_default().push(ms);
            }
            book.failed(&peer, true, now(ms + 1));
        }
        fullest = fullest.max(book.cache().peers().count());
    }
    assert!(waiting.next().is_none());
    assert!(heard > 0 && fullest > 0 && fullest <= 200 / 20, "{heard} heard, {fullest} kept");
    for (group, times) in &dials {
        let third = times.windows(3).map(|three| three[2] - three[0]).min();
        assert!(third.is_none_or(|span_ms| span_ms >= 60_000), "{group:?}: {times:?}");
    }
    assert!(!dials.is_empty());
}

#[test]
fn a_liar_is_no_longer_dialled_for_once_most_of_its_peers_were_not_there() {
    let mut book = book(false);
    let (liar, liar_ip) = (PeerId([6; 32]), "192.0.2.66".parse().expect("an address"));
    let mut next = 0;
    let mut dialled = 0;
    for minute in 0..120_u64 {
        // It tells no more than it may, of peers in groups of their own.
        let added: Vec<Vec<u8>> = (0..50)
            .map(|n| record(next + n, vec![SocketAddr::from(([45, n as u8, minute as u8, 1], 9))]))
            .collect();
        next += 50;
        let said = (added.as_slice(), &[][..]);
        // Muted at some time, which is the point.
        let _ = book.hear_exchange((liar, liar_ip), said, now(minute * 60_000));
        for second in 0..60 {
            let at = now(minute * 60_000 + second * 1000);
            for (peer, _) in book.choose(16, &Taken::default(), at) {
                dialled += 1;
                book.failed(&peer, true, at);
            }
        }
    }
    assert_eq!(dialled, 50);
    assert_eq!(book.cache().peers().count(), 0);
}

#[test]
fn records_count_where_they_mean_something() {
    let told = |is_offline: bool, from: &str, addresses: &[&str]| {
        let mut book = book(is_offline);
        let addresses = addresses.iter().map(|text| address(text)).collect();
        let source = (PeerId([6; 32]), from.parse().expect("an address"));
        let heard = book.hear_exchange(source, (&[record(1, addresses)], &[]), now(0));
        assert_eq!(heard.expect("heard").bad, 0);
        let known = book.cache().peers().flat_map(|known| known.addresses.clone());
        known.map(|at| at.to_string()).collect::<Vec<_>>()
    };
    let both = ["192.168.0.9:1", "198.51.100.9:1"];
    assert_eq!(told(false, "203.0.113.1", &both), ["198.51.100.9:1"]);
    assert_eq!(told(false, "192.168.0.2", &both), both);
    assert_eq!(told(true, "192.168.0.2", &both), ["192.168.0.9:1"]);
    assert_eq!(told(true, "::1", &["[::1]:1", "[2001:db8::1]:1"]), ["[::1]:1"]);
    assert_eq!(told(true, "203.0.113.1", &both), [""; 0]);
}

#[test]
fn what_is_forged_late_or_foreign_is_bad_and_the_rest_is_heard() {
    let mut book = book(false);
    let mut altered = record(1, vec![address("198.51.100.1:1")]);
    altered[50] ^= 1;
    let good = record(2, vec![address("203.0.113.2:1")]);
    let source = (PeerId([6; 32]), "192.0.2.1".parse().expect("an address"));
    let said = [altered, Vec::new(), good.clone()];
    let heard = book.hear_exchange(source, (&said, &[]), now(0)).expect("heard");
    assert_eq!(heard, HeardExchange { found: 1, bad: 2 });
    let heard = book.hear_exchange(source, (&[good], &[]), now(21 * 3_600_000)).expect("heard");
    assert_eq!(heard, HeardExchange { found: 0, bad: 1 });
}

#[test]
fn a_choice_spreads_over_groups_and_tellers() {
    let mut book = book(false);
    let mut tell = |source: u8, hosts: &[[u8; 4]]| {
        let added: Vec<Vec<u8>> = hosts
            .iter()
            .map(|host| record(u32::from_le_bytes(*host), vec![SocketAddr::from((*host, 1))]))
            .collect();
        let from = (PeerId([source; 32]), IpAddr::from([192, 0, 2, source]));
        book.hear_exchange(from, (&added, &[]), now(0)).expect("heard");
    };
    tell(1, &[[45, 1, 1, 1], [45, 1, 1, 2], [45, 1, 2, 1], [45, 1, 3, 1], [45, 1, 4, 1]]);
    tell(2, &[[45, 2, 1, 1], [45, 2, 2, 1]]);
    let mut taken = Taken::default();
    taken.add(PeerId([9; 32]), Some(IpAddr::from([45, 1, 4, 200])));
    let chosen = book.choose(4, &taken, now(0));
    let at: Vec<[u8; 3]> = chosen
        .iter()
        .map(|(_, addresses)| match addresses[0].ip() {
            IpAddr::V4(ip) => [ip.octets()[0], ip.octets()[1], ip.octets()[2]],
            IpAddr::V6(_) => unreachable!("none was told"),
        })
        .collect();
    let groups: BTreeSet<_> = at.iter().collect();
    assert_eq!((at.len(), groups.len()), (4, 4), "{at:?}");
    assert_eq!(at.iter().filter(|[_, teller, _]| *teller == 1).count(), 2, "{at:?}");
    assert!(!at.contains(&[45, 1, 4]), "{at:?}");
}

#[test]
fn fifty_nodes_that_know_one_address_know_enough_of_each_other() {
    // Node 0 tells node 49 of everybody else; those it remembers tell it of more.
    let everybody: Vec<Vec<u8>> = (0..49)
        .map(|n| record(n, vec![SocketAddr::from(([127, 0, 0, 1], 5000 + n as u16))]))
        .collect();
    let here = IpAddr::from([127, 0, 0, 1]);
    let mut book = book(false);
    let mut taken = Taken::default();
    let first = (PeerId([1; 32]), here);
    book.hear_exchange(first, (&everybody, &[]), now(0)).expect("heard");
    let mut rounds = 0;
    while taken.peers.len() < 16 {
        rounds += 1;
        assert!(rounds < 8, "{} connected", taken.peers.len());
        for (peer, addresses) in book.choose(16 - taken.peers.len(), &taken, now(rounds * 250)) {
            taken.add(peer, Some(here));
            book.reached(&peer, addresses[0], now(rounds * 250));
            let said = (everybody.as_slice(), &[][..]);
            book.hear_exchange((peer, here), said, now(rounds * 250)).expect("heard");
        }
    }
}
