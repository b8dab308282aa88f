//! A router and its buckets in one, for simulations and tests; actors join the same parts by
//! messages.

use std::{collections::BTreeMap, net::SocketAddr};

use crate::{
    ids::{NetworkId, PeerId},
    kademlia::{
        bucket::Bucket,
        contact::Contact,
        key::{BucketIndex, DhtKey},
        messages::{Request, Response},
        record::ProviderRecord,
        router::{LookupId, Now, Router, RouterOutput},
        settings::DhtSettings,
    },
};

/// What a node wants: [`RouterOutput`] without the buckets' part.
pub type NodeOutput = RouterOutput;

/// See the head of this file.
#[derive(Debug)]
pub struct DhtNode {
    settings: DhtSettings,
    router: Router,
    buckets: BTreeMap<BucketIndex, Bucket>,
}

impl DhtNode {
    /// Of the node `peer`, with an empty table.
    #[must_use]
    pub fn new(peer: PeerId, network: NetworkId, settings: DhtSettings, seed: [u8; 32]) -> Self {
        let router = Router::new(peer, network, settings, seed);
        Self { settings, router, buckets: BTreeMap::new() }
    }
}
