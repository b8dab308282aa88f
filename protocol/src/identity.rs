//! A node's long-term Ed25519 key, and what it signs.
//!
//! Used by the handshake, by invite codes, and by whoever loads or creates the key file (an actor:
//! the 32-byte seed is all there is to store).
//! Layout of what is signed: `u16` LE length and bytes of a domain string, then for each field a
//! `u32` LE length and its bytes. So no signature for one purpose can be shown as one for another,
//! and a serializer's habits are never signed.
//!
//! The same key pair also receives sealed datagrams (`dht_datagram.rs`): its curve point in
//! Montgomery form is an X25519 public key whose secret is the scalar that signs, so a contact is a
//! peer id and an address, with nothing to certify. Thormarker (2021, "On using the same key pair
//! for Ed25519 and an X25519 based KEM") proves the two secure together in the random oracle model.
//! What keeps them apart here: signing hashes with SHA-512 only and under domain strings, Noise
//! with BLAKE2s only, and both public keys are in the hash that every seal authenticates. For the
//! whole of Noise NK that is an argument from the proof, not the proof itself.
//!
//! Errors: [`IdentityError`]. Verification is strict (RFC 8032 with small-order keys and mixed
//! representations refused), so one signature has one meaning for everybody.
//! Absent on purpose: a clock, a file, randomness; the seed comes from outside.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

use crate::ids::PeerId;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// Why a signature does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The peer id is no usable Ed25519 key.
    #[error("{0} is not a usable Ed25519 public key")]
    NotAKey(PeerId),
    /// The signature is not by this peer over these fields.
    #[error("the signature is not by {0}")]
    BadSignature(PeerId),
}

/// The key of this node. Cleared from memory when dropped.
pub struct Identity {
    key: SigningKey,
}

impl Identity {
    /// The identity of a 32-byte seed from a good source of randomness.
    #[must_use]
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = Zeroizing::new(seed);
        Self { key: SigningKey::from_bytes(&seed) }
    }

    /// The seed, for the key file.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_bytes())
    }

    /// The public key: who this node is.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        PeerId(self.key.verifying_key().to_bytes())
    }

    /// The secret of [`x25519_public`] of this peer id.
    #[must_use]
    pub fn x25519_secret(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.key.to_scalar_bytes())
    }

    /// A secret of its own for a purpose, from which the identity can't be told.
    #[must_use]
    pub fn derive_secret(&self, purpose: &str) -> [u8; 32] {
        blake3::derive_key(purpose, self.key.as_bytes())
    }

    /// Signs fields under a domain string that says what they are.
    #[must_use]
    pub fn sign(&self, domain: &str, fields: &[&[u8]]) -> [u8; SIGNATURE_BYTES] {
        self.key.sign(&canonical(domain, fields)).to_bytes()
    }
}

impl fmt::Debug for Identity {
    /// Shows who, never the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("peer_id", &self.peer_id()).finish_non_exhaustive()
    }
}

/// Checks that `peer` signed these fields under this domain.
pub fn verify(
    peer: &PeerId,
    domain: &str,
    fields: &[&[u8]],
    signature: &[u8; SIGNATURE_BYTES],
) -> Result<(), IdentityError> {
    let key = public_key(peer)?;
    let signature = Signature::from_bytes(signature);
    key.verify_strict(&canonical(domain, fields), &signature)
        .map_err(|_| IdentityError::BadSignature(*peer))
}

/// The X25519 public key under which datagrams for a peer are sealed.
///
/// A peer id and its negative (the top bit flipped) share it, so whoever uses it binds the peer id
/// itself as well.
pub fn x25519_public(peer: &PeerId) -> Result<[u8; 32], IdentityError> {
    Ok(public_key(peer)?.to_montgomery().to_bytes())
}

/// The curve point of a peer id, refused where one signature or exchange would fit anything.
fn public_key(peer: &PeerId) -> Result<VerifyingKey, IdentityError> {
    VerifyingKey::from_bytes(peer.as_bytes())
        .ok()
        .filter(|key| !key.is_weak())
        .ok_or(IdentityError::NotAKey(*peer))
}

/// The bytes a signature covers.
fn canonical(domain: &str, fields: &[&[u8]]) -> Vec<u8> {
    let length = 2 + domain.len() + fields.iter().map(|field| 4 + field.len()).sum::<usize>();
    let mut bytes = Vec::with_capacity(length);
    let domain_length = u16::try_from(domain.len()).expect("domain strings are short constants");
    bytes.extend_from_slice(&domain_length.to_le_bytes());
    bytes.extend_from_slice(domain.as_bytes());
    for field in fields {
        let field_length = u32::try_from(field.len()).expect("signed fields are bounded records");
        bytes.extend_from_slice(&field_length.to_le_bytes());
        bytes.extend_from_slice(field);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_key_of_rfc_8032_has_its_peer_id() {
        // RFC 8032, section 7.1, test 1.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let bytes = data_encoding::HEXLOWER.decode(seed.as_bytes()).expect("hex");
        let identity = Identity::from_seed(bytes.try_into().expect("32 bytes"));
        assert_eq!(data_encoding::HEXLOWER.encode(identity.peer_id().as_bytes()), public);
        assert_eq!(Identity::from_seed(*identity.seed()).peer_id(), identity.peer_id());
    }

    #[test]
    fn a_signature_holds_for_its_domain_and_fields_only() {
        let identity = Identity::from_seed([7; 32]);
        let peer = identity.peer_id();
        let signature = identity.sign("a", &[b"xy", b"z"]);
        assert_eq!(verify(&peer, "a", &[b"xy", b"z"], &signature), Ok(()));
        let bad = Err(IdentityError::BadSignature(peer));
        assert_eq!(verify(&peer, "b", &[b"xy", b"z"], &signature), bad);
        // The same bytes, divided otherwise.
        assert_eq!(verify(&peer, "a", &[b"x", b"yz"], &signature), bad);
        assert_eq!(verify(&peer, "a", &[b"xyz"], &signature), bad);
        let other = Identity::from_seed([8; 32]).peer_id();
        assert!(verify(&other, "a", &[b"xy", b"z"], &signature).is_err());
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        // The neutral element and the point of order two: with them, one signature fits anything.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut order_two = [0xff; 32];
        (order_two[0], order_two[31]) = (0xec, 0x7f);
        for key in [neutral, order_two, [0; 32]] {
            let peer = PeerId(key);
            let mut signature = [0; 64];
            signature[0] = 1;
            let result = verify(&peer, "a", &[b"b"], &signature);
            assert_eq!(result, Err(IdentityError::NotAKey(peer)));
            assert_eq!(x25519_public(&peer), Err(IdentityError::NotAKey(peer)));
        }
    }

    #[test]
    fn debug_output_hides_the_seed() {
        let shown = format!("{:?}", Identity::from_seed([0x5a; 32]));
        assert!(shown.contains("PeerId(") && !shown.contains("90, 90"));
    }

    proptest! {
        #[test]
        fn the_mapped_key_pair_is_a_key_pair(seed: [u8; 32]) {
            let identity = Identity::from_seed(seed);
            let secret = x25519_dalek::StaticSecret::from(*identity.x25519_secret());
            let public = x25519_dalek::PublicKey::from(&secret).to_bytes();
            prop_assert_eq!(x25519_public(&identity.peer_id()), Ok(public));
        }

        #[test]
        fn flipped_bits_and_forged_keys_are_refused(
            seed: [u8; 32], field: Vec<u8>, bit in 0_usize..512, forged: [u8; 32],
        ) {
            let identity = Identity::from_seed(seed);
            let mut signature = identity.sign("domain", &[&field]);
            prop_assert!(verify(&PeerId(forged), "domain", &[&field], &signature).is_err());
            signature[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(verify(&identity.peer_id(), "domain", &[&field], &signature).is_err());
        }
    }
}
