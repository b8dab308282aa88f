//! Invite codes: one line of text with which a friend's node finds this one and knows it is the
//! right one.
//!
//! Made by `swarmllm invite`, read by `--join`; both through the node.
//! Text: `swarm://` and lower-case base32 (RFC 4648, no padding; upper case is read as well) of
//! version `u8` | network length `u8`, ASCII | inviter 32 | invite id 16 | expiry `u64` LE, Unix
//! seconds | uses `u32` LE | grant (`membership.rs`) | address count `u8` | addresses
//! (`address.rs`) | Ed25519 signature of the inviter over all before and the secret's hash (64) |
//! secret 32 | first 4 bytes of BLAKE3 over all before.
//! The checksum tells a slip of the pen from a forgery; only the signature protects. Who proves to
//! have the secret, as the pre-shared key of the handshake, is admitted: a code is a key, so
//! nothing here prints it but [`InviteCode::text`].
//! Errors: [`InviteError`], which says which of the many things is wrong.
//! Absent on purpose: how often a code was used. Only its inviter knows (`redemption.rs`).

use std::{fmt, net::SocketAddr};

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use crate::{
    address::{self, take},
    identity::{self, Identity, SIGNATURE_BYTES},
    ids::{InviteId, NetworkId, PeerId},
    limits::{ADDRESSES_MAX, INVITE_MAX_CHARS, INVITE_USES_MAX},
    membership::Grant,
};

/// What every code begins with.
pub const INVITE_PREFIX: &str = "swarm://";

/// The version of codes this program writes and reads.
pub const INVITE_VERSION: u8 = 2;

/// Bytes of the secret of an invite, and of the key made from it.
pub const INVITE_SECRET_BYTES: usize = 32;

/// Something only the inviter and the invited know. Cleared from memory when dropped.
pub type InviteSecret = Zeroizing<[u8; INVITE_SECRET_BYTES]>;

const DOMAIN: &str = "swarmllm/2 invite code";
const SECRET_HASH_PURPOSE: &str = "swarmllm 2026 invite secret hash";
const PSK_PURPOSE: &str = "swarmllm 2026 invite psk";
const CHECKSUM_BYTES: usize = 4;

/// Why a text is no usable invite, or why none can be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InviteError {
    /// Something else than a code.
    #[error("this is no invite code: a code is one line that begins with {INVITE_PREFIX}")]
    NotAnInvite,
    /// A code with a wrong, missing or additional character.
    #[error("this invite code was cut or altered on the way; ask for it again and copy all of it")]
    Altered,
    /// A whole code that its inviter did not sign.
    #[error("this invite code is forged: {inviter} did not sign it; ask its owner for a new one")]
    Forged {
        /// Whom the code names.
        inviter: PeerId,
    },
    /// A code of another program version.
    #[error("this invite code has version {theirs}, this program reads {INVITE_VERSION}; update")]
    Version {
        /// The version of the code.
        theirs: u8,
    },
    /// A code past its time.
    #[error("this invite code expired {ago_s} seconds ago; ask for a new one")]
    Expired {
        /// Seconds since.
        ago_s: u64,
    },
    /// A code of another network than this node's.
    #[error("this invite code is for the network {theirs}, this node is in {ours}")]
    OtherNetwork {
        /// Network of the code.
        theirs: NetworkId,
        /// Network of this node.
        ours: NetworkId,
    },
    /// No address, too many, or one that nobody can dial.
    #[error("an invite code needs 1 to {ADDRESSES_MAX} addresses that others can dial")]
    Addresses,
    /// More uses than are counted.
    #[error("an invite code counts up to {INVITE_USES_MAX} uses; 0 is as many as come")]
    Uses,
    /// Someone else's code cannot be signed.
    #[error("only {inviter} can sign this invite code")]
    NotTheInviter {
        /// Whom the code names.
        inviter: PeerId,
    },
}

/// What a code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteTerms {
    /// Which network one is invited to.
    pub network: NetworkId,
    /// Who invites, and who must answer at the addresses.
    pub inviter: PeerId,
    /// Which invite of this inviter.
    pub id: InviteId,
    /// Until when the code is good, Unix seconds.
    pub expires_at_unix_s: u64,
    /// How many nodes it admits; 0: as many as come.
    pub uses: u32,
    /// What it makes of them.
    pub grant: Grant,
    /// Where the inviter listens, best first.
    pub addresses: Vec<SocketAddr>,
}

/// A code whose signature holds, with its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct InviteCode {
    terms: InviteTerms,
    signature: [u8; SIGNATURE_BYTES],
    secret: InviteSecret,
}

impl InviteCode {
    /// Signs an invite of this node. `secret` must be fresh randomness.
    ///
    /// # Errors
    /// When nobody could use the code, or `terms` name another inviter.
    pub fn sign(
        identity: &Identity,
        terms: InviteTerms,
        secret: InviteSecret,
    ) -> Result<Self, InviteError> {
        if identity.peer_id() != terms.inviter {
            return Err(InviteError::NotTheInviter { inviter: terms.inviter });
        }
        terms.validate()?;
        let signature = identity.sign(DOMAIN, &[&terms.fields(), &secret_hash(&secret)]);
        Ok(Self { terms, signature, secret })
    }

    /// Reads a code and checks that nobody altered it. Whether it still holds, and here, is
    /// [`Self::check`].
    ///
    /// # Errors
    /// When it is none of this version, or not by its inviter.
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let bytes = decode(text)?;
        let (rest, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(InviteError::Altered)?;
        if checksum(rest) != *sum {
            return Err(InviteError::Altered);
        }
        // Another version may have any fields, so it is told first.
        match rest.first() {
            Some(&INVITE_VERSION) => {}
            Some(&theirs) => return Err(InviteError::Version { theirs }),
            None => return Err(InviteError::Altered),
        }
        let (rest, secret) =
            rest.split_last_chunk::<INVITE_SECRET_BYTES>().ok_or(InviteError::Altered)?;
        let secret = Zeroizing::new(*secret);
        let (fields, signature) =
            rest.split_last_chunk::<SIGNATURE_BYTES>().ok_or(InviteError::Altered)?;
        let terms = InviteTerms::read_fields(fields).ok_or(InviteError::Altered)?;
        identity::verify(&terms.inviter, DOMAIN, &[fields, &secret_hash(&secret)], signature)
            .map_err(|_| InviteError::Forged { inviter: terms.inviter })?;
        terms.validate()?;
        Ok(Self { terms, signature: *signature, secret })
    }

    /// Whether the code is for this network and still good at `now_unix_s`.
    ///
    /// # Errors
    /// When it is not.
    pub fn check(&self, network: &NetworkId, now_unix_s: u64) -> Result<(), InviteError> {
        let terms = &self.terms;
        if terms.network != *network {
            let (theirs, ours) = (terms.network.clone(), network.clone());
            return Err(InviteError::OtherNetwork { theirs, ours });
        }
        if now_unix_s >= terms.expires_at_unix_s {
            return Err(InviteError::Expired { ago_s: now_unix_s - terms.expires_at_unix_s });
        }
        Ok(())
    }

    /// What the code says.
    #[must_use]
    pub fn terms(&self) -> &InviteTerms {
        &self.terms
    }

    /// The code itself, for whoever is invited and nobody else.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(self.terms.fields());
        // Room for all of it, so that no copy of the secret is left behind by growing.
        bytes.reserve_exact(SIGNATURE_BYTES + INVITE_SECRET_BYTES + CHECKSUM_BYTES);
        bytes.extend_from_slice(&self.signature);
        bytes.extend_from_slice(self.secret.as_slice());
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        let mut text = Zeroizing::new(BASE32_NOPAD.encode(&bytes));
        text.make_ascii_lowercase();
        Zeroizing::new(format!("{INVITE_PREFIX}{}", text.as_str()))
    }

    /// The pre-shared key of the handshake in which the code is redeemed.
    #[must_use]
    pub fn psk(&self) -> InviteSecret {
        let material = Zeroizing::new([self.secret.as_slice(), &self.terms.id.0].concat());
        Zeroizing::new(blake3::derive_key(PSK_PURPOSE, &material))
    }
}

impl InviteTerms {
    fn validate(&self) -> Result<(), InviteError> {
        let count = self.addresses.len();
        let are_usable = self.addresses.iter().all(address::is_dialable);
        if count == 0 || count > ADDRESSES_MAX || !are_usable {
            return Err(InviteError::Addresses);
        }
        if self.uses > INVITE_USES_MAX {
            return Err(InviteError::Uses);
        }
        Ok(())
    }

    /// Everything before the signature.
    fn fields(&self) -> Vec<u8> {
        let name = self.network.as_str().as_bytes();
        // Both counts are bounded far below 256 by their own rules.
        let mut bytes = vec![INVITE_VERSION, name.len() as u8];
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(self.inviter.as_bytes());
        bytes.extend_from_slice(&self.id.0);
        bytes.extend_from_slice(&self.expires_at_unix_s.to_le_bytes());
        bytes.extend_from_slice(&self.uses.to_le_bytes());
        self.grant.write(&mut bytes);
        bytes.push(self.addresses.len() as u8);
        for address in &self.addresses {
            address::write(address, &mut bytes);
        }
        bytes
    }

    fn read_fields(mut bytes: &[u8]) -> Option<Self> {
        take::<1>(&mut bytes)?;
        let name_length = usize::from(take::<1>(&mut bytes)?[0]);
        let (name, rest) = bytes.split_at_checked(name_length)?;
        bytes = rest;
        let network = std::str::from_utf8(name).ok()?.parse().ok()?;
        let inviter = PeerId(take(&mut bytes)?);
        let id = InviteId(take(&mut bytes)?);
        let expires_at_unix_s = u64::from_le_bytes(take(&mut bytes)?);
        let uses = u32::from_le_bytes(take(&mut bytes)?);
        let grant = Grant::read(&mut bytes)?;
        let count = usize::from(take::<1>(&mut bytes)?[0]);
        if count > ADDRESSES_MAX {
            return None;
        }
        let addresses =
            (0..count).map(|_| address::read(&mut bytes)).collect::<Option<Vec<_>>>()?;
        let terms = Self { network, inviter, id, expires_at_unix_s, uses, grant, addresses };
        bytes.is_empty().then_some(terms)
    }
}

impl fmt::Debug for InviteCode {
    /// Shows what it says, never the secret.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("InviteCode").field("terms", &self.terms).finish_non_exhaustive()
    }
}

impl fmt::Display for InviteCode {
    /// What the code says, for people; the code itself is [`InviteCode::text`].
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let InviteTerms { inviter, network, .. } = &self.terms;
        write!(formatter, "{} invites to the network {network}", inviter.short())
    }
}

/// The bytes of a text that looks like a code.
fn decode(text: &str) -> Result<Zeroizing<Vec<u8>>, InviteError> {
    let text = text.trim();
    let (prefix, code) =
        text.split_at_checked(INVITE_PREFIX.len()).ok_or(InviteError::NotAnInvite)?;
    if !prefix.eq_ignore_ascii_case(INVITE_PREFIX) {
        return Err(InviteError::NotAnInvite);
    }
    if text.len() > INVITE_MAX_CHARS {
        return Err(InviteError::Altered);
    }
    let code = Zeroizing::new(code.to_ascii_uppercase());
    BASE32_NOPAD.decode(code.as_bytes()).map(Zeroizing::new).map_err(|_| InviteError::Altered)
}

fn secret_hash(secret: &InviteSecret) -> [u8; 32] {
    blake3::derive_key(SECRET_HASH_PURPOSE, secret.as_slice())
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::hash(bytes);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
#[path = "invite_tests.rs"]
mod tests;
