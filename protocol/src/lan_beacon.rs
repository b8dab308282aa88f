//! What a node says of itself on the local network, where everybody listens: as little as it takes.
//!
//! Written and read by the actor of the same name, as properties of an mDNS TXT record: `v`
//! (version), `n` (fingerprint of the network) and `p` (port). Who the node is, only the handshake
//! tells. The fingerprint is also the subtype that is browsed, so that nodes of different networks
//! or pools do not hear of each other.
//! Errors: [`BeaconError`]. Source: RFC 6762, 6763 (a key once, at most 255 bytes a property).

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use data_encoding::HEXLOWER;

use crate::{
    address::{self, Subnet},
    ids::NetworkId,
};

/// The layout this program writes and reads.
pub const BEACON_VERSION: u8 = 1;

/// Characters of a fingerprint.
const FINGERPRINT_CHARS: usize = 16;
/// Most properties of an answer that is looked at.
const PROPERTIES_MAX: usize = 16;
/// Most addresses that are taken from an answer.
const ADDRESSES_MAX: usize = 8;

const PURPOSE: &str = "swarmllm 2026-11 fingerprint of a network";

/// Why an answer is left aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeaconError {
    /// A property is missing, given twice, or none of ours can look like this.
    #[error("an announcement whose `{0}` can't be read")]
    Property(&'static str),
    /// Another version.
    #[error("an announcement of version {theirs}, this program reads {BEACON_VERSION}")]
    Version {
        /// Its version.
        theirs: u8,
    },
    /// More properties than a node announces.
    #[error("an announcement with too many properties")]
    TooMany,
}

/// What is announced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Which network, as [`fingerprint`] has it.
    pub fingerprint: String,
    /// Where the node listens.
    pub port: u16,
}

/// A short name of a network, and of a pool in it, that tells nothing about its members.
#[must_use]
pub fn fingerprint(network: &NetworkId, pool: Option<&[u8; 32]>) -> String {
    let mut hasher = blake3::Hasher::new_derive_key(PURPOSE);
    hasher.update(network.as_str().as_bytes());
    hasher.update(pool.map_or(&[][..], <[u8; 32]>::as_slice));
    HEXLOWER.encode(&hasher.finalize().as_bytes()[..FINGERPRINT_CHARS / 2])
}

impl Announcement {
    /// As properties of a TXT record.
    #[must_use]
    pub fn properties(&self) -> [(&'static str, String); 3] {
        let version = BEACON_VERSION.to_string();
        [("v", version), ("n", self.fingerprint.clone()), ("p", self.port.to_string())]
    }

    /// Reads properties; others than ours are left for later versions.
    ///
    /// # Errors
    /// When they are no announcement of this version.
    pub fn read<'a>(
        properties: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
    ) -> Result<Self, BeaconError> {
        let names = ["v", "n", "p"];
        let mut found: [Option<&str>; 3] = [None; 3];
        for (count, (key, value)) in properties.into_iter().enumerate() {
            if count >= PROPERTIES_MAX {
                return Err(BeaconError::TooMany);
            }
            let Some(place) = names.iter().position(|name| *name == key) else { continue };
            let refused = BeaconError::Property(names[place]);
            let text = value.and_then(|bytes| str::from_utf8(bytes).ok()).ok_or(refused)?;
            if found[place].replace(text).is_some() {
                return Err(refused);
            }
        }
        let [version, fingerprint, port] = found;
        let version: u8 = number(version).ok_or(BeaconError::Property("v"))?;
        if version != BEACON_VERSION {
            return Err(BeaconError::Version { theirs: version });
        }
        let is_hex = |text: &&str| {
            let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            text.len() == FINGERPRINT_CHARS && digits
        };
        let fingerprint = fingerprint.filter(is_hex).ok_or(BeaconError::Property("n"))?;
        let port = number(port).filter(|port| *port != 0).ok_or(BeaconError::Property("p"))?;
        Ok(Self { fingerprint: fingerprint.to_owned(), port })
    }
}

/// A number in its one spelling.
fn number<N: std::str::FromStr + ToString>(text: Option<&str>) -> Option<N> {
    let number: N = text?.parse().ok()?;
    (number.to_string() == text?).then_some(number)
}

/// Where an announced node may be dialled: only what stays on the local network (a private range,
/// or the subnet of an interface), a link-local IPv6 address with the link it was heard on. In the
/// order of the addresses, so that two answers of one node say the same.
#[must_use]
pub fn dialable(
    ips: impl IntoIterator<Item = (IpAddr, u32)>,
    port: u16,
    subnets: &[Subnet],
) -> Vec<SocketAddr> {
    let is_in_a_subnet = |ip: IpAddr| subnets.iter().any(|subnet| subnet.has(ip));
    let is_near =
        |ip: &IpAddr| !ip.is_loopback() && (address::is_private(*ip) || is_in_a_subnet(*ip));
    let to_address = |(ip, link): (IpAddr, u32)| match ip.to_canonical() {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => SocketAddrV6::new(ip, port, 0, link).into(),
        ip => SocketAddr::new(ip, port),
    };
    let near = ips.into_iter().filter(|(ip, _)| is_near(&ip.to_canonical())).map(to_address);
    let mut addresses: Vec<SocketAddr> = near.take(4 * ADDRESSES_MAX).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(properties: &[(&str, &str)]) -> Result<Announcement, BeaconError> {
        Announcement::read(properties.iter().map(|(key, value)| (*key, Some(value.as_bytes()))))
    }

    #[test]
    fn networks_and_pools_have_names_of_their_own() {
        let main = NetworkId::default();
        let lab = NetworkId::new("lab").expect("a name");
        let names = [
            fingerprint(&main, None),
            fingerprint(&lab, None),
            fingerprint(&main, Some(&[1; 32])),
            fingerprint(&main, Some(&[2; 32])),
        ];
        for (n, name) in names.iter().enumerate() {
            assert!(!names[..n].contains(name) && name.len() == FINGERPRINT_CHARS, "{names:?}");
        }
    }

    #[test]
    fn what_is_no_announcement_is_told() {
        let (n, p) = (("n", "0123456789abcdef"), ("p", "8810"));
        assert!(read(&[("v", "1"), n, p, ("later", "x")]).is_ok());
        assert_eq!(read(&[("v", "2"), n, p]), Err(BeaconError::Version { theirs: 2 }));
        assert_eq!(read(&[n, p]), Err(BeaconError::Property("v")));
        for (key, value) in [("n", "0123456789ABCDEF"), ("n", "01"), ("p", "0"), ("p", "08810")] {
            let given = [("v", "1"), if key == "n" { p } else { n }, (key, value)];
            assert!(read(&given).is_err(), "{key}={value}");
        }
        assert_eq!(read(&[("v", "1"), n, p, p]), Err(BeaconError::Property("p")));
        assert_eq!(read(&[("x", ""); 17]), Err(BeaconError::TooMany));
    }

    #[test]
    fn only_the_local_network_is_dialled() {
        let ips = ["198.51.100.1", "127.0.0.1", "192.168.0.2", "fe80::1", "2001:db8::1", "fd00::2"];
        let ips: [(IpAddr, u32); 6] = ips.map(|text| (text.parse().expect("an address"), 3));
        let texts = ["192.168.0.2:9", "[fd00::2]:9", "[fe80::1%3]:9"];
        let expected = texts.map(|text| text.parse::<SocketAddr>().expect("an address"));
        assert_eq!(dialable(ips, 9, &[]), expected);
        // A local network may have addresses of the internet.
        let subnets = [Subnet::new(ips[0].0, 24)];
        assert_eq!(dialable(ips, 9, &subnets).len(), 4);
    }

    proptest! {
        #[test]
        fn an_announcement_reads_back(
            network in "[a-z]{1,32}", pool: Option<[u8; 32]>, port in 1_u16..
        ) {
            let network = NetworkId::new(network).expect("a name");
            let said = Announcement { fingerprint: fingerprint(&network, pool.as_ref()), port };
            let properties = said.properties();
            let given = properties.iter().map(|(key, value)| (*key, Some(value.as_bytes())));
            prop_assert_eq!(Announcement::read(given), Ok(said));
        }

        #[test]
        fn any_properties_give_an_answer_and_what_is_read_writes_the_same(
            properties in proptest::collection::vec(
                ("[vnpx]", proptest::option::of("[0-9a-f]{0,17}|1|\\PC{0,9}")), 0..20)
        ) {
            let given =
                properties.iter().map(|(k, v)| (k.as_str(), v.as_ref().map(|v| v.as_bytes())));
            if let Ok(said) = Announcement::read(given) {
                for (key, value) in said.properties() {
                    let is_there = |(k, v): &(String, Option<String>)| {
                        k == key && v.as_ref() == Some(&value)
                    };
                    prop_assert!(properties.iter().any(is_there));
                }
            }
        }
    }
}
