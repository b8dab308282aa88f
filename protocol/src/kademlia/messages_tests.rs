//! Tests of the messages: what one writes another reads, nothing is longer than a datagram, and any
//! bytes give an answer.

use proptest::{collection::vec, prelude::*};

use super::*;

fn address() -> impl Strategy<Value = SocketAddr> {
    let v4 = (any::<[u8; 4]>(), 1_u16..).prop_map(SocketAddr::from);
    let v6 = (any::<[u8; 16]>(), 1_u16..).prop_map(SocketAddr::from);
    prop_oneof![v4, v6].prop_map(|address: SocketAddr| {
        SocketAddr::new(address.ip().to_canonical(), address.port())
    })
}

fn contact() -> impl Strategy<Value = Contact> {
    let contact = (any::<[u8; 32]>(), address());
    let contact = contact.prop_map(|(peer, address)| Contact { peer: PeerId(peer), address });
    contact.prop_filter("dialable", |contact| address::is_dialable(&contact.address))
}

fn record() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..=PROVIDER_RECORD_MAX_BYTES).prop_map(Bytes::from)
}

fn key() -> impl Strategy<Value = DhtKey> {
    any::<[u8; 32]>().prop_map(DhtKey)
}

fn question() -> impl Strategy<Value = Question> {
    let token = any::<[u8; 16]>().prop_map(WriteToken);
    prop_oneof![
        Just(Question::Ping),
        key().prop_map(|key| Question::FindNode { key }),
        (key(), any::<u16>()).prop_map(|(key, skip)| Question::FindProviders { key, skip }),
        (key(), token, record()).prop_map(|(key, token, record)| Question::Store {
            key,
            token,
            record
        }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let token = || any::<[u8; 16]>().prop_map(WriteToken);
    let reason = prop_oneof![
        Just(RefusalReason::Token),
        Just(RefusalReason::Record),
        Just(RefusalReason::Older),
        Just(RefusalReason::Quota),
        Just(RefusalReason::NotNear),
    ];
    prop_oneof![
        Just(Answer::Pong),
        (token(), vec(contact(), 0..=DHT_CONTACTS_MAX))
            .prop_map(|(token, contacts)| Answer::Nodes { token, contacts }),
        (token(), any::<u16>(), vec(record(), 0..=2), vec(contact(), 0..=8)).prop_map(
            |(token, total, records, contacts)| Answer::Providers {
                token,
                total,
                records,
                contacts
            }
        ),
        Just(Answer::Stored),
        reason.prop_map(|reason| Answer::Refused { reason }),
    ]
}

proptest! {
    #[test]
    fn questions_read_back(server in any::<Option<[u8; 32]>>(), question in question()) {
        let request = Request { server: server.map(PeerId), question };
        let bytes = request.encode().expect("every question fits");
        prop_assert!(bytes.len() <= DHT_MESSAGE_MAX_BYTES);
        prop_assert_eq!(Request::decode(&bytes), Ok(request));
        prop_assert!(Request::decode(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Request::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn answers_read_back(observed in address(), answer in answer()) {
        let response = Response { observed, answer };
        let bytes = response.encode().expect("every answer fits");
        prop_assert!(bytes.len() <= DHT_MESSAGE_MAX_BYTES);
        prop_assert_eq!(Response::decode(&bytes), Ok(response));
        prop_assert!(Response::decode(&bytes[..bytes.len() - 1]).is_err());
        prop_assert!(Response::decode(&[bytes.as_slice(), &[0]].concat()).is_err());
    }

    #[test]
    fn bytes_from_anyone_read_as_they_would_be_written(
        tag in 0_u8..6, rest in vec(any::<u8>(), 0..1_200)
    ) {
        for bytes in [&rest, &[&[0, tag], rest.as_slice()].concat()] {
            if let Ok(request) = Request::decode(bytes) {
                prop_assert_eq!(&request.encode().expect("it was as long before"), bytes);
            }
        }
        let observed = [4, 1, 2, 3, 4, 5, 0, tag];
        for bytes in [&rest, &[&observed, rest.as_slice()].concat()] {
            if let Ok(response) = Response::decode(bytes) {
                prop_assert_eq!(&response.encode().expect("it was as long before"), bytes);
            }
        }
    }
}

#[test]
fn a_full_answer_of_long_addresses_fits() {
    let address = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535".parse().expect("an address");
    let contact = Contact { peer: PeerId([9; 32]), address };
    let token = WriteToken([1; 16]);
    let contacts = vec![contact; DHT_CONTACTS_MAX];
    let answer = Answer::Nodes { token, contacts: contacts.clone() };
    let nodes = Response { observed: address, answer }.encode().expect("fits");
    let answer = Answer::Providers { token, total: 0, records: Vec::new(), contacts };
    let providers = Response { observed: address, answer }.encode().expect("fits");
    assert!(nodes.len() <= DHT_MESSAGE_MAX_BYTES && providers.len() <= DHT_MESSAGE_MAX_BYTES);
}

#[test]
fn more_than_a_datagram_is_refused_before_it_is_sent() {
    let records = vec![Bytes::from_static(&[0; 200]); 6];
    let observed = "192.0.2.1:1".parse().expect("an address");
    let token = WriteToken([0; 16]);
    let answer = Answer::Providers { token, total: 6, records, contacts: Vec::new() };
    assert!(Response { observed, answer }.encode().is_err());
}
