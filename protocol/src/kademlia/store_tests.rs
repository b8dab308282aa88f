//! Tests of kept records: one per peer, and a flood from few places displaces nobody else.

use super::*;
use crate::{
    identity::Identity,
    ids::{LayerRange, ModelId, NetworkId},
    kademlia::record::ProviderFacts,
};

const NOW: u64 = 1_800_000_000;

fn record(seed: u32, sequence: u64) -> ProviderRecord {
    let mut bytes = [1; 32];
    bytes[..4].copy_from_slice(&seed.to_le_bytes());
    let identity = Identity::from_seed(bytes);
    let facts = ProviderFacts {
        peer: identity.peer_id(),
        model: ModelId([3; 32]),
        layers: LayerRange { start: 0, end: 8 },
        capacity_class: 0,
        sequence,
        expires_at_unix_s: NOW + 3_000,
        addresses: Vec::new(),
    };
    ProviderRecord::sign(&identity, &NetworkId::default(), facts).expect("signs")
}

fn from(a: u8, b: u8, c: u8, d: u8) -> SocketAddr {
    ([a, b, c, d], 4001).into()
}

#[test]
fn the_newer_record_of_a_peer_counts_and_expires() {
    let (mut store, key) = (RecordStore::new([0; 32]), record(1, 1).keys()[0]);
    assert_eq!(store.insert(key, &record(1, 5), from(60, 1, 1, 1)), Ok(()));
    let older = store.insert(key, &record(1, 4), from(60, 1, 1, 1));
    assert_eq!(older, Err(RefusalReason::Older));
    assert_eq!(store.insert(key, &record(1, 6), from(60, 1, 1, 1)), Ok(()));
    assert_eq!(store.at(&key, NOW), [record(1, 6).as_bytes().clone()]);
    assert!(store.at(&key, NOW + 3_000).is_empty());
    store.expire(NOW + 3_000);
    assert_eq!((store.len(), store.bytes), (0, 0));
    assert!(store.per_peer.is_empty());
}

#[test]
fn a_group_of_neighbours_gets_eight_records_at_a_key() {
    let (mut store, key) = (RecordStore::new([0; 32]), record(1, 1).keys()[0]);
    for seed in 0..20 {
        let kept = store.insert(key, &record(seed, 1), from(60, 1, 1, seed as u8 + 1));
        assert_eq!(kept.is_ok(), seed < 8, "{seed}");
    }
    // Another network is not held up, and one that has its share may renew it.
    assert_eq!(store.insert(key, &record(30, 1), from(61, 1, 1, 1)), Ok(()));
    assert_eq!(store.insert(key, &record(3, 2), from(60, 1, 1, 4)), Ok(()));
    // On a local network everybody counts alone.
    for seed in 40..80 {
        assert_eq!(store.insert(key, &record(seed, 1), from(10, 0, 0, 1)), Ok(()));
    }
}

#[test]
fn a_peer_gets_so_many_records_in_all() {
    let mut store = RecordStore::new([0; 32]);
    for number in 0..100 {
        let kept = store.insert(DhtKey([number; 32]), &record(1, 1), from(60, 1, 1, 1));
        assert_eq!(kept.is_ok(), usize::from(number) < PER_PEER_MAX, "{number}");
    }
    assert_eq!(store.len(), PER_PEER_MAX);
}

#[test]
fn a_flood_from_few_networks_displaces_nobody_of_other_ones() {
    let (mut store, key) = (RecordStore::new([0; 32]), record(1, 1).keys()[0]);
    let honest: Vec<ProviderRecord> = (0..40).map(|seed| record(seed, 1)).collect();
    for (number, record) in honest.iter().take(20).enumerate() {
        assert_eq!(store.insert(key, record, from(100 + number as u8, 1, 1, 1)), Ok(()));
    }
    // 1,600 records from 200 /24s of one /16.
    for seed in 0..1_600 {
        let _ = store.insert(key, &record(1_000 + seed, 1), from(60, 1, (seed % 200) as u8, 1));
    }
    assert_eq!(store.len(), PER_KEY_MAX);
    for (number, record) in honest.iter().enumerate().skip(20) {
        assert_eq!(store.insert(key, record, from(100 + number as u8, 1, 1, 1)), Ok(()));
    }
    assert_eq!(store.len(), PER_KEY_MAX);
    let kept = store.at(&key, NOW);
    assert!(honest.iter().all(|record| kept.contains(record.as_bytes())));
}

#[test]
fn the_beginning_of_an_answer_is_of_many_places() {
    let (mut store, key) = (RecordStore::new([0; 32]), record(1, 1).keys()[0]);
    for seed in 0..8 {
        assert_eq!(store.insert(key, &record(seed, 1), from(60, 1, 1, 1)), Ok(()));
    }
    for seed in 8..11 {
        assert_eq!(store.insert(key, &record(seed, 1), from(60 + seed as u8, 1, 1, 1)), Ok(()));
    }
    let first: Vec<_> = store.at(&key, NOW).into_iter().take(4).collect();
    for seed in 8..11 {
        assert!(first.contains(record(seed, 1).as_bytes()), "{seed}");
    }
}
