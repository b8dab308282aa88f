//! What a datagram costs the node that receives it: hashes if it is garbage, a key exchange if it
//! is a question. The figures are printed:
//! `cargo test -p swarmllm-protocol --test datagram_cost -- --nocapture`.

use std::time::Instant;

use swarmllm_protocol::{
    cookie::CookieKeys,
    dht_datagram::{DatagramKeys, REQUEST_ENTROPY_BYTES, SizeClass},
    identity::Identity,
    ids::NetworkId,
};

/// Microseconds to look at a datagram, the best of several rounds: a busy machine only adds.
fn cost_us(keys: &DatagramKeys, datagram: &[u8], runs: u32, opens: bool) -> f64 {
    let cookies = CookieKeys::new("a test", [4; 32]);
    let from = "192.0.2.1:9".parse().expect("an address");
    let round = |_| {
        let began = Instant::now();
        for _ in 0..runs {
            let checked = keys.check_tag(datagram, cookies.good(from, 0));
            let opened = checked.and_then(|checked| keys.open_request(checked, [9; 32]));
            assert_eq!(opened.is_ok(), opens);
        }
        began.elapsed().as_secs_f64() * 1e6 / f64::from(runs)
    };
    (0..10).map(round).fold(f64::INFINITY, f64::min)
}

#[test]
fn garbage_costs_a_hash() {
    let identity = Identity::from_seed([2; 32]);
    let keys = DatagramKeys::new(&identity, NetworkId::default());
    let (long, entropy) = (SizeClass::Long, [3; REQUEST_ENTROPY_BYTES]);
    let (question, _) = keys.request(&identity.peer_id(), long, b"?", entropy).expect("seals");
    let garbage_us = cost_us(&keys, &vec![0x5a; long.bytes()], 200, false);
    let question_us = cost_us(&keys, &question, 20, true);
    eprintln!("a garbage datagram costs {garbage_us:.2} us, a question {question_us:.1} us");
    assert!(garbage_us * 5.0 < question_us, "{garbage_us} us against {question_us} us");
}
