//! Who is in the world, where they live, and what their tables hold when a measurement begins.
//!
//! Tables of thousands of nodes are filled directly, through the same entry by which an answer
//! fills them: of every bucket's range up to a bucket of nodes chosen at random, gone ones and
//! colluders included; where fewer stand there than a bucket holds, nine of ten are known. Each
//! remembers where four lookups of random points ended, as a node does that has started up. That is
//! not ideal (an ideal table would know all of those, and only live nodes), and it is not history
//! either: real tables favour nodes that have been up for long.
//! Addresses: half the nodes live in 400 /16s of hosting providers, the others anywhere.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use swarmllm_protocol::{
    identity::Identity,
    ids::PeerId,
    kademlia::{DhtKey, DhtSettings},
};

use crate::{
    random::Random,
    ring::{NodeId, Ring, sibling},
    world::{Role, World},
};

/// Lookups that a node remembers of the time before.
const LOOKUPS_BEFORE: usize = 4;
/// Share of the nodes near itself that a node knows.
const NEAR_KNOWN: f64 = 0.9;
const HOSTING_NETWORKS: u64 = 400;

/// An address that nobody in the world has.
pub(crate) fn fresh_address(world: &mut World) -> SocketAddr {
    loop {
        let random = &mut world.random;
        let wide = match random.below(2) {
            0 => 0x2000 + (random.next() % HOSTING_NETWORKS) as u32 * 7,
            _ => 0x2000 + (random.next() % 0x8000) as u32,
        };
        let ip = Ipv4Addr::from_bits((wide << 16) | (random.next() as u32 & 0xffff));
        let address = SocketAddr::new(IpAddr::V4(ip), 4001);
        let is_public = !ip.is_private() && !ip.is_loopback() && !ip.is_link_local();
        if is_public && !world.is_taken(&address) {
            return address;
        }
    }
}

/// A node with a key of its own, somewhere.
pub(crate) fn add_node(world: &mut World) -> NodeId {
    let identity = Identity::from_seed(world.random.bytes());
    let address = fresh_address(world);
    let peer = identity.peer_id();
    world.add(identity, peer, address)
}

/// An attacker's node: it signs nothing, so that its peer id need not be a key.
pub(crate) fn add_sybil(world: &mut World, peer: PeerId, address: SocketAddr) -> NodeId {
    let identity = Identity::from_seed([0; 32]);
    world.add(identity, peer, address)
}

/// Everybody's place.
pub(crate) fn ring(world: &World) -> Ring {
    Ring::new(world.nodes.iter().enumerate().map(|(id, node)| (node.key, id as NodeId)))
}

/// Fills the table of every node that runs the protocol.
pub(crate) fn fill_tables(world: &mut World, ring: &Ring) {
    for id in 0..world.nodes.len() as NodeId {
        if world.nodes[id as usize].role == Role::Honest {
            fill_table(world, ring, id);
        }
    }
}

fn fill_table(world: &mut World, ring: &Ring, id: NodeId) {
    let key = world.nodes[id as usize].key;
    let settings = world.settings;
    let mut random = Random::new(world.random.next());
    for _ in 0..LOOKUPS_BEFORE {
        let point = DhtKey(random.bytes());
        let last = ring.nearest(&point, settings.bucket_size).pop();
        let distance = last.map(|last| world.nodes[last as usize].key.distance(&point));
        if let (Some(distance), Some(node)) = (distance, &mut world.nodes[id as usize].node) {
            node.restore_region(distance);
        }
    }
    for bits in 0..256 {
        if ring.range(&key, bits).len() <= 1 {
            break;
        }
        let range = sibling(&key, bits);
        for part in 0..1_usize << (settings.split_bits - 1) {
            let mut corner = range;
            for step in 0..usize::from(settings.split_bits) - 1 {
                let place = bits + 1 + step;
                let wanted = (part >> step) & 1 == 1;
                let mask = 0x80 >> (place % 8);
                corner.0[place / 8] = corner.0[place / 8] & !mask | if wanted { mask } else { 0 };
            }
            let known = ring.range(&corner, bits + usize::from(settings.split_bits));
            for other in choose(&mut random, known, &settings) {
                let rtt_ms = world.rtt_ms(id, other) as u32;
                let contact = world.nodes[other as usize].contact;
                let now = world.now();
                if let Some(node) = world.nodes[id as usize].node.as_mut() {
                    node.restore(now, contact, rtt_ms);
                }
            }
        }
    }
}

fn choose(random: &mut Random, range: &[(DhtKey, NodeId)], settings: &DhtSettings) -> Vec<NodeId> {
    let mut all: Vec<NodeId> = range.iter().map(|(_, id)| *id).collect();
    if all.len() <= settings.bucket_size {
        all.retain(|_| random.unit() < NEAR_KNOWN);
        return all;
    }
    for place in 0..settings.bucket_size {
        let other = place + random.below(all.len() - place);
        all.swap(place, other);
    }
    all.truncate(settings.bucket_size);
    all
}
