//! Certificates and revocation lists: what holds, where, until when, and what is noticed.

use proptest::prelude::*;

use super::*;

const NOW: u64 = 1_800_000_000;
const DAY_S: u64 = 24 * 3600;

fn inviter() -> Identity {
    Identity::from_seed([9; 32])
}

fn network() -> NetworkId {
    NetworkId::default()
}

fn facts() -> MemberFacts {
    MemberFacts {
        issuer: inviter().peer_id(),
        member: PeerId([3; 32]),
        grant: Grant { role: MemberRole::Observer, pool: Some(PoolId([8; 16])) },
        invite: InviteId([1; 16]),
        serial: 77,
        issued_at_unix_s: NOW,
        expires_at_unix_s: NOW + 7 * DAY_S,
    }
}

fn certificate() -> MemberCertificate {
    MemberCertificate::issue(&inviter(), &network(), facts(), NOW)
}

fn list(sequence: u64, entries: &[(u8, u64)]) -> RevocationList {
    let since = entries.iter().map(|(byte, at)| (InviteId([*byte; 16]), *at)).collect();
    RevocationList::sign(&inviter(), &network(), sequence, since)
}

#[test]
fn a_certificate_holds_for_a_week_in_its_network() {
    let certificate = certificate();
    let read =
        |network: &NetworkId, now| MemberCertificate::read(certificate.as_bytes(), network, now);
    assert_eq!(certificate.facts(), &facts());
    assert_eq!(read(&network(), NOW + 7 * DAY_S - 1), Ok(certificate.clone()));
    let late = read(&network(), NOW + 7 * DAY_S + 4);
    assert_eq!(late, Err(CertificateError::Expired { ago_s: 4 }));
    // Clocks of two machines are not the same, but nearly.
    assert!(read(&network(), NOW - 60).is_ok());
    assert_eq!(read(&network(), NOW - DAY_S), Err(CertificateError::Times));
    let other = NetworkId::new("other").expect("a name");
    assert!(matches!(read(&other, NOW), Err(CertificateError::Forged(_))));
}

#[test]
fn a_certificate_is_renewed_in_its_last_quarter() {
    let quarter_s = 7 * DAY_S / 4;
    assert!(!certificate().is_due(NOW));
    assert!(!certificate().is_due(NOW + 3 * quarter_s - 1));
    assert!(certificate().is_due(NOW + 3 * quarter_s));
}

#[test]
fn nobody_certifies_for_longer_than_a_week() {
    let long = MemberFacts { expires_at_unix_s: NOW + 8 * DAY_S, ..facts() };
    let mut bytes = certificate_fields(&long);
    let signature = inviter().sign(CERTIFICATE_DOMAIN, &[b"main", &bytes]);
    bytes.extend_from_slice(&signature);
    assert_eq!(MemberCertificate::read(&bytes, &network(), NOW), Err(CertificateError::Times));
}

#[test]
fn a_list_takes_back_what_was_issued_until_then() {
    let list = list(1, &[(1, NOW)]);
    assert_eq!(RevocationList::read(list.as_bytes(), &network()), Ok(list.clone()));
    assert!(list.revokes(certificate().facts()));
    assert!(!list.revokes(&MemberFacts { issued_at_unix_s: NOW + 1, ..facts() }));
    assert!(!list.revokes(&MemberFacts { invite: InviteId([2; 16]), ..facts() }));
    // One issuer's list says nothing of another's members.
    assert!(!list.revokes(&MemberFacts { issuer: PeerId([4; 32]), ..facts() }));
}

#[test]
fn a_long_list_keeps_the_latest_and_has_one_spelling() {
    let since = (0..=REVOCATIONS_MAX).map(|n| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        (InviteId(id), n as u64)
    });
    let list = RevocationList::sign(&inviter(), &network(), 9, since.collect());
    assert_eq!(list.as_bytes().len(), REVOCATION_LIST_MAX_BYTES);
    assert!(!list.since.contains_key(&InviteId([0; 16])));
    // The same entry twice, or another order.
    let (a, b) = (InviteId([1; 16]), InviteId([2; 16]));
    let spelling = |entries: [InviteId; 2]| {
        let mut bytes = revocation_fields(&PeerId([3; 32]), 0, &BTreeMap::new());
        let count = bytes.len() - 2;
        bytes[count] = 2;
        for invite in entries {
            bytes.extend_from_slice(&invite.0);
            bytes.extend_from_slice(&[0; 8]);
        }
        read_revocation_fields(&bytes).is_some()
    };
    assert!(spelling([a, b]));
    assert!(!spelling([b, a]) && !spelling([a, a]));
}

#[test]
fn roles_are_words() {
    for role in MemberRole::ALL {
        assert_eq!(MemberRole::of_word(role.word()), Some(role));
    }
    assert_eq!(MemberRole::of_word("king"), None);
}

proptest! {
    #[test]
    fn a_changed_byte_is_noticed(place in 0_usize..400, bits in 1_u8..) {
        for bytes in [certificate().bytes, list(3, &[(1, 5), (2, 6)]).bytes] {
            let mut bytes = bytes;
            let place = place % bytes.len();
            bytes[place] ^= bits;
            prop_assert!(MemberCertificate::read(&bytes, &network(), NOW).is_err());
            prop_assert!(RevocationList::read(&bytes, &network()).is_err());
        }
    }

    #[test]
    fn fields_from_anyone_read_as_they_would_be_written(
        bytes in proptest::collection::vec(any::<u8>(), 0..200)
    ) {
        let _ = MemberCertificate::read(&bytes, &network(), NOW);
        let _ = RevocationList::read(&bytes, &network());
        if let Some(facts) = read_certificate_fields(&bytes) {
            prop_assert_eq!(&certificate_fields(&facts)[1..], &bytes[1..]);
        }
        if let Some((issuer, sequence, since)) = read_revocation_fields(&bytes) {
            prop_assert_eq!(&revocation_fields(&issuer, sequence, &since)[1..], &bytes[1..]);
        }
    }

    #[test]
    fn certificate_fields_round_trip(
        member: [u8; 32], invite: [u8; 16], serial: u64, pool: Option<[u8; 16]>, observes: bool,
    ) {
        let role = if observes { MemberRole::Observer } else { MemberRole::Member };
        let grant = Grant { role, pool: pool.map(PoolId) };
        let (member, invite) = (PeerId(member), InviteId(invite));
        let facts = MemberFacts { member, invite, serial, grant, ..facts() };
        let bytes = certificate_fields(&facts);
        prop_assert_eq!(read_certificate_fields(&bytes), Some(facts));
        prop_assert!(bytes.len() + SIGNATURE_BYTES <= CERTIFICATE_MAX_BYTES);
    }
}
