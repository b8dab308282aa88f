//! What makes a node a member: a certificate signed by whoever invited it, and the inviter's list
//! of those taken back.
//!
//! Issued and renewed by the inviter's `invite_keeper`, shown in [`crate::wire::Body::Present`],
//! judged by [`crate::admission`].
//! Layout of a certificate: version `u8` | issuer 32 | member 32 | role `u8` | pool: 0, or 1 and 16
//! bytes | invite 16 | serial `u64` | issued `u64` | expires `u64` | Ed25519 signature (64).
//! Layout of a revocation list: version `u8` | issuer 32 | sequence `u64` | count `u16` | per
//! entry, ascending: invite 16, since `u64` | signature (64). Little endian. Signatures are over
//! a domain string, the network's name and everything before the signature.
//! Units: Unix seconds. Errors: [`CertificateError`].
//! Absent on purpose: chains. A certificate is worth something to those who trust its issuer.

use std::collections::BTreeMap;

use crate::{
    address::take,
    codec::{Decode, Encode},
    identity::{self, Identity, IdentityError, SIGNATURE_BYTES},
    ids::{InviteId, NetworkId, PeerId, PoolId},
    limits::{CERTIFICATE_LIFETIME_S, CLOCK_SKEW_S, REVOCATIONS_MAX},
};

/// The layout this program writes and reads.
pub const MEMBERSHIP_VERSION: u8 = 1;

/// Most bytes of a grant.
pub const GRANT_MAX_BYTES: usize = 1 + 1 + 16;

/// Most bytes of a certificate.
pub const CERTIFICATE_MAX_BYTES: usize =
    1 + 32 + 32 + GRANT_MAX_BYTES + 16 + 3 * 8 + SIGNATURE_BYTES;

/// Most bytes of a revocation list.
pub const REVOCATION_LIST_MAX_BYTES: usize =
    1 + 32 + 8 + 2 + REVOCATIONS_MAX * (16 + 8) + SIGNATURE_BYTES;

const CERTIFICATE_DOMAIN: &str = "swarmllm/1 member certificate";
const REVOCATION_DOMAIN: &str = "swarmllm/1 member revocations";

/// Why a certificate or a revocation list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Bytes that are none.
    #[error("{length} bytes that are no certificate or revocation list")]
    Malformed {
        /// Bytes there are.
        length: usize,
    },
    /// Another layout.
    #[error("certificate version {theirs}, this program reads {MEMBERSHIP_VERSION}")]
    Version {
        /// Its version.
        theirs: u8,
    },
    /// Past its time.
    #[error("the certificate expired {ago_s} s ago")]
    Expired {
        /// Seconds since.
        ago_s: u64,
    },
    /// Issued in the future, or good for longer than a certificate may be.
    #[error("the certificate's times can't be right: compare the clocks of both machines")]
    Times,
    /// Not by the issuer it names, or of another network.
    #[error("the certificate is not signed by its issuer for this network: {0}")]
    Forged(#[from] IdentityError),
}

/// What a member may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum MemberRole {
    /// Computes and asks.
    Member,
    /// Looks on.
    Observer,
}

impl MemberRole {
    /// Every role.
    pub const ALL: [MemberRole; 2] = [MemberRole::Member, MemberRole::Observer];

    /// As people write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Observer => "observer",
        }
    }

    /// Reads what people write.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.word() == word)
    }
}

/// What an invite gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// As what.
    pub role: MemberRole,
    /// Into which group of the network; none: the network itself.
    pub pool: Option<PoolId>,
}

impl Grant {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.push(match self.role {
            MemberRole::Member => 0,
            MemberRole::Observer => 1,
        });
        out.push(u8::from(self.pool.is_some()));
        if let Some(pool) = self.pool {
            out.extend_from_slice(&pool.0);
        }
    }

    pub(crate) fn read(bytes: &mut &[u8]) -> Option<Self> {
        let role = match take::<1>(bytes)?[0] {
            0 => MemberRole::Member,
            1 => MemberRole::Observer,
            _ => return None,
        };
        let pool = match take::<1>(bytes)?[0] {
            0 => None,
            1 => Some(PoolId(take(bytes)?)),
            _ => return None,
        };
        Some(Self { role, pool })
    }
}

/// What a certificate says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberFacts {
    /// Who says so.
    pub issuer: PeerId,
    /// Of whom.
    pub member: PeerId,
    /// What it may do.
    pub grant: Grant,
    /// By which invite it came.
    pub invite: InviteId,
    /// A number of its own, chosen at random.
    pub serial: u64,
    /// Since when, Unix seconds.
    pub issued_at_unix_s: u64,
    /// Until when, Unix seconds.
    pub expires_at_unix_s: u64,
}

/// A certificate whose signature holds, with the bytes that prove it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberCertificate {
    facts: MemberFacts,
    bytes: Vec<u8>,
}

impl MemberCertificate {
    /// Makes a member. Issuer and times of `facts` are set here.
    #[must_use]
    pub fn issue(
        identity: &Identity,
        network: &NetworkId,
        facts: MemberFacts,
        now_unix_s: u64,
    ) -> Self {
        let facts = MemberFacts {
            issuer: identity.peer_id(),
            issued_at_unix_s: now_unix_s,
            expires_at_unix_s: now_unix_s.saturating_add(CERTIFICATE_LIFETIME_S),
            ..facts
        };
        let mut bytes = certificate_fields(&facts);
        let signature = identity.sign(CERTIFICATE_DOMAIN, &[network.as_str().as_bytes(), &bytes]);
        bytes.extend_from_slice(&signature);
        Self { facts, bytes }
    }

    /// Reads a certificate and checks its signature and times.
    ///
    /// # Errors
    /// When it is none, not by its issuer for this network, or not good at `now_unix_s`.
    pub fn read(
        bytes: &[u8],
        network: &NetworkId,
        now_unix_s: u64,
    ) -> Result<Self, CertificateError> {
        let (signed, signature) = split(bytes, CERTIFICATE_MAX_BYTES)?;
        let facts = read_certificate_fields(signed)
            .ok_or(CertificateError::Malformed { length: bytes.len() })?;
        if facts.expires_at_unix_s <= now_unix_s {
            let ago_s = now_unix_s - facts.expires_at_unix_s;
            return Err(CertificateError::Expired { ago_s });
        }
        let lifetime_s = facts.expires_at_unix_s.saturating_sub(facts.issued_at_unix_s);
        let is_early = facts.issued_at_unix_s > now_unix_s.saturating_add(CLOCK_SKEW_S);
        if is_early || lifetime_s > CERTIFICATE_LIFETIME_S {
            return Err(CertificateError::Times);
        }
        let fields = [network.as_str().as_bytes(), signed];
        identity::verify(&facts.issuer, CERTIFICATE_DOMAIN, &fields, signature)?;
        Ok(Self { facts, bytes: bytes.to_vec() })
    }

    /// What it says.
    #[must_use]
    pub fn facts(&self) -> &MemberFacts {
        &self.facts
    }

    /// The certificate as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether its issuer gives a new one for it: in the last quarter of its time.
    #[must_use]
    pub fn is_due(&self, now_unix_s: u64) -> bool {
        let MemberFacts { issued_at_unix_s, expires_at_unix_s, .. } = self.facts;
        let lifetime_s = expires_at_unix_s.saturating_sub(issued_at_unix_s);
        now_unix_s.saturating_add(lifetime_s / 4) >= expires_at_unix_s
    }
}

/// The invites whose members an issuer has expelled, newest list by its sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    issuer: PeerId,
    sequence: u64,
    since: BTreeMap<InviteId, u64>,
    bytes: Vec<u8>,
}

impl RevocationList {
    /// This node's list: whoever came by one of these invites, and was certified until then, is no
    /// member any more. Of more than [`REVOCATIONS_MAX`] the latest are kept.
    #[must_use]
    pub fn sign(
        identity: &Identity,
        network: &NetworkId,
        sequence: u64,
        mut since: BTreeMap<InviteId, u64>,
    ) -> Self {
        while since.len() > REVOCATIONS_MAX {
            let oldest = since.iter().min_by_key(|(_, at)| **at).map(|(invite, _)| *invite);
            oldest.map(|invite| since.remove(&invite));
        }
        let issuer = identity.peer_id();
        let mut bytes = revocation_fields(&issuer, sequence, &since);
        let signature = identity.sign(REVOCATION_DOMAIN, &[network.as_str().as_bytes(), &bytes]);
        bytes.extend_from_slice(&signature);
        Self { issuer, sequence, since, bytes }
    }

    /// Reads a list and checks its signature.
    ///
    /// # Errors
    /// When it is none, or not by its issuer for this network.
    pub fn read(bytes: &[u8], network: &NetworkId) -> Result<Self, CertificateError> {
        let (signed, signature) = split(bytes, REVOCATION_LIST_MAX_BYTES)?;
        let (issuer, sequence, since) = read_revocation_fields(signed)
            .ok_or(CertificateError::Malformed { length: bytes.len() })?;
        let fields = [network.as_str().as_bytes(), signed];
        identity::verify(&issuer, REVOCATION_DOMAIN, &fields, signature)?;
        Ok(Self { issuer, sequence, since, bytes: bytes.to_vec() })
    }

    /// Whose members it is about.
    #[must_use]
    pub fn issuer(&self) -> PeerId {
        self.issuer
    }

    /// Of two lists of one issuer the one with the larger number counts.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The list as it travels.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether it takes this certificate back.
    #[must_use]
    pub fn revokes(&self, certificate: &MemberFacts) -> bool {
        certificate.issuer == self.issuer
            && self
                .since
                .get(&certificate.invite)
                .is_some_and(|since| certificate.issued_at_unix_s <= *since)
    }
}

/// Signed part and signature of something with a version in front.
fn split(
    bytes: &[u8],
    longest: usize,
) -> Result<(&[u8], &[u8; SIGNATURE_BYTES]), CertificateError> {
    let malformed = || CertificateError::Malformed { length: bytes.len() };
    if bytes.len() > longest {
        return Err(malformed());
    }
    let (signed, signature) = bytes.split_last_chunk().ok_or_else(malformed)?;
    match signed.first() {
        Some(&MEMBERSHIP_VERSION) => Ok((signed, signature)),
        Some(&theirs) => Err(CertificateError::Version { theirs }),
        None => Err(malformed()),
    }
}

fn certificate_fields(facts: &MemberFacts) -> Vec<u8> {
    let mut bytes = vec![MEMBERSHIP_VERSION];
    bytes.extend_from_slice(facts.issuer.as_bytes());
    bytes.extend_from_slice(facts.member.as_bytes());
    facts.grant.write(&mut bytes);
    bytes.extend_from_slice(&facts.invite.0);
    for number in [facts.serial, facts.issued_at_unix_s, facts.expires_at_unix_s] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes
}

fn read_certificate_fields(mut bytes: &[u8]) -> Option<MemberFacts> {
    take::<1>(&mut bytes)?;
    let facts = MemberFacts {
        issuer: PeerId(take(&mut bytes)?),
        member: PeerId(take(&mut bytes)?),
        grant: Grant::read(&mut bytes)?,
        invite: InviteId(take(&mut bytes)?),
        serial: u64::from_le_bytes(take(&mut bytes)?),
        issued_at_unix_s: u64::from_le_bytes(take(&mut bytes)?),
        expires_at_unix_s: u64::from_le_bytes(take(&mut bytes)?),
    };
    bytes.is_empty().then_some(facts)
}

fn revocation_fields(issuer: &PeerId, sequence: u64, since: &BTreeMap<InviteId, u64>) -> Vec<u8> {
    let mut bytes = vec![MEMBERSHIP_VERSION];
    bytes.extend_from_slice(issuer.as_bytes());
    bytes.extend_from_slice(&sequence.to_le_bytes());
    // At most REVOCATIONS_MAX.
    bytes.extend_from_slice(&(since.len() as u16).to_le_bytes());
    for (invite, at) in since {
        bytes.extend_from_slice(&invite.0);
        bytes.extend_from_slice(&at.to_le_bytes());
    }
    bytes
}

fn read_revocation_fields(mut bytes: &[u8]) -> Option<(PeerId, u64, BTreeMap<InviteId, u64>)> {
    take::<1>(&mut bytes)?;
    let issuer = PeerId(take(&mut bytes)?);
    let sequence = u64::from_le_bytes(take(&mut bytes)?);
    let count = usize::from(u16::from_le_bytes(take(&mut bytes)?));
    if count > REVOCATIONS_MAX {
        return None;
    }
    let mut since = BTreeMap::new();
    for _ in 0..count {
        let invite = InviteId(take(&mut bytes)?);
        // Ascending, so that a list has one spelling.
        if since.last_key_value().is_some_and(|(last, _)| *last >= invite) {
            return None;
        }
        since.insert(invite, u64::from_le_bytes(take(&mut bytes)?));
    }
    bytes.is_empty().then_some((issuer, sequence, since))
}

#[cfg(test)]
#[path = "membership_tests.rs"]
mod tests;
