//! Write tokens: who wants to store must have asked from the same address a while ago.
//!
//! So nobody stores in another's name of address, and a flood of records costs a flood of
//! questions. Nothing is remembered: a token is a keyed hash of address, key and time.
//! Units: milliseconds. Errors: none; a token holds or does not. Source: BEP 5.

use std::net::IpAddr;

use crate::kademlia::{
    key::DhtKey,
    messages::{TOKEN_BYTES, WriteToken},
};

/// How long one secret makes tokens. It is accepted for one more such time.
const EPOCH_MS: u64 = 5 * 60 * 1000;

/// Makes and checks tokens.
#[derive(Debug, Clone)]
pub(crate) struct WriteTokens {
    secret: [u8; 32],
}

impl WriteTokens {
    pub(crate) fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The token of a requester for a key.
    pub(crate) fn issue(&self, now_ms: u64, ip: IpAddr, key: &DhtKey) -> WriteToken {
        self.of_epoch(now_ms / EPOCH_MS, ip, key)
    }

    /// Whether this requester was given this token for this key, at most ten minutes ago.
    pub(crate) fn holds(&self, now_ms: u64, ip: IpAddr, key: &DhtKey, token: &WriteToken) -> bool {
        let epoch = now_ms / EPOCH_MS;
        let epochs = [Some(epoch), epoch.checked_sub(1)];
        epochs.into_iter().flatten().any(|epoch| self.of_epoch(epoch, ip, key) == *token)
    }

    fn of_epoch(&self, epoch: u64, ip: IpAddr, key: &DhtKey) -> WriteToken {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        hasher.update(&epoch.to_le_bytes());
        let ip = match ip.to_canonical() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        hasher.update(&ip.octets()).update(&key.0);
        let mut token = [0; TOKEN_BYTES];
        token.copy_from_slice(&hasher.finalize().as_bytes()[..TOKEN_BYTES]);
        WriteToken(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_address_its_key_and_its_time() {
        let tokens = WriteTokens::new([1; 32]);
        let (ip, key) = (IpAddr::from([192, 0, 2, 1]), DhtKey([7; 32]));
        let token = tokens.issue(EPOCH_MS, ip, &key);
        assert!(tokens.holds(EPOCH_MS, ip, &key, &token));
        assert!(tokens.holds(3 * EPOCH_MS - 1, ip, &key, &token));
        assert!(!tokens.holds(3 * EPOCH_MS, ip, &key, &token));
        assert!(!tokens.holds(EPOCH_MS, IpAddr::from([192, 0, 2, 2]), &key, &token));
        assert!(!tokens.holds(EPOCH_MS, ip, &DhtKey([8; 32]), &token));
        assert!(!WriteTokens::new([2; 32]).holds(EPOCH_MS, ip, &key, &token));
    }
}
