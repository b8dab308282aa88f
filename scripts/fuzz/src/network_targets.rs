//! Targets for what nodes learn of each other: the DHT, peer exchange, the files behind them, the
//! local network, invites and membership.
//!
//! Listed in `targets.rs`, whose rules hold here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;
use swarmllm_protocol::{
    dht_datagram::DatagramKeys,
    identity::Identity,
    ids::{NetworkId, PeerId},
    kademlia::{
        contact::Contact,
        messages::{Request, Response},
        node::DhtNode,
        record::ProviderRecord,
        router::{Now, RouterOutput},
        settings::DhtSettings,
    },
    lan_beacon::Announcement,
    membership::{MemberCertificate, RevocationList},
    peer_book::{BookOwner, PeerBook},
    peer_cache::{self, PeerCache},
    redemption::RedemptionLog,
};

use crate::targets::{NOW_UNIX_S, pieces};

pub(crate) fn read_dht_request(data: &[u8]) {
    if let Ok(request) = Request::decode(data) {
        assert_eq!(request.encode().expect("what was read can be written"), data);
    }
}

pub(crate) fn read_dht_response(data: &[u8]) {
    if let Ok(response) = Response::decode(data) {
        assert_eq!(response.encode().expect("what was read can be written"), data);
    }
}

pub(crate) fn open_dht_datagram(data: &[u8]) {
    let keys = DatagramKeys::new(&Identity::from_seed([3; 32]), NetworkId::default());
    let checked = keys.check_tag(data, [[6; 16]]);
    let opened = checked.and_then(|checked| keys.open_request(checked, [5; 32]));
    assert!(opened.is_err(), "nobody guesses a tag and a seal");
}

/// A node that is asked, answered and left alone as the input says. An answer may go to a question
/// that it asked, with whatever content.
pub(crate) fn run_dht_node(data: &[u8]) {
    let settings = DhtSettings::default();
    let mut node = DhtNode::new(PeerId([1; 32]), NetworkId::default(), settings, [2; 32]);
    let (mut asked, mut ms) = (Vec::new(), 0_u64);
    for piece in pieces(data) {
        let Some((kind, rest)) = piece.split_first() else { continue };
        let now = Now { ms, unix_s: NOW_UNIX_S + ms / 1000 };
        let port = 1 + u16::from(*kind);
        let from = SocketAddr::from((Ipv4Addr::new(198, 51, *kind, 7), port));
        match kind % 5 {
            0 => {
                if let Ok(request) = Request::decode(rest) {
                    let response = node.handle_request(now, from, &request);
                    response.encode().expect("an answer has its form");
                }
            }
            1 => {
                if let (Some(id), Ok(response)) = (asked.pop(), Response::decode(rest)) {
                    node.handle_response(now, id, &response);
                }
            }
            2 => {
                let mut peer = [*kind; 32];
                rest.iter().zip(&mut peer).for_each(|(byte, place)| *place = *byte);
                node.handle_contacts(now, &[Contact { peer: PeerId(peer), address: from }]);
            }
            3 => ms = ms.saturating_add(u64::from(*kind) * (1 + rest.len() as u64) * 20),
            _ => node.handle_wakeup(now),
        }
        while let Some(output) = node.poll_output() {
            if let RouterOutput::Send { request_id, request, .. } = output {
                request.encode().expect("a question has its form");
                asked.push(request_id);
            }
        }
        asked.drain(..asked.len().saturating_sub(64));
    }
}

pub(crate) fn read_provider_record(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    assert!(ProviderRecord::read(&bytes, &NetworkId::default(), NOW_UNIX_S).is_err());
}

pub(crate) fn hear_peer_exchange(data: &[u8]) {
    let owner =
        BookOwner { peer: PeerId([1; 32]), network: NetworkId::default(), is_offline: false };
    let mut book = PeerBook::new(owner, PeerCache::new([4; 32]));
    let records: Vec<Vec<u8>> = pieces(data).take(50).map(<[u8]>::to_vec).collect();
    let now = peer_cache::Now { ms: 1, unix_s: NOW_UNIX_S };
    let source = (PeerId([2; 32]), IpAddr::from(Ipv4Addr::new(198, 51, 100, 7)));
    let heard = book.hear_exchange(source, (&records, &[]), now).expect("the first is heard");
    assert_eq!((heard.found, book.cache().peers().count()), (0, 0), "nothing was signed");
}

pub(crate) fn read_peer_cache(data: &[u8]) {
    if let Ok(cache) = PeerCache::from_bytes(data, [4; 32]) {
        assert_eq!(cache.to_bytes(), data);
    }
    // Behind a checksum that holds, whatever the rest is.
    let mut whole = data.to_vec();
    whole.extend_from_slice(blake3::hash(data).as_bytes());
    if let Ok(cache) = PeerCache::from_bytes(&whole, [4; 32]) {
        assert_eq!(cache.to_bytes(), whole);
    }
}

pub(crate) fn read_announcement(data: &[u8]) {
    let text = |bytes| str::from_utf8(bytes).unwrap_or("v");
    let values: Vec<&[u8]> = pieces(data).collect();
    let properties = values.chunks(2).map(|pair| (text(pair[0]), pair.get(1).copied()));
    if let Ok(announcement) = Announcement::read(properties) {
        let again = announcement.properties();
        let again = again.iter().map(|(key, value)| (*key, Some(value.as_bytes())));
        assert_eq!(Announcement::read(again), Ok(announcement));
    }
}

pub(crate) fn read_membership(data: &[u8]) {
    let network = NetworkId::default();
    assert!(MemberCertificate::read(data, &network, NOW_UNIX_S).is_err());
    assert!(RevocationList::read(data, &network).is_err());
}

pub(crate) fn read_redemption_log(data: &[u8]) {
    let Ok((log, held)) = RedemptionLog::read(data) else { return };
    assert!(held <= data.len());
    let (_, file) = log.rewritten(NOW_UNIX_S);
    let (_, again) = RedemptionLog::read(&file).expect("what was written can be read");
    assert_eq!(again, file.len());
}
