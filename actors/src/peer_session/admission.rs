//! Admission to a session: between the handshake, which says who is there, and `SessionOpened`,
//! which lets it in.
//!
//! Who came with the key of an invite of ours has it redeemed first, and gets a certificate; who
//! dialled with one waits for that. Everybody else shows certificates, if any, as its first
//! message; an open network asks for none. Whoever is not let in is told why, in a typed message.
//! While a session is open, a certificate of its peer is renewed when it is due, revocation lists
//! are passed on, and a member that was expelled has to leave.

use std::time::Duration;

use actix::{ActorFutureExt, AsyncContext, Context, Recipient, WrapFuture};
use swarmllm_protocol::admission::{Admission, NotAdmitted};
use swarmllm_protocol::connection::PreSharedKeyId;
use swarmllm_protocol::ids::{InviteId, PeerId};
use swarmllm_protocol::limits::HANDSHAKE_TIMEOUT_MS;
use swarmllm_protocol::membership::RevocationList;
use swarmllm_protocol::wire::{Body, Message};
use tokio::sync::watch;
use tokio::time::Instant;

use super::PeerSession;
use crate::clock;
use crate::event_log::{Event, Record};
use crate::invite_keeper::{KeepCertificate, KeepRevocations, RedeemInvite, RenewCertificate};
use crate::mailbox::offer;

/// How long one that is not let in may take to read why.
const LINGER: Duration = Duration::from_secs(2);
/// How often memberships are looked at.
const KEEP_EVERY: Duration = Duration::from_secs(5);
/// How often a certificate may be shown over one session.
const PRESENT_EVERY: Duration = Duration::from_secs(600);
/// Revocation lists that one session may bring: new ones are rare.
const LISTS_MAX: u32 = 256;

/// What a session needs of the invite keeper.
#[derive(Debug, Clone)]
pub struct InviteLinks {
    /// Redeems an invite for a peer.
    pub redeem: Recipient<RedeemInvite>,
    /// Renews a peer's certificate.
    pub renew: Recipient<RenewCertificate>,
    /// Keeps this node's own.
    pub keep: Recipient<KeepCertificate>,
    /// Keeps what an issuer took back.
    pub keep_revocations: Recipient<KeepRevocations>,
    /// The rules, as they are now.
    pub admission: watch::Receiver<Admission>,
}

/// How far a peer has come.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Its handshake is under way.
    #[default]
    Outside,
    /// It came with an invite, which is being redeemed.
    Redeeming,
    /// This node came with an invite and waits to be told.
    Asking,
    /// It must show a certificate.
    Showing,
    /// It is in.
    Inside,
    /// It was told that it is not let in.
    Refused,
}

/// How far the peer of one session has come, and what it has shown.
#[derive(Debug, Default)]
pub(super) struct Admittance {
    place: Place,
    /// Whether others have heard of the peer.
    has_opened: bool,
    binding: [u8; 32],
    pre_shared: Option<PreSharedKeyId>,
    /// The certificates by which the peer is in, where that is needed.
    shown: Vec<Vec<u8>>,
    shown_at: Option<Instant>,
    /// What this node has shown, and when.
    presented: Vec<Vec<u8>>,
    presented_at: Option<Instant>,
    lists: u32,
    /// Sequences of the lists that the peer was told, added up.
    lists_told: u64,
    /// Why the other side did not let this node in.
    refused: Option<NotAdmitted>,
}

impl Admittance {
    pub(super) fn has_opened(&self) -> bool {
        self.has_opened
    }

    /// Why a peer may have closed the connection without a word.
    pub(super) fn silence(&self) -> &'static str {
        match self.place {
            Place::Asking => {
                "the node that made this invite code closed the connection without a word: it does \
                 not know the code any more; ask for a new one"
            }
            _ => "the peer closed the connection",
        }
    }
}

impl PeerSession {
    /// Why the other side did not let this node in.
    pub(super) fn refused(&self) -> Option<(PeerId, NotAdmitted)> {
        Some((self.peer?, self.admittance.refused?))
    }

    /// The handshake is through: who is there is known, whether it comes in is not.
    pub(super) fn arrived(
        &mut self,
        peer: PeerId,
        binding: [u8; 32],
        pre_shared: Option<PreSharedKeyId>,
        ctx: &mut Context<Self>,
    ) {
        self.peer = Some(peer);
        (self.admittance.binding, self.admittance.pre_shared) = (binding, pre_shared);
        ctx.run_later(Duration::from_millis(HANDSHAKE_TIMEOUT_MS), |session, ctx| {
            if !session.admittance.has_opened {
                session.end("the peer did not say by which right it comes", ctx);
            }
        });
        match pre_shared {
            Some(_) if self.dialled.is_some() => self.admittance.place = Place::Asking,
            Some(id) => self.redeem(peer, InviteId(id), ctx),
            None => {
                self.present(ctx);
                let is_welcome = self.links.invites.admission.borrow().is_welcome(&peer);
                if is_welcome {
                    self.open(ctx);
                } else {
                    self.admittance.place = Place::Showing;
                }
            }
        }
    }

    /// Asks the keeper, and lets in whom it certifies.
    fn redeem(&mut self, peer: PeerId, invite: InviteId, ctx: &mut Context<Self>) {
        self.admittance.place = Place::Redeeming;
        let asked = self.links.invites.redeem.send(RedeemInvite { invite, peer });
        ctx.spawn(asked.into_actor(self).map(|answer, session, ctx| {
            match answer.unwrap_or(Err(NotAdmitted::CannotRedeem)) {
                Ok(certificate) => {
                    session.admittance.shown = vec![certificate.clone()];
                    session.say(Body::Admitted { certificate }, ctx);
                    session.open(ctx);
                }
                Err(reason) => session.refuse(reason, ctx),
            }
        }));
    }

    /// Shows what this node is a member of, if anything.
    fn present(&mut self, ctx: &mut Context<Self>) {
        let certificates = self.links.invites.admission.borrow().shown(clock::unix_s());
        self.admittance.presented.clone_from(&certificates);
        self.admittance.presented_at = Some(Instant::now());
        if !certificates.is_empty() {
            self.say(Body::Present { certificates }, ctx);
        }
    }

    fn open(&mut self, ctx: &mut Context<Self>) {
        let Some(peer) = self.peer else { return };
        self.admittance.place = Place::Inside;
        self.admittance.has_opened = true;
        self.established(peer, self.admittance.binding, self.admittance.pre_shared, ctx);
        self.keep_membership(ctx);
        ctx.run_interval(KEEP_EVERY, Self::keep_membership);
    }

    /// Tells the peer that it is not let in, and gives it time to read that.
    fn refuse(&mut self, reason: NotAdmitted, ctx: &mut Context<Self>) {
        self.say(Body::NotAdmitted { reason }, ctx);
        self.admittance.place = Place::Refused;
        self.reason = format!("not let in: {reason:?}");
        ctx.run_later(LINGER, |session, ctx| session.end("not let in", ctx));
    }

    /// What admission does with a message; gives back what is for the rooms inside.
    pub(super) fn pass_admission(
        &mut self,
        peer: PeerId,
        message: Message,
        ctx: &mut Context<Self>,
    ) -> Option<Message> {
        match (self.admittance.place, &message.body) {
            // It has not read yet that it is not let in.
            (Place::Refused, _) => return None,
            (_, Body::NotAdmitted { reason }) => self.was_refused(peer, *reason, ctx),
            (place, Body::Admitted { certificate }) => {
                let is_first = place == Place::Asking;
                // Whoever certifies is trusted from then on: not everybody may.
                let is_inviter = self.links.invites.admission.borrow().has_invited(&peer);
                if is_first || is_inviter {
                    self.was_admitted(peer, certificate.clone(), is_first, ctx);
                }
            }
            (Place::Showing | Place::Inside, Body::Present { certificates }) => {
                self.was_shown(peer, certificates.clone(), ctx);
            }
            (Place::Inside, Body::Revocations { list }) => {
                self.admittance.lists += 1;
                if self.admittance.lists <= LISTS_MAX {
                    let list = KeepRevocations(list.clone());
                    offer(&self.links.invites.keep_revocations, list);
                }
            }
            (Place::Inside, _) => return Some(message),
            // It goes on as if it were in, with nothing to show.
            (Place::Showing, _) => self.refuse(NotAdmitted::NotAMember, ctx),
            (Place::Redeeming | Place::Asking | Place::Outside, _) => {
                self.end("a message before it was let in", ctx);
            }
        }
        None
    }

    fn was_refused(&mut self, peer: PeerId, reason: NotAdmitted, ctx: &mut Context<Self>) {
        self.admittance.refused = Some(reason);
        tracing::warn!(peer = peer.short(), "not let in: {reason}");
        let event = Event::NotAdmitted { peer: peer.to_string(), reason: reason.to_string() };
        offer(&self.links.events, Record(event));
        self.end(reason.to_string(), ctx);
    }

    /// The peer certified this node: by an invite, or anew because the certificate was due.
    fn was_admitted(
        &mut self,
        peer: PeerId,
        certificate: Vec<u8>,
        is_first: bool,
        ctx: &mut Context<Self>,
    ) {
        let keep = KeepCertificate { issuer: peer, certificate };
        let kept = self.links.invites.keep.send(keep);
        // In order: what the peer says next is for an open session.
        ctx.wait(kept.into_actor(self).map(move |kept, session, ctx| {
            match kept {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(peer = peer.short(), %error, "a certificate can't be kept");
                }
                Err(error) => tracing::warn!(%error, "a certificate can't be kept"),
            }
            if is_first {
                let event = Event::Admitted { peer: peer.to_string() };
                offer(&session.links.events, Record(event));
                session.open(ctx);
            }
        }));
    }

    /// Lets in whoever is a member, and renews what is due.
    fn was_shown(&mut self, peer: PeerId, certificates: Vec<Vec<u8>>, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let is_early = self.admittance.shown_at.is_some_and(|at| now - at < PRESENT_EVERY / 2);
        if is_early {
            return;
        }
        self.admittance.shown_at = Some(now);
        let judged =
            self.links.invites.admission.borrow().judge(&peer, &certificates, clock::unix_s());
        match judged {
            Ok(certificate) => {
                self.admittance.shown = vec![certificate.as_bytes().to_vec()];
                if self.admittance.place == Place::Showing {
                    self.open(ctx);
                }
                if certificate.is_due(clock::unix_s()) {
                    self.renew(RenewCertificate(*certificate.facts()), ctx);
                }
            }
            Err(reason) if self.admittance.place == Place::Showing => self.refuse(reason, ctx),
            // An open network does not mind.
            Err(reason) => tracing::debug!(peer = peer.short(), ?reason, "no member here"),
        }
    }

    fn renew(&mut self, renew: RenewCertificate, ctx: &mut Context<Self>) {
        let asked = self.links.invites.renew.send(renew);
        ctx.spawn(asked.into_actor(self).map(|answer, session, ctx| {
            if let Ok(Some(certificate)) = answer {
                session.admittance.shown = vec![certificate.clone()];
                session.say(Body::Admitted { certificate }, ctx);
            }
        }));
    }

    /// From time to time: shows this node's certificate when it is due, passes lists on, and sends
    /// away whoever is no member any more.
    fn keep_membership(&mut self, ctx: &mut Context<Self>) {
        let Some(peer) = self.peer else { return };
        let now = clock::unix_s();
        let (expelled, is_news, lists) = {
            let admission = self.links.invites.admission.borrow();
            let judge = || admission.judge(&peer, &self.admittance.shown, now).err();
            let expelled = if admission.is_welcome(&peer) { None } else { judge() };
            let is_news =
                admission.is_due(&peer, now) || admission.shown(now) != self.admittance.presented;
            let lists = admission.revocations();
            let told = lists.map(RevocationList::sequence).fold(0, u64::wrapping_add);
            let is_told = std::mem::replace(&mut self.admittance.lists_told, told) == told;
            let lists = admission.revocations().filter(|_| !is_told);
            let lists: Vec<_> = lists.map(|list| list.as_bytes().to_vec()).collect();
            (expelled, is_news, lists)
        };
        if let Some(reason) = expelled {
            return self.refuse(reason, ctx);
        }
        for list in lists {
            self.say(Body::Revocations { list }, ctx);
        }
        if is_news && self.admittance.presented_at.is_none_or(|at| at.elapsed() >= PRESENT_EVERY) {
            self.present(ctx);
        }
    }
}
