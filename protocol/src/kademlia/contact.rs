//! A node as the table knows it: who, and where it answers datagrams.
//!
//! Layout: peer 32 bytes, then the address (`address.rs`). Errors: `None` where bytes are none.
//! Absent on purpose: proof. Requests are sealed to the peer's key, so only who holds it answers.

use std::net::SocketAddr;

use crate::{
    address::{self, ADDRESS_MAX_BYTES, AddressGroup, take},
    ids::PeerId,
    kademlia::key::DhtKey,
};

/// Most bytes of a contact.
pub const CONTACT_MAX_BYTES: usize = 32 + ADDRESS_MAX_BYTES;

/// Who, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Contact {
    /// Whose key a request to it is sealed to.
    pub peer: PeerId,
    /// Where it takes datagrams.
    pub address: SocketAddr,
}

impl Contact {
    /// Where it stands in the key space.
    #[must_use]
    pub fn key(&self) -> DhtKey {
        DhtKey::of_peer(&self.peer)
    }

    /// The neighbours it counts with; `None` where everybody shares one network.
    #[must_use]
    pub fn group(&self) -> Option<AddressGroup> {
        address::is_counted(self.address.ip()).then(|| AddressGroup::of(self.address.ip()))
    }

    /// Whether the word of a node at `address` for it is worth anything: nobody far away sends us
    /// to addresses of our own network.
    #[must_use]
    pub fn may_be_named_from(&self, address: &SocketAddr) -> bool {
        let is_near = address::is_private(self.address.ip());
        address::is_dialable(&self.address) && (!is_near || address::is_private(address.ip()))
    }

    /// Appends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.peer.as_bytes());
        address::write(&self.address, out);
    }

    /// Takes one off the front of `bytes`; one that nobody can dial is none.
    #[must_use]
    pub fn read(bytes: &mut &[u8]) -> Option<Self> {
        let peer = PeerId(take(bytes)?);
        let address = address::read(bytes)?;
        address::is_dialable(&address).then_some(Self { peer, address })
    }
}
