//! The tokens of a prompt, and how likely each was behind those before it.
//!
//! Called by `NodeHandle::echo`. Likelihoods are a generation of their own that ends where its
//! first token would be sampled, over the same stages and in the same batches, with nothing of a
//! prefix cache; the last stage is told the prompt's tokens. They are what a model itself thinks,
//! before bias, penalties and filters. Errors: [`GenerateError`].

use std::sync::Arc;
use std::time::Instant;

use swarmllm_actors::generation::{GenerationEvent, Gives};
use swarmllm_actors::model_store::OpenModel;
use swarmllm_models::tokenizer::TokenType;
use swarmllm_protocol::limits::SCORED_MAX;
use swarmllm_protocol::wire::LogProbabilities;

use super::answer::{Asked, find_model, generation_request, prepare, unavailable};
use super::embedding::of_prompt;
use super::metrics::Metrics;
use super::tree::NodeTree;
use crate::generate::{
    ErrorKind, GenerateError, GenerateRequest, Prompt, PromptToken, SampledToken,
    TokenLogProbability,
};

/// The tokens of the request's prompt, scored where it asks for log-probabilities. Control tokens
/// print nothing; of a text they are left out.
pub(super) async fn echo(
    tree: &NodeTree,
    asked: Asked,
    metrics: &Metrics,
) -> Result<Vec<PromptToken>, GenerateError> {
    let model = find_model(tree, &asked.request.model).await?;
    let tokens = prepare(&model, &asked.request.prompt)?.tokens;
    let is_listed = matches!(asked.request.prompt, Prompt::Tokens(_));
    let scores = match asked.request.log_probabilities {
        Some(n_top) if tokens.len() > 1 => {
            score(tree, &model, (asked, n_top), metrics).await?.into_iter().map(Some).collect()
        }
        _ => Vec::new(),
    };
    let is_control = |id: u32| model.tokenizer.token_type(id) == Some(TokenType::Control);
    let scores = std::iter::once(None).chain(scores).chain(std::iter::repeat(None));
    let told = tokens.iter().zip(scores).filter(|(id, _)| is_listed || !is_control(**id));
    let token = |(id, score): (&u32, Option<LogProbabilities>)| PromptToken {
        bytes: match is_control(*id) {
            true => Vec::new(),
            false => model.tokenizer.token_bytes(*id).to_vec(),
        },
        scored: score.map(|score| sampled(&model, *id, score)),
    };
    Ok(told.map(token).collect())
}

fn sampled(
    model: &OpenModel,
    id: u32,
    LogProbabilities { chosen, top }: LogProbabilities,
) -> SampledToken {
    let tokenizer = Arc::clone(&model.tokenizer);
    let token = |(id, log_probability)| TokenLogProbability {
        id,
        bytes: tokenizer.token_bytes(id).to_vec(),
        log_probability,
    };
    SampledToken { token: token((id, chosen)), top: top.into_iter().map(token).collect() }
}

async fn score(
    tree: &NodeTree,
    model: &OpenModel,
    (asked, n_top): (Asked, u8),
    metrics: &Metrics,
) -> Result<Vec<LogProbabilities>, GenerateError> {
    let began = Instant::now();
    let Asked { request, .. } = &asked;
    let plain = GenerateRequest {
        client: request.client.clone(),
        max_tokens: Some(1),
        ..GenerateRequest::new(request.model.clone(), request.prompt.clone())
    };
    let asked = Asked { request: plain, ..asked };
    let prepared = prepare(model, &asked.request.prompt)?;
    let prompt_tokens = u32::try_from(prepared.tokens.len()).unwrap_or(u32::MAX);
    if prompt_tokens > SCORED_MAX {
        let message = format!(
            "the prompt has {prompt_tokens} tokens, of which at most {SCORED_MAX} can be scored; \
             send less, or leave `echo` or `logprobs` out"
        );
        return Err(GenerateError::new(ErrorKind::Invalid, message));
    }
    let mut request = generation_request(model, &asked, prepared)?;
    request.gives = Gives::Scores(n_top);
    match of_prompt(tree, request, (metrics, began)).await? {
        GenerationEvent::Scores(scores) => Ok(scores),
        _ => Err(unavailable("the last stage gave no scores; ask again")),
    }
}
