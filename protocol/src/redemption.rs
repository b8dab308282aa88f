//! How often this node's invites were used, as a log that no crash can make forget.
//!
//! Kept by `invite_keeper`, which appends each record to a file and has it on the disk (fsync)
//! before anything follows from it: a certificate before all. So after a crash at any moment, no
//! more nodes than an invite allows have one, and each of those is remembered; one that got none,
//! because the crash came between record and answer, comes again and takes no further use.
//! Layout: magic (8), then records: length `u16` of the body | body | 8 bytes of a BLAKE3 chain
//! over all bodies so far. Bodies: 1 made (invite 16, made `u64`, expires `u64`, uses `u32`, grant,
//! key 32); 2 redeemed (invite 16, peer 32, at `u64`); 3 revoked (invite 16, at `u64`, members
//! `u8`). Little endian; times are Unix seconds.
//! A last record that was torn by a crash is dropped; damage before it is told from that by its
//! length, and such a log is refused: its invites then admit nobody, which is the safe side.
//! Errors: [`LogError`] for the log, [`RedeemError`] for whoever comes with a code.
//! Absent on purpose: the file. Bytes to append are returned, and count once they were appended.

use std::{cmp::Reverse, collections::BTreeMap};

use zeroize::Zeroizing;

use crate::{
    address::take,
    ids::{InviteId, PeerId},
    invite::{INVITE_SECRET_BYTES, InviteSecret},
    limits::{INVITE_MEMORY_S, INVITE_USES_MAX, INVITES_MAX, REDEMPTIONS_MAX},
    membership::{GRANT_MAX_BYTES, Grant},
};

const MAGIC: &[u8; 8] = b"SWRMINV1";
const CHAIN_BYTES: usize = 8;
const CHAIN_PURPOSE: &str = "swarmllm 2026 redemption log chain";

/// Most bytes of a body: that of an invite made.
const BODY_MAX_BYTES: usize = 1 + 16 + 8 + 8 + 4 + GRANT_MAX_BYTES + INVITE_SECRET_BYTES;

/// Most bytes of a record.
pub const RECORD_MAX_BYTES: usize = 2 + BODY_MAX_BYTES + CHAIN_BYTES;

/// Why a log is not used or does not grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// Not the beginning of a log.
    #[error("no redemption log, or one of another version")]
    NotALog,
    /// Bytes in the middle that are no record.
    #[error("damaged at byte {at}")]
    Damaged {
        /// Where.
        at: usize,
    },
    /// No room for one more invite.
    #[error("{INVITES_MAX} invites are open already; revoke one that is not needed")]
    TooManyInvites,
    /// No invite of that id was made here, or it is long past.
    #[error("no invite {0} was made here, or it is forgotten")]
    Unknown(InviteId),
}

/// Why a code does not admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedeemError {
    /// Never made here, or forgotten.
    #[error("this node knows no such invite")]
    Unknown,
    /// Past its time.
    #[error("the invite expired {ago_s} s ago")]
    Expired {
        /// Seconds since.
        ago_s: u64,
    },
    /// As many nodes came as were invited.
    #[error("the invite was used up ({uses} of {uses})")]
    UsedUp {
        /// Uses it had.
        uses: u32,
    },
    /// Its inviter took it back.
    #[error("the invite was revoked")]
    Revoked,
    /// The log is full.
    #[error("this node remembers {REDEMPTIONS_MAX} redemptions and has no room for one more")]
    Full,
}

/// An invite that was made here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MadeInvite {
    /// When, Unix seconds.
    pub made_at_unix_s: u64,
    /// Until when, Unix seconds.
    pub expires_at_unix_s: u64,
    /// How many nodes it admits; 0: as many as come.
    pub uses: u32,
    /// What it makes of them.
    pub grant: Grant,
}

/// An invite and what became of it. Not printed: it holds a key.
#[derive(Clone)]
pub struct KnownInvite {
    /// As it was made.
    pub made: MadeInvite,
    /// The pre-shared key of its handshakes.
    pub psk: InviteSecret,
    /// Who came; the first [`REDEMPTIONS_MAX`] where uses are not counted.
    pub redeemed: BTreeMap<PeerId, u64>,
    /// Since when it is revoked, if it is.
    pub revoked_at_unix_s: Option<u64>,
    /// Since when those it admitted are no members any more.
    pub expelled_at_unix_s: Option<u64>,
}

impl KnownInvite {
    /// How many more nodes it admits; `None`: as many as come.
    #[must_use]
    pub fn uses_left(&self) -> Option<u32> {
        let used = u32::try_from(self.redeemed.len()).unwrap_or(u32::MAX);
        (self.made.uses > 0).then(|| self.made.uses.saturating_sub(used))
    }
}

/// What redeeming needs to be true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redemption {
    /// This record on the disk, told to [`RedemptionLog::appended`]; then the certificate.
    Write(Vec<u8>),
    /// Nothing: the peer redeemed it before, or uses are not counted.
    Known,
}

/// The log in memory. Not printed: it holds keys.
#[derive(Clone)]
pub struct RedemptionLog {
    invites: BTreeMap<InviteId, KnownInvite>,
    chain: [u8; 32],
}

impl Default for RedemptionLog {
    fn default() -> Self {
        let chain = blake3::derive_key(CHAIN_PURPOSE, MAGIC);
        Self { invites: BTreeMap::new(), chain }
    }
}

impl RedemptionLog {
    /// Reads a file; also how many of its bytes hold. What is behind them was torn by a crash.
    ///
    /// # Errors
    /// When it is no log, or damaged before its last record.
    pub fn read(bytes: &[u8]) -> Result<(Self, usize), LogError> {
        let mut log = Self::default();
        let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
            // A crash while the file was begun.
            return if MAGIC.starts_with(bytes) { Ok((log, 0)) } else { Err(LogError::NotALog) };
        };
        while !rest.is_empty() {
            let before = rest;
            if log.take_record(&mut rest).is_none() {
                let at = bytes.len() - before.len();
                // Each record is on the disk before the next one begins, so one at most is torn.
                let is_last = before.len() <= RECORD_MAX_BYTES;
                return if is_last { Ok((log, at)) } else { Err(LogError::Damaged { at }) };
            }
        }
        Ok((log, bytes.len()))
    }

    /// A whole file with what still matters, and the log that continues it.
    #[must_use]
    pub fn rewritten(&self, now_unix_s: u64) -> (Self, Vec<u8>) {
        let mut log = Self::default();
        let mut file = MAGIC.to_vec();
        for (id, known) in self.remembered(now_unix_s) {
            let bodies = [made_body(id, &known.made, &known.psk)]
                .into_iter()
                .chain(known.redeemed.iter().map(|(peer, at)| redeemed_body(id, peer, *at)))
                .chain(known.revoked_at_unix_s.map(|at| revoked_body(id, at, false)))
                .chain(known.expelled_at_unix_s.map(|at| revoked_body(id, at, true)));
            for body in bodies {
                let record = log.record(&body);
                log.appended(&record);
                file.extend_from_slice(&record);
            }
        }
        (log, file)
    }

    /// Every invite, by its id.
    pub fn invites(&self) -> impl Iterator<Item = (&InviteId, &KnownInvite)> {
        self.invites.iter()
    }

    /// One invite.
    #[must_use]
    pub fn get(&self, id: &InviteId) -> Option<&KnownInvite> {
        self.invites.get(id)
    }

    /// The record of a new invite. When there is no room, the one that expired first gives way.
    ///
    /// # Errors
    /// When all of them are still open.
    pub fn make(
        &mut self,
        id: &InviteId,
        made: &MadeInvite,
        psk: &InviteSecret,
    ) -> Result<Vec<u8>, LogError> {
        if self.invites.len() >= INVITES_MAX {
            let past = self
                .invites
                .iter()
                .filter(|(_, known)| known.made.expires_at_unix_s <= made.made_at_unix_s)
                .min_by_key(|(_, known)| known.made.expires_at_unix_s)
                .map(|(id, _)| *id)
                .ok_or(LogError::TooManyInvites)?;
            self.invites.remove(&past);
        }
        Ok(self.record(&made_body(id, made, psk)))
    }

    /// Whether a peer that has proved to have the key may come in, and the record to write before.
    ///
    /// # Errors
    /// When the invite does not admit it, which says why.
    pub fn redeem(
        &self,
        id: &InviteId,
        peer: &PeerId,
        now_unix_s: u64,
    ) -> Result<Redemption, RedeemError> {
        let known = self.invites.get(id).ok_or(RedeemError::Unknown)?;
        if known.revoked_at_unix_s.is_some() {
            return Err(RedeemError::Revoked);
        }
        if known.made.expires_at_unix_s <= now_unix_s {
            return Err(RedeemError::Expired { ago_s: now_unix_s - known.made.expires_at_unix_s });
        }
        if known.redeemed.contains_key(peer) {
            return Ok(Redemption::Known);
        }
        let uses = known.made.uses;
        if known.uses_left() == Some(0) {
            return Err(RedeemError::UsedUp { uses });
        }
        let n_redemptions: usize = self.invites.values().map(|known| known.redeemed.len()).sum();
        match (n_redemptions < REDEMPTIONS_MAX, uses) {
            (true, _) => Ok(Redemption::Write(self.record(&redeemed_body(id, peer, now_unix_s)))),
            // Nothing is counted, so nothing must be remembered.
            (false, 0) => Ok(Redemption::Known),
            (false, _) => Err(RedeemError::Full),
        }
    }

    /// The record that takes an invite back, and with `members` those whom it admitted.
    ///
    /// # Errors
    /// When no such invite is known.
    pub fn revoke(
        &self,
        id: &InviteId,
        members: bool,
        now_unix_s: u64,
    ) -> Result<Vec<u8>, LogError> {
        if !self.invites.contains_key(id) {
            return Err(LogError::Unknown(*id));
        }
        Ok(self.record(&revoked_body(id, now_unix_s, members)))
    }

    /// Counts a record of this log that is on the disk now; false for any other bytes.
    pub fn appended(&mut self, mut record: &[u8]) -> bool {
        self.take_record(&mut record).is_some() && record.is_empty()
    }

    /// The first bytes of a file.
    #[must_use]
    pub fn file_start() -> &'static [u8] {
        MAGIC
    }

    /// Invites that are not forgotten: those that somebody came by or may come, latest expiry
    /// first, as many as there is room for.
    fn remembered(&self, now_unix_s: u64) -> Vec<(&InviteId, &KnownInvite)> {
        let is_past = |known: &KnownInvite| {
            let forgotten_at = known.made.expires_at_unix_s.saturating_add(INVITE_MEMORY_S);
            known.redeemed.is_empty() && forgotten_at <= now_unix_s
        };
        let mut kept: Vec<_> = self.invites.iter().filter(|(_, known)| !is_past(known)).collect();
        kept.sort_by_key(|(_, known)| Reverse(known.made.expires_at_unix_s));
        kept.truncate(INVITES_MAX);
        kept
    }

    /// A body with what surrounds it, as the next record.
    fn record(&self, body: &[u8]) -> Vec<u8> {
        // Bodies are far below 64 KiB.
        let mut record = (body.len() as u16).to_le_bytes().to_vec();
        record.extend_from_slice(body);
        record.extend_from_slice(&self.next_chain(body)[..CHAIN_BYTES]);
        record
    }

    fn next_chain(&self, body: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.chain, body).as_bytes()
    }

    /// Takes the next record off the front of `bytes` and does what it says; `None` when it is not
    /// whole, not what belongs here, or says what cannot be.
    fn take_record(&mut self, bytes: &mut &[u8]) -> Option<()> {
        let mut rest = *bytes;
        let length = usize::from(u16::from_le_bytes(take(&mut rest)?));
        let (body, mut behind) = rest.split_at_checked(length)?;
        let chain = self.next_chain(body);
        if take::<CHAIN_BYTES>(&mut behind)?.as_slice() != &chain[..CHAIN_BYTES] {
            return None;
        }
        self.apply(body)?;
        self.chain = chain;
        *bytes = behind;
        Some(())
    }

    fn apply(&mut self, mut body: &[u8]) -> Option<()> {
        let kind = take::<1>(&mut body)?[0];
        let id = InviteId(take(&mut body)?);
        match kind {
            1 => {
                let made = MadeInvite {
                    made_at_unix_s: u64::from_le_bytes(take(&mut body)?),
                    expires_at_unix_s: u64::from_le_bytes(take(&mut body)?),
                    uses: u32::from_le_bytes(take(&mut body)?),
                    grant: Grant::read(&mut body)?,
                };
                let psk = Zeroizing::new(take(&mut body)?);
                if made.uses > INVITE_USES_MAX {
                    return None;
                }
                let known = KnownInvite {
                    made,
                    psk,
                    redeemed: BTreeMap::new(),
                    revoked_at_unix_s: None,
                    expelled_at_unix_s: None,
                };
                self.invites.insert(id, known);
            }
            2 => {
                let peer = PeerId(take(&mut body)?);
                let at = u64::from_le_bytes(take(&mut body)?);
                // One that gave way to a newer invite is not known any more.
                self.invites.get_mut(&id).map(|known| known.redeemed.insert(peer, at));
            }
            3 => {
                let at = u64::from_le_bytes(take(&mut body)?);
                let members = take::<1>(&mut body)?[0] != 0;
                if let Some(known) = self.invites.get_mut(&id) {
                    known.revoked_at_unix_s.get_or_insert(at);
                    if members {
                        known.expelled_at_unix_s = Some(at);
                    }
                }
            }
            _ => return None,
        }
        body.is_empty().then_some(())
    }
}

fn made_body(id: &InviteId, made: &MadeInvite, psk: &InviteSecret) -> Vec<u8> {
    let mut body = vec![1];
    body.extend_from_slice(&id.0);
    body.extend_from_slice(&made.made_at_unix_s.to_le_bytes());
    body.extend_from_slice(&made.expires_at_unix_s.to_le_bytes());
    body.extend_from_slice(&made.uses.to_le_bytes());
    made.grant.write(&mut body);
    body.extend_from_slice(psk.as_slice());
    body
}

fn redeemed_body(id: &InviteId, peer: &PeerId, at_unix_s: u64) -> Vec<u8> {
    let mut body = vec![2];
    body.extend_from_slice(&id.0);
    body.extend_from_slice(peer.as_bytes());
    body.extend_from_slice(&at_unix_s.to_le_bytes());
    body
}

fn revoked_body(id: &InviteId, at_unix_s: u64, members: bool) -> Vec<u8> {
    let mut body = vec![3];
    body.extend_from_slice(&id.0);
    body.extend_from_slice(&at_unix_s.to_le_bytes());
    body.push(u8::from(members));
    body
}

#[cfg(test)]
#[path = "redemption_tests.rs"]
mod tests;
