//! Answers that must follow a grammar: which tokens may come next.
//!
//! Made by whoever samples, one [`Constraint`] per answer over the model's shared
//! [`ConstraintVocabulary`]. Per token: [`Constraint::mask`] gives the allowed set for the sampler,
//! [`Constraint::accept`] tells what was chosen. An answer that ends when the grammar lets it end
//! follows the grammar; [`Constraint::end`] says whether it did.
//! Grammars come from strangers: their size and nesting are bounded before they are compiled
//! (`grammar`), compiling and every mask by the parser's own fuel (`vocabulary`).
//! Errors: [`ConstraintError`], which says what to change. Source: the crate `llguidance`, an
//! Earley parser over a lexer of regular-expression derivatives, walked along a trie of all tokens.
//! Absent on purpose: tokens that the grammar forces are sampled like any other, so that a token is
//! still a function of logits and position.

mod answer;
mod calls;
mod grammar;
mod schema;
mod vocabulary;

use llguidance::Matcher;

use crate::sampler::TokenSet;

pub use answer::{AnswerCalls, AnswerRules, AnswerText, answer_grammar};
pub use grammar::Grammar;
pub use schema::{SchemaFault, schema_fault};
pub use vocabulary::ConstraintVocabulary;

/// Stack for compiling: grammars are walked recursively. Address space until it is used.
const COMPILE_STACK_BYTES: usize = 64 << 20;
/// Longest explanation that is passed on.
const MAX_REASON_CHARACTERS: usize = 300;

/// Why a grammar cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// The text is too long.
    #[error("the {kind} has {bytes} bytes, the limit is {limit}; make it smaller")]
    TooLong {
        /// Which kind of grammar.
        kind: &'static str,
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// It is nested too deeply.
    #[error("the {kind} is nested deeper than {limit} levels; flatten it, or use $defs and $ref")]
    TooDeep {
        /// Which kind of grammar.
        kind: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A count in a schema is too large.
    #[error("'{key}' in the schema is {value}, the limit is {limit}; lower it or leave it out")]
    CountTooLarge {
        /// The keyword.
        key: String,
        /// Its value.
        value: u64,
        /// The limit.
        limit: u64,
    },
    /// It is no grammar, or uses what is not supported, or compiling it takes too long.
    #[error("the {kind} cannot be followed: {reason}; correct it, or ask without it")]
    Grammar {
        /// Which kind of grammar.
        kind: &'static str,
        /// What the compiler says.
        reason: String,
    },
    /// The vocabulary cannot be prepared.
    #[error("answers of this model cannot be constrained: {reason}")]
    Vocabulary {
        /// What is in the way.
        reason: String,
    },
    /// The next tokens cannot be computed, usually because that exceeds its fuel.
    #[error("the grammar is too complex to follow any further: {reason}; simplify it")]
    Exhausted {
        /// What the parser says.
        reason: String,
    },
    /// A token that the mask excludes.
    #[error("token {token} does not follow the grammar; choose tokens from the mask only")]
    NotAllowed {
        /// The token.
        token: u32,
    },
}

/// What ended an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndCause {
    /// The model chose a token that ends answers, or nothing else was left.
    EndToken,
    /// The answer reached its most tokens.
    LengthLimit,
    /// A stop text of the request occurred.
    StopText,
}

/// Whether an answer follows its grammar as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConstrainedEnd {
    /// It does.
    Complete,
    /// It is only the beginning of one that does; the finish reason must say why.
    CutShort(EndCause),
}

/// An answer on its way through a grammar.
pub struct Constraint {
    matcher: Matcher,
    allowed: TokenSet,
    is_finished: bool,
}

impl std::fmt::Debug for Constraint {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let fields = (self.is_finished, self.allowed.len());
        formatter.debug_tuple("Constraint").field(&fields).finish()
    }
}

impl Constraint {
    /// Compiles `grammar` for answers in `vocabulary`.
    pub fn new(
        grammar: &Grammar<'_>,
        vocabulary: &ConstraintVocabulary,
    ) -> Result<Constraint, ConstraintError> {
        let kind = grammar.kind();
        let checked = grammar.checked()?;
        let failed = |reason: String| ConstraintError::Grammar { kind, reason: short(&reason) };
        let compile = || {
            let mut matcher = Matcher::new(vocabulary.factory.create_parser(checked));
            // Grammars without any answer are found out by asking for the first tokens.
            matcher.compute_mask_or_eos().map(|_| matcher)
        };
        let compiled = on_large_stack(compile)
            .and_then(|compiled| compiled.map_err(|error| error.to_string()));
        let matcher = compiled.map_err(|reason| match reason.starts_with("NoExtension") {
            true => failed("there is no text that follows it".into()),
            false => failed(reason),
        })?;
        let is_finished = matcher.is_stopped();
        Ok(Constraint { matcher, allowed: TokenSet::empty(vocabulary.size()), is_finished })
    }

    /// The tokens that may come next; those that end the answer are among them where it may end.
    pub fn mask(&mut self) -> Result<&TokenSet, ConstraintError> {
        let mask = self.matcher.compute_mask_or_eos().map_err(exhausted)?;
        self.allowed.copy_words(mask.as_slice());
        if self.allowed.is_empty() {
            let reason = "no token of this model continues the text".into();
            return Err(ConstraintError::Exhausted { reason });
        }
        Ok(&self.allowed)
    }

    /// Goes on with `token`; after an error that it is not allowed, another one may be tried.
    pub fn accept(&mut self, token: u32) -> Result<(), ConstraintError> {
        let taken = match self.is_finished {
            // What ends the answer is no part of it, and may come again where it is passed over.
            true => usize::from(self.mask()?.contains(token)),
            false => self.matcher.try_consume_tokens(&[token]).map_err(exhausted)?,
        };
        if taken == 0 {
            return Err(ConstraintError::NotAllowed { token });
        }
        self.is_finished |= self.matcher.is_stopped();
        Ok(())
    }

    /// Whether nothing can follow but the end of the answer.
    pub fn is_finished(&self) -> bool {
        self.is_finished
    }

    /// What the answer is when it ends here because of `cause`.
    pub fn end(&mut self, cause: EndCause) -> ConstrainedEnd {
        let is_complete = match self.is_finished {
            true => self.matcher.stop_reason().is_ok(),
            false => self.matcher.is_accepting().unwrap_or(false),
        };
        if is_complete { ConstrainedEnd::Complete } else { ConstrainedEnd::CutShort(cause) }
    }
}

/// Runs on a thread that has the stack for it; says why it did not come to an end.
fn on_large_stack<T: Send>(run: impl FnOnce() -> T + Send) -> Result<T, String> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("grammar".into());
        let handle = thread.stack_size(COMPILE_STACK_BYTES).spawn_scoped(scope, run);
        let handle = handle.map_err(|error| error.to_string())?;
        handle.join().map_err(|_| "the compiler panicked".to_owned())
    })
}

/// The first line, cut to a readable length.
fn short(reason: &str) -> String {
    let line = reason.lines().next().unwrap_or_default();
    line.chars().take(MAX_REASON_CHARACTERS).collect()
}

fn exhausted(error: impl std::fmt::Display) -> ConstraintError {
    ConstraintError::Exhausted { reason: short(&error.to_string()) }
}
