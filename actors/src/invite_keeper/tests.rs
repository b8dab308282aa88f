//! The keeper with its files: what a restart finds, what sessions are told.

use swarmllm_protocol::admission::AdmissionPolicy;
use swarmllm_protocol::ids::NetworkId;
use swarmllm_protocol::membership::{Grant, MemberRole};

use super::*;
use crate::event_log::EventLog;

/// An empty folder of this test alone.
pub(super) fn folder(name: &str) -> PathBuf {
    let folder =
        std::env::temp_dir().join(format!("swarmllm-keeper-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a new folder");
    folder
}

fn identity(seed: u8) -> Arc<Identity> {
    Arc::new(Identity::from_seed([seed; 32]))
}

fn keeper(folder: &Path, seed: u8, events: Recipient<Record>) -> InviteKeeper {
    let identity = identity(seed);
    let rules = Admission::new(identity.peer_id(), NetworkId::default(), AdmissionPolicy::Members);
    InviteKeeper::open(identity, folder, rules, events).expect("opens")
}

fn in_system(test: impl FnOnce(Recipient<Record>)) {
    actix::System::new().block_on(async {
        test(EventLog::default().start().recipient());
    });
}

fn invite(uses: u32) -> CreateInvite {
    let grant = Grant { role: MemberRole::Member, pool: None };
    let addresses = vec!["192.0.2.1:1".parse().expect("address")];
    CreateInvite { addresses, valid_for_s: 600, uses, grant }
}

fn come(keeper: &mut InviteKeeper, code: &InviteCode, seed: u8) -> Result<Vec<u8>, NotAdmitted> {
    let peer = identity(seed).peer_id();
    keeper.redeem(&RedeemInvite { invite: code.terms().id, peer })
}

#[test]
fn a_used_code_stays_used_whatever_happens_to_the_node() {
    in_system(|events| {
        let folder = folder("used");
        let mut first = keeper(&folder, 1, events.clone());
        let code = first.create(invite(1)).expect("made");
        let certificate = come(&mut first, &code, 2).expect("admitted");
        // It was never closed, as if it had been killed.
        let mut again = keeper(&folder, 1, events);
        assert_eq!(come(&mut again, &code, 3), Err(NotAdmitted::InviteUsedUp));
        assert!(come(&mut again, &code, 2).is_ok());
        let key = again.keys().get(&code.terms().id.0).expect("kept, so that it can be told");
        assert_eq!(*key, *code.psk());
        let now = clock::unix_s();
        let rules = again.admission();
        let judged = rules.borrow().judge(&identity(2).peer_id(), &[certificate], now);
        assert_eq!(judged.expect("a member").facts().invite, code.terms().id);
        std::fs::remove_dir_all(folder).expect("removed");
    });
}

#[test]
fn whoever_came_by_a_revoked_invite_can_be_sent_away() {
    in_system(|events| {
        let folder = folder("revoked");
        let mut keeper = keeper(&folder, 1, events.clone());
        let (code, other) =
            (keeper.create(invite(5)).expect("made"), keeper.create(invite(5)).expect("made"));
        let shown = come(&mut keeper, &code, 2).expect("admitted");
        let judge = |keeper: &InviteKeeper| {
            let rules = keeper.admission();
            let peer = identity(2).peer_id();
            rules.borrow().judge(&peer, std::slice::from_ref(&shown), clock::unix_s()).map(|_| ())
        };
        keeper.revoke(&RevokeInvite { id: code.terms().id, members: false }).expect("known");
        assert_eq!(come(&mut keeper, &code, 3), Err(NotAdmitted::InviteRevoked));
        assert_eq!(judge(&keeper), Ok(()));
        keeper.revoke(&RevokeInvite { id: code.terms().id, members: true }).expect("known");
        assert_eq!(judge(&keeper), Err(NotAdmitted::Expelled));
        assert!(come(&mut keeper, &other, 3).is_ok());
        let unknown = keeper.revoke(&RevokeInvite { id: InviteId([0; 16]), members: true });
        assert!(unknown.expect_err("unknown").to_string().contains("was made here"));
        std::fs::remove_dir_all(folder).expect("removed");
    });
}

#[test]
fn a_certificate_outlives_the_node_that_got_it() {
    in_system(|events| {
        let (at_inviter, at_guest) = (folder("inviter"), folder("guest"));
        let mut inviter = keeper(&at_inviter, 1, events.clone());
        let code = inviter.create(invite(1)).expect("made");
        let certificate = come(&mut inviter, &code, 2).expect("admitted");
        let issuer = identity(1).peer_id();
        let guest = keeper(&at_guest, 2, events.clone());
        let keep = |issuer, certificate: &[u8]| {
            let certificate = certificate.to_vec();
            guest.keep_certificate(&KeepCertificate { issuer, certificate })
        };
        assert!(keep(issuer, &certificate[1..]).is_err());
        // Nobody can make this node a member of somebody else.
        let other = identity(3).peer_id();
        assert!(matches!(keep(other, &certificate), Err(InviteKeeperError::OtherParties)));
        keep(issuer, &certificate).expect("kept");
        inviter.revoke(&RevokeInvite { id: code.terms().id, members: true }).expect("known");
        let lists: Vec<_> =
            inviter.admission().borrow().revocations().map(|l| l.as_bytes().to_vec()).collect();
        lists.iter().for_each(|list| guest.keep_revocations(list));
        drop(guest);
        let again = keeper(&at_guest, 2, events);
        let rules = again.admission();
        assert!(rules.borrow().is_member_of(&issuer, clock::unix_s()));
        assert_eq!(rules.borrow().revocations().count(), 1);
        for folder in [at_inviter, at_guest] {
            std::fs::remove_dir_all(folder).expect("removed");
        }
    });
}
