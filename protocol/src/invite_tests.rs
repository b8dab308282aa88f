//! Invite codes: they read back however they are pasted, errors say which, secrets stay secret.

use proptest::prelude::*;

use super::*;
use crate::{ids::PoolId, membership::MemberRole};

const SECRET: [u8; INVITE_SECRET_BYTES] = [0xa7; INVITE_SECRET_BYTES];

fn identity() -> Identity {
    Identity::from_seed([9; 32])
}

fn terms() -> InviteTerms {
    let addresses = ["192.0.2.7:4001", "[2001:db8::1]:4001"];
    InviteTerms {
        network: "friends".parse().expect("network"),
        inviter: identity().peer_id(),
        id: InviteId([6; 16]),
        expires_at_unix_s: 2_000_000_000,
        uses: 3,
        grant: Grant { role: MemberRole::Member, pool: None },
        addresses: addresses.map(|text| text.parse().expect("address")).to_vec(),
    }
}

fn code() -> InviteCode {
    InviteCode::sign(&identity(), terms(), Zeroizing::new(SECRET)).expect("signs")
}

fn sealed(mut bytes: Vec<u8>) -> String {
    let sum = checksum(&bytes);
    bytes.extend_from_slice(&sum);
    format!("{INVITE_PREFIX}{}", BASE32_NOPAD.encode(&bytes))
}

#[test]
fn a_code_reads_back_however_it_is_pasted() {
    let text = code().text();
    assert!(text.starts_with(INVITE_PREFIX));
    assert_eq!(InviteCode::parse(&text), Ok(code()));
    assert_eq!(InviteCode::parse(&format!("  {}\n", text.to_uppercase())), Ok(code()));
    assert_eq!(code().terms(), &terms());
}

#[test]
fn errors_say_which() {
    let text = code().text();
    for other in ["", "hello", "swarm:/", "http://x", "127.0.0.1:4001", "\u{1f9a9}\u{1f9a9}"] {
        assert_eq!(InviteCode::parse(other), Err(InviteError::NotAnInvite), "{other}");
    }
    let cut = &text[..text.len() - 5];
    assert_eq!(InviteCode::parse(cut), Err(InviteError::Altered));
    assert_eq!(InviteCode::parse(INVITE_PREFIX), Err(InviteError::Altered));
    let long = format!("{INVITE_PREFIX}{}", "a".repeat(10_000));
    assert_eq!(InviteCode::parse(&long), Err(InviteError::Altered));
    let (code, main) = (code(), NetworkId::default());
    let other = code.check(&main, 0);
    assert!(matches!(other, Err(InviteError::OtherNetwork { .. })));
    assert_eq!(code.check(&code.terms.network, 1_999_999_999), Ok(()));
    let expired = Err(InviteError::Expired { ago_s: 5 });
    assert_eq!(code.check(&code.terms.network, 2_000_000_005), expired);
}

#[test]
fn forged_codes_are_told_from_altered_ones() {
    let inviter = identity().peer_id();
    let forged = Err(InviteError::Forged { inviter });
    let whole = |signature: &[u8], secret: &[u8]| {
        sealed([terms().fields().as_slice(), signature, secret].concat())
    };
    assert_eq!(InviteCode::parse(&whole(&[0; SIGNATURE_BYTES], &SECRET)), forged);
    // A secret of someone's own under the inviter's signature.
    assert_eq!(InviteCode::parse(&whole(&code().signature, &[1; 32])), forged);
    assert_eq!(InviteCode::parse(&whole(&code().signature, &SECRET)), Ok(code()));
    for theirs in [1, 3] {
        let newer = sealed(vec![theirs, 7, 7, 7]);
        assert_eq!(InviteCode::parse(&newer), Err(InviteError::Version { theirs }));
    }
}

#[test]
fn nobody_makes_a_useless_code() {
    let sign = |identity: &Identity, terms| {
        InviteCode::sign(identity, terms, Zeroizing::new(SECRET)).map(|_| ())
    };
    let stranger = Identity::from_seed([1; 32]);
    assert!(matches!(sign(&stranger, terms()), Err(InviteError::NotTheInviter { .. })));
    for useless in ["0.0.0.0:4001", "192.0.2.7:0", "224.0.0.1:1"] {
        let addresses = vec![useless.parse().expect("address")];
        let made = sign(&identity(), InviteTerms { addresses, ..terms() });
        assert_eq!(made, Err(InviteError::Addresses), "{useless}");
    }
    let none = InviteTerms { addresses: Vec::new(), ..terms() };
    assert_eq!(sign(&identity(), none), Err(InviteError::Addresses));
    let many = InviteTerms { uses: INVITE_USES_MAX + 1, ..terms() };
    assert_eq!(sign(&identity(), many), Err(InviteError::Uses));
}

#[test]
fn the_longest_code_is_within_its_bound() {
    let address = "[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
    let longest = InviteTerms {
        network: "n".repeat(32).parse().expect("network"),
        grant: Grant { role: MemberRole::Observer, pool: Some(PoolId([1; 16])) },
        addresses: vec![address.parse().expect("address"); ADDRESSES_MAX],
        ..terms()
    };
    let code = InviteCode::sign(&identity(), longest, Zeroizing::new(SECRET)).expect("signs");
    let text = code.text();
    assert!(text.len() <= INVITE_MAX_CHARS, "{}", text.len());
    assert_eq!(InviteCode::parse(&text), Ok(code));
}

#[test]
fn nothing_that_is_logged_shows_the_secret() {
    let code = code();
    let shown = format!("{code:?} {code:#?} {code}");
    // 0xa7 as Rust, hexadecimal and base32 would show a row of it.
    for spelling in ["167", "a7a7", "a7, ", "u6t2p", "U6T2P"] {
        assert!(!shown.contains(spelling), "{shown}");
    }
    assert!(code.text().contains("u6t2p"));
}

#[test]
fn the_key_depends_on_secret_and_invite() {
    let psk = |id: u8, secret: u8| {
        let terms = InviteTerms { id: InviteId([id; 16]), ..terms() };
        let secret = Zeroizing::new([secret; INVITE_SECRET_BYTES]);
        *InviteCode::sign(&identity(), terms, secret).expect("signs").psk()
    };
    assert_eq!(psk(1, 1), psk(1, 1));
    assert!(psk(1, 1) != psk(2, 1) && psk(1, 1) != psk(1, 2));
    assert_ne!(psk(1, 1), [1; INVITE_SECRET_BYTES]);
}

proptest! {
    #[test]
    fn any_text_gives_an_answer(text in ".{0,200}", code in "[a-z2-7]{0,400}") {
        let _ = InviteCode::parse(&text);
        let code = InviteCode::parse(&format!("{INVITE_PREFIX}{code}"));
        prop_assert!(code.is_err());
    }

    #[test]
    fn a_changed_character_is_noticed(place in 0_usize..1000, letter in "[a-z2-7]") {
        let text = code().text();
        let body = text.len() - INVITE_PREFIX.len();
        let place = INVITE_PREFIX.len() + place % body;
        let mut altered = text.clone();
        altered.replace_range(place..=place, &letter);
        if altered != text {
            prop_assert_eq!(InviteCode::parse(&altered), Err(InviteError::Altered));
        }
    }

    #[test]
    fn a_changed_byte_under_a_right_checksum_is_never_accepted(
        place in 1_usize..1000, bits in 1_u8..
    ) {
        let mut bytes = decode(&code().text()).expect("decodes").to_vec();
        bytes.truncate(bytes.len() - CHECKSUM_BYTES);
        let place = place % bytes.len();
        bytes[place] ^= bits;
        prop_assert!(InviteCode::parse(&sealed(bytes)).is_err());
    }

    #[test]
    fn fields_from_anyone_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = InviteCode::parse(&sealed(bytes.clone()));
        if let Some(terms) = InviteTerms::read_fields(&bytes) {
            prop_assert_eq!(&terms.fields()[1..], &bytes[1..]);
        }
    }
}
