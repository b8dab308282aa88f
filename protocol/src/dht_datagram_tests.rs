//! Tests of `dht_datagram.rs`: who can read, what is refused.

use proptest::prelude::*;

use super::*;

const EPHEMERAL: [u8; KEY_BYTES] = [9; KEY_BYTES];

fn network(name: &str) -> NetworkId {
    NetworkId::new(name).expect("a name")
}

fn node(seed: u8) -> (PeerId, DatagramKeys) {
    let identity = Identity::from_seed([seed; 32]);
    (identity.peer_id(), DatagramKeys::new(&identity, network("main")))
}

fn entropy(seed: u8) -> [u8; REQUEST_ENTROPY_BYTES] {
    std::array::from_fn(|index| seed ^ (index as u8).wrapping_mul(31))
}

fn asked(class: SizeClass, body: &[u8]) -> (Vec<u8>, PendingRequest) {
    let (responder, _) = node(2);
    let (_, keys) = node(1);
    keys.request(&responder, class, body, entropy(3)).expect("seals")
}

fn open(keys: &DatagramKeys, datagram: &[u8]) -> Result<(Vec<u8>, Reply), DatagramError> {
    keys.open_request(keys.check_tag(datagram, [])?, EPHEMERAL)
}

#[test]
fn a_question_is_answered_and_nobody_is_named() {
    let (_, responder) = node(2);
    let (datagram, pending) = asked(SizeClass::Long, b"where is it?");
    assert_eq!(datagram.len(), 1200);
    let (body, reply) = open(&responder, &datagram).expect("opens");
    assert_eq!(body, b"where is it?");
    assert_eq!(reply.room(), SizeClass::Long.response_room());
    let answer = reply.seal(b"over there").expect("seals");
    assert_eq!(answer.len(), 128, "short answers to long questions are short");
    assert_eq!(answer[..REPLY_ID_BYTES], pending.reply_id());
    assert_eq!(pending.open(&answer).expect("opens"), b"over there");
}

#[test]
fn an_answer_is_never_longer_than_its_question() {
    let (_, responder) = node(2);
    for (class, next) in [(SizeClass::Probe, 512), (SizeClass::Short, 1200)] {
        let (datagram, _) = asked(class, b"?");
        let fill = |length| {
            let (_, reply) = open(&responder, &datagram).expect("opens");
            reply.seal(&vec![7; length])
        };
        let room = class.response_room();
        assert_eq!(fill(room).expect("seals").len(), datagram.len());
        assert_eq!(fill(room + 1), Err(DatagramError::Body { length: room + 1, room }));
        assert!(next > datagram.len());
    }
    let room = SizeClass::Long.request_room();
    let (_, keys) = node(1);
    let (responder, _) = node(2);
    let refused = keys.request(&responder, SizeClass::Long, &vec![0; room + 1], entropy(3));
    assert_eq!(refused.err(), Some(DatagramError::Body { length: room + 1, room }));
}

#[test]
fn others_open_nothing() {
    let (datagram, _) = asked(SizeClass::Short, b"?");
    let (_, other) = node(4);
    assert_eq!(open(&other, &datagram).err(), Some(DatagramError::Tag));
    let elsewhere = DatagramKeys::new(&Identity::from_seed([2; 32]), network("other"));
    assert_eq!(open(&elsewhere, &datagram).err(), Some(DatagramError::Tag));
    // The negative of a key seals to the same secret; the tag and the prologue tell them apart.
    let (mut negative, responder) = node(2);
    negative.0[31] ^= 0x80;
    let (_, keys) = node(1);
    let (datagram, _) = keys.request(&negative, SizeClass::Probe, b"", entropy(3)).expect("seals");
    assert_eq!(open(&responder, &datagram).err(), Some(DatagramError::Tag));
}

#[test]
fn an_answer_by_somebody_else_or_to_something_else_is_refused() {
    let (_, responder) = node(2);
    let (datagram, pending) = asked(SizeClass::Short, b"?");
    let (other_datagram, _) = asked(SizeClass::Short, b"another");
    // The same reply id by chance, under the keys of another question.
    let (_, reply) = open(&responder, &other_datagram).expect("opens");
    let answer = reply.seal(b"!").expect("seals");
    assert_eq!(pending.open(&answer), Err(DatagramError::Noise(NoiseError::Decrypt)));
    // An answer longer than the question, whoever sealed it.
    let (_, pending) = asked(SizeClass::Short, b"?");
    let length = SizeClass::Long.bytes();
    assert_eq!(pending.open(&vec![0; length]), Err(DatagramError::Length { length }));
    let (_, pending) = asked(SizeClass::Short, b"?");
    let (_, reply) = open(&responder, &datagram).expect("opens again");
    let mut answer = reply.seal(b"!").expect("seals");
    answer[0] ^= 1;
    assert_eq!(pending.open(&answer), Err(DatagramError::Tag));
}

#[test]
fn a_request_sent_again_opens_again_under_fresh_keys() {
    let (_, responder) = node(2);
    let (datagram, _) = asked(SizeClass::Probe, b"?");
    let answer = |ephemeral| {
        let checked = responder.check_tag(&datagram, []).expect("for it");
        let (_, reply) = responder.open_request(checked, ephemeral).expect("opens");
        reply.seal(b"!").expect("seals")
    };
    assert_ne!(answer([1; 32])[REPLY_ID_BYTES..], answer([2; 32])[REPLY_ID_BYTES..]);
}

#[test]
fn a_challenged_question_comes_again_with_its_cookie() {
    let (_, responder) = node(2);
    let (cookie, another) = ([5; COOKIE_BYTES], [6; COOKIE_BYTES]);
    for class in SizeClass::ALL {
        let (question, mut pending) = asked(class, b"?");
        assert!(!responder.check_tag(&question, [cookie]).expect("for it").has_cookie());
        let challenge = challenge(&question, &cookie);
        assert!(challenge.len() <= question.len(), "nobody gains by a forged address");
        assert_eq!(challenge[..REPLY_ID_BYTES], pending.tag().expect("not challenged yet"));
        let again = pending.with_cookie(&challenge).expect("a challenge");
        assert_eq!(again.len(), question.len());
        // Good where that cookie is, and nowhere else.
        assert_eq!(responder.check_tag(&again, []).err(), Some(DatagramError::Tag));
        assert_eq!(responder.check_tag(&again, [another]).err(), Some(DatagramError::Tag));
        let checked = responder.check_tag(&again, [another, cookie]).expect("for it");
        assert!(checked.has_cookie());
        let (body, reply) = responder.open_request(checked, EPHEMERAL).expect("opens");
        assert_eq!(body, b"?");
        // Once is enough, also for whoever would keep a node busy.
        assert_eq!((pending.tag(), pending.with_cookie(&challenge)), (None, None));
        assert_eq!(pending.open(&reply.seal(b"!").expect("seals")).expect("opens"), b"!");
    }
}

proptest! {
    #[test]
    fn only_who_saw_the_question_can_challenge_it(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), flip in 0_usize..128 * 8,
    ) {
        let (question, mut pending) = asked(SizeClass::Short, b"?");
        prop_assert_eq!(pending.with_cookie(&bytes), None);
        let mut altered = challenge(&question, &[5; COOKIE_BYTES]);
        altered[flip / 8] ^= 1 << (flip % 8);
        // Another cookie is one as well; it is the node's own loss.
        let is_cookie = (REPLY_ID_BYTES..REPLY_ID_BYTES + COOKIE_BYTES).contains(&(flip / 8));
        prop_assert_eq!(pending.with_cookie(&altered).is_some(), is_cookie);
    }

    #[test]
    fn any_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        let (_, responder) = node(2);
        prop_assert!(open(&responder, &bytes).is_err());
        let (_, pending) = asked(SizeClass::Long, b"?");
        prop_assert!(pending.open(&bytes).is_err());
    }

    #[test]
    fn bytes_behind_an_honest_tag_are_refused(
        long: bool, bytes in proptest::collection::vec(any::<u8>(), 1200..1201),
    ) {
        let (local, responder) = node(2);
        let class = if long { SizeClass::Long } else { SizeClass::Probe };
        let mut bytes = bytes[..class.bytes()].to_vec();
        let tag = tag_of(&digest_of(&tag_key(&local, &network("main")), &bytes[REPLY_ID_BYTES..]));
        bytes[..REPLY_ID_BYTES].copy_from_slice(&tag);
        prop_assert!(responder.check_tag(&bytes, []).is_ok());
        prop_assert!(open(&responder, &bytes).is_err());
    }

    #[test]
    fn a_flipped_bit_is_noticed_both_ways(place in 0_usize..512 * 8) {
        let (local, responder) = node(2);
        let (mut datagram, pending) = asked(SizeClass::Short, b"?");
        let (_, reply) = open(&responder, &datagram).expect("opens");
        let mut answer = reply.seal(&[1; 400]).expect("seals");
        answer[place / 8] ^= 1 << (place % 8);
        prop_assert!(pending.open(&answer).is_err());
        datagram[place / 8] ^= 1 << (place % 8);
        prop_assert!(open(&responder, &datagram).is_err());
        // Also by someone who makes the tag anew.
        let key = tag_key(&local, &network("main"));
    let tag = tag_of(&digest_of(&key, &datagram[REPLY_ID_BYTES..]));
        datagram[..REPLY_ID_BYTES].copy_from_slice(&tag);
        let opened = open(&responder, &datagram).is_ok();
        prop_assert_eq!(opened, place / 8 < REPLY_ID_BYTES);
    }

    #[test]
    fn bodies_come_back(body in proptest::collection::vec(any::<u8>(), 0..1118)) {
        let (_, responder) = node(2);
        let (datagram, pending) = asked(SizeClass::Long, &body);
        let (read, reply) = open(&responder, &datagram).expect("opens");
        prop_assert_eq!(&read, &body);
        let answer = reply.seal(&body).expect("seals");
        prop_assert!(answer.len() <= datagram.len());
        prop_assert_eq!(pending.open(&answer).expect("opens"), body);
    }

    #[test]
    fn padding_has_one_spelling(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(body) = unpad(&bytes) {
            let mut again = Vec::new();
            pad(&body, bytes.len() - LENGTH_BYTES, &mut again).expect("fits");
            prop_assert_eq!(again, bytes);
        }
    }
}
