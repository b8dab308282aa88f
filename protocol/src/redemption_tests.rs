//! The redemption log: who is admitted, what is told, and that no crash makes it forget.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::membership::MemberRole;

const NOW: u64 = 1_800_000_000;
const EXPIRES: u64 = NOW + 3600;

fn id(byte: u8) -> InviteId {
    InviteId([byte; 16])
}

fn peer(byte: u8) -> PeerId {
    PeerId([byte; 32])
}

fn made(uses: u32) -> MadeInvite {
    let grant = Grant { role: MemberRole::Member, pool: None };
    MadeInvite { made_at_unix_s: NOW, expires_at_unix_s: EXPIRES, uses, grant }
}

/// A log with its file, and how long the file was when each certificate was given.
#[derive(Clone)]
struct Kept {
    log: RedemptionLog,
    file: Vec<u8>,
    certified: Vec<(usize, InviteId, PeerId)>,
}

impl Kept {
    fn new() -> Self {
        let file = RedemptionLog::file_start().to_vec();
        Self { log: RedemptionLog::default(), file, certified: Vec::new() }
    }

    /// What is found after a crash that left these bytes.
    fn opened(file: &[u8]) -> Result<Self, LogError> {
        let (log, good) = RedemptionLog::read(file)?;
        let mut kept = Self { log, file: file[..good].to_vec(), certified: Vec::new() };
        if good == 0 {
            kept.file = RedemptionLog::file_start().to_vec();
        }
        Ok(kept)
    }

    fn append(&mut self, record: &[u8]) {
        self.file.extend_from_slice(record);
        assert!(self.log.appended(record), "a record of the log itself");
    }

    fn make(&mut self, invite: InviteId, uses: u32) {
        let record = self.log.make(&invite, &made(uses), &Zeroizing::new([7; 32]));
        self.append(&record.expect("room"));
    }

    fn revoke(&mut self, invite: InviteId, members: bool) {
        if let Ok(record) = self.log.revoke(&invite, members, NOW) {
            self.append(&record);
        }
    }

    fn redeem(&mut self, invite: InviteId, who: PeerId) -> Result<(), RedeemError> {
        if let Redemption::Write(record) = self.log.redeem(&invite, &who, NOW)? {
            self.append(&record);
        }
        self.certified.push((self.file.len(), invite, who));
        Ok(())
    }
}

#[test]
fn a_code_admits_as_many_as_it_says_and_each_of_them_again() {
    let mut kept = Kept::new();
    kept.make(id(1), 2);
    assert_eq!(kept.redeem(id(1), peer(1)), Ok(()));
    assert_eq!(kept.redeem(id(1), peer(1)), Ok(()));
    assert_eq!(kept.log.get(&id(1)).and_then(KnownInvite::uses_left), Some(1));
    assert_eq!(kept.redeem(id(1), peer(2)), Ok(()));
    assert_eq!(kept.redeem(id(1), peer(3)), Err(RedeemError::UsedUp { uses: 2 }));
    assert_eq!(kept.redeem(id(1), peer(2)), Ok(()));
    kept.make(id(2), 0);
    for n in 0..50 {
        assert_eq!(kept.redeem(id(2), peer(n)), Ok(()));
    }
}

#[test]
fn refusals_say_which() {
    let mut kept = Kept::new();
    kept.make(id(1), 1);
    let late = kept.log.redeem(&id(1), &peer(1), EXPIRES + 9);
    assert_eq!(late, Err(RedeemError::Expired { ago_s: 9 }));
    assert_eq!(kept.redeem(id(9), peer(1)), Err(RedeemError::Unknown));
    assert_eq!(kept.log.revoke(&id(9), false, NOW), Err(LogError::Unknown(id(9))));
    kept.revoke(id(1), false);
    assert_eq!(kept.redeem(id(1), peer(1)), Err(RedeemError::Revoked));
    let known = kept.log.get(&id(1)).expect("known");
    assert_eq!((known.revoked_at_unix_s, known.expelled_at_unix_s), (Some(NOW), None));
}

#[test]
fn there_is_room_for_so_many_and_what_is_past_gives_way() {
    let mut log = RedemptionLog::default();
    let psk = Zeroizing::new([7; 32]);
    let numbered = |n: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        InviteId(id)
    };
    for n in 0..INVITES_MAX {
        let record = log.make(&numbered(n), &made(1), &psk).expect("room");
        assert!(log.appended(&record));
    }
    assert_eq!(log.make(&id(255), &made(1), &psk), Err(LogError::TooManyInvites));
    let later = MadeInvite { made_at_unix_s: EXPIRES, expires_at_unix_s: EXPIRES + 1, ..made(1) };
    let record = log.make(&id(255), &later, &psk).expect("room again");
    assert!(log.appended(&record));
    assert_eq!(log.invites().count(), INVITES_MAX);
}

#[test]
fn what_is_counted_is_refused_when_the_log_is_full_and_the_rest_is_not() {
    let mut log = RedemptionLog::default();
    for (invite, uses) in [(id(1), 0), (id(2), 1)] {
        let record = log.make(&invite, &made(uses), &Zeroizing::new([7; 32])).expect("room");
        assert!(log.appended(&record));
    }
    let many = (0..REDEMPTIONS_MAX as u64).map(|n| {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&n.to_le_bytes());
        (PeerId(bytes), NOW)
    });
    log.invites.get_mut(&id(1)).expect("made").redeemed = many.collect();
    assert_eq!(log.redeem(&id(2), &peer(9), NOW), Err(RedeemError::Full));
    assert_eq!(log.redeem(&id(1), &peer(9), NOW), Ok(Redemption::Known));
}

#[test]
fn damage_in_the_middle_is_no_torn_end() {
    let mut kept = Kept::new();
    for n in 0..9 {
        kept.make(id(n), 1);
    }
    let mut damaged = kept.file.clone();
    damaged[20] ^= 1;
    assert_eq!(RedemptionLog::read(&damaged).err(), Some(LogError::Damaged { at: 8 }));
    // A record that is left out is missed by all that follow.
    let one = (kept.file.len() - 8) / 9;
    let without = [&kept.file[..8 + one], &kept.file[8 + 2 * one..]].concat();
    let damaged = RedemptionLog::read(&without).err();
    assert_eq!(damaged, Some(LogError::Damaged { at: 8 + one }));
    assert_eq!(RedemptionLog::read(b"SWRMINV2....").err(), Some(LogError::NotALog));
    assert!(RedemptionLog::read(b"").is_ok());
}

#[test]
fn a_rewritten_log_forgets_what_nobody_came_by_and_keeps_the_rest() {
    let mut kept = Kept::new();
    for n in 1..=3 {
        kept.make(id(n), 2);
    }
    kept.redeem(id(1), peer(1)).expect("admitted");
    kept.revoke(id(2), true);
    kept.redeem(id(3), peer(3)).expect("admitted");
    let (log, file) = kept.log.rewritten(NOW);
    let again = Kept::opened(&file).expect("reads");
    assert_eq!(again.file, file);
    for log in [&log, &again.log] {
        let known = |n| log.get(&id(n)).expect("kept");
        assert!(known(1).redeemed.contains_key(&peer(1)));
        assert_eq!(known(2).expelled_at_unix_s, Some(NOW));
        assert_eq!(*known(3).psk, [7; 32]);
    }
    let (later, _) = kept.log.rewritten(EXPIRES + INVITE_MEMORY_S);
    let left: Vec<_> = later.invites().map(|(id, _)| *id).collect();
    assert_eq!(left, [id(1), id(3)]);
}

/// What happens at a node: an invite is made, somebody comes, an invite is taken back.
#[derive(Debug, Clone)]
enum Act {
    Make(u8, u32),
    Come(u8, u8),
    Revoke(u8, bool),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        2 => (0_u8..4, 0_u32..4).prop_map(|(invite, uses)| Act::Make(invite, uses)),
        8 => (0_u8..4, 0_u8..8).prop_map(|(invite, who)| Act::Come(invite, who)),
        1 => (0_u8..4, any::<bool>()).prop_map(|(invite, members)| Act::Revoke(invite, members)),
    ];
    proptest::collection::vec(act, 1..40)
}

fn done(acts: &[Act]) -> (Kept, BTreeMap<InviteId, u32>) {
    let (mut kept, mut uses) = (Kept::new(), BTreeMap::new());
    for act in acts {
        match act {
            // An id is random: the same one is not made twice.
            Act::Make(n, count) if !uses.contains_key(&id(*n)) => {
                kept.make(id(*n), *count);
                uses.insert(id(*n), *count);
            }
            Act::Make(..) => {}
            Act::Come(n, who) => {
                let _ = kept.redeem(id(*n), peer(*who));
            }
            Act::Revoke(n, members) => kept.revoke(id(*n), *members),
        }
    }
    (kept, uses)
}

proptest! {
    /// The crash comes when the file is `cut` bytes long, and leaves some garbage or none behind
    /// them. Certificates were given only for what was in the file by then.
    #[test]
    fn no_crash_admits_more_or_forgets_anyone(
        acts in acts(), cut in 0.0_f64..=1.0, garbage in 0_usize..3, zeros in 0_usize..60,
    ) {
        let (before, uses) = done(&acts);
        let cut = (before.file.len() as f64 * cut) as usize;
        let mut file = before.file[..cut].to_vec();
        if garbage > 0 && cut >= 8 {
            // A torn record: some of its room was taken, its bytes were not written.
            let (_, good) = RedemptionLog::read(&file).expect("a prefix is no damage");
            let room = (good + RECORD_MAX_BYTES - cut).min(zeros);
            file.resize(cut + room, if garbage == 1 { 0 } else { 0xff });
        }
        let mut after = Kept::opened(&file).expect("a torn end is no damage");
        let given: BTreeSet<_> = before.certified.iter()
            .filter(|(length, ..)| *length <= cut)
            .map(|(_, invite, who)| (*invite, *who))
            .collect();
        for (invite, who) in &given {
            let known = after.log.get(invite).expect("an invite with a member is kept");
            prop_assert!(known.redeemed.contains_key(who), "{invite} forgot {who}");
        }
        // Everybody comes again, and strangers as well.
        for (invite, uses) in &uses {
            for who in 0..20 {
                let _ = after.redeem(*invite, peer(who));
            }
            let mut all: BTreeSet<_> = after.certified.iter()
                .filter(|(_, by, _)| by == invite)
                .map(|(_, _, who)| *who)
                .collect();
            all.extend(given.iter().filter(|(by, _)| by == invite).map(|(_, who)| *who));
            prop_assert!(*uses == 0 || all.len() <= *uses as usize, "{invite}: {}", all.len());
        }
        // Whoever had a certificate gets it again, unless the invite was taken back.
        for (invite, who) in &given {
            if after.log.get(invite).is_some_and(|known| known.revoked_at_unix_s.is_none()) {
                prop_assert_eq!(after.redeem(*invite, *who), Ok(()));
            }
        }
        // And what was written after the crash reads as well.
        let (_, good) = RedemptionLog::read(&after.file).expect("reads");
        prop_assert_eq!(good, after.file.len());
    }

    #[test]
    fn every_log_reads_back_and_can_be_rewritten(acts in acts()) {
        let (kept, _) = done(&acts);
        let same = |a: &RedemptionLog, b: &RedemptionLog| {
            a.invites().count() == b.invites().count() && a.invites().all(|(id, known)| {
                b.get(id).is_some_and(|other| {
                    known.made == other.made
                        && known.redeemed == other.redeemed
                        && known.revoked_at_unix_s == other.revoked_at_unix_s
                        && known.expelled_at_unix_s == other.expelled_at_unix_s
                })
            })
        };
        let read = Kept::opened(&kept.file).expect("reads");
        prop_assert!(same(&read.log, &kept.log));
        let (log, file) = kept.log.rewritten(NOW);
        prop_assert!(same(&log, &kept.log));
        prop_assert!(same(&Kept::opened(&file).expect("reads").log, &kept.log));
    }

    #[test]
    fn any_bytes_are_a_log_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = RedemptionLog::read(&bytes);
        let mut file = MAGIC.to_vec();
        file.extend_from_slice(&bytes);
        if let Ok((log, good)) = RedemptionLog::read(&file) {
            prop_assert_eq!(log.invites().count(), 0);
            prop_assert_eq!(good, 8);
        }
    }
}
