//! The handshake state machine: runs the tokens of any pattern, one message at a time.
//!
//! Called by `connection.rs` (XX) and by the conformance tests (every public pattern).
//! Layout of a message: the keys its tokens say (32 bytes, 48 once sealed), then the payload
//! (sealed once there is a key).
//! Errors: [`NoiseError`]; the caller drops the handshake at the first one.
//! Source: Noise specification revision 34, sections 5.3, 7 and 9.
//! Absent on purpose: generation of keys; they are arguments, fresh for every handshake.

use std::collections::VecDeque;

use bytes::BytesMut;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::{
    Blake2s, KEY_BYTES, NoiseError, NoiseHash, Pattern, Token, Transport, symmetric::SymmetricState,
};
use crate::limits::TAG_BYTES;

/// Which side of a handshake this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Sends the first message.
    Initiator,
    /// Answers it.
    Responder,
}

/// The keys a handshake starts with. Which ones are needed, the pattern says.
#[derive(Default)]
pub struct HandshakeKeys {
    /// Our static private key.
    pub static_private: Option<Zeroizing<[u8; KEY_BYTES]>>,
    /// Our ephemeral private key: random, never used twice.
    pub ephemeral_private: Option<Zeroizing<[u8; KEY_BYTES]>>,
    /// The other side's static public key, where it is known beforehand.
    pub remote_static: Option<[u8; KEY_BYTES]>,
    /// Secrets shared beforehand, in the order the pattern uses them.
    pub pre_shared: Vec<Zeroizing<[u8; KEY_BYTES]>>,
}

/// A handshake under way.
pub struct Handshake<H = Blake2s> {
    symmetric: SymmetricState<H>,
    pattern: Pattern,
    role: Role,
    next_message: usize,
    static_key: Option<StaticSecret>,
    /// The public half of `static_key`, computed once.
    static_public: Option<PublicKey>,
    ephemeral: Option<StaticSecret>,
    remote_static: Option<PublicKey>,
    remote_ephemeral: Option<PublicKey>,
    pre_shared: VecDeque<Zeroizing<[u8; KEY_BYTES]>>,
}

impl<H: NoiseHash> Handshake<H> {
    /// Starts a handshake. Both sides must give the same prologue, or it fails.
    pub fn new(
        pattern: Pattern,
        role: Role,
        prologue: &[u8],
        keys: HandshakeKeys,
    ) -> Result<Self, NoiseError> {
        let name = format!("Noise_{}_25519_ChaChaPoly_{}", pattern.name, H::NAME);
        let mut symmetric = SymmetricState::new(&name);
        symmetric.mix_hash(prologue);
        let secret = |key: Zeroizing<[u8; KEY_BYTES]>| StaticSecret::from(*key);
        let static_key = keys.static_private.map(secret);
        let static_public = static_key.as_ref().map(PublicKey::from);
        let mut handshake = Self {
            symmetric,
            pattern,
            role,
            next_message: 0,
            static_key,
            static_public,
            ephemeral: keys.ephemeral_private.map(secret),
            remote_static: keys.remote_static.map(PublicKey::from),
            remote_ephemeral: None,
            pre_shared: keys.pre_shared.into(),
        };
        for (side, tokens) in
            [(Role::Initiator, pattern.initiator_known), (Role::Responder, pattern.responder_known)]
        {
            for token in tokens {
                let key = handshake.known_key(side, *token)?;
                handshake.symmetric.mix_hash(key.as_bytes());
            }
        }
        Ok(handshake)
    }

    /// A public key that both sides have before the first message.
    fn known_key(&self, side: Role, token: Token) -> Result<PublicKey, NoiseError> {
        match (token, side == self.role) {
            (Token::S, true) => self.our_static_public(),
            (Token::S, false) => self.remote_static.ok_or(NoiseError::MissingKey("their static")),
            _ => Err(NoiseError::MissingKey("a pattern this program knows")),
        }
    }

    fn our_static_public(&self) -> Result<PublicKey, NoiseError> {
        self.static_public.ok_or(NoiseError::MissingKey("our static key"))
    }

    fn static_secret(&self) -> Result<&StaticSecret, NoiseError> {
        self.static_key.as_ref().ok_or(NoiseError::MissingKey("our static key"))
    }

    fn ephemeral_secret(&self) -> Result<&StaticSecret, NoiseError> {
        self.ephemeral.as_ref().ok_or(NoiseError::MissingKey("our ephemeral key"))
    }

    /// Whether the next message is ours to write.
    #[must_use]
    pub fn is_my_turn(&self) -> bool {
        let initiators = self.next_message.is_multiple_of(2);
        !self.is_finished() && initiators == (self.role == Role::Initiator)
    }

    /// Whether every message has been written or read.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.next_message == self.pattern.messages.len()
    }

    /// The hash over the whole handshake: after its end, a name for this one connection.
    #[must_use]
    pub fn hash(&self) -> [u8; KEY_BYTES] {
        *self.symmetric.hash()
    }

    /// The other side's static public key, as soon as it is known.
    #[must_use]
    pub fn remote_static(&self) -> Option<[u8; KEY_BYTES]> {
        self.remote_static.map(|key| key.to_bytes())
    }

    /// Our static public key.
    #[must_use]
    pub fn local_static(&self) -> Option<[u8; KEY_BYTES]> {
        self.static_public.map(|key| key.to_bytes())
    }

    /// Appends our next message, with `payload`, to `out`.
    pub fn write_message(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), NoiseError> {
        if !self.is_my_turn() {
            return Err(NoiseError::OutOfTurn("sent"));
        }
        for token in self.pattern.messages[self.next_message] {
            match token {
                Token::E => {
                    let public = PublicKey::from(self.ephemeral_secret()?);
                    out.extend_from_slice(public.as_bytes());
                    self.mix_ephemeral(&public);
                }
                Token::S => {
                    let public = self.our_static_public()?;
                    self.symmetric.encrypt_and_hash(public.as_bytes(), out)?;
                }
                other => self.mix(*other)?,
            }
        }
        self.symmetric.encrypt_and_hash(payload, out)?;
        self.next_message += 1;
        Ok(())
    }

    /// Reads the other side's next message and returns its payload.
    pub fn read_message(&mut self, message: &[u8]) -> Result<BytesMut, NoiseError> {
        if self.is_finished() || self.is_my_turn() {
            return Err(NoiseError::OutOfTurn("received"));
        }
        let mut rest = message;
        let mut take = |length: usize| {
            let (taken, left) = rest
                .split_at_checked(length)
                .ok_or(NoiseError::Truncated { length: message.len() })?;
            rest = left;
            Ok(taken)
        };
        for token in self.pattern.messages[self.next_message] {
            match token {
                Token::E => {
                    let public = PublicKey::from(key_from(take(KEY_BYTES)?));
                    self.remote_ephemeral = Some(public);
                    self.mix_ephemeral(&public);
                }
                Token::S => {
                    let tag = if self.symmetric.has_key() { TAG_BYTES } else { 0 };
                    let opened = self.symmetric.decrypt_and_hash(take(KEY_BYTES + tag)?)?;
                    self.remote_static = Some(PublicKey::from(key_from(&opened)));
                }
                other => self.mix(*other)?,
            }
        }
        let payload = self.symmetric.decrypt_and_hash(rest)?;
        self.next_message += 1;
        Ok(payload)
    }

    fn mix_ephemeral(&mut self, public: &PublicKey) {
        self.symmetric.mix_hash(public.as_bytes());
        if self.pattern.has_psk() {
            self.symmetric.mix_key(public.as_bytes());
        }
    }

    /// Mixes a pair of keys, or a pre-shared one.
    fn mix(&mut self, token: Token) -> Result<(), NoiseError> {
        if token == Token::Psk {
            let secret = self.pre_shared.pop_front().ok_or(NoiseError::MissingKey("a secret"))?;
            self.symmetric.mix_key_and_hash(secret.as_slice());
            return Ok(());
        }
        let initiator = self.role == Role::Initiator;
        let (ours_is_static, theirs_is_static) = match token {
            Token::Es => (!initiator, initiator),
            Token::Se => (initiator, !initiator),
            Token::Ss => (true, true),
            _ => (false, false),
        };
        let ours = if ours_is_static { self.static_secret()? } else { self.ephemeral_secret()? };
        let theirs = if theirs_is_static { self.remote_static } else { self.remote_ephemeral };
        let shared = ours.diffie_hellman(&theirs.ok_or(NoiseError::MissingKey("their key"))?);
        if !shared.was_contributory() {
            return Err(NoiseError::LowOrderKey);
        }
        self.symmetric.mix_key(shared.as_bytes());
        Ok(())
    }

    /// A secret that only these two sides have, once every message is through: mixed into their
    /// next handshake, it makes that one theirs too.
    pub fn chain_secret(&self) -> Result<Zeroizing<[u8; KEY_BYTES]>, NoiseError> {
        if !self.is_finished() {
            return Err(NoiseError::OutOfTurn("derived from"));
        }
        Ok(self.symmetric.chain_secret())
    }

    /// The record keys, once every message is through.
    pub fn into_transport(self) -> Result<Transport, NoiseError> {
        if !self.is_finished() {
            return Err(NoiseError::OutOfTurn("sealed"));
        }
        let (initiator, responder) = self.symmetric.split();
        Ok(match self.role {
            Role::Initiator => Transport { sending: initiator, receiving: responder },
            Role::Responder => Transport { sending: responder, receiving: initiator },
        })
    }
}

fn key_from(bytes: &[u8]) -> [u8; KEY_BYTES] {
    bytes.try_into().expect("taken with the length of a key")
}

#[cfg(test)]
mod tests {
    use super::{super::XX, *};

    fn pair() -> (Handshake, Handshake) {
        let side = |role, seed: u8| {
            let keys = HandshakeKeys {
                static_private: Some(Zeroizing::new([seed; 32])),
                ephemeral_private: Some(Zeroizing::new([seed + 1; 32])),
                ..HandshakeKeys::default()
            };
            Handshake::<Blake2s>::new(XX, role, b"prologue", keys).expect("XX needs no more")
        };
        (side(Role::Initiator, 1), side(Role::Responder, 3))
    }

    #[test]
    fn turns_are_kept() {
        let (mut initiator, mut responder) = pair();
        let mut out = BytesMut::new();
        let early = responder.write_message(&[], &mut out);
        assert_eq!(early, Err(NoiseError::OutOfTurn("sent")));
        assert!(initiator.read_message(&[0; 64]).is_err());
        initiator.write_message(b"hi", &mut out).expect("first message");
        assert!(initiator.write_message(b"hi", &mut out).is_err());
        assert_eq!(&responder.read_message(&out).expect("reads")[..], b"hi");
        assert!(initiator.into_transport().is_err());
    }

    #[test]
    fn keys_of_small_order_are_refused() {
        // u = 0, u = 1 and a point of order eight: every secret gives the same shared key, zero.
        let eight = "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800";
        let mut one = [0; 32];
        one[0] = 1;
        let eight = data_encoding::HEXLOWER.decode(eight.as_bytes()).expect("hex");
        for key in [[0; 32], one, key_from(&eight)] {
            let (_, mut responder) = pair();
            responder.read_message(&key).expect("message 1 is only a key");
            let result = responder.write_message(&[], &mut BytesMut::new());
            assert_eq!(result, Err(NoiseError::LowOrderKey));
        }
    }

    #[test]
    fn a_short_message_is_truncated() {
        let (mut initiator, mut responder) = pair();
        assert_eq!(responder.read_message(&[0; 31]), Err(NoiseError::Truncated { length: 31 }));
        let mut out = BytesMut::new();
        initiator.write_message(&[], &mut out).expect("first message");
        let mut second = BytesMut::new();
        let (_, mut fresh) = pair();
        fresh.read_message(&out).expect("reads");
        fresh.write_message(&[], &mut second).expect("second message");
        assert_eq!(second.len(), 32 + 48 + 16);
        assert!(initiator.read_message(&second[..80]).is_err());
    }
}
