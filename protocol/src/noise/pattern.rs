//! Handshake patterns as lists of tokens: who sends which key, and which pairs are mixed, when.
//!
//! Read by `handshake.rs`, which knows no pattern by name.
//! Source: Noise specification revision 34, sections 7 (patterns), 9 (pre-shared keys).
//! Errors: none; patterns are constants of the program.
//! Absent on purpose: every pattern but the three in use. The tests bring the others, to run all
//! public vectors through the same state machine.

/// One step of a handshake message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// Send the ephemeral key.
    E,
    /// Send the static key, sealed once there is a key.
    S,
    /// Mix both ephemeral keys.
    Ee,
    /// Mix the initiator's ephemeral with the responder's static key.
    Es,
    /// Mix the initiator's static with the responder's ephemeral key.
    Se,
    /// Mix both static keys.
    Ss,
    /// Mix the next pre-shared key.
    Psk,
}

/// A handshake pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    /// Its name within the protocol name, like `XX`.
    pub name: &'static str,
    /// Keys of the initiator that the responder knows beforehand.
    pub initiator_known: &'static [Token],
    /// Keys of the responder that the initiator knows beforehand.
    pub responder_known: &'static [Token],
    /// The messages in turn, the initiator's first.
    pub messages: &'static [&'static [Token]],
}

impl Pattern {
    /// Whether a pre-shared key takes part: ephemeral keys are then mixed in as well.
    #[must_use]
    pub fn has_psk(&self) -> bool {
        self.messages.iter().any(|message| message.contains(&Token::Psk))
    }
}

/// Neither side knows the other; both send their static key, the responder first.
pub const XX: Pattern = Pattern {
    name: "XX",
    initiator_known: &[],
    responder_known: &[],
    messages: &[&[Token::E], &[Token::E, Token::Ee, Token::S, Token::Es], &[Token::S, Token::Se]],
};

/// [`XX`] for those who share a secret: without it, message 3 fails.
pub const XXPSK3: Pattern = Pattern {
    name: "XXpsk3",
    initiator_known: &[],
    responder_known: &[],
    messages: &[
        &[Token::E],
        &[Token::E, Token::Ee, Token::S, Token::Es],
        &[Token::S, Token::Se, Token::Psk],
    ],
};

/// The initiator knows the responder's static key and stays nameless: one request, one response.
pub const NK: Pattern = Pattern {
    name: "NK",
    initiator_known: &[],
    responder_known: &[Token::S],
    messages: &[&[Token::E, Token::Es], &[Token::E, Token::Ee]],
};
