//! Invite codes: one line of text with which a friend's node finds this one and knows it is the
//! right one.
//!
//! Made by `swarmllm invite`, read by `--join`; both through the node.
//! Text: `swarm://` and lower-case base32 (RFC 4648, no padding; upper case is read as well) of
//! version `u8` | network length `u8`, ASCII | inviter 32 | expiry `u64` LE, Unix seconds |
//! address count `u8` | per address: family `u8` (4 or 6), IP (4 or 16), port `u16` LE |
//! Ed25519 signature of the inviter over all before (64) | first 4 bytes of BLAKE3 over all before.
//! The checksum tells a slip of the pen from a forgery; only the signature protects.
//! Errors: [`InviteError`], which says which of the many things is wrong.
//! Absent on purpose: secrets. Whoever sees a code can read it: it invites, it does not admit.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use data_encoding::BASE32_NOPAD;

use crate::{
    identity::{self, Identity, SIGNATURE_BYTES},
    ids::{NetworkId, PeerId},
    limits::{ADDRESSES_MAX, INVITE_MAX_CHARS},
};

/// What every code begins with.
pub const INVITE_PREFIX: &str = "swarm://";

/// The version of codes this program writes and reads.
pub const INVITE_VERSION: u8 = 1;

const DOMAIN: &str = "swarmllm/1 invite code";
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
    /// Someone else's code cannot be signed.
    #[error("only {inviter} can sign this invite code")]
    NotTheInviter {
        /// Whom the code names.
        inviter: PeerId,
    },
}

/// What a code says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InviteCode {
    /// Version of the code, [`INVITE_VERSION`].
    pub version: u8,
    /// Which network one is invited to.
    pub network: NetworkId,
    /// Who invites, and who must answer at the addresses.
    pub inviter: PeerId,
    /// Where the inviter listens, best first.
    pub addresses: Vec<SocketAddr>,
    /// Until when the code is good, Unix seconds.
    pub expires_at_unix_s: u64,
}

impl InviteCode {
    /// A code of this version.
    #[must_use]
    pub fn new(
        network: NetworkId,
        inviter: PeerId,
        addresses: Vec<SocketAddr>,
        expires_at_unix_s: u64,
    ) -> Self {
        Self { version: INVITE_VERSION, network, inviter, addresses, expires_at_unix_s }
    }

    /// The text of the code, signed by its inviter.
    pub fn sign(&self, identity: &Identity) -> Result<String, InviteError> {
        if identity.peer_id() != self.inviter {
            return Err(InviteError::NotTheInviter { inviter: self.inviter });
        }
        if self.version != INVITE_VERSION {
            return Err(InviteError::Version { theirs: self.version });
        }
        self.check_addresses()?;
        let mut bytes = self.fields();
        let signature = identity.sign(DOMAIN, &[&bytes]);
        bytes.extend_from_slice(&signature);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum);
        Ok(format!("{INVITE_PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase()))
    }

    /// Reads a code and checks that nobody altered it. Whether it still holds, and here, is
    /// [`Self::check`].
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        let text = text.trim();
        let (prefix, code) =
            text.split_at_checked(INVITE_PREFIX.len()).ok_or(InviteError::NotAnInvite)?;
        if !prefix.eq_ignore_ascii_case(INVITE_PREFIX) {
            return Err(InviteError::NotAnInvite);
        }
        if text.len() > INVITE_MAX_CHARS {
            return Err(InviteError::Altered);
        }
        let bytes = BASE32_NOPAD
            .decode(code.to_ascii_uppercase().as_bytes())
            .map_err(|_| InviteError::Altered)?;
        let (signed, sum) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(InviteError::Altered)?;
        if checksum(signed) != *sum {
            return Err(InviteError::Altered);
        }
        let (fields, signature) =
            signed.split_last_chunk::<SIGNATURE_BYTES>().ok_or(InviteError::Altered)?;
        // A newer version may have any fields, so it is told first.
        match fields.first() {
            Some(&INVITE_VERSION) => {}
            Some(&theirs) => return Err(InviteError::Version { theirs }),
            None => return Err(InviteError::Altered),
        }
        let code = Self::read_fields(fields).ok_or(InviteError::Altered)?;
        identity::verify(&code.inviter, DOMAIN, &[fields], signature)
            .map_err(|_| InviteError::Forged { inviter: code.inviter })?;
        code.check_addresses()?;
        Ok(code)
    }

    /// Whether the code is for this network and still good at `now_unix_s`.
    pub fn check(&self, network: &NetworkId, now_unix_s: u64) -> Result<(), InviteError> {
        if self.network != *network {
            let (theirs, ours) = (self.network.clone(), network.clone());
            return Err(InviteError::OtherNetwork { theirs, ours });
        }
        if now_unix_s >= self.expires_at_unix_s {
            return Err(InviteError::Expired { ago_s: now_unix_s - self.expires_at_unix_s });
        }
        Ok(())
    }

    fn check_addresses(&self) -> Result<(), InviteError> {
        let can_be_dialled = |address: &SocketAddr| {
            let ip = address.ip();
            address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast()
        };
        let count = self.addresses.len();
        if count == 0 || count > ADDRESSES_MAX || !self.addresses.iter().all(can_be_dialled) {
            return Err(InviteError::Addresses);
        }
        Ok(())
    }

    /// Everything before the signature.
    fn fields(&self) -> Vec<u8> {
        let name = self.network.as_str().as_bytes();
        // Both counts are bounded far below 256 by their own rules.
        let mut bytes = vec![self.version, name.len() as u8];
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(self.inviter.as_bytes());
        bytes.extend_from_slice(&self.expires_at_unix_s.to_le_bytes());
        bytes.push(self.addresses.len() as u8);
        for address in &self.addresses {
            match address.ip() {
                IpAddr::V4(ip) => {
                    bytes.push(4);
                    bytes.extend_from_slice(&ip.octets());
                }
                IpAddr::V6(ip) => {
                    bytes.push(6);
                    bytes.extend_from_slice(&ip.octets());
                }
            }
            bytes.extend_from_slice(&address.port().to_le_bytes());
        }
        bytes
    }

    fn read_fields(mut bytes: &[u8]) -> Option<Self> {
        let version = take::<1>(&mut bytes)?[0];
        let name_length = usize::from(take::<1>(&mut bytes)?[0]);
        let (name, rest) = bytes.split_at_checked(name_length)?;
        bytes = rest;
        let network = std::str::from_utf8(name).ok()?.parse().ok()?;
        let inviter = PeerId(take(&mut bytes)?);
        let expires_at_unix_s = u64::from_le_bytes(take(&mut bytes)?);
        let count = usize::from(take::<1>(&mut bytes)?[0]);
        if count > ADDRESSES_MAX {
            return None;
        }
        let mut addresses = Vec::with_capacity(count);
        for _ in 0..count {
            let ip = match take::<1>(&mut bytes)?[0] {
                4 => IpAddr::V4(Ipv4Addr::from(take::<4>(&mut bytes)?)),
                6 => IpAddr::V6(Ipv6Addr::from(take::<16>(&mut bytes)?)),
                _ => return None,
            };
            addresses.push(SocketAddr::new(ip, u16::from_le_bytes(take(&mut bytes)?)));
        }
        bytes.is_empty().then_some(Self { version, network, inviter, addresses, expires_at_unix_s })
    }
}

impl fmt::Display for InviteCode {
    /// What the code says, for people; the code itself is what [`InviteCode::sign`] gives.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} invites to the network {}", self.inviter.short(), self.network)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let hash = blake3::hash(bytes);
    *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity() -> Identity {
        Identity::from_seed([9; 32])
    }

    fn code() -> InviteCode {
        let addresses = vec![
            "192.0.2.7:4001".parse().expect("address"),
            "[2001:db8::1]:4001".parse().expect("address"),
        ];
        let network = "friends".parse().expect("network");
        InviteCode::new(network, identity().peer_id(), addresses, 2_000_000_000)
    }

    #[test]
    fn a_code_reads_back_however_it_is_pasted() {
        let text = code().sign(&identity()).expect("signs");
        assert!(text.starts_with(INVITE_PREFIX));
        assert_eq!(InviteCode::parse(&text), Ok(code()));
        assert_eq!(InviteCode::parse(&format!("  {}\n", text.to_uppercase())), Ok(code()));
    }

    #[test]
    fn errors_say_which() {
        let text = code().sign(&identity()).expect("signs");
        for other in ["", "hello", "swarm:/", "http://x", "127.0.0.1:4001", "\u{1f9a9}\u{1f9a9}"] {
            assert_eq!(InviteCode::parse(other), Err(InviteError::NotAnInvite), "{other}");
        }
        let cut = &text[..text.len() - 5];
        assert_eq!(InviteCode::parse(cut), Err(InviteError::Altered));
        assert_eq!(InviteCode::parse(INVITE_PREFIX), Err(InviteError::Altered));
        let long = format!("{INVITE_PREFIX}{}", "a".repeat(10_000));
        assert_eq!(InviteCode::parse(&long), Err(InviteError::Altered));
        let (code, main) = (code(), NetworkId::default());
        let other = code.check(&main, 0);
        assert!(matches!(other, Err(InviteError::OtherNetwork { .. })));
        assert_eq!(code.check(&code.network, 1_999_999_999), Ok(()));
        let expired = Err(InviteError::Expired { ago_s: 5 });
        assert_eq!(code.check(&code.network, 2_000_000_005), expired);
    }

    #[test]
    fn forged_codes_are_told_from_altered_ones() {
        let resealed = |mut bytes: Vec<u8>| {
            let sum = checksum(&bytes);
            bytes.extend_from_slice(&sum);
            format!("{INVITE_PREFIX}{}", BASE32_NOPAD.encode(&bytes))
        };
        let mut bytes = code().fields();
        bytes.extend_from_slice(&[0; SIGNATURE_BYTES]);
        let inviter = identity().peer_id();
        let forged = InviteCode::parse(&resealed(bytes.clone()));
        assert_eq!(forged, Err(InviteError::Forged { inviter }));
        bytes[0] = 2;
        assert_eq!(InviteCode::parse(&resealed(bytes)), Err(InviteError::Version { theirs: 2 }));
    }

    #[test]
    fn nobody_makes_a_useless_code() {
        let mut code = code();
        let stranger = Identity::from_seed([1; 32]);
        assert!(matches!(code.sign(&stranger), Err(InviteError::NotTheInviter { .. })));
        for useless in ["0.0.0.0:4001", "192.0.2.7:0", "224.0.0.1:1"] {
            code.addresses = vec![useless.parse().expect("address")];
            assert_eq!(code.sign(&identity()), Err(InviteError::Addresses), "{useless}");
        }
        code.addresses = Vec::new();
        assert_eq!(code.sign(&identity()), Err(InviteError::Addresses));
    }

    #[test]
    fn the_longest_code_is_within_its_bound() {
        let address = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
        let mut code = code();
        code.network = "n".repeat(32).parse().expect("network");
        code.addresses = vec![address.parse().expect("address"); ADDRESSES_MAX];
        let text = code.sign(&identity()).expect("signs");
        assert!(text.len() <= INVITE_MAX_CHARS, "{}", text.len());
        assert_eq!(InviteCode::parse(&text), Ok(code));
    }

    proptest! {
        #[test]
        fn any_text_gives_an_answer(text in ".{0,200}", code in "[a-z2-7]{0,300}") {
            let _ = InviteCode::parse(&text);
            let code = InviteCode::parse(&format!("{INVITE_PREFIX}{code}"));
            prop_assert!(code.is_err());
        }

        #[test]
        fn a_changed_character_is_noticed(place in 0_usize..1000, letter in "[a-z2-7]") {
            let text = code().sign(&identity()).expect("signs");
            let body = text.len() - INVITE_PREFIX.len();
            let place = INVITE_PREFIX.len() + place % body;
            let mut altered = text.clone();
            altered.replace_range(place..=place, &letter);
            if altered != text {
                prop_assert_eq!(InviteCode::parse(&altered), Err(InviteError::Altered));
            }
        }

        #[test]
        fn fields_from_anyone_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(code) = InviteCode::read_fields(&bytes) {
                prop_assert_eq!(code.fields(), bytes);
            }
        }
    }
}
