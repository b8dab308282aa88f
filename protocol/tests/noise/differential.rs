//! Our handshake against another implementation (`snow`): both directions, random prologues,
//! secrets and payloads, with and without flipped bits. Both must accept and refuse the same, and
//! agree on payloads, keys and the handshake hash.

use bytes::BytesMut;
use proptest::prelude::*;
use swarmllm_protocol::noise::{Blake2s, Handshake, HandshakeKeys, NK, Pattern, Role, XX, XXPSK3};
use x25519_dalek::{PublicKey, StaticSecret};

/// Everything a handshake is made of.
#[derive(Debug, Clone)]
struct Case {
    pattern: Pattern,
    /// Whether the initiator knows another static key than the responder's, where it knows one.
    knows_another: bool,
    statics: [[u8; 32]; 2],
    ephemerals: [[u8; 32]; 2],
    prologues: [Vec<u8>; 2],
    secrets: Option<[[u8; 32]; 2]>,
    payloads: [Vec<u8>; 3],
    /// Which message gets which bit flipped, if any.
    flip: Option<(usize, usize)>,
}

fn case() -> impl Strategy<Value = Case> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..200);
    // Mostly the same on both sides, sometimes not.
    let prologues = (bytes(), bytes(), 0..10_u8).prop_map(|(ours, other, choice)| {
        let theirs = if choice == 0 { other } else { ours.clone() };
        [ours, theirs]
    });
    let pattern = prop_oneof![Just(XX), Just(XXPSK3), Just(NK)];
    let secrets = (any::<[u8; 32]>(), any::<[u8; 32]>(), 0..10_u8)
        .prop_map(|(one, two, choice)| if choice == 0 { [one, two] } else { [one, one] });
    let flip = proptest::option::of((0..3_usize, any::<usize>()));
    let keys = (any::<[[u8; 32]; 2]>(), any::<[[u8; 32]; 2]>(), 0..10_u8);
    (pattern, keys, prologues, secrets, [bytes(), bytes(), bytes()], flip).prop_map(
        |(pattern, (statics, ephemerals, choice), prologues, secrets, payloads, flip)| Case {
            pattern,
            knows_another: choice == 0,
            statics,
            ephemerals,
            prologues,
            secrets: pattern.has_psk().then_some(secrets),
            payloads,
            flip,
        },
    )
}

/// One side of a handshake, ours or the other implementation's.
trait Side {
    fn write(&mut self, payload: &[u8]) -> Option<Vec<u8>>;
    fn read(&mut self, message: &[u8]) -> Option<Vec<u8>>;
    fn hash(&self) -> Vec<u8>;
    fn remote_static(&self) -> Option<Vec<u8>>;
}

struct Ours(Handshake<Blake2s>);

impl Side for Ours {
    fn write(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = BytesMut::new();
        self.0.write_message(payload, &mut out).ok()?;
        Some(out.to_vec())
    }

    fn read(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.read_message(message).ok()?.to_vec())
    }

    fn hash(&self) -> Vec<u8> {
        self.0.hash().to_vec()
    }

    fn remote_static(&self) -> Option<Vec<u8>> {
        Some(self.0.remote_static()?.to_vec())
    }
}

struct Theirs(snow::HandshakeState);

impl Side for Theirs {
    fn write(&mut self, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; 65_535];
        let length = self.0.write_message(payload, &mut out).ok()?;
        out.truncate(length);
        Some(out)
    }

    fn read(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        let mut out = vec![0; 65_535];
        let length = self.0.read_message(message, &mut out).ok()?;
        out.truncate(length);
        Some(out)
    }

    fn hash(&self) -> Vec<u8> {
        self.0.get_handshake_hash().to_vec()
    }

    fn remote_static(&self) -> Option<Vec<u8>> {
        Some(self.0.get_remote_static()?.to_vec())
    }
}

/// What the initiator takes for the responder's static key.
fn known_key(case: &Case) -> [u8; 32] {
    let owner = usize::from(!case.knows_another);
    PublicKey::from(&StaticSecret::from(case.statics[owner])).to_bytes()
}

/// Whether this side has a static key of its own.
fn has_static(case: &Case, role: Role) -> bool {
    case.pattern != NK || role == Role::Responder
}

/// Whether this side must know the other's static key beforehand.
fn knows_static(case: &Case, role: Role) -> bool {
    case.pattern == NK && role == Role::Initiator
}

fn ours(case: &Case, role: Role) -> Ours {
    let side = usize::from(role == Role::Responder);
    let keys = HandshakeKeys {
        static_private: has_static(case, role).then(|| case.statics[side].into()),
        ephemeral_private: Some(case.ephemerals[side].into()),
        remote_static: knows_static(case, role).then(|| known_key(case)),
        pre_shared: case.secrets.iter().map(|secrets| secrets[side].into()).collect(),
    };
    Ours(Handshake::new(case.pattern, role, &case.prologues[side], keys).unwrap())
}

fn theirs(case: &Case, role: Role) -> Theirs {
    let side = usize::from(role == Role::Responder);
    let name = format!("Noise_{}_25519_ChaChaPoly_BLAKE2s", case.pattern.name);
    let known = known_key(case);
    let mut builder = snow::Builder::new(name.parse().unwrap())
        .fixed_ephemeral_key_for_testing_only(&case.ephemerals[side])
        .prologue(&case.prologues[side])
        .unwrap();
    if has_static(case, role) {
        builder = builder.local_private_key(&case.statics[side]).unwrap();
    }
    if knows_static(case, role) {
        builder = builder.remote_public_key(&known).unwrap();
    }
    if let Some(secrets) = &case.secrets {
        builder = builder.psk(3, &secrets[side]).unwrap();
    }
    Theirs(match role {
        Role::Initiator => builder.build_initiator().unwrap(),
        Role::Responder => builder.build_responder().unwrap(),
    })
}

/// What one run gave: the payloads that were read, in order, and both hashes at its end.
#[derive(Debug, PartialEq)]
struct Outcome {
    read: Vec<Vec<u8>>,
    written: Vec<Vec<u8>>,
    hashes: [Vec<u8>; 2],
    statics: [Option<Vec<u8>>; 2],
}

fn play(case: &Case, initiator: &mut dyn Side, responder: &mut dyn Side) -> Outcome {
    let (mut read, mut written) = (Vec::new(), Vec::new());
    let n_messages = case.pattern.messages.len();
    for (index, payload) in case.payloads.iter().enumerate().take(n_messages) {
        let (writer, reader): (&mut dyn Side, &mut dyn Side) = match index % 2 {
            0 => (&mut *initiator, &mut *responder),
            _ => (&mut *responder, &mut *initiator),
        };
        let Some(mut message) = writer.write(payload) else { break };
        if let Some((_, bit)) = case.flip.filter(|(which, _)| *which == index) {
            let bit = bit % (message.len() * 8);
            message[bit / 8] ^= 1 << (bit % 8);
        }
        written.push(message.clone());
        let Some(payload) = reader.read(&message) else { break };
        read.push(payload);
    }
    // After a failure a handshake is dropped, so its hash then means nothing.
    let is_whole = read.len() == n_messages;
    let hash = |side: &dyn Side| if is_whole { side.hash() } else { Vec::new() };
    let learned = |side: &dyn Side| side.remote_static().filter(|_| is_whole);
    Outcome {
        hashes: [hash(initiator), hash(responder)],
        statics: [learned(initiator), learned(responder)],
        read,
        written,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(
        std::env::var("SWARMLLM_DIFFERENTIAL_CASES")
            .ok()
            .and_then(|cases| cases.parse().ok())
            .unwrap_or(256)
    ))]

    #[test]
    fn both_implementations_say_the_same(case in case()) {
        let (initiate, respond) = (Role::Initiator, Role::Responder);
        let alone = play(&case, &mut ours(&case, initiate), &mut ours(&case, respond));
        let call = play(&case, &mut ours(&case, initiate), &mut theirs(&case, respond));
        let answer = play(&case, &mut theirs(&case, initiate), &mut ours(&case, respond));
        let other = play(&case, &mut theirs(&case, initiate), &mut theirs(&case, respond));
        prop_assert_eq!(&alone, &call);
        prop_assert_eq!(&alone, &answer);
        prop_assert_eq!(&alone, &other);
        let n_messages = case.pattern.messages.len();
        let is_honest = case.flip.is_none_or(|(message, _)| message >= n_messages)
            && case.prologues[0] == case.prologues[1]
            && case.secrets.is_none_or(|[one, two]| one == two)
            && (case.pattern != NK || !case.knows_another);
        prop_assert_eq!(alone.read.len() == n_messages, is_honest, "{:?}", alone);
        if is_honest {
            prop_assert_eq!(&alone.read[..], &case.payloads[..n_messages]);
            prop_assert_eq!(&alone.hashes[0], &alone.hashes[1]);
        }
    }

    #[test]
    fn records_pass_between_both_implementations(
        case in case(), texts in proptest::collection::vec(
            proptest::collection::vec(any::<u8>(), 0..3_000), 1..6),
    ) {
        let mut case = case;
        case.flip = None;
        case.prologues[1] = case.prologues[0].clone();
        case.secrets = case.secrets.map(|[one, _]| [one, one]);
        case.knows_another = false;
        let (mut one, mut two) = (ours(&case, Role::Initiator), theirs(&case, Role::Responder));
        let read = play(&case, &mut one, &mut two).read;
        prop_assert_eq!(read.len(), case.pattern.messages.len());
        let mut ours = one.0.into_transport().unwrap();
        let mut theirs = two.0.into_transport_mode().unwrap();
        for text in texts {
            let mut buffer = vec![0; 65_535];
            let mut record = BytesMut::from(text.as_slice());
            ours.sending.seal_tail(&[], &mut record, 0).unwrap();
            let length = theirs.read_message(&record, &mut buffer).unwrap();
            prop_assert_eq!(&buffer[..length], &text);
            let length = theirs.write_message(&text, &mut buffer).unwrap();
            let mut record = BytesMut::from(&buffer[..length]);
            ours.receiving.open(&[], &mut record).unwrap();
            prop_assert_eq!(&record[..], &text);
        }
    }
}
