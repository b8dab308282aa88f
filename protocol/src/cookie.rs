//! Cookies: whoever shows one is answered where it says it is, and nothing was kept of it.
//!
//! Made and checked by `connection/gate.rs` for connections and by the owner of the UDP socket for
//! questions; how they travel is `connection/opening.rs`'s and `dht_datagram.rs`'s.
//! A cookie is BLAKE3 over IP and port, keyed by a secret and the period it was made in; one of the
//! period before is good as well.
//! Units: milliseconds of the caller's clock. Errors: none.
//! Absent on purpose: hiding a cookie from whoever reads what passes; such a one can answer in
//! another's name anyway.

use std::net::SocketAddr;

use zeroize::Zeroizing;

use crate::address;

/// Bytes of a cookie.
pub const COOKIE_BYTES: usize = 16;

/// How long a secret's period is, milliseconds.
pub const COOKIE_PERIOD_MS: u64 = 120_000;

/// What shows where somebody is.
pub type Cookie = [u8; COOKIE_BYTES];

/// What cookies are made with.
pub struct CookieKeys {
    context: &'static str,
    secret: Zeroizing<[u8; 32]>,
}

impl CookieKeys {
    /// The secret must be random; the context is what the cookies are for.
    #[must_use]
    pub fn new(context: &'static str, secret: [u8; 32]) -> Self {
        Self { context, secret: Zeroizing::new(secret) }
    }

    fn of_period(&self, remote: SocketAddr, period: u64) -> Cookie {
        let mut material = Zeroizing::new([0; 40]);
        material[..32].copy_from_slice(&*self.secret);
        material[32..].copy_from_slice(&period.to_le_bytes());
        let key = blake3::derive_key(self.context, &*material);
        let mut place = Vec::with_capacity(address::ADDRESS_MAX_BYTES);
        address::write(&remote, &mut place);
        let hash = blake3::keyed_hash(&key, &place);
        *hash.as_bytes().first_chunk().expect("a hash has 32 bytes")
    }

    /// The cookie of somebody there.
    #[must_use]
    pub fn cookie(&self, remote: SocketAddr, now_ms: u64) -> Cookie {
        self.of_period(remote, now_ms / COOKIE_PERIOD_MS)
    }

    /// Those that are good now, the newest first.
    pub fn good(&self, remote: SocketAddr, now_ms: u64) -> impl Iterator<Item = Cookie> {
        let period = now_ms / COOKIE_PERIOD_MS;
        let periods = [Some(period), period.checked_sub(1)];
        periods.into_iter().flatten().map(move |period| self.of_period(remote, period))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_place_and_for_two_periods() {
        let keys = CookieKeys::new("a test", [1; 32]);
        let [here, port, ip] = ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"]
            .map(|text| text.parse::<SocketAddr>().expect("an address"));
        let cookie = keys.cookie(here, COOKIE_PERIOD_MS);
        let is_good = |keys: &CookieKeys, place, now| keys.good(place, now).any(|it| it == cookie);
        assert!(
            is_good(&keys, here, COOKIE_PERIOD_MS)
                && is_good(&keys, here, 3 * COOKIE_PERIOD_MS - 1)
        );
        assert!(!is_good(&keys, here, COOKIE_PERIOD_MS - 1));
        assert!(!is_good(&keys, here, 3 * COOKIE_PERIOD_MS));
        assert!(!is_good(&keys, port, COOKIE_PERIOD_MS) && !is_good(&keys, ip, COOKIE_PERIOD_MS));
        assert!(!is_good(&CookieKeys::new("a test", [2; 32]), here, COOKIE_PERIOD_MS));
        assert!(!is_good(&CookieKeys::new("another", [1; 32]), here, COOKIE_PERIOD_MS));
        assert_eq!(keys.good(here, 0).count(), 1, "there was no period before the first");
    }
}
