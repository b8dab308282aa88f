//! This node's own record: where it is, signed, and made anew when that changes or gets old.

use std::net::SocketAddr;

use swarmllm_protocol::limits::NODE_RECORD_LIFETIME_MAX_S;
use swarmllm_protocol::node_record::{NodeFacts, NodeRecord};

use super::{PeerDirectory, policy};

/// How long a record is good: half of what it may be, so that a clock may be wrong by hours.
const LIFETIME_S: u64 = NODE_RECORD_LIFETIME_MAX_S / 2;
/// It is made anew when less than this is left.
const RENEW_S: u64 = LIFETIME_S / 2;
/// For so long after a connection from afar others are taken to get through.
const REACHED_MS: u64 = 12 * 3_600_000;

/// What this node says of itself.
#[derive(Debug, Default)]
pub(super) struct OwnRecord {
    record: Option<NodeRecord>,
    reached_from_afar_ms: Option<u64>,
}

impl OwnRecord {
    /// As it travels; empty for a node that is nowhere.
    pub(super) fn bytes(&self) -> &[u8] {
        self.record.as_ref().map(NodeRecord::as_bytes).unwrap_or_default()
    }

    /// Where this node is.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.record.as_ref().map(|record| record.facts().addresses.clone()).unwrap_or_default()
    }

    pub(super) fn is_reachable(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.facts().is_reachable)
    }

    /// Somebody on the internet opened a connection to this node.
    pub(super) fn was_reached_from_afar(&mut self, now_ms: u64) {
        self.reached_from_afar_ms = Some(now_ms);
    }
}

impl PeerDirectory {
    /// Looks at the interfaces and at what others say, and signs anew if need be. Everybody who is
    /// connected hears of a change.
    pub(super) fn refresh_own_record(&mut self) {
        let now = self.now();
        let interfaces = (self.facts.interfaces)();
        let believed = self.observed.believed();
        let port = self.facts.listen.port();
        let addresses = policy::own_addresses(&interfaces, &believed, port, self.facts.is_offline);
        let reached_ms = self.own.reached_from_afar_ms;
        let is_reached = reached_ms.is_some_and(|at_ms| now.ms.saturating_sub(at_ms) < REACHED_MS);
        let is_reachable = policy::is_reachable(&addresses, &interfaces, &believed, is_reached);
        let old = self.own.record.as_ref().map(NodeRecord::facts);
        let is_same =
            old.is_some_and(|old| (&old.addresses, old.is_reachable) == (&addresses, is_reachable));
        let is_fresh = old.is_some_and(|old| old.expires_at_unix_s > now.unix_s + RENEW_S);
        if is_same && is_fresh {
            return;
        }
        // Grows over restarts as well, since the time does.
        let sequence = old.map_or(0, |old| old.sequence + 1).max(now.unix_s);
        let peer = self.local;
        let expires_at_unix_s = now.unix_s + LIFETIME_S;
        let facts = NodeFacts { peer, sequence, expires_at_unix_s, is_reachable, addresses };
        match NodeRecord::sign(&self.facts.identity, &self.facts.network, facts) {
            Ok(record) => {
                self.own.record = Some(record);
                self.greet_again();
            }
            Err(error) => tracing::warn!(%error, "this node's own record can't be signed"),
        }
    }
}
