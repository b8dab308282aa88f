//! What works of the network, for a person who wonders: how this node is seen, what each way of
//! finding peers has brought, how the DHT does, and what to do about what does not work.
//!
//! Called by `node.rs`; shown by `swarmllm net check`. Facts come from `peer_directory` and
//! `dht_router`; [`advice`] is a pure function of them.
//! Units: Unix seconds, milliseconds of a round trip. The only thing it tries is a datagram to some
//! connected peers; everything else that is shown has happened.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;
use swarmllm_actors::peer_directory::{LayerReport, Reachability, Via};

use super::types::DhtNumbers;

/// Everything `net check` says.
#[derive(Debug, Clone, Serialize)]
pub struct NetCheck {
    /// This node.
    pub peer_id: String,
    /// Name of the swarm.
    pub network: String,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Nothing leaves private ranges.
    pub offline: bool,
    /// Whether there is an interface besides loopback.
    pub has_network: bool,
    /// Open sessions.
    pub connected: usize,
    /// Sessions that the node looks for.
    pub wanted: usize,
    /// Remembered peers that have answered, and others.
    pub remembered: [usize; 2],
    /// Whether others can open connections to this node.
    pub reachable: bool,
    /// Where its own record says it is.
    pub addresses: Vec<SocketAddr>,
    /// Where others see it.
    pub heard: Vec<HeardAddress>,
    /// What each way of finding peers has brought.
    pub layers: Vec<LayerCheck>,
    /// Round trips to some connected peers, by session and by datagram.
    pub paths: Vec<PathCheck>,
    /// The table of nodes and records.
    pub dht: DhtNumbers,
    /// What to do, in sentences; empty when all is well.
    pub advice: Vec<String>,
}

/// An address that others said they see this node at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeardAddress {
    /// The address.
    pub address: IpAddr,
    /// Peers in a session that say so.
    pub sessions: usize,
    /// Answers of the DHT that say so.
    pub datagrams: u32,
    /// Whether enough of them agree, from different parts of the network.
    pub believed: bool,
}

/// One way of finding peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LayerCheck {
    /// Its name, as `peers` shows it.
    pub via: String,
    /// Whether this node uses it.
    pub on: bool,
    /// Peers found, or places where one may be.
    pub found: u64,
    /// Sessions with them.
    pub connected: u64,
    /// When something was found last.
    pub found_at_unix_s: Option<u64>,
    /// What failed last.
    pub last_error: Option<String>,
    /// When that was.
    pub failed_at_unix_s: Option<u64>,
}

/// The way to one connected peer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PathCheck {
    /// Who.
    pub peer_id: String,
    /// Where its datagrams go.
    pub address: SocketAddr,
    /// By the session, where measured.
    pub session_ms: Option<f64>,
    /// By a datagram; none where nothing came back.
    pub datagram_ms: Option<f64>,
}

/// What `node.rs` knows by itself.
pub(super) struct OwnFacts {
    pub(super) peer_id: String,
    pub(super) network: String,
    pub(super) listen: SocketAddr,
    pub(super) mdns: bool,
    pub(super) exchange: bool,
    pub(super) has_network: bool,
    pub(super) paths: Vec<PathCheck>,
}

/// Puts it together.
pub(super) fn assemble(own: OwnFacts, directory: Reachability, dht: DhtNumbers) -> NetCheck {
    let layer = |report: LayerReport| {
        let on = match report.via {
            Via::Mdns => own.mdns,
            Via::PeerExchange => own.exchange,
            _ => true,
        };
        layer_check(report, on)
    };
    let mut check = NetCheck {
        peer_id: own.peer_id,
        network: own.network,
        listen: own.listen,
        offline: directory.is_offline,
        has_network: own.has_network,
        connected: directory.connected,
        wanted: directory.wanted,
        remembered: [directory.cached.0, directory.cached.1],
        reachable: directory.is_reachable,
        paths: own.paths,
        heard: heard(&directory, &dht),
        addresses: directory.addresses,
        layers: directory.layers.into_iter().map(layer).collect(),
        dht,
        advice: Vec::new(),
    };
    check.advice = advice(&check);
    check
}

fn heard(directory: &Reachability, dht: &DhtNumbers) -> Vec<HeardAddress> {
    let mut heard: Vec<HeardAddress> = Vec::new();
    let mut add = |address: IpAddr, sessions: usize, datagrams: u32| {
        let known = heard.iter_mut().find(|known| known.address == address);
        let Some(known) = known else {
            let is_agreed = dht.observed.is_some_and(|observed| observed.ip() == address);
            let believed = directory.believed.contains(&address) || is_agreed;
            return heard.push(HeardAddress { address, sessions, datagrams, believed });
        };
        known.sessions += sessions;
        known.datagrams += datagrams;
    };
    directory.heard.iter().for_each(|(address, count)| add(*address, *count, 0));
    let in_dht = dht.heard.iter().filter_map(|(ip, count)| Some((ip.parse().ok()?, *count)));
    in_dht.for_each(|(address, count)| add(address, 0, count));
    heard
}

fn layer_check(report: LayerReport, on: bool) -> LayerCheck {
    let (last_error, failed_at_unix_s) = report.last_error.unzip();
    LayerCheck {
        via: report.via.word().to_owned(),
        on,
        found: report.found,
        connected: report.connected,
        found_at_unix_s: report.found_at_unix_s,
        last_error,
        failed_at_unix_s,
    }
}

/// What a person could do about what does not work.
fn advice(check: &NetCheck) -> Vec<String> {
    let mut advice = Vec::new();
    let mut say = |is_so: bool, text: String| {
        if is_so {
            advice.push(text);
        }
    };
    let is_alone = check.connected == 0;
    let mdns = check.layers.iter().any(|layer| layer.via == "mdns" && layer.on);
    let tried = check.layers.iter().filter(|layer| layer.found > 0).count();
    let port = check.listen.port();
    say(
        !check.has_network,
        "this machine has no network: the node serves this machine alone until there is one".into(),
    );
    say(
        is_alone && check.listen.ip().is_loopback(),
        "the node listens on this machine only: give `--listen 0.0.0.0:8810` to meet others".into(),
    );
    say(
        is_alone && check.has_network && tried == 0,
        format!(
            "nobody was found{}: ask a friend for an invite code (`swarmllm invite`) and start \
             with `--join CODE`",
            if mdns { " on the local network" } else { "" }
        ),
    );
    say(
        is_alone && tried > 0,
        "peers are known and none could be reached: see the errors above; a firewall may be in \
         the way"
            .into(),
    );
    say(
        !check.paths.is_empty() && check.paths.iter().all(|path| path.datagram_ms.is_none()),
        format!(
            "sessions work and no datagram is answered: let UDP port {port} through as well, or \
             peers further away are not found"
        ),
    );
    say(
        !is_alone && !check.reachable,
        format!(
            "nobody has opened a connection to this node yet: it can ask and serve those it calls \
             itself; to be called, forward port {port} (TCP and UDP) to this machine"
        ),
    );
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check() -> NetCheck {
        let layer = |name: &str, found| LayerCheck {
            via: name.into(),
            on: true,
            found,
            connected: found,
            found_at_unix_s: None,
            last_error: None,
            failed_at_unix_s: None,
        };
        NetCheck {
            peer_id: "abc".into(),
            network: "main".into(),
            listen: "0.0.0.0:8810".parse().expect("address"),
            offline: false,
            has_network: true,
            connected: 3,
            wanted: 16,
            remembered: [3, 1],
            reachable: true,
            addresses: Vec::new(),
            heard: Vec::new(),
            layers: vec![layer("join", 1), layer("mdns", 2)],
            paths: vec![path(Some(1.5))],
            dht: DhtNumbers::default(),
            advice: Vec::new(),
        }
    }

    fn path(datagram_ms: Option<f64>) -> PathCheck {
        let address = "192.0.2.7:8810".parse().expect("address");
        PathCheck { peer_id: "def".into(), address, session_ms: Some(1.0), datagram_ms }
    }

    #[test]
    fn a_working_network_needs_no_advice() {
        assert_eq!(advice(&check()), Vec::<String>::new());
    }

    #[test]
    fn what_does_not_work_comes_with_what_to_do() {
        let said = |check: &NetCheck| advice(check).join("\n");
        let mut alone = NetCheck { connected: 0, reachable: false, ..check() };
        assert!(said(&alone).contains("none could be reached"), "{}", said(&alone));
        alone.layers.iter_mut().for_each(|layer| layer.found = 0);
        assert!(said(&alone).contains("--join CODE"), "{}", said(&alone));
        let no_network = NetCheck { has_network: false, ..alone };
        assert!(said(&no_network).contains("no network"), "{}", said(&no_network));
        let mut no_udp = check();
        no_udp.paths = vec![path(None), path(None)];
        assert!(said(&no_udp).contains("UDP port 8810"), "{}", said(&no_udp));
        let hidden = NetCheck { reachable: false, ..check() };
        assert!(said(&hidden).contains("forward port 8810"), "{}", said(&hidden));
    }
}
