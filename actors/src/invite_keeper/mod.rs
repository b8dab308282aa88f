//! The invite keeper: invites made here and who came by them, and what this node is a member of.
//!
//! Doors make, list and revoke; `peer_session` redeems, renews and keeps. It runs on an Arbiter of
//! its own, because it answers only when the disk has what the answer rests on. What sessions must
//! know at once it publishes: keys of invites (`PreSharedKeys`) and the rules of admission.
//! The decisions are `swarmllm_protocol::{redemption, admission, membership}`.

mod log_file;
mod membership_files;
mod messages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use actix::{Actor, Context, Handler, MessageResult, Recipient};
use swarmllm_protocol::admission::{Admission, NotAdmitted};
use swarmllm_protocol::connection::{PreSharedKey, PreSharedKeys};
use swarmllm_protocol::identity::Identity;
use swarmllm_protocol::ids::{InviteId, PeerId};
use swarmllm_protocol::invite::{InviteCode, InviteSecret, InviteTerms};
use swarmllm_protocol::membership::{MemberCertificate, MemberFacts, RevocationList};
use swarmllm_protocol::redemption::{KnownInvite, MadeInvite, Redemption};
use tokio::sync::watch;

use log_file::LogFile;
pub use membership_files::load as load_membership;
pub use messages::{
    CreateInvite, InviteKeeperError, InviteSummary, KeepCertificate, KeepRevocations, ListInvites,
    RedeemInvite, RenewCertificate, RevokeInvite,
};

use crate::clock;
use crate::entropy;
use crate::event_log::{Event, Record};
use crate::mailbox::{self, offer};

/// The actor.
pub struct InviteKeeper {
    identity: Arc<Identity>,
    data_dir: PathBuf,
    log: LogFile,
    keys: PreSharedKeys,
    admission: watch::Sender<Admission>,
    events: Recipient<Record>,
}

impl InviteKeeper {
    /// The keeper of a data folder; `rules` say who is let in before anybody is a member.
    ///
    /// # Errors
    /// When the log can't be read or written.
    pub fn open(
        identity: Arc<Identity>,
        data_dir: &Path,
        mut rules: Admission,
        events: Recipient<Record>,
    ) -> Result<InviteKeeper, InviteKeeperError> {
        let now = clock::unix_s();
        let log = LogFile::open(data_dir, now)?;
        let keys = PreSharedKeys::default();
        for (id, known) in log.log().invites() {
            keys.insert(PreSharedKey::new(id.0, *known.psk));
        }
        membership_files::load(data_dir, &mut rules, now);
        let data_dir = data_dir.to_owned();
        let admission = watch::Sender::new(rules);
        let keeper = InviteKeeper { identity, data_dir, log, keys, admission, events };
        keeper.publish_own_revocations();
        Ok(keeper)
    }

    /// Keys with which others may come; those of closed invites too, so that they are told why.
    pub fn keys(&self) -> PreSharedKeys {
        self.keys.clone()
    }

    /// The rules of admission, as they are and as they change.
    pub fn admission(&self) -> watch::Receiver<Admission> {
        self.admission.subscribe()
    }

    fn create(&mut self, create: CreateInvite) -> Result<InviteCode, InviteKeeperError> {
        let now = clock::unix_s();
        let made = MadeInvite {
            made_at_unix_s: now,
            expires_at_unix_s: now.saturating_add(create.valid_for_s),
            uses: create.uses,
            grant: create.grant,
        };
        let terms = InviteTerms {
            network: self.admission.borrow().network().clone(),
            inviter: self.identity.peer_id(),
            id: InviteId(entropy::bytes()),
            expires_at_unix_s: made.expires_at_unix_s,
            uses: create.uses,
            grant: create.grant,
            addresses: create.addresses,
        };
        let id = terms.id;
        let code = InviteCode::sign(&self.identity, terms, InviteSecret::new(entropy::bytes()))?;
        let psk = code.psk();
        let record = self.log.log_mut().make(&id, &made, &psk)?;
        self.log.append(&record)?;
        self.keys.insert(PreSharedKey::new(id.0, *psk));
        Ok(code)
    }

    fn redeem(&mut self, redeem: &RedeemInvite) -> Result<Vec<u8>, NotAdmitted> {
        let RedeemInvite { invite, peer } = redeem;
        let now = clock::unix_s();
        if let Redemption::Write(record) = self.log.log().redeem(invite, peer, now)? {
            self.log.append(&record).map_err(|error| {
                tracing::error!(%error, "an invite can't be redeemed");
                NotAdmitted::CannotRedeem
            })?;
            let (invite, peer) = (invite.to_string(), peer.to_string());
            offer(&self.events, Record(Event::InviteRedeemed { invite, peer }));
        }
        let known = self.log.log().get(invite).ok_or(NotAdmitted::InviteUnknown)?;
        let facts = MemberFacts {
            issuer: self.identity.peer_id(),
            member: *peer,
            grant: known.made.grant,
            invite: *invite,
            serial: 0,
            issued_at_unix_s: now,
            expires_at_unix_s: now,
        };
        Ok(self.issue(facts, now))
    }

    fn issue(&self, facts: MemberFacts, now: u64) -> Vec<u8> {
        let facts = MemberFacts { serial: u64::from_le_bytes(entropy::bytes()), ..facts };
        let admission = self.admission.borrow();
        let certificate = MemberCertificate::issue(&self.identity, admission.network(), facts, now);
        certificate.as_bytes().to_vec()
    }

    fn revoke(&mut self, revoke: &RevokeInvite) -> Result<(), InviteKeeperError> {
        let record = self.log.log().revoke(&revoke.id, revoke.members, clock::unix_s())?;
        self.log.append(&record)?;
        if revoke.members {
            self.publish_own_revocations();
        }
        Ok(())
    }

    /// Signs whom this node has expelled, if anyone. The sequence grows with time and count.
    fn publish_own_revocations(&self) {
        let invites = self.log.log().invites();
        let since: BTreeMap<InviteId, u64> =
            invites.filter_map(|(id, known)| Some((*id, known.expelled_at_unix_s?))).collect();
        let Some(latest) = since.values().max() else { return };
        let sequence = latest.saturating_mul(1 << 16).saturating_add(since.len() as u64);
        self.admission.send_modify(|admission| {
            let network = admission.network().clone();
            let list = RevocationList::sign(&self.identity, &network, sequence, since);
            admission.keep_revocations(list);
        });
    }

    fn keep_certificate(&self, keep: &KeepCertificate) -> Result<(), InviteKeeperError> {
        let network = self.admission.borrow().network().clone();
        let certificate = MemberCertificate::read(&keep.certificate, &network, clock::unix_s())?;
        let facts = certificate.facts();
        if facts.issuer != keep.issuer || facts.member != self.identity.peer_id() {
            return Err(InviteKeeperError::OtherParties);
        }
        membership_files::keep_certificate(&self.data_dir, &network, &certificate)
            .map_err(|error| InviteKeeperError::File { path: self.data_dir.clone(), error })?;
        self.admission.send_modify(|admission| _ = admission.keep(certificate));
        Ok(())
    }

    fn keep_revocations(&self, bytes: &[u8]) {
        let network = self.admission.borrow().network().clone();
        let list = match RevocationList::read(bytes, &network) {
            Ok(list) => list,
            Err(error) => return tracing::debug!(%error, "a revocation list is not used"),
        };
        let is_news =
            self.admission.send_if_modified(|admission| admission.keep_revocations(list.clone()));
        if is_news
            && let Err(error) = membership_files::keep_revocations(&self.data_dir, &network, &list)
        {
            tracing::warn!(%error, "a revocation list can't be written down");
        }
    }
}

fn summary(id: InviteId, known: &KnownInvite, now: u64) -> InviteSummary {
    let closed = if known.revoked_at_unix_s.is_some() {
        Some(NotAdmitted::InviteRevoked)
    } else if known.made.expires_at_unix_s <= now {
        Some(NotAdmitted::InviteExpired)
    } else {
        (known.uses_left() == Some(0)).then_some(NotAdmitted::InviteUsedUp)
    };
    let redeemed_by: Vec<PeerId> = known.redeemed.keys().copied().collect();
    InviteSummary {
        id,
        made: known.made.clone(),
        redeemed_by,
        uses_left: known.uses_left(),
        closed,
    }
}

impl Actor for InviteKeeper {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(mailbox::CONTROL);
    }
}

impl Handler<CreateInvite> for InviteKeeper {
    type Result = Result<InviteCode, InviteKeeperError>;

    fn handle(&mut self, create: CreateInvite, _: &mut Self::Context) -> Self::Result {
        self.create(create)
    }
}

impl Handler<ListInvites> for InviteKeeper {
    type Result = MessageResult<ListInvites>;

    fn handle(&mut self, _: ListInvites, _: &mut Self::Context) -> Self::Result {
        let now = clock::unix_s();
        let invites = self.log.log().invites();
        let mut list: Vec<_> = invites.map(|(id, known)| summary(*id, known, now)).collect();
        list.sort_by_key(|invite| invite.made.made_at_unix_s);
        MessageResult(list)
    }
}

impl Handler<RevokeInvite> for InviteKeeper {
    type Result = Result<(), InviteKeeperError>;

    fn handle(&mut self, revoke: RevokeInvite, _: &mut Self::Context) -> Self::Result {
        self.revoke(&revoke)
    }
}

impl Handler<RedeemInvite> for InviteKeeper {
    type Result = Result<Vec<u8>, NotAdmitted>;

    fn handle(&mut self, redeem: RedeemInvite, _: &mut Self::Context) -> Self::Result {
        self.redeem(&redeem)
    }
}

impl Handler<RenewCertificate> for InviteKeeper {
    type Result = Option<Vec<u8>>;

    fn handle(
        &mut self,
        RenewCertificate(facts): RenewCertificate,
        _: &mut Self::Context,
    ) -> Self::Result {
        let is_ours = facts.issuer == self.identity.peer_id();
        is_ours.then(|| self.issue(facts, clock::unix_s()))
    }
}

impl Handler<KeepCertificate> for InviteKeeper {
    type Result = Result<(), InviteKeeperError>;

    fn handle(&mut self, keep: KeepCertificate, _: &mut Self::Context) -> Self::Result {
        self.keep_certificate(&keep)
    }
}

impl Handler<KeepRevocations> for InviteKeeper {
    type Result = ();

    fn handle(&mut self, KeepRevocations(list): KeepRevocations, _: &mut Self::Context) {
        self.keep_revocations(&list);
    }
}

#[cfg(test)]
mod tests;
