//! What the choice of one sequence's tokens depends on beside logits and sampling parameters.
//!
//! Made by `batch_scheduler` when the sequence is opened at a last stage; goes to the compute
//! thread with the row that is sampled from, and comes back with its token. Errors: a sentence for
//! the requester, whose sequence ends with it.

use std::sync::{Arc, OnceLock};

use swarmllm_models::constraint::{Constraint, ConstraintError, ConstraintVocabulary, Grammar};
use swarmllm_models::sampler::{SamplingContext, SamplingParams, sample_in};
use swarmllm_models::tokenizer::Tokenizer;
use swarmllm_protocol::guide::{GrammarKind, Guide, GuideGrammar};

/// A model's vocabulary, made ready for grammars when the first one comes; cheap to clone.
#[derive(Debug, Clone)]
pub struct AnswerVocabulary {
    tokenizer: Arc<Tokenizer>,
    ready: Arc<OnceLock<Result<Arc<ConstraintVocabulary>, ConstraintError>>>,
}

impl AnswerVocabulary {
    /// The vocabulary of this tokenizer.
    pub fn new(tokenizer: Arc<Tokenizer>) -> AnswerVocabulary {
        AnswerVocabulary { tokenizer, ready: Arc::default() }
    }

    /// Half a second of work for the largest vocabularies, once.
    fn ready(&self) -> Result<Arc<ConstraintVocabulary>, ConstraintError> {
        self.ready.get_or_init(|| ConstraintVocabulary::new(&self.tokenizer)).clone()
    }
}

/// Biases, penalties' history and grammar of one sequence.
#[derive(Debug)]
pub struct TokenGuide {
    logit_bias: Vec<(u32, f32)>,
    answered: Vec<u32>,
    constraint: Option<Constraint>,
}

impl TokenGuide {
    /// Compiles what there is to compile, which takes milliseconds and more: not for an Arbiter.
    ///
    /// # Errors
    /// When the grammar can't be followed, or the answer so far does not follow it.
    pub fn new(guide: Guide, vocabulary: &AnswerVocabulary) -> Result<TokenGuide, String> {
        let Guide { logit_bias, grammar, answered } = guide;
        let constraint = grammar.map(|grammar| constraint(&grammar, &answered, vocabulary));
        let constraint = constraint.transpose()?;
        Ok(TokenGuide { logit_bias, answered, constraint })
    }

    /// The token for `position`.
    ///
    /// # Errors
    /// When the grammar is too complex to follow any further.
    pub fn choose(
        &mut self,
        logits: &[f32],
        position: u32,
        params: &SamplingParams,
    ) -> Result<u32, String> {
        let allowed = match &mut self.constraint {
            Some(constraint) => Some(constraint.mask().map_err(|error| error.to_string())?),
            None => None,
        };
        let context =
            SamplingContext { history: &self.answered, logit_bias: &self.logit_bias, allowed };
        let token = sample_in(logits, position, params, &context);
        let token = token.ok_or("the grammar allows no token of this model here")?;
        if let Some(constraint) = &mut self.constraint {
            constraint.accept(token).map_err(|error| error.to_string())?;
        }
        self.answered.push(token);
        Ok(token)
    }
}

fn constraint(
    GuideGrammar { kind, text }: &GuideGrammar,
    answered: &[u32],
    vocabulary: &AnswerVocabulary,
) -> Result<Constraint, String> {
    let vocabulary = vocabulary.ready().map_err(|error| error.to_string())?;
    let schema;
    let grammar = match kind {
        GrammarKind::Regex => Grammar::Regex(text),
        GrammarKind::Lark => Grammar::Lark(text),
        GrammarKind::JsonSchema => {
            schema = serde_json::from_str(text)
                .map_err(|error| format!("the JSON schema is no JSON: {error}"))?;
            Grammar::JsonSchema(&schema)
        }
    };
    let mut constraint =
        Constraint::new(&grammar, &vocabulary).map_err(|error| error.to_string())?;
    for token in answered {
        constraint.accept(*token).map_err(|error| error.to_string())?;
    }
    Ok(constraint)
}
