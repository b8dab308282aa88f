//! A connection's own handshake against another implementation (`snow`), from what the documents
//! say of its layout: plain and with a secret shared beforehand.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::prelude::*;
use swarmllm_protocol::{
    connection::{Connection, ConnectionConfig, ConnectionEvent, PreSharedKey},
    identity::Identity,
    ids::NetworkId,
    limits::{HANDSHAKE_MESSAGE_BYTES, PROTOCOL_VERSION},
};

/// Where the Noise message lies in message 1: behind magic, version, secret's name and cookie, and
/// before the tag.
const NOISE: std::ops::Range<usize> = 42..HANDSHAKE_MESSAGE_BYTES - 16;

fn prologue(network: &NetworkId, secret: &[u8; 16]) -> Vec<u8> {
    let name = network.as_str().as_bytes();
    let version = PROTOCOL_VERSION.to_le_bytes();
    [b"swarmllm/1 connection", &version[..], &[name.len() as u8], name, secret].concat()
}

fn record(connection: &mut Connection) -> Vec<u8> {
    let mut out = BytesMut::new();
    assert!(connection.poll_transmit(&mut out));
    out[2..].to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn another_implementation_answers_a_connection(
        entropy in proptest::collection::vec(any::<u8>(), 64),
        statics: [u8; 32],
        secret in proptest::option::of((any::<[u8; 16]>(), any::<[u8; 32]>(), any::<bool>())),
    ) {
        let secret = secret.filter(|(id, ..)| *id != [0; 16]);
        let network = NetworkId::default();
        let ours = Arc::new(Identity::from_seed([1; 32]));
        let theirs = Identity::from_seed([2; 32]);
        let config = ConnectionConfig {
            pre_shared: secret.map(|(id, key, _)| PreSharedKey::new(id, key)),
            ..ConnectionConfig::new(Arc::clone(&ours), network.clone())
        };
        let mut connection = Connection::initiator(config, entropy.try_into().unwrap(), 0);
        let opening = record(&mut connection);

        let (id, key, knows_it) = secret.unwrap_or(([0; 16], [0; 32], true));
        let pattern = if secret.is_some() { "XXpsk3" } else { "XX" };
        let name = format!("Noise_{pattern}_25519_ChaChaPoly_BLAKE2s");
        let prologue = prologue(&network, &id);
        let key = if knows_it { key } else { [0x5a; 32] };
        let mut builder = snow::Builder::new(name.parse().unwrap())
            .local_private_key(&statics).unwrap()
            .prologue(&prologue).unwrap();
        if secret.is_some() {
            builder = builder.psk(3, &key).unwrap();
        }
        let mut snow = builder.build_responder().unwrap();
        let mut buffer = vec![0; 65_535];
        let length = snow.read_message(&opening[NOISE], &mut buffer).unwrap();
        prop_assert!(buffer[..length].iter().all(|byte| *byte == 0));

        let public = x25519_dalek::PublicKey::from(&x25519_dalek::StaticSecret::from(statics));
        let signature = theirs.sign("swarmllm/1 noise static key", &[public.as_bytes()]);
        let mut proof = [theirs.peer_id().0.as_slice(), &signature].concat();
        proof.resize(HANDSHAKE_MESSAGE_BYTES - 32 - 48 - 16, 0);
        let length = snow.write_message(&proof, &mut buffer).unwrap();
        let event = connection.receive_record(BytesMut::from(&buffer[..length]), 0).unwrap();
        let Some(ConnectionEvent::Established { peer, binding, pre_shared }) = event else {
            panic!("{event:?}");
        };
        prop_assert_eq!(peer, theirs.peer_id());
        prop_assert_eq!(pre_shared, secret.map(|(id, ..)| id));

        let closing = record(&mut connection);
        let read = snow.read_message(&closing, &mut buffer);
        prop_assert_eq!(read.is_ok(), knows_it);
        if knows_it {
            prop_assert_eq!(buffer[..32].to_vec(), ours.peer_id().0.to_vec());
            prop_assert_eq!(snow.get_handshake_hash(), binding);
        }
    }
}
