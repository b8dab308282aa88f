//! Tests of the peer cache: its bounds under any sequence of events, its bytes, its fairness.

use proptest::prelude::*;

use super::*;

const SECRET: [u8; 32] = [5; 32];

fn peer(n: u32) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    PeerId(bytes)
}

fn at(unix_s: u64) -> Now {
    Now { ms: unix_s * 1000, unix_s }
}

/// Address number `n` in a /24 of its own.
fn far(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([45, a, b, c], 4001))
}

/// Told by peer number `source` at its own far address.
fn told(cache: &mut PeerCache, n: u32, source: u32, now: Now) -> Result<(), Refusal> {
    let addresses = [far(n << 8)];
    let heard = Heard {
        peer: peer(n),
        addresses: &addresses,
        sequence: 1,
        method: Method::PeerExchange,
        source: peer(source),
        source_ip: far(source << 16).ip(),
    };
    cache.hear(heard, now)
}

/// A peer that announces itself and is then reached.
fn reached(cache: &mut PeerCache, n: u32, method: Method, now: Now) -> Result<(), Refusal> {
    let addresses = [far(n << 8)];
    let (source, source_ip) = (peer(n), addresses[0].ip());
    let heard =
        Heard { peer: peer(n), addresses: &addresses, sequence: 1, method, source, source_ip };
    cache.hear(heard, now)?;
    cache.reached(&peer(n), addresses[0], now);
    Ok(())
}

#[test]
fn one_teller_fills_ten_places_and_one_way_of_finding_half_of_them() {
    let mut cache = PeerCache::new(SECRET);
    let kept = (1000..2000).filter(|n| told(&mut cache, *n, 1, at(0)).is_ok()).count();
    assert_eq!((kept, cache.counts()), (PER_SOURCE_MAX, (0, PER_SOURCE_MAX)));
    for source in 2..200 {
        for n in 0..20 {
            // Most are one too many.
            let _ = told(&mut cache, 2000 + 20 * source + n, source, at(0));
        }
    }
    let (tried, new) = cache.counts();
    assert!(tried == 0 && new > 70 && new <= NEW_MAX, "{new}");
    // Those that answer leave room for others, until half of all was found in one way.
    let mut cache = PeerCache::new(SECRET);
    for n in 10_000..20_000 {
        if told(&mut cache, n, 300 + n, at(0)).is_ok() {
            cache.reached(&peer(n), far(n << 8), at(0));
        }
    }
    let by_exchange = cache.peers().filter(|known| known.method == Method::PeerExchange).count();
    assert_eq!(by_exchange, PER_METHOD_MAX);
    assert_eq!(told(&mut cache, 9, 9, at(0)), Err(Refusal::Method));
}

#[test]
fn neighbours_share_two_places_and_an_address_one() {
    let mut cache = PeerCache::new(SECRET);
    let mut hear = |n: u32, text: &str| {
        let addresses: [SocketAddr; 1] = [text.parse().expect("an address")];
        let (method, source_ip) = (Method::Incoming, addresses[0].ip());
        let (peer, source) = (peer(n), peer(n));
        let heard = Heard { peer, addresses: &addresses, sequence: 1, method, source, source_ip };
        cache.hear(heard, at(0))
    };
    assert_eq!(hear(1, "198.51.100.1:1"), Ok(()));
    assert_eq!(hear(2, "198.51.100.1:2"), Err(Refusal::Group));
    assert_eq!(hear(3, "198.51.100.3:1"), Ok(()));
    assert_eq!(hear(4, "198.51.100.4:1"), Err(Refusal::Group));
    assert_eq!(hear(5, "0.0.0.0:4"), Err(Refusal::Addresses));
    // A local network is one group by nature.
    assert!((10..40).all(|n| hear(n, &format!("192.168.0.9:{n}")).is_ok()));
}

#[test]
fn a_newer_record_moves_a_peer_and_an_older_one_does_not() {
    let mut cache = PeerCache::new(SECRET);
    let mut hear = |sequence, text: &str| {
        let addresses: [SocketAddr; 1] = [text.parse().expect("an address")];
        let (method, source_ip) = (Method::PeerExchange, far(9).ip());
        let (peer, source) = (peer(1), peer(2));
        let heard = Heard { peer, addresses: &addresses, sequence, method, source, source_ip };
        cache.hear(heard, at(0)).expect("kept");
        cache.get(&peer).expect("known").addresses[0].to_string()
    };
    assert_eq!(hear(5, "198.51.100.1:1"), "198.51.100.1:1");
    assert_eq!(hear(4, "203.0.113.1:1"), "198.51.100.1:1");
    assert_eq!(hear(6, "203.0.113.2:1"), "203.0.113.2:1");
}

#[test]
fn a_tried_peer_gives_way_only_when_it_does_not_answer() {
    let mut cache = PeerCache::new(SECRET);
    // Far more peers answer than have places, found in six ways.
    for n in 0..600 {
        let method = Method::ALL[n as usize % 6];
        // Some ways are full by now.
        let _ = reached(&mut cache, n, method, at(u64::from(n)));
    }
    assert!(cache.counts().0 > 100 && cache.counts().0 <= TRIED_MAX, "{cache:?}");
    let tested = cache.to_test(601_000).expect("a place that another wants").peer;
    let challenger = cache.challenges[&cache.place_of(&tested).expect("known")];
    cache.is_alive(&tested, at(601));
    assert!(cache.get(&tested).is_some());
    let tested = cache.to_test(601_000).expect("another one").peer;
    let wanted = cache.place_of(&tested).expect("known");
    let next = cache.challenges[&wanted];
    assert_ne!(next, challenger);
    // While nothing can be reached, nobody is to blame.
    cache.failed(&tested, false, at(602));
    assert_eq!(cache.place_of(&tested), Some(wanted));
    cache.failed(&tested, true, at(603));
    assert_eq!((cache.place_of(&tested), cache.place_of(&next)), (None, Some(wanted)));
}

#[test]
fn peers_are_forgotten_after_days_and_strangers_after_three_failures() {
    let mut cache = PeerCache::new(SECRET);
    reached(&mut cache, 1, Method::Join, at(1_000)).expect("kept");
    told(&mut cache, 2, 1, at(1_000)).expect("kept");
    for n in 0..3 {
        assert!(cache.get(&peer(2)).is_some());
        cache.failed(&peer(1), true, at(1_001 + n));
        cache.failed(&peer(2), true, at(1_001 + n));
    }
    assert!(cache.get(&peer(2)).is_none() && cache.get(&peer(1)).is_some());
    assert!(!cache.get(&peer(1)).expect("known").is_due(1_004_000));
    cache.expire(1_000 + AGE_MAX_S);
    assert!(cache.get(&peer(1)).is_some());
    cache.expire(1_001 + AGE_MAX_S);
    assert!(cache.get(&peer(1)).is_none());
}

#[test]
fn eight_anchors_of_different_places_are_kept_over_a_restart() {
    let mut cache = PeerCache::new(SECRET);
    let peers: Vec<PeerId> = (0..20).map(peer).collect();
    for n in 0..20 {
        reached(&mut cache, n, Method::Mdns, at(1_000)).expect("kept");
    }
    cache.set_anchors(&peers, 1_000 + TABLE_TIME_MIN_S - 1);
    assert_eq!(cache.peers().filter(|known| known.is_anchor).count(), 0);
    cache.set_anchors(&peers, 1_000 + TABLE_TIME_MIN_S);
    let again = PeerCache::from_bytes(&cache.to_bytes(), SECRET).expect("reads");
    let anchors = again.peers().filter(|known| known.is_anchor);
    assert_eq!(anchors.count(), ANCHORS_MAX);
}

#[test]
fn a_file_that_is_no_cache_says_what_it_is() {
    let mut cache = PeerCache::new(SECRET);
    for n in 0..50 {
        reached(&mut cache, n, Method::Incoming, at(7)).expect("kept");
    }
    let bytes = cache.to_bytes();
    let read = |bytes: &[u8]| PeerCache::from_bytes(bytes, SECRET).map(|cache| cache.counts());
    assert_eq!(read(&bytes), Ok(cache.counts()));
    assert_eq!(read(b""), Err(PeerCacheError::NotACache));
    assert_eq!(read(b"hello, world"), Err(PeerCacheError::NotACache));
    assert_eq!(read(&bytes[..bytes.len() - 1]), Err(PeerCacheError::Checksum));
    let mut later = bytes.clone();
    later[4] = 2;
    assert_eq!(read(&later), Err(PeerCacheError::Version { theirs: 2 }));
}

/// Something that happens to a cache.
#[derive(Debug, Clone)]
enum Step {
    Hear { n: u32, source: u32, port: u16, method: usize, is_near: bool },
    Reached(u32),
    Failed(u32, bool),
    Wait(u32),
    Retract(u32, u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let n = || 0_u32..400;
    let step = prop_oneof![
        6 => (n(), n(), 1_u16..4, 0_usize..6, any::<bool>()).prop_map(
            |(n, source, port, method, is_near)| Step::Hear { n, source, port, method, is_near }),
        3 => n().prop_map(Step::Reached),
        2 => (n(), any::<bool>()).prop_map(|(n, is_online)| Step::Failed(n, is_online)),
        1 => (0_u32..90_000).prop_map(Step::Wait),
        1 => (n(), n()).prop_map(|(n, source)| Step::Retract(n, source)),
    ];
    proptest::collection::vec(step, 1..600)
}

/// Where the peers of the property test are: 400 of them in 100 address groups, or at home.
fn place(n: u32, port: u16, is_near: bool) -> SocketAddr {
    let [.., group, host] = (n * 64).to_be_bytes();
    let first = if is_near { 10 } else { 45 };
    SocketAddr::from(([first, 1, group, host], port))
}

fn filled(steps: &[Step]) -> PeerCache {
    let (mut cache, mut now) = (PeerCache::new(SECRET), at(1_000_000));
    for step in steps {
        match *step {
            Step::Hear { n, source, port, method, is_near } => {
                let addresses = [place(n, port, is_near)];
                let heard = Heard {
                    peer: peer(n),
                    addresses: &addresses,
                    sequence: now.unix_s,
                    method: Method::ALL[method],
                    source: peer(source),
                    source_ip: place(source, 1, is_near).ip(),
                };
                // A refusal is an answer too.
                let _ = cache.hear(heard, now);
            }
            Step::Reached(n) => {
                let known = cache.get(&peer(n)).map(|known| known.addresses[0]);
                if let Some(address) = known {
                    cache.reached(&peer(n), address, now);
                }
            }
            Step::Failed(n, is_online) => cache.failed(&peer(n), is_online, now),
            Step::Wait(seconds) => {
                now = at(now.unix_s + u64::from(seconds));
                cache.expire(now.unix_s);
            }
            Step::Retract(n, source) => cache.retract(&peer(n), &peer(source)),
        }
    }
    cache
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_sequence_of_events_breaks_a_bound(steps in steps()) {
        let cache = filled(&steps);
        let (mut peers, mut sources, mut methods, mut groups) =
            (BTreeSet::new(), BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for known in cache.peers() {
            prop_assert!(peers.insert(known.peer));
            *sources.entry(known.source).or_insert(0) += 1;
            *methods.entry(known.method).or_insert(0) += 1;
            for address in known.addresses.iter().filter(|at| is_counted(at.ip())) {
                if known.method.is_limited() {
                    *groups.entry(AddressGroup::of(address.ip())).or_insert(0) += 1;
                }
            }
        }
        prop_assert!(sources.values().all(|count| *count <= PER_SOURCE_MAX));
        prop_assert!(methods.values().all(|count| *count <= PER_METHOD_MAX));
        prop_assert!(groups.values().all(|count| *count <= PER_GROUP_MAX), "{groups:?}");
        for (place, challenger) in &cache.challenges {
            prop_assert!(cache.places[*place].is_some() && *place < TRIED_MAX);
            let incumbent = cache.places[*place].as_ref().map(|known| known.peer);
            prop_assert!(incumbent != Some(*challenger));
        }
    }

    #[test]
    fn a_cache_reads_back(steps in steps()) {
        let bytes = filled(&steps).to_bytes();
        prop_assert!(bytes.len() <= CACHE_FILE_MAX_BYTES);
        let again = PeerCache::from_bytes(&bytes, SECRET).expect("reads");
        prop_assert_eq!(again.to_bytes(), bytes);
    }

    #[test]
    fn any_bytes_are_a_cache_or_not(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400), steps in steps(), place: usize
    ) {
        prop_assert!(PeerCache::from_bytes(&bytes, SECRET).is_err());
        // With a header and a checksum, so that the reader behind them is reached.
        bytes.splice(0..0, *b"SWPC\x01");
        let whole = filled(&steps).to_bytes();
        let mut altered = whole[..whole.len() - 32].to_vec();
        let place = 5 + place % (altered.len() - 5);
        altered[place] ^= 1 + (place as u8 % 255);
        for mut bytes in [bytes, altered] {
            let checksum = blake3::hash(&bytes);
            bytes.extend_from_slice(checksum.as_bytes());
            if let Ok(cache) = PeerCache::from_bytes(&bytes, SECRET) {
                prop_assert_eq!(cache.to_bytes(), bytes);
            }
        }
    }
}
