//! Every pattern of the public vectors, as text, turned into what the state machine reads.
//!
//! Source: Noise specification revision 34, sections 7.4, 7.5 and 18.1 (deferred patterns).
//! Form: known keys (`> s` of the initiator, `< s` of the responder), then `:`, then the tokens of
//! each message, divided by `/`.

use swarmllm_protocol::noise::{Pattern, Token};

const PATTERNS: &[(&str, &str)] = &[
    ("N", "< s : e es"),
    ("K", "> s < s : e es ss"),
    ("X", "< s : e es s ss"),
    ("NN", ": e / e ee"),
    ("NK", "< s : e es / e ee"),
    ("NX", ": e / e ee s es"),
    ("KN", "> s : e / e ee se"),
    ("KK", "> s < s : e es ss / e ee se"),
    ("KX", "> s : e / e ee se s es"),
    ("XN", ": e / e ee / s se"),
    ("XK", "< s : e es / e ee / s se"),
    ("XX", ": e / e ee s es / s se"),
    ("IN", ": e s / e ee se"),
    ("IK", "< s : e es s ss / e ee se"),
    ("IX", ": e s / e ee se s es"),
    ("NK1", "< s : e / e ee es"),
    ("NX1", ": e / e ee s / es"),
    ("X1N", ": e / e ee / s / se"),
    ("X1K", "< s : e es / e ee / s / se"),
    ("XK1", "< s : e / e ee es / s se"),
    ("X1K1", "< s : e / e ee es / s / se"),
    ("X1X", ": e / e ee s es / s / se"),
    ("XX1", ": e / e ee s / es s se"),
    ("X1X1", ": e / e ee s / es s / se"),
    ("K1N", "> s : e / e ee / se"),
    ("K1K", "> s < s : e es / e ee / se"),
    ("KK1", "> s < s : e / e ee se es"),
    ("K1K1", "> s < s : e / e ee es / se"),
    ("K1X", "> s : e / e ee s es / se"),
    ("KX1", "> s : e / e ee se s / es"),
    ("K1X1", "> s : e / e ee s / se es"),
    ("I1N", ": e s / e ee / se"),
    ("I1K", "< s : e es s / e ee / se"),
    ("IK1", "< s : e s / e ee se es"),
    ("I1K1", "< s : e s / e ee es / se"),
    ("I1X", ": e s / e ee s es / se"),
    ("IX1", ": e s / e ee se s / es"),
    ("I1X1", ": e s / e ee s / se es"),
];

/// The pattern of a name like `KKpsk2`. Tests live as briefly as their process: memory is leaked.
pub(crate) fn pattern(name: &str) -> Option<Pattern> {
    let (base, psk) = match name.split_once("psk") {
        Some((base, place)) => (base, Some(place.parse::<usize>().ok()?)),
        None => (name, None),
    };
    let (_, text) = PATTERNS.iter().find(|(known, _)| *known == base)?;
    let (known, messages) = text.split_once(':')?;
    let mut messages: Vec<Vec<Token>> =
        messages.split('/').map(|tokens| tokens.split_whitespace().map(token).collect()).collect();
    match psk {
        Some(0) => messages[0].insert(0, Token::Psk),
        Some(place) => messages[place - 1].push(Token::Psk),
        None => {}
    }
    let knows =
        |side: &str| -> &'static [Token] { if known.contains(side) { &[Token::S] } else { &[] } };
    let messages: Vec<&'static [Token]> =
        messages.into_iter().map(|tokens| &*tokens.leak()).collect();
    Some(Pattern {
        name: name.to_owned().leak(),
        initiator_known: knows(">"),
        responder_known: knows("<"),
        messages: messages.leak(),
    })
}

fn token(text: &str) -> Token {
    match text {
        "e" => Token::E,
        "s" => Token::S,
        "ee" => Token::Ee,
        "es" => Token::Es,
        "se" => Token::Se,
        "ss" => Token::Ss,
        other => panic!("no token: {other}"),
    }
}

#[test]
fn the_patterns_of_the_program_are_those_of_the_table() {
    use swarmllm_protocol::noise::{NK, XX, XXPSK3};
    assert_eq!(pattern("NK"), Some(NK));
    assert_eq!(pattern("XX"), Some(XX));
    assert_eq!(pattern("XXpsk3"), Some(XXPSK3));
}
