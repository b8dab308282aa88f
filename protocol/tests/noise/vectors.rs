//! The public cacophony vectors: every byte of every message, both sides, and the handshake hash.

use bytes::BytesMut;
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};
use swarmllm_protocol::noise::{Blake2s, Handshake, HandshakeKeys, NoiseHash, Role};

use crate::patterns::pattern;

/// The other hash of the public vectors, so that they test the same state machine.
struct Sha2;

impl NoiseHash for Sha2 {
    const NAME: &'static str = "SHA256";

    fn hash(parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = Sha256::new();
        parts.iter().for_each(|part| hasher.update(part));
        hasher.finalize().into()
    }
}

fn bytes(vector: &Value, field: &str) -> Option<Vec<u8>> {
    Some(HEXLOWER.decode(vector.get(field)?.as_str()?.as_bytes()).unwrap())
}

fn side<H: NoiseHash>(vector: &Value, name: &str, role: Role, prefix: &str) -> Handshake<H> {
    let key = |field: &str| {
        bytes(vector, &format!("{prefix}_{field}")).map(|key| <[u8; 32]>::try_from(key).unwrap())
    };
    let secrets = vector.get(format!("{prefix}_psks")).and_then(Value::as_array);
    let secret = |text: &Value| HEXLOWER.decode(text.as_str().unwrap().as_bytes()).unwrap();
    let keys = HandshakeKeys {
        static_private: key("static").map(Into::into),
        ephemeral_private: key("ephemeral").map(Into::into),
        remote_static: key("remote_static"),
        pre_shared: secrets
            .into_iter()
            .flatten()
            .map(|text| <[u8; 32]>::try_from(secret(text)).unwrap().into())
            .collect(),
    };
    let prologue = bytes(vector, &format!("{prefix}_prologue")).unwrap();
    Handshake::new(pattern(name).unwrap(), role, &prologue, keys).unwrap()
}

fn check<H: NoiseHash>(vector: &Value, name: &str) {
    let mut initiator = side::<H>(vector, name, Role::Initiator, "init");
    let mut responder = side::<H>(vector, name, Role::Responder, "resp");
    let messages = vector["messages"].as_array().unwrap();
    let mut rest = messages.iter().enumerate();
    while !initiator.is_finished() {
        let (index, message) = rest.next().unwrap();
        let (writer, reader) = match index % 2 {
            0 => (&mut initiator, &mut responder),
            _ => (&mut responder, &mut initiator),
        };
        let (payload, expected) =
            (bytes(message, "payload").unwrap(), bytes(message, "ciphertext").unwrap());
        let mut written = BytesMut::new();
        writer.write_message(&payload, &mut written).unwrap();
        assert_eq!(written, expected, "{name}, message {index}");
        assert_eq!(reader.read_message(&expected).unwrap(), payload, "{name}, message {index}");
    }
    let hash = bytes(vector, "handshake_hash").unwrap();
    assert_eq!(initiator.hash().as_slice(), hash, "{name}");
    assert_eq!(responder.hash().as_slice(), hash, "{name}");
    let is_one_way = pattern(name).unwrap().messages.len() == 1;
    let mut initiator = initiator.into_transport().unwrap();
    let mut responder = responder.into_transport().unwrap();
    for (index, message) in rest {
        let (writer, reader) = match index % 2 {
            1 if !is_one_way => (&mut responder, &mut initiator),
            _ => (&mut initiator, &mut responder),
        };
        let payload = bytes(message, "payload").unwrap();
        let mut record = BytesMut::from(payload.as_slice());
        writer.sending.seal_tail(&[], &mut record, 0).unwrap();
        assert_eq!(record, bytes(message, "ciphertext").unwrap(), "{name}, message {index}");
        reader.receiving.open(&[], &mut record).unwrap();
        assert_eq!(record, payload, "{name}, message {index}");
    }
}

/// Runs every vector of a file; how many there were.
fn check_all(text: &str) -> usize {
    let file: Value = serde_json::from_str(text).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    for vector in vectors {
        let name: Vec<&str> = vector["protocol_name"].as_str().unwrap().split('_').collect();
        let ["Noise", pattern, "25519", "ChaChaPoly", hash] = name[..] else {
            panic!("another suite: {name:?}");
        };
        match hash {
            "BLAKE2s" => check::<Blake2s>(vector, pattern),
            "SHA256" => check::<Sha2>(vector, pattern),
            other => panic!("another hash: {other}"),
        }
    }
    vectors.len()
}

#[test]
fn the_vectors_of_our_patterns_hold() {
    assert_eq!(check_all(include_str!("../data/noise_vectors.json")), 3);
}

#[test]
fn every_public_vector_holds() {
    let Ok(folder) = std::env::var("SWARMLLM_CONFORMANCE") else {
        eprintln!("SKIPPED: all 118 public vectors need SWARMLLM_CONFORMANCE");
        return;
    };
    // A relative folder counts from the workspace; tests run in their crate's folder.
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let path = std::path::Path::new(root).join(folder);
    let path = path.join("noise/cacophony-25519-chachapoly.json").display().to_string();
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(check_all(&text), 118);
}
