//! The door: how many strangers may shake hands at once, and who must first show that it can be
//! answered where it says it is.
//!
//! Owned by the listener. For every accepted socket it asks [`HandshakeGate::admit`], for the first
//! message [`HandshakeGate::judge`], and it says when the handshake is over by
//! [`HandshakeGate::release`].
//! Rules: handshakes under way are limited in all and per group of neighbours (on one machine or
//! one local network nobody had to buy an address, so there only in all). When the limit in all is
//! reached, a newcomer takes the place of the one that has been there longest, of those without a
//! cookie first: an honest handshake is through in two round trips, and a flood only shortens the
//! time that a stalling stranger gets. Above [`CALM_OPENINGS_PER_S`] first messages a second, one
//! without a cookie costs us nothing but a hash: it is answered with a cookie, and nothing is kept.
//! Cookies are `cookie.rs`'s.
//! Units: milliseconds. Errors: [`GateError`]; [`ConnectionError`] for what is no first message.
//! Absent on purpose: a list of bad addresses. Addresses are cheap, and lists are not.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use bytes::BytesMut;

use super::{ConnectionError, opening};
use crate::{
    address::{self, AddressGroup},
    cookie::CookieKeys,
    ids::PeerId,
};

/// Handshakes under way in all: with as many sessions as there may be, within the 1,024 files that
/// a process commonly may open.
pub const HALF_OPEN_MAX: usize = 384;

/// Handshakes under way from one group of neighbours.
pub const HALF_OPEN_PER_GROUP_MAX: usize = 16;

/// First messages in a second that are answered without a cookie: a twentieth of what one core can.
pub const CALM_OPENINGS_PER_S: u32 = 100;

const COOKIE_KEY_DOMAIN: &str = "swarmllm/1 cookie secret";

/// Why a socket is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GateError {
    /// Its neighbours have as many handshakes under way as they may.
    #[error("too many handshakes are under way from that address range")]
    GroupFull,
}

/// A place among the handshakes under way.
pub type Ticket = u64;

/// What an accepted socket leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// Its place.
    pub ticket: Ticket,
    /// Whose place it took: that socket is to be closed.
    pub evicted: Option<Ticket>,
}

/// What to do with a first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Give it to the connection.
    Proceed,
    /// Send this record instead and forget the message.
    Challenge(BytesMut),
}

struct HalfOpen {
    group: Option<AddressGroup>,
    has_cookie: bool,
}

/// The door; see the front page of this file.
pub struct HandshakeGate {
    us: PeerId,
    cookies: CookieKeys,
    /// By age, for tickets only grow.
    half_open: BTreeMap<Ticket, HalfOpen>,
    groups: BTreeMap<AddressGroup, usize>,
    next_ticket: Ticket,
    openings: Rate,
}

impl HandshakeGate {
    /// That of a node of this id, with nobody at it; the secret must be random.
    #[must_use]
    pub fn new(us: PeerId, secret: [u8; 32]) -> Self {
        Self {
            us,
            cookies: CookieKeys::new(COOKIE_KEY_DOMAIN, secret),
            half_open: BTreeMap::new(),
            groups: BTreeMap::new(),
            next_ticket: 1,
            openings: Rate::default(),
        }
    }

    /// Handshakes under way.
    #[must_use]
    pub fn half_open(&self) -> usize {
        self.half_open.len()
    }

    /// A socket was accepted.
    pub fn admit(&mut self, remote: IpAddr) -> Result<Admission, GateError> {
        let group = address::is_counted(remote).then(|| AddressGroup::of(remote));
        let there = group.and_then(|group| self.groups.get(&group).copied()).unwrap_or(0);
        if there >= HALF_OPEN_PER_GROUP_MAX {
            return Err(GateError::GroupFull);
        }
        let evicted = (self.half_open.len() >= HALF_OPEN_MAX).then(|| self.oldest()).flatten();
        if let Some(evicted) = evicted {
            self.release(evicted);
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.half_open.insert(ticket, HalfOpen { group, has_cookie: false });
        if let Some(group) = group {
            *self.groups.entry(group).or_default() += 1;
        }
        Ok(Admission { ticket, evicted })
    }

    /// Who has been here longest, of those without a cookie if there are any.
    fn oldest(&self) -> Option<Ticket> {
        let stranger = self.half_open.iter().find(|(_, half_open)| !half_open.has_cookie);
        stranger.or_else(|| self.half_open.first_key_value()).map(|(ticket, _)| *ticket)
    }

    /// A handshake is through, or its socket is closed. Twice is once.
    pub fn release(&mut self, ticket: Ticket) {
        let Some(HalfOpen { group: Some(group), .. }) = self.half_open.remove(&ticket) else {
            return;
        };
        if let Some(there) = self.groups.get_mut(&group) {
            *there -= 1;
            if *there == 0 {
                self.groups.remove(&group);
            }
        }
    }

    /// A record has come over a socket whose handshake has not begun.
    pub fn judge(
        &mut self,
        ticket: Ticket,
        remote: SocketAddr,
        record: &[u8],
        now_ms: u64,
    ) -> Result<Verdict, ConnectionError> {
        let opening = opening::read(record, &self.us)?;
        if self.cookies.good(remote, now_ms).any(|cookie| cookie == opening.cookie) {
            if let Some(half_open) = self.half_open.get_mut(&ticket) {
                half_open.has_cookie = true;
            }
            return Ok(Verdict::Proceed);
        }
        if self.openings.count(now_ms) <= CALM_OPENINGS_PER_S {
            return Ok(Verdict::Proceed);
        }
        Ok(Verdict::Challenge(opening::write_cookie(&self.cookies.cookie(remote, now_ms))))
    }
}

/// Events in about the last second: those of this second, and of the one before in proportion.
#[derive(Default)]
struct Rate {
    second: u64,
    now: u32,
    before: u32,
}

impl Rate {
    /// Counts one more; how many there were.
    fn count(&mut self, now_ms: u64) -> u32 {
        let second = now_ms / 1_000;
        if second != self.second {
            self.before = if second == self.second + 1 { self.now } else { 0 };
            (self.second, self.now) = (second, 0);
        }
        self.now = self.now.saturating_add(1);
        let share = u64::from(self.before) * (1_000 - now_ms % 1_000) / 1_000;
        self.now.saturating_add(share as u32)
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
