//! What the rules of the network ask of an address: whether it may be dialled, whether it stays
//! near, and which group of neighbours it belongs to.
//!
//! Called by everything that limits how much one corner of the internet may fill: buckets, the peer
//! cache, peer exchange, dialling, half-open handshakes.
//! A mapped IPv4 address (`::ffff:a.b.c.d`) is the IPv4 address it stands for, everywhere.
//! Layout where addresses travel or are signed: family `u8` (4 or 6), IP (4 or 16 bytes), port
//! `u16` LE. Errors: `None` where bytes are no address.
//! Source: RFC 1918, 3927, 4193, 4291, 6598. Absent on purpose: names; they are resolved once, by
//! whoever typed them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Most bytes of an address in our layout.
pub const ADDRESS_MAX_BYTES: usize = 1 + 16 + 2;

/// Neighbours that one party can have all of: a /24, or a /56 (what a household is given).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressGroup(IpAddr);

impl AddressGroup {
    /// The group of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        Self(masked(ip, if ip.to_canonical().is_ipv4() { 24 } else { 56 }))
    }

    /// Its first address, which names it.
    #[must_use]
    pub fn ip(self) -> IpAddr {
        self.0
    }
}

/// Neighbours of one provider: a /16, or a /32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WideAddressGroup(IpAddr);

impl WideAddressGroup {
    /// The group of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        Self(masked(ip, if ip.to_canonical().is_ipv4() { 16 } else { 32 }))
    }
}

/// Addresses that an interface reaches without a router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    first: IpAddr,
    prefix_bits: u32,
}

impl Subnet {
    /// The subnet of an interface with this address and so many bits of network.
    #[must_use]
    pub fn new(ip: IpAddr, prefix_bits: u8) -> Self {
        let prefix_bits = prefix_bits.into();
        Self { first: masked(ip, prefix_bits), prefix_bits }
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        // A network of no bits is a default route, not a neighbourhood.
        let is_a_kind = ip.is_ipv4() == self.first.is_ipv4() && self.prefix_bits > 0;
        is_a_kind && masked(ip, self.prefix_bits) == self.first
    }
}

fn masked(ip: IpAddr, bits: u32) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => IpAddr::V4(masked_v4(ip, bits)),
        IpAddr::V6(ip) => IpAddr::V6(masked_v6(ip, bits)),
    }
}

/// The first address of the network of so many bits.
fn masked_v4(ip: Ipv4Addr, bits: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(
        ip.to_bits() & u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0),
    )
}

fn masked_v6(ip: Ipv6Addr, bits: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(
        ip.to_bits() & u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0),
    )
}

/// Whether an address can be dialled at all, wherever it leads.
#[must_use]
pub fn is_dialable(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    address.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
}

/// Whether an address stays on this machine or its local network.
#[must_use]
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// How far an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// To this machine.
    Machine,
    /// To the local network.
    Site,
    /// To everywhere.
    World,
}

/// How far an address leads.
#[must_use]
pub fn reach(ip: IpAddr) -> Reach {
    match ip.to_canonical() {
        ip if ip.is_loopback() => Reach::Machine,
        ip if is_private(ip) => Reach::Site,
        _ => Reach::World,
    }
}

/// Whether an address that somebody at `heard_from` named means the same place here: nobody far
/// away knows this site's addresses, and a link-local IPv6 address lacks the link.
#[must_use]
pub fn is_meant_for_us(address: &SocketAddr, heard_from: IpAddr) -> bool {
    let ip = address.ip().to_canonical();
    let is_of_a_link = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    is_dialable(address) && !is_of_a_link && reach(ip) >= reach(heard_from)
}

/// Whether a limit per group says anything about an address: on one machine or one local network
/// everybody shares a group, and nobody there had to buy an address.
#[must_use]
pub fn is_counted(ip: IpAddr) -> bool {
    !is_private(ip)
}

/// Appends an address.
pub fn write(address: &SocketAddr, out: &mut Vec<u8>) {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => {
            out.push(4);
            out.extend_from_slice(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.push(6);
            out.extend_from_slice(&ip.octets());
        }
    }
    out.extend_from_slice(&address.port().to_le_bytes());
}

/// Takes an address off the front of `bytes`; a mapped one is refused, so that each address has one
/// spelling.
#[must_use]
pub fn read(bytes: &mut &[u8]) -> Option<SocketAddr> {
    let ip = match take::<1>(bytes)?[0] {
        4 => IpAddr::from(take::<4>(bytes)?),
        6 => IpAddr::from(take::<16>(bytes)?),
        _ => return None,
    };
    let port = u16::from_le_bytes(take(bytes)?);
    (ip == ip.to_canonical()).then_some(SocketAddr::new(ip, port))
}

/// Takes `N` bytes off the front of `bytes`.
pub(crate) fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn groups_are_what_one_party_can_have() {
        assert_eq!(AddressGroup::of(ip("198.51.100.1")), AddressGroup::of(ip("198.51.100.254")));
        assert_ne!(AddressGroup::of(ip("198.51.100.1")), AddressGroup::of(ip("198.51.101.1")));
        let mapped = ip("::ffff:198.51.100.9");
        assert_eq!(AddressGroup::of(mapped), AddressGroup::of(ip("198.51.100.1")));
        let (a, b) = (ip("2001:db8:0:1100::1"), ip("2001:db8:0:11ff::1"));
        assert_eq!(AddressGroup::of(a), AddressGroup::of(b));
        assert_ne!(AddressGroup::of(a), AddressGroup::of(ip("2001:db8:0:1200::1")));
        let (a, b) = (ip("198.51.100.1"), ip("198.51.7.1"));
        assert_eq!(WideAddressGroup::of(a), WideAddressGroup::of(b));
    }

    #[test]
    fn private_is_what_stays_here() {
        for near in ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.1.1", "::1", "fd00::1"] {
            assert!(is_private(ip(near)), "{near}");
        }
        assert!(is_private(ip("::ffff:10.0.0.1")));
        for far in ["198.51.100.1", "2001:db8::1", "::ffff:198.51.100.1", "100.64.0.1"] {
            assert!(!is_private(ip(far)), "{far}");
        }
        for useless in ["0.0.0.0:1", "224.0.0.1:1", "255.255.255.255:1", "10.0.0.1:0", "[::]:1"] {
            assert!(!is_dialable(&useless.parse().expect("an address")), "{useless}");
        }
    }

    #[test]
    fn a_subnet_has_its_neighbours() {
        let home = Subnet::new(ip("198.51.100.130"), 25);
        assert!(home.has(ip("198.51.100.129")) && home.has(ip("::ffff:198.51.100.255")));
        assert!(!home.has(ip("198.51.100.127")) && !home.has(ip("2001:db8::1")));
        assert!(Subnet::new(ip("2001:db8::1"), 64).has(ip("2001:db8::2")));
        assert!(Subnet::new(ip("198.51.100.1"), 32).has(ip("198.51.100.1")));
        assert!(!Subnet::new(ip("198.51.100.1"), 0).has(ip("198.51.100.1")));
        assert!(Subnet::new(ip("198.51.100.1"), 255).has(ip("198.51.100.1")));
    }

    #[test]
    fn nobody_far_away_sends_us_into_our_own_network() {
        let meant = |address: &str, from: &str| {
            is_meant_for_us(&format!("{address}:1").parse().expect("an address"), ip(from))
        };
        assert!(meant("198.51.100.1", "203.0.113.1"));
        assert!(meant("198.51.100.1", "192.168.0.2") && meant("192.168.0.3", "192.168.0.2"));
        assert!(meant("127.0.0.1", "127.0.0.1") && meant("192.168.0.3", "::1"));
        assert!(!meant("192.168.0.3", "203.0.113.1") && !meant("127.0.0.1", "192.168.0.2"));
        assert!(!meant("[fe80::1]", "127.0.0.1"));
    }

    proptest! {
        #[test]
        fn addresses_read_back(bits in any::<u128>(), is_v4: bool, port: u16) {
            let ip = if is_v4 { IpAddr::from((bits as u32).to_be_bytes()) }
                else { IpAddr::from(bits.to_be_bytes()).to_canonical() };
            let address = SocketAddr::new(ip, port);
            let mut bytes = Vec::new();
            write(&address, &mut bytes);
            prop_assert!(bytes.len() <= ADDRESS_MAX_BYTES);
            let mut rest = bytes.as_slice();
            prop_assert_eq!(read(&mut rest), Some(address));
            prop_assert!(rest.is_empty());
        }

        #[test]
        fn any_bytes_are_an_address_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let mut rest = bytes.as_slice();
            if let Some(address) = read(&mut rest) {
                let mut again = Vec::new();
                write(&address, &mut again);
                prop_assert_eq!(&bytes[..bytes.len() - rest.len()], again.as_slice());
            }
        }
    }
}
