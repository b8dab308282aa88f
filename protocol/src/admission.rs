//! Who is let in: the rules by which a session with another node is opened or refused.
//!
//! Asked by `peer_session` when a handshake is through; kept by `invite_keeper`, which changes it
//! when an invite is redeemed here or elsewhere, and publishes each state whole.
//! A node trusts itself and whoever certified it: so all whom one inviter admitted know each other.
//! Units: Unix seconds. Errors: [`NotAdmitted`], which travels to the other side and says to a
//! person what to do.
//! Absent on purpose: invites. Their key is part of the handshake, and only the redemption log
//! (`redemption.rs`) knows what a use of one is worth.

use std::{collections::BTreeMap, fmt};

use crate::{
    codec::{Decode, Encode},
    ids::{NetworkId, PeerId},
    limits::CERTIFICATES_MAX,
    membership::{CertificateError, MemberCertificate, RevocationList},
    redemption::RedeemError,
};

/// Whom a node lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AdmissionPolicy {
    /// Everybody who finds it.
    #[default]
    Open,
    /// Who redeems an invite of its own, or shows a certificate of someone it trusts.
    Members,
}

impl AdmissionPolicy {
    /// As people write it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Members => "members",
        }
    }

    /// Reads what people write.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Open, Self::Members].into_iter().find(|policy| policy.word() == word)
    }
}

/// Why a node is not let in. The order is the tag on the wire: new reasons come at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Encode, Decode)]
pub enum NotAdmitted {
    /// It has nothing to show.
    NotAMember,
    /// Its certificate is by someone who is not trusted here.
    OtherIssuer,
    /// Its certificate is past its time.
    CertificateExpired,
    /// Its certificate was taken back.
    Expelled,
    /// What it shows is no certificate of its own.
    BadCertificate,
    /// This node knows no such invite.
    InviteUnknown,
    /// The invite is past its time.
    InviteExpired,
    /// The invite admitted as many as it was for.
    InviteUsedUp,
    /// The inviter took the invite back.
    InviteRevoked,
    /// The inviter can't write down that the invite is used.
    CannotRedeem,
}

impl fmt::Display for NotAdmitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAMember => {
                "that node admits members only: ask someone there for an invite code, and join \
                 with it"
            }
            Self::OtherIssuer => {
                "that node admits members only, and does not know who invited this node: ask \
                 someone there for an invite code"
            }
            Self::CertificateExpired => {
                "this node's membership expired: ask whoever invited it for a new invite code"
            }
            Self::Expelled => "whoever invited this node has ended its membership",
            Self::BadCertificate => "what this node showed is no certificate of its own",
            Self::InviteUnknown => {
                "this invite code is not known to the node that made it; ask for a new one"
            }
            Self::InviteExpired => "this invite code expired; ask for a new one",
            Self::InviteUsedUp => "this invite code was used up; ask for a new one",
            Self::InviteRevoked => "this invite code was revoked; ask whether that was meant",
            Self::CannotRedeem => {
                "the inviter can't write down that this invite code is used; try again later"
            }
        })
    }
}

impl NotAdmitted {
    /// Whether coming again with the same code is in vain.
    #[must_use]
    pub fn is_final(self) -> bool {
        use NotAdmitted::{InviteExpired, InviteRevoked, InviteUnknown, InviteUsedUp};
        matches!(self, InviteUnknown | InviteExpired | InviteUsedUp | InviteRevoked)
    }
}

impl From<RedeemError> for NotAdmitted {
    fn from(error: RedeemError) -> Self {
        match error {
            RedeemError::Unknown => Self::InviteUnknown,
            RedeemError::Expired { .. } => Self::InviteExpired,
            RedeemError::UsedUp { .. } => Self::InviteUsedUp,
            RedeemError::Revoked => Self::InviteRevoked,
            RedeemError::Full => Self::CannotRedeem,
        }
    }
}

/// What a node knows of members, itself included.
#[derive(Debug, Clone)]
pub struct Admission {
    local: PeerId,
    network: NetworkId,
    policy: AdmissionPolicy,
    /// This node's certificates, by issuer.
    certificates: BTreeMap<PeerId, MemberCertificate>,
    /// The newest list of each trusted issuer.
    revocations: BTreeMap<PeerId, RevocationList>,
}

impl Admission {
    /// The rules of a node that is nobody's member yet.
    #[must_use]
    pub fn new(local: PeerId, network: NetworkId, policy: AdmissionPolicy) -> Self {
        let (certificates, revocations) = (BTreeMap::new(), BTreeMap::new());
        Self { local, network, policy, certificates, revocations }
    }

    /// Whom this node lets in.
    #[must_use]
    pub fn policy(&self) -> AdmissionPolicy {
        self.policy
    }

    /// The network of all this.
    #[must_use]
    pub fn network(&self) -> &NetworkId {
        &self.network
    }

    /// Keeps a certificate of this node, instead of an older one of the same issuer; false when it
    /// is somebody else's, or not newer. When there is no room, the one that ends first goes.
    pub fn keep(&mut self, certificate: MemberCertificate) -> bool {
        let facts = certificate.facts();
        let is_newer = self
            .certificates
            .get(&facts.issuer)
            .is_none_or(|old| old.facts().expires_at_unix_s < facts.expires_at_unix_s);
        if facts.member != self.local || facts.issuer == self.local || !is_newer {
            return false;
        }
        let is_full = self.certificates.len() >= CERTIFICATES_MAX;
        if is_full && !self.certificates.contains_key(&facts.issuer) {
            let ends_first =
                self.certificates.iter().min_by_key(|(_, kept)| kept.facts().expires_at_unix_s);
            ends_first.map(|(issuer, _)| *issuer).map(|issuer| self.certificates.remove(&issuer));
        }
        self.certificates.insert(facts.issuer, certificate);
        true
    }

    /// Keeps a list of somebody trusted, if it is newer than the one there is.
    pub fn keep_revocations(&mut self, list: RevocationList) -> bool {
        let is_newer =
            self.revocations.get(&list.issuer()).is_none_or(|old| old.sequence() < list.sequence());
        if !self.trusts(&list.issuer()) || !is_newer {
            return false;
        }
        self.revocations.insert(list.issuer(), list);
        true
    }

    /// Whether this node has a certificate of that issuer which is good now.
    #[must_use]
    pub fn is_member_of(&self, issuer: &PeerId, now_unix_s: u64) -> bool {
        self.certificates
            .get(issuer)
            .is_some_and(|certificate| certificate.facts().expires_at_unix_s > now_unix_s)
    }

    /// Whether `peer` has made this node a member, now or before.
    #[must_use]
    pub fn has_invited(&self, peer: &PeerId) -> bool {
        self.certificates.contains_key(peer)
    }

    /// Whether `issuer` should be shown its certificate of this node, to renew it.
    #[must_use]
    pub fn is_due(&self, issuer: &PeerId, now_unix_s: u64) -> bool {
        self.certificates.get(issuer).is_some_and(|certificate| certificate.is_due(now_unix_s))
    }

    /// What this node shows: its certificates that are good now.
    #[must_use]
    pub fn shown(&self, now_unix_s: u64) -> Vec<Vec<u8>> {
        self.certificates
            .values()
            .filter(|certificate| certificate.facts().expires_at_unix_s > now_unix_s)
            .map(|certificate| certificate.as_bytes().to_vec())
            .collect()
    }

    /// The revocation lists that others should have.
    pub fn revocations(&self) -> impl Iterator<Item = &RevocationList> {
        self.revocations.values()
    }

    fn trusts(&self, issuer: &PeerId) -> bool {
        *issuer == self.local || self.has_invited(issuer)
    }

    /// Whether a peer may come in without showing anything.
    #[must_use]
    pub fn is_welcome(&self, peer: &PeerId) -> bool {
        self.policy == AdmissionPolicy::Open || self.has_invited(peer)
    }

    /// The first of these certificates that makes `peer` a member here.
    ///
    /// # Errors
    /// When none does: why the best of them does not.
    pub fn judge(
        &self,
        peer: &PeerId,
        certificates: &[Vec<u8>],
        now_unix_s: u64,
    ) -> Result<MemberCertificate, NotAdmitted> {
        let mut refusal = NotAdmitted::NotAMember;
        for bytes in certificates.iter().take(CERTIFICATES_MAX) {
            match self.judge_one(peer, bytes, now_unix_s) {
                Ok(certificate) => return Ok(certificate),
                // What is wrong with a certificate of somebody trusted says more.
                Err(NotAdmitted::OtherIssuer) if refusal != NotAdmitted::NotAMember => {}
                Err(other) => refusal = other,
            }
        }
        Err(refusal)
    }

    fn judge_one(
        &self,
        peer: &PeerId,
        bytes: &[u8],
        now_unix_s: u64,
    ) -> Result<MemberCertificate, NotAdmitted> {
        let certificate = MemberCertificate::read(bytes, &self.network, now_unix_s).map_err(
            |error| match error {
                CertificateError::Expired { .. } => NotAdmitted::CertificateExpired,
                _ => NotAdmitted::BadCertificate,
            },
        )?;
        let facts = certificate.facts();
        if facts.member != *peer {
            return Err(NotAdmitted::BadCertificate);
        }
        if !self.trusts(&facts.issuer) {
            return Err(NotAdmitted::OtherIssuer);
        }
        if self.revocations.get(&facts.issuer).is_some_and(|list| list.revokes(facts)) {
            return Err(NotAdmitted::Expelled);
        }
        Ok(certificate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::Identity,
        ids::InviteId,
        membership::{Grant, MemberFacts, MemberRole},
    };

    const NOW: u64 = 1_800_000_000;
    const WEEK_S: u64 = 7 * 24 * 3600;
    const INVITER: u8 = 1;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32])
    }

    fn peer(seed: u8) -> PeerId {
        identity(seed).peer_id()
    }

    fn certificate(issuer: u8, member: u8, now: u64) -> MemberCertificate {
        let facts = MemberFacts {
            issuer: peer(issuer),
            member: peer(member),
            grant: Grant { role: MemberRole::Member, pool: None },
            invite: InviteId([member; 16]),
            serial: 0,
            issued_at_unix_s: 0,
            expires_at_unix_s: 0,
        };
        MemberCertificate::issue(&identity(issuer), &NetworkId::default(), facts, now)
    }

    fn members_only(local: u8) -> Admission {
        Admission::new(peer(local), NetworkId::default(), AdmissionPolicy::Members)
    }

    fn shown(certificate: &MemberCertificate) -> Vec<Vec<u8>> {
        vec![certificate.as_bytes().to_vec()]
    }

    #[test]
    fn two_whom_one_inviter_admitted_know_each_other() {
        let mut second = members_only(2);
        assert!(second.keep(certificate(INVITER, 2, NOW)));
        assert!(second.is_welcome(&peer(INVITER)) && !second.is_welcome(&peer(3)));
        let third = certificate(INVITER, 3, NOW);
        assert_eq!(second.judge(&peer(3), &shown(&third), NOW), Ok(third.clone()));
        assert_eq!(members_only(INVITER).judge(&peer(3), &shown(&third), NOW), Ok(third));
        assert_eq!(second.shown(NOW), shown(&certificate(INVITER, 2, NOW)));
        assert!(second.is_member_of(&peer(INVITER), NOW));
        assert!(!second.is_due(&peer(INVITER), NOW));
        assert!(second.is_due(&peer(INVITER), NOW + WEEK_S - 1000));
        assert!(second.shown(NOW + WEEK_S).is_empty());
    }

    #[test]
    fn whoever_is_not_let_in_is_told_why() {
        let inviter = members_only(INVITER);
        let judge = |member, shown: &[Vec<u8>], now| {
            inviter.judge(&peer(member), shown, now).map(|_| ()).expect_err("refused")
        };
        let mine = certificate(INVITER, 3, NOW);
        assert_eq!(judge(3, &[], NOW), NotAdmitted::NotAMember);
        assert_eq!(judge(3, &shown(&mine), NOW + WEEK_S), NotAdmitted::CertificateExpired);
        assert_eq!(judge(4, &shown(&mine), NOW), NotAdmitted::BadCertificate);
        assert_eq!(judge(3, &[vec![1; 90]], NOW), NotAdmitted::BadCertificate);
        let foreign = certificate(7, 3, NOW);
        assert_eq!(judge(3, &shown(&foreign), NOW), NotAdmitted::OtherIssuer);
        // One that is not trusted does not hide one that is.
        let both = [shown(&foreign), shown(&mine)].concat();
        assert!(inviter.judge(&peer(3), &both, NOW).is_ok());
        let late = [shown(&certificate(INVITER, 3, NOW - WEEK_S)), shown(&foreign)].concat();
        assert_eq!(judge(3, &late, NOW), NotAdmitted::CertificateExpired);
    }

    #[test]
    fn the_expelled_stay_out_until_they_are_invited_anew() {
        let mut second = members_only(2);
        second.keep(certificate(INVITER, 2, NOW));
        let third = certificate(INVITER, 3, NOW);
        let list = |sequence, entries: &[(u8, u64)]| {
            let since = entries.iter().map(|(n, at)| (InviteId([*n; 16]), *at)).collect();
            RevocationList::sign(&identity(INVITER), &NetworkId::default(), sequence, since)
        };
        assert!(second.keep_revocations(list(2, &[(3, NOW)])));
        let expelled = second.judge(&peer(3), &shown(&third), NOW);
        assert_eq!(expelled, Err(NotAdmitted::Expelled));
        // An older list does not bring them back, nor does a stranger's count.
        assert!(!second.keep_revocations(list(1, &[])));
        let strangers =
            RevocationList::sign(&identity(7), &NetworkId::default(), 9, BTreeMap::new());
        assert!(!second.keep_revocations(strangers));
        let anew = certificate(INVITER, 3, NOW + 1);
        assert!(second.judge(&peer(3), &shown(&anew), NOW + 1).is_ok());
    }

    #[test]
    fn a_node_keeps_its_own_certificates_and_newer_ones() {
        let mut second = members_only(2);
        assert!(!second.keep(certificate(INVITER, 3, NOW)));
        assert!(!second.keep(certificate(2, 2, NOW)));
        assert!(second.keep(certificate(INVITER, 2, NOW)));
        assert!(!second.keep(certificate(INVITER, 2, NOW - 1)));
        assert!(second.keep(certificate(INVITER, 2, NOW + 1)));
        for issuer in 10..20 {
            assert!(second.keep(certificate(issuer, 2, NOW + u64::from(issuer))));
        }
        assert_eq!(second.shown(NOW).len(), CERTIFICATES_MAX);
        assert!(second.is_welcome(&peer(19)) && !second.is_welcome(&peer(INVITER)));
    }

    #[test]
    fn policies_are_words_and_open_lets_everybody_in() {
        let open = Admission::new(peer(1), NetworkId::default(), AdmissionPolicy::default());
        assert!(open.is_welcome(&peer(9)));
        for policy in [AdmissionPolicy::Open, AdmissionPolicy::Members] {
            assert_eq!(AdmissionPolicy::of_word(policy.word()), Some(policy));
        }
        assert_eq!(AdmissionPolicy::of_word("closed"), None);
    }
}
